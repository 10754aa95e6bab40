//! Every bound in one place, with its unit, and the relations between bounds as compile-time assertions.
//!
//! Each bound's comment says what happens beyond it, which is tested.

/// Bytes of a kibibyte.
pub const KIB: usize = 1024;
/// Bytes of a mebibyte.
pub const MIB: usize = 1024 * KIB;
/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub const MILLISECOND_NS: u64 = 1_000_000;
/// Microseconds of a second.
pub const SECOND_US: u64 = 1_000_000;

// ---- HTTP ------------------------------------------------------------------

/// Request line and headers together. Beyond: 431 and close.
pub const HEAD_BYTES_MAX: usize = 8 * KIB;
/// Header fields of one request. Beyond: 431 and close.
pub const HEADERS_MAX: usize = 100;
/// Empty lines before a request line that are skipped, as RFC 9112 section 2.2 asks for the sake of
/// old clients that end a body with one too many. Beyond: 400. They count as part of the head.
pub const EMPTY_LINES_MAX: usize = 4;
/// Digits of a chunk's size, leading zeros included: as many as 64 bits have. Beyond: 400.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// A line with a chunk's size and extensions. Beyond: 400.
pub const CHUNK_SIZE_LINE_BYTES_MAX: usize = 256;
/// Trailers together are bounded like a head. Beyond: 431.
pub const TRAILER_BYTES_MAX: usize = HEAD_BYTES_MAX;
/// A request's body, decoded. Beyond: 413 and close.
pub const BODY_BYTES_MAX: usize = 64 * KIB;
/// A chunked body as it travels, with chunk sizes, extensions and trailers. Beyond: 413 and close.
pub const BODY_ENCODED_BYTES_MAX: usize = 128 * KIB;
/// Replies with a larger body are gzipped for clients that accept it.
pub const GZIP_BYTES_MIN: usize = KIB;

// ---- Connections -----------------------------------------------------------

/// Open client connections of one core. Beyond: 503 and close.
pub const CONNECTIONS_MAX: usize = 12_000;
/// Received behind a request that waits for something. Beyond: the socket is not read until it has
/// gone on; what the uring driver's receive buffers hold by then still comes. (A request that is not
/// all there yet is bounded by the bounds of its head and body.)
pub const STUCK_INPUT_BYTES_MAX: usize = 4 * KIB;
/// Written and not yet sent. Beyond: no further request of that connection is taken up.
pub const OUTPUT_BYTES_MAX: usize = 64 * KIB;
/// A client's connection between two requests. Beyond: closed.
pub const IDLE_NS_MAX: u64 = 75 * SECOND_NS;
/// From the first byte of a head to its last. Beyond: 408 and close.
pub const HEAD_NS_MAX: u64 = 10 * SECOND_NS;
/// From the end of a head to the end of its body. Beyond: 408 and close.
pub const BODY_NS_MAX: u64 = 20 * SECOND_NS;
/// Between two looks at the deadlines of all connections.
pub const SWEEP_NS_MIN: u64 = 10 * MILLISECOND_NS;
/// Without the peer taking a byte of a reply. Beyond: dropped.
pub const SEND_NS_MAX: u64 = 10 * SECOND_NS;
/// A process that wakes up so much later than it wanted was paused or starved: its clients get as
/// much time again before their deadlines count.
pub const LATE_NS: u64 = 50 * MILLISECOND_NS;
/// Reading on after a refusal, so that the peer sees the reply and not a reset.
pub const LINGER_NS: u64 = SECOND_NS;
/// A new buffer for input or output.
pub const BUFFER_BYTES: usize = 4 * KIB;
/// One that grew past this is freed, not kept for reuse.
pub const BUFFER_BYTES_MAX: usize = 32 * KIB;
/// Buffers kept for reuse by one core, together. Beyond: freed.
pub const BUFFERS_POOLED_BYTES_MAX: usize = MIB;
/// Memory of the buffers of all clients' connections of one core: input kept, output not yet taken by the
/// kernel. Beyond: connections are closed, first those that hold most and have made no progress for longest.
pub const CLIENT_BUFFERS_BYTES_MAX: usize = 12 * MIB;
/// From here on connections are closed, too, up to [`EVICTIONS_MAX`] a tick.
pub const CLIENT_BUFFERS_BYTES_FULL: usize = 10 * MIB;
/// Connections that a tick closes for what they hold, as long as that is not beyond the bound: each costs some 20 µs.
pub const EVICTIONS_MAX: u64 = 64;
/// From here on buffers are scarce: a connection gets what it needs for one request and its reply, and is
/// not read from while it has more.
pub const CLIENT_BUFFERS_BYTES_SCARCE: usize = 4 * MIB;
/// [`OUTPUT_BYTES_MAX`] while buffers are scarce: a statement's reply, and some.
pub const OUTPUT_BYTES_SCARCE: usize = 2 * KIB;
/// What is read from a socket at a time while buffers are scarce.
pub const RECEIVE_BYTES_SCARCE: usize = KIB;
/// Once buffers were scarce and no more than this is held, what the allocator keeps goes back to the system. (A
/// small buffer that is in use keeps a page from going back.)
pub const CLIENT_BUFFERS_BYTES_CALM: usize = 256 * KIB;
/// What the kernel keeps of replies to a client of a Unix socket that does not read (`SO_SNDBUF`, which it doubles). It is
/// the node's memory, for the kernel charges it to who sends.
pub const UNIX_SEND_BUFFER_BYTES: usize = 8 * KIB;
/// The same of a client by TCP: what is beyond the client's window (`TCP_NOTSENT_LOWAT`).
pub const TCP_UNSENT_BYTES: usize = 16 * KIB;
/// Between two log lines about clients that were closed for what they held.
pub const EVICTION_LOG_NS: u64 = SECOND_NS;

// ---- Turns -------------------------------------------------------------------
//
// Work is counted in requests: one for each, and one more for each KiB that is read or written for it.

/// What a tick does for clients. Beyond: each further connection is served if it has sent one request and no
/// more; pipelines wait their turn. A tick takes some 2 ms then, and a request waits for two of them at most,
/// whatever others pipeline.
pub const TICK_WORK_MAX: u32 = 1024;
/// What of that is for connections that wait for their turn, before anything that has just arrived.
pub const TICK_WORK_TURNS: u32 = TICK_WORK_MAX / 2;
/// What a tick does for one connection. Beyond: the rest of its input waits its turn. With a quarter of it the
/// sends, one in each turn, cost 10% of the throughput of 32 pipelining connections.
pub const CONNECTION_WORK_MAX: u32 = 256;
/// What serving a connection costs beside its requests: a send.
pub const TURN_WORK: u32 = 8;

// ---- Drivers ---------------------------------------------------------------

/// Submission queue entries of a socket ring; when it is full, it is submitted early.
pub const RING_ENTRIES: u32 = 1024;
/// Completion queue entries of a socket ring.
pub const COMPLETIONS_MAX: u32 = 4 * RING_ENTRIES;
/// Completions (or ready sockets) taken up by one tick; the rest wait for the next. When thousands send at once, whoever
/// comes behind them waits for that many ticks, each as long as its work is.
pub const TICK_EVENTS_MAX: usize = 1024;
/// Receive buffers lent to the kernel; when it has used all, receives are armed anew.
pub const RECEIVE_BUFFERS: u16 = 128;
/// Bytes of a receive buffer of the first group.
pub const RECEIVE_BUFFER_BYTES: usize = 4 * KIB;
/// Larger ones, for connections that fill those: one for each in each tick. Beyond: they are read in the next.
pub const RECEIVE_BUFFERS_LARGE: u16 = 16;
/// Bytes of a receive buffer of the second group.
pub const RECEIVE_BUFFER_LARGE_BYTES: usize = 16 * KIB;
/// A connection that has filled a receive buffer is read one large buffer at a time, until so many receives in
/// a row would have found room in a small one.
pub const HEAVY_RECEIVES: u8 = 32;
/// The epoll driver's one receive buffer.
pub const EPOLL_RECEIVE_BYTES: usize = 16 * KIB;
/// Connections that one core has accepted for another, which has not taken them yet. Beyond: it keeps them.
pub const HANDED_MAX: usize = 256;
/// Accepting pauses for this long when descriptors run out.
pub const ACCEPT_RETRY_NS: u64 = 100 * MILLISECOND_NS;
/// Between two log lines about other users at a link socket, or about the same fault of a peer.
pub const FAULT_LOG_NS: u64 = 60 * SECOND_NS;
/// Connections that wait to be accepted from one listener (the kernel may allow fewer:
/// `net.core.somaxconn`). Beyond: the kernel makes them try again.
pub const BACKLOG: i32 = 4096;
/// Entries of each of glommio's own three rings of a core: they carry background jobs only.
pub const GLOMMIO_RING_ENTRIES: usize = 16;
/// What glommio pins for its own files of one core: its minimum.
pub const GLOMMIO_IO_MEMORY_BYTES: usize = 64 * KIB;
/// glommio refuses to start with a lower RLIMIT_MEMLOCK.
pub const GLOMMIO_MEMLOCK_BYTES_MIN: u64 = 512 * KIB as u64;
/// Memory that one core on uring locks at most, where the kernel counts it (an ordinary user's, Linux 6.14 or later):
/// its socket ring 140 KiB, glommio's rings and what it pins three times 216 KiB. Of use in a message only: whether it
/// is there is tried.
pub const CORE_MEMLOCK_BYTES: u64 = 384 * KIB as u64;
/// For memory to lock that a process which was just killed had, at the start. Beyond: epoll, or exit 1.
pub const RING_WAIT_NS_MAX: u64 = 250 * MILLISECOND_NS;
/// Between two such attempts.
pub const RING_RETRY_NS: u64 = 10 * MILLISECOND_NS;

// ---- Links between nodes ---------------------------------------------------

/// Commands of one node for one shard that wait for its owner, or for the owner's answer. Beyond: 503.
/// An owner remembers as many of each node, so that one that is repeated gets its first outcome.
pub const SHARD_COMMANDS_MAX: usize = 4096;
/// From here on a connection may have one of these at a time; its next waits. So pipelines leave room for others.
pub const SHARD_COMMANDS_SCARCE: usize = SHARD_COMMANDS_MAX / 4;
/// [`SHARD_COMMANDS_MAX`] for all shards together. Beyond: 503.
pub const COMMANDS_MAX: usize = 4 * SHARD_COMMANDS_MAX;
/// Commands of one member that another has got and not answered. Beyond: they wait where they came in. It
/// bounds what the other one holds for a member that does not read its answers.
pub const LINK_COMMANDS_MAX: usize = SHARD_COMMANDS_MAX;
/// For a shard's owner to appear, and to answer. Beyond: 503.
pub const COMMAND_NS_MAX: u64 = 2 * SECOND_NS;
/// Idempotency keys that a shard remembers. Beyond: the oldest is forgotten.
pub const KEYS_MAX: usize = 100_000;
/// For how long it does. Beyond: forgotten.
pub const KEY_NS_MAX: u64 = 600 * SECOND_NS;
/// Characters of an `Idempotency-Key`. Beyond: 400.
pub const KEY_CHARS_MAX: usize = 64;
/// For who connects to a link's socket to say who it is. Beyond: closed.
pub const HELLO_NS_MAX: u64 = SECOND_NS;
/// Connections to a node's link sockets beside one for each member. Beyond: closed.
pub const LINKERS_MAX: usize = 16;
/// From a link that failed to the next try: the first time, and at most.
pub const DIAL_NS_MIN: u64 = 5 * MILLISECOND_NS;
/// The longest pause between two attempts to connect to a member: see [`DIAL_NS_MIN`].
pub const DIAL_NS_MAX: u64 = 250 * MILLISECOND_NS;
/// From a try for a shard that somebody has to the next: the first time, and at most.
pub const ACQUIRE_NS_MIN: u64 = 2 * MILLISECOND_NS;
/// The longest pause between two attempts to take a shard: see [`ACQUIRE_NS_MIN`].
pub const ACQUIRE_NS_MAX: u64 = 100 * MILLISECOND_NS;
/// For another member, which is to take a shard, before this one tries.
pub const ACQUIRE_GRACE_NS: u64 = 150 * MILLISECOND_NS;
/// From a shard that could not be recovered to the next try.
pub const ACQUIRE_AFTER_ERROR_NS: u64 = SECOND_NS;
/// From a shard that was given to a member, and not taken, to the next that it is given.
pub const OFFER_NS: u64 = 10 * SECOND_NS;
/// Nodes (processes) of a cluster.
pub const NODES_MAX: usize = 16;
/// Characters of a node's name: it becomes part of file names.
pub const NODE_NAME_CHARS_MAX: usize = 32;
/// Commands of one connection that wait for other nodes. Beyond: its next request waits. The replies
/// are written whether it reads or not, so this bounds its output, too.
pub const CONNECTION_FORWARDS_MAX: u32 = 64;
/// One frame. A longer one is no frame of ours: the link is closed. The longest outcome is a statement with ten
/// transactions.
pub const LINK_FRAME_BYTES_MAX: usize = KIB;
/// What one core has written for another and the other has not read, where they share memory. Beyond: it waits with the
/// one who writes. Some hundred commands.
pub const CHANNEL_RING_BYTES: usize = 32 * KIB;
/// The memory that two cores share: a page, and a ring each way.
pub const CHANNEL_BYTES: usize = 4 * KIB + 2 * CHANNEL_RING_BYTES;

// ---- Payments --------------------------------------------------------------

/// One payment: ten billion. Beyond: 422.
pub const AMOUNT_CENTS_MAX: u64 = 1_000_000_000_000;
/// Open payments of one shard, unless `--payment-queue` says otherwise. Beyond: 503.
pub const PAYMENTS_OPEN_MAX: usize = 1_000_000;
/// From accepting a payment to the latest moment to have it carried out, unless `--payment-deadline` says
/// otherwise. Beyond: it stays with the processor that may have it, or goes to whoever takes it.
pub const PAYMENT_DEADLINE_NS: u64 = 60 * SECOND_NS;
/// What `--payment-queue` may say at most: a waiting payment takes some 44 bytes of memory.
pub const PAYMENT_QUEUE_MAX: usize = 10_000_000;
/// What `--payment-deadline` may say at most.
pub const PAYMENT_DEADLINE_NS_MAX: u64 = 24 * 3600 * SECOND_NS;
/// Ids that a shard tells from new ones, at least. Beyond: the oldest is forgotten.
pub const PAYMENT_IDS_MIN: usize = 1_000_000;
/// Queued payments that recovery looks for together, 24 bytes each. Beyond: those first, then the next.
pub const PAYMENTS_ARRIVING_MAX: usize = 64 * 1024;
/// Settled payments that a shard has in memory before they become a file (a run).
pub const SETTLED_RUN: usize = 32 * 1024;
/// Payments at one processor at a time, all members together (its own limit is 800). Beyond: they wait.
pub const PROCESSOR_PARALLEL_MAX: usize = 800;
/// Status queries about payments at one processor at a time, of one core. Beyond: they wait.
pub const PROCESSOR_LOOKUPS_MAX: usize = 128;
/// For a processor to answer a payment. Beyond: its outcome is unknown.
pub const ATTEMPT_NS_MAX: u64 = 15 * SECOND_NS;
/// For a processor to answer about its health.
pub const HEALTH_REPLY_NS_MAX: u64 = 10 * SECOND_NS;
/// Between two requests for a processor's health, of all members together.
pub const HEALTH_NS_MIN: u64 = 5 * SECOND_NS;
/// Between two look-ups of a processor's name.
pub const RESOLVE_NS_MIN: u64 = SECOND_NS;
/// SYNs repeated (the first after 1 s) to a processor that says nothing. Beyond, some 3 s after the first:
/// the connection is not made.
pub const CONNECT_SYNS_REPEATED: i32 = 1;
/// A connection to a processor without use. Beyond: closed.
pub const PROCESSOR_IDLE_NS_MAX: u64 = 30 * SECOND_NS;
/// A processor's reply. Beyond: it is none.
pub const PROCESSOR_REPLY_BYTES_MAX: usize = 64 * KIB;
/// Memory of the replies of both processors that are not all there, of one core. Beyond: the connection is
/// closed, and the reply ends where it is.
pub const PROCESSOR_BUFFERS_BYTES_MAX: usize = 4 * MIB;
/// From a failure of a processor to the next probe: the first time, and at most.
pub const PROBE_NS_MIN: u64 = 50 * MILLISECOND_NS;
/// The longest pause between two probes of a processor: see [`PROBE_NS_MIN`].
pub const PROBE_NS_MAX: u64 = SECOND_NS;
/// From an attempt at a payment that went wrong to the next at the same processor: the first time, and at most.
/// Twice as long each time, less up to half of it ([`crate::payments::backoff`]).
pub const RETRY_NS_MIN: u64 = 50 * MILLISECOND_NS;
/// The longest pause between two attempts at a payment at the same processor: see [`RETRY_NS_MIN`].
pub const RETRY_NS_MAX: u64 = 30 * SECOND_NS;
/// A longer `Retry-After` is taken for this: one reply must not silence a processor for good.
pub const RETRY_AFTER_NS_MAX: u64 = 3600 * SECOND_NS;
/// Refusals (4xx, or answers that make no sense) of a processor that are taken for the payments' own faults, as many as
/// it has carried out others. Beyond: its circuit opens.
pub const REFUSALS_SPARED_MAX: u32 = 8;
/// Attempts without an answer, one after the other, of a processor that has never given any, after which the log
/// says so.
pub const SILENT_ATTEMPTS: u32 = 3;
/// An open payment that was accepted longer ago is counted as old. Where some wait, and none has been settled for so
/// long, `/health` says `degraded`.
pub const PAYMENT_OLD_NS: u64 = 60 * SECOND_NS;
/// Between two counts of the old ones.
pub const PAYMENTS_OLD_COUNT_NS: u64 = SECOND_NS;
/// While payments wait they are looked at again so often, though nothing happens.
pub const DISPATCH_NS_MAX: u64 = 100 * MILLISECOND_NS;
/// After a journal write that found no room, for so long nothing of that shard is sent to a processor.
pub const DISPATCH_RETRY_NS: u64 = 100 * MILLISECOND_NS;
/// Finding out what processors hold, for a summary. Beyond: it tells what is known.
pub const SUMMARY_NS_MAX: u64 = SECOND_NS;
/// For a payment without an id to be carried out. Beyond: 202, pending.
pub const PAY_NOW_NS_MAX: u64 = 5 * SECOND_NS;
/// Summaries, and payments that are answered when they are carried out, in the works at one core. Beyond:
/// 503.
pub const QUERIES_MAX: usize = 4096;
/// Their parts, each for the owner of a shard (a summary has one for each shard). Beyond: 503. An owner
/// takes as many from each core, and refuses those beyond.
pub const QUERY_PARTS_MAX: usize = 16 * QUERIES_MAX;
/// From a part that was refused to the next try.
pub const ASK_AGAIN_NS: u64 = 10 * MILLISECOND_NS;

// ---- Several machines --------------------------------------------------------

/// A member's lease, from the moment its renewal was sent. Beyond: reads wait, and others may take its shards over.
pub const LEASE_NS: u64 = 2 * SECOND_NS;
/// From one renewal to the next.
pub const LEASE_RENEWAL_NS: u64 = LEASE_NS / 4;
/// A process that waits for its member's lease, and sees another renew it so often, ends. One or two may have been on their
/// way when the process before it was killed.
pub const TWIN_RENEWALS: u32 = 4;
/// How far a machine's clock may be from the true pace of time.
pub const CLOCK_DRIFT_PERCENT: u64 = 10;
/// Without a new record of a member's lease. Beyond, it is revoked: its holder's clock may be slow, and ours fast.
pub const LEASE_SILENCE_NS: u64 =
    LEASE_NS / (100 - CLOCK_DRIFT_PERCENT) * (100 + CLOCK_DRIFT_PERCENT) + MILLISECOND_NS;
/// Bytes of a record of the engine, or of a message to another member. Half of what a server takes by default, so that
/// an operator may lower that.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// How long an answer of the engine may take; without one, another of its servers is connected with.
pub const ENGINE_ANSWER_NS: u64 = 700 * MILLISECOND_NS;
/// How long a look at the engine from outside may take, until it is said that it is not there.
pub const ENGINE_SURVEY_NS_MAX: u64 = 5 * SECOND_NS;
/// From a request to the engine that had no answer, or a fault of it, to the next.
pub const ENGINE_RETRY_NS: u64 = 100 * MILLISECOND_NS;
/// From a look at an engine that lacks records to the next.
pub const ENGINE_FAULT_NS: u64 = SECOND_NS;
/// Between two looks at the log's stream, if nothing is wrong with it.
pub const INSPECTION_NS: u64 = 5 * SECOND_NS;
/// How much longer each further candidate leaves a shard that is free to those before it.
pub const CANDIDATE_NS: u64 = 250 * MILLISECOND_NS;
/// Bytes of a batch's records, which a record of the engine carries. While one is under way, ticks gather the next.
/// Beyond: writes are refused.
pub const BATCH_BYTES_MAX: usize = MESSAGE_BYTES_MAX - KIB;
/// Bytes of records that one tick may add to that. Beyond: requests wait for the next tick.
pub const BATCH_BYTES_OF_TICK_MAX: usize = BATCH_BYTES_MAX / 4;

/// Bytes of delivered records that wait for a core: what it cannot take in yet is not fetched.
pub const ENGINE_BACKLOG_BYTES_MAX: usize = 8 * MIB;
/// Of a stop: how long giving shards and lease away may take.
pub const ENGINE_STOP_NS: u64 = SECOND_NS;
/// From an archive of a shard that the engine's store did not take, or give, to the next attempt.
pub const ARCHIVE_RETRY_NS: u64 = 10 * SECOND_NS;
/// Bytes of the engine's log from which on its front goes, by default and at most, in MiB.
pub const LOG_MIB: usize = 256;
/// See [`LOG_MIB`].
pub const LOG_MIB_MAX: usize = 1 << 20;
/// Records of the engine's log that a member may be behind and take shards all the same: it reads them in a tenth of a second.
pub const NEAR_RECORDS: u64 = 10_000;
/// Between two digests of a shard that is written to, for other copies to compare.
pub const DIGEST_NS: u64 = 10 * SECOND_NS;
/// Accounts in a digest: some 0.3 ms of reading; the next one goes on behind them.
pub const DIGEST_ACCOUNTS: usize = 4096;
/// Between two notes of how far a copy is in the engine's log: so much of it a start after kill -9 reads again.
pub const LOG_POSITION_NS: u64 = 10 * SECOND_NS;
/// A member that has not said that it got what it was sent is asked so often.
pub const CARRIER_ASK_NS: u64 = 100 * MILLISECOND_NS;
/// And one that has nothing to say so often.
pub const CARRIER_IDLE_NS: u64 = SECOND_NS;
/// A member that does not answer for longer: its link is given up.
pub const CARRIER_SILENCE_NS: u64 = SECOND_NS;

// ---- Shards ----------------------------------------------------------------

/// Shards of one data directory.
pub const SHARDS_MAX: usize = 1024;
/// Cores of one process.
pub const CORES_MAX: usize = 64;
/// Characters of a description (the contest's rule).
pub const DESCRIPTION_CHARS_MAX: usize = 10;
/// Bytes of a description in UTF-8.
pub const DESCRIPTION_BYTES_MAX: usize = 4 * DESCRIPTION_CHARS_MAX;
/// Transactions that an account keeps for its statement (the contest's rule).
pub const STATEMENT_TRANSACTIONS: usize = 10;

/// Bytes of records that one tick may journal for one shard. Beyond: requests wait for the next tick.
pub const JOURNAL_BATCH_BYTES_MAX: usize = MIB;
/// One journal record. A longer one is damage.
pub const RECORD_BYTES_MAX: usize = 512;
/// A segment past this size is closed, and the next begun. Recovery has one in memory at a time: a
/// node that takes a shard over needs so much for it, and containers are small.
pub const JOURNAL_SEGMENT_BYTES: u64 = 4 * MIB as u64;
/// A snapshot is begun after this much journal, or after as much as the last snapshot was large,
/// whichever is more.
pub const SNAPSHOT_JOURNAL_BYTES_MIN: u64 = 64 * MIB as u64;
/// Copied out between two ticks while a snapshot is made.
pub const SNAPSHOT_SLICE_BYTES: usize = 256 * KIB;
/// A snapshot of this size or more is checked by several threads when it is read.
pub const CHECK_PARALLEL_BYTES_MIN: usize = 32 * MIB;
/// Threads that check it; they are gone when the shard is there.
pub const CHECK_THREADS_MAX: usize = 8;
/// Resident at a time, for each of them. A multiple of the page size.
pub const CHECK_CHUNK_BYTES: usize = 2 * MIB;
/// Between two attempts to make a snapshot that failed.
pub const SNAPSHOT_RETRY_NS: u64 = 30 * SECOND_NS;
/// Real time that is so far from where a shard takes it to be has stepped; less is what may go by between
/// reading two clocks.
pub const CLOCK_APART_US: u64 = SECOND_US / 1_000;
/// A step of the system's clock. Beyond: the log tells.
pub const CLOCK_STEP_US: u64 = SECOND_US;
/// From a write to its `fdatasync`, with durability `process`.
pub const SYNC_DELAY_NS_MAX: u64 = 100 * MILLISECOND_NS;

// ---- The process -----------------------------------------------------------

/// Memory of a node's container (`compose.yml`), with one core. Beyond: the kernel kills it.
pub const CONTAINER_BYTES: usize = 64 * MIB;
/// Clients that the balancer lets in at once (`lb.conf`), maybe all of them to one node.
pub const BALANCER_CLIENTS_MAX: usize = 1024;
/// What a node of the contest takes with idle connections and no payments, and the code that is mapped.
pub const IDLE_BYTES: usize = 10 * MIB;

/// An address that is in use at the start is tried again for this long: its owner may have been
/// killed just now. Beyond: exit 1.
pub const LISTEN_WAIT_NS_MAX: u64 = SECOND_NS;
/// Between two such attempts.
pub const LISTEN_RETRY_NS: u64 = 10 * MILLISECOND_NS;
/// A lock whose owner should be gone, or a descriptor that should be another, is asked for again for this
/// long when a node joins: its owner may have been killed just now, or be about to write it. Beyond:
/// exit 1.
pub const JOIN_WAIT_NS_MAX: u64 = SECOND_NS;
/// Between two such attempts.
pub const JOIN_RETRY_NS: u64 = 10 * MILLISECOND_NS;
/// Bytes of a Unix socket's path that the kernel takes (unix(7)), without the zero behind it.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// For threads that have ended to be no longer counted, at the start.
pub const THREADS_GONE_NS_MAX: u64 = 100 * MILLISECOND_NS;
/// Threads of one core for what blocks: a sync never waits behind a snapshot's or a run's, of which there is
/// one at a time.
pub const JOB_THREADS: usize = 2;
/// A healthcheck that has no answer by then has failed.
pub const HEALTHCHECK_NS_MAX: u64 = 2 * SECOND_NS;
/// Files that a process needs open for a moment, or for itself: a lock, a directory, `/proc`, a resolver's.
pub const PROCESS_FILES: usize = 4;
/// Files of one core on uring: what wakes it, its ring; glommio's three rings, and what wakes those.
pub const CORE_FILES_URING: usize = 6;
/// The same on epoll: what wakes it, and the epoll.
pub const CORE_FILES_EPOLL: usize = 2;
/// Files that each thread for what blocks needs at a time.
pub const JOB_FILES: usize = JOB_THREADS;
/// Clients of one core without which a start makes no sense. Beyond what is left: accepting pauses.
pub const CLIENT_FILES: usize = 1;
/// Of a channel between two cores: a doorbell for each, which cores of one process have in common.
pub const CHANNEL_FILES: usize = 2;
/// For room at the service manager's socket. Beyond: it is not told.
pub const NOTIFY_WAIT_NS_MAX: u64 = SECOND_NS;
/// Of the time within which the service manager wants a sign of life: how often it gets one, and how soon a core that has
/// not given its own is looked for again.
pub const WATCHDOG_PARTS: u32 = 2;
/// See [`WATCHDOG_PARTS`].
pub const WATCHDOG_RETRY_PARTS: u32 = 20;
/// From a signal to stop until it is no longer waited for.
pub const STOP_WAIT_NS_MAX: u64 = 1_950 * MILLISECOND_NS;
/// A signal so soon after the first is the same wish: perf and docker may send two.
pub const STOP_REPEAT_NS_MIN: u64 = 100 * MILLISECOND_NS;
/// From a signal to stop until idle connections are closed: a request may be on its way.
pub const STOP_GRACE_NS: u64 = 20 * MILLISECOND_NS;
/// From a signal to stop until what takes time (a summary, a payment that is answered when it is carried
/// out) is answered as it stands.
pub const STOP_QUERIES_NS: u64 = 500 * MILLISECOND_NS;
/// From a signal to stop until the replies in flight are given up.
pub const STOP_NS_MAX: u64 = 1_000 * MILLISECOND_NS;
/// From a signal to stop until the closing snapshot is given up (the journal holds everything).
pub const STOP_SNAPSHOT_NS_MAX: u64 = 1_700 * MILLISECOND_NS;

const _: () = {
    assert!(
        RECEIVE_BUFFERS.is_power_of_two() && RECEIVE_BUFFERS_LARGE.is_power_of_two(),
        "a provided buffer ring's size"
    );
    assert!(STATEMENT_TRANSACTIONS * (DESCRIPTION_BYTES_MAX + 18) + 64 <= LINK_FRAME_BYTES_MAX);
    assert!(BODY_BYTES_MAX <= BODY_ENCODED_BYTES_MAX);
    assert!(BODY_ENCODED_BYTES_MAX + OUTPUT_BYTES_MAX < CLIENT_BUFFERS_BYTES_SCARCE);
    assert!(OUTPUT_BYTES_SCARCE < OUTPUT_BYTES_MAX && RECEIVE_BYTES_SCARCE < RECEIVE_BUFFER_BYTES);
    assert!(CLIENT_BUFFERS_BYTES_CALM < CLIENT_BUFFERS_BYTES_SCARCE);
    assert!(2 * CLIENT_BUFFERS_BYTES_SCARCE < CLIENT_BUFFERS_BYTES_FULL);
    assert!(CLIENT_BUFFERS_BYTES_FULL < CLIENT_BUFFERS_BYTES_MAX);
    // A core's buffers leave a quarter of its container to open payments and remembered keys.
    assert!(
        IDLE_BYTES
            + CLIENT_BUFFERS_BYTES_MAX
            + BUFFERS_POOLED_BYTES_MAX
            + PROCESSOR_BUFFERS_BYTES_MAX
            + LINK_COMMANDS_MAX * LINK_FRAME_BYTES_MAX
            + 2 * JOURNAL_SEGMENT_BYTES as usize
            <= CONTAINER_BYTES * 3 / 4
    );
    // So do clients that read nothing: the kernel begins a send below twice its bound.
    assert!(
        IDLE_BYTES + CLIENT_BUFFERS_BYTES_MAX + BALANCER_CLIENTS_MAX * 3 * UNIX_SEND_BUFFER_BYTES
            <= CONTAINER_BYTES * 3 / 4
    );
    assert!(
        LINK_COMMANDS_MAX <= COMMANDS_MAX
            && PROCESSOR_REPLY_BYTES_MAX < PROCESSOR_BUFFERS_BYTES_MAX
    );
    assert!(CONNECTION_WORK_MAX < TICK_WORK_TURNS && TICK_WORK_TURNS < TICK_WORK_MAX);
    assert!((CONNECTION_FORWARDS_MAX as usize) < SHARD_COMMANDS_SCARCE);
    assert!(SHARD_COMMANDS_SCARCE < SHARD_COMMANDS_MAX);
    assert!(SHARD_COMMANDS_MAX <= COMMANDS_MAX);
    assert!(ACQUIRE_NS_MIN < ACQUIRE_NS_MAX && ACQUIRE_NS_MAX < ACQUIRE_GRACE_NS);
    assert!(DIAL_NS_MIN < DIAL_NS_MAX && ACQUIRE_GRACE_NS < COMMAND_NS_MAX);
    assert!(PAYMENTS_OPEN_MAX <= PAYMENT_QUEUE_MAX);
    assert!(PAYMENT_DEADLINE_NS <= PAYMENT_DEADLINE_NS_MAX);
    assert!(GZIP_BYTES_MIN < OUTPUT_BYTES_MAX);
    assert!(DESCRIPTION_BYTES_MAX <= u8::MAX as usize);
    assert!(NODES_MAX * CORES_MAX <= SHARDS_MAX);
    assert!(RECORD_BYTES_MAX <= JOURNAL_BATCH_BYTES_MAX);
    assert!(
        CHECK_CHUNK_BYTES.is_multiple_of(4096) && CHECK_CHUNK_BYTES <= CHECK_PARALLEL_BYTES_MIN
    );
    assert!(JOURNAL_BATCH_BYTES_MAX as u64 <= JOURNAL_SEGMENT_BYTES);
    assert!(JOURNAL_SEGMENT_BYTES <= SNAPSHOT_JOURNAL_BYTES_MIN);
    assert!(STOP_GRACE_NS < STOP_QUERIES_NS && STOP_QUERIES_NS < STOP_NS_MAX);
    assert!(SUMMARY_NS_MAX < COMMAND_NS_MAX && COMMAND_NS_MAX < PAY_NOW_NS_MAX);
    assert!(QUERIES_MAX <= QUERY_PARTS_MAX && SHARDS_MAX <= QUERY_PARTS_MAX);
    assert!(STOP_NS_MAX < STOP_SNAPSHOT_NS_MAX && STOP_SNAPSHOT_NS_MAX < STOP_WAIT_NS_MAX);
    assert!(STOP_WAIT_NS_MAX < 2 * SECOND_NS && STOP_REPEAT_NS_MIN < STOP_NS_MAX);
    assert!(BUFFER_BYTES <= BUFFER_BYTES_MAX && BUFFER_BYTES_MAX <= BUFFERS_POOLED_BYTES_MAX);
    assert!(HEAD_NS_MAX < IDLE_NS_MAX && LINGER_NS < HEAD_NS_MAX);
    assert!(PROBE_NS_MIN < PROBE_NS_MAX && SUMMARY_NS_MAX < ATTEMPT_NS_MAX);
    assert!(RETRY_NS_MIN <= PROBE_NS_MIN && PROBE_NS_MAX < RETRY_NS_MAX);
    // A slow clock's lease ends before a fast one's silence.
    assert!(
        LEASE_NS * 100 / (100 - CLOCK_DRIFT_PERCENT)
            < LEASE_SILENCE_NS * 100 / (100 + CLOCK_DRIFT_PERCENT)
    );
    // A renewal that has no answer is sent again before the lease ends.
    assert!(LEASE_RENEWAL_NS + ENGINE_RETRY_NS < LEASE_NS);
    assert!(CANDIDATE_NS * 2 < LEASE_NS && ENGINE_RETRY_NS < ENGINE_FAULT_NS);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_container_has_the_memory_that_the_bounds_are_made_for() {
        // The nodes' limit is the first one: nginx's is further down.
        let compose = include_str!("../compose.yml");
        let (_, behind) = compose.split_once("memory: ").expect("there is one");
        let (megabytes, _) = behind.split_once("M\n").expect("in megabytes");
        assert_eq!(megabytes.parse(), Ok(CONTAINER_BYTES / MIB));
    }

    #[test]
    fn the_balancer_lets_in_as_many_clients_as_the_bounds_are_made_for() {
        let balancer = include_str!("../lb.conf");
        let (_, behind) = balancer
            .split_once("worker_connections ")
            .expect("there is one");
        let (connections, _) = behind.split_once(';').expect("a number");
        assert_eq!(connections.parse(), Ok(2 * BALANCER_CLIENTS_MAX));
    }
}
