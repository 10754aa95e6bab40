//! What holds for a member as a whole, whatever the engine delivers.

use super::*;
use crate::replicate::engine::{Answer, Inspection};
use crate::replicate::{Position, Replica, Settings};

fn replica() -> Replica {
    let settings = Settings {
        cluster: CLUSTER,
        member: 0,
        members: 2,
        process: 1,
        candidates: vec![vec![0, 1]],
    };
    Replica::new(settings, &[Position::default()])
}

#[test]
fn numbers_that_nobody_has_do_no_harm() {
    let mut replica = replica();
    let (log, lease) = (Subject::Log(0), Subject::Lease(9));
    let nobody = Writer {
        member: 99,
        incarnation: 1,
    };
    let epoch = record(log, nobody, (1, 0), Kind::Epoch);
    replica.log_delivered(0, 1, epoch.to_bytes(), 1);
    let handover = record(log, nobody, (1, 1), Kind::Handover(99));
    replica.log_delivered(0, 2, handover.to_bytes(), 1);
    replica.log_delivered(7, 3, epoch.to_bytes(), 1);
    let held = record(lease, nobody, (1, 0), Kind::Held);
    replica.lease_delivered(9, 1, &held.to_bytes(), 1);
    replica.answered(99, &Answer::Unknown, 1);
    assert!(!replica.is_alive(99));
    // It takes its lease and then the shard, which that handover has released.
    let mut now_ns = 1;
    let mut sequence = 10;
    for _ in 0..100 {
        replica.advance(now_ns);
        while let Some(request) = replica.next_request() {
            match request {
                Request::Append {
                    id,
                    subject,
                    record,
                    ..
                } => {
                    sequence += 1;
                    if let Subject::Log(shard) = subject {
                        replica.log_delivered(shard, 4, record, now_ns);
                    } else {
                        replica.answered(id, &Answer::Acknowledged(sequence), now_ns);
                    }
                }
                Request::Last { id, subject } => {
                    let last = (subject == log).then(|| (2, handover.to_bytes()));
                    replica.answered(id, &Answer::Last(last), now_ns);
                }
                Request::Inspect { id } => {
                    let (first, last, missing) = (1, 3, 0);
                    let inspection = Inspection {
                        first,
                        last,
                        missing,
                    };
                    replica.answered(id, &Answer::Inspected(inspection), now_ns);
                }
                Request::StepDown | Request::Follow { .. } => {}
            }
        }
        now_ns += 1_000_000;
        if replica.owns(0) {
            return;
        }
    }
    panic!("nobody owns the shard");
}
