//! A shard knows again what a plain list knows again: through full disks, restarts and snapshots.

use galo::bank::{Description, Kind, Posted, Refusal};
use galo::command::{ForwardId, Ids, Origin};
use galo::machine::Job as _;
use galo::shard::{create, open, Client, DedupResult, Meta, RealDisk, Recovered, Shard, Store};
use proptest::collection::vec;
use proptest::prelude::*;

const META: Meta = Meta {
    directory: 0xfeed_beef,
    shards: 1,
};
const LIMIT: i64 = 1000;
/// Of a key.
const LIFE_S: u64 = 600;

/// What may come with the same ids and differ.
type Order = (u32, Kind, i64);

#[derive(Clone, Debug)]
enum Step {
    Command {
        order: Order,
        ids: Ids,
        /// After the shard's time.
        later_s: u64,
    },
    Reset,
    /// The tick ends; a snapshot goes on by one step.
    Write,
    /// The tick ends: the disk is full.
    Refuse,
    Snapshot,
    /// What is not written is gone.
    Restart,
}

fn command() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(Kind::Credit), Just(Kind::Debit)];
    let order = (1..3_u32, kind, prop_oneof![Just(7_i64), Just(400)]);
    let forward = (0..2_u16, 0..2_u64, 1..30_u64).prop_map(|(member, epoch, counter)| ForwardId {
        origin: Origin { member, epoch },
        counter,
    });
    // So that some have the same hash.
    let key = (0..30_u128).prop_map(|key| (key << 100) | (key % 4));
    let ids = (prop::option::of(forward), prop::option::of(key));
    let later_s = prop_oneof![12 => 0..9_u64, 1 => 200..400_u64];
    (order, ids, later_s).prop_map(|(order, (forward, key), later_s)| Step::Command {
        order,
        ids: Ids { forward, key },
        later_s,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => command(),
        1 => Just(Step::Reset),
        10 => Just(Step::Write),
        2 => Just(Step::Refuse),
        3 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..400)
}

/// Every command that was carried out and is to be remembered, in order.
#[derive(Default)]
struct Plain {
    all: Vec<(Ids, Order, Result<Posted, Refusal>, u64)>,
    /// So many of them are in the journal.
    written: usize,
}

impl Plain {
    fn recognise(&self, ids: &Ids, order: Order, now_s: u64) -> DedupResult {
        if let Some(id) = ids.forward {
            let others = self.all.iter().rev().filter_map(|(ids, _, outcome, _)| {
                let other = ids.forward?;
                (other.origin.member == id.origin.member).then_some((other, outcome))
            });
            let mut incarnation = others.take_while(|(other, _)| other.origin == id.origin);
            if let Some((_, outcome)) = incarnation.find(|(other, _)| *other == id) {
                return DedupResult::Repeated(*outcome);
            }
        }
        let mut newest = self.all.iter().rev();
        match newest.find(|(other, ..)| other.key.is_some() && other.key == ids.key) {
            Some((.., time_s)) if now_s - time_s > LIFE_S => DedupResult::New,
            Some((_, other, outcome, _)) if *other == order => DedupResult::Repeated(*outcome),
            Some(_) => DedupResult::OtherRequest,
            None => DedupResult::New,
        }
    }
}

/// What a shard makes of a command, and what it is to make of it.
fn recognise_both(
    shard: &Shard,
    plain: &Plain,
    order: Order,
    ids: &Ids,
    time_us: u64,
) -> [DedupResult; 2] {
    let (client, kind, amount) = order;
    let index = shard.find(client).unwrap();
    let text = Description::new("x").unwrap();
    [
        shard.recognise(index, kind, amount, text, time_us, ids),
        plain.recognise(ids, order, shard.time_us(time_us) / 1_000_000),
    ]
}

fn command_of(shard: &mut Shard, plain: &mut Plain, order: Order, ids: &Ids, later_s: u64) {
    let time_us = shard.time_us(0) + later_s * 1_000_000;
    let [known, expected] = recognise_both(shard, plain, order, ids, time_us);
    assert_eq!(known, expected);
    if known == DedupResult::New {
        let (client, kind, amount) = order;
        let index = shard.find(client).unwrap();
        let text = Description::new("x").unwrap();
        let outcome = shard.transact(index, kind, amount, text, time_us, ids);
        if outcome.is_ok() || ids.key.is_some() {
            plain.all.push((*ids, order, outcome, time_us / 1_000_000));
        }
    }
}

fn written(shard: &mut Shard, store: &mut Store<RealDisk>, plain: &mut Plain) {
    if !shard.batch().is_empty() {
        store.append(shard).unwrap();
        shard.written();
        plain.written = plain.all.len();
    }
    // Only a snapshot waits for it.
    let sync = store.snapshot_under_way().then(|| store.sync());
    if let Some(job) = sync.flatten() {
        store.done(shard, job.run()).unwrap();
    }
    if let Some(job) = store.snapshot_step(shard) {
        store.done(shard, job.run()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_shard_knows_what_a_plain_list_knows(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let client = |id| Client { id, limit: LIMIT, balance: 0 };
        create(&RealDisk, dir.path(), &META, &[client(1), client(2)]).unwrap();
        let reopen = || open(&RealDisk, dir.path(), &META, 0).unwrap();
        let Recovered { mut shard, mut store, .. } = reopen();
        let mut plain = Plain::default();
        for step in &steps {
            match step {
                Step::Command { order, ids, later_s } if shard.accepts() => {
                    command_of(&mut shard, &mut plain, *order, ids, *later_s);
                }
                Step::Command { .. } => {}
                Step::Reset if shard.accepts() => shard.reset(None, 0),
                Step::Reset => {}
                Step::Write => written(&mut shard, &mut store, &mut plain),
                Step::Refuse => {
                    shard.refused();
                    plain.all.truncate(plain.written);
                }
                Step::Snapshot => {
                    written(&mut shard, &mut store, &mut plain);
                    store.snapshot_begin(&mut shard);
                }
                Step::Restart => {
                    plain.all.truncate(plain.written);
                    Recovered { shard, store, .. } = reopen();
                }
            }
        }
        written(&mut shard, &mut store, &mut plain);
        let recovered = reopen().shard;
        for step in &steps {
            if let Step::Command { order, ids, .. } = step {
                for shard in [&shard, &recovered] {
                    let [known, expected] = recognise_both(shard, &plain, *order, ids, 0);
                    prop_assert_eq!(known, expected);
                }
            }
        }
        galo::shard::check::check(dir.path(), &mut Vec::new()).unwrap();
    }
}
