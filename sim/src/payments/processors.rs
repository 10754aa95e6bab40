//! The two processors, and what they have under way.

use std::collections::BTreeMap;

use galo::payments::Processor;
use galo_processor::model::{self, Config};

use super::phase::{Phase, Spoilt};
use super::wire::Request;
use super::Plan;
use crate::socket::Ended;
use galo_testkit::Random;

/// One of them.
pub struct Actor {
    pub model: model::Model,
    pub phase: Phase,
    /// Then comes the next phase.
    pub phase_ends_ns: u64,
    /// What is asked of the model, by its token.
    pub works: BTreeMap<u64, Work>,
}

/// A request that the model has.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The connection, if it is still there.
    pub at: u64,
    pub request: Request,
    pub spoilt: Option<Spoilt>,
}

/// More of a reply, or its end.
pub struct Later {
    pub due_ns: u64,
    pub at: u64,
    pub bytes: Vec<u8>,
    pub ended: Option<Ended>,
}

/// Both.
pub struct Processors {
    /// By number.
    pub each: [Actor; 2],
    pub random: Random,
    /// To connect takes so long at most, unless a phase says otherwise.
    pub connect_ns_max: u64,
    pub tokens: u64,
    pub later: Vec<Later>,
    /// They work, and go on doing so.
    pub healed: bool,
}

impl Processors {
    /// With nothing stored. `plan`: `None` if nobody will use them.
    pub fn new(plan: Option<&Plan>, seed: u64) -> Processors {
        let actor = || Actor {
            model: model::Model::new(Config {
                parallel_max: plan.map_or(1, |plan| plan.parallel_max),
                waiting_max: plan.map_or(0, |plan| plan.waiting_max),
                ..Config::default()
            }),
            phase: Phase::default(),
            phase_ends_ns: 0,
            works: BTreeMap::new(),
        };
        Processors {
            each: [actor(), actor()],
            random: Random::new(seed ^ 0x7061_796d_656e_7473),
            connect_ns_max: plan.map_or(1, |plan| plan.connect_ns_max),
            tokens: 0,
            later: Vec::new(),
            healed: false,
        }
    }

    /// When something happens next by itself.
    pub fn due_ns(&self) -> Option<u64> {
        let models = self.each.iter().filter_map(|it| it.model.deadline_ns());
        let phases = self.each.iter().map(|it| it.phase_ends_ns);
        let phases = phases.filter(|_| !self.healed);
        let later = self.later.iter().map(|later| later.due_ns);
        models.chain(phases).chain(later).min()
    }

    /// How long a connection takes to make now.
    pub fn connect_ns(&mut self, which: Processor) -> u64 {
        let phase = &self.each[which as usize].phase;
        match phase.connect_ns_max {
            0 => self.random.skewed(self.connect_ns_max),
            max_ns => self.random.skewed(max_ns),
        }
    }

    /// Whether nobody listens.
    pub fn refuses(&self, which: Processor) -> bool {
        self.each[which as usize].phase.refuses
    }

    /// A connection with a request in the works is gone.
    pub fn gave_up(&mut self, which: Processor, token: u64, now_ns: u64) {
        self.each[which as usize].model.gave_up(now_ns, token);
    }
}
