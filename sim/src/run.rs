//! One run: what a seed does, and what came of it.

use crate::coverage::Coverage;
use crate::many::{Options, Outcome, Simulation};
use crate::payments;
use crate::plan::{Ending, Life, Plan};
use crate::sabotage::Sabotage;
use crate::step;
use crate::trace::{Checked, Who};
use crate::world::World;
use galo_testkit::Random;

/// The bank and the gateway: clusters of processes on one machine.
pub const BANK_AND_GATEWAY: Simulation<Sabotage, Coverage> = Simulation {
    flag: "",
    sabotages: Sabotage::ALL,
    first_seed: Sabotage::first_seed,
    self_test_seeds: 300,
    run,
};

/// Does what the seed says.
fn run(seed: u64, options: Options<Sabotage>) -> Outcome<Coverage> {
    let mut random = Random::new(seed);
    let mut odd = Random::new(seed ^ 0x6f64_6473_616e_6465);
    let plan = Plan::new(&mut random)
        .with_payments(payments::Plan::new(seed))
        .with_odds(&mut odd);
    let mut world = World {
        sabotage: options.sabotage,
        ..World::new(seed, plan, random, odd, options.shown)
    };
    step!(world.trace, Who::World, "{:?}", world.plan);
    let result = lives(&mut world);
    world.coverage.too_large = world.disk.too_large();
    world.coverage.records = world.model.records();
    world.coverage.checked = world.model.checked + world.model.payments.checked;
    Outcome {
        hash: world.trace.hash(),
        coverage: world.coverage,
        violation: result.err().map(|violation| violation.0),
    }
}

fn lives(world: &mut World) -> Checked {
    let start_ns = world.random.skewed(1 << 50);
    world.set_clock(start_ns);
    world.trace.begin(start_ns);
    for _ in 0..world.plan.lives {
        let life = world.plan.life(&mut world.random, false);
        world.live(&life, false)?;
    }
    let life = world.plan.life(&mut world.random, true);
    world.live(&life, true)?;
    // Once more, only to look.
    let life = Life {
        steps: 0,
        ending: Ending::Kill,
        ..life
    };
    world.live(&life, false)
}
