//! Several machines: replicas ([`galo::replicate`]), an engine between them, and what goes wrong with both. Its shards are
//! lists of numbers: what is looked at is who owns them, what is confirmed, and what is read.
//!
//! - `engine`: the streams. `member`: a replica with its copies and its clock. `oracle`: what is promised.
//! - `world`: what happens when, and what members do about it. `wire`: between them and the engine. `plan`: what a seed
//!   decides beforehand. `faults`: what goes wrong. `writes`: what is in the log.
//! - `sabotage`: known-wrong behaviour.

/// The id of all of them.
const CLUSTER: u128 = 0x6761_6c6f;

mod engine;
mod faults;
mod member;
mod oracle;
mod plan;
mod sabotage;
mod wire;
mod world;
mod writes;

use galo::limits::SECOND_NS;
use galo_testkit::Random;

use crate::many::{Options, Outcome, Simulation};
use crate::trace::{Checked, Shown, Trace};
use crate::{event, require};
use sabotage::Sabotage;
use world::World;

crate::coverage! {
    /// Records in the log at the end.
    records,
    /// Writes that were confirmed.
    confirmed,
    /// Reads that were answered.
    read,
    /// Reads that had to wait for a renewal of the lease.
    read_late,
    /// Shards taken over.
    owned,
    /// Shards lost, or given away.
    lost,
    /// Writes that were taken back.
    taken_back,
    /// Leases that were revoked.
    revoked,
    /// Records that were sent again, and were there already.
    answers_lost,
    /// Requests without an answer.
    unanswered,
    /// Processes that were killed.
    kills,
    /// All of them at once.
    power_losses,
    /// Processes that stopped.
    stops,
    /// Processes that were paused.
    pauses,
    /// Members cut off from the engine.
    cuts,
    /// Members whose streams stood still.
    stalls,
    /// Elections.
    elections,
    /// Servers that lead without having everything.
    holes,
    /// Alarms about that.
    alarms,
    /// Shards given to another member.
    handovers,
    /// Members on new machines.
    replaced,
    /// Files of shards that were stored.
    kept,
    /// Copies that came from one.
    restored,
}

/// Within this time without faults every shard is served again, and every copy is up to date.
const QUIESCENCE_NS: u64 = 20 * SECOND_NS;

/// Replicas and the engine between them.
pub const MACHINES: Simulation<Sabotage, Coverage> = Simulation {
    flag: "--machines ",
    sabotages: Sabotage::ALL,
    first_seed: |_| 0,
    self_test_seeds: 1000,
    run,
};

/// Does what the seed says.
fn run(seed: u64, options: Options<Sabotage>) -> Outcome<Coverage> {
    let mut random = Random::new(seed);
    let plan = plan::Plan::new(&mut random, options.sabotage);
    let mut world = World::new(plan, random, Trace::new(options.shown), options.sabotage);
    let result = live(&mut world);
    world.coverage.records = world.engine.log.len() as u64;
    Outcome {
        hash: world.trace.hash(),
        coverage: world.coverage,
        violation: result.err().map(|violation| violation.0),
    }
}

fn live(world: &mut World) -> Checked {
    world.begin()?;
    let until_ns = world.plan.troubled_ns;
    world.until(until_ns)?;
    world.heal()?;
    let healed_ns = world.now_ns;
    while let Some(missing) = world.missing() {
        require!(
            world.now_ns < healed_ns + QUIESCENCE_NS,
            "{QUIESCENCE_NS} ns without faults: {missing}"
        );
        world.step()?;
    }
    event!(
        world.trace,
        crate::trace::Who::World,
        "every shard has its owner"
    );
    world.ask_all()?;
    let asked_ns = world.now_ns;
    while let Some(missing) = world.unanswered() {
        require!(
            world.now_ns < asked_ns + QUIESCENCE_NS,
            "{QUIESCENCE_NS} ns later: {missing}"
        );
        world.step()?;
    }
    Ok(())
}

/// How long nobody serves a shard whose owner is killed, while nothing else is wrong and clocks are right: from the
/// kill to the first write that is confirmed, nanoseconds.
pub fn takeover_ns(seed: u64) -> Checked<u64> {
    let mut random = Random::new(seed);
    let plan = plan::Plan::calm(&mut random);
    let mut world = World::new(plan, random, Trace::new(Shown::Nothing), None);
    world.begin()?;
    while world.missing().is_some() {
        world.step()?;
    }
    // Somewhere between two renewals.
    let wait_ns = world.random.below(SECOND_NS);
    world.until(world.now_ns + wait_ns)?;
    let owner = world.owner(0).expect("it has one");
    let killed_ns = world.now_ns;
    world.kill(owner);
    while world.owner(0).is_none() {
        require!(world.now_ns < killed_ns + 60 * SECOND_NS, "nobody takes it");
        world.step()?;
    }
    let confirmed = world.coverage.confirmed;
    let successor = world.owner(0).expect("it has one again");
    world.write(successor, 0)?;
    while world.coverage.confirmed == confirmed {
        world.step()?;
    }
    Ok(world.now_ns - killed_ns)
}
