//! A node with the files of its shards: what a driver runs.
//!
//! This is where a tick ends: the batch of each shard goes into its journal with one `pwrite`, then
//! the node releases the replies; then the slow work that became due (`fdatasync`, a slice of a
//! snapshot, a run of settled payments) is handed out as jobs. Where an engine keeps the journals, it is asked instead
//! ([`replication`]).

mod archives;
mod carrier;
mod replication;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;

use crate::limits::{
    PAYMENTS_OPEN_MAX, SNAPSHOT_RETRY_NS, STOP_SNAPSHOT_NS_MAX, SYNC_DELAY_NS_MAX,
};
use crate::machine::engine::EngineEvent;
use crate::machine::{self, ConnectionId, Effect, Exit, Machine, Now, Peer, Target};
use crate::node::{Durability, Node, NotTaken, Settings};
use crate::replicate::{self, Place};
use crate::shard::{
    Acquired, AppendError, Appended, Directory, Disk, Done, LogPosition, Owned, RecoveryError,
    Shard, Store, StoreJob,
};
use crate::system::with_limit;
use archives::place;
use probe::probe;
use replication::Replication;

/// Blocking work that a runtime hands out.
pub enum Work<D: Disk> {
    /// Of a shard's files.
    Store(StoreJob<D>),
    /// Becomes the owner of a shard.
    Acquire(Directory<D>, u32),
    /// The same, with the files of an archive that has come.
    Restore(Directory<D>, u32),
    /// Makes an archive of a shard's files.
    Archive(Directory<D>, u32, LogPosition),
    /// Notes how far a shard's files have come in an engine's log.
    Note(Directory<D>, u32, LogPosition),
}

/// What came of [`Work`].
pub enum WorkDone<D: Disk> {
    /// What a shard's files have come to.
    Store(Done<D>),
    /// Whether the shard is ours now.
    Acquired {
        /// The shard's number.
        shard: u32,
        /// What came of it; an error leaves it to others.
        acquired: Result<Acquired<D>, RecoveryError>,
    },
    /// An archive is made.
    Archived {
        /// The shard's number.
        shard: u32,
        /// Where it is.
        file: Result<PathBuf, RecoveryError>,
    },
    /// It is noted.
    Noted {
        /// The shard's number.
        shard: u32,
        /// Without it the next start reads more of the log.
        noted: Result<(), RecoveryError>,
    },
}

impl<D: Disk> WorkDone<D> {
    /// Which shard it was for.
    pub fn shard(&self) -> u32 {
        match self {
            WorkDone::Store(done) => done.shard(),
            WorkDone::Acquired { shard, .. }
            | WorkDone::Archived { shard, .. }
            | WorkDone::Noted { shard, .. } => *shard,
        }
    }
}

impl<D: Disk> machine::Job for Work<D> {
    type Done = WorkDone<D>;

    fn run(self) -> WorkDone<D> {
        match self {
            Work::Store(job) => WorkDone::Store(job.run()),
            Work::Acquire(directory, shard) => WorkDone::Acquired {
                shard,
                acquired: directory.acquire(shard),
            },
            Work::Restore(directory, shard) => WorkDone::Acquired {
                shard,
                acquired: directory.restore(shard),
            },
            Work::Archive(directory, shard, place) => WorkDone::Archived {
                shard,
                file: directory.archive(shard, place),
            },
            Work::Note(directory, shard, place) => WorkDone::Noted {
                shard,
                noted: directory.note(shard, place),
            },
        }
    }
}

/// A clock's time, nanoseconds.
pub type Clock = fn() -> u64;

/// A node, the files of its shards, and the slow work on these that is due.
pub struct Runtime<D: Disk> {
    node: Node,
    /// Jobs to start, and the end, once it has come.
    effects: VecDeque<Effect<Work<D>>>,
    directory: Directory<D>,
    /// Our shards' files, in any order.
    owned: Vec<OwnedShard<D>>,
    durability: Durability,
    /// Payments that may be open in one shard.
    open_max: usize,
    /// `CLOCK_MONOTONIC`, nanoseconds: read once more when the journal is written.
    clock: fn() -> u64,
    /// What the files of newly owned shards are begun with, other than their own: see
    /// [`Store::set_thresholds`].
    thresholds: Option<(u64, u64)>,
    /// Other than SETTLED_RUN: see [`Shard::set_settled_run`].
    settled_run: Option<usize>,
    /// Something has happened by which slow work may have become due.
    touched: bool,
    /// Not after the time at which slow work is due next. Monotonic.
    slow_ns: u64,
    /// Of a stop: when to give its snapshots up. Monotonic.
    stop_deadline_ns: Option<u64>,
    /// Of a stop: its snapshots are under way.
    closing: bool,
    exited: bool,
    /// Where an engine keeps the journals.
    replication: Option<Box<Replication>>,
}

/// A shard that is ours, or a copy of another's: its files, and what they have coming; times are monotonic.
struct OwnedShard<D: Disk> {
    shard: usize,
    /// Its memory, unless the node has it.
    standby: Option<Shard>,
    /// Whether it is on its way back.
    away: Away,
    /// Where the sync under way gets to.
    syncing: Option<LogPosition>,
    /// The same of the last one that is done.
    synced: Option<LogPosition>,
    /// Not before this that how far it is is noted again.
    note_ns: u64,
    store: Store<D>,
    lock: D::Lock,
    sync_due_ns: Option<u64>,
    /// After one that could not be done: not before this, unless it is due.
    sync_retry_ns: u64,
    /// The last write found no room.
    full: bool,
    /// After a failed snapshot: not before this.
    snapshot_retry_ns: u64,
    /// The same for runs of settled payments.
    run_retry_ns: Option<u64>,
    /// When the newest snapshot was finished, or found. Monotonic.
    snapshot_ns: u64,
}

impl<D: Disk> OwnedShard<D> {
    /// With the shard for the node.
    fn new(owned: Owned<D>, now_ns: u64, open_max: usize) -> (OwnedShard<D>, Shard) {
        let Owned {
            mut recovered,
            lock,
        } = owned;
        recovered.shard.set_payments_max(open_max);
        let owned_shard = OwnedShard {
            shard: recovered.shard.identity().shard as usize,
            standby: None,
            away: Away::No,
            syncing: None,
            synced: None,
            note_ns: 0,
            store: recovered.store,
            lock,
            sync_due_ns: None,
            sync_retry_ns: 0,
            full: false,
            snapshot_retry_ns: 0,
            run_retry_ns: None,
            snapshot_ns: now_ns,
        };
        (owned_shard, recovered.shard)
    }

    /// As a copy of another's.
    fn standby(mut self, mut copy: Shard) -> OwnedShard<D> {
        copy.set_replicated();
        self.standby = Some(copy);
        self
    }
}

/// Whether a copy is on its way back to where it is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    No,
    /// It was ours, and is to be read from its files again.
    Lost,
    /// The log does not have any more what it lacks: an archive is to be asked for then. Monotonic.
    Behind(u64),
    /// The archive is on its way.
    Fetching,
    /// The archive is there.
    Fetched,
}

fn payments_max(settings: &Settings) -> usize {
    let payments = settings.payments.as_ref();
    payments.map_or(PAYMENTS_OPEN_MAX, |payments| payments.open_max)
}

impl<D: Disk> Runtime<D> {
    /// `owned`: what this core owns at the start.
    pub fn new(
        settings: Settings,
        directory: Directory<D>,
        owned: Vec<Owned<D>>,
        clock: fn() -> u64,
    ) -> Runtime<D> {
        let durability = settings.durability;
        let started_ns = settings.process.started_ns;
        let open_max = payments_max(&settings);
        let owned = owned
            .into_iter()
            .map(|it| OwnedShard::new(it, started_ns, open_max));
        let (owned, shards) = owned.unzip();
        let node = Node::new(settings, shards);
        node.core_stats().snapshot_ns.set(started_ns);
        Runtime {
            node,
            effects: VecDeque::new(),
            directory,
            owned,
            durability,
            open_max,
            clock,
            thresholds: None,
            settled_run: None,
            touched: true,
            slow_ns: 0,
            stop_deadline_ns: None,
            closing: false,
            exited: false,
            replication: None,
        }
    }

    /// Where an engine keeps the journals: `owned` are this core's copies. The clocks: `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`, nanoseconds.
    pub fn replicated(
        settings: Settings,
        directory: Directory<D>,
        owned: Vec<Owned<D>>,
        (clock, boot_clock): (Clock, Clock),
        replica: replicate::Settings,
    ) -> Runtime<D> {
        assert_eq!(settings.durability, Durability::Replicated);
        let mut runtime = Runtime::new(settings, directory, Vec::new(), clock);
        let mut places = vec![Place::default(); replica.candidates.len()];
        for owned in owned {
            let place = place(&owned);
            let (owned_shard, copy) = runtime.open(owned);
            places[owned_shard.shard] = place.unwrap_or_default();
            runtime.owned.push(owned_shard.standby(copy));
        }
        let replication = Replication::new(replica, &places, boot_clock);
        runtime.replication = Some(Box::new(replication));
        runtime
    }

    /// A shard's files, and the shard.
    fn open(&self, owned: Owned<D>) -> (OwnedShard<D>, Shard) {
        let now_ns = self.node.now().monotonic_ns;
        let (mut owned_shard, mut shard) = OwnedShard::new(owned, now_ns, self.open_max);
        if let Some((segment_bytes, snapshot_journal_bytes)) = self.thresholds {
            let store = &mut owned_shard.store;
            store.set_thresholds(segment_bytes, snapshot_journal_bytes);
        }
        if let Some(payments) = self.settled_run {
            shard.set_settled_run(payments);
        }
        if self.durability == Durability::Replicated {
            shard.keep_order();
        }
        (owned_shard, shard)
    }

    /// The shards that are owned here, in ascending order of their numbers.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.node.shards()
    }

    /// Other thresholds for all files, now and later: see [`Store::set_thresholds`].
    pub fn set_thresholds(&mut self, segment_bytes: u64, snapshot_journal_bytes: u64) {
        self.thresholds = Some((segment_bytes, snapshot_journal_bytes));
        self.touched = true;
        for owned_shard in &mut self.owned {
            let store = &mut owned_shard.store;
            store.set_thresholds(segment_bytes, snapshot_journal_bytes);
        }
    }

    /// How many settled payments make a run, other than their own, now and later: the simulator's, so that a
    /// few hundred are several.
    pub fn set_settled_run(&mut self, payments: usize) {
        self.settled_run = Some(payments);
        self.touched = true;
        for OwnedShard { shard, standby, .. } in &mut self.owned {
            copy_of(&mut self.node, standby, *shard).set_settled_run(payments);
        }
    }

    /// A shard's copy here, or the shard, if it is ours.
    #[cfg(test)]
    pub(crate) fn copy(&self, shard: usize) -> Option<&crate::shard::Shard> {
        let owned_shard = self.owned.iter().find(|it| it.shard == shard)?;
        let mut ours = self.node.shards();
        let ours = || ours.find(|it| it.identity().shard as usize == shard);
        owned_shard.standby.as_ref().or_else(ours)
    }

    /// A shard's copy here, to be spoilt.
    #[cfg(test)]
    pub(crate) fn standby_mut(&mut self, shard: usize) -> Option<&mut crate::shard::Shard> {
        let owned_shard = self.owned.iter_mut().find(|it| it.shard == shard)?;
        owned_shard.standby.as_mut()
    }

    /// To look at from outside.
    #[cfg(test)]
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// To do something to, between the beginning and the end of a tick.
    #[cfg(test)]
    pub(crate) fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Writes what the tick journalled: one `pwrite` a shard.
    fn commit(&mut self) {
        if self.replication.is_some() {
            return self.gather();
        }
        for at in 0..self.owned.len() {
            let OwnedShard { shard, store, .. } = &mut self.owned[at];
            if !self.node.has_batch(*shard) {
                continue;
            }
            self.touched = true;
            let appended = store.append(self.node.shard_mut(*shard));
            let owned_shard = &mut self.owned[at];
            match appended {
                Ok(Appended { records, bytes }) => {
                    if std::mem::take(&mut owned_shard.full) {
                        log::info!("{}: there is room again", owned_shard.store.dir().display());
                    }
                    let number = owned_shard.shard;
                    self.node.journal_written(number, records, bytes);
                    probe!(galo, batch, owned_shard.shard, records, bytes);
                }
                Err(AppendError::Full(error)) => {
                    if !std::mem::replace(&mut owned_shard.full, true) {
                        let dir = owned_shard.store.dir().display();
                        let error = with_limit(&error);
                        log::warn!(
                            "{dir}: journal: {error}; writes are refused until there is room"
                        );
                    }
                    self.node
                        .journal_refused(owned_shard.shard, NotTaken::NoRoom);
                }
                Err(AppendError::Fatal(error)) => {
                    let reason = format!("{}: journal: {error}", owned_shard.store.dir().display());
                    return self.exit(Exit::Failed(reason));
                }
            }
        }
    }

    /// Hands out the work that is due.
    fn schedule(&mut self) {
        let now_ns = self.node.now().monotonic_ns;
        if self.touched || self.slow_ns <= now_ns || self.stop_deadline_ns.is_some() {
            self.touched = false;
            self.schedule_slow(now_ns);
            self.slow_ns = self.next_slow_ns();
        }
        while let Some(shard) = self.node.next_wanted() {
            let job = Work::Acquire(self.directory.clone(), shard);
            self.effects.push_back(Effect::Start(job));
        }
    }

    fn schedule_slow(&mut self, now_ns: u64) {
        let at_once = matches!(self.durability, Durability::Disk) || self.closing;
        // One of these at a time: a sync must not wait behind them.
        let mut slow = self.is_copying() || self.is_about_runs() || self.is_archiving();
        for owned_shard in &mut self.owned {
            let store = &mut owned_shard.store;
            let is_away = owned_shard.away != Away::No;
            let releasing = is_away || self.node.is_releasing(owned_shard.shard);
            if store.needs_sync() {
                let due_ns = owned_shard
                    .sync_due_ns
                    .get_or_insert(now_ns + SYNC_DELAY_NS_MAX);
                let at_once = at_once && now_ns >= owned_shard.sync_retry_ns;
                if at_once || now_ns >= *due_ns {
                    if let Some(job) = store.sync() {
                        owned_shard.sync_due_ns = None;
                        let replication = self.replication.as_mut();
                        let written = (owned_shard.away == Away::No).then(|| store.written());
                        owned_shard.syncing = replication
                            .zip(written)
                            .map(|(it, written)| it.place(owned_shard.shard, written));
                        if self.durability == Durability::Disk {
                            self.node.safety_begun(owned_shard.shard);
                        }
                        self.effects.push_back(Effect::Start(Work::Store(job)));
                    }
                }
            }
            if owned_shard
                .run_retry_ns
                .is_some_and(|at_ns| now_ns >= at_ns)
            {
                owned_shard.run_retry_ns = None;
            }
            if releasing {
                continue;
            }
            let (number, standby) = (owned_shard.shard, &mut owned_shard.standby);
            let shard = copy_of(&mut self.node, standby, number);
            if !slow && store.snapshot_due() && now_ns >= owned_shard.snapshot_retry_ns {
                slow = store.snapshot_begin(shard);
            }
            let run = match slow || owned_shard.run_retry_ns.is_some() {
                true => None,
                false => store.run_step(shard),
            };
            slow |= run.is_some();
            let jobs = run.into_iter().chain(store.snapshot_step(shard));
            self.effects
                .extend(jobs.map(|job| Effect::Start(Work::Store(job))));
        }
    }

    /// Lets the shards go that the node gives away, once nothing is under way for them.
    fn let_go(&mut self) {
        if self.replication.is_some() || self.node.releasing() == 0 {
            return;
        }
        // A snapshot that is given up here leaves room for another one. A shard that stays after all has a job or a
        // sync to come, after which its slow work is looked for.
        self.touched = true;
        for at in (0..self.owned.len()).rev() {
            let OwnedShard { shard, store, .. } = &mut self.owned[at];
            let shard = *shard;
            if !self.node.is_releasing(shard) {
                continue;
            }
            store.snapshot_abandon(self.node.shard_mut(shard));
            // Who has it next syncs what is not; but replies may wait for that to be done here.
            let replies_wait = matches!(self.durability, Durability::Disk) && !store.is_synced();
            let busy = store.snapshot_under_way() || store.run_under_way();
            if !busy && !replies_wait {
                let OwnedShard { store, lock, .. } = self.owned.swap_remove(at);
                drop(store);
                drop(lock);
                self.note_oldest_snapshot();
                self.node.released(shard);
            }
        }
    }

    /// When slow work is due next; `u64::MAX`: not by time. Monotonic.
    fn next_slow_ns(&self) -> u64 {
        // While a sync is under way, the next one waits for it, not for a time.
        let idle = self.owned.iter().filter(|it| !it.store.is_syncing());
        let syncs = idle.filter_map(|it| it.sync_due_ns);
        // Nor does the next snapshot, while one is made, or a run.
        let slow = self.is_copying() || self.is_about_runs() || self.is_archiving();
        let due = self.owned.iter();
        let due = due.filter(|it| !slow && it.store.snapshot_due());
        let retries = due.map(|it| it.snapshot_retry_ns);
        let run_retries = self.owned.iter().filter_map(|it| it.run_retry_ns);
        let all = syncs.chain(retries).chain(run_retries);
        all.min().unwrap_or(u64::MAX)
    }

    fn is_copying(&self) -> bool {
        let mut stores = self.owned.iter().map(|owned_shard| &owned_shard.store);
        stores.any(Store::snapshot_under_way)
    }

    fn is_about_runs(&self) -> bool {
        let mut stores = self.owned.iter().map(|owned_shard| &owned_shard.store);
        stores.any(Store::run_under_way)
    }

    /// Of a stop: when the last client is gone, snapshots; when those are done, the end.
    fn close_down(&mut self) {
        let Some(deadline_ns) = self.stop_deadline_ns else {
            return;
        };
        if self.node.is_quiet() && !self.closing && self.has_given_away() {
            self.closing = true;
            for owned_shard in self.owned.iter_mut().filter(|it| it.away == Away::No) {
                let (number, standby) = (owned_shard.shard, &mut owned_shard.standby);
                let shard = copy_of(&mut self.node, standby, number);
                owned_shard.store.snapshot_begin(shard);
            }
        }
        let is_idle = self.closing && self.owned.iter().all(|it| it.store.is_idle());
        let done = is_idle && self.has_noted();
        if !done && self.node.now().monotonic_ns < deadline_ns {
            return;
        }
        for owned_shard in self.owned.iter().filter(|it| !it.store.is_idle()) {
            let dir = owned_shard.store.dir().display();
            log::warn!("{dir}: no snapshot in time: the next start replays the journal");
        }
        self.exit(Exit::Stopped);
    }

    /// What came of trying to own a shard.
    fn acquired(&mut self, shard: usize, acquired: Result<Acquired<D>, RecoveryError>) {
        match acquired {
            Ok(Acquired::Ours(owned)) => {
                let (owned_shard, shard) = self.open(*owned);
                self.owned.push(owned_shard);
                self.note_oldest_snapshot();
                self.node.acquired(shard);
            }
            Ok(Acquired::Held(_)) => self.node.not_acquired(shard, false),
            Err(error) => {
                log::error!("shard {shard} cannot be served: {error}");
                self.node.not_acquired(shard, true);
            }
        }
    }

    /// Without a shard it stays as it was.
    fn note_oldest_snapshot(&self) {
        let times = self.owned.iter().map(|it| it.snapshot_ns);
        if let Some(oldest_ns) = times.min() {
            self.node.core_stats().snapshot_ns.set(oldest_ns);
        }
    }

    fn exit(&mut self, exit: Exit) {
        if !self.exited {
            self.exited = true;
            self.effects.push_back(Effect::Exit(exit));
        }
    }
}

impl<D: Disk> Machine for Runtime<D> {
    type Job = Work<D>;

    fn tick_begin(&mut self, now: Now) {
        self.node.tick_begin(now);
        if let Some(replication) = &mut self.replication {
            replication.tick_begin(&mut self.node);
        }
    }

    fn opened(&mut self, peer: Peer) -> Result<ConnectionId, &'static [u8]> {
        self.node.opened(peer)
    }

    fn connect_failed(&mut self, target: Target) {
        self.node.connect_failed(target);
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.node.received(id, bytes);
    }

    fn input_ended(&mut self, id: ConnectionId, reset: bool) {
        self.node.input_ended(id, reset);
    }

    fn sent(&mut self, id: ConnectionId, bytes: Result<usize, ()>) {
        self.node.sent(id, bytes);
    }

    fn closed(&mut self, id: ConnectionId) {
        self.node.closed(id);
    }

    fn job_done(&mut self, done: WorkDone<D>) {
        self.touched = true;
        let shard = done.shard() as usize;
        let done = match done {
            WorkDone::Acquired { acquired, .. } if self.replication.is_some() => {
                return self.read_again(shard, acquired);
            }
            WorkDone::Acquired { acquired, .. } => return self.acquired(shard, acquired),
            WorkDone::Archived { file, .. } => return self.archived(shard, file),
            WorkDone::Noted { noted, .. } => return self.noted(noted),
            WorkDone::Store(done) => done,
        };
        let now = self.node.now();
        let mut owned = self.owned.iter_mut();
        let is_its = |it: &&mut OwnedShard<D>| it.shard == shard && it.store.is_from(&done);
        let Some(owned_shard) = owned.find(is_its) else {
            return; // A sync that was under way when its shard was released.
        };
        match &done {
            Done::SnapshotDone { .. } => owned_shard.snapshot_ns = now.monotonic_ns,
            Done::SyncLater { .. } => {
                owned_shard.sync_retry_ns = now.monotonic_ns + SYNC_DELAY_NS_MAX;
            }
            Done::SnapshotFailed { .. } => {
                owned_shard.snapshot_retry_ns = now.monotonic_ns + SNAPSHOT_RETRY_NS;
            }
            Done::RunFailed { .. } => {
                owned_shard.run_retry_ns = Some(now.monotonic_ns + SNAPSHOT_RETRY_NS);
            }
            _ => {}
        }
        let is_sync = matches!(done, Done::Synced { .. });
        let is_snapshot = matches!(done, Done::SnapshotDone { .. });
        let standby = &mut owned_shard.standby;
        let copy = copy_of(&mut self.node, standby, shard);
        if let Err(error) = owned_shard.store.done(copy, done) {
            let reason = format!(
                "{}: fdatasync: {error}; what it covered may be lost",
                owned_shard.store.dir().display()
            );
            return self.exit(Exit::Failed(reason));
        }
        if is_sync {
            self.synced(shard);
            self.node.core_stats().journal_syncs.add(1);
            if self.durability == Durability::Disk {
                self.node.safe(shard);
            }
        }
        if is_snapshot {
            self.node.core_stats().snapshots.add(1);
            self.note_oldest_snapshot();
        }
    }

    fn stop(&mut self) {
        self.stop_deadline_ns
            .get_or_insert(self.node.now().monotonic_ns + STOP_SNAPSHOT_NS_MAX);
        if let Some(replication) = &mut self.replication {
            replication.replica.leave();
        }
        self.node.stop();
    }

    fn tick_end(&mut self) {
        if self.exited {
            return; // Nothing is acknowledged after a failure.
        }
        self.node.events_over();
        if self.replication.is_some() {
            self.node.answer_late();
            self.follow();
        }
        self.commit();
        if self.exited {
            return;
        }
        self.let_go();
        let replication = self.replication.as_ref();
        let lease_lasts = replication.is_none_or(|it| it.lease_lasts());
        self.node.release((self.clock)(), lease_lasts);
        if self.replication.is_some() {
            self.tell_of_engine();
            self.let_go_of_lost();
            self.keep();
        }
        self.close_down();
        self.schedule();
    }

    fn next_effect(&mut self) -> Option<Effect<Work<D>>> {
        if self.replication.is_some() {
            return self.next_effect_with_engine();
        }
        let effect = self.node.next_effect().map(with_jobs);
        effect.or_else(|| self.effects.pop_front())
    }

    fn engine_says(&mut self, event: EngineEvent) {
        if let Some(replication) = &mut self.replication {
            replication.engine_says(&mut self.node, event);
        }
    }

    fn output(&self, id: ConnectionId) -> &[u8] {
        self.node.output(id)
    }

    fn receive_bytes_max(&self) -> usize {
        self.node.receive_bytes_max()
    }

    fn deadline_ns(&self) -> Option<u64> {
        let stop_ns = self.stop_deadline_ns.unwrap_or(u64::MAX);
        let mut at_ns = self.slow_ns.min(self.node.deadline_ns()).min(stop_ns);
        if let Some(replication) = &self.replication {
            let engine_ns = replication.wake_ns().min(self.node.over_ns());
            at_ns = at_ns.min(engine_ns).min(self.fetch_ns());
        }
        (at_ns != u64::MAX).then_some(at_ns)
    }

    fn ready(&self) -> bool {
        let carrier = self.replication.as_ref().map(|it| &it.carrier);
        self.node.ready() || carrier.is_some_and(|it| it.is_ready())
    }
}

/// A shard's memory, wherever it is.
fn copy_of<'a>(node: &'a mut Node, standby: &'a mut Option<Shard>, shard: usize) -> &'a mut Shard {
    match standby {
        Some(copy) => copy,
        None => node.shard_mut(shard),
    }
}

/// An effect of a node, which hands out no jobs.
fn with_jobs<Job>(effect: Effect<Infallible>) -> Effect<Job> {
    match effect {
        Effect::Send(id) => Effect::Send(id),
        Effect::Pause(id) => Effect::Pause(id),
        Effect::Resume(id) => Effect::Resume(id),
        Effect::ShutdownWrite(id) => Effect::ShutdownWrite(id),
        Effect::Close(id) => Effect::Close(id),
        Effect::Connect(target) => Effect::Connect(target),
        Effect::Start(never) => match never {},
        Effect::Ask(request) => Effect::Ask(request),
        Effect::TrimMemory => Effect::TrimMemory,
        Effect::StopAccepting => Effect::StopAccepting,
        Effect::Exit(exit) => Effect::Exit(exit),
    }
}

impl<D: Disk> Drop for Runtime<D> {
    fn drop(&mut self) {
        // A core that is given up may have left work under way: nobody else may have its shard before
        // the kernel has ended that, with the process.
        for owned_shard in self.owned.drain(..) {
            if !owned_shard.store.is_idle() {
                std::mem::forget(owned_shard.lock);
            }
        }
    }
}
