//! The processor as a state machine: requests go in with the time at which they came, replies come out with
//! the time at which they are due. No sockets, no clock, no chance.
//!
//! A payment passes, in this order: the limit on how many are inside at once, the delay (as configured when it
//! begins), the failure switch (as it stands when the delay is over), the insert. Whoever asked may be gone by
//! then; it is stored all the same.

mod stored;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

pub use stored::{Stored, Totals};

const MS_NS: u64 = 1_000_000;

/// From one call of service-health to the next, for all callers together.
pub const HEALTH_WINDOW_NS: u64 = 5_000 * MS_NS;
/// Calls of service-health that wait for their window.
pub const HEALTH_WAITING_MAX: usize = 2;
/// An hour: more is a mistake.
pub const DELAY_MS_MAX: u64 = 3_600_000;
/// In the replies to what is turned away, whatever it was.
pub const RETRY_AFTER_S: u64 = 5;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Of each payment, in ms, at most [`DELAY_MS_MAX`]; `minResponseTime` of service-health.
    pub delay_ms: u64,
    /// Whether payments fail, and nothing is stored.
    pub failing: bool,
    /// What it keeps of a payment, in millionths.
    pub fee_ppm: u32,
    /// Opens the admin endpoints.
    pub token: String,
    /// Payments inside at once.
    pub parallel_max: usize,
    /// Payments that wait to be let in.
    pub waiting_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            delay_ms: 0,
            failing: false,
            fee_ppm: 50_000,
            token: "123".to_owned(),
            parallel_max: 800,
            waiting_max: 500,
        }
    }
}

/// What is asked for, and what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// `correlationId`.
    pub id: u128,
    /// `amount`.
    pub cents: u64,
    /// `requestedAt`, in microseconds since 1970.
    pub requested_us: u64,
}

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200: stored.
    Paid,
    /// 422: it had been stored before; amount and time of then stay.
    Duplicate,
    /// 500: the failure switch is on; nothing is stored.
    Failed,
    /// 429: too many at once; nothing is stored.
    Busy,
    /// 200 of service-health.
    Health {
        /// The failure switch.
        failing: bool,
        /// The configured delay.
        min_response_ms: u64,
    },
}

/// The processor. Times are nanoseconds of whatever clock the caller has; they never go back. A token is the
/// caller's name of a request, to know its reply by.
#[derive(Debug, Default)]
pub struct Model {
    config: Config,
    stored: Stored,
    /// In their delay, the next to end first; of those that end together, the first that began.
    inside: BinaryHeap<Reverse<Inside>>,
    /// Not let in yet, in the order in which they came.
    waiting: VecDeque<(u64, Payment)>,
    /// Payments let in so far.
    begun: u64,
    health: Health,
    /// Finished, and not taken yet.
    done: VecDeque<(u64, Reply)>,
    /// Up to when everything has happened.
    now_ns: u64,
}

/// Only one call of service-health per window; windows follow each other without a gap since the first call.
#[derive(Debug, Default)]
struct Health {
    /// When the present window ends; none before the first call.
    window_end_ns: Option<u64>,
    used: bool,
    waiting: VecDeque<u64>,
}

#[derive(Debug)]
struct Inside {
    ends_ns: u64,
    number: u64,
    token: u64,
    payment: Payment,
}

impl Inside {
    const fn key(&self) -> (u64, u64) {
        (self.ends_ns, self.number)
    }
}

impl PartialEq for Inside {
    fn eq(&self, other: &Inside) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Inside {}

impl PartialOrd for Inside {
    fn partial_cmp(&self, other: &Inside) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Inside {
    fn cmp(&self, other: &Inside) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Model {
    /// With nothing stored.
    pub fn new(config: Config) -> Model {
        Model {
            config,
            ..Model::default()
        }
    }

    /// As it is set now.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Sets it; what was due before `now_ns` happens as it was set before. A delay that has begun stays as long
    /// as it was.
    pub fn configure(&mut self, now_ns: u64, change: impl FnOnce(&mut Config)) {
        self.advance(now_ns);
        change(&mut self.config);
    }

    /// `POST /payments`.
    pub fn pay(&mut self, now_ns: u64, token: u64, payment: Payment) {
        self.advance(now_ns);
        if self.inside.len() < self.config.parallel_max {
            self.begin(now_ns, token, payment);
            self.advance(now_ns);
        } else if self.waiting.len() < self.config.waiting_max {
            self.waiting.push_back((token, payment));
        } else {
            self.done.push_back((token, Reply::Busy));
        }
    }

    /// `GET /payments/service-health`.
    pub fn health(&mut self, now_ns: u64, token: u64) {
        self.advance(now_ns);
        let end_ns = self
            .health
            .window_end_ns
            .get_or_insert(now_ns + HEALTH_WINDOW_NS);
        if now_ns >= *end_ns {
            // Nobody has called for a while: some windows passed without one.
            *end_ns += ((now_ns - *end_ns) / HEALTH_WINDOW_NS + 1) * HEALTH_WINDOW_NS;
            self.health.used = false;
        }
        if !self.health.used {
            self.health.used = true;
            self.tell_health(token);
        } else if self.health.waiting.len() < HEALTH_WAITING_MAX {
            self.health.waiting.push_back(token);
        } else {
            self.done.push_back((token, Reply::Busy));
        }
    }

    /// The caller of a request is gone. What only waits, to be let in or for service-health, goes with it; a
    /// payment inside is stored all the same, and its reply is still to be taken.
    pub fn gave_up(&mut self, now_ns: u64, token: u64) {
        self.advance(now_ns);
        self.waiting.retain(|(waiting, _)| *waiting != token);
        self.health.waiting.retain(|waiting| *waiting != token);
    }

    /// When something happens next by itself; at once if there are replies to take.
    pub fn deadline_ns(&self) -> Option<u64> {
        if !self.done.is_empty() {
            return Some(self.now_ns);
        }
        let payment = self.inside.peek().map(|Reverse(next)| next.ends_ns);
        let health = self.health.window_end_ns;
        let health = health.filter(|_| !self.health.waiting.is_empty());
        payment.into_iter().chain(health).min()
    }

    /// The next request that is finished by now, and what it gets.
    pub fn take_done(&mut self, now_ns: u64) -> Option<(u64, Reply)> {
        self.advance(now_ns);
        self.done.pop_front()
    }

    /// `GET /payments/{id}`.
    pub fn payment(&mut self, now_ns: u64, id: u128) -> Option<Payment> {
        self.advance(now_ns);
        self.stored.get(id)
    }

    /// All that is stored by now.
    pub fn stored(&mut self, now_ns: u64) -> &Stored {
        self.advance(now_ns);
        &self.stored
    }

    /// `GET /admin/payments-summary`: of payments with `requestedAt` between both, inclusive, in microseconds
    /// since 1970; of all of them if either is missing.
    pub fn summary(&mut self, now_ns: u64, from_us: Option<u64>, to_us: Option<u64>) -> Totals {
        self.advance(now_ns);
        match (from_us, to_us) {
            (Some(from_us), Some(to_us)) => self.stored.between(from_us, to_us),
            _ => self.stored.all(),
        }
    }

    /// Forgets what is stored. What is inside is stored when its delay is over.
    pub fn purge(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.stored = Stored::default();
    }

    /// Lets everything happen that is due, each at its time.
    fn advance(&mut self, now_ns: u64) {
        debug_assert!(now_ns >= self.now_ns, "time goes on");
        self.now_ns = self.now_ns.max(now_ns);
        while let Some(Reverse(next)) = self.inside.peek() {
            if next.ends_ns > now_ns {
                break;
            }
            let Reverse(ended) = self.inside.pop().expect("just seen");
            self.finish(ended.token, ended.payment);
            if let Some((token, payment)) = self.waiting.pop_front() {
                self.begin(ended.ends_ns, token, payment);
            }
        }
        while let (Some(end_ns), false) =
            (self.health.window_end_ns, self.health.waiting.is_empty())
        {
            if end_ns > now_ns {
                break;
            }
            self.health.window_end_ns = Some(end_ns + HEALTH_WINDOW_NS);
            let token = self.health.waiting.pop_front().expect("just seen");
            self.tell_health(token);
        }
    }

    fn begin(&mut self, now_ns: u64, token: u64, payment: Payment) {
        debug_assert!(self.config.delay_ms <= DELAY_MS_MAX);
        self.begun += 1;
        self.inside.push(Reverse(Inside {
            ends_ns: now_ns + self.config.delay_ms * MS_NS,
            number: self.begun,
            token,
            payment,
        }));
    }

    fn finish(&mut self, token: u64, payment: Payment) {
        let reply = if self.config.failing {
            Reply::Failed
        } else if self.stored.insert(payment) {
            Reply::Paid
        } else {
            Reply::Duplicate
        };
        self.done.push_back((token, reply));
    }

    fn tell_health(&mut self, token: u64) {
        let reply = Reply::Health {
            failing: self.config.failing,
            min_response_ms: self.config.delay_ms,
        };
        self.done.push_back((token, reply));
    }
}
