//! Nothing is allocated for a request once its connection, or what remembers its like, is warm.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use galo::api::operations::Process;
use galo::api::{route, Call, Endpoint};
use galo::bank::{Description, Kind};
use galo::clients::CONTEST;
use galo::command::{ForwardId, Ids, Origin};
use galo::http::{parse, ParseState, Parsed};
use galo::limits::{KEYS_MAX, SHARD_COMMANDS_MAX};
use galo::machine::{ConnectionId, Effect, Machine, Now, Peer};
use galo::members::Members;
use galo::node::{Durability, Settings};
use galo::runtime::Runtime;
use galo::shard::{self, Acquired, DedupResult, Directory, Meta, RealDisk};

/// The system's allocator, counting what this thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One core on a real directory, and a connection to it.
struct Server {
    runtime: Runtime<RealDisk>,
    connection: ConnectionId,
    now: Now,
}

fn create(data: &Path, shards: u32) -> Meta {
    let meta = Meta {
        directory: 1,
        shards,
    };
    shard::create(&RealDisk, data, &meta, &CONTEST).unwrap();
    meta
}

/// With the shards that are at home there.
fn runtime(data: &Path, meta: Meta, members: Members) -> Runtime<RealDisk> {
    let directory = Directory {
        disk: RealDisk,
        path: data.to_owned(),
        meta,
        descriptor: "test".to_owned(),
    };
    let owned = members.own_shards().map(|shard| {
        let Acquired::Ours(owned) = directory.acquire(shard as u32).unwrap() else {
            panic!("nobody else has it");
        };
        *owned
    });
    let owned = owned.collect();
    let settings = Settings {
        epoch: 1,
        directory: meta.directory,
        durability: Durability::Process,
        allow_reset: false,
        docs: false,
        payments: None,
        process: Process {
            version: "test",
            git_hash: "test",
            driver: "test",
            started_us: 1,
            started_ns: 0,
            resident_bytes: || 0,
            stats: Arc::new(members.stats()),
        },
        members,
    };
    Runtime::new(settings, directory, owned, galo::io::monotonic_ns)
}

impl Server {
    fn start(data: &Path) -> Server {
        let mut runtime = runtime(data, create(data, 1), Members::alone(0, 1, 1));
        let now = Now {
            monotonic_ns: galo::io::monotonic_ns(),
            realtime_us: 1,
        };
        runtime.tick_begin(now);
        let connection = runtime.opened(Peer::Client).unwrap();
        runtime.tick_end();
        Server {
            runtime,
            connection,
            now,
        }
    }

    /// One tick in which `bytes` arrive in two pieces, and one in which the replies are taken; how
    /// many bytes those were.
    fn serve(&mut self, bytes: &[u8]) -> usize {
        // No time passes, so that no sync and no snapshot becomes due: those may allocate.
        self.runtime.tick_begin(self.now);
        let (first, second) = bytes.split_at(bytes.len() / 2 + 1);
        self.runtime.received(self.connection, first);
        self.runtime.received(self.connection, second);
        self.runtime.tick_end();
        let mut sent = 0;
        while let Some(effect) = self.runtime.next_effect() {
            assert!(
                matches!(effect, Effect::Send(_)),
                "only replies are expected"
            );
            sent += self.runtime.output(self.connection).len();
        }
        self.runtime.tick_begin(self.now);
        self.runtime.sent(self.connection, Ok(sent));
        self.runtime.tick_end();
        assert!(self.runtime.next_effect().is_none());
        sent
    }
}

#[test]
fn a_warm_request_allocates_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path());
    let post = |body: &str| {
        let path = "/clientes/1/transacoes";
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let good = post(r#"{"valor":1,"tipo":"c","descricao":"descriça"}"#);
    let bad = post("{}");
    let get = "GET /clientes/1/extrato HTTP/1.1\r\nHost: x\r\n\r\n";
    // A request for each kind of path, and all of them pipelined several times over.
    let all = [&good, get, &bad].concat().repeat(8);
    let rounds = [&good, get, &bad, all.as_str()];
    let least = [120, 800, 120, 8_000];
    let mut bytes = [0; 4];
    let mut before = 0;
    for turn in 0..600 {
        if turn == 100 {
            before = ALLOCATIONS.with(Cell::get); // Warm by now.
        }
        for (round, bytes) in rounds.iter().zip(&mut bytes) {
            *bytes = server.serve(round.as_bytes());
        }
    }
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert!(
        bytes
            .iter()
            .zip(&least)
            .all(|(bytes, least)| bytes >= least),
        "{bytes:?}"
    );
    assert_eq!(allocations, 0);
    // And the counter counts.
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 1);
}

/// A node, and what is on its way to it.
struct End {
    runtime: Runtime<RealDisk>,
    link: Option<ConnectionId>,
    inbound: Vec<u8>,
    sent: Vec<(ConnectionId, usize)>,
    /// To a client: bytes.
    replied: usize,
}

impl End {
    /// One tick; what it says to the other node goes to `outbound`.
    fn tick(&mut self, now: Now, client: Option<(ConnectionId, &[u8])>, outbound: &mut Vec<u8>) {
        self.runtime.tick_begin(now);
        for (id, bytes) in self.sent.drain(..) {
            self.runtime.sent(id, Ok(bytes));
        }
        if let Some(link) = self.link.filter(|_| !self.inbound.is_empty()) {
            self.runtime.received(link, &self.inbound);
            self.inbound.clear();
        }
        if let Some((id, bytes)) = client {
            self.runtime.received(id, bytes);
        }
        self.runtime.tick_end();
        while let Some(effect) = self.runtime.next_effect() {
            match effect {
                Effect::Send(id) => {
                    let bytes = self.runtime.output(id);
                    self.sent.push((id, bytes.len()));
                    match self.link == Some(id) {
                        true => outbound.extend_from_slice(bytes),
                        false => self.replied += bytes.len(),
                    }
                }
                Effect::Connect(_) => {} // It is connected from the start.
                _ => panic!("only bytes are expected"),
            }
        }
    }
}

#[test]
fn a_warm_request_for_another_node_allocates_nothing() {
    let data = tempfile::tempdir().unwrap();
    let meta = create(data.path(), 2);
    let now = Now {
        monotonic_ns: galo::io::monotonic_ns(),
        realtime_us: 1,
    };
    let ends = [0, 1].map(|node| {
        let members = Members {
            nodes: vec!["one".to_owned(), "other".to_owned()],
            node,
            core: 0,
            cores: 1,
            shards: 2,
        };
        let mut runtime = runtime(data.path(), meta, members);
        runtime.tick_begin(now);
        let peer = [Peer::Linker, Peer::Member(0)][node];
        let link = runtime.opened(peer).unwrap();
        End {
            runtime,
            link: Some(link),
            inbound: Vec::with_capacity(1 << 20),
            sent: Vec::with_capacity(64),
            replied: 0,
        }
    });
    let [mut here, mut there] = ends;
    let client = here.runtime.opened(Peer::Client).unwrap();
    let body = r#"{"valor":1,"tipo":"c","descricao":"descriça"}"#;
    let length = body.len();
    // Client 1 is in shard 1, which is at home there.
    let requests = format!(
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}\
         GET /clientes/1/extrato HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    .repeat(8);
    let mut before = 0;
    // The owner has room for the outcomes that it remembers from the first one on.
    for turn in 0..2000 {
        if turn == 1000 {
            before = ALLOCATIONS.with(Cell::get);
        }
        let replied = here.replied;
        let mut asked = Some((client, requests.as_bytes()));
        for _ in 0..6 {
            here.tick(now, asked.take(), &mut there.inbound);
            there.tick(now, None, &mut here.inbound);
        }
        assert!(turn == 0 || here.replied - replied > 8 * 900);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}

/// Accepting one keeps it in memory, which grows with the queue; but nothing else does.
#[test]
fn reading_a_payment_allocates_nothing() {
    let body = r#"{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90,"x":[1]}"#;
    let length = body.len();
    let input =
        format!("POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    let (mut progress, mut scratch) = (ParseState::default(), Vec::new());
    let before = ALLOCATIONS.with(Cell::get);
    let Parsed::Request { request, .. } = parse(input.as_bytes(), &mut progress, &mut scratch)
    else {
        panic!("it is a request");
    };
    let (endpoint, call) = route(&request, false);
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert_eq!(endpoint, Endpoint::Payments);
    assert!(matches!(call, Call::Command(_, None)), "{call:?}");
}

/// A hundred thousand keys come to be remembered, and then as many leave as come.
#[test]
fn a_warm_command_with_ids_allocates_nothing() {
    let data = tempfile::tempdir().unwrap();
    let meta = Meta {
        directory: 1,
        shards: 1,
    };
    shard::create(&RealDisk, data.path(), &meta, &CONTEST).unwrap();
    let mut shard = shard::open(&RealDisk, data.path(), &meta, 0).unwrap().shard;
    let text = Description::new("descricao!").unwrap();
    let mut before = 0;
    let warm = 2 * SHARD_COMMANDS_MAX as u64;
    for counter in 1..=2 * KEYS_MAX as u64 + warm {
        if counter == warm {
            before = ALLOCATIONS.with(Cell::get);
        }
        let forward = ForwardId {
            origin: Origin {
                member: 1,
                epoch: 1,
            },
            counter,
        };
        let ids = Ids {
            forward: Some(forward),
            key: Some(galo::command::ids::key(1, &counter.to_le_bytes())),
        };
        // Now and then one is refused.
        let kind = if counter % 8 == 0 {
            Kind::Debit
        } else {
            Kind::Credit
        };
        let amount = if counter % 8 == 0 { i64::MAX } else { 1 };
        let known = shard.recognise(0, kind, amount, text, counter, &ids);
        assert_eq!(known, DedupResult::New);
        let _ = shard.transact(0, kind, amount, text, counter, &ids);
        let known = shard.recognise(0, kind, amount, text, counter, &ids);
        assert!(matches!(known, DedupResult::Repeated(_)));
        match counter % 1000 {
            0 => shard.refused(),
            n if n % 50 == 0 => shard.written(),
            _ => {}
        }
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}
