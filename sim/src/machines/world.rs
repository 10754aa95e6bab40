//! What happens when, and what members do about it. Time here is the true one; members see their clocks.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use galo::limits::SECOND_NS;
use galo::machine::engine::{Answer, Request, RequestId, Sequence, Subject};
use galo::replicate::record::{Kind, Record};
use galo::replicate::{Alarm, Event, Place, Position, Replica, Settings};
use galo_testkit::Random;

use super::engine::Engine;
use super::member::{Arrival, Clock, Member, Read};
use super::oracle::Oracle;
use super::plan::Plan;
use super::sabotage::Sabotage;
use super::writes::{place, writes};
use super::{Coverage, CLUSTER};
use crate::trace::{Checked, Trace, Who};
use crate::{event, require, step, violation};

/// The life of requests whose answer nobody waits for.
pub const LATE_COPY: u64 = u64::MAX;

pub enum What {
    /// A request gets to the engine.
    Asked(usize, u64, Request),
    /// An answer gets to a member.
    Answered(usize, u64, RequestId, Answer),
    /// It is waited for no longer.
    Unanswered(usize, u64, RequestId),
    /// A member's stream goes on.
    Pump(usize, u64),
    /// A member has something to do, it said.
    Wake(usize, u64),
    Start(usize, u64),
    Resume(usize),
    /// A client does something.
    Act,
    Fault,
    /// A sound server leads again.
    Heal,
}

pub struct World {
    pub plan: Plan,
    pub random: Random,
    pub now_ns: u64,
    queue: BTreeMap<(u64, u64), What>,
    queued: u64,
    pub engine: Engine,
    pub members: Vec<Member>,
    pub oracle: Oracle,
    pub trace: Trace,
    pub coverage: Coverage,
    sabotage: Option<Sabotage>,
    last_write: u64,
    /// Appends to the log that were refused: copies of them may be under way yet.
    pub refused: VecDeque<(usize, Request)>,
    /// Nothing goes wrong any more.
    healed: bool,
}

impl World {
    pub fn new(plan: Plan, mut random: Random, trace: Trace, sabotage: Option<Sabotage>) -> World {
        let members = plan.paces.iter().map(|permille| {
            let clock = Clock {
                begun_ns: random.below(1 << 50),
                permille: *permille,
            };
            Member::new(clock, plan.shards, plan.members)
        });
        World {
            members: members.collect(),
            oracle: Oracle::new(plan.shards),
            engine: Engine::new(plan.shards, sabotage),
            plan,
            random,
            now_ns: 0,
            queue: BTreeMap::new(),
            queued: 0,
            trace,
            coverage: Coverage::default(),
            sabotage,
            last_write: 0,
            refused: VecDeque::new(),
            healed: false,
        }
    }

    pub fn at(&mut self, at_ns: u64, what: What) {
        self.queued += 1;
        self.queue.insert((at_ns, self.queued), what);
    }

    pub fn begin(&mut self) -> Checked {
        for member in 0..self.members.len() {
            let after_ns = self.random.skewed(SECOND_NS);
            self.at(after_ns, What::Start(member, 0));
        }
        self.at(0, What::Act);
        if let Some(every_ns) = self.plan.fault_every_ns {
            let after_ns = self.random.between(0, every_ns);
            self.at(after_ns, What::Fault);
        }
        Ok(())
    }

    pub fn until(&mut self, until_ns: u64) -> Checked {
        while self.now_ns < until_ns {
            self.step()?;
        }
        Ok(())
    }

    /// The next thing happens.
    pub fn step(&mut self) -> Checked {
        let ((at_ns, _), what) = self.queue.pop_first().expect("clients go on for ever");
        self.now_ns = at_ns;
        self.trace.set_now(at_ns);
        match what {
            What::Asked(member, life, request) => self.asked(member, life, request),
            What::Answered(member, life, id, answer) => {
                if self.now_ns < self.members[member].deaf_until_ns {
                    return Ok(());
                }
                self.arrived(member, life, Arrival::Answer(id, answer))
            }
            What::Unanswered(member, life, id) => {
                self.arrived(member, life, Arrival::Answer(id, Answer::Unknown))
            }
            What::Pump(member, life) => self.pump(member, life),
            What::Wake(member, life) => {
                let it = &self.members[member];
                if it.life == life && it.wake_ns <= at_ns && it.paused_until_ns <= at_ns {
                    self.with(member, |_, _| ())?;
                }
                Ok(())
            }
            What::Start(member, life) => {
                let it = &self.members[member];
                match it.life == life && it.replica.is_none() {
                    true => self.start(member),
                    false => Ok(()),
                }
            }
            What::Resume(member) => self.resume(member),
            What::Act => {
                let after_ns = self.random.skewed(self.plan.act_every_ns);
                self.at(at_ns + after_ns, What::Act);
                self.act()
            }
            What::Fault if self.healed => Ok(()),
            What::Fault => {
                let every_ns = self.plan.fault_every_ns.expect("there are faults");
                let after_ns = self.random.between(1, every_ns);
                self.at(at_ns + after_ns, What::Fault);
                self.fault()
            }
            What::Heal => {
                self.engine.heal();
                Ok(())
            }
        }
    }

    // ---- Processes ----------------------------------------------------------------------

    fn start(&mut self, member: usize) -> Checked {
        let members = self.members.len() as u32;
        let order = |shard: usize| {
            let after = (0..members).map(|it| (shard as u32 + it) % members);
            after.collect()
        };
        let settings = Settings {
            cluster: CLUSTER,
            member: member as u32,
            members,
            process: self.random.next(),
            candidates: (0..self.plan.shards).map(order).collect(),
            log_bytes_max: self.plan.log_bytes_max,
        };
        let it = &mut self.members[member];
        let places = it.copies.iter().map(|copy| copy.position().into());
        let places: Vec<Place> = places.collect();
        it.replica = Some(Replica::new(settings, &places));
        it.leases.fill(0);
        it.delivered = Sequence::MAX; // Nothing before it is asked for.
        event!(self.trace, Who::Node(member), "starts");
        let life = it.life;
        self.at(self.now_ns, What::Pump(member, life));
        self.with(member, |_, _| ())
    }

    pub fn kill(&mut self, member: usize) {
        if self.members[member].replica.is_none() {
            return;
        }
        event!(self.trace, Who::Node(member), "is killed");
        self.coverage.kills += 1;
        self.gone(member);
        // The page cache may have got to the disk, or not.
        let lost = self.random.percent(30);
        for copy in &mut self.members[member].copies {
            let lost = match lost {
                true => self.random.skewed(40) as usize,
                false => 0,
            };
            copy.crash(lost);
        }
    }

    fn gone(&mut self, member: usize) {
        let it = &mut self.members[member];
        it.replica = None;
        it.life += 1;
        it.open.clear();
        it.inbox.clear();
        it.keeping = None;
        it.files.clear();
        it.fetched.clear();
        it.paused_until_ns = 0;
        let life = it.life;
        let after_ns = self.random.skewed(8 * SECOND_NS);
        self.at(self.now_ns + after_ns, What::Start(member, life));
    }

    pub fn stop(&mut self, member: usize) -> Checked {
        if self.members[member].replica.is_none() {
            return Ok(());
        }
        event!(self.trace, Who::Node(member), "is to stop");
        self.coverage.stops += 1;
        for copy in &mut self.members[member].copies {
            copy.reads.clear();
        }
        self.with(member, |replica, _| replica.stop())
    }

    fn resume(&mut self, member: usize) -> Checked {
        if self.now_ns < self.members[member].paused_until_ns {
            return Ok(());
        }
        while let Some(arrival) = self.members[member].inbox.pop_front() {
            self.take(member, arrival)?;
        }
        self.with(member, |_, _| ())
    }

    /// Nothing goes wrong any more, and everybody comes back.
    pub fn heal(&mut self) -> Checked {
        event!(self.trace, Who::World, "no more faults");
        self.healed = true;
        self.engine.heal();
        self.engine.away_until_ns = 0;
        (self.plan.loss, self.plan.late) = (0, 0);
        for member in 0..self.members.len() {
            let it = &mut self.members[member];
            (it.paused_until_ns, it.mute_until_ns) = (0, 0);
            (it.deaf_until_ns, it.stalled_until_ns) = (0, 0);
            match it.replica {
                Some(_) => self.resume(member)?,
                None => self.start(member)?,
            }
        }
        Ok(())
    }

    // ---- A member's tick -----------------------------------------------------------------

    /// A member does something, and what follows from it.
    pub fn with(&mut self, member: usize, act: impl FnOnce(&mut Replica, u64)) -> Checked {
        let now_ns = self.members[member].clock.shows(self.now_ns);
        let Some(mut replica) = self.members[member].replica.take() else {
            return Ok(());
        };
        act(&mut replica, now_ns);
        let result = self.tick(member, &mut replica, now_ns);
        if replica.is_stopped() {
            event!(self.trace, Who::Node(member), "has stopped");
            for copy in &mut self.members[member].copies {
                require!(copy.writes.len() == copy.safe, "a stop takes writes back");
            }
            self.gone(member);
            return result;
        }
        let wake_ns = match replica.wake_ns() {
            u64::MAX => u64::MAX,
            wake_ns => self.members[member].clock.when(wake_ns).max(self.now_ns),
        };
        let it = &mut self.members[member];
        it.replica = Some(replica);
        it.wake_ns = wake_ns;
        let life = it.life;
        if wake_ns != u64::MAX {
            self.at(wake_ns, What::Wake(member, life));
        }
        result
    }

    fn tick(&mut self, member: usize, replica: &mut Replica, now_ns: u64) -> Checked {
        loop {
            replica.advance(now_ns);
            while let Some(event) = replica.next_event() {
                self.event(member, &event, replica.may_read(now_ns))?;
                self.what_follows(member, replica, &event);
            }
            if let (None, Some(shard)) = (self.members[member].keeping, replica.next_to_keep()) {
                self.members[member].keeping = Some(shard);
                replica.mark(shard);
            }
            for shard in 0..self.plan.shards {
                self.send_batch(member, replica, shard)?;
                self.answer_reads(member, replica, shard, now_ns)?;
            }
            if replica.wake_ns() > now_ns {
                break;
            }
        }
        while let Some(request) = replica.next_request() {
            self.send(member, request);
        }
        Ok(())
    }

    /// What a member does about an event.
    fn what_follows(&mut self, member: usize, replica: &mut Replica, event: &Event) {
        let it = &mut self.members[member];
        let file = PathBuf::new;
        match event {
            Event::Lost(shard) => {
                if it.keeping == Some(*shard) {
                    it.keeping = None;
                }
                replica.resume(*shard);
            }
            Event::Record {
                shard,
                sequence,
                record,
                ours: true,
            } if it.keeping == Some(*shard) => {
                let record = Record::read(Subject::Log(*shard), record);
                if record.is_some_and(|record| record.kind == Kind::Mark) {
                    replica.keep(*shard, *sequence, file());
                }
            }
            Event::Kept(..) => it.keeping = None,
            Event::Behind(shard) | Event::Fetched(shard, false) => replica.fetch(*shard, file()),
            Event::Fetched(shard, true) => match it.fetched.remove(shard) {
                Some(fetched) => {
                    let copy = &mut it.copies[*shard as usize];
                    copy.restored(fetched);
                    replica.restored(*shard, copy.position().into());
                    self.coverage.restored += 1;
                }
                None => replica.fetch(*shard, file()),
            },
            _ => {}
        }
    }

    fn event(&mut self, member: usize, event: &Event, may_read: bool) -> Checked {
        match event {
            Event::Record {
                shard,
                sequence,
                record,
                ours,
            } => self.record(member, *shard as usize, *sequence, record, *ours)?,
            Event::Behind(shard) => {
                event!(
                    self.trace,
                    Who::Node(member),
                    "is behind with shard {shard}"
                );
            }
            Event::Kept(..) | Event::Fetched(..) => {}
            Event::Twin => violation!("member {member} runs once, and ends for another"),
            Event::Owned(shard) => {
                event!(self.trace, Who::Node(member), "owns shard {shard}");
                self.coverage.owned += 1;
                let floor = self.oracle.floor(*shard as usize);
                let copy = &self.members[member].copies[*shard as usize];
                // Without its lease it may have heard of this too late: the engine will tell it so.
                require!(
                    copy.safe >= floor || !may_read,
                    "member {member} owns shard {shard} with {} writes of {floor}",
                    copy.safe
                );
            }
            Event::Lost(shard) => {
                event!(self.trace, Who::Node(member), "has lost shard {shard}");
                self.coverage.lost += 1;
                let copy = &mut self.members[member].copies[*shard as usize];
                self.coverage.taken_back += (copy.writes.len() - copy.safe) as u64;
                if self.sabotage == Some(Sabotage::NotTakenBack) {
                    copy.safe = copy.writes.len();
                }
                copy.take_back();
            }
            Event::Alarm(alarm) => {
                event!(self.trace, Who::Node(member), "{alarm:?}");
                self.coverage.alarms += 1;
                let expected = matches!(
                    alarm,
                    Alarm::Holes { .. }
                        | Alarm::Gap { .. }
                        | Alarm::LogBehind { .. }
                        | Alarm::StreamBehind { .. }
                        | Alarm::Repeated { .. }
                        | Alarm::NotTheOwners { .. }
                );
                require!(
                    expected && self.coverage.holes > 0,
                    "member {member} finds what is not there: {alarm:?}"
                );
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        member: usize,
        shard: usize,
        sequence: Sequence,
        bytes: &[u8],
        ours: bool,
    ) -> Checked {
        let record = Record::read(Subject::Log(shard as u32), bytes);
        let record = record.expect("what it accepts can be read");
        let copy = &mut self.members[member].copies[shard];
        let mut confirmed = Vec::new();
        if let Kind::Batch(batch) = &record.kind {
            if ours {
                confirmed = writes(batch).collect();
                copy.safe += confirmed.len();
            } else {
                require!(
                    copy.safe == copy.writes.len(),
                    "member {member} has another's record of shard {shard} and writes of its own"
                );
                copy.writes.extend(writes(batch));
                (copy.safe, copy.sent) = (copy.writes.len(), copy.writes.len());
            }
        }
        let position = Position::behind(sequence, &record);
        step!(
            self.trace,
            Who::Node(member),
            "has {} of shard {shard}, ours: {ours}",
            place(sequence, &record)
        );
        copy.records.push((position, copy.safe));
        self.oracle
            .copied(member, shard, &copy.writes[..copy.safe])?;
        if self.sabotage != Some(Sabotage::ConfirmedWhenSent) {
            for write in confirmed {
                self.confirmed(shard, write)?;
            }
        }
        Ok(())
    }

    fn confirmed(&mut self, shard: usize, write: u64) -> Checked {
        self.coverage.confirmed += 1;
        self.oracle.confirmed(shard, write)
    }

    fn send_batch(&mut self, member: usize, replica: &mut Replica, shard: usize) -> Checked {
        let copy = &mut self.members[member].copies[shard];
        if copy.sent == copy.writes.len() || !replica.may_append(shard as u32) {
            return Ok(());
        }
        let batch = copy.writes[copy.sent..].to_vec();
        copy.sent = copy.writes.len();
        let bytes = batch.iter().flat_map(|write| write.to_le_bytes());
        replica.append(shard as u32, bytes.collect());
        if self.sabotage == Some(Sabotage::ConfirmedWhenSent) {
            for write in batch {
                self.confirmed(shard, write)?;
            }
        }
        Ok(())
    }

    fn answer_reads(
        &mut self,
        member: usize,
        replica: &Replica,
        shard: usize,
        now_ns: u64,
    ) -> Checked {
        if self.members[member].copies[shard].reads.is_empty() || !replica.owns(shard as u32) {
            return Ok(());
        }
        if !replica.may_read(now_ns) && self.sabotage != Some(Sabotage::ReadWithoutLease) {
            self.coverage.read_late += 1;
            return Ok(());
        }
        let copy = &mut self.members[member].copies[shard];
        let hasty = self.sabotage == Some(Sabotage::ReadUnacknowledged);
        let reads = std::mem::take(&mut copy.reads);
        for read in reads {
            let copy = &mut self.members[member].copies[shard];
            if read.seen > copy.safe && !hasty {
                copy.reads.push(read);
                continue;
            }
            self.coverage.read += 1;
            let seen = &self.members[member].copies[shard].writes[..read.seen];
            self.oracle.read(shard, read.floor, seen)?;
        }
        Ok(())
    }

    // ---- Clients ---------------------------------------------------------------------------

    /// A client writes, or reads, if it finds an owner. Most writers know the newest one; so a former owner may be
    /// read that has nothing under way.
    fn act(&mut self) -> Checked {
        let mut member = self.random.index(self.members.len());
        let shard = self.random.index(self.plan.shards);
        if !self.random.percent(self.plan.writes) {
            return self.read(member, shard);
        }
        if self.random.percent(95) {
            let members = 0..self.members.len();
            let serving = members.filter(|member| self.serves(*member, shard));
            let epoch = |member: &usize| {
                let replica = self.members[*member].replica.as_ref();
                replica.map(|replica| replica.position(shard as u32).epoch)
            };
            member = serving.max_by_key(epoch).unwrap_or(member);
        }
        self.write(member, shard)
    }

    fn serves(&self, member: usize, shard: usize) -> bool {
        let it = &self.members[member];
        let owns = |replica: &Replica| replica.owns(shard as u32);
        it.replica.as_ref().is_some_and(owns) && it.paused_until_ns <= self.now_ns
    }

    pub fn write(&mut self, member: usize, shard: usize) -> Checked {
        if !self.serves(member, shard) {
            return Ok(());
        }
        self.last_write += 1;
        let write = self.last_write;
        self.members[member].copies[shard].writes.push(write);
        self.with(member, |_, _| ())
    }

    fn read(&mut self, member: usize, shard: usize) -> Checked {
        if !self.serves(member, shard) {
            return Ok(());
        }
        let floor = self.oracle.floor(shard);
        let copy = &mut self.members[member].copies[shard];
        let seen = copy.writes.len();
        copy.reads.push(Read { seen, floor });
        self.with(member, |_, _| ())
    }

    // ---- At the end --------------------------------------------------------------------------

    /// The member that serves a shard.
    pub fn owner(&self, shard: usize) -> Option<usize> {
        (0..self.members.len()).find(|member| self.serves(*member, shard))
    }

    /// What is not as it should be in a world without faults.
    pub fn missing(&self) -> Option<String> {
        for shard in 0..self.plan.shards {
            let members = 0..self.members.len();
            let owners = members.filter(|member| self.serves(*member, shard));
            match owners.count() {
                1 => {}
                count => return Some(format!("shard {shard} has {count} owners")),
            }
        }
        let here = |member: &Member| member.replica.is_some();
        (!self.members.iter().all(here)).then(|| "somebody is away".to_owned())
    }

    /// Each shard is written and read once more.
    pub fn ask_all(&mut self) -> Checked {
        self.plan.act_every_ns = SECOND_NS;
        for shard in 0..self.plan.shards {
            let Some(owner) = self.owner(shard) else {
                violation!("shard {shard} has no owner");
            };
            self.write(owner, shard)?;
            self.read(owner, shard)?;
        }
        Ok(())
    }

    /// What is not answered, or not copied everywhere.
    pub fn unanswered(&self) -> Option<String> {
        for (number, member) in self.members.iter().enumerate() {
            for (shard, copy) in member.copies.iter().enumerate() {
                let is_whole = copy.writes == self.oracle.writes(shard);
                if !is_whole || copy.safe != copy.writes.len() || !copy.reads.is_empty() {
                    return Some(format!("member {number}'s copy of shard {shard} is behind"));
                }
            }
        }
        None
    }
}
