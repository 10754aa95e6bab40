//! Runs of settled payments: the slow work of a core, one piece at a time.

use super::*;
use crate::limits::{SNAPSHOT_RETRY_NS, SYNC_DELAY_NS_MAX};
use crate::payments::{PaymentId, Processor, Window};
use crate::runtime::Work;
use crate::shard::{Accepted, Shard, StoreJob};

/// Settled payments of a run here.
const RUN: usize = 4;

/// One core with two shards. Without processors nobody but the test does anything about payments.
const TWO_SHARDS: Plan = Plan { shards: 2, ..ONE };

/// Whatever may be done about so many payments of a shard in three ticks.
fn settle(rig: &mut Rig, core: usize, shard: usize, numbers: std::ops::Range<u128>) {
    let shards = rig.disks.len();
    let ids = numbers.map(PaymentId::made_of);
    let ids: Vec<PaymentId> = ids.filter(|id| id.shard(shards) == shard).collect();
    let realtime_us = rig.now().realtime_us;
    let mut each = |act: fn(&mut Shard, PaymentId, u64)| {
        rig.tick(core, |runtime| {
            let shard = runtime.node_mut().shard_mut(shard);
            ids.iter().for_each(|id| act(shard, *id, realtime_us));
        });
    };
    each(|shard, id, now_us| assert_eq!(shard.pay(id, 1990, now_us), Accepted::New));
    each(|shard, id, now_us| {
        shard.bind_payment(id, Processor::Default, now_us);
    });
    each(|shard, id, now_us| assert!(shard.settle_payment(id, now_us, now_us)));
}

/// Files, and settled payments, of a shard.
fn runs(rig: &Rig, core: usize, shard: usize) -> (usize, u64) {
    let mut shards = rig.cores[core].runtime.shards();
    let shard = shards.find(|it| it.identity().shard as usize == shard);
    let payments = shard.expect("it is ours").payments();
    let totals = payments.summary(&Window::ALL).unwrap();
    assert_eq!(totals.of(Processor::Default).count, payments.settled());
    (payments.runs(), payments.settled())
}

/// All runs of both shards that can be made are there.
fn expect_runs(rig: &Rig, payments: u64) {
    let shards = [0, 1].map(|shard| runs(rig, 0, shard));
    assert_eq!(
        shards.iter().map(|(_, settled)| settled).sum::<u64>(),
        payments
    );
    for (runs, settled) in shards {
        assert!(runs > 0);
        assert_eq!(runs as u64, settled / RUN as u64);
    }
}

fn is_run(job: &Work<Faulty>) -> bool {
    matches!(job, Work::Store(StoreJob::Run(_)))
}

#[test]
fn one_run_at_a_time_and_only_of_what_is_durable() {
    let mut rig = Rig::new(TWO_SHARDS);
    rig.cores[0].runtime.set_settled_run(RUN);
    settle(&mut rig, 0, 0, 0..30);
    settle(&mut rig, 0, 1, 0..30);
    rig.run();
    assert_eq!((runs(&rig, 0, 0).0, runs(&rig, 0, 1).0), (0, 0));
    rig.pass(SYNC_DELAY_NS_MAX);
    expect_runs(&rig, 30);

    settle(&mut rig, 0, 0, 100..130);
    settle(&mut rig, 0, 1, 100..130);
    // The syncs are through, and no more.
    rig.disk_stuck(0, true);
    rig.pass(SYNC_DELAY_NS_MAX);
    let syncs: Vec<Work<Faulty>> = rig.cores[0].jobs.drain(..).collect();
    assert_eq!(syncs.len(), 2);
    rig.cores[0]
        .done
        .extend(syncs.into_iter().map(|job| job.run()));
    rig.pass(SECOND_NS);
    let core = &rig.cores[0];
    assert_eq!(core.jobs.len(), 1, "the other shard's waits");
    assert!(is_run(&core.jobs[0]));
    rig.disk_stuck(0, false);
    rig.run();
    expect_runs(&rig, 60);
}

#[test]
fn a_run_that_failed_is_made_later() {
    let mut rig = Rig::new(ONE);
    rig.cores[0].runtime.set_settled_run(RUN);
    rig.disks[0].0.lock().unwrap().rename = Some(libc::EIO);
    settle(&mut rig, 0, 0, 0..6);
    rig.pass(SYNC_DELAY_NS_MAX);
    assert_eq!(runs(&rig, 0, 0), (0, 6));
    rig.disks[0].0.lock().unwrap().rename = None;
    rig.pass(SNAPSHOT_RETRY_NS - SECOND_NS);
    assert_eq!(runs(&rig, 0, 0), (0, 6), "not all the time");
    rig.pass(SECOND_NS);
    assert_eq!(runs(&rig, 0, 0), (1, 6));
}

#[test]
fn a_shard_is_kept_until_its_run_is_made() {
    let mut rig = Rig::new(Plan { nodes: 2, ..ONE });
    let owner = rig.owners(0)[0];
    let other = 1 - owner;
    rig.cores[owner].runtime.set_settled_run(RUN);
    settle(&mut rig, owner, 0, 0..6);
    rig.disk_stuck(owner, true);
    rig.pass(SYNC_DELAY_NS_MAX);
    let sync = rig.cores[owner].jobs.pop_front().expect("a sync");
    rig.cores[owner].done.push_back(sync.run());
    rig.run();
    assert!(rig.cores[owner].jobs.iter().any(is_run));
    rig.stop_node(owner);
    assert_eq!(rig.owners(0), [owner]);
    rig.disk_stuck(owner, false);
    rig.pass(SECOND_NS);
    assert_eq!(rig.owners(0), [other]);
    assert_eq!(runs(&rig, other, 0), (1, 6));
}
