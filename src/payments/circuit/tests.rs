use super::*;

const MS: u64 = MILLISECOND_NS;

/// A circuit, and what is under way at its processor.
struct Rig {
    circuit: Circuit,
    now_ns: u64,
    under_way: Vec<Ticket>,
}

impl Rig {
    fn new(window_max: u32) -> Rig {
        Rig {
            circuit: Circuit::new(window_max),
            now_ns: 1_000 * SECOND_NS,
            under_way: Vec::new(),
        }
    }

    fn has_room(&self) -> bool {
        let under_way = self.under_way.len() as u32;
        self.circuit.has_room(under_way, self.now_ns)
    }

    fn send(&mut self) {
        assert!(self.has_room());
        let mut ticket = self.circuit.sent(self.now_ns);
        self.circuit.leaves(&mut ticket, self.now_ns);
        self.under_way.push(ticket);
    }

    /// Sends as many as there is room for; how many those were.
    fn fill(&mut self) -> usize {
        let before = self.under_way.len();
        while self.has_room() {
            self.send();
        }
        self.under_way.len() - before
    }

    /// The one that was sent first ends.
    fn end(&mut self, outcome: AttemptOutcome) {
        let ticket = self.under_way.remove(0);
        self.circuit.ended(ticket, outcome, self.now_ns);
    }

    fn end_all(&mut self, outcome: AttemptOutcome) {
        while !self.under_way.is_empty() {
            self.end(outcome);
        }
    }

    fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
    }

    /// What is sent at once, and ends together after some time.
    fn round_trip(&mut self, ns: u64, outcome: AttemptOutcome) -> usize {
        let sent = self.fill();
        self.wait(ns);
        self.end_all(outcome);
        sent
    }

    fn seen(&self) -> (CircuitState, u32) {
        (self.circuit.state(), self.circuit.window())
    }

    /// Waits for the probe, which ends so; how long it was to wait.
    fn probe(&mut self, outcome: AttemptOutcome) -> u64 {
        assert!(!self.has_room() && !self.circuit.works(self.now_ns));
        let due_ns = self.circuit.wake_ns(self.now_ns).expect("a probe is due");
        let delay_ns = due_ns - self.now_ns;
        self.wait(delay_ns - 1);
        assert!(!self.has_room() && !self.circuit.works(self.now_ns));
        self.wait(1);
        assert!(self.circuit.works(self.now_ns));
        assert_eq!(self.circuit.wake_ns(self.now_ns), None);
        assert_eq!(self.fill(), 1);
        assert_eq!(self.circuit.state(), CircuitState::HalfOpen);
        assert!(!self.circuit.works(self.now_ns));
        assert_eq!(self.circuit.wake_ns(self.now_ns), None);
        let ticket = self.under_way.pop().expect("the probe");
        self.circuit.ended(ticket, outcome, self.now_ns);
        delay_ns
    }
}

#[test]
fn nothing_known_is_closed_with_a_small_window() {
    let mut rig = Rig::new(400);
    assert_eq!(rig.seen(), (CircuitState::Closed, WINDOW_FIRST));
    assert!(rig.circuit.works(rig.now_ns));
    assert_eq!(rig.circuit.wake_ns(rig.now_ns), None);
    assert_eq!(rig.fill(), 4);
    assert_eq!(Rig::new(2).fill(), 2);
}

#[test]
fn a_full_window_doubles_each_round_trip_up_to_its_bound() {
    // Whether replies come together,
    let mut rig = Rig::new(50);
    for window in [4, 8, 16, 32, 50, 50] {
        assert_eq!(rig.round_trip(MS, AttemptOutcome::Done), window);
    }
    // or one by one, each with the next in its place.
    let mut rig = Rig::new(400);
    rig.fill();
    for round in 0..3 {
        for _ in 0..4 << round {
            rig.wait(MS);
            rig.end(AttemptOutcome::Done);
            rig.fill();
        }
        assert_eq!(rig.seen(), (CircuitState::Closed, 8 << round));
    }
}

#[test]
fn a_window_that_is_not_full_stays() {
    let mut rig = Rig::new(400);
    for _ in 0..100 {
        for _ in 0..3 {
            rig.send();
        }
        rig.wait(MS);
        rig.end_all(AttemptOutcome::Done);
    }
    assert_eq!(rig.seen(), (CircuitState::Closed, 4));
}

#[test]
fn a_window_falls_back_when_it_is_not_used() {
    for (unused_ns, window) in [
        (SECOND_NS - 1, 64),
        (SECOND_NS, 32),
        (2 * SECOND_NS, 16),
        (3 * SECOND_NS, 8),
        (4 * SECOND_NS, 8),
        (100_000 * SECOND_NS, 8),
    ] {
        let mut rig = Rig::new(400);
        for _ in 0..4 {
            rig.round_trip(MS, AttemptOutcome::Done);
        }
        assert_eq!(rig.seen(), (CircuitState::Closed, 64));
        // The last one was full when its first reply came.
        rig.wait(unused_ns);
        rig.send();
        assert_eq!(rig.circuit.window(), window, "{unused_ns}");
    }
    // With a little use, too; never below what a burst wants; and a small one stays.
    let mut rig = Rig::new(400);
    rig.round_trip(MS, AttemptOutcome::Done);
    rig.round_trip(MS, AttemptOutcome::Done);
    for (second, window) in [16, 8, 8, 8].into_iter().enumerate() {
        assert_eq!(rig.circuit.window(), window, "second {second}");
        for _ in 0..11 {
            rig.wait(SECOND_NS / 10);
            rig.send();
            rig.end(AttemptOutcome::Done);
        }
    }
    let mut rig = Rig::new(400);
    rig.wait(100 * SECOND_NS);
    rig.send();
    assert_eq!(rig.seen(), (CircuitState::Closed, 4));
}

#[test]
fn a_window_is_in_use_while_it_is_full_however_long_replies_take() {
    let mut rig = Rig::new(400);
    rig.circuit.health(false, 5_000, rig.now_ns);
    for window in [4, 8, 16, 32] {
        assert_eq!(rig.round_trip(5 * SECOND_NS, AttemptOutcome::Done), window);
    }
}

#[test]
fn a_queue_at_the_processor_stops_growth() {
    for (least_ms, latency_ms, grows) in [
        (0, 1, true),
        (0, 22, true),
        (0, 23, false),
        (100, 220, true),
        (100, 221, false),
    ] {
        let mut rig = Rig::new(400);
        rig.circuit.health(false, least_ms, rig.now_ns);
        rig.round_trip(MS, AttemptOutcome::Done); // The lowest of late.
        rig.round_trip(latency_ms * MS, AttemptOutcome::Done);
        let window = if grows { 16 } else { 8 };
        assert_eq!(rig.circuit.window(), window, "{least_ms} {latency_ms}");
    }
}

#[test]
fn a_processor_that_is_slower_for_good_gets_more_again() {
    let mut rig = Rig::new(400);
    for _ in 0..2 {
        rig.round_trip(MS, AttemptOutcome::Done);
    }
    let began_ns = rig.now_ns;
    while rig.circuit.window() == 16 {
        rig.round_trip(100 * MS, AttemptOutcome::Done);
    }
    let after_ns = rig.now_ns - began_ns;
    assert!(after_ns <= 2 * LOWEST_NS + 100 * MS, "{after_ns}");
    assert!(after_ns >= LOWEST_NS - 2 * MS, "{after_ns}");
}

#[test]
fn busy_halves_once_and_is_obeyed() {
    for (retry_after_s, wait_s) in [(None, 1), (Some(5), 5), (Some(0), 0)] {
        let mut rig = Rig::new(400);
        for _ in 0..3 {
            rig.round_trip(MS, AttemptOutcome::Done);
        }
        assert_eq!(rig.round_trip(MS, AttemptOutcome::Busy(retry_after_s)), 32);
        assert_eq!(rig.seen(), (CircuitState::Closed, 16));
        assert!(rig.circuit.works(rig.now_ns));
        if wait_s > 0 {
            let wake_ns = rig.now_ns + wait_s * SECOND_NS;
            assert_eq!(rig.circuit.wake_ns(rig.now_ns), Some(wake_ns));
            rig.wait(wait_s * SECOND_NS - 1);
            assert!(!rig.has_room());
            rig.wait(1);
        }
        assert_eq!(rig.circuit.wake_ns(rig.now_ns), None);
        // A wait of a second or more leaves it unused, too.
        assert_eq!(rig.fill(), if wait_s > 0 { 8 } else { 16 });
    }
    // The longest wait counts, and no window is less than one.
    let mut rig = Rig::new(400);
    for window in [2, 1, 1] {
        rig.fill();
        rig.wait(MS);
        rig.end(AttemptOutcome::Busy(Some(3)));
        rig.end_all(AttemptOutcome::Busy(None));
        assert_eq!(rig.seen(), (CircuitState::Closed, window));
        rig.wait(3 * SECOND_NS - 1);
        assert!(!rig.has_room());
        rig.wait(1);
    }
}

#[test]
fn beyond_half_of_what_was_too_much_it_grows_slowly() {
    let mut rig = Rig::new(400);
    for _ in 0..3 {
        rig.round_trip(MS, AttemptOutcome::Done);
    }
    rig.round_trip(MS, AttemptOutcome::Busy(Some(0)));
    let mut windows = Vec::new();
    for _ in 0..6 {
        // A second of round trips.
        for _ in 0..1000 {
            rig.round_trip(MS, AttemptOutcome::Done);
        }
        windows.push(rig.circuit.window());
    }
    assert_eq!(windows, [20, 25, 31, 38, 47, 58]);
    // Below it, as fast as ever.
    rig.wait(10 * SECOND_NS);
    for window in [8, 16, 32, 64, 72] {
        assert_eq!(rig.round_trip(MS, AttemptOutcome::Done), window);
    }
}

#[test]
fn a_failure_opens_and_probes_come_at_growing_intervals() {
    for outcome in [AttemptOutcome::Failed, AttemptOutcome::Unknown] {
        let mut rig = Rig::new(400);
        rig.send();
        rig.end(outcome);
        assert_eq!(rig.seen(), (CircuitState::Open, 1));
        for delay_ms in [50, 100, 200, 400, 800, 1000, 1000] {
            assert_eq!(rig.probe(outcome), delay_ms * MS);
            assert_eq!(rig.seen(), (CircuitState::Open, 1));
        }
    }
}

#[test]
fn a_probe_that_is_done_opens_up_step_by_step() {
    let mut rig = Rig::new(400);
    rig.send();
    rig.end(AttemptOutcome::Failed);
    rig.probe(AttemptOutcome::Failed);
    rig.probe(AttemptOutcome::Done);
    assert_eq!(rig.seen(), (CircuitState::Closed, 1));
    for window in [1, 2, 4, 8, 16] {
        assert_eq!(rig.round_trip(MS, AttemptOutcome::Done), window);
    }
    // And the next failure is the first one again.
    rig.send();
    rig.end(AttemptOutcome::Failed);
    assert_eq!(rig.probe(AttemptOutcome::Failed), PROBE_NS_MIN);
}

#[test]
fn a_probe_that_is_too_much_comes_again_when_it_may() {
    let mut rig = Rig::new(400);
    rig.send();
    rig.end(AttemptOutcome::Failed);
    rig.probe(AttemptOutcome::Busy(Some(2)));
    assert_eq!(rig.seen(), (CircuitState::Open, 1));
    assert_eq!(rig.probe(AttemptOutcome::Failed), 2 * SECOND_NS);
    // It told nothing of failures: their intervals go on as they were.
    assert_eq!(rig.probe(AttemptOutcome::Done), 2 * PROBE_NS_MIN);
}

#[test]
fn outcomes_of_an_earlier_era_are_no_news() {
    for outcome in [
        AttemptOutcome::Done,
        AttemptOutcome::Failed,
        AttemptOutcome::Unknown,
    ] {
        let mut rig = Rig::new(400);
        rig.fill();
        rig.wait(MS);
        rig.end(AttemptOutcome::Failed);
        let open_ns = rig.now_ns;
        rig.wait(PROBE_NS_MIN - 1);
        rig.end(outcome);
        assert_eq!(rig.seen(), (CircuitState::Open, 1), "{outcome:?}");
        let probe_ns = rig.circuit.wake_ns(rig.now_ns);
        assert_eq!(probe_ns, Some(open_ns + PROBE_NS_MIN), "{outcome:?}");
        rig.wait(1);
        rig.send();
        rig.end(outcome); // Not the probe, which was sent last.
        assert_eq!(rig.circuit.state(), CircuitState::HalfOpen, "{outcome:?}");
        let probe = rig.under_way.pop().unwrap();
        rig.circuit.ended(probe, AttemptOutcome::Done, rig.now_ns);
        rig.end(outcome);
        assert_eq!(rig.seen(), (CircuitState::Closed, 1), "{outcome:?}");
    }
}

#[test]
fn busy_counts_whenever_it_was_sent() {
    let mut rig = Rig::new(400);
    rig.fill();
    rig.end(AttemptOutcome::Failed);
    rig.end(AttemptOutcome::Busy(Some(2)));
    let due_ns = rig.now_ns + 2 * SECOND_NS;
    assert_eq!(rig.circuit.wake_ns(rig.now_ns), Some(due_ns));
    rig.wait(PROBE_NS_MIN);
    assert!(!rig.has_room());
}

#[test]
fn what_hangs_since_before_a_failure_keeps_no_room() {
    let mut rig = Rig::new(5);
    rig.fill();
    rig.end(AttemptOutcome::Failed);
    rig.wait(PROBE_NS_MIN);
    rig.send();
    let probe = rig.under_way.pop().unwrap();
    rig.circuit.ended(probe, AttemptOutcome::Done, rig.now_ns);
    assert_eq!((rig.under_way.len(), rig.fill()), (3, 1));
    let ticket = rig.under_way.pop().unwrap();
    rig.circuit.ended(ticket, AttemptOutcome::Done, rig.now_ns);
    assert_eq!((rig.under_way.len(), rig.fill()), (3, 2));
    // But it is at the processor, and counts for the bound.
    let ticket = rig.under_way.pop().unwrap();
    rig.circuit.ended(ticket, AttemptOutcome::Done, rig.now_ns);
    assert_eq!((rig.circuit.window(), rig.fill()), (3, 1));
    assert_eq!(rig.under_way.len(), 5);
}

#[test]
fn what_the_processor_says_counts() {
    let mut rig = Rig::new(400);
    rig.fill();
    rig.circuit.health(true, 0, rig.now_ns);
    assert_eq!(rig.seen(), (CircuitState::Open, 1));
    rig.end_all(AttemptOutcome::Done);
    assert_eq!(rig.seen(), (CircuitState::Open, 1));
    assert_eq!(rig.probe(AttemptOutcome::Failed), PROBE_NS_MIN);
    // Saying so again changes nothing, and does not put the probe off.
    rig.wait(PROBE_NS_MIN);
    rig.circuit.health(true, 0, rig.now_ns);
    assert_eq!(rig.probe(AttemptOutcome::Failed), PROBE_NS_MIN);
    // That it works makes the probe due, and no more than that.
    assert!(!rig.has_room());
    rig.circuit.health(false, 0, rig.now_ns);
    assert_eq!(rig.seen(), (CircuitState::Open, 1));
    assert_eq!(rig.fill(), 1);
    assert_eq!(rig.circuit.state(), CircuitState::HalfOpen);
    // The probe that is under way knows better.
    rig.circuit.health(true, 0, rig.now_ns);
    rig.circuit.health(false, 0, rig.now_ns);
    assert_eq!(
        (rig.circuit.state(), rig.fill()),
        (CircuitState::HalfOpen, 0)
    );
    rig.end(AttemptOutcome::Failed);
    assert_eq!(rig.probe(AttemptOutcome::Done), 8 * PROBE_NS_MIN);
    // That a closed one works is no news.
    rig.circuit.health(false, 0, rig.now_ns);
    assert_eq!(rig.seen(), (CircuitState::Closed, 1));
}

#[test]
fn while_nothing_comes_back_nothing_is_sent() {
    for (least_ms, bound_ms) in [(0, 250), (50, 250), (100, 400), (5_000, 20_000)] {
        let mut rig = Rig::new(400);
        rig.circuit.health(false, least_ms, rig.now_ns);
        rig.send();
        rig.wait(bound_ms * MS);
        rig.send();
        rig.wait(1);
        assert!(!rig.has_room(), "{least_ms}");
        assert!(rig.circuit.works(rig.now_ns));
        // Something does: room, for as long again.
        rig.end(AttemptOutcome::Done);
        assert!(rig.has_room());
        // Later news than the sending of what is still under way.
        let bound_ns = (4 * rig.circuit.latency_ns(rig.now_ns)).max(250 * MS);
        rig.wait(bound_ns);
        assert!(rig.has_room());
        rig.wait(1);
        assert!(!rig.has_room());
        // What was the last one ends.
        rig.end(AttemptOutcome::Busy(Some(0)));
        rig.wait(100 * SECOND_NS);
        assert!(rig.has_room());
    }
}

#[test]
fn a_hang_holds_no_more_than_what_was_sent_in_a_moment() {
    let mut rig = Rig::new(400);
    for _ in 0..3 {
        rig.round_trip(MS, AttemptOutcome::Done);
    }
    // Two payments a millisecond come, and the processor hangs.
    for _ in 0..1000 {
        for _ in 0..2 {
            if rig.has_room() {
                rig.send();
            }
        }
        rig.wait(MS);
    }
    assert_eq!(rig.under_way.len(), 32);
}

#[test]
fn what_was_not_sent_tells_nothing() {
    let mut rig = Rig::new(400);
    rig.fill();
    for ticket in std::mem::take(&mut rig.under_way) {
        rig.circuit.withdrawn(ticket);
    }
    rig.wait(100 * SECOND_NS);
    assert_eq!((rig.seen(), rig.fill()), ((CircuitState::Closed, 4), 4));
    let late = rig.under_way.pop().unwrap();
    rig.end(AttemptOutcome::Failed);
    rig.circuit.withdrawn(late);
    // A probe that was not sent is due.
    rig.wait(PROBE_NS_MIN);
    rig.send();
    let probe = rig.under_way.pop().unwrap();
    rig.circuit.withdrawn(probe);
    assert_eq!(rig.seen(), (CircuitState::Open, 1));
    assert_eq!(rig.fill(), 1);
}

#[test]
fn what_the_journal_takes_is_not_the_processors_time() {
    let mut rig = Rig::new(400);
    let mut ticket = rig.circuit.sent(rig.now_ns);
    rig.wait(2 * SECOND_NS);
    // Nothing has left, so that nothing is silent.
    assert!(rig.has_room());
    rig.circuit.leaves(&mut ticket, rig.now_ns);
    rig.wait(5 * MS);
    rig.circuit.ended(ticket, AttemptOutcome::Done, rig.now_ns);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 5 * MS);
}

#[test]
fn latency_follows_replies_and_what_the_processor_says() {
    let mut rig = Rig::new(400);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 0);
    rig.round_trip(80 * MS, AttemptOutcome::Done);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 80 * MS);
    rig.send();
    rig.wait(160 * MS);
    rig.end(AttemptOutcome::Done);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 90 * MS);
    // A refusal is as fast as a payment.
    rig.send();
    rig.wait(10 * MS);
    rig.end(AttemptOutcome::Failed);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 80 * MS);
    rig.probe(AttemptOutcome::Busy(None));
    rig.probe(AttemptOutcome::Unknown);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 80 * MS);
    rig.circuit.health(false, 81, rig.now_ns);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 81 * MS);
    rig.circuit.health(false, 5, rig.now_ns);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 80 * MS);
}

#[test]
fn full_is_who_waits_for_nothing_but_replies() {
    let mut rig = Rig::new(16);
    let is_full = |rig: &Rig| rig.circuit.is_full(rig.under_way.len() as u32, rig.now_ns);
    assert!(!is_full(&rig));
    rig.fill();
    assert!(is_full(&rig));
    // Nothing comes back for long.
    rig.wait(STALL_NS_MIN + 1);
    assert!(!is_full(&rig));
    rig.end(AttemptOutcome::Done);
    rig.fill();
    assert!(is_full(&rig));
    // It asks for patience.
    rig.end(AttemptOutcome::Busy(Some(5)));
    assert!(!is_full(&rig));
    let mut rig = Rig::new(16);
    rig.fill();
    rig.end(AttemptOutcome::Failed);
    assert!(!is_full(&rig));
    // What has hung since before a failure takes places, too.
    let full = rig.circuit.is_full(16, rig.now_ns);
    assert!(!full, "it is open");
}

#[test]
fn what_is_a_payments_own_fault_says_nothing_of_the_processor() {
    let mut rig = Rig::new(16);
    rig.fill();
    rig.end(AttemptOutcome::Spared);
    assert_eq!(rig.seen(), (CircuitState::Closed, WINDOW_FIRST));
    assert!(rig.has_room());
    rig.end_all(AttemptOutcome::Failed);
    assert_eq!(rig.probe(AttemptOutcome::Spared), PROBE_NS_MIN);
    // Another one finds out, at once; and the pace of the probes stays.
    assert!(rig.has_room() && rig.circuit.state() == CircuitState::Open);
    rig.send();
    rig.end(AttemptOutcome::Failed);
    assert_eq!(rig.probe(AttemptOutcome::Done), 2 * PROBE_NS_MIN);
    assert_eq!(rig.seen(), (CircuitState::Closed, 1));
}

#[test]
fn who_fails_and_asks_for_patience_is_not_probed_before() {
    let mut rig = Rig::new(16);
    rig.fill();
    rig.end(AttemptOutcome::Failed);
    rig.circuit.hold(3 * SECOND_NS, rig.now_ns);
    rig.circuit.hold(SECOND_NS, rig.now_ns);
    let wake_ns = rig.circuit.wake_ns(rig.now_ns);
    assert_eq!(wake_ns, Some(rig.now_ns + 3 * SECOND_NS));
    rig.wait(3 * SECOND_NS - 1);
    assert!(!rig.has_room());
    rig.wait(1);
    assert!(rig.has_room());
    // But not for good.
    rig.circuit.hold(u64::MAX, rig.now_ns);
    rig.wait(RETRY_AFTER_NS_MAX);
    assert!(rig.has_room());
}

#[test]
fn the_average_of_one_that_is_not_used_is_forgotten() {
    let mut rig = Rig::new(8);
    rig.send();
    rig.wait(4 * SECOND_NS);
    rig.end(AttemptOutcome::Done);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 4 * SECOND_NS);
    rig.circuit.health(false, 30, rig.now_ns);
    rig.wait(AVERAGE_NS - 1);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 4 * SECOND_NS);
    rig.wait(1);
    assert_eq!(rig.circuit.latency_ns(rig.now_ns), 30 * MS);
    rig.send();
    rig.wait(80 * MS);
    rig.end(AttemptOutcome::Done);
    assert_eq!(
        rig.circuit.latency_ns(rig.now_ns),
        80 * MS,
        "it begins anew"
    );
}
