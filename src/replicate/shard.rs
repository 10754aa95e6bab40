//! A shard's log as one member has it: how far its copy has come, who owns it, and what we do about that.

use super::outbox::{Alarm, Event, Outbox, Part};
use super::position::{Fit, Owner, Place, Position};
use super::record::{Digest, Kind, Record, Writer};
use super::takeover::{Progress, Takeover};
use super::tenure::{Fate, Tenure};
use crate::machine::engine::{Answer, RequestId, Sequence, Subject};

enum Role {
    Standby,
    Takeover(Takeover),
    Tenure(Tenure),
    /// It was ours, or the log has gone on without it; its copy is not at [`ShardLog::position`] yet.
    Lost,
    /// There is no copy here, or its log holds what this version does not understand.
    Closed,
}

pub(super) struct ShardLog {
    cluster: u128,
    shard: u32,
    pub(super) position: Position,
    /// See [`Place::followed`].
    followed: Sequence,
    role: Role,
    /// Since when nobody's lease keeps us from it; `u64::MAX`: somebody's does. Kept by the replica.
    pub(super) free_ns: u64,
    /// When the next attempt may be begun.
    again_ns: u64,
}

impl ShardLog {
    /// `is_here`: there is a copy here.
    pub(super) fn new(cluster: u128, shard: u32, place: Place, is_here: bool) -> ShardLog {
        ShardLog {
            cluster,
            shard,
            position: place.position,
            followed: place.followed,
            role: match is_here {
                true => Role::Standby,
                false => Role::Closed,
            },
            free_ns: u64::MAX,
            again_ns: 0,
        }
    }

    fn part(&self) -> Part {
        Part::Shard(self.shard)
    }

    /// The record before the next one, and its number.
    fn last(&self) -> (Sequence, u64) {
        (self.position.sequence, self.position.number)
    }

    // ---- As its owner ----------------------------------------------------------------

    /// Our tenure; `None`: it is not ours.
    pub(super) fn tenure(&self) -> Option<&Tenure> {
        match &self.role {
            Role::Tenure(tenure) => Some(tenure),
            _ => None,
        }
    }

    /// Sends a batch. Only while [`Tenure::may_append`].
    pub(super) fn append(&mut self, out: &mut Outbox, batch: Vec<u8>) {
        let (part, last) = (self.part(), self.last());
        let Role::Tenure(tenure) = &mut self.role else {
            panic!("shard {} is not ours", self.shard);
        };
        assert!(tenure.may_append());
        tenure.append(out, part, Kind::Batch(batch), last);
    }

    /// Gives the shard to a member, if it is ours: no batch of it is sent any more.
    pub(super) fn hand_over(&mut self, to: u32) {
        if let Role::Tenure(tenure) = &mut self.role {
            tenure.hand_over(to);
        }
    }

    /// Sends a mark, if it is ours.
    pub(super) fn mark(&mut self) {
        if let Role::Tenure(tenure) = &mut self.role {
            tenure.mark();
        }
    }

    /// Sends a digest behind the record that is under way, if it is ours.
    pub(super) fn digest(&mut self, digest: Digest) {
        if let Role::Tenure(tenure) = &mut self.role {
            tenure.digest(digest);
        }
    }

    // ---- As a candidate --------------------------------------------------------------

    /// When the next attempt may be begun; `None`: one is under way, or the shard is ours, or closed.
    pub(super) fn again_ns(&self) -> Option<u64> {
        matches!(self.role, Role::Standby).then_some(self.again_ns)
    }

    /// Begins to take it over.
    pub(super) fn take_over(&mut self, writer: Writer) {
        self.role = Role::Takeover(Takeover::new(self.cluster, writer, self.shard));
    }

    /// Our lease is gone: so is the shard, if it was ours.
    pub(super) fn resign(&mut self, out: &mut Outbox) {
        match &self.role {
            Role::Tenure(_) => self.lose(out),
            Role::Takeover(_) => self.role = Role::Standby,
            Role::Standby | Role::Lost | Role::Closed => {}
        }
    }

    fn lose(&mut self, out: &mut Outbox) {
        self.role = Role::Lost;
        self.followed = 0;
        out.events.push_back(Event::Lost(self.shard));
    }

    /// The copy of a shard that was lost is at its position again, which is returned.
    pub(super) fn resume(&mut self) -> Sequence {
        if matches!(self.role, Role::Lost) {
            self.role = Role::Standby;
            self.free_ns = u64::MAX;
        }
        self.position.sequence
    }

    /// Whether its copy is on its way to its position.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.role, Role::Lost)
    }

    /// Whether it is of no concern here.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.role, Role::Closed)
    }

    /// All records of the stream up to this one were delivered.
    pub(super) fn note_followed(&mut self, last: Sequence) {
        if !self.is_lost() {
            self.followed = self.followed.max(last);
        }
    }

    /// How far its copy is.
    pub(super) fn place(&self) -> Place {
        Place {
            position: self.position,
            followed: self.followed.max(self.position.sequence),
        }
    }

    /// The log begins with that record. Whether its copy lacks what was before, and is to come from elsewhere.
    pub(super) fn log_begins(&mut self, out: &mut Outbox, first: Sequence) -> bool {
        let is_behind = self.place().followed + 1 < first;
        if is_behind && matches!(self.role, Role::Standby | Role::Takeover(_)) {
            self.role = Role::Lost;
            out.events.push_back(Event::Behind(self.shard));
        }
        is_behind && !self.is_closed()
    }

    /// Its copy is not what the owner's was behind `sequence`: it is to come from elsewhere. Not of one that is ours.
    pub(super) fn differs(&mut self, out: &mut Outbox, sequence: Sequence) {
        if matches!(self.role, Role::Standby | Role::Takeover(_)) {
            let shard = self.shard;
            self.role = Role::Lost;
            self.followed = 0;
            out.alarm(Alarm::Differs { shard, sequence });
            out.events.push_back(Event::Behind(shard));
        }
    }

    /// Its copy has come from elsewhere.
    pub(super) fn restored(&mut self, place: Place) {
        (self.position, self.followed) = (place.position, place.followed);
        self.resume();
    }

    /// Nobody here owns it, nor takes it over, until the next start.
    pub(super) fn close(&mut self, out: &mut Outbox) {
        self.resign(out);
        self.role = Role::Closed;
    }

    // ---- What happens ------------------------------------------------------------------

    pub(super) fn wake_ns(&self) -> u64 {
        match &self.role {
            Role::Tenure(tenure) => tenure.wake_ns(),
            Role::Takeover(takeover) => takeover.wake_ns(),
            Role::Standby | Role::Lost | Role::Closed => u64::MAX,
        }
    }

    pub(super) fn advance(&mut self, out: &mut Outbox, now_ns: u64) {
        let (part, last) = (self.part(), self.last());
        match &mut self.role {
            Role::Tenure(tenure) => tenure.advance(out, part, last, now_ns),
            Role::Takeover(takeover) => takeover.advance(out, &self.position, now_ns),
            Role::Standby | Role::Lost | Role::Closed => {}
        }
    }

    /// `is_free`: see [`Takeover::answered`].
    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        is_free: impl Fn(&Owner) -> bool,
        lease_lasts: bool,
        now_ns: u64,
    ) {
        match &mut self.role {
            Role::Tenure(tenure) => match tenure.answered(out, id, answer, lease_lasts, now_ns) {
                Fate::Open => {}
                Fate::InLog(sequence, record, bytes) => {
                    self.accept(out, sequence, &record, bytes, true);
                }
                Fate::ShardLost => self.lose(out),
            },
            Role::Takeover(takeover) => {
                let position = &self.position;
                let progress = takeover.answered(out, id, answer, position, is_free, now_ns);
                if let Progress::BeginAnew(at_ns) = progress {
                    self.role = Role::Standby;
                    self.again_ns = at_ns;
                }
            }
            Role::Standby | Role::Lost | Role::Closed => {}
        }
    }

    /// The next record of the stream that is this shard's. `us`: who we are now.
    pub(super) fn delivered(
        &mut self,
        out: &mut Outbox,
        sequence: Sequence,
        bytes: Vec<u8>,
        us: Option<Writer>,
    ) {
        if sequence <= self.position.sequence || matches!(self.role, Role::Lost | Role::Closed) {
            return;
        }
        let record = Record::read(Subject::Log(self.shard), &bytes);
        let Some(record) = record.filter(|it| it.cluster == self.cluster) else {
            self.close(out);
            let shard = self.shard;
            return out.alarm(Alarm::Unreadable { shard, sequence });
        };
        let shard = self.shard;
        match self.position.fits(&record) {
            Fit::Next => {}
            // Not applied, by anybody. Behind it nothing can be appended but with its number.
            Fit::Repeated => {
                self.position.sequence = sequence;
                // What is under way expects another, or is that record.
                if self.tenure().is_none_or(|it| !it.is_idle()) {
                    self.resign(out);
                }
                return out.alarm(Alarm::Repeated { shard, sequence });
            }
            Fit::NotTheOwners => {
                self.position.sequence = sequence;
                self.resign(out);
                return out.alarm(Alarm::NotTheOwners { shard, sequence });
            }
        }
        let ours = match &mut self.role {
            Role::Tenure(tenure) => tenure.delivered(&record),
            _ => false,
        };
        if self.tenure().is_some() && !ours {
            return self.lose(out); // It comes again once the copy is back.
        }
        self.accept(out, sequence, &record, bytes, ours);
        if record.kind == Kind::Epoch {
            self.epoch_begins(out, &record, us);
        }
    }

    /// A record that continues our copy.
    fn accept(
        &mut self,
        out: &mut Outbox,
        sequence: Sequence,
        record: &Record,
        bytes: Vec<u8>,
        ours: bool,
    ) {
        self.position = Position::behind(sequence, record);
        out.events.push_back(Event::Record {
            shard: self.shard,
            sequence,
            record: bytes,
            ours,
        });
        if ours && matches!(record.kind, Kind::Handover(_)) {
            self.lose(out);
        }
    }

    /// Our copy has come to an epoch record: the shard is ours if we have written it, whatever we have heard of it.
    fn epoch_begins(&mut self, out: &mut Outbox, record: &Record, us: Option<Writer>) {
        if us == Some(record.writer) {
            let tenure = Tenure::new(self.cluster, record.writer, record.epoch);
            self.role = Role::Tenure(tenure);
            out.events.push_back(Event::Owned(self.shard));
        } else {
            self.role = Role::Standby; // A claim of ours would have been for this epoch.
        }
    }
}
