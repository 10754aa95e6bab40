//! Following the log's stream: record by record, and none left out.
//!
//! A server that has lost records delivers what it has. That shows as a gap, or, when the newest are lost, as nothing at all;
//! so now and then the stream is looked at. Either way what is missing is asked for again, of another server if it was asked for
//! before: servers leave something out now and then that they have. A gap at the stream's front may be what was kept elsewhere, and is gone: then copies have to come from there.

use super::outbox::{Alarm, Outbox, Question};
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS, INSPECTION_NS, NEAR_RECORDS};
use crate::machine::engine::{Answer, Inspection, Request, RequestId, Sequence};

pub(super) struct Follower {
    /// The last record that was delivered, with all before it.
    last: Sequence,
    /// Not before that a gap is looked at again.
    gap_ns: u64,
    /// What came instead of the next record.
    gap: Option<Sequence>,
    /// Behind which record there was a gap last.
    gap_after: Option<Sequence>,
    question: Question,
    /// The answer to the last one.
    inspection: Inspection,
    /// There was one.
    is_inspected: bool,
    /// How far it had come when it asked.
    last_asked: Sequence,
    /// When it asked last.
    asked_ns: u64,
    /// The same, if the stream was sound.
    sound_ns: Option<u64>,
}

impl Follower {
    /// `after`: from there on.
    pub(super) fn new(out: &mut Outbox, after: Sequence) -> Follower {
        out.requests.push_back(Request::Follow { after });
        Follower {
            last: after,
            gap_ns: 0,
            gap: None,
            gap_after: None,
            question: Question::default(),
            inspection: Inspection::default(),
            is_inspected: false,
            last_asked: 0,
            sound_ns: None,
            asked_ns: 0,
        }
    }

    /// Whether a record that is delivered is the next one.
    pub(super) fn is_next(&mut self, sequence: Sequence, now_ns: u64) -> bool {
        if sequence == self.last + 1 {
            self.last = sequence;
            return true;
        }
        if sequence > self.last && now_ns >= self.gap_ns {
            self.gap_ns = now_ns + ENGINE_FAULT_NS;
            self.gap = Some(sequence);
            self.question.drop_at(now_ns);
        }
        false
    }

    /// The last record that was delivered, with all before it.
    pub(super) fn last(&self) -> Sequence {
        self.last
    }

    /// The stream, as it was looked at last.
    pub(super) fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Whether it had, or has come near to, all that there was when the stream was looked at.
    pub(super) fn has_caught_up(&self) -> bool {
        self.is_inspected && self.last + NEAR_RECORDS >= self.inspection.last
    }

    /// From here on, whatever was delivered.
    pub(super) fn go_to(&mut self, out: &mut Outbox, after: Sequence) {
        self.last = after;
        out.requests.push_back(Request::Follow { after });
    }

    /// The records behind this one come again.
    pub(super) fn go_back(&mut self, out: &mut Outbox, after: Sequence) {
        if after < self.last {
            self.go_to(out, after);
        }
    }

    /// Whether the stream was sound a moment ago; if that is not known, it is looked at.
    pub(super) fn is_sound(&mut self, now_ns: u64) -> bool {
        let is_sound = self
            .sound_ns
            .is_some_and(|at_ns| now_ns < at_ns + ENGINE_FAULT_NS);
        if !is_sound && !self.question.is_open() {
            let due_ns = self.asked_ns + ENGINE_FAULT_NS;
            self.question.drop_at(self.question.due_ns().min(due_ns));
        }
        is_sound
    }

    pub(super) fn wake_ns(&self) -> u64 {
        self.question.due_ns()
    }

    pub(super) fn advance(&mut self, out: &mut Outbox, now_ns: u64) {
        if self.question.comes_due(now_ns) {
            self.last_asked = self.last;
            self.asked_ns = now_ns;
            self.question.ask(out.inspect());
        }
    }

    /// Whether the next record is gone: copies are to be had where it was kept.
    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        now_ns: u64,
    ) -> bool {
        if !self.question.takes(id, now_ns) {
            return false;
        }
        let Answer::Inspected(inspection) = answer else {
            self.question.drop_at(now_ns + ENGINE_RETRY_NS);
            return false;
        };
        (self.inspection, self.is_inspected) = (*inspection, true);
        let stands_still = self.last == self.last_asked && self.last < inspection.last;
        let fault = self.fault(inspection);
        let is_behind = fault.is_none() && self.last + 1 < inspection.first;
        let gap = self.gap.take().filter(|it| *it > self.last + 1);
        if let (false, Some(before)) = (is_behind, gap) {
            let after = self.last;
            if self.gap_after.replace(after) == Some(after) {
                out.alarm(Alarm::Gap { after, before });
                out.step_down(now_ns);
            }
        }
        self.sound_ns = match fault {
            None => Some(self.asked_ns),
            Some(alarm) => {
                out.alarm(alarm);
                out.step_down(now_ns);
                None
            }
        };
        if (stands_still || gap.is_some()) && !is_behind {
            out.requests.push_back(Request::Follow { after: self.last });
        }
        self.question
            .drop_at(match fault.is_none() && !stands_still {
                true => now_ns + INSPECTION_NS,
                false => now_ns + ENGINE_FAULT_NS,
            });
        is_behind
    }

    /// What the server that leads the log's stream lacks.
    fn fault(&self, inspection: &Inspection) -> Option<Alarm> {
        let Inspection {
            first,
            last,
            missing,
            kept,
            ..
        } = *inspection;
        if missing > 0 || first > kept.max(1) {
            return Some(Alarm::Holes { missing, first });
        }
        let copy = self.last_asked;
        (last < copy).then_some(Alarm::StreamBehind { last, copy })
    }
}
