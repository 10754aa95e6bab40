//! What happens at its time beside the users: stages begin, and totals are compared.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::calls::Calls;
use super::processors::Processor;
use super::stages::{State, LENGTH, STAGES};
use super::totals::{compare, shares};
use super::window::Window;
use crate::target::Target;

/// From one comparison to the next, at full length.
const COMPARE: Duration = Duration::from_secs(10);

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub began: Instant,
    pub scale: f64,
    /// Before it the target may have payments that are not of this run.
    pub earliest: Timestamp,
}

impl Clock {
    /// Of the whole.
    pub fn length(&self) -> Duration {
        LENGTH.mul_f64(self.scale)
    }

    /// Waits until then, or until the users have gone, who hold the other end; whether the time has come.
    fn wait(&self, at: Duration, gone: &Receiver<()>) -> bool {
        let at = self.began + at;
        let left = at.saturating_duration_since(Instant::now());
        match gone.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => true,
            // Both may come together.
            _ => Instant::now() >= at,
        }
    }
}

/// Each stage at its time. `say`: one line for whoever watches.
pub fn follow_stages(
    clock: Clock,
    processors: &[Processor; 2],
    gone: &Receiver<()>,
    say: &Sender<String>,
) -> Calls {
    let mut calls = Calls::new(true);
    for stage in STAGES {
        if !clock.wait(stage.begins(clock.length()), gone) {
            break;
        }
        for (processor, state) in processors.iter().zip(stage.states) {
            // What fails is a failed check.
            let _ = processor.set(&mut calls, state);
        }
        let [default, fallback] = stage.states.map(in_words);
        tell(say, format!("default {default}; fallback {fallback}"));
    }
    calls
}

/// Each comparison at its time, the last one as the users go. How many payments differed, all together.
pub fn follow_totals(
    clock: Clock,
    target: &Target,
    processors: &[Processor; 2],
    gone: &Receiver<()>,
    say: &Sender<String>,
) -> (Calls, u64) {
    let mut calls = Calls::new(true);
    let mut inconsistencies: u64 = 0;
    for number in 1..=LENGTH.as_secs() / COMPARE.as_secs() {
        let at = COMPARE.mul_f64(clock.scale * number as f64);
        if !clock.wait(at, gone) {
            break;
        }
        let window = Window::compared(Timestamp::now(), clock.scale, clock.earliest);
        let Some(comparison) = compare(&mut calls, target, processors, &window) else {
            tell(
                say,
                "a processor has no summary: nothing to compare with".to_owned(),
            );
            continue;
        };
        let difference = comparison.difference();
        inconsistencies = inconsistencies.saturating_add(difference);
        tell(
            say,
            match difference {
                0 => format!("summaries agree: {}", shares(&comparison.processors)),
                _ => format!("summaries differ by {difference}: {comparison}"),
            },
        );
    }
    (calls, inconsistencies)
}

/// Who watched may have gone.
fn tell(say: &Sender<String>, line: String) {
    let _ = say.send(line);
}

fn in_words(state: State) -> String {
    match state.failing {
        true => format!("{} ms and failing", state.delay_ms),
        false => format!("{} ms", state.delay_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn what_is_due_when_the_users_go_still_happens_and_nothing_later() {
        let clock = Clock {
            began: Instant::now(),
            scale: 0.1,
            earliest: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(clock.length(), Duration::from_secs(6));
        let (here, gone) = mpsc::channel();
        assert!(clock.wait(Duration::from_millis(20), &gone));
        assert!(clock.began.elapsed() >= Duration::from_millis(20));
        drop(here);
        assert!(clock.wait(Duration::from_millis(20), &gone));
        assert!(!clock.wait(Duration::from_secs(3600), &gone));
    }
}
