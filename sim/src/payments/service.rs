//! Both processors at work: they take requests and answer them, well or badly.

use galo::payments::Processor;
use galo_processor::fault::{Delivery, End};
use galo_processor::model::{self, Reply};

use super::phase::{Deaf, Phase, Spoilt, OFFICIAL_NS};
use super::processors::{Later, Work};
use super::short_id;
use super::wire::{self, Request};
use crate::event;
use crate::sabotage::Sabotage;
use crate::socket::{Ended, Far, Upstream};
use crate::trace::{Checked, Who};
use crate::world::World;
use galo_testkit::Random;

/// An answer that takes so long, for whatever reason, is a slow one.
const SLOW_NS: u64 = 100_000_000;

impl World {
    /// Lets both do what is to be done by now.
    pub fn attend_processors(&mut self) -> Checked {
        if self.plan.payments.is_none() {
            return Ok(());
        }
        for which in Processor::ALL {
            self.change_phase(which);
            self.finish(which)?;
        }
        self.deliver_later();
        let is_asked = |upstream: &Upstream| !upstream.inbox.is_empty();
        for at in self.sockets_that(|socket| socket.upstream().is_some_and(is_asked)) {
            self.take_request(at)?;
        }
        for which in Processor::ALL {
            self.finish(which)?;
            let phase = &self.processors.each[which as usize].phase;
            let (is_good, is_heard) = (phase.is_good(), phase.is_heard());
            let payments = &mut self.model.payments;
            payments.watched(which, self.now_ns, is_good, is_heard);
        }
        for socket in self.sockets.values() {
            let Some(upstream) = socket.upstream() else {
                continue;
            };
            let waits = upstream.busy.is_some() || !socket.input.is_empty();
            if waits && self.now_ns > upstream.asked_ns + SLOW_NS {
                let payments = &mut self.model.payments;
                payments.looks_bad(upstream.processor, self.now_ns);
            }
        }
        Ok(())
    }

    fn change_phase(&mut self, which: Processor) {
        let now_ns = self.now_ns;
        let processors = &mut self.processors;
        let actor = &mut processors.each[which as usize];
        if processors.healed || actor.phase_ends_ns > now_ns {
            return;
        }
        let plan = self.plan.payments.as_ref().expect("somebody uses them");
        let random = &mut processors.random;
        if plan.official {
            let number = now_ns / OFFICIAL_NS;
            actor.phase = Phase::official(which as usize, number);
            actor.phase_ends_ns = (number + 1) * OFFICIAL_NS;
        } else {
            actor.phase = Phase::any(plan, random);
            actor.phase_ends_ns = now_ns + random.skewed(plan.phase_ns_max);
        }
        let (delay_ms, failing) = (actor.phase.delay_ms, actor.phase.failing);
        actor.model.configure(now_ns, |config| {
            (config.delay_ms, config.failing) = (delay_ms, failing);
        });
        event!(self.trace, Who::Processor(which), "{}", actor.phase);
    }

    /// Both are like this from now on.
    pub fn set_phases(&mut self, phase: &Phase) {
        for which in Processor::ALL {
            self.set_phase(which, phase);
        }
    }

    /// One of them is.
    pub fn set_phase(&mut self, which: Processor, phase: &Phase) {
        let now_ns = self.now_ns;
        self.processors.healed = true;
        let actor = &mut self.processors.each[which as usize];
        actor.phase = phase.clone();
        let (delay_ms, failing) = (phase.delay_ms, phase.failing);
        actor.model.configure(now_ns, |config| {
            (config.delay_ms, config.failing) = (delay_ms, failing);
        });
        event!(self.trace, Who::Processor(which), "{phase}, from now on");
    }

    /// They may be as bad as the plan says, again.
    pub fn free_phases(&mut self) {
        self.processors.healed = false;
        for actor in &mut self.processors.each {
            actor.phase_ends_ns = self.now_ns;
        }
    }

    // ---- Requests ----------------------------------------------------------------

    /// What has come on this connection, if it is a whole request.
    fn take_request(&mut self, at: u64) -> Checked {
        let plan = self.plan.payments.as_ref().expect("somebody uses them");
        let prefixes = plan.prefixes;
        let token = self.processors.tokens + 1;
        let Some(upstream) = self.socket(at).upstream_mut() else {
            return Ok(());
        };
        let which = upstream.processor;
        let number = which as usize;
        crate::require!(
            upstream.busy.is_none(),
            "{} gets a request before it has answered the one before",
            which.name()
        );
        let host = wire::HOSTS[number];
        let Some((request, length)) = wire::request(&upstream.inbox, host, prefixes[number])?
        else {
            return Ok(());
        };
        crate::require!(
            length == upstream.inbox.len(),
            "{} gets more than one request",
            which.name()
        );
        upstream.inbox.clear();
        upstream.busy = Some(token);
        let asked_ns = upstream.asked_ns;
        self.processors.tokens = token;
        event!(self.trace, Who::Processor(which), "gets {request}");
        match request {
            Request::Pay(mut payment) => {
                self.coverage.attempts += 1;
                self.sabotage_payment(which, &mut payment);
                let now_ns = self.now_ns;
                self.model
                    .payments
                    .arrived(which, &payment, now_ns, self.durable)?;
                if !self.plan.full_disk && !self.plan.size_limit {
                    let shuffled_ns = self.shuffled_ns;
                    let book = &mut self.model.payments;
                    book.comes_again(which, &payment, asked_ns, shuffled_ns)?;
                    let twice = self.sabotage == Some(Sabotage::AttemptRepeated);
                    if twice && self.processors.random.percent(20) {
                        book.comes_again(which, &payment, asked_ns, shuffled_ns)?;
                    }
                }
                self.pay(which, at, token, payment);
            }
            Request::Look(id) => {
                self.coverage.lookups += 1;
                let now_ns = self.now_ns;
                let actor = &mut self.processors.each[number];
                let mut payment = actor.model.payment(now_ns, id);
                let cents = self.model.payments.cents_of(id);
                if let (Some(Sabotage::NotFoundIsFound), Some(cents)) = (self.sabotage, cents) {
                    payment.get_or_insert(model::Payment {
                        id,
                        cents,
                        requested_us: self.model.payments.requested_us_of(id).unwrap_or(0),
                    });
                }
                let found = if payment.is_some() {
                    "has"
                } else {
                    "does not have"
                };
                let id = short_id(id);
                event!(self.trace, Who::Processor(which), "{found} payment {id}");
                let written = wire::found(payment, &mut self.processors.random);
                self.answer_other(which, at, written);
            }
            Request::Health => {
                self.coverage.health_questions += 1;
                self.model
                    .payments
                    .health_asked(which, asked_ns, self.shuffled_ns)?;
                let work = Work {
                    at,
                    request,
                    spoilt: None,
                };
                let now_ns = self.now_ns;
                let actor = &mut self.processors.each[number];
                actor.works.insert(token, work);
                actor.model.health(now_ns, token);
            }
        }
        Ok(())
    }

    /// What is wrong with a payment that a processor is asked for, if something is to be.
    fn sabotage_payment(&mut self, which: Processor, payment: &mut model::Payment) {
        let number = which as usize;
        match self.sabotage {
            Some(Sabotage::PaidByBoth) if self.processors.random.percent(10) => {
                let (now_ns, token) = (self.now_ns, self.processors.tokens + 1);
                self.processors.tokens = token;
                let other = &mut self.processors.each[1 - number];
                let work = Work {
                    at: u64::MAX,
                    request: Request::Pay(*payment),
                    spoilt: None,
                };
                other.works.insert(token, work);
                other.model.pay(now_ns, token, *payment);
            }
            Some(Sabotage::RequestedAtFresh) if self.model.payments.was_asked(payment) => {
                payment.requested_us += 1_000;
            }
            Some(Sabotage::AmountChanged) if self.processors.random.percent(5) => {
                payment.cents += 1;
            }
            Some(Sabotage::StoredIsForgotten) if self.processors.random.percent(2) => {
                self.processors.each[number].model.purge(self.now_ns);
            }
            _ => {}
        }
    }

    fn pay(&mut self, which: Processor, at: u64, token: u64, payment: model::Payment) {
        let now_ns = self.now_ns;
        let processors = &mut self.processors;
        let actor = &mut processors.each[which as usize];
        let spoilt = actor.phase.spoils(&mut processors.random);
        if let Some(spoilt) = spoilt {
            self.coverage.spoilt += 1;
            let senseless = matches!(spoilt, Spoilt::Page { .. } | Spoilt::Known);
            self.coverage.senseless += u64::from(senseless);
        }
        let arrives = match spoilt {
            None => true,
            Some(Spoilt::Fault(fault)) => fault.arrives(),
            Some(Spoilt::Gateway { arrives, .. } | Spoilt::Page { arrives }) => arrives,
            Some(Spoilt::Refused(_) | Spoilt::Busy(_) | Spoilt::Known) => false,
        };
        let id = short_id(payment.id);
        if arrives {
            let work = Work {
                at,
                request: Request::Pay(payment),
                spoilt,
            };
            actor.works.insert(token, work);
            return actor.model.pay(now_ns, token, payment);
        }
        if let Some(spoilt) = spoilt {
            let who = Who::Processor(which);
            event!(self.trace, who, "does not carry out payment {id}: {spoilt}");
        }
        let random = &mut processors.random;
        let written = instead(spoilt, random).unwrap_or_else(|| wire::refusal(500, "", random));
        self.deliver(at, written, spoilt);
    }

    /// What the model has done by now.
    fn finish(&mut self, which: Processor) -> Checked {
        let now_ns = self.now_ns;
        loop {
            let actor = &mut self.processors.each[which as usize];
            let Some((token, mut reply)) = actor.model.take_done(now_ns) else {
                return Ok(());
            };
            let work = actor.works.remove(&token).expect("it has one");
            event!(
                self.trace,
                Who::Processor(which),
                "{}",
                wire::done(&work.request, &reply)
            );
            if let Some(spoilt) = work.spoilt {
                event!(self.trace, Who::Processor(which), "{spoilt}");
            }
            if let (Request::Pay(payment), Reply::Paid) = (work.request, reply) {
                self.coverage.paid += 1;
                self.coverage.paid_dearly += u64::from(which == Processor::Fallback);
                self.model.payments.stored(which, &payment, now_ns)?;
            }
            if let Reply::Health { failing, .. } = reply {
                self.model.payments.health_told(which, failing, now_ns);
            }
            if reply == Reply::Busy {
                self.coverage.too_many += 1;
                self.model.payments.looks_bad(which, now_ns);
            }
            match self.sabotage {
                Some(Sabotage::StoredIsRefused) if reply == Reply::Paid => reply = Reply::Failed,
                Some(Sabotage::RefusedIsStored) if reply == Reply::Failed => reply = Reply::Paid,
                _ => {}
            }
            let random = &mut self.processors.random;
            let written = instead(work.spoilt, random);
            let written = written.unwrap_or_else(|| wire::reply(&reply, random));
            match work.request {
                Request::Health => self.answer_other(which, work.at, written),
                _ => self.deliver(work.at, written, work.spoilt),
            }
        }
    }

    // ---- Replies -----------------------------------------------------------------

    /// Sends what of the reply to a payment comes through.
    fn deliver(&mut self, at: u64, written: wire::Written, spoilt: Option<Spoilt>) {
        let length = written.bytes.len();
        let delivery = match spoilt {
            Some(Spoilt::Fault(fault)) => fault.delivery(written.head_bytes, length),
            _ => Delivery {
                bytes: length,
                end: End::Drip,
            },
        };
        let slowly = matches!(spoilt, Some(Spoilt::Fault(_))) && delivery.end == End::Drip;
        let bytes = written.bytes[..delivery.bytes].to_vec();
        let ended = match delivery.end {
            End::Close => Some(Ended::Fin),
            End::Reset => Some(Ended::Reset),
            End::Drip if written.last => Some(Ended::Fin),
            End::Drip => None,
            End::Silence => return,
        };
        let pass_ns = match slowly {
            true => self.processors.random.skewed(4_000_000_000),
            false => 0,
        };
        self.tell(at, bytes, ended, pass_ns);
    }

    /// Answers something else than a payment.
    fn answer_other(&mut self, which: Processor, at: u64, written: wire::Written) {
        let processors = &mut self.processors;
        let actor = &processors.each[which as usize];
        let deaf = actor.phase.deafens(&mut processors.random);
        if let Some(deaf) = deaf {
            event!(
                self.trace,
                Who::Processor(which),
                "does not answer that: {deaf}"
            );
        }
        let random = &mut processors.random;
        let written = match deaf {
            Some(Deaf::Says(status)) => wire::refusal(status, "", random),
            Some(Deaf::Page) => wire::page(random),
            _ => written,
        };
        let ended = written.last.then_some(Ended::Fin);
        match deaf {
            None | Some(Deaf::Says(_) | Deaf::Page) => self.tell(at, written.bytes, ended, 0),
            Some(Deaf::Late(pass_ns)) => self.tell(at, written.bytes, ended, pass_ns),
            Some(Deaf::Hangs) => {}
            Some(Deaf::Resets) => self.tell(at, Vec::new(), Some(Ended::Reset), 0),
            Some(Deaf::Cuts) => {
                let length = random.index(written.bytes.len());
                let bytes = written.bytes[..length].to_vec();
                self.tell(at, bytes, Some(Ended::Fin), 0);
            }
        }
        if deaf.is_some() {
            self.model.payments.unheard(which, self.now_ns);
        }
    }

    /// A part of it now, the rest later. Something is always left: a caller who has all of an answer may ask the next
    /// thing, and this connection is busy until the rest is out.
    fn tell(&mut self, at: u64, mut bytes: Vec<u8>, ended: Option<Ended>, pass_ns: u64) {
        if pass_ns > 0 {
            let part = self.processors.random.index(bytes.len() + 1);
            let rest = bytes.split_off(part.min(bytes.len().saturating_sub(1)));
            self.processors.later.push(Later {
                due_ns: self.now_ns + pass_ns,
                at,
                bytes: rest,
                ended,
            });
            return self.put(at, &bytes);
        }
        self.put(at, &bytes);
        self.done_with(at, ended);
    }

    fn deliver_later(&mut self) {
        let now_ns = self.now_ns;
        while let Some(index) = self
            .processors
            .later
            .iter()
            .position(|later| later.due_ns <= now_ns)
        {
            let later = self.processors.later.remove(index);
            self.put(later.at, &later.bytes);
            self.done_with(later.at, later.ended);
        }
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.input.extend(bytes);
        }
    }

    /// The reply is out, as far as it comes.
    fn done_with(&mut self, at: u64, ended: Option<Ended>) {
        // A connection that is idle may be closed at any time.
        let closes = self.processors.random.percent(3);
        let Some(socket) = self.sockets.get_mut(&at) else {
            return;
        };
        if let Far::Upstream(upstream) = &mut socket.far {
            upstream.busy = None;
        }
        match ended {
            Some(ended) => socket.input_end = Some(ended),
            None if closes => socket.input_end = Some(Ended::Fin),
            None => {}
        }
    }
}

/// What comes in the place of a processor's own reply to a payment, if something does.
fn instead(spoilt: Option<Spoilt>, random: &mut Random) -> Option<wire::Written> {
    Some(match spoilt? {
        Spoilt::Fault(_) => return None,
        Spoilt::Gateway { status, .. } | Spoilt::Refused(status) => {
            wire::refusal(status, "", random)
        }
        Spoilt::Busy(Some(wait_s)) => {
            wire::refusal(429, &format!("retry-after: {wait_s}\r\n"), random)
        }
        Spoilt::Busy(None) => wire::refusal(429, "", random),
        Spoilt::Known => wire::refusal(422, "", random),
        Spoilt::Page { .. } => wire::page(random),
    })
}
