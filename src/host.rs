//! A node with the files of its shards: what a driver runs.
//!
//! This is where a tick ends: the batch of each shard goes into its journal with one `pwrite`, then
//! the node releases the replies; then the slow work that became due (`fdatasync`, a slice of a
//! snapshot) is handed out as jobs.

use crate::io::{ConnectionId, Effect, Exit, Machine, Now, Peer};
use crate::limits::{SNAPSHOT_RETRY_NS, STOP_SNAPSHOT_NS_MAX, SYNC_DELAY_NS_MAX};
use crate::node::{Durability, Node, Settings};
use crate::shard::{AppendError, Directory, Disk, Done, Job, Owned, Shard, Store};

/// See the module.
pub struct Host<D: Disk> {
    node: Node<Job<D>>,
    #[expect(dead_code, reason = "shards change hands soon")]
    directory: Directory<D>,
    stores: Vec<Store<D>>,
    #[expect(dead_code, reason = "kept for as long as the shards are")]
    locks: Vec<D::Lock>,
    schedules: Vec<Schedule>,
    durability: Durability,
    cores: usize,
    /// `CLOCK_MONOTONIC`, nanoseconds: read once more when the journal is written.
    clock: fn() -> u64,
    /// Of a stop: when to give its snapshots up. Monotonic.
    stop_deadline_ns: Option<u64>,
    /// Of a stop: its snapshots are under way.
    closing: bool,
    exited: bool,
}

/// What a shard's files have coming; all monotonic.
#[derive(Default)]
struct Schedule {
    sync_due_ns: Option<u64>,
    /// The last write found no room.
    full: bool,
    /// After a failed snapshot: not before this.
    snapshot_retry_ns: u64,
    /// When the newest snapshot was finished; microseconds since 1970.
    snapshot_time_us: u64,
}

impl<D: Disk> Host<D> {
    /// `owned`: this core's shards, ascending.
    pub fn new(
        settings: Settings,
        directory: Directory<D>,
        owned: Vec<Owned<D>>,
        clock: fn() -> u64,
    ) -> Host<D> {
        let durability = settings.durability;
        let cores = settings.members.cores;
        let started_us = settings.process.started_us;
        let (mut shards, mut stores, mut locks) = (Vec::new(), Vec::new(), Vec::new());
        for Owned { recovered, lock } in owned {
            shards.push(recovered.shard);
            stores.push(recovered.store);
            locks.push(lock);
        }
        let schedule = || Schedule {
            snapshot_time_us: started_us,
            ..Schedule::default()
        };
        let schedules = stores.iter().map(|_| schedule()).collect();
        let node = Node::new(settings, shards);
        node.core_stats().snapshot_time_us.set(started_us);
        Host {
            node,
            directory,
            stores,
            locks,
            schedules,
            durability,
            cores,
            clock,
            stop_deadline_ns: None,
            closing: false,
            exited: false,
        }
    }

    /// This core's shards, ascending.
    pub fn shards(&self) -> &[Shard] {
        self.node.shards()
    }

    /// To look at from outside.
    #[cfg(test)]
    pub(crate) fn node(&self) -> &Node<Job<D>> {
        &self.node
    }

    /// Writes what the tick journalled: one `pwrite` a shard.
    fn commit(&mut self) {
        let mut wrote = false;
        for (index, store) in self.stores.iter_mut().enumerate() {
            let shard = &self.node.shards()[index];
            if shard.batch().is_empty() {
                continue;
            }
            match store.append(shard.batch_first(), shard.batch()) {
                Ok(()) => {
                    if std::mem::take(&mut self.schedules[index].full) {
                        log::info!("{}: there is room again", store.dir().display());
                    }
                    self.node.journal_written(index);
                    self.node.core_stats().journal_writes.add(1);
                    wrote = true;
                }
                Err(AppendError::Full(error)) => {
                    if !std::mem::replace(&mut self.schedules[index].full, true) {
                        let dir = store.dir().display();
                        log::warn!(
                            "{dir}: journal: {error}; writes are refused until there is room"
                        );
                    }
                    self.node.core_stats().journal_full.add(1);
                    self.node.journal_refused(index);
                }
                Err(AppendError::Fatal(error)) => {
                    let reason = format!("{}: journal: {error}", store.dir().display());
                    return self.exit(Exit::Failed(reason));
                }
            }
        }
        if wrote {
            let sum = |count: fn(&Store<D>) -> u64| self.stores.iter().map(count).sum();
            let stats = self.node.core_stats();
            stats
                .journal_bytes
                .set(sum(|store| store.counters().journal_bytes));
            stats
                .journal_records
                .set(sum(|store| store.counters().records));
        }
    }

    /// Hands out the slow work that is due.
    fn schedule(&mut self) {
        let now_ns = self.node.now().monotonic_ns;
        let at_once = self.durability == Durability::Disk || self.closing;
        let mut copying = self.stores.iter().any(Store::snapshot_under_way);
        for (index, store) in self.stores.iter_mut().enumerate() {
            let schedule = &mut self.schedules[index];
            if store.needs_sync() {
                let due_ns = schedule
                    .sync_due_ns
                    .get_or_insert(now_ns + SYNC_DELAY_NS_MAX);
                if at_once || now_ns >= *due_ns {
                    if let Some(job) = store.sync() {
                        schedule.sync_due_ns = None;
                        self.node.sync_started(index);
                        self.node.effects().push_back(Effect::Start(job));
                    }
                }
            }
            let shard = self.node.shard_mut(index);
            if !copying && store.snapshot_due() && now_ns >= schedule.snapshot_retry_ns {
                copying = store.snapshot_begin(shard);
            }
            if let Some(job) = store.snapshot_step(shard) {
                self.node.effects().push_back(Effect::Start(job));
            }
        }
    }

    /// Of a stop: when the last client is gone, snapshots; when those are done, the end.
    fn close_down(&mut self) {
        let Some(deadline_ns) = self.stop_deadline_ns else {
            return;
        };
        if self.node.is_quiet() && !self.closing {
            self.closing = true;
            for (index, store) in self.stores.iter_mut().enumerate() {
                store.snapshot_begin(self.node.shard_mut(index));
            }
        }
        let busy = |store: &Store<D>| {
            store.snapshot_under_way() || store.is_syncing() || store.needs_sync()
        };
        let done = self.closing && !self.stores.iter().any(busy);
        if done || self.node.now().monotonic_ns >= deadline_ns {
            self.exit(Exit::Stopped);
        }
    }

    fn exit(&mut self, exit: Exit) {
        if !self.exited {
            self.exited = true;
            self.node.effects().push_back(Effect::Exit(exit));
        }
    }
}

impl<D: Disk> Machine for Host<D> {
    type Job = Job<D>;

    fn tick_begin(&mut self, now: Now) {
        self.node.tick_begin(now);
    }

    fn opened(&mut self, peer: Peer) -> Result<ConnectionId, &'static [u8]> {
        self.node.opened(peer)
    }

    fn connect_failed(&mut self, member: usize) {
        self.node.connect_failed(member);
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

    fn job_done(&mut self, done: Done<D>) {
        let index = done.shard() as usize / self.cores;
        let schedule = &mut self.schedules[index];
        let now = self.node.now();
        let stats = self.node.core_stats();
        match &done {
            Done::Synced { .. } => stats.journal_syncs.add(1),
            Done::SnapshotDone { .. } => {
                stats.snapshots.add(1);
                schedule.snapshot_time_us = now.realtime_us;
            }
            Done::SnapshotFailed { .. } => {
                schedule.snapshot_retry_ns = now.monotonic_ns + SNAPSHOT_RETRY_NS;
            }
            Done::SyncFailed { .. } | Done::SnapshotSlice { .. } | Done::Acquired { .. } => {}
        }
        let oldest = self
            .schedules
            .iter()
            .map(|schedule| schedule.snapshot_time_us)
            .min();
        stats.snapshot_time_us.set(oldest.unwrap_or(0));
        let synced = matches!(done, Done::Synced { .. });
        let store = &mut self.stores[index];
        if let Err(error) = store.done(self.node.shard_mut(index), done) {
            let reason = format!(
                "{}: fdatasync: {error}; what it covered may be lost",
                store.dir().display()
            );
            return self.exit(Exit::Failed(reason));
        }
        if synced {
            self.node.synced(index);
        }
    }

    fn stop(&mut self) {
        self.stop_deadline_ns
            .get_or_insert(self.node.now().monotonic_ns + STOP_SNAPSHOT_NS_MAX);
        self.node.stop();
    }

    fn tick_end(&mut self) {
        if self.exited {
            return; // Nothing is acknowledged after a failure.
        }
        self.commit();
        if self.exited {
            return;
        }
        self.node.release((self.clock)());
        self.close_down();
        self.schedule();
    }

    fn next_effect(&mut self) -> Option<Effect<Job<D>>> {
        self.node.effects().pop_front()
    }

    fn output(&self, id: ConnectionId) -> &[u8] {
        self.node.output(id)
    }

    fn deadline_ns(&self) -> Option<u64> {
        // While a sync is under way, the next one waits for it, not for a time.
        let idle = self
            .stores
            .iter()
            .zip(&self.schedules)
            .filter(|(store, _)| !store.is_syncing());
        let syncs = idle.filter_map(|(_, schedule)| schedule.sync_due_ns);
        // Nor does the next snapshot, while one is made.
        let copying = self.stores.iter().any(Store::snapshot_under_way);
        let due = self
            .stores
            .iter()
            .zip(&self.schedules)
            .filter(|(store, _)| !copying && store.snapshot_due());
        let retries = due.map(|(_, schedule)| schedule.snapshot_retry_ns);
        syncs
            .chain(retries)
            .chain(self.node.deadline_ns())
            .chain(self.stop_deadline_ns)
            .min()
    }

    fn ready(&self) -> bool {
        self.node.ready()
    }
}
