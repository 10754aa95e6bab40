//! One run: what a seed does, and what came of it.

pub use crate::coverage::Coverage;
use crate::many::Outcome;
use crate::payments;
use crate::plan::{Ending, Life, Plan};
use crate::sabotage::Sabotage;
use crate::step;
use crate::trace::{Checked, Shown, Who};
use crate::world::World;
use galo_testkit::Random;

/// How a run is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What of it is shown.
    pub shown: Shown,
    /// What is wrong in this world.
    pub sabotage: Option<Sabotage>,
}

/// Does what the seed says.
pub fn run(seed: u64, options: Options) -> Outcome<Coverage> {
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
