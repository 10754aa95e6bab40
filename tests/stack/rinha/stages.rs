//! What processors do, and when.

use std::thread;
use std::time::{Duration, Instant};

use super::LENGTH;
use crate::support::Processor;

/// The second of the script at which it begins; the delay in ms and whether it fails, of both.
const STAGES: [(u32, [(u64, bool); 2]); 6] = [
    (1, [(0, false), (0, false)]),
    (10, [(100, false), (0, false)]),
    (20, [(100, true), (0, false)]),
    (30, [(2000, true), (1000, true)]),
    (40, [(20, false), (20, false)]),
    (50, [(0, false), (5000, false)]),
];

/// Each at its time; the time in which they all are is scaled, what they do is not.
pub fn follow(processors: &[Processor; 2], begin: Instant, length: Duration) {
    for (second, states) in STAGES {
        let at = begin + length * second / LENGTH.as_secs() as u32;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        for (processor, (delay_ms, failing)) in processors.iter().zip(states) {
            processor.set_delay(delay_ms);
            processor.set_failing(failing);
        }
    }
}
