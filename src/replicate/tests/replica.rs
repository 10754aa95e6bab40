//! A member as a whole, over an engine that answers at once. Time passes only to when the member wants to be woken: what
//! it does not say is not done.

use std::collections::BTreeMap;

use super::*;
use crate::limits::{CANDIDATE_NS, LEASE_NS, LEASE_SILENCE_NS, MILLISECOND_NS, SECOND_NS};
use crate::machine::engine::{Answer, Inspection};
use crate::replicate::{Place, Replica, Settings};

const BEGIN_NS: u64 = SECOND_NS;

/// We are member 0 of three. The candidates for the only shard are 1, 0, 2.
struct Rig {
    replica: Replica,
    now_ns: u64,
    /// By subject: the last record.
    last: BTreeMap<Subject, (Sequence, Vec<u8>)>,
    log: Sequence,
    leases: Sequence,
    events: Vec<Event>,
}

impl Rig {
    fn new() -> Rig {
        let settings = Settings {
            cluster: CLUSTER,
            member: 0,
            members: 3,
            process: 1,
            candidates: vec![vec![1, 0, 2]],
            log_bytes_max: u64::MAX,
        };
        Rig {
            replica: Replica::new(settings, &[Place::default()]),
            now_ns: BEGIN_NS,
            last: BTreeMap::new(),
            log: 0,
            leases: 0,
            events: Vec::new(),
        }
    }

    /// A record is appended, and delivered.
    fn append(&mut self, subject: Subject, record: Vec<u8>) -> Sequence {
        let counter = match subject {
            Subject::Log(_) => &mut self.log,
            Subject::Lease(_) => &mut self.leases,
        };
        *counter += 1;
        let sequence = *counter;
        self.last.insert(subject, (sequence, record.clone()));
        let replica = &mut self.replica;
        match subject {
            Subject::Log(shard) => replica.log_delivered(shard, sequence, record, self.now_ns),
            Subject::Lease(member) => {
                replica.lease_delivered(member, sequence, &record, self.now_ns);
            }
        }
        sequence
    }

    /// Another member writes.
    fn write(&mut self, subject: Subject, writer: Writer, place: (u64, u64), kind: Kind) {
        let record = record(subject, writer, place, kind);
        self.append(subject, record.to_bytes());
    }

    /// Member 1 has a lease, and owns the shard.
    fn owned_by_them() -> Rig {
        let mut rig = Rig::new();
        let first = Writer {
            incarnation: 0,
            ..THEM
        };
        rig.write(Subject::Lease(1), first, (9, 0), Kind::Held);
        let them = rig.them();
        rig.write(Subject::Log(0), them, (1, 0), Kind::Epoch);
        rig
    }

    /// Member 1, whose lease began with the first record.
    fn them(&self) -> Writer {
        Writer {
            member: 1,
            incarnation: 1,
        }
    }

    /// What is due now, and all that follows from it at once.
    fn settle(&mut self) {
        loop {
            self.replica.advance(self.now_ns);
            while let Some(request) = self.replica.next_request() {
                self.ask(request);
            }
            while let Some(event) = self.replica.next_event() {
                if let Event::Lost(shard) = event {
                    self.replica.resume(shard);
                }
                self.events.push(event);
            }
            if self.replica.wake_ns() > self.now_ns {
                break;
            }
        }
    }

    fn ask(&mut self, request: Request) {
        let (id, answer) = match request {
            Request::Append {
                id,
                subject,
                expected,
                record,
            } => match self.last.get(&subject).map_or(0, |(sequence, _)| *sequence) {
                last if last == expected => {
                    (id, Answer::Acknowledged(self.append(subject, record)))
                }
                last => (id, Answer::Refused(last)),
            },
            Request::Last { id, subject } => (id, Answer::Last(self.last.get(&subject).cloned())),
            Request::Inspect { id } => {
                let (first, last, missing) = (1, self.log, 0);
                let inspection = Inspection {
                    first,
                    last,
                    missing,
                    ..Inspection::default()
                };
                (id, Answer::Inspected(inspection))
            }
            Request::Keep { .. } | Request::Fetch { .. } => unreachable!("nobody wants that"),
            Request::StepDown | Request::Follow { .. } | Request::Publish { .. } => return,
        };
        self.replica.answered(id, &answer, self.now_ns);
    }

    /// Until then, from one wake to the next.
    fn until(&mut self, until_ns: u64) {
        self.settle();
        for _ in 0..1000 {
            let wake_ns = self.replica.wake_ns();
            if wake_ns > until_ns {
                self.now_ns = until_ns;
                return;
            }
            self.now_ns = wake_ns;
            self.settle();
        }
        panic!("it is woken again and again at {}", self.now_ns);
    }

    /// When we own the shard, if that is before `until_ns`.
    fn owned_ns(&mut self, until_ns: u64) -> Option<u64> {
        while self.now_ns < until_ns {
            self.settle();
            if self.replica.owns(0) {
                return Some(self.now_ns);
            }
            self.now_ns = self.replica.wake_ns().min(until_ns);
        }
        None
    }

    fn lost(&self) -> bool {
        self.events.contains(&Event::Lost(0))
    }
}

#[test]
fn a_shard_that_nobody_has_is_taken() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.owned_ns(BEGIN_NS + 1),
        Some(BEGIN_NS),
        "nobody else is there"
    );
    assert!(rig.replica.may_read(rig.now_ns) && rig.replica.may_append(0));
    assert!(rig.events.contains(&Event::Owned(0)));
    rig.replica.append(0, b"a batch".to_vec());
    rig.settle();
    let ours = |event: &Event| matches!(event, Event::Record { ours: true, .. });
    assert_eq!(rig.events.iter().filter(|it| ours(it)).count(), 1);
    // It keeps its lease by itself.
    rig.until(BEGIN_NS + 10 * LEASE_NS);
    assert!(rig.replica.owns(0) && rig.replica.may_read(rig.now_ns) && !rig.lost());
}

#[test]
fn a_candidate_before_us_that_is_there_has_some_time() {
    let mut rig = Rig::new();
    rig.write(Subject::Lease(1), THEM, (9, 0), Kind::Held);
    rig.write(Subject::Lease(2), THEM, (9, 0), Kind::Held); // It is behind us.
    let owned_ns = rig.owned_ns(BEGIN_NS + SECOND_NS);
    assert_eq!(owned_ns, Some(BEGIN_NS + CANDIDATE_NS));
}

#[test]
fn the_shard_of_a_silent_owner_is_taken_when_its_lease_is_revoked() {
    let mut rig = Rig::owned_by_them();
    let due_ns = BEGIN_NS + LEASE_SILENCE_NS;
    assert_eq!(rig.owned_ns(due_ns), None);
    let owned_ns = rig.owned_ns(due_ns + SECOND_NS).expect("it is free");
    assert!(owned_ns <= due_ns + MILLISECOND_NS, "{owned_ns}");
    let (_, revocation) = &rig.last[&Subject::Lease(1)];
    let revocation = Record::read(Subject::Lease(1), revocation).expect("it can be read");
    assert_eq!(
        (revocation.kind, revocation.writer.member),
        (Kind::Revoked, 0)
    );
    assert_eq!(rig.replica.position(0).epoch, 2);
}

#[test]
fn the_shard_of_an_owner_that_lives_stays_with_it() {
    let mut rig = Rig::owned_by_them();
    for number in 1..20 {
        rig.until(BEGIN_NS + number * LEASE_NS / 4);
        let them = rig.them();
        rig.write(Subject::Lease(1), them, (9, number), Kind::Held);
    }
    assert!(!rig.replica.owns(0) && rig.replica.position(0).epoch == 1);
}

#[test]
fn without_a_lease_of_its_own_a_member_takes_nothing() {
    let mut rig = Rig::new();
    // Somebody else may be this member.
    rig.write(Subject::Lease(0), THEM, (9, 0), Kind::Held);
    assert_eq!(rig.owned_ns(BEGIN_NS + LEASE_SILENCE_NS), None);
    assert!(rig
        .owned_ns(BEGIN_NS + LEASE_SILENCE_NS + SECOND_NS)
        .is_some());
}

#[test]
fn a_member_that_is_revoked_has_no_shard_and_comes_back_as_another() {
    let mut rig = Rig::new();
    rig.until(BEGIN_NS + 1);
    assert!(rig.replica.owns(0));
    rig.write(Subject::Lease(0), THEM, (0, 0), Kind::Revoked);
    assert!(!rig.replica.owns(0) && !rig.replica.may_read(rig.now_ns));
    rig.settle();
    assert!(rig.lost());
    // Its former incarnation's shard is free, for it, too.
    assert!(rig.owned_ns(BEGIN_NS + SECOND_NS).is_some());
    assert_eq!(rig.replica.position(0).epoch, 2);
    assert!(rig.replica.may_read(rig.now_ns));
}

#[test]
fn a_stop_gives_the_shards_away_and_then_the_lease() {
    for other_is_there in [true, false] {
        let mut rig = Rig::new();
        rig.until(BEGIN_NS + 1);
        if other_is_there {
            rig.write(Subject::Lease(2), THEM, (9, 0), Kind::Held);
        }
        rig.replica.append(0, b"a batch".to_vec());
        rig.replica.stop();
        assert!(!rig.replica.is_stopped());
        rig.settle();
        assert!(rig.replica.is_stopped() && rig.lost());
        let last = |subject| {
            let (_, bytes) = &rig.last[&subject];
            Record::read(subject, bytes).expect("it can be read").kind
        };
        let to = if other_is_there { 2 } else { 1 };
        assert_eq!(last(Subject::Log(0)), Kind::Handover(to));
        assert_eq!(last(Subject::Lease(0)), Kind::Ended);
        // Behind the batch: that is not lost.
        assert_eq!(rig.replica.position(0).number, 2);
    }
}

#[test]
fn a_shard_that_is_given_to_us_is_taken_at_once_although_its_owner_lives() {
    let mut rig = Rig::owned_by_them();
    rig.until(BEGIN_NS + 5);
    let them = rig.them();
    rig.write(Subject::Log(0), them, (1, 1), Kind::Handover(0));
    assert_eq!(rig.owned_ns(BEGIN_NS + SECOND_NS), Some(BEGIN_NS + 5));
}

#[test]
fn numbers_that_nobody_has_do_no_harm() {
    let mut rig = Rig::new();
    let nobody = Writer {
        member: 99,
        incarnation: 1,
    };
    rig.write(Subject::Log(0), nobody, (1, 0), Kind::Epoch);
    rig.write(Subject::Log(7), nobody, (1, 0), Kind::Epoch);
    rig.write(Subject::Lease(99), nobody, (1, 0), Kind::Held);
    rig.replica.answered(99, &Answer::Unknown, rig.now_ns);
    assert!(!rig.replica.is_alive(99));
    rig.until(BEGIN_NS + 10 * LEASE_NS);
    assert!(!rig.replica.owns(0), "that owner cannot be revoked");
    rig.write(Subject::Log(0), nobody, (1, 1), Kind::Handover(99));
    assert!(rig.owned_ns(rig.now_ns + SECOND_NS).is_some());
}
