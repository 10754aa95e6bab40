//! Following the log's stream: record by record, and none left out.
//!
//! A server that has lost records delivers what it has. That shows as a gap, or, when the newest are lost, as nothing at all;
//! so now and then the stream is looked at. Either way what is missing is asked for again, of another server.

use super::engine::{Answer, Inspection, Request, RequestId, Sequence};
use super::outbox::{Alarm, Outbox, Part};
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS, INSPECTION_NS};

pub(super) struct Follower {
    /// The last record that was delivered, with all before it.
    last: Sequence,
    /// Not before that a gap is told again.
    gap_ns: u64,
    asked: Option<RequestId>,
    /// How far it had come when it asked.
    last_asked: Sequence,
    /// When to ask; `u64::MAX`: an answer is to come.
    ask_ns: u64,
}

impl Follower {
    /// `after`: from there on.
    pub(super) fn new(out: &mut Outbox, after: Sequence) -> Follower {
        out.requests.push_back(Request::Follow { after });
        Follower {
            last: after,
            gap_ns: 0,
            asked: None,
            last_asked: 0,
            ask_ns: 0,
        }
    }

    /// Whether a record that is delivered is the next one.
    pub(super) fn is_next(&mut self, out: &mut Outbox, sequence: Sequence, now_ns: u64) -> bool {
        if sequence == self.last + 1 {
            self.last = sequence;
            return true;
        }
        if sequence > self.last && now_ns >= self.gap_ns {
            self.gap_ns = now_ns + ENGINE_FAULT_NS;
            let (after, before) = (self.last, sequence);
            out.alarm(Alarm::Gap { after, before });
            out.requests.push_back(Request::StepDown);
            out.requests.push_back(Request::Follow { after });
        }
        false
    }

    pub(super) fn wake_ns(&self) -> u64 {
        self.ask_ns
    }

    pub(super) fn advance(&mut self, out: &mut Outbox, now_ns: u64) {
        if now_ns < self.ask_ns {
            return;
        }
        self.ask_ns = u64::MAX;
        self.last_asked = self.last;
        self.asked = Some(out.inspect(Part::Follower));
    }

    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        now_ns: u64,
    ) {
        if self.asked != Some(id) {
            return;
        }
        self.asked = None;
        let Answer::Inspected(inspection) = answer else {
            self.ask_ns = now_ns + ENGINE_RETRY_NS;
            return;
        };
        let stands_still = self.last == self.last_asked && self.last < inspection.last;
        let is_sound = is_sound(out, inspection);
        if stands_still {
            out.requests.push_back(Request::Follow { after: self.last });
        }
        self.ask_ns = match is_sound && !stands_still {
            true => now_ns + INSPECTION_NS,
            false => now_ns + ENGINE_FAULT_NS,
        };
    }
}

/// Whether the server that leads the log's stream has all of it. If not, it is asked to step down.
pub(super) fn is_sound(out: &mut Outbox, inspection: &Inspection) -> bool {
    let Inspection { first, missing, .. } = *inspection;
    if missing == 0 && first <= 1 {
        return true;
    }
    out.alarm(Alarm::Holes { missing, first });
    out.requests.push_back(Request::StepDown);
    false
}
