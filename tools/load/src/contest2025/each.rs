//! Each payment by its id, at both processors, when the users have gone: what is lost and what is doubled may cancel out in
//! totals, and does not here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use galo_processor::decimal;
use uuid::Uuid;

use super::calls::Calls;
use super::processors::{Processor, ANSWERS};
use super::score::PROCESSORS;
use super::stages::STAGES;
use super::totals::{payments, shares};
use super::users::Users;
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::traffic::payments::{Fate, AMOUNT_CENTS};
use crate::traffic::totals::Summary;

/// For what is at a processor when the users have gone: the longest delay of the last stage.
const INSIDE_MAX: Duration = {
    let [default, fallback] = STAGES[STAGES.len() - 1].states;
    let (default_ms, fallback_ms) = (default.delay_ms, fallback.delay_ms);
    Duration::from_millis(if default_ms > fallback_ms {
        default_ms
    } else {
        fallback_ms
    })
};
/// From one look to the next, and from one frame of the screen to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections to each processor, side by side: in the contest a processor asks its database for each payment.
const CONNECTIONS: usize = 4;

const ONCE: &str = "processors have each acknowledged payment once";
const ASKED_FOR: &str = "processors have no payments that nobody asked for";

/// What both processors have under an id, in cents.
type Found = [Option<u64>; 2];

/// Waits until the processors have finished what they have, and have all that was acknowledged; then looks whether that is
/// so, and nothing is there twice. `within`: for payments that still wait when the users have gone. `idle`: time for the screen;
/// false: nobody wants to wait.
pub fn settle(
    checks: &mut Checks,
    processors: &[Processor; 2],
    users: &Users,
    within: Duration,
    mut idle: impl FnMut() -> bool,
) {
    let began = Instant::now();
    let acknowledged = users.fates().acknowledged;
    loop {
        thread::sleep(PAUSE);
        if !idle() {
            return;
        }
        if began.elapsed() < INSIDE_MAX {
            continue;
        }
        let is_over = began.elapsed() >= within;
        // No part of the script: nobody measures these calls.
        let mut calls = Calls::new(false);
        let totals = processors
            .each_ref()
            .map(|processor| processor.totals(&mut calls, None));
        let totals = match totals {
            [Ok(default), Ok(fallback)] => Summary { default, fallback },
            _ if is_over => return checks.merge(calls.checks),
            _ => continue,
        };
        if totals.total().count < acknowledged && !is_over {
            continue;
        }
        let found = match look_up(processors, users, &mut idle) {
            Looked::All(found) => found,
            Looked::Failed(failure) if is_over => {
                checks.look(ANSWERS, Err(failure));
                return;
            }
            Looked::Failed(_) => continue,
            Looked::Stopped => return,
        };
        let is_missing =
            |(fate, found): (Fate, &Found)| fate == Fate::Acknowledged && *found == [None, None];
        let fates = users.payments().iter().map(|(_, fate)| *fate);
        if !is_over && fates.zip(&found).any(is_missing) {
            continue;
        }
        return judge_all(checks, users, &found, &totals);
    }
}

/// What came of asking for each payment.
enum Looked {
    /// In the order in which they were requested.
    All(Vec<Found>),
    Failed(CheckExample),
    /// Nobody wants to know any more.
    Stopped,
}

fn look_up(processors: &[Processor; 2], users: &Users, idle: &mut impl FnMut() -> bool) -> Looked {
    let ids: Vec<Uuid> = users.payments().iter().map(|(id, _)| *id).collect();
    let part = ids.len().div_ceil(CONNECTIONS).max(1);
    let stopped = &AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for (number, processor) in processors.iter().enumerate() {
            for (index, ids) in ids.chunks(part).enumerate() {
                let sender = sender.clone();
                scope.spawn(move || {
                    let mut lookups = processor.lookups();
                    let of_part = ids.iter().map_while(|id| {
                        (!stopped.load(Ordering::Relaxed)).then(|| lookups.ask(*id))
                    });
                    let of_part: Result<Vec<_>, _> = of_part.collect();
                    // Who waited may have gone.
                    let _ = sender.send((number, index * part, of_part));
                });
            }
        }
        drop(sender);
        let mut found = vec![[None; 2]; ids.len()];
        loop {
            match receiver.recv_timeout(PAUSE) {
                Ok((number, from, Ok(of_part))) => {
                    for (place, cents) in found[from..].iter_mut().zip(of_part) {
                        place[number] = cents;
                    }
                }
                Ok((_, _, Err((request, failure)))) => {
                    stopped.store(true, Ordering::Relaxed);
                    return Looked::Failed(CheckExample::lost(&request, &failure));
                }
                Err(RecvTimeoutError::Timeout) if idle() => {}
                Err(RecvTimeoutError::Timeout) => {
                    stopped.store(true, Ordering::Relaxed);
                    return Looked::Stopped;
                }
                Err(RecvTimeoutError::Disconnected) => return Looked::All(found),
            }
        }
    })
}

/// `totals`: of the processors, from before `found` was.
fn judge_all(checks: &mut Checks, users: &Users, found: &[Found], totals: &Summary) {
    for ((id, fate), found) in users.payments().iter().zip(found) {
        let outcome = judge(*fate, *found).map_err(|what| CheckExample {
            what,
            request: users.request_text(*id),
            reply: in_words(*found),
        });
        checks.look(ONCE, outcome);
    }
    let known = [0, 1].map(|number| found.iter().filter(|found| found[number].is_some()).count());
    let more = |count: u64, known: usize| count.saturating_sub(known as u64);
    let strangers = more(totals.default.count, known[0]) + more(totals.fallback.count, known[1]);
    let outcome = match strangers {
        0 => Ok(()),
        _ => Err(CheckExample {
            what: format!(
                "{} with ids that nobody asked for: of those that were, default has {}, fallback {}",
                payments(strangers),
                known[0],
                known[1]
            ),
            request: "GET /admin/payments-summary and GET /payments/{id} of both processors".to_owned(),
            reply: shares(totals),
        }),
    };
    checks.look(ASKED_FOR, outcome);
}

/// Whether processors can have this of a payment in the end.
fn judge(fate: Fate, found: Found) -> Result<(), String> {
    let cents = match (fate, found) {
        (Fate::Acknowledged, [None, None]) => {
            return Err("made nowhere".to_owned());
        }
        (_, [None, None]) => return Ok(()),
        (_, [Some(_), Some(_)]) => return Err("made twice".to_owned()),
        (Fate::Refused, _) => return Err("refused, and made".to_owned()),
        (_, [Some(cents), None] | [None, Some(cents)]) => cents,
    };
    match cents {
        AMOUNT_CENTS => Ok(()),
        _ => Err("made with another amount".to_owned()),
    }
}

fn in_words(found: Found) -> String {
    let [default, fallback] = found.map(|cents| match cents {
        Some(cents) => decimal::write(cents.into(), 2),
        None => "404".to_owned(),
    });
    format!(
        "{}: {default}; {}: {fallback}",
        PROCESSORS[0], PROCESSORS[1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payment_is_where_its_fate_says() {
        const RIGHT: Option<u64> = Some(AMOUNT_CENTS);
        for (fate, found, words) in [
            (Fate::Acknowledged, [RIGHT, None], ""),
            (Fate::Acknowledged, [None, RIGHT], ""),
            (Fate::Acknowledged, [None, None], "made nowhere"),
            (Fate::Acknowledged, [RIGHT, RIGHT], "made twice"),
            (Fate::Acknowledged, [Some(1), None], "another amount"),
            (Fate::Unknown, [None, None], ""),
            (Fate::Unknown, [RIGHT, None], ""),
            (Fate::Unknown, [RIGHT, RIGHT], "made twice"),
            (Fate::Unknown, [None, Some(1991)], "another amount"),
            (Fate::Refused, [None, None], ""),
            (Fate::Refused, [None, RIGHT], "refused, and made"),
            (Fate::Refused, [RIGHT, RIGHT], "made twice"),
        ] {
            match judge(fate, found) {
                Ok(()) => assert_eq!(words, "", "{fate:?} {found:?}"),
                Err(what) => assert!(!words.is_empty() && what.contains(words), "{what}"),
            }
        }
    }
}
