//! Where an engine keeps the journals: what a core does with the events of its [`Replica`].
//!
//! | | a shard of ours | a copy of another's (a standby) |
//! |---|---|---|
//! | where it is | in the node | with its files |
//! | a tick's batch | is gathered, and sent once nothing of the shard is under way | – |
//! | a record of the log | what we have sent: it is written into the local journal, and its replies leave | is applied, and written into the local journal |
//! | owned | – | goes into the node |
//! | lost | comes back from the node, and is read from its files again, which have nothing that the log has not | – |
//!
//! So the local journal is a copy of what the log has of the shard, byte for byte, wherever it is. What else the files are for:
//! [`super::archives`].

use std::collections::VecDeque;
use std::convert::Infallible;

use super::archives::{place, Archives};
use super::carrier::Carrier;
use super::{with_jobs, Away, OwnedShard, Runtime, Work};
use crate::limits::{BATCH_BYTES_MAX, COMMAND_NS_MAX, DIGEST_NS, ENGINE_STOP_NS};
use crate::machine::engine::{Answer, EngineEvent, Sequence};
use crate::machine::{Effect, Exit, Target};
use crate::node::{Node, NotTaken};
use crate::replicate::record::{self, Content};
use crate::replicate::{Digest, Event, Place, Replica, Settings};
use crate::shard::{Acquired, AppendError, Disk, LogPosition, RecoveryError};
use crate::system::with_limit;
use probe::probe;

/// What a core has, where an engine keeps the journals.
pub(super) struct Replication {
    pub(super) replica: Replica,
    /// `CLOCK_BOOTTIME`, nanoseconds: a lease runs out while the machine sleeps, too.
    clock: fn() -> u64,
    /// How far that is ahead of the tick's time.
    ahead_ns: u64,
    /// By shard.
    batches: Vec<Batches>,
    /// Shards that were lost in this tick.
    lost: VecDeque<u32>,
    pub(super) carrier: Carrier,
    /// No other process is this member, as far as it seemed once.
    is_somebody: bool,
    /// As the process was told of it last.
    lease_lasted: bool,
    /// Of a stop: when everything was to be given away. Monotonic.
    stopped_ns: Option<u64>,
    pub(super) archives: Archives,
}

/// What of a shard of ours is not in the log.
#[derive(Default)]
struct Batches {
    /// The next batch.
    gathered: Vec<u8>,
    records: u64,
    /// Sent: how many records, and when. Monotonic.
    under_way: Option<(u64, u64)>,
    /// Not before that a digest is sent behind one. Monotonic.
    digest_ns: u64,
    /// With which account it begins.
    digest_from: usize,
}

impl Batches {
    /// Adds a tick's batch, if there is room, and the engine answers.
    fn gather(&mut self, batch: &[u8], records: u64, now_ns: u64) -> bool {
        let is_stuck = self
            .under_way
            .is_some_and(|(_, since_ns)| now_ns >= since_ns + COMMAND_NS_MAX);
        if is_stuck || self.gathered.len() + batch.len() > BATCH_BYTES_MAX {
            return false;
        }
        self.gathered.extend_from_slice(batch);
        self.records += records;
        true
    }

    fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.under_way.is_none()
    }
}

impl Replication {
    pub(super) fn new(settings: Settings, places: &[Place], clock: fn() -> u64) -> Replication {
        let shards = settings.candidates.len();
        Replication {
            carrier: Carrier::new(settings.member, settings.process),
            replica: Replica::new(settings, places),
            clock,
            ahead_ns: 0,
            batches: (0..shards).map(|_| Batches::default()).collect(),
            lost: VecDeque::new(),
            is_somebody: false,
            lease_lasted: false,
            stopped_ns: None,
            archives: Archives::default(),
        }
    }

    /// Where a shard that is here is, in its journal, which has so many records, and in the log.
    pub(super) fn place(&mut self, shard: usize, records: u64) -> LogPosition {
        let place = self.replica.place(shard as u32).to_bytes();
        LogPosition { records, place }
    }

    /// A tick begins at this monotonic time.
    pub(super) fn tick_begin(&mut self, node: &mut Node) {
        let now_ns = node.now().monotonic_ns;
        let lease_ns = (self.clock)();
        self.ahead_ns = lease_ns.saturating_sub(now_ns);
        self.is_somebody |= self.replica.is_somebody(lease_ns);
        self.carrier.tick_begin(node, now_ns);
    }

    /// Whether what our shards say may be told.
    pub(super) fn lease_lasts(&self) -> bool {
        self.replica.may_read((self.clock)())
    }

    pub(super) fn engine_says(&mut self, node: &mut Node, event: EngineEvent) {
        let now_ns = (self.clock)();
        match event {
            EngineEvent::Answered(id, answer) => {
                if let (Answer::Inspected(inspection), Some((engine, core))) =
                    (&answer, node.engine_stats())
                {
                    engine.core(core).log_last.set(inspection.last);
                    engine.looked(node.now().monotonic_ns);
                }
                self.replica.answered(id, &answer, now_ns);
            }
            EngineEvent::LogDelivered {
                shard,
                sequence,
                record,
            } => self.replica.log_delivered(shard, sequence, record, now_ns),
            EngineEvent::LeaseDelivered {
                member,
                sequence,
                record,
            } => self
                .replica
                .lease_delivered(member, sequence, &record, now_ns),
            // Else it is for who holds our lease, if anybody does.
            EngineEvent::Message(message) if self.is_somebody => {
                self.carrier.arrived(node, &message);
            }
            EngineEvent::Message(_) => {}
            EngineEvent::Connected(connected) => {
                if let Some((engine, core)) = node.engine_stats() {
                    engine.core(core).connected.set(connected.into());
                }
            }
        }
    }

    /// What the driver is to do next.
    pub(super) fn next_effect<Job>(&mut self) -> Option<Effect<Job>> {
        let request = self.replica.next_request();
        request
            .or_else(|| self.carrier.next_message())
            .map(|request| Effect::Ask(Box::new(request)))
    }

    /// Not after the time at which something is due. Monotonic; `u64::MAX`: nothing is.
    pub(super) fn wake_ns(&self) -> u64 {
        let wake_ns = self.replica.wake_ns().saturating_sub(self.ahead_ns);
        let stop_ns = self.stopped_ns.unwrap_or(u64::MAX);
        wake_ns.min(self.carrier.wake_ns()).min(stop_ns)
    }

    /// Sends what is gathered, shard by shard, where nothing is under way; gives away what is to go to another.
    fn send(&mut self, node: &mut Node, ours: impl Iterator<Item = usize>) {
        let now_ns = node.now().monotonic_ns;
        for number in ours {
            let (batches, shard) = (&mut self.batches[number], number as u32);
            if !batches.gathered.is_empty() && self.replica.may_append(shard) {
                let records = std::mem::take(&mut batches.records);
                batches.under_way = Some((records, now_ns));
                node.safety_begun(number);
                let gathered = std::mem::take(&mut batches.gathered);
                probe!(galo, append, number, records, gathered.len());
                self.replica.append(shard, gathered);
                // Our copy is what it will be behind this batch.
                if now_ns >= batches.digest_ns {
                    let from = batches.digest_from;
                    let copy = node.shard_mut(number);
                    let (checksum, next) = copy.digest(from);
                    (batches.digest_ns, batches.digest_from) = (now_ns + DIGEST_NS, next);
                    let digest = Digest {
                        journal: copy.sequence(),
                        from: from as u64,
                        checksum,
                    };
                    self.replica.digest(shard, digest);
                }
            } else if batches.is_empty() && self.replica.owns(shard) {
                if let Some(to) = node.successor(number) {
                    self.replica.hand_over(shard, to as u32);
                }
            }
        }
    }

    /// Tells the process how it is with the engine at the end of a tick.
    fn tell(&mut self, node: &mut Node) {
        node.set_behind(!self.replica.has_caught_up());
        let Some((engine, core)) = node.engine_stats() else {
            return;
        };
        let (core, now_ns) = (engine.core(core), node.now().monotonic_ns);
        let until_ns = self.replica.lease_until_ns();
        let until_ns = until_ns.saturating_sub(self.ahead_ns);
        core.lease_until_ns.set(until_ns);
        core.log_seen.set(self.replica.log_seen());
        let sent_ns = self.batches.iter().filter_map(|it| Some(it.under_way?.1));
        core.under_way_ns.set(sent_ns.min().unwrap_or(0));
        let lasts = now_ns < until_ns;
        if std::mem::replace(&mut self.lease_lasted, lasts) == lasts {
            return;
        }
        // Of a stop that is no news.
        if engine.lease_changed(lasts) && self.stopped_ns.is_none() {
            match lasts {
                true => log::info!("the engine has renewed this node's lease: reads are answered"),
                false => log::warn!("this node's lease has ended: reads wait, then are refused"),
            }
        }
    }

    /// Of a stop: gives everything away. Whether that is done, or its time is over.
    fn stop(&mut self, now_ns: u64) -> bool {
        if self.stopped_ns.is_none() {
            self.stopped_ns = Some(now_ns + ENGINE_STOP_NS);
            self.replica.stop();
        }
        let is_over = self.stopped_ns.is_some_and(|at_ns| now_ns >= at_ns);
        if self.replica.is_stopped() || is_over {
            self.stopped_ns = Some(u64::MAX);
            return true;
        }
        false
    }
}

impl<D: Disk> Runtime<D> {
    /// Whether an effect of the node was for the carrier of its links, which has dealt with it.
    fn carries(&mut self, effect: &Effect<Infallible>) -> bool {
        let Some(replication) = &mut self.replication else {
            return false;
        };
        let (carrier, node) = (&mut replication.carrier, &self.node);
        match *effect {
            Effect::Send(id) if carrier.has(id) => carrier.send(id, node.output(id)),
            Effect::Close(id) if carrier.has(id) => carrier.close(id),
            // Messages that are on their way come all the same.
            Effect::Pause(id) | Effect::Resume(id) | Effect::ShutdownWrite(id) => {
                return carrier.has(id);
            }
            Effect::Connect(Target::Member(member)) => {
                let is_alive = replication.replica.is_alive(member as u32);
                carrier.connect(member, is_alive && replication.is_somebody);
            }
            _ => return false,
        }
        true
    }

    /// What the driver is to do next: what the carrier of the node's links does not deal with.
    #[inline(never)]
    pub(super) fn next_effect_with_engine(&mut self) -> Option<Effect<Work<D>>> {
        while let Some(effect) = self.node.next_effect() {
            if !self.carries(&effect) {
                return Some(with_jobs(effect));
            }
        }
        let effect = self.effects.pop_front();
        effect.or_else(|| self.replication.as_mut()?.next_effect())
    }

    /// Of a stop: whether everything that is ours is given away.
    pub(super) fn has_given_away(&mut self) -> bool {
        let now_ns = self.node.now().monotonic_ns;
        let replication = self.replication.as_mut();
        replication.is_none_or(|it| it.stop(now_ns))
    }

    /// Takes up the batches of the tick's own shards: they are sent, or wait until the one under way is in the log.
    pub(super) fn gather(&mut self) {
        let Some(replication) = &mut self.replication else {
            return;
        };
        let now_ns = self.node.now().monotonic_ns;
        let ours = self.owned.iter().filter(|it| it.standby.is_none());
        let ours: Vec<usize> = ours.map(|it| it.shard).collect();
        for number in ours.iter().copied() {
            if !self.node.has_batch(number) {
                continue;
            }
            let shard = self.node.shard_mut(number);
            let (records, bytes) = (shard.batch_records(), shard.batch().len() as u64);
            let batches = &mut replication.batches[number];
            match batches.gather(shard.batch(), records, now_ns) {
                true => self.node.journal_written(number, records, bytes),
                false => self.node.journal_refused(number, NotTaken::NoEngine),
            }
        }
        replication.send(&mut self.node, ours.into_iter());
    }

    /// What the engine has said means this.
    pub(super) fn follow(&mut self) {
        let Some(replication) = &mut self.replication else {
            return;
        };
        replication.replica.advance((replication.clock)());
        while let Some(event) = self.next_event() {
            match event {
                Event::Record {
                    shard,
                    sequence,
                    record,
                    ours,
                } => match record::content(&record) {
                    Content::Batch(batch) => self.batch_in_log(shard as usize, batch, ours),
                    Content::Digest(digest) => self.compare(shard, sequence, &digest),
                    Content::Nothing if ours => self.marked(shard),
                    Content::Nothing => {}
                },
                Event::Owned(shard) => self.owned(shard as usize),
                Event::Lost(shard) => {
                    let replication = self.replication.as_mut().expect("it has said so");
                    replication.lost.push_back(shard);
                }
                Event::Behind(shard) => self.behind(shard as usize),
                Event::Kept(shard, is_kept) => self.kept(shard, is_kept),
                Event::Fetched(shard, is_there) => self.fetched(shard as usize, is_there),
                Event::Twin => {
                    let name = self.node.name();
                    let reason =
                        format!("node {name} runs already: another process renews its lease");
                    return self.exit(Exit::Failed(reason));
                }
                Event::Alarm(alarm) => {
                    log::error!("{alarm}");
                    if let Some((engine, core)) = self.node.engine_stats() {
                        engine.core(core).alarms.add(1);
                        engine.alarmed(alarm.to_string(), self.node.now().monotonic_ns);
                    }
                }
            }
        }
    }

    /// Of a tick that is over.
    pub(super) fn tell_of_engine(&mut self) {
        if let Some(replication) = &mut self.replication {
            replication.tell(&mut self.node);
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        self.replication.as_mut()?.replica.next_event()
    }

    pub(super) fn here(&mut self, shard: usize) -> Option<&mut OwnedShard<D>> {
        let mut owned = self.owned.iter_mut();
        owned.find(|it| it.shard == shard && it.away == Away::No)
    }

    fn batch_in_log(&mut self, number: usize, batch: &[u8], ours: bool) {
        let Some(owned_shard) = self.here(number) else {
            return; // Not one that this core may own, or its copy is no good.
        };
        let (bytes, records) = match &mut owned_shard.standby {
            Some(copy) => match copy.apply_log(batch) {
                Ok(new) => new,
                Err(reason) => {
                    let dir = owned_shard.store.dir().display();
                    log::error!("{dir}: the engine's log does not fit: {reason}; shard {number} is not served here");
                    return self.give_up(number);
                }
            },
            None => {
                debug_assert!(ours);
                let batches = self.replication.as_mut().map(|it| &mut it.batches[number]);
                let under_way = batches.and_then(|it| it.under_way.take());
                let (records, sent_ns) = under_way.expect("we have sent it");
                if let Some((engine, core)) = self.node.engine_stats() {
                    let core = engine.core(core);
                    core.appends.add(1);
                    let took_ns = self.node.now().monotonic_ns - sent_ns;
                    core.append_ns.add(took_ns);
                }
                (batch, records)
            }
        };
        self.touched = true;
        let Some(owned_shard) = self.here(number) else {
            return;
        };
        if records > 0 {
            if let Err(error) = owned_shard.store.append_records(bytes, records) {
                let (AppendError::Full(error) | AppendError::Fatal(error)) = error;
                let dir = owned_shard.store.dir().display();
                let reason = format!("{dir}: journal: {}", with_limit(&error));
                return self.exit(Exit::Failed(reason));
            }
        }
        if ours {
            self.node.safe(number);
        }
    }

    /// An owner's copy was like that: whether one here is, if it has had as many records. (It had more if this is read again.)
    fn compare(&mut self, shard: u32, sequence: Sequence, digest: &Digest) {
        let Some(owned_shard) = self.here(shard as usize) else {
            return;
        };
        let Some(copy) = &owned_shard.standby else {
            return; // Ours goes on meanwhile.
        };
        if copy.sequence() != digest.journal {
            return;
        }
        let (checksum, _) = copy.digest(digest.from as usize);
        if let (true, Some(replication)) = (checksum != digest.checksum, &mut self.replication) {
            replication.replica.differs(shard, sequence);
        }
    }

    /// A copy cannot be used any more.
    pub(super) fn give_up(&mut self, number: usize) {
        if let Some(replication) = &mut self.replication {
            replication.replica.close(number as u32);
        }
        self.owned.retain(|it| it.shard != number);
    }

    fn owned(&mut self, number: usize) {
        if let Some(copy) = self.here(number).and_then(|it| it.standby.take()) {
            self.node.acquired(copy);
        }
    }

    /// Between ticks: nothing of the tick is left to be written or refused.
    pub(super) fn let_go_of_lost(&mut self) {
        while let Some(number) = self.next_lost() {
            let number = number as usize;
            if let Some(owned_shard) = self.owned.iter_mut().find(|it| it.shard == number) {
                owned_shard.standby = Some(self.node.lost(number));
                owned_shard.away = Away::Lost;
            }
        }
        if self.closing {
            return;
        }
        for at in (0..self.owned.len()).rev() {
            let owned_shard = &mut self.owned[at];
            let (true, Some(copy)) = (owned_shard.away != Away::No, &mut owned_shard.standby)
            else {
                continue;
            };
            owned_shard.store.snapshot_abandon(copy);
            let (store, shard) = (&owned_shard.store, owned_shard.shard as u32);
            let replication = self.replication.as_mut();
            let is_archived = replication.is_some_and(|it| it.archives.is_made_of(shard));
            if store.snapshot_under_way() || store.run_under_way() || is_archived {
                continue;
            }
            let directory = self.directory.clone();
            let job = match owned_shard.away {
                // Its files have nothing that the log has not.
                Away::Lost => Work::Acquire(directory, shard),
                Away::Fetched => Work::Restore(directory, shard),
                _ => {
                    self.fetch(at);
                    continue;
                }
            };
            self.owned.swap_remove(at);
            self.effects.push_back(Effect::Start(job));
        }
    }

    fn next_lost(&mut self) -> Option<u32> {
        let replication = self.replication.as_mut()?;
        let number = replication.lost.pop_front()?;
        replication.archives.lost(number);
        replication.batches[number as usize] = Batches::default();
        Some(number)
    }

    /// A shard that was lost has been read from its files again.
    pub(super) fn read_again(
        &mut self,
        number: usize,
        acquired: Result<Acquired<D>, RecoveryError>,
    ) {
        match acquired {
            Ok(Acquired::Ours(owned)) => {
                let place = place(&owned);
                let (owned_shard, copy) = self.open(*owned);
                self.owned.push(owned_shard.standby(copy));
                if let Some(replication) = &mut self.replication {
                    let shard = number as u32;
                    match (replication.archives.is_restored(shard), place) {
                        (false, _) => replication.replica.resume(shard),
                        (true, Some(place)) => replication.replica.restored(shard, place),
                        (true, None) => unreachable!("an archive says where it is"),
                    }
                }
            }
            Ok(Acquired::Held(who)) => {
                log::error!("shard {number} is not served here: {who} has its lock");
                self.give_up(number);
            }
            Err(error) => {
                log::error!("shard {number} is not served here: {error}");
                self.give_up(number);
            }
        }
    }
}
