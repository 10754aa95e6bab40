//! A small payments gateway that is right, and can be told to be wrong in one way or another: what a load tester has to see.
//!
//! Each payment is accepted at once and has a thread, which tries the default processor until that takes it. An attempt has
//! all the time that it needs, so none is ever in doubt.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use galo_load::exchange::exchange;
use galo_load::target::Target;
use galo_testkit::http::reply;
use galo_testkit::{Request, Service, PATIENCE};
use jiff::Timestamp;
use serde_json::{json, Value};

use super::bank::JSON;

/// For an attempt: longer than any delay.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);
/// From one that failed to the next.
const RETRY: Duration = Duration::from_millis(20);

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was carried out is in the summary only so much later.
    Lags(Duration),
    /// One payment is never in the summary.
    OffByOne,
    /// Each payment is made at both processors, and the summary says so.
    PaysTwice,
    /// Each n-th payment is accepted and never made.
    Drops(u64),
    /// The same, and the one behind it is made at both processors: all counts are right.
    Swaps(u64),
    /// Each n-th payment is made under an id that nobody asked for: all counts are right.
    Renames(u64),
    /// Each n-th payment is made with a cent less, and the one behind it with a cent more: all sums are right.
    Shifts(u64),
    /// Each n-th payment is refused with 400, and made: a summary has more than were acknowledged, all requested.
    Refuses(u64),
    /// Each n-th payment is answered with 500.
    Fails(u64),
    /// The summary is answered with 500.
    NoSummary,
    /// Purging is refused. Nothing is wrong with that.
    NoPurge,
}

/// One that listens, until it is dropped.
pub struct Gateway {
    service: Service,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Option<Fault>,
    state: Mutex<State>,
    /// The processors are known.
    can_pay: Condvar,
}

#[derive(Default)]
struct State {
    /// The default one and the fallback, once they are known.
    processors: Option<[Target; 2]>,
    accepted: u64,
    made: Vec<Made>,
}

struct Made {
    processor: usize,
    cents: u64,
    requested_at: Timestamp,
    /// In the summary from then on.
    shown_from: Instant,
}

impl Gateway {
    /// On a port of its own, on loopback.
    pub fn start(fault: Option<Fault>) -> Gateway {
        let shared = Arc::new(Shared {
            fault,
            state: Mutex::default(),
            can_pay: Condvar::new(),
        });
        let of_service = shared.clone();
        let service = Service::answering(move |request| {
            let (status, body) = of_service.answer(request);
            reply(status, JSON, &body.to_string())
        });
        Gateway { service, shared }
    }

    /// As it stands on a command line.
    pub fn url(&self) -> String {
        self.service.url()
    }

    /// From now on it pays by these: the default one and the fallback.
    pub fn pay_by(&self, processors: [Target; 2]) {
        self.shared.state().processors = Some(processors);
        self.shared.can_pay.notify_all();
    }

    /// It has made so many payments at the default processor, just now.
    pub fn has_made(&self, count: usize) {
        let mut state = self.shared.state();
        for _ in 0..count {
            state.made.push(Made::now(0, 1990, Timestamp::now()));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The same once the processors are known: the first payments may be there before who started both has told.
    fn state_to_pay(&self) -> MutexGuard<'_, State> {
        let unknown = |state: &mut State| state.processors.is_none();
        let waited = self
            .can_pay
            .wait_timeout_while(self.state(), PATIENCE, unknown);
        waited.unwrap().0
    }

    /// Status and body.
    fn answer(self: &Arc<Shared>, request: &Request) -> (u16, Value) {
        let path = request.path.as_str();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (request.method.as_str(), path) {
            ("POST", "/payments") => self.accept(&request.json()),
            ("GET", "/payments-summary") if self.fault == Some(Fault::NoSummary) => {
                (500, json!({"error": "no summary"}))
            }
            ("GET", "/payments-summary") => self.summary(query),
            ("POST", "/purge-payments") if self.fault == Some(Fault::NoPurge) => {
                (403, json!({"error": "not here"}))
            }
            ("POST", "/purge-payments") => {
                self.state().made.clear();
                (200, json!({"message": "purged"}))
            }
            _ => (404, json!({"error": "no such path"})),
        }
    }

    fn accept(self: &Arc<Shared>, body: &Value) -> (u16, Value) {
        let mut id = body["correlationId"].as_str().unwrap().to_owned();
        let mut cents = (body["amount"].as_f64().unwrap() * 100.0).round() as u64;
        let mut state = self.state_to_pay();
        state.accepted += 1;
        let number = state.accepted;
        let is_nth = |every: u64| number.is_multiple_of(every);
        let is_behind_nth = |every: u64| number > every && number % every == 1;
        match self.fault {
            Some(Fault::Renames(every)) if is_nth(every) => {
                let first = if id.starts_with('0') { "1" } else { "0" };
                id.replace_range(..1, first);
            }
            Some(Fault::Shifts(every)) if is_nth(every) => cents -= 1,
            Some(Fault::Shifts(every)) if is_behind_nth(every) => cents += 1,
            _ => {}
        }
        let processors: &[usize] = match self.fault {
            Some(Fault::Fails(every)) if is_nth(every) => {
                return (500, json!({"error": "not this one"}))
            }
            Some(Fault::Drops(every) | Fault::Swaps(every)) if is_nth(every) => &[],
            Some(Fault::Swaps(every)) if is_behind_nth(every) => &[0, 1],
            Some(Fault::PaysTwice) => &[0, 1],
            _ => &[0],
        };
        for processor in processors.iter().copied() {
            let target = state.processors.as_ref().expect("they are known")[processor].clone();
            let (shared, id) = (self.clone(), id.clone());
            thread::spawn(move || shared.pay(processor, &target, &id, cents));
        }
        match self.fault {
            Some(Fault::Refuses(every)) if is_nth(every) => (400, json!({"error": "not right"})),
            _ => (202, json!({"message": "accepted"})),
        }
    }

    /// Until it is made, or the processor is gone.
    fn pay(&self, processor: usize, target: &Target, id: &str, cents: u64) {
        loop {
            let requested_at = Timestamp::now();
            let body = format!(
                r#"{{"correlationId":"{id}","amount":{}.{:02},"requestedAt":"{requested_at:.3}"}}"#,
                cents / 100,
                cents % 100
            );
            let mut request = Vec::new();
            target.write_request(&mut request, "POST", "/payments", body.as_bytes());
            match exchange(target, &request, ATTEMPT_MAX) {
                Ok(reply) if reply.status == 200 => {
                    let mut made = Made::now(processor, cents, requested_at);
                    if let Some(Fault::Lags(lag)) = self.fault {
                        made.shown_from += lag;
                    }
                    self.state().made.push(made);
                    return;
                }
                Ok(_) => thread::sleep(RETRY),
                Err(_) => return,
            }
        }
    }

    fn summary(&self, query: &str) -> (u16, Value) {
        let bound = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(key, _)| *key == name)?;
            Some(value.parse::<Timestamp>().unwrap().as_millisecond())
        };
        let (from_ms, to_ms) = (bound("from"), bound("to"));
        if from_ms
            .zip(to_ms)
            .is_some_and(|(from_ms, to_ms)| from_ms > to_ms)
        {
            return (400, json!({"error": "a window that ends before it begins"}));
        }
        let now = Instant::now();
        let state = self.state();
        let hidden = usize::from(self.fault == Some(Fault::OffByOne));
        let [default, fallback] = [0, 1].map(|processor| {
            let shown = state.made.iter().skip(hidden).filter(|made| {
                let at_ms = made.requested_at.as_millisecond();
                made.processor == processor
                    && made.shown_from <= now
                    && from_ms.is_none_or(|from_ms| from_ms <= at_ms)
                    && to_ms.is_none_or(|to_ms| at_ms <= to_ms)
            });
            let cents: Vec<u64> = shown.map(|made| made.cents).collect();
            let amount = cents.iter().sum::<u64>() as f64 / 100.0;
            json!({"totalRequests": cents.len(), "totalAmount": amount})
        });
        (200, json!({"default": default, "fallback": fallback}))
    }
}

impl Made {
    fn now(processor: usize, cents: u64, requested_at: Timestamp) -> Made {
        Made {
            processor,
            cents,
            requested_at,
            shown_from: Instant::now(),
        }
    }
}
