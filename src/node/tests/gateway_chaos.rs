//! Processors that fail in every way, nodes that are killed, disks that are full: each payment that was
//! accepted is carried out in the end, once, by one of them, and the books agree.

use std::collections::BTreeMap;

use super::payments::{find, CENTS, PAY};
use super::random_requests::Random;
use super::rig::processors::{response, stored, Call, Kind};
use super::*;
use crate::api::processors::Stored;
use crate::limits::MILLISECOND_NS;
use crate::payments::{PaymentId, PaymentState, Summary, Window};
use crate::shard::Accepted;

/// Both processors' books, and what they have in the works after whoever asked has gone, perhaps.
#[derive(Default)]
struct Processors {
    books: [BTreeMap<PaymentId, Stored>; 2],
    delayed: Vec<Call>,
}

impl Processors {
    fn store(&mut self, call: &Call) -> u16 {
        let payment = call.payment();
        let book = &mut self.books[call.at as usize];
        match book.contains_key(&payment.id) {
            true => 422,
            false => {
                book.insert(payment.id, payment);
                200
            }
        }
    }

    fn look_up(&self, call: &Call, id: PaymentId) -> String {
        match self.books[call.at as usize].get(&id) {
            Some(payment) => response(200, &stored(payment)),
            None => response(404, ""),
        }
    }

    /// Does something about a payment; what is sent, and whether the connection ends behind it. `None`:
    /// not now.
    fn pay(&mut self, call: &Call, random: &mut Random) -> Option<(String, bool)> {
        match random.below(14) {
            0 => Some((response(500, ""), false)),
            1 => Some((response(429, ""), false)),
            2 => Some((String::new(), true)),
            3 => {
                self.store(call);
                Some((String::new(), true))
            }
            4 => {
                let status = self.store(call);
                let whole = response(status, "{\"message\":\"payment processed\"}");
                let cut = random.below(whole.len() + 1);
                Some((whole[..cut].to_owned(), true))
            }
            5 => Some((response(503, ""), random.below(2) == 0)),
            6 | 7 => {
                self.delayed.push(*call);
                None
            }
            _ => {
                let status = self.store(call);
                Some((response(status, "{\"message\":\"x\"}"), false))
            }
        }
    }
}

/// Lets the processors answer all that they were asked.
fn answer_all(rig: &mut Rig, processors: &mut Processors, random: Option<&mut Random>) {
    let mut random = random;
    for call in rig.calls() {
        let hangs_up = random.as_mut().is_some_and(|it| it.below(6) == 0);
        let reply = match (call.kind, &mut random) {
            (Kind::Health, _) => unreachable!("kept apart"),
            (Kind::LookUp(_), _) if hangs_up => Some((String::new(), true)),
            (Kind::LookUp(id), _) => Some((processors.look_up(&call, id), false)),
            (Kind::Pay(_), Some(random)) => processors.pay(&call, random),
            (Kind::Pay(_), None) => {
                let status = processors.store(&call);
                Some((response(status, ""), false))
            }
        };
        if let Some((bytes, ends)) = reply {
            rig.reply(&call, bytes, ends);
        }
    }
    for call in std::mem::take(&mut rig.health_calls) {
        let failing = random.as_mut().is_some_and(|it| it.below(4) == 0);
        let body = format!("{{\"failing\":{failing},\"minResponseTime\":0}}");
        rig.reply(&call, response(200, &body), false);
    }
}

/// A client pays, if there is somebody to accept it. Whether it was told so.
fn pay(rig: &mut Rig, number: u128) -> bool {
    let id = PaymentId::made_of(number);
    let shard = id.shard(rig.disks.len());
    let [core] = rig.owners(shard)[..] else {
        return false;
    };
    let realtime_us = rig.now().realtime_us;
    let mut accepted = false;
    rig.tick(core, |runtime| {
        if runtime.node().shards.serves(shard) {
            let shard = runtime.node_mut().shard_mut(shard);
            accepted = shard.accepts() && shard.pay(id, CENTS, realtime_us) == Accepted::New;
        }
    });
    // Its batch may have been refused.
    accepted && rig.owners(shard) == [core] && find(rig, id).is_some()
}

/// Payments without an outcome.
fn open(rig: &Rig) -> usize {
    let running = rig.cores.iter().filter(|core| core.exit.is_none());
    let shards = running.flat_map(|core| core.runtime.shards());
    shards.map(|shard| shard.payments().open()).sum()
}

#[track_caller]
fn chaos(seed: u64) {
    let mut random = Random(seed);
    let nodes = 1 + random.below(2);
    let mut rig = Rig::new(Plan {
        nodes,
        shards: nodes * (1 + random.below(2)),
        durability: match random.below(2) {
            0 => Durability::Process,
            _ => Durability::Disk,
        },
        ..PAY
    });
    let mut processors = Processors::default();
    let mut accepted = Vec::new();
    for number in 0..400 {
        if pay(&mut rig, number) {
            accepted.push(PaymentId::made_of(number));
        }
        rig.run();
        match random.below(60) {
            0 => {
                let node = random.below(nodes);
                rig.kill_if_running(node);
                // A node that starts is none of this test's.
                for disk in &rig.disks {
                    disk.0.lock().unwrap().writes.clear();
                }
            }
            1..=6 => {
                let gone = (0..nodes).find(|node| rig.is_gone(*node));
                if let Some(node) = gone {
                    rig.restart(node);
                }
            }
            7 => {
                let its = random.below(2);
                rig.unreachable[its] = !rig.unreachable[its];
            }
            8 if nodes == 1 && !rig.is_gone(0) => rig.disk_full_once(random.below(rig.disks.len())),
            9 => rig.pass(16 * SECOND_NS),
            10 => {
                let node = random.below(nodes);
                if rig.is_running(node) {
                    rig.stop_node(node);
                }
            }
            11 if nodes > 1 => rig.cut(0, 1),
            _ => {}
        }
        if random.below(3) > 0 {
            answer_all(&mut rig, &mut processors, Some(&mut random));
        }
        if random.below(4) == 0 && !processors.delayed.is_empty() {
            let at = random.below(processors.delayed.len());
            let call = processors.delayed.swap_remove(at);
            let status = match random.below(4) {
                0 => 500,
                _ => processors.store(&call),
            };
            rig.reply(&call, response(status, ""), false);
        }
        rig.pass(random.below(40) as u64 * MILLISECOND_NS);
    }
    // Everything works again; what was delayed is stored at last, or was not.
    rig.unreachable = [false; 2];
    for call in std::mem::take(&mut processors.delayed) {
        if random.below(2) == 0 {
            processors.store(&call);
        }
    }
    for node in 0..nodes {
        if rig.is_gone(node) {
            rig.restart(node);
        }
    }
    for _ in 0..1000 {
        answer_all(&mut rig, &mut processors, None);
        rig.pass(100 * MILLISECOND_NS);
        if open(&rig) == 0 {
            break;
        }
    }
    assert_eq!(open(&rig), 0, "seed {seed}");
    let mut summary = Summary::default();
    for (by, book) in crate::payments::Processor::ALL
        .iter()
        .zip(&processors.books)
    {
        for (id, payment) in book {
            summary.add(*by, payment.cents);
            let requested_us = payment.requested_us;
            let expected = PaymentState::Processed {
                by: *by,
                requested_us,
            };
            let known = find(&rig, *id).map(|it| it.state);
            assert_eq!(known, Some(expected), "seed {seed}: {id}");
        }
    }
    for id in &accepted {
        let holders = processors.books.iter().filter(|book| book.contains_key(id));
        assert_eq!(holders.count(), 1, "seed {seed}: {id}");
    }
    let mut ours = Summary::default();
    for core in rig.cores.iter().filter(|core| core.exit.is_none()) {
        for shard in core.runtime.shards() {
            ours.merge(&shard.payments().summary(&Window::ALL).unwrap());
        }
    }
    assert_eq!(ours, summary, "seed {seed}");
    assert!(accepted.len() > 50, "seed {seed}: {}", accepted.len());
}

#[test]
fn whatever_happens_each_payment_is_carried_out_once() {
    for seed in 0..8 {
        chaos(seed);
    }
}
