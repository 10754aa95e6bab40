//! Whatever happens to the nodes in whatever order: what was acknowledged happened once, what was
//! refused did not, replies keep their places, and in the end everybody is at home again.

use super::random_requests::Random;
use super::*;
use crate::limits::MILLISECOND_NS;

const ACCOUNTS: usize = 5;

/// A client, and what it may expect.
struct Talk {
    client: Client,
    /// By request without a reply: the account; `None`: 404.
    asked: VecDeque<Option<(usize, bool)>>,
    seen: [i64; ACCOUNTS + 1],
}

/// Credits of one cent, by account.
#[derive(Default)]
struct Tally {
    acknowledged: [i64; ACCOUNTS + 1],
    /// May have happened.
    unknown: [i64; ACCOUNTS + 1],
}

impl Talk {
    fn new(client: Client) -> Talk {
        Talk {
            client,
            asked: VecDeque::new(),
            seen: [0; ACCOUNTS + 1],
        }
    }

    fn ask(&mut self, rig: &mut Rig, random: &mut Random) {
        let account = 1 + random.below(ACCOUNTS);
        let (request, asked) = match random.below(6) {
            0 => (get("/nowhere"), None),
            1 => (statement(account as u32), Some((account, false))),
            _ => (transact(account as u32, 'c', 1), Some((account, true))),
        };
        rig.send(self.client, request);
        self.asked.push_back(asked);
    }

    fn listen(&mut self, rig: &mut Rig, tally: &mut Tally) {
        for reply in rig.replies(self.client) {
            let asked = self
                .asked
                .pop_front()
                .expect("no more replies than requests");
            let Some((account, credit)) = asked else {
                assert_eq!(reply.status, 404);
                continue;
            };
            if reply.status == 200 {
                let balance = reply.balance();
                let least = self.seen[account] + i64::from(credit);
                assert!(balance >= least, "time goes forwards");
                // What a read sees is not held against a credit behind it: repeated at another owner,
                // it sees more than the first outcome that the repeated credit gets.
                if credit {
                    self.seen[account] = balance;
                }
                tally.acknowledged[account] += i64::from(credit);
            } else {
                assert_eq!(reply.status, 503, "{reply:?}");
                let unanswered = reply.body.contains("unanswered");
                tally.unknown[account] += i64::from(credit && unanswered);
            }
        }
    }

    /// Its connection is gone.
    fn give_up(&mut self, tally: &mut Tally) {
        for (account, credit) in self.asked.drain(..).flatten() {
            tally.unknown[account] += i64::from(credit);
        }
    }
}

/// Something happens to the engine, or on the way to it.
fn trouble(rig: &mut Rig, random: &mut Random, node: usize) {
    match random.below(8) {
        0 => rig.engine.away = true,
        1 => rig.engine.stuck = true,
        2 => rig.cut_off(node, true),
        3 => rig.cut_off(node, false),
        4 => rig.engine.lost_messages += random.below(4),
        _ => calm(rig),
    }
}

fn calm(rig: &mut Rig) {
    rig.engine.away = false;
    rig.engine_goes_on();
    rig.deliver();
}

fn play(seed: u64, durability: Option<Durability>) {
    let mut random = Random(seed);
    let nodes = 2 + random.below(2);
    let cores = 1 + random.below(2);
    let durability = durability.unwrap_or(match random.below(2) {
        0 => Durability::Process,
        _ => Durability::Disk,
    });
    let is_replicated = durability == Durability::Replicated;
    let mut rig = Rig::new(Plan {
        nodes,
        cores,
        shards: nodes * cores + random.below(3),
        durability,
        log_bytes_max: [1_000, 10_000, u64::MAX][random.below(3)],
        gateway: None,
    });
    let members = nodes * cores;
    let mut frozen = vec![false; nodes];
    let mut talks: Vec<Talk> = Vec::new();
    let mut tally = Tally::default();
    for _ in 0..250 {
        let member = random.below(members);
        let node = member / cores;
        let runs = rig.exit(member).is_none();
        if talks.len() < 6 && runs && !frozen[node] && rig.cores[member].accepting {
            talks.push(Talk::new(rig.connect(member)));
        }
        for talk in &mut talks {
            for _ in 0..random.below(4) {
                talk.ask(&mut rig, &mut random);
            }
        }
        match random.below(40) {
            0 if runs => {
                rig.kill(node);
                frozen[node] = false;
            }
            1 if runs && !frozen[node] => rig.stop_node(node),
            2 if runs => {
                rig.freeze(node);
                frozen[node] = true;
            }
            3 | 4 if frozen[node] => {
                frozen[node] = false;
                rig.thaw(node);
            }
            5..=9 if rig.is_gone(node) => {
                rig.restart(node);
                frozen[node] = false;
            }
            10 | 11 => {
                // Cores of one process stay linked.
                let other = random.below(members);
                if other / cores != node {
                    rig.cut(member, other);
                }
            }
            12 | 13 if is_replicated => trouble(&mut rig, &mut random, node),
            12 => rig.disk_stuck(member, true),
            13 | 14 => rig.disk_stuck(member, false),
            15..=17 => rig.pass(random.below(400) as u64 * MILLISECOND_NS),
            18 => rig.pass(random.below(40) as u64 * 100 * MILLISECOND_NS),
            _ => {
                for _ in 0..random.below(8) {
                    let member = random.below(members);
                    if rig.exit(member).is_none() && !frozen[member / cores] {
                        rig.tick(member, |_| ());
                    }
                }
            }
        }
        rig.check_counts();
        talks.retain_mut(|talk| {
            talk.listen(&mut rig, &mut tally);
            let closed = rig.is_closed(talk.client);
            if closed {
                talk.give_up(&mut tally);
            }
            !closed
        });
    }
    for node in 0..nodes {
        rig.thaw(node);
        rig.cut_off(node, false);
    }
    for member in 0..members {
        rig.disk_stuck(member, false);
    }
    rig.engine.lost_messages = 0;
    calm(&mut rig);
    rig.pass(3 * SECOND_NS);
    for node in 0..nodes {
        if rig.is_gone(node) {
            rig.restart(node);
        }
    }
    rig.pass(20 * SECOND_NS);
    for talk in &mut talks {
        talk.listen(&mut rig, &mut tally);
        if rig.is_closed(talk.client) {
            talk.give_up(&mut tally);
        }
        assert!(talk.asked.is_empty(), "{} without reply", talk.asked.len());
    }
    rig.check_counts();
    for shard in 0..rig.disks.len() {
        assert_eq!(rig.owners(shard), [rig.home(shard)], "shard {shard}");
    }
    for account in 1..=ACCOUNTS {
        let client = rig.connect(random.below(members));
        let balance = rig.ask(client, statement(account as u32)).balance();
        let least = tally.acknowledged[account];
        let most = least + tally.unknown[account];
        assert!(
            (least..=most).contains(&balance),
            "{least} {balance} {most}"
        );
    }
    if is_replicated {
        rig.check_copies();
        for node in 0..nodes {
            let (_, engine) = rig.engine_health(node);
            assert_eq!(engine["alarms"], 0, "{engine}");
        }
        return;
    }
    rig.pass(300 * SECOND_NS);
    for core in &rig.cores {
        assert_eq!(
            core.runtime.deadline_ns(),
            None,
            "a quiet cluster wants no tick"
        );
    }
}

fn play_all(durability: Option<Durability>) {
    let seeds = std::env::var("CHAOS").ok();
    let seeds = match seeds.as_deref().and_then(|it| it.split_once('-')) {
        Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
        None => 0..12,
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(|| play(seed, durability));
        assert!(played.is_ok(), "seed {seed}");
    }
}

#[test]
fn what_is_acknowledged_happened_once_whatever_happens_to_the_nodes() {
    play_all(None);
}

#[test]
fn the_same_where_an_engine_keeps_the_journals_whatever_happens_to_it() {
    play_all(Some(Durability::Replicated));
}
