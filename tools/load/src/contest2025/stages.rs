//! What processors do, and when.

use std::time::Duration;

/// Of the script.
pub const LENGTH: Duration = Duration::from_secs(60);

/// From one moment to the next stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The second of the script at which it begins.
    pub second: u32,
    /// Of the default processor and of the fallback.
    pub states: [State; 2],
}

/// What a processor does to payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Of each, in milliseconds.
    pub delay_ms: u64,
    /// Whether they fail when the delay is over.
    pub failing: bool,
}

/// The contest's, in order.
pub const STAGES: [Stage; 6] = [
    stage(1, (0, false), (0, false)),
    stage(10, (100, false), (0, false)),
    stage(20, (100, true), (0, false)),
    stage(30, (2000, true), (1000, true)),
    stage(40, (20, false), (20, false)),
    stage(50, (0, false), (5000, false)),
];

const fn stage(second: u32, default: (u64, bool), fallback: (u64, bool)) -> Stage {
    Stage {
        second,
        states: [
            State {
                delay_ms: default.0,
                failing: default.1,
            },
            State {
                delay_ms: fallback.0,
                failing: fallback.1,
            },
        ],
    }
}

impl Stage {
    /// From the beginning of a run of this length to that of the stage. What processors do is not scaled.
    pub fn begins(&self, length: Duration) -> Duration {
        length * self.second / LENGTH.as_secs() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_begin_at_their_parts_of_a_run_of_any_length() {
        let begins_s = |length| STAGES.map(|stage| stage.begins(length).as_secs_f64());
        assert_eq!(begins_s(LENGTH), [1.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(begins_s(LENGTH / 10), [0.1, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let delays_ms = STAGES.map(|stage| stage.states.map(|state| state.delay_ms));
        assert_eq!(delays_ms[3..], [[2000, 1000], [20, 20], [0, 5000]]);
    }
}
