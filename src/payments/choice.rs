//! The choice of a processor for the next payment: the cheapest that works, within the deadline.
//!
//! | the cheapest | waiting | the other | then |
//! |---|---|---|---|
//! | works and has room | whatever | whatever | to the cheapest |
//! | fails, or has no room | can go on | whatever | wait |
//! | the same | would break the deadline of the oldest, or of the newest | works and has room | to the other |
//! | the same | would fill the queue | the same | to the other |
//! | the same | must not go on | fails, or has no room | wait |
//!
//! The cheapest is *full* when it works and only the payments under way to it keep it from taking the next:
//! then a payment waits for its turn only, and a deadline is broken only where the queue is too long for the
//! cheapest alone. A payment that is late already (after an outage of this server, say) would be late with the
//! other processor, too, so it waits for its turn.

use crate::limits::PROBE_NS_MAX;

/// The state of one processor, as far as a choice depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// It carries payments out, as far as is known (its circuit is closed, or a probe is due).
    pub works: bool,
    /// One more may be sent to it now.
    pub room: bool,
    /// It works, and has no room only because as many are under way as it may have: they come back.
    pub full: bool,
    /// From a request to its reply, as of late. Nanoseconds.
    pub latency_ns: u64,
    /// How many it may have at a time, when it works well.
    pub parallel_max: u32,
    /// What it keeps, in hundredths of a percent.
    pub fee_basis_points: u32,
}

impl Outlook {
    /// The same for a payment that is not to go there now.
    pub fn without_room(self) -> Outlook {
        Outlook {
            works: false,
            room: false,
            full: false,
            ..self
        }
    }
}

/// The payments that wait in a shard; ages in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Since the payment that has waited longest was accepted.
    pub oldest_ns: u64,
    /// Since the newest of them was accepted.
    pub newest_ns: u64,
    /// Payments that wait in the shard.
    pub length: usize,
    /// Payments that may wait in the shard.
    pub length_max: usize,
}

/// What to do with the payment that has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The payment waits: no processor is to get it now.
    Wait,
    /// To this one (by number), the cheapest.
    Cheapest(usize),
    /// To this one, which costs more: waiting longer would break the deadline.
    ForDeadline(usize),
    /// To this one, which costs more: the queue is near its bound.
    ForRoom(usize),
}

/// The processor with the lower fee; of two with the same, the first.
pub fn cheapest(outlooks: &[Outlook; 2]) -> usize {
    usize::from(outlooks[1].fee_basis_points < outlooks[0].fee_basis_points)
}

/// The rule. Of two that cost the same, the first is the cheapest.
pub fn choose(backlog: &Backlog, deadline_ns: u64, outlooks: &[Outlook; 2]) -> Choice {
    if backlog.length == 0 {
        return Choice::Wait;
    }
    let takes = |number: usize| outlooks[number].works && outlooks[number].room;
    let cheapest = cheapest(outlooks);
    let other = 1 - cheapest;
    if takes(cheapest) {
        Choice::Cheapest(cheapest)
    } else if !takes(other) {
        Choice::Wait
    } else if is_urgent(backlog, deadline_ns, &outlooks[cheapest], &outlooks[other]) {
        Choice::ForDeadline(other)
    } else if backlog.length_max.saturating_sub(backlog.length) <= backlog.length_max / 8 {
        Choice::ForRoom(other)
    } else {
        Choice::Wait
    }
}

/// How long a payment of this age may go on waiting for the cheapest one: then it is [`Choice::ForDeadline`].
pub fn patience_ns(age_ns: u64, deadline_ns: u64, other: &Outlook) -> u64 {
    let used_ns = age_ns.saturating_add(other.latency_ns);
    latest_ns(deadline_ns, other).saturating_sub(used_ns)
}

/// Up to when all is well if the other one has it by then. It may refuse the first time, and is then asked again
/// after a probe's interval. But a deadline that leaves no time for that is no reason never to wait.
fn latest_ns(deadline_ns: u64, other: &Outlook) -> u64 {
    let again_ns = PROBE_NS_MAX.saturating_add(other.latency_ns);
    deadline_ns - again_ns.min(deadline_ns / 4)
}

/// Whether somebody would be late if the queue did not begin to leave through `other` now.
fn is_urgent(backlog: &Backlog, deadline_ns: u64, cheapest: &Outlook, other: &Outlook) -> bool {
    let latency_ns = other.latency_ns;
    let latest_ns = latest_ns(deadline_ns, other);
    let through = if cheapest.full { cheapest } else { other };
    let rounds_ns = (backlog.length as u64).saturating_mul(through.latency_ns);
    let queue_ns = rounds_ns / u64::from(through.parallel_max.max(1));
    // A full one has a place for the next after a reply, and then that is under way for as long.
    let turn_ns = match cheapest.full {
        true => latency_ns.max(cheapest.latency_ns.saturating_mul(2)),
        false => latency_ns,
    };
    let is_late = |age_ns: u64, wait_ns: u64| age_ns.saturating_add(wait_ns) >= latest_ns;
    // Who cannot be in time any more loses nothing by waiting for one that works.
    let gains = |age_ns: u64| !cheapest.full || age_ns.saturating_add(latency_ns) < deadline_ns;
    let (oldest_ns, newest_ns) = (backlog.oldest_ns, backlog.newest_ns);
    let newest_wait_ns = queue_ns.saturating_add(through.latency_ns);
    (is_late(oldest_ns, turn_ns) && gains(oldest_ns))
        || (is_late(newest_ns, newest_wait_ns) && gains(newest_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MILLISECOND_NS, SECOND_NS};

    const DEADLINE: u64 = 60 * SECOND_NS;

    /// A processor that takes payments.
    const GOOD: Outlook = Outlook {
        works: true,
        room: true,
        full: false,
        latency_ns: 100 * MILLISECOND_NS,
        parallel_max: 400,
        fee_basis_points: 0,
    };
    const FULL: Outlook = Outlook {
        room: false,
        full: true,
        ..GOOD
    };
    /// It has asked for patience, say, or says nothing.
    const QUIET: Outlook = Outlook {
        room: false,
        ..GOOD
    };
    const FAILS: Outlook = Outlook {
        works: false,
        ..GOOD
    };

    /// No payment has waited for long.
    const CALM: Backlog = Backlog {
        oldest_ns: SECOND_NS,
        newest_ns: 0,
        length: 1,
        length_max: 800,
    };
    const LATE: Backlog = Backlog {
        oldest_ns: 59 * SECOND_NS,
        ..CALM
    };
    /// All of them, after an outage of our own.
    const OVERDUE: Backlog = Backlog {
        oldest_ns: 600 * SECOND_NS,
        newest_ns: 60 * SECOND_NS,
        length: 90,
        ..CALM
    };
    const LONG: Backlog = Backlog {
        length: 700,
        ..CALM
    };

    /// With the cheaper one first, and with the dearer one first.
    fn chosen(backlog: &Backlog, deadline_ns: u64, cheap: Outlook, dear: Outlook) -> Choice {
        let [cheap, dear] =
            [(cheap, 500), (dear, 1500)].map(|(outlook, fee_basis_points)| Outlook {
                fee_basis_points,
                ..outlook
            });
        let choice = choose(backlog, deadline_ns, &[cheap, dear]);
        let mirrored = match choose(backlog, deadline_ns, &[dear, cheap]) {
            Choice::Wait => Choice::Wait,
            Choice::Cheapest(number) => Choice::Cheapest(1 - number),
            Choice::ForDeadline(number) => Choice::ForDeadline(1 - number),
            Choice::ForRoom(number) => Choice::ForRoom(1 - number),
        };
        assert_eq!(choice, mirrored, "it is the fee that counts");
        choice
    }

    #[test]
    fn the_cheapest_that_works_within_the_deadline() {
        use Choice::{Cheapest, ForDeadline, ForRoom, Wait};
        for (backlog, cheap, dear, expected) in [
            // The cheapest, whenever it takes one.
            (CALM, GOOD, GOOD, Cheapest(0)),
            (CALM, GOOD, FULL, Cheapest(0)),
            (CALM, GOOD, FAILS, Cheapest(0)),
            (LATE, GOOD, GOOD, Cheapest(0)),
            (LONG, GOOD, GOOD, Cheapest(0)),
            // Else wait for it,
            (CALM, FULL, GOOD, Wait),
            (CALM, FAILS, GOOD, Wait),
            // but not beyond the deadline,
            (LATE, FULL, GOOD, ForDeadline(1)),
            (LATE, QUIET, GOOD, ForDeadline(1)),
            (LATE, FAILS, GOOD, ForDeadline(1)),
            // which is broken with either, if it is broken already,
            (OVERDUE, FULL, GOOD, Wait),
            (OVERDUE, GOOD, GOOD, Cheapest(0)),
            // unless the cheapest takes none anyway,
            (OVERDUE, QUIET, GOOD, ForDeadline(1)),
            (OVERDUE, FAILS, GOOD, ForDeadline(1)),
            (OVERDUE, FAILS, FULL, Wait),
            // nor until the queue is full,
            (LONG, FULL, GOOD, ForRoom(1)),
            (LONG, FAILS, GOOD, ForRoom(1)),
            // unless the other one takes none either.
            (LATE, FULL, FULL, Wait),
            (LATE, FAILS, FAILS, Wait),
            (LONG, FAILS, FULL, Wait),
            (LONG, FULL, FAILS, Wait),
        ] {
            let choice = chosen(&backlog, DEADLINE, cheap, dear);
            assert_eq!(choice, expected, "{backlog:?} {cheap:?} {dear:?}");
        }
        let none = Backlog { length: 0, ..LATE };
        assert_eq!(chosen(&none, DEADLINE, GOOD, GOOD), Wait);
        // Of the same fee, the first.
        assert_eq!(choose(&CALM, DEADLINE, &[GOOD, GOOD]), Cheapest(0));
        assert_eq!(choose(&LATE, DEADLINE, &[FAILS, GOOD]), ForDeadline(1));
        assert_eq!(choose(&LATE, DEADLINE, &[GOOD, FAILS]), Cheapest(0));
    }

    #[test]
    fn the_oldest_leaves_in_time_for_a_refusal() {
        for (deadline_ms, latency_ms, waits_ms) in [
            // The reply, and once more with a second before.
            (60_000, 0, 59_000),
            (60_000, 100, 58_800),
            (60_000, 5_000, 49_000),
            // No more than a quarter of the time is kept for that.
            (60_000, 20_000, 25_000),
            (2_000, 100, 1_400),
            (200, 10, 140),
            // Nothing would do.
            (1_000, 2_000, 0),
            (0, 0, 0),
        ] {
            let dear = Outlook {
                latency_ns: latency_ms * MILLISECOND_NS,
                ..GOOD
            };
            let at = |oldest_ns| {
                let backlog = Backlog { oldest_ns, ..CALM };
                chosen(&backlog, deadline_ms * MILLISECOND_NS, FAILS, dear)
            };
            let waits_ns = waits_ms * MILLISECOND_NS;
            assert_eq!(at(waits_ns), Choice::ForDeadline(1), "{deadline_ms}");
            if waits_ns > 0 {
                assert_eq!(at(waits_ns - 1), Choice::Wait, "{deadline_ms}");
            }
            let patience_ns = |age_ns| patience_ns(age_ns, deadline_ms * MILLISECOND_NS, &dear);
            assert_eq!(patience_ns(0), waits_ns, "{deadline_ms}");
            assert_eq!(patience_ns(waits_ns / 2), waits_ns - waits_ns / 2);
            assert_eq!(patience_ns(u64::MAX), 0);
        }
        for age in [60 * SECOND_NS, 1000 * SECOND_NS, u64::MAX] {
            let backlog = Backlog {
                oldest_ns: age,
                ..CALM
            };
            let choice = chosen(&backlog, DEADLINE, FAILS, GOOD);
            assert_eq!(choice, Choice::ForDeadline(1));
        }
    }

    #[test]
    fn a_long_queue_leaves_in_time_for_its_last() {
        // 400 a second go through the other one; a reply takes a second.
        let dear = Outlook {
            latency_ns: SECOND_NS,
            ..GOOD
        };
        for (length, newest_s, expected) in [
            (400, 0, Choice::Wait),
            // 54 s for those before it, 1 s for its own, 2 s, 3 s with the margin.
            (54 * 400, 2, Choice::Wait),
            (54 * 400, 3, Choice::ForDeadline(1)),
            (57 * 400, 0, Choice::ForDeadline(1)),
            (57 * 400 - 1, 0, Choice::Wait),
            (usize::MAX / 2, 0, Choice::ForDeadline(1)),
        ] {
            let backlog = Backlog {
                oldest_ns: newest_s * SECOND_NS,
                newest_ns: newest_s * SECOND_NS,
                length,
                length_max: usize::MAX,
            };
            let choice = chosen(&backlog, DEADLINE, FAILS, dear);
            assert_eq!(choice, expected, "{length} {newest_s}");
        }
    }

    #[test]
    fn an_overdue_backlog_waits_for_the_cheapest_unless_that_makes_others_late() {
        // 4,000 a second go through the cheapest, which is full.
        for (length, newest_s, expected) in [
            (58 * 4000, 0, Choice::Wait),
            // The last would be late, and need not be.
            (59 * 4000, 0, Choice::ForDeadline(1)),
            (4000, 56, Choice::Wait),
            (4000, 58, Choice::ForDeadline(1)),
            // It is late in any case.
            (4000, 60, Choice::Wait),
            (59 * 4000, 60, Choice::Wait),
        ] {
            let backlog = Backlog {
                oldest_ns: 3600 * SECOND_NS,
                newest_ns: newest_s * SECOND_NS,
                length,
                length_max: usize::MAX,
            };
            let choice = chosen(&backlog, DEADLINE, FULL, GOOD);
            assert_eq!(choice, expected, "{length} {newest_s}");
        }
    }

    #[test]
    fn who_is_next_at_a_full_one_leaves_in_time_or_late() {
        for (oldest_ms, expected) in [
            (58_699, Choice::Wait),
            // Twice 100 ms at the cheapest; the other may refuse once.
            (58_700, Choice::ForDeadline(1)),
            (59_899, Choice::ForDeadline(1)),
            (59_900, Choice::Wait),
        ] {
            let backlog = Backlog {
                oldest_ns: oldest_ms * MILLISECOND_NS,
                ..CALM
            };
            let choice = chosen(&backlog, DEADLINE, FULL, GOOD);
            assert_eq!(choice, expected, "{oldest_ms}");
        }
    }

    #[test]
    fn the_queue_keeps_an_eighth_of_its_room() {
        for (length, length_max, expected) in [
            (699, 800, Choice::Wait),
            (700, 800, Choice::ForRoom(1)),
            (800, 800, Choice::ForRoom(1)),
            (900, 800, Choice::ForRoom(1)),
            (1, 1, Choice::ForRoom(1)),
            (1, 2, Choice::Wait),
        ] {
            let backlog = Backlog {
                length,
                length_max,
                ..CALM
            };
            let choice = chosen(&backlog, DEADLINE, FAILS, GOOD);
            assert_eq!(choice, expected, "{length} of {length_max}");
        }
        let both = Backlog {
            length: 700,
            ..LATE
        };
        let choice = chosen(&both, DEADLINE, FAILS, GOOD);
        assert_eq!(choice, Choice::ForDeadline(1));
    }
}
