//! A shard's payments against a plain model: whatever happens to them, in whatever order, with refused
//! batches, snapshots in slices, runs, and restarts in between.

use std::collections::BTreeMap;
use std::path::Path;

use galo::machine::Job as _;
use galo::payments::{Payment, PaymentId, PaymentState, Processor, Summary, Window};
use galo::shard::{
    create, layout, open, Accepted, Client, Disk, DiskFile, Meta, RealDisk, Recovered, Shard,
    Store, StoreJob,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const META: Meta = Meta {
    directory: 0xfeed_beef,
    shards: 1,
};
const TIME_US: u64 = 1_704_067_200_000_000;
/// Settled payments of a run.
const RUN: usize = 8;
/// Ids that there are: few enough to come again.
const IDS: u64 = 400;

/// One step of a shard.
#[derive(Clone, Debug)]
enum Step {
    Pay {
        number: u64,
        cents: u64,
    },
    Bind {
        count: u8,
        to: Processor,
    },
    Refused(Index),
    InDoubt(Index),
    Retried(Index),
    Settle {
        which: Index,
        later_ms: u64,
    },
    Purge,
    Reset,
    /// The tick ends: its batch is written.
    Write,
    /// The tick ends: the disk is full.
    Refuse,
    Sync,
    Snapshot,
    Abandon,
    Restart,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let index = any::<Index>;
    let to = prop_oneof![Just(Processor::Default), Just(Processor::Fallback)];
    let step = prop_oneof![
        40 => (0..IDS, 1..4_u64).prop_map(|(number, cents)| Step::Pay { number, cents }),
        12 => (1..4_u8, to).prop_map(|(count, to)| Step::Bind { count, to }),
        4 => index().prop_map(Step::Refused),
        2 => index().prop_map(Step::InDoubt),
        2 => index().prop_map(Step::Retried),
        30 => (index(), 0..50_u64).prop_map(|(which, later_ms)| Step::Settle { which, later_ms }),
        16 => Just(Step::Write),
        2 => Just(Step::Refuse),
        3 => Just(Step::Sync),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Abandon),
        1 => Just(Step::Restart),
    ];
    // Rare, or there would never be anything.
    let step = prop_oneof![
        900 => step,
        1 => Just(Step::Purge),
        1 => Just(Step::Reset),
    ];
    vec(step, 1..most)
}

fn id(number: u64) -> PaymentId {
    PaymentId::made_of(u128::from(number) << 64 | u128::from(number * 7))
}

/// Whether a payment is among those that go first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tried {
    No,
    Yes,
    /// A restart may have forgotten it.
    Perhaps,
}

#[derive(Clone, Debug)]
struct Known {
    payment: Payment,
    tried: Tried,
    /// Bound, or bound before and freed, as a journal would say it.
    bound: Option<(Processor, u64)>,
    binds: u16,
}

/// All payments, by number.
type Model = BTreeMap<u64, Known>;

struct Incarnation {
    shard: Shard,
    store: Store<RealDisk>,
    now: Model,
    /// As the journal has it.
    written: Model,
    time_us: u64,
    forgets: bool,
    /// A job about runs.
    making: Option<StoreJob<RealDisk>>,
}

impl Incarnation {
    fn new(recovered: Recovered<RealDisk>) -> Incarnation {
        let Recovered {
            mut shard, store, ..
        } = recovered;
        shard.set_settled_run(RUN);
        Incarnation {
            shard,
            store,
            now: Model::new(),
            written: Model::new(),
            time_us: TIME_US,
            forgets: false,
            making: None,
        }
    }

    /// Bound, and not only in this tick.
    fn bound(&self, which: &Index) -> Option<u64> {
        let state = |model: &Model, number| model.get(number).map(|known| known.payment.state);
        let bound = self.now.iter().filter(|(number, known)| {
            matches!(known.payment.state, PaymentState::Bound { .. })
                && state(&self.written, number) == Some(known.payment.state)
        });
        let bound: Vec<u64> = bound.map(|(number, _)| *number).collect();
        (!bound.is_empty()).then(|| *which.get(&bound))
    }

    /// What is known in memory only is known whatever becomes of the batch.
    fn in_memory(&mut self, number: u64, change: impl Fn(&mut Payment)) {
        for model in [&mut self.now, &mut self.written] {
            change(&mut model.get_mut(&number).unwrap().payment);
        }
    }

    fn step(&mut self, step: &Step, dir: &Path) {
        self.time_us += 777;
        let time_us = self.time_us;
        match step {
            Step::Pay { number, cents } if self.shard.accepts() => {
                let expected = match self.now.get(number) {
                    None => Accepted::New,
                    Some(known) if known.payment.cents == *cents => Accepted::Repeated,
                    Some(_) => Accepted::OtherAmount,
                };
                assert_eq!(self.shard.pay(id(*number), *cents, time_us), expected);
                if expected == Accepted::New {
                    let payment = Payment {
                        id: id(*number),
                        cents: *cents,
                        accepted_us: time_us,
                        attempts: 0,
                        state: PaymentState::Free,
                    };
                    let known = Known {
                        payment,
                        tried: Tried::No,
                        bound: None,
                        binds: 0,
                    };
                    self.now.insert(*number, known);
                }
            }
            Step::Bind { count, to } => {
                for _ in 0..*count {
                    let Some(next) = self.shard.payments().next_free() else {
                        return;
                    };
                    if !self.shard.accepts() {
                        return;
                    }
                    let requested_us = self.shard.bind_payment(next.id, *to, time_us);
                    assert_eq!(requested_us, time_us / 1000 * 1000);
                    let mut known = self.now.values_mut();
                    let known = known.find(|known| known.payment.id == next.id).unwrap();
                    assert_eq!(known.payment, next);
                    known.payment.attempts += 1;
                    known.payment.state = PaymentState::Bound {
                        to: *to,
                        requested_us,
                        in_doubt: false,
                    };
                    known.tried = Tried::Yes;
                    known.bound = Some((*to, requested_us));
                    known.binds += 1;
                }
            }
            Step::Refused(which) => {
                let Some(number) = self.bound(which) else {
                    return;
                };
                let state = self.now[&number].payment.state;
                let frees = !matches!(state, PaymentState::Bound { in_doubt: true, .. });
                assert_eq!(self.shard.payment_refused(id(number)), frees);
                if frees {
                    self.in_memory(number, |payment| payment.state = PaymentState::Free);
                }
            }
            Step::InDoubt(which) => {
                let Some(number) = self.bound(which) else {
                    return;
                };
                self.shard.payment_in_doubt(id(number));
                self.in_memory(number, |payment| payment.state = doubted(payment.state));
            }
            Step::Retried(which) => {
                let Some(number) = self.bound(which) else {
                    return;
                };
                self.shard.payment_retried(id(number));
                self.in_memory(number, |payment| payment.attempts += 1);
            }
            Step::Settle { which, later_ms } if self.shard.accepts() => {
                let Some(number) = self.bound(which) else {
                    return;
                };
                let known = self.now.get_mut(&number).unwrap();
                let PaymentState::Bound {
                    to, requested_us, ..
                } = known.payment.state
                else {
                    unreachable!("it is bound");
                };
                let requested_us = requested_us + later_ms * 1000;
                assert!(self.shard.settle_payment(id(number), requested_us, time_us));
                assert!(!self.shard.settle_payment(id(number), requested_us, time_us));
                known.payment.state = PaymentState::Processed {
                    by: to,
                    requested_us,
                };
            }
            Step::Purge if self.shard.accepts() => {
                self.shard.purge(None, time_us);
                self.forgets = true;
            }
            Step::Reset if self.shard.accepts() => {
                self.shard.reset(None, time_us);
                self.forgets = true;
            }
            Step::Write => self.tick(),
            Step::Refuse => self.refuse(),
            Step::Sync => {
                self.tick();
                if let Some(job) = self.store.sync() {
                    self.store.done(&mut self.shard, job.run()).unwrap();
                }
            }
            Step::Snapshot => {
                self.tick();
                self.store.snapshot_begin(&mut self.shard);
            }
            Step::Abandon => self.store.snapshot_abandon(&mut self.shard),
            Step::Restart => {
                self.tick();
                self.restart(dir);
            }
            _ => {}
        }
    }

    /// The batch is written; a snapshot goes on by one slice.
    fn tick(&mut self) {
        let Incarnation { shard, store, .. } = self;
        if !shard.batch().is_empty() {
            store.append(shard).unwrap();
            shard.written();
        }
        if std::mem::take(&mut self.forgets) {
            self.now.clear();
        }
        self.written = self.now.clone();
        // A run is made while other things go on.
        let made = self.making.take();
        self.making = store.run_step(shard);
        for job in made.into_iter().chain(store.snapshot_step(shard)) {
            store.done(shard, job.run()).unwrap();
        }
    }

    fn refuse(&mut self) {
        self.shard.refused();
        self.forgets = false;
        let now = std::mem::replace(&mut self.now, self.written.clone());
        for (number, known) in &mut self.now {
            known.tried = now[number].tried;
            if matches!(now[number].payment.state, PaymentState::Processed { .. }) {
                known.payment.state = doubted(known.payment.state);
            }
        }
        self.written = self.now.clone();
    }

    /// Whoever recovers a shard knows of no refusal, and of no outcome.
    fn restart(&mut self, dir: &Path) {
        let Recovered { shard, store, .. } = open(&RealDisk, dir, &META, 0).unwrap();
        self.making = None;
        self.shard = shard;
        self.shard.set_settled_run(RUN);
        self.store = store;
        for known in self.now.values_mut() {
            let found = self.shard.payments().find(known.payment.id);
            let found = found.unwrap().expect("it was accepted");
            assert!((known.binds..=known.payment.attempts).contains(&found.attempts));
            let state = match (known.payment.state, known.bound) {
                (PaymentState::Free, Some((to, requested_us))) => PaymentState::Bound {
                    to,
                    requested_us,
                    in_doubt: true,
                },
                (state, _) => doubted(state),
            };
            if known.tried == Tried::Yes && known.binds == 0 {
                known.tried = Tried::Perhaps;
            }
            known.payment.state = state;
            known.payment.attempts = found.attempts;
        }
        self.written = self.now.clone();
    }

    /// All that can be asked.
    fn compare(&self) {
        let payments = self.shard.payments();
        for number in 0..IDS {
            let expected = self.now.get(&number).map(|known| known.payment);
            assert_eq!(payments.find(id(number)), Ok(expected), "{number}");
            let is_new = !self.written.contains_key(&number);
            if expected.is_some() {
                assert_eq!(payments.is_written(id(number)), !is_new, "{number}");
            }
        }
        let with = |wanted: fn(&PaymentState) -> bool| {
            let known = self.now.values();
            known.filter(move |known| wanted(&known.payment.state))
        };
        let free = || with(|state| matches!(state, PaymentState::Free));
        let open = || with(|state| !matches!(state, PaymentState::Processed { .. }));
        let settled = || with(|state| matches!(state, PaymentState::Processed { .. }));
        assert_eq!(payments.free(), free().count());
        assert_eq!(payments.open(), open().count());
        assert_eq!(payments.settled(), settled().count() as u64);
        let time = |known: &Known| known.payment.accepted_us;
        assert_eq!(payments.oldest_us(), open().map(time).min());
        assert_eq!(payments.newest_us(), free().map(time).max());
        let next = payments.next_free();
        assert_eq!(next.is_some(), free().next().is_some());
        if let Some(next) = next {
            let tried = |tried| {
                let among = free().filter(move |known| known.tried == tried);
                among.map(|known| known.payment.accepted_us).min()
            };
            let last = tried(Tried::Perhaps).or(tried(Tried::No));
            let first = tried(Tried::Yes).into_iter().chain(last).min();
            let before = tried(Tried::Perhaps).into_iter().chain(first).min();
            let between = before.unwrap()..=first.unwrap().max(tried(Tried::No).unwrap_or(0));
            assert!(between.contains(&next.accepted_us));
            if tried(Tried::Perhaps).is_none() {
                assert_eq!(Some(next.accepted_us), first);
            }
        }
        let mut bound: Vec<Payment> = payments.bound().collect();
        bound.sort_by_key(|payment| payment.id);
        let mut expected: Vec<Payment> = with(|state| matches!(state, PaymentState::Bound { .. }))
            .map(|known| known.payment)
            .collect();
        expected.sort_by_key(|payment| payment.id);
        assert_eq!(bound, expected);

        let times: Vec<u64> = settled()
            .filter_map(|known| processed(&known.payment))
            .map(|(_, time)| time)
            .collect();
        let mut windows = vec![Window::ALL];
        for pair in times.chunks(7) {
            let (from_us, to_us) = (pair[0], pair[pair.len() - 1]);
            for (from_us, to_us) in [
                (from_us, to_us),
                (from_us + 1, to_us),
                (from_us, to_us.max(1) - 1),
            ] {
                windows.push(Window { from_us, to_us });
            }
        }
        for window in windows {
            let mut expected = Summary::default();
            for known in settled() {
                let (by, time_us) = processed(&known.payment).unwrap();
                if window.contains(time_us) {
                    expected.add(by, known.payment.cents);
                }
            }
            assert_eq!(payments.summary(&window), Ok(expected));
        }
    }
}

fn processed(payment: &Payment) -> Option<(Processor, u64)> {
    match payment.state {
        PaymentState::Processed { by, requested_us } => Some((by, requested_us)),
        _ => None,
    }
}

fn doubted(state: PaymentState) -> PaymentState {
    match state {
        PaymentState::Bound {
            to, requested_us, ..
        } => PaymentState::Bound {
            to,
            requested_us,
            in_doubt: true,
        },
        state => state,
    }
}

fn made(dir: &Path) -> Recovered<RealDisk> {
    let client = Client {
        id: 1,
        limit: 1000,
        balance: 0,
    };
    create(&RealDisk, dir, &META, &[client]).unwrap();
    open(&RealDisk, dir, &META, 0).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn payments_are_as_a_plain_model_says(steps in steps(1200)) {
        let dir = tempfile::tempdir().unwrap();
        let mut incarnation = Incarnation::new(made(dir.path()));
        for (n, step) in steps.iter().enumerate() {
            incarnation.step(step, dir.path());
            if n % 50 == 0 {
                incarnation.compare();
            }
        }
        incarnation.tick();
        incarnation.compare();
        galo::shard::check::check(dir.path(), &mut Vec::new()).unwrap();
        let now = incarnation.now.clone();
        incarnation.restart(dir.path());
        incarnation.compare();

        if let [.., older, newest] = incarnation.store.snapshots() {
            let (older, newest) = (older.end, newest.end);
            let path = layout::snapshot(&layout::shard_dir(dir.path(), 0), newest);
            let file = RealDisk.open(&path).unwrap();
            file.write_all_at(b"?", 4096).unwrap();
            let recovered = open(&RealDisk, dir.path(), &META, 0).unwrap();
            prop_assert_eq!(recovered.report.snapshot, older);
            incarnation.now = now;
            incarnation.restart(dir.path());
            incarnation.compare();
        }
    }
}
