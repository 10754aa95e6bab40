//! What a seed decides beforehand.

use galo::limits::{CLOCK_DRIFT_PERCENT, MILLISECOND_NS, SECOND_NS};
use galo_testkit::Random;

use super::sabotage::Sabotage;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Power,
    Stop,
    Pause,
    /// A member and the engine do not hear each other.
    Cut,
    /// One of them does not hear the other.
    HalfCut,
    /// A member gets answers, and nothing new of the streams.
    Stall,
    Election,
    LoseRecords,
    HandOver,
    /// A member comes back on a new machine.
    Replace,
}

impl Fault {
    pub const ALL: [Fault; 11] = [
        Fault::Kill,
        Fault::Power,
        Fault::Stop,
        Fault::Pause,
        Fault::Cut,
        Fault::HalfCut,
        Fault::Stall,
        Fault::Election,
        Fault::LoseRecords,
        Fault::HandOver,
        Fault::Replace,
    ];
}

pub struct Plan {
    pub members: usize,
    pub shards: usize,
    /// Of each clock, permille of the true pace.
    pub paces: Vec<u64>,
    /// For so long things go wrong.
    pub troubled_ns: u64,
    /// Between two of them, at most; `None`: nothing goes wrong.
    pub fault_every_ns: Option<u64>,
    /// Half of them are of this kind.
    pub often: Fault,
    /// Between two things that clients do, at most.
    pub act_every_ns: u64,
    /// Of these, writes, percent. A read of a copy that has what is not acknowledged waits.
    pub writes: u64,
    /// From so many bytes on the log's front goes.
    pub log_bytes_max: u64,
    /// Messages that are lost, percent.
    pub loss: u64,
    /// Messages that are late, percent.
    pub late: u64,
}

impl Plan {
    pub fn new(random: &mut Random, sabotage: Option<Sabotage>) -> Plan {
        let members = *random.pick(&[1, 2, 3, 3, 3, 4]);
        let drift = match sabotage {
            Some(Sabotage::NoMargin) => 60,
            _ => CLOCK_DRIFT_PERCENT,
        };
        let pace = |random: &mut Random| match random.percent(50) {
            true => *random.pick(&[1000 - 10 * drift, 1000 + 10 * drift]),
            false => random.between(1000 - 10 * drift, 1000 + 10 * drift),
        };
        let troubled_ns = random.between(10, 120) * SECOND_NS;
        let act_every_ns = *random.pick(&[2, 20, 100, 500]) * MILLISECOND_NS;
        Plan {
            members,
            shards: random.between(1, 4) as usize,
            paces: (0..members).map(|_| pace(random)).collect(),
            troubled_ns,
            fault_every_ns: Some(*random.pick(&[1_000, 6_000, 15_000, 30_000]) * MILLISECOND_NS),
            often: *random.pick(&Fault::ALL),
            // Some thousand things at most.
            act_every_ns: act_every_ns.max(troubled_ns / 3_000),
            writes: *random.pick(&[50, 5, 1]),
            log_bytes_max: *random.pick(&[1_000, 5_000, 30_000, u64::MAX]),
            loss: *random.pick(&[0, 0, 1, 5, 20]),
            late: *random.pick(&[0, 1, 5, 20]),
        }
    }

    /// Three members, right clocks, and nothing goes wrong.
    pub fn calm(random: &mut Random) -> Plan {
        Plan {
            members: 3,
            shards: 3,
            paces: vec![1000; 3],
            troubled_ns: 0,
            fault_every_ns: None,
            often: Fault::Kill,
            act_every_ns: random.between(5, 50) * MILLISECOND_NS,
            writes: 50,
            log_bytes_max: u64::MAX,
            loss: 0,
            late: 0,
        }
    }
}
