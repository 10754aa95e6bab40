//! A circuit breaker for one processor, with an adaptive window of payments under way. One for each core and
//! processor.
//!
//! | what happens | then |
//! |---|---|
//! | nothing is known | closed, window `WINDOW_FIRST` |
//! | done, and the window was full while it was under way | window + 1: it doubles each round trip |
//! | done, but so late that the processor must have kept it waiting | the window stays |
//! | the window was not full for a second | it halves, down to `WINDOW_IDLE` |
//! | busy | it halves, once for what was under way together; nothing is sent before `Retry-After`; beyond the half it grows by a quarter a second |
//! | failed, unknown, or the processor says that it fails | open: nothing is sent before the probe, or `Retry-After` |
//! | wrong with a payment with which it has been wrong before, and not with others since; or a refusal among others that are done | nothing: it may be the payment's fault |
//! | the probe is due | half-open: one payment, nothing else |
//! | the probe is done | closed, window 1 |
//! | it failed | open, and twice as long to the next; where it may be that payment's fault, the next is due at once |
//! | the processor says that it works | the probe is due at once |
//! | nothing comes back for long | nothing is sent until something does, so that what hangs is little |

use crate::limits::{MILLISECOND_NS, PROBE_NS_MAX, PROBE_NS_MIN, RETRY_AFTER_NS_MAX, SECOND_NS};

/// The window of a processor of which nothing is known.
const WINDOW_FIRST: u32 = 4;
/// What an unused window keeps: enough for a burst's first round trip.
const WINDOW_IDLE: u32 = 8;
/// The pause after a 429 without `Retry-After`, seconds.
const RETRY_AFTER_S: u32 = 1;
/// Without any reply: four times what a reply usually takes, and no less than this.
const STALL_NS_MIN: u64 = 250 * MILLISECOND_NS;
/// What a reply may take beyond twice the least before its processor is taken to queue: scheduling, on
/// few and busy cores, takes milliseconds.
const QUEUEING_NS: u64 = 20 * MILLISECOND_NS;
/// For how long the average counts without another reply. Then only what the processor says of itself does: of one
/// that is not used, the average would be that of its last bad time for ever.
const AVERAGE_NS: u64 = 10 * SECOND_NS;
/// For how long the lowest latency counts, at least; at most twice as long. When a processor becomes
/// slower for good, its window grows again after that, or once it tells of it.
const LOWEST_NS: u64 = 2 * SECOND_NS;

/// The circuit breaker of one processor. Times are monotonic nanoseconds.
#[derive(Clone, Debug)]
pub struct Circuit {
    window_max: u32,
    state: CircuitState,
    /// Payments that may be under way, at least 1.
    window: u32,
    /// Counts how often it opened; what was sent before the last time is not news.
    era: u32,
    /// Sent in this era, and not ended.
    under_way: u32,
    /// When the window was last full.
    filled_ns: Option<u64>,
    /// The same, or when it last fell back for not being so.
    used_ns: u64,
    /// When it was last halved for being too much.
    halved_ns: Option<u64>,
    /// From here on it grows slowly, for twice as much was too much: else each `Retry-After` would be
    /// followed by the next after some round trips.
    careful: u32,
    /// When `careful` was last raised.
    raised_ns: u64,
    /// Open: when a probe is due.
    probe_ns: u64,
    /// From the last failure to the probe after it.
    probe_delay_ns: u64,
    /// Nothing is sent to the processor before.
    retry_ns: u64,
    /// While anything of this era is under way: since when nothing has come back.
    silent_ns: Option<u64>,
    /// A moving average. 0: of nothing.
    average_ns: u64,
    /// When the average last changed.
    averaged_ns: u64,
    /// The least that replies took of late.
    lowest: Lowest,
    /// What the processor says that it takes at least.
    response_min_ns: u64,
}

/// States of a circuit breaker, as `/health` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// It works; the window says how much it gets.
    Closed,
    /// It fails: nothing is sent before the time for a probe.
    Open,
    /// One payment is under way to see whether it works again.
    HalfOpen,
}

/// The end of an attempt, as far as the circuit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It was carried out now, or (422) before.
    Done,
    /// Refused for a failure: 500, no connection, whatever is no answer to a payment.
    Failed,
    /// Too many: 429, with `Retry-After` in seconds if it was there.
    Busy(Option<u32>),
    /// No answer in time, or the connection broke with none.
    Unknown,
    /// As bad as these two, but it says nothing of the processor.
    Spared,
}

/// One attempt under way, to be given back when it ends: [`Circuit::sent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// When the attempt was begun.
    pub sent_ns: u64,
    /// When its request [left](Circuit::leaves).
    pub left_ns: u64,
    /// Counts how often the circuit had opened by then.
    pub era: u32,
}

impl Circuit {
    /// The circuit of a processor of which nothing is known. `window_max`: how many may be under way at most, no
    /// less than 1.
    pub fn new(window_max: u32) -> Circuit {
        Circuit {
            window_max,
            state: CircuitState::Closed,
            window: WINDOW_FIRST.min(window_max),
            era: 0,
            under_way: 0,
            filled_ns: None,
            used_ns: 0,
            halved_ns: None,
            careful: window_max,
            raised_ns: 0,
            probe_ns: 0,
            probe_delay_ns: PROBE_NS_MIN,
            retry_ns: 0,
            silent_ns: None,
            average_ns: 0,
            averaged_ns: 0,
            lowest: Lowest::default(),
            response_min_ns: 0,
        }
    }

    pub fn state(&self) -> CircuitState {
        self.state
    }

    /// How many may be under way.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Whether it works, or may by now (a probe is due): see [`super::choice::Outlook::works`].
    pub fn works(&self, now_ns: u64) -> bool {
        match self.state {
            CircuitState::Closed => true,
            CircuitState::Open => now_ns >= self.probe_ns,
            CircuitState::HalfOpen => false,
        }
    }

    /// Whether one more may be sent. `under_way`: how many are in all; what has hung since before a
    /// failure does not fill the window, but counts for its bound.
    pub fn has_room(&self, under_way: u32, now_ns: u64) -> bool {
        let room = match self.state {
            CircuitState::Closed => self.under_way < self.window && !self.is_silent(now_ns),
            CircuitState::Open => now_ns >= self.probe_ns,
            CircuitState::HalfOpen => false,
        };
        room && under_way < self.window_max && now_ns >= self.retry_ns
    }

    /// Whether it works, and only what is under way keeps it from [having room](Self::has_room).
    pub fn is_full(&self, under_way: u32, now_ns: u64) -> bool {
        let full = self.under_way >= self.window || under_way >= self.window_max;
        full && self.state == CircuitState::Closed
            && now_ns >= self.retry_ns
            && !self.is_silent(now_ns)
    }

    fn is_silent(&self, now_ns: u64) -> bool {
        self.silent_ns.is_some_and(|since_ns| {
            // By what was known when the silence began: it makes nothing shorter.
            let bound_ns = STALL_NS_MIN.max(self.latency_ns(since_ns).saturating_mul(4));
            now_ns.saturating_sub(since_ns) > bound_ns
        })
    }

    /// One is sent, as there [is room](Self::has_room). What to give back with its outcome, so that
    /// outcomes of attempts from before a failure are not taken for news.
    pub fn sent(&mut self, now_ns: u64) -> Ticket {
        if self.state == CircuitState::Open {
            self.state = CircuitState::HalfOpen;
        }
        let unused_s = now_ns.saturating_sub(self.used_ns) / SECOND_NS;
        if unused_s > 0 && self.window > WINDOW_IDLE {
            self.window = (self.window >> unused_s.min(31)).max(WINDOW_IDLE);
            self.used_ns = now_ns;
        }
        self.under_way += 1;
        self.note_whether_full(now_ns);
        Ticket {
            sent_ns: now_ns,
            left_ns: now_ns,
            era: self.era,
        }
    }

    /// What was [sent](Self::sent) leaves now, with its binding in the journal: how long that took says nothing of the
    /// processor.
    pub fn leaves(&mut self, ticket: &mut Ticket, now_ns: u64) {
        if ticket.era == self.era {
            self.silent_ns.get_or_insert(now_ns);
        }
        ticket.left_ns = now_ns;
    }

    /// It was not sent after all, and nothing is learnt from it.
    pub fn withdrawn(&mut self, ticket: Ticket) {
        if ticket.era == self.era {
            self.under_way -= 1;
            if self.under_way == 0 {
                self.silent_ns = None;
            }
            if self.state == CircuitState::HalfOpen {
                self.open(self.probe_ns);
            }
        }
    }

    /// The attempt of `ticket` ended at `now_ns` with this outcome.
    pub fn ended(&mut self, ticket: Ticket, outcome: AttemptOutcome, now_ns: u64) {
        let latency_ns = now_ns.saturating_sub(ticket.left_ns);
        let mut queued = false;
        if matches!(outcome, AttemptOutcome::Done | AttemptOutcome::Failed) {
            self.average_ns = match self.average_ns(now_ns) {
                0 => latency_ns,
                average_ns => average_ns - average_ns / 8 + latency_ns / 8,
            };
            self.averaged_ns = now_ns;
        }
        if outcome == AttemptOutcome::Done {
            let least_ns = self
                .lowest
                .add(latency_ns, now_ns)
                .max(self.response_min_ns);
            queued = latency_ns > least_ns.saturating_mul(2).saturating_add(QUEUEING_NS);
        }
        if let AttemptOutcome::Busy(retry_after_s) = outcome {
            let wait_s = retry_after_s.unwrap_or(RETRY_AFTER_S);
            self.hold(u64::from(wait_s) * SECOND_NS, now_ns);
        }
        if ticket.era != self.era {
            return;
        }
        self.note_whether_full(now_ns);
        self.under_way -= 1;
        self.silent_ns = (self.under_way > 0).then_some(now_ns);
        match (self.state, outcome) {
            (CircuitState::Closed, AttemptOutcome::Done) => {
                let was_full = self.filled_ns.is_some_and(|at_ns| at_ns >= ticket.sent_ns);
                if was_full && !queued && self.may_grow(now_ns) {
                    self.window = (self.window + 1).min(self.window_max);
                }
            }
            (CircuitState::Closed, AttemptOutcome::Busy(_)) => {
                // What was sent together is refused together, and tells the same once.
                if self.halved_ns.is_none_or(|at_ns| ticket.sent_ns > at_ns) {
                    self.window = (self.window / 2).max(1);
                    self.halved_ns = Some(now_ns);
                    (self.careful, self.raised_ns) = (self.window, self.retry_ns);
                }
            }
            (CircuitState::Closed, AttemptOutcome::Failed | AttemptOutcome::Unknown) => {
                self.fail(PROBE_NS_MIN, now_ns)
            }
            (CircuitState::HalfOpen, AttemptOutcome::Done) => self.state = CircuitState::Closed,
            (CircuitState::Closed, AttemptOutcome::Spared) => {}
            // Whether it works, that does not tell.
            (CircuitState::HalfOpen, AttemptOutcome::Busy(_)) => self.open(self.retry_ns),
            (CircuitState::HalfOpen, AttemptOutcome::Spared) => self.open(now_ns),
            (CircuitState::HalfOpen, AttemptOutcome::Failed | AttemptOutcome::Unknown) => {
                self.fail((2 * self.probe_delay_ns).min(PROBE_NS_MAX), now_ns);
            }
            (CircuitState::Open, _) => unreachable!("opening begins an era"),
        }
    }

    /// It asks not to be sent anything for so long (`Retry-After`).
    pub fn hold(&mut self, wait_ns: u64, now_ns: u64) {
        let until_ns = now_ns.saturating_add(wait_ns.min(RETRY_AFTER_NS_MAX));
        self.retry_ns = self.retry_ns.max(until_ns);
    }

    fn may_grow(&mut self, now_ns: u64) -> bool {
        if self.window >= self.careful && now_ns.saturating_sub(self.raised_ns) >= SECOND_NS {
            self.careful = self.window + (self.window / 4).max(1);
            self.raised_ns = now_ns;
        }
        self.window < self.careful
    }

    fn note_whether_full(&mut self, now_ns: u64) {
        if self.under_way >= self.window {
            (self.filled_ns, self.used_ns) = (Some(now_ns), now_ns);
        }
    }

    fn fail(&mut self, probe_delay_ns: u64, now_ns: u64) {
        self.probe_delay_ns = probe_delay_ns;
        self.open(now_ns.saturating_add(probe_delay_ns));
    }

    /// Begins an era, with nothing of it under way.
    fn open(&mut self, probe_ns: u64) {
        self.state = CircuitState::Open;
        self.era = self.era.wrapping_add(1);
        self.window = 1;
        (self.under_way, self.filled_ns, self.silent_ns) = (0, None, None);
        self.probe_ns = probe_ns;
    }

    /// What the processor says of itself.
    pub fn health(&mut self, failing: bool, response_min_ms: u32, now_ns: u64) {
        self.response_min_ns = u64::from(response_min_ms) * MILLISECOND_NS;
        match (self.state, failing) {
            (CircuitState::Closed, true) => self.fail(PROBE_NS_MIN, now_ns),
            (CircuitState::Open, false) => self.probe_ns = self.probe_ns.min(now_ns),
            // A probe that is under way knows better.
            _ => {}
        }
    }

    /// From a request to its reply, as of late: no less than what the processor says.
    pub fn latency_ns(&self, now_ns: u64) -> u64 {
        self.average_ns(now_ns).max(self.response_min_ns)
    }

    /// 0: of nothing that is of late.
    fn average_ns(&self, now_ns: u64) -> u64 {
        match now_ns.saturating_sub(self.averaged_ns) < AVERAGE_NS {
            true => self.average_ns,
            false => 0,
        }
    }

    /// When there may be room although nothing happens until then: a probe is due, or `Retry-After` is
    /// over. `None` when nothing is waited for but replies.
    pub fn wake_ns(&self, now_ns: u64) -> Option<u64> {
        let at_ns = match self.state {
            CircuitState::Closed => self.retry_ns,
            CircuitState::Open => self.probe_ns.max(self.retry_ns),
            CircuitState::HalfOpen => return None,
        };
        (at_ns > now_ns).then_some(at_ns)
    }
}

/// The least of late: that of the present period, and of the one before.
#[derive(Clone, Debug, Default)]
struct Lowest {
    began_ns: u64,
    present_ns: Option<u64>,
    before_ns: Option<u64>,
}

impl Lowest {
    /// One more latency; the least, it included.
    fn add(&mut self, latency_ns: u64, now_ns: u64) -> u64 {
        let age_ns = now_ns.saturating_sub(self.began_ns);
        if age_ns >= LOWEST_NS {
            let present_ns = self.present_ns.take();
            self.before_ns = present_ns.filter(|_| age_ns < 2 * LOWEST_NS);
            self.began_ns = now_ns;
        }
        let present_ns = self.present_ns.map_or(latency_ns, |it| it.min(latency_ns));
        self.present_ns = Some(present_ns);
        self.before_ns.map_or(present_ns, |it| it.min(present_ns))
    }
}

#[cfg(test)]
mod tests;
