//! What gets from members to the engine and back: late, or not at all.

use galo::limits::{MILLISECOND_NS, SECOND_NS};
use galo::machine::engine::{Answer, Request, Sequence, Subject};
use galo::replicate::record::{Kind, Record};

use super::engine::Done;
use super::member::Arrival;
use super::world::{What, World, LATE_COPY};
use super::writes::place;
use crate::step;
use crate::trace::{Checked, Who};

/// After this time a request has no answer, by its sender's clock.
const ANSWER_NS_MAX: u64 = 700 * MILLISECOND_NS;
/// A member that is behind is looked after so often.
const PUMP_NS: u64 = 50 * MILLISECOND_NS;
/// Appends of which late copies may come.
const REFUSED_MAX: usize = 20;

impl World {
    fn delay_ns(&mut self) -> u64 {
        match self.random.percent(self.plan.late) {
            true => self.random.skewed(3 * SECOND_NS),
            false => self.random.between(200_000, 3 * MILLISECOND_NS),
        }
    }

    fn is_lost(&mut self) -> bool {
        self.random.percent(self.plan.loss)
    }

    pub fn send(&mut self, member: usize, request: Request) {
        step!(self.trace, Who::Node(member), "{}", shown(&request));
        let it = &mut self.members[member];
        let life = it.life;
        if let Some(id) = request.id() {
            it.open.insert(id);
            let shown_ns = it.clock.shows(self.now_ns) + ANSWER_NS_MAX;
            let at_ns = it.clock.when(shown_ns);
            self.at(at_ns, What::Unanswered(member, life, id));
        }
        if let Request::Keep { id, kept } = &request {
            let it = &mut self.members[member];
            let file = it.copies[kept.shard as usize].to_file();
            it.files.insert(*id, file);
        }
        let delay_ns = self.delay_ns();
        // The client of the engine asks for its streams until it has them.
        if let Request::Follow { after } = request {
            let it = &mut self.members[member];
            it.delivered = Sequence::MAX; // Nothing more until it gets there.
            it.follow = after;
            it.inbox.retain(|it| !matches!(it, Arrival::Log(..)));
        }
        let is_lost = self.is_lost() || self.now_ns < self.members[member].mute_until_ns;
        if !is_lost || matches!(request, Request::Follow { .. }) {
            self.at(self.now_ns + delay_ns, What::Asked(member, life, request));
        }
    }

    pub fn asked(&mut self, member: usize, life: u64, request: Request) -> Checked {
        if let Request::Follow { after } = request {
            let it = &mut self.members[member];
            if it.life == life && it.follow == after {
                it.delivered = after;
            }
            return Ok(());
        }
        if self.now_ns < self.engine.away_until_ns {
            return Ok(());
        }
        if matches!(request, Request::StepDown) && self.random.percent(70) {
            self.engine.heal();
        }
        let mut done = self.engine.ask(&request);
        match &request {
            Request::Keep { id, kept } => {
                let is_its = self.members[member].life == life;
                let file = self.members[member].files.remove(id).filter(|_| is_its);
                if let Some(file) = file {
                    self.coverage.kept += 1;
                    self.engine.keep(kept.shard, kept.epoch, file);
                    done.answer = Some(Answer::Kept);
                }
            }
            Request::Fetch { shard, .. } => {
                if let Some(file) = self.engine.newest_file(*shard) {
                    let fetched = &mut self.members[member].fetched;
                    fetched.insert(*shard, file.clone());
                }
            }
            _ => {}
        }
        self.count(&request, &done);
        self.note_refused(member, life, &request, &done);
        if let Some((subject, sequence)) = done.appended {
            step!(self.trace, Who::World, "{subject:?} {sequence}");
            if let (Subject::Log(shard), Request::Append { record, .. }) = (subject, &request) {
                self.oracle.appended(shard, record)?;
            }
            for member in 0..self.members.len() {
                let (life, delay_ns) = (self.members[member].life, self.delay_ns());
                self.at(self.now_ns + delay_ns, What::Pump(member, life));
            }
        }
        let (Some(id), Some(answer)) = (request.id(), done.answer) else {
            return Ok(());
        };
        let delay_ns = self.delay_ns();
        if !self.is_lost() {
            let answered = What::Answered(member, life, id, answer);
            self.at(self.now_ns + delay_ns, answered);
        }
        Ok(())
    }

    /// A copy of an append that was refused may get there once more, much later ([`LATE_COPY`]).
    fn note_refused(&mut self, member: usize, life: u64, request: &Request, done: &Done) {
        let is_log = matches!(
            request,
            Request::Append {
                subject: Subject::Log(_),
                ..
            }
        );
        let is_refused = matches!(done.answer, Some(Answer::Refused(_)));
        if is_log && is_refused && life != LATE_COPY {
            self.refused.push_back((member, request.clone()));
            if self.refused.len() > REFUSED_MAX {
                self.refused.pop_front();
            }
        }
    }

    fn count(&mut self, request: &Request, done: &Done) {
        let Request::Append {
            subject, record, ..
        } = request
        else {
            return;
        };
        let kind = Record::read(*subject, record).map(|it| it.kind);
        let is_revoked = done.appended.is_some() && kind == Some(Kind::Revoked);
        self.coverage.revoked += u64::from(is_revoked);
        let is_there = done.appended.is_none() && self.engine.has_last(*subject, record);
        self.coverage.answers_lost += u64::from(is_there);
    }

    /// What is new of the streams gets to a member.
    pub fn pump(&mut self, member: usize, life: u64) -> Checked {
        let now_ns = self.now_ns;
        let it = &self.members[member];
        if it.life != life {
            return Ok(());
        }
        let is_deaf = now_ns < it.deaf_until_ns.max(it.stalled_until_ns);
        if it.replica.is_none() || is_deaf || now_ns < self.engine.away_until_ns {
            self.at(now_ns + PUMP_NS, What::Pump(member, life));
            return Ok(());
        }
        let mut arrivals = Vec::new();
        for (owner, (sequence, record)) in &self.engine.leases {
            if self.members[member].leases[*owner as usize] < *sequence {
                self.members[member].leases[*owner as usize] = *sequence;
                arrivals.push(Arrival::Lease(*owner, *sequence, record.clone()));
            }
        }
        let it = &mut self.members[member];
        let delivered = it.delivered;
        for (at, entry) in self.engine.records().filter(|(at, _)| *at > delivered) {
            it.delivered = at;
            if !entry.missing {
                arrivals.push(Arrival::Log(entry.number, at, entry.record.clone()));
            }
        }
        for arrival in arrivals {
            self.arrived(member, life, arrival)?;
        }
        Ok(())
    }

    pub fn arrived(&mut self, member: usize, life: u64, arrival: Arrival) -> Checked {
        let it = &mut self.members[member];
        if it.life != life || it.replica.is_none() {
            return Ok(());
        }
        if let Arrival::Answer(id, answer) = &arrival {
            if !it.open.remove(id) {
                return Ok(()); // It came too late, or in time.
            }
            self.coverage.unanswered += u64::from(*answer == Answer::Unknown);
        }
        if matches!(arrival, Arrival::Log(..)) && it.delivered == Sequence::MAX {
            return Ok(()); // It has asked for others meanwhile.
        }
        if self.now_ns < it.paused_until_ns {
            it.inbox.push_back(arrival);
            return Ok(());
        }
        self.take(member, arrival)
    }

    pub fn take(&mut self, member: usize, arrival: Arrival) -> Checked {
        self.with(member, |replica, now_ns| match arrival {
            Arrival::Answer(id, answer) => replica.answered(id, &answer, now_ns),
            Arrival::Log(shard, sequence, record) => {
                replica.log_delivered(shard, sequence, record, now_ns);
            }
            Arrival::Lease(owner, sequence, record) => {
                replica.lease_delivered(owner, sequence, &record, now_ns);
            }
        })
    }
}

/// A request without the bytes of its record.
fn shown(request: &Request) -> String {
    match request {
        Request::Append {
            id,
            subject,
            expected,
            record,
        } => {
            let record = Record::read(*subject, record).expect("replicas write records");
            format!("{id}: append {} to {subject:?}", place(*expected, &record))
        }
        other => format!("{other:?}"),
    }
}
