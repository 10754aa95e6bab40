//! What a seed decides before a run begins, and before each life of the process.

use galo::clients::CONTEST;
use galo::node::Durability;
use galo::shard::Client;

use galo_testkit::Random;

/// Of a whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Processes that share the data directory.
    pub nodes: usize,
    /// Of the data directory.
    pub shards: u32,
    /// In any order.
    pub clients: Vec<Client>,
    /// Lives of the process before the last one.
    pub lives: u64,
    /// `None`: no client sends resets; else whether the server allows them.
    pub resets: Option<bool>,
    /// A segment past this size is closed.
    pub segment_bytes: u64,
    /// A snapshot is begun after this much journal.
    pub snapshot_bytes: u64,
    /// The largest usual amount.
    pub amount_max: u64,
    /// Connections at a time.
    pub connections_max: usize,
    /// Requests that a client sends at once.
    pub pipeline_max: u64,
    /// Events that a tick takes at most.
    pub tick_events_max: u64,
    /// Writes that take less than they were given, percent.
    pub short_writes: u64,
    /// The disk is full now and then.
    pub full_disk: bool,
    /// Or no file may be larger than so much (`RLIMIT_FSIZE`).
    pub size_limit: bool,
    /// Clients that take much and give little.
    pub crowd: Option<Crowd>,
    /// The real-time clock steps.
    pub clock_steps: bool,
    /// So far at most, microseconds.
    pub clock_step_us_max: u64,
    /// Between the end of all processes and the next start, at most.
    pub gap_ns_max: u64,
    /// Transactions with an `Idempotency-Key`, percent.
    pub keyed: u64,
    /// Connections are taken up slowly and time is let pass, so that things time out.
    pub timeouts: bool,
    /// `None`: nobody asks for any.
    pub payments: Option<crate::payments::Plan>,
    /// Nothing happens by chance, and ticks take no time: what happens is written down (`stories`).
    pub scripted: bool,
}

/// Clients that take much and give little.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// At a time, beside the usual clients.
    pub connections_max: usize,
    /// Requests without an answer on each.
    pub pipeline_max: usize,
    /// Of a hundred, those that write slowly; the others read slowly.
    pub drips: u64,
}

/// How a life of the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Killed between two ticks.
    Kill,
    /// Killed within an operation on the disk.
    KillWithin,
    /// No power between two ticks.
    Power,
    /// No power within an operation on the disk.
    PowerWithin,
    /// SIGTERM.
    Stop,
    /// SIGTERM; then no power.
    StopThenPower,
    /// A sync fails.
    SyncFails,
    /// Some operation fails with EIO.
    OperationFails,
}

/// Of one life.
#[derive(Clone, Debug)]
pub struct Life {
    /// Processes.
    pub nodes: usize,
    /// Of each process.
    pub cores: usize,
    /// When replies leave.
    pub durability: Durability,
    /// Steps of the world until it ends.
    pub steps: u64,
    /// How.
    pub ending: Ending,
    /// What a device does takes long.
    pub slow_jobs: bool,
}

impl Plan {
    /// From the seed's first numbers.
    pub fn new(random: &mut Random) -> Plan {
        let mut clients: Vec<Client> = match random.below(10) {
            0..=4 => CONTEST.to_vec(),
            5..=8 => {
                let count = random.between(1, 12);
                let mut ids: Vec<u32> = (0..count)
                    .map(|_| random.skewed(1_000) as u32 - random.below(2) as u32)
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                ids.into_iter().map(|id| any_client(id, random)).collect()
            }
            _ if random.percent(20) => (1..=900).map(|id| any_client(id, random)).collect(),
            _ => vec![any_client(7, random)],
        };
        // The order of the list must not matter.
        let turn = random.index(clients.len());
        clients.rotate_left(turn);
        let small = random.percent(70);
        let nodes = match random.percent(60) {
            true => random.between(2, 3) as usize,
            false => 1,
        };
        let keyed = *random.pick(&[0, 30, 80]);
        Plan {
            nodes,
            shards: random.between(nodes as u64, 4) as u32,
            clients,
            lives: random.between(1, 5),
            resets: random.percent(30).then(|| random.percent(70)),
            segment_bytes: if small {
                random.between(200, 6_000)
            } else {
                16 << 20
            },
            snapshot_bytes: if small {
                random.between(1_000, 20_000)
            } else {
                64 << 20
            },
            amount_max: *random.pick(&[10, 10_000, 200_000, i64::MAX as u64]),
            connections_max: random.between(1, 12) as usize,
            pipeline_max: *random.pick(&[1, 6, 6, 6, 150]),
            tick_events_max: random.skewed(32),
            short_writes: *random.pick(&[0, 0, 10, 50]),
            full_disk: random.percent(30),
            size_limit: false,
            crowd: None,
            clock_steps: random.percent(40),
            // Hours, mostly.
            clock_step_us_max: *random.pick(&[1 << 22, 1 << 35, 1 << 35, 1 << 40]),
            gap_ns_max: 1 << 40,
            keyed,
            timeouts: random.percent(20),
            payments: None,
            scripted: false,
        }
    }

    /// Adds payments, and takes what would make nothing but confusion of them.
    pub fn with_payments(self, payments: Option<crate::payments::Plan>) -> Plan {
        let Some(payments) = payments else {
            return self;
        };
        Plan {
            gap_ns_max: self.gap_ns_max.min(1 << 36),
            clock_steps: self.clock_steps && payments.steps,
            payments: Some(payments),
            ..self
        }
    }

    /// With a crowd, or files that must not grow, as `odd` says.
    pub fn with_odds(mut self, odd: &mut Random) -> Plan {
        if odd.percent(12) {
            self.crowd = Some(Crowd {
                connections_max: odd.between(1, 16) as usize,
                pipeline_max: *odd.pick(&[50, 400]),
                drips: *odd.pick(&[0, 30, 100]),
            });
            // A tick takes some of each, or nothing would come of anything.
            self.tick_events_max = self.tick_events_max.max(16);
            self.timeouts |= odd.percent(50);
        }
        if odd.percent(20) {
            self.size_limit = true;
            self.full_disk = true;
        }
        self
    }

    /// The next life.
    pub fn life(&self, random: &mut Random, last: bool) -> Life {
        use Ending::*;
        let endings = [
            Kill,
            Kill,
            KillWithin,
            KillWithin,
            Power,
            Power,
            PowerWithin,
            PowerWithin,
            Stop,
            StopThenPower,
            SyncFails,
            OperationFails,
        ];
        let durability = *random.pick(&[Durability::Process, Durability::Disk]);
        let nodes = self.nodes as u64;
        let cores_max = match nodes {
            1 => u64::from(self.shards.min(3)),
            _ => (u64::from(self.shards) / nodes).min(2),
        };
        let steps = match random.percent(25) {
            true => random.skewed(60),
            false => random.skewed(700) + 50,
        };
        Life {
            nodes: self.nodes,
            cores: random.between(1, cores_max) as usize,
            durability,
            steps: steps * nodes,
            ending: if last {
                StopThenPower
            } else {
                *random.pick(&endings)
            },
            slow_jobs: random.percent(25),
        }
    }
}

fn any_client(id: u32, random: &mut Random) -> Client {
    let limit = match random.below(4) {
        0 => 0,
        1 => i64::MAX - random.below(3) as i64,
        _ => random.skewed(1_000_000) as i64,
    };
    let balance = match random.below(4) {
        0 => -limit,
        1 => random.skewed(1_000_000) as i64,
        _ => 0,
    };
    Client { id, limit, balance }
}
