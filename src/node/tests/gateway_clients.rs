//! Clients of the gateway while nodes are killed, stopped, paused, and cut from each other: every request
//! has its one reply in its place, what was acknowledged is carried out once, and a summary has all that the
//! processors had when it was asked for, and nothing that they had not when it was answered.

use std::collections::{BTreeSet, VecDeque};

use super::gateway_requests::*;
use super::random_requests::Random;
use super::rig::processors::{response, stored, Kind};
use super::*;
use crate::api::processors::Stored;
use crate::limits::MILLISECOND_NS;
use crate::payments::{PaymentId, Processor};

/// What a request may expect.
#[derive(Clone, Debug)]
enum Asked {
    Pay(PaymentId),
    /// Answered when it is carried out.
    PayNow,
    /// So many had been carried out when it was asked for.
    Summary(usize),
    Health,
}

struct Talk {
    client: Client,
    asked: VecDeque<Asked>,
}

/// What both have carried out, and which payments were to be.
#[derive(Default)]
struct Books {
    carried: Vec<(Processor, Stored)>,
    acknowledged: BTreeSet<PaymentId>,
    summaries: usize,
    outcomes: usize,
}

impl Books {
    fn has(&self, processor: Processor, id: PaymentId) -> Option<Stored> {
        let is_it = |it: &&(Processor, Stored)| it.0 == processor && it.1.id == id;
        self.carried.iter().find(is_it).map(|(_, payment)| *payment)
    }

    /// The processors answer. `random`: they fail now and then, and answers are lost.
    fn answer(&mut self, rig: &mut Rig, random: Option<&mut Random>) {
        let mut random = random;
        let mut one_of = |count| random.as_mut().is_some_and(|it| it.below(count) == 0);
        for call in rig.calls() {
            match call.kind {
                Kind::Pay(payment) => {
                    let there = self.has(call.at, payment.id).is_some();
                    if !there && one_of(8) {
                        rig.reply(&call, response(500, ""), false);
                        continue;
                    }
                    if !there {
                        self.carried.push((call.at, payment));
                    }
                    let lost = one_of(5);
                    let status = if there { 422 } else { 200 };
                    let reply = response(status, "");
                    rig.reply(&call, if lost { "" } else { &reply }, lost);
                }
                Kind::LookUp(id) => {
                    let reply = match self.has(call.at, id) {
                        Some(payment) => response(200, &stored(&payment)),
                        None => response(404, ""),
                    };
                    rig.reply(&call, reply, false);
                }
                Kind::Health => unreachable!("kept apart"),
            }
        }
        for call in std::mem::take(&mut rig.health_calls) {
            let healthy = "{\"failing\":false,\"minResponseTime\":0}";
            rig.reply(&call, response(200, healthy), false);
        }
    }

    fn listen(&mut self, rig: &mut Rig, talk: &mut Talk) {
        for reply in rig.replies(talk.client) {
            let asked = talk.asked.pop_front().expect("no more than requests");
            match (asked, reply.status) {
                (Asked::Pay(id), 202) => {
                    self.acknowledged.insert(id);
                }
                (Asked::PayNow, 200 | 202) => {
                    let id = reply.body.strip_prefix("{\"id\":\"").expect("its id");
                    let id = PaymentId::parse(&id.as_bytes()[..36]).unwrap();
                    self.acknowledged.insert(id);
                    if reply.status == 200 {
                        assert!(self.carried.iter().any(|(_, it)| it.id == id));
                        self.outcomes += 1;
                    }
                }
                (Asked::Summary(least), 200) => {
                    let [default, fallback] = reply.totals().map(|(count, _)| count as usize);
                    let most = self.carried.len();
                    let told = default + fallback;
                    assert!((least..=most).contains(&told), "{least} {told} {most}");
                    self.summaries += 1;
                }
                (Asked::Health, 200) | (Asked::Pay(_) | Asked::PayNow | Asked::Summary(_), 503) => {
                }
                other => panic!("{other:?}: {reply:?}"),
            }
        }
    }
}

/// How many summaries and outcomes were told.
fn play(seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let nodes = 1 + random.below(3);
    let mut rig = Rig::new(Plan {
        nodes,
        shards: nodes + random.below(3),
        durability: match random.below(2) {
            0 => Durability::Process,
            _ => Durability::Disk,
        },
        ..GATEWAY_ONE
    });
    let mut frozen = vec![false; nodes];
    let mut talks: Vec<Talk> = Vec::new();
    let mut books = Books::default();
    let mut ids = (1..).map(PaymentId::made_of);
    for _ in 0..300 {
        let node = random.below(nodes);
        let runs = rig.exit(node).is_none();
        if talks.len() < 8 && runs && !frozen[node] && rig.cores[node].accepting {
            let client = rig.connect(node);
            talks.push(Talk {
                client,
                asked: VecDeque::new(),
            });
        }
        for talk in &mut talks {
            let (request, asked) = match random.below(8) {
                0..=2 => {
                    let id = ids.next().expect("there are many");
                    (pay(id, "1"), Asked::Pay(id))
                }
                3 => (pay_now("1", ""), Asked::PayNow),
                // The first of its kind only: it is asked for when it is taken up, not before.
                4 | 5 if talk.asked.is_empty() => (summary(), Asked::Summary(books.carried.len())),
                6 => (get("/health"), Asked::Health),
                _ => continue,
            };
            rig.send(talk.client, request);
            talk.asked.push_back(asked);
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
            3..=5 if frozen[node] => {
                frozen[node] = false;
                rig.thaw(node);
            }
            6..=12 if rig.is_gone(node) => rig.restart(node),
            13 | 14 => rig.cut(node, random.below(nodes)),
            15 => rig.disk_stuck(node, true),
            16 | 17 => rig.disk_stuck(node, false),
            _ => {}
        }
        books.answer(&mut rig, Some(&mut random));
        for _ in 0..random.below(4) {
            let node = random.below(nodes);
            if rig.exit(node).is_none() && !frozen[node] {
                rig.tick(node, |_| ());
            }
        }
        books.answer(&mut rig, Some(&mut random));
        rig.pass(random.below(30) as u64 * MILLISECOND_NS);
        rig.check_counts();
        talks.retain_mut(|talk| {
            books.listen(&mut rig, talk);
            !rig.is_closed(talk.client)
        });
    }
    for node in 0..nodes {
        rig.thaw(node);
        rig.disk_stuck(node, false);
    }
    for _ in 0..600 {
        books.answer(&mut rig, None);
        rig.pass(20 * MILLISECOND_NS);
        for node in 0..nodes {
            if rig.is_gone(node) {
                rig.restart(node);
            }
        }
    }
    for talk in &mut talks {
        books.listen(&mut rig, talk);
        let closed = rig.is_closed(talk.client);
        assert!(closed || talk.asked.is_empty(), "{:?}", talk.asked);
    }
    rig.check_counts();
    for node in 0..nodes {
        assert_eq!(rig.cores[node].runtime.node().queries.open_queries(), 0);
    }
    let carried: BTreeSet<PaymentId> = books.carried.iter().map(|(_, it)| it.id).collect();
    assert_eq!(carried.len(), books.carried.len(), "once each");
    assert!(books.acknowledged.is_subset(&carried));
    let client = rig.connect(random.below(nodes));
    let all = rig.ask(client, summary());
    let told: u64 = all.totals().iter().map(|(count, _)| count).sum();
    assert_eq!(told, books.carried.len() as u64);
    (books.summaries, books.outcomes)
}

#[test]
fn replies_and_summaries_are_true_whatever_happens_to_the_nodes() {
    let (mut summaries, mut outcomes) = (0, 0);
    for seed in 0..12 {
        let played = std::panic::catch_unwind(|| play(seed));
        let told = played.unwrap_or_else(|_| panic!("seed {seed}"));
        (summaries, outcomes) = (summaries + told.0, outcomes + told.1);
    }
    assert!(summaries > 100 && outcomes > 100, "{summaries} {outcomes}");
}
