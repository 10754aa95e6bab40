//! Stories: short runs that are written down here, for those who want to see Galo at work. Nothing in them happens by
//! chance, and a tick takes no time; the nodes, the disk, the processors and the oracle are those of every other run.

use galo::bank::Kind;
use galo::clients::CONTEST;
use galo::limits::MILLISECOND_NS;
use galo::node::Durability;
use galo::payments::Processor;
use galo_processor::fault::Fault;
use galo_testkit::{get, id_text, keyed, payment, transaction, Random};

use crate::cluster::Cluster;
use crate::event;
use crate::payments::{Phase, Plan as PaymentsPlan};
use crate::plan::{Ending, Life, Plan};
use crate::reply::{posted, Reply};
use crate::request::{Draft, Expect, Tag, Transaction};
use crate::trace::{Checked, Shown, Violation, Who};
use crate::world::World;
use crate::{require, violation};

/// A run that is written down.
pub struct Story {
    /// Of the file with its trace.
    pub name: &'static str,
    go: fn() -> Checked<Stage>,
}

/// All of them.
pub const STORIES: [Story; 3] = [
    Story {
        name: "takeover",
        go: takeover,
    },
    Story {
        name: "lost-reply",
        go: lost_reply,
    },
    Story {
        name: "torn-tail",
        go: torn_tail,
    },
];

impl Story {
    /// What happens in it, one event a line. `Err`: not what has to.
    pub fn trace(&self) -> Result<String, String> {
        match (self.go)() {
            Ok(stage) => Ok(stage.world.trace.kept().to_owned()),
            Err(Violation(reason)) => Err(reason),
        }
    }
}

/// A node dies, and another one answers for its shard.
fn takeover() -> Checked<Stage> {
    let mut stage = Stage::set(2, Durability::Process, false)?;
    stage.until_ms(10)?;
    // Account 1 is in shard 1, which is at home with the other node.
    let client = stage.world.connect(0);
    stage.move_money(client, Kind::Debit, 300, None);
    stage.until_ms(50)?;
    stage.expect_balance(client, -300)?;

    stage.world.kill(&mut stage.cluster, 1)?;
    stage.move_money(client, Kind::Debit, 50, None);
    stage.until_ms(200)?;
    stage.expect_balance(client, -350)?;
    require!(stage.world.coverage.takeovers == 1, "nobody takes over");

    stage.world.restart(&mut stage.cluster, 1);
    stage.until_ms(400)?;
    require!(stage.world.coverage.hand_backs == 1, "no shard comes home");
    let client = stage.world.connect(1);
    stage.move_money(client, Kind::Credit, 10, None);
    stage.until_ms(600)?;
    stage.expect_balance(client, -340)?;
    Ok(stage)
}

/// A processor carries a payment out, and its reply is lost.
fn lost_reply() -> Checked<Stage> {
    const ID: u128 = 0x5f9c_0e6b << 96 | 1;
    const CENTS: u64 = 19_90;
    let mut stage = Stage::set(1, Durability::Process, true)?;
    stage.until_ms(10)?;
    let loses_replies = Phase {
        spoilt: 100,
        faults: &[Fault::ReplyLost],
        ..works()
    };
    stage.world.set_phase(Processor::Default, &loses_replies);
    let client = stage.world.connect(0);
    let tag = stage.world.model.payments.begin(Some(ID), CENTS, None);
    let bytes = payment(&id_text(ID), "19.90");
    stage.ask(client, bytes, Expect::Pay(tag, CENTS));
    stage.until_ms(20)?;
    stage.expect_status(client, 202)?;
    stage.world.set_phase(Processor::Default, &works());
    stage.until_ms(300)?;
    let question = stage.world.model.payments.question(None, None);
    stage.ask(client, get("/payments-summary"), Expect::Summary(question));
    stage.until_ms(310)?;
    stage.expect_status(client, 200)?;

    // The book has found by now that each payment is at one processor, and counted.
    stage.world.model.payments.settle()?;
    let coverage = &stage.world.coverage;
    require!(
        coverage.attempts == 2 && coverage.paid == 1 && coverage.paid_dearly == 0,
        "asked for {} times, carried out {} times",
        coverage.attempts,
        coverage.paid
    );
    Ok(stage)
}

/// The power fails while a record is on its way to the disk.
fn torn_tail() -> Checked<Stage> {
    let mut stage = Stage::set(1, Durability::Disk, false)?;
    let client = stage.world.connect(0);
    stage.move_money(client, Kind::Debit, 100, None);
    stage.until_ms(10)?;
    stage.expect_balance(client, -100)?;

    let tag = stage.move_money(client, Kind::Debit, 50, Some("second"));
    stage.tick()?;
    require!(
        stage.world.model.sequence(1) == 2 && stage.world.model.floor(1) == 1,
        "the second record is not written, or synced already"
    );
    stage.expect_balance(client, -100)?;
    let mut stage = stage.after_power_failure()?;
    require!(stage.world.coverage.torn_tails == 1, "no tail is torn");

    let client = stage.world.connect(0);
    let statement = get("/clientes/1/extrato");
    stage.ask(client, statement, Expect::Statement(1));
    stage.until_ms(20)?;
    stage.expect_status(client, 200)?;
    stage.send(client, tag);
    stage.until_ms(30)?;
    stage.expect_balance(client, -150)?;
    stage.send(client, tag);
    stage.until_ms(40)?;
    stage.expect_balance(client, -150)?;
    require!(stage.world.model.sequence(1) == 2, "carried out twice");
    Ok(stage)
}

/// What a story is played on.
struct Stage {
    world: World,
    cluster: Cluster,
    begun_ns: u64,
}

/// Turns within which all that can happen at a moment has happened.
const TURNS_MAX: usize = 1_000;
/// The account that stories are about.
const ACCOUNT: u32 = 1;

impl Stage {
    /// Nodes of one core, each at home with one shard, serve.
    fn set(nodes: usize, durability: Durability, pays: bool) -> Checked<Stage> {
        let plan = Plan {
            nodes,
            shards: 2,
            clients: CONTEST.to_vec(),
            lives: 0,
            resets: None,
            segment_bytes: 16 << 20,
            snapshot_bytes: 64 << 20,
            amount_max: 1_000,
            connections_max: 10,
            pipeline_max: 1,
            tick_events_max: 100,
            short_writes: 0,
            full_disk: false,
            size_limit: false,
            crowd: None,
            clock_steps: false,
            clock_step_us_max: 1,
            gap_ns_max: 1,
            keyed: 0,
            timeouts: false,
            payments: pays.then(payments),
            scripted: true,
        };
        let life = Life {
            nodes,
            cores: 1,
            durability,
            steps: 0,
            ending: Ending::Kill,
            slow_jobs: false,
        };
        let mut world = World::new(0, plan, Random::new(0), Random::new(0), Shown::Kept);
        let begun_ns = 1_000 * MILLISECOND_NS;
        world.set_clock(begun_ns);
        world.trace.begin(begun_ns);
        let cluster = world.recover(&life)?;
        if pays {
            world.set_phases(&works());
        }
        Ok(Stage {
            world,
            cluster,
            begun_ns,
        })
    }

    // ---- Time --------------------------------------------------------------------

    /// Everybody has one turn, and jobs wait.
    fn tick(&mut self) -> Checked {
        self.world.attend_processors()?;
        for member in 0..self.cluster.members() {
            self.world.tick(&mut self.cluster, member)?;
        }
        self.world.bury(&mut self.cluster)
    }

    /// All happens that can happen at this moment.
    fn serve(&mut self) -> Checked {
        for _ in 0..TURNS_MAX {
            self.tick()?;
            self.world.run_any_job(&self.cluster)?;
            self.world.attend_processors()?;
            if self.world.is_idle(&self.cluster) {
                return Ok(());
            }
        }
        violation!("more than {TURNS_MAX} turns in a moment");
    }

    /// Time passes until so long after the beginning.
    fn until_ms(&mut self, ms: u64) -> Checked {
        let end_ns = self.begun_ns + ms * MILLISECOND_NS;
        loop {
            self.serve()?;
            let now_ns = self.world.now_ns;
            if now_ns >= end_ns {
                return Ok(());
            }
            let due_ns = self.world.due_ns(&self.cluster).unwrap_or(end_ns);
            self.world.set_clock(due_ns.clamp(now_ns + 1, end_ns));
        }
    }

    /// The machine has lost its power, half of each write that was on its way is on the disk, and the nodes start again.
    fn after_power_failure(mut self) -> Checked<Stage> {
        let life = self.cluster.life.clone();
        self.world.disk.tear();
        event!(
            self.world.trace,
            Who::Disk,
            "has half of what was not synced"
        );
        self.world.end(self.cluster, true);
        let cluster = self.world.recover(&life)?;
        Ok(Stage { cluster, ..self })
    }

    // ---- Clients -----------------------------------------------------------------

    fn ask(&mut self, client: u64, bytes: Vec<u8>, expect: Expect) {
        self.world.ask(client, |_| Draft {
            bytes,
            expect,
            head_only: false,
            close: false,
            continues: false,
            gzip: false,
        });
    }

    fn move_money(&mut self, client: u64, kind: Kind, amount: i64, key: Option<&str>) -> Tag {
        let transaction = Transaction {
            client: ACCOUNT,
            kind,
            amount,
            description: format!("story {}", self.world.model.tags()),
            key: key.map(str::to_owned),
            asked_ns: self.world.now_ns,
        };
        let tag = self.world.model.begin(transaction);
        self.send(client, tag);
        tag
    }

    /// Sends a transaction, for the first time or once more.
    fn send(&mut self, client: u64, tag: Tag) {
        let sent = self.world.model.transaction(tag).clone();
        let kind = char::from(sent.kind.to_byte());
        let bytes = match &sent.key {
            Some(key) => keyed(ACCOUNT, kind, sent.amount, &sent.description, key),
            None => transaction(ACCOUNT, kind, sent.amount, &sent.description),
        };
        self.ask(client, bytes, Expect::Transaction(tag));
    }

    /// The newest reply that a client has.
    fn reply(&self, client: u64) -> Checked<&Reply> {
        let socket = self.world.sockets.get(&client);
        let reply = socket.and_then(|socket| socket.client()?.newest_reply.as_ref());
        reply.ok_or_else(|| Violation("no reply".to_owned()))
    }

    fn expect_status(&self, client: u64, status: u16) -> Checked {
        let reply = self.reply(client)?;
        require!(reply.status == status, "{}, not {status}", reply.text());
        Ok(())
    }

    /// The newest reply is to a transaction, and tells of this balance.
    fn expect_balance(&self, client: u64, balance: i64) -> Checked {
        let (_, found) = posted(&self.reply(client)?.body)?;
        require!(found == balance, "a balance of {found}, not {balance}");
        Ok(())
    }
}

/// A processor with which nothing is wrong.
fn works() -> Phase {
    Phase {
        delay_ms: 5,
        ..Phase::default()
    }
}

fn payments() -> PaymentsPlan {
    PaymentsPlan {
        deadline_ns: 60_000 * MILLISECOND_NS,
        open_max: 1_000,
        share: 0,
        cents_max: 1_990,
        sparse: true,
        prefixes: ["", ""],
        parallel_max: 100,
        waiting_max: 100,
        official: false,
        troubled: 0,
        phase_ns_max: 1,
        steps: false,
        settled_run: 1_000,
        delay_ms_max: 1,
        senseless: false,
        connect_ns_max: 1,
    }
}
