//! From the queues to the processors: what is sent to whom, at the end of each tick.
//!
//! First payments that a processor may have already: they go to it again, and their records are in the
//! journal. Then free ones, in the order in which they were accepted (those that no processor takes come
//! last), shard by shard in turn, to whom the rule ([`choice`]) says: bound in the tick's batch, and sent
//! when that is written. A payment that came in with this tick is accepted, bound and sent with one write.

use super::super::Node;
use super::attempts::{Attempt, Order};
use crate::limits::{
    DISPATCH_NS_MAX, DISPATCH_RETRY_NS, PAYMENTS_OLD_COUNT_NS, PAYMENT_OLD_NS,
    PROCESSOR_PARALLEL_MAX,
};
use crate::machine::ConnectionId;
use crate::payments::choice::{self, Backlog, Choice, Outlook};
use crate::payments::circuit::State;
use crate::payments::{PaymentId, Processor};
use crate::shard::payments::Course;
use crate::shard::Shard;

impl<J> Node<J> {
    /// Sends what may be sent, and finds out when to look again.
    pub(in crate::node) fn dispatch(&mut self) {
        self.processors.left = false;
        self.pay_ns = u64::MAX;
        if self.served().any(|shard| shard.payments().open() > 0) {
            self.processors.busy = [true; 2];
        }
        if self.stop.is_none() {
            for processor in Processor::ALL {
                self.send_lookups(processor);
                self.ask_health(processor);
                self.retry(processor);
            }
            self.bind_free();
            self.connect_processors();
            self.pay_ns = self.next_look_ns();
        }
        self.count_payments();
    }

    /// A shard is ours, or once more to be served here.
    pub(in crate::node) fn payments_owned(&mut self, number: usize) {
        if let Some(payments) = &self.settings.payments {
            let open_max = payments.open_max;
            self.shard(number).set_payments_max(open_max);
            self.health_owned(number);
            self.gather_retries(number);
        }
    }

    /// Whether one more payment may be sent to a processor.
    fn takes_payment(&self, processor: Processor) -> bool {
        let side = &self.processors.sides[processor as usize];
        // The connection for a probe is part of it: what cannot wait does not wait for that.
        let probing = side.circuit.state() == State::Open && side.waits_for_connection();
        !probing && side.circuit.has_room(side.under_way, self.now.monotonic_ns)
    }

    /// Connections are wanted for payments: as many as wait, as far as the processor has room.
    fn want_connections(&mut self, processor: Processor, waiting: usize) {
        let side = self.processors.side(processor);
        // There is room for one; for more, if the window says so.
        let window = side.circuit.window() as usize;
        let room = window.saturating_sub(side.under_way as usize).max(1);
        side.wanted = side.wanted.max(waiting.min(room));
    }

    /// Sends payments once more that a processor may have.
    fn retry(&mut self, processor: Processor) {
        let now_ns = self.now.monotonic_ns;
        loop {
            let side = self.processors.side(processor);
            let works = side.circuit.state() == State::Closed;
            let first = side.retries.first_key_value();
            if first.is_none_or(|((due_ns, _), _)| *due_ns > now_ns) {
                return;
            }
            if (!works && side.retry_ns > now_ns) || !self.takes_payment(processor) {
                return;
            }
            let side = self.processors.side(processor);
            let ((due_ns, id), shard) = side.retries.pop_first().expect("there is one");
            // Settled or forgotten meanwhile, or another's: whoever has the shard sees to it.
            let Some(order) = self.bound_to(shard, id).filter(|it| it.to == processor) else {
                continue;
            };
            let course = self.course(shard, id);
            if course.due_ns != due_ns {
                continue; // It is in there again.
            }
            let paused_ns = self.processors.paused_ns[shard];
            if paused_ns > now_ns {
                let due_ns = paused_ns;
                self.set_course(shard, id, Course { due_ns, ..course });
                let side = self.processors.side(processor);
                side.retries.insert((due_ns, id), shard);
                continue;
            }
            let side = self.processors.side(processor);
            let Some(connection) = side.take_idle() else {
                side.retries.insert((due_ns, id), shard);
                let due = side
                    .retries
                    .keys()
                    .take_while(|(due_ns, _)| *due_ns <= now_ns);
                let waiting = due.take(PROCESSOR_PARALLEL_MAX).count();
                return self.want_connections(processor, waiting);
            };
            self.set_course(
                shard,
                id,
                Course {
                    due_ns: 0,
                    ..course
                },
            );
            self.shard(shard).payment_retried(id);
            let attempt = self.attempt(order);
            self.send_payment(attempt, connection);
        }
    }

    /// Binds free payments, one of each shard in turn, for as long as there is somebody to send them to.
    fn bind_free(&mut self) {
        let shards = self.shards.len();
        let now_ns = self.now.monotonic_ns;
        for shard in self.shards.iter_mut().flatten() {
            shard.wake_payments(now_ns);
        }
        loop {
            let mut any = false;
            let first = self.processors.first;
            for shard in (0..shards).map(|step| (first + step) % shards) {
                if self.bind_next(shard) {
                    self.processors.first = (shard + 1) % shards;
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Binds the payment of a shard that has waited longest. Whether it did.
    fn bind_next(&mut self, number: usize) -> bool {
        let now = self.now;
        if !self.serves(number) || self.processors.paused_ns[number] > now.monotonic_ns {
            return false;
        }
        let (payment, choice, to, time_us) = loop {
            let shard = self.shards[number].as_mut().expect("it is served");
            let time_us = shard.tell_time(now);
            let Some(payment) = shard.payments().next_free() else {
                return false;
            };
            if !shard.accepts() {
                self.processors.left = true;
                return false;
            }
            let backlog = backlog(shard, payment.accepted_us, time_us);
            let mut outlooks = Processor::ALL.map(|processor| self.outlook(processor));
            let rests_until_ns = match payment.attempts {
                0 => None,
                _ => self.rests(number, payment.id, &mut outlooks),
            };
            let deadline_ns = self.payments_settings().deadline_ns;
            let choice = choice::choose(&backlog, deadline_ns, &outlooks);
            match (choice, rests_until_ns) {
                (Choice::Wait, None) => return false,
                // Whoever is behind it may go where it may not.
                (Choice::Wait, Some(until_ns)) => self.rest_on(number, payment.id, until_ns),
                (Choice::Cheapest(to) | Choice::ForDeadline(to) | Choice::ForRoom(to), _) => {
                    break (payment, choice, Processor::ALL[to], time_us);
                }
            }
        };
        let side = self.processors.side(to);
        let Some(connection) = side.take_idle() else {
            let waiting = self.shards[number].as_ref().map(|it| it.payments().free());
            self.want_connections(to, waiting.unwrap_or(0));
            return false;
        };
        let stats = &self.stats().payments;
        match choice {
            Choice::Wait | Choice::Cheapest(_) => {}
            Choice::ForDeadline(_) => stats.fallback_for_deadline.add(1),
            Choice::ForRoom(_) => stats.fallback_for_room.add(1),
        }
        let shard = self.shard(number);
        let requested_us = shard.bind_payment(payment.id, to, time_us);
        let order = Order {
            shard: number,
            id: payment.id,
            cents: payment.cents,
            requested_us,
            to,
        };
        let attempt = self.attempt(order);
        self.processors.unsent.push((attempt, connection));
        true
    }

    /// Takes the processors out of what a payment may choose from that it rests from; until when it does. Monotonic.
    fn rests(&self, shard: usize, id: PaymentId, outlooks: &mut [Outlook; 2]) -> Option<u64> {
        let course = self.course(shard, id);
        let mut until_ns = None;
        for (rest_ns, outlook) in course.rest_ns.into_iter().zip(outlooks) {
            if rest_ns > self.now.monotonic_ns {
                *outlook = outlook.without_room();
                until_ns = Some(until_ns.unwrap_or(u64::MAX).min(rest_ns));
            }
        }
        until_ns
    }

    /// A free payment that goes nowhere now rests on; it may go to the other processor before that is over, and is
    /// looked at now and then.
    fn rest_on(&mut self, shard: usize, id: PaymentId, until_ns: u64) {
        let now_ns = self.now.monotonic_ns;
        let look_ns = ((until_ns - now_ns) / 4).max(DISPATCH_NS_MAX);
        let due_ns = until_ns.min(now_ns + look_ns);
        let course = self.course(shard, id);
        self.set_course(shard, id, Course { due_ns, ..course });
    }

    /// A processor says that it works again: whatever rests from it may go there.
    pub(in crate::node) fn end_rests(&mut self, processor: Processor) {
        let now_ns = self.now.monotonic_ns;
        for shard in self.shards.iter_mut().flatten() {
            shard.end_payment_rests(processor);
        }
        // Those that it may have are due in the order in which they would have been, one after the other.
        let retries = std::mem::take(&mut self.processors.side(processor).retries);
        let first_ns = now_ns.saturating_sub(retries.len() as u64);
        for (place, ((due_before_ns, id), shard)) in retries.into_iter().enumerate() {
            let tried = self.bound_to(shard, id).and_then(|_| self.tried(shard, id));
            let tried = tried.filter(|(_, course)| course.due_ns == due_before_ns);
            if let Some((_, course)) = tried {
                let due_ns = due_before_ns.min(first_ns + 1 + place as u64);
                self.set_course(shard, id, Course { due_ns, ..course });
                let side = self.processors.side(processor);
                side.retries.insert((due_ns, id), shard);
            }
        }
        self.processors.side(processor).retry_ns = 0;
    }

    pub(in crate::node) fn outlook(&self, processor: Processor) -> Outlook {
        let side = &self.processors.sides[processor as usize];
        Outlook {
            works: side.circuit.works(self.now.monotonic_ns),
            room: self.takes_payment(processor),
            full: side.circuit.is_full(side.under_way, self.now.monotonic_ns),
            latency_ns: side.circuit.latency_ns(self.now.monotonic_ns),
            parallel_max: side.window_max,
            fee_basis_points: processor.fee_basis_points(),
        }
    }

    // ---- The journal -----------------------------------------------------------

    /// The tick's batch of a shard is in the journal: what it binds may leave, as replies may.
    pub(in crate::node) fn payments_written(&mut self, shard: usize) {
        self.each_unsent(shard, Self::send_payment);
        let stats = self.settings.process.stats.core(self.settings.members.core);
        if !self.processors.confirmed.is_empty() {
            stats.payments.settled_ns.set(self.now.monotonic_ns);
        }
        self.processors.confirmed.retain(|(of, by, cents)| {
            if *of == shard {
                let stats = &stats.payments.processors[*by as usize];
                stats.settled.add(1);
                stats.settled_cents.add(*cents);
            }
            *of != shard
        });
    }

    /// The batch is undone: nothing of it is sent, and what it settled is in doubt again.
    pub(in crate::node) fn payments_refused(&mut self, shard: usize) {
        self.each_unsent(shard, |node, attempt, connection| {
            let side = node.processors.side(attempt.order.to);
            side.under_way -= 1;
            side.circuit.withdrawn(attempt.ticket);
            side.give_back(connection);
        });
        self.processors.confirmed.retain(|(of, ..)| *of != shard);
        self.processors.paused_ns[shard] = self.now.monotonic_ns + DISPATCH_RETRY_NS;
        self.pay_ns = self.pay_ns.min(self.processors.paused_ns[shard]);
        self.gather_retries(shard);
    }

    fn each_unsent(&mut self, shard: usize, each: impl Fn(&mut Self, Attempt, ConnectionId)) {
        let mut unsent = std::mem::take(&mut self.processors.unsent);
        unsent.retain(|(attempt, connection)| {
            let is_its = attempt.order.shard == shard;
            if is_its {
                each(self, *attempt, *connection);
            }
            !is_its
        });
        self.processors.unsent = unsent;
    }

    // ---- When to look again, and what to tell -----------------------------------------

    /// When to look again, although nothing happens. Monotonic.
    fn next_look_ns(&self) -> u64 {
        let now_ns = self.now.monotonic_ns;
        let sides = &self.processors.sides;
        let mut next_ns = u64::MAX;
        let retries = sides.iter().any(|side| !side.retries.is_empty());
        if retries || self.served().any(|shard| shard.payments().free() > 0) {
            let probes = sides.iter().filter_map(|side| side.circuit.wake_ns(now_ns));
            let throttles = sides.iter().map(|side| side.retry_ns);
            let firsts = sides
                .iter()
                .filter_map(|side| side.retries.first_key_value());
            let retries = firsts.map(|((due_ns, _), _)| *due_ns);
            let rests = self.served().filter_map(|shard| shard.payments().wake_ns());
            let pauses = self.processors.paused_ns.iter().copied();
            let all = probes
                .chain(throttles)
                .chain(retries)
                .chain(rests)
                .chain(pauses);
            let ahead = all.filter(|at_ns| *at_ns > now_ns);
            next_ns = ahead.fold(now_ns + DISPATCH_NS_MAX, u64::min);
        }
        for processor in Processor::ALL {
            let lookups = &sides[processor as usize].lookups;
            next_ns = next_ns.min(lookups.deadline_ns());
            next_ns = next_ns.min(self.health_due_ns(processor));
        }
        next_ns
    }

    /// Our shards whose payments we may send.
    pub(in crate::node) fn served(&self) -> impl Iterator<Item = &Shard> {
        let numbers = (0..self.shards.len()).filter(|shard| self.serves(*shard));
        numbers.filter_map(|shard| self.shards[shard].as_ref())
    }

    fn count_payments(&mut self) {
        let mut open = 0;
        let mut oldest_age_us = 0;
        for shard in self.served() {
            open += shard.payments().open() as u64;
            if let Some(oldest_us) = shard.payments().oldest_us() {
                let age_us = shard.now_us(self.now).saturating_sub(oldest_us);
                oldest_age_us = oldest_age_us.max(age_us);
            }
        }
        self.count_old(oldest_age_us);
        let now_ns = self.now.monotonic_ns;
        let stats = &self.stats().payments;
        stats.open.set(open);
        // It may be older than the machine has been up.
        let since_ns = (self.now.monotonic_ns).wrapping_sub(oldest_age_us.saturating_mul(1_000));
        stats.oldest_ns.set(since_ns);
        match (open, stats.open_since_ns.get()) {
            (0, _) => stats.open_since_ns.set(0),
            (_, 0) => stats.open_since_ns.set(now_ns.max(1)),
            _ => {}
        }
        let sides = &self.processors.sides;
        let in_doubt: usize = sides.iter().map(|side| side.retries.len()).sum();
        stats.in_doubt.set(in_doubt as u64);
        for (side, stats) in sides.iter().zip(&stats.processors) {
            stats.circuit.set(side.circuit.state() as u64);
            stats.window.set(u64::from(side.circuit.window()));
            stats.under_way.set(u64::from(side.under_way));
            stats
                .latency_ns
                .set(side.circuit.latency_ns(self.now.monotonic_ns));
        }
    }
}

impl<J> Node<J> {
    /// Counts the open payments that are old, now and then; `oldest_age_us`: the age of the oldest.
    fn count_old(&mut self, oldest_age_us: u64) {
        let now = self.now;
        if oldest_age_us <= PAYMENT_OLD_NS / 1000 {
            return self.stats().payments.old.set(0);
        }
        if now.monotonic_ns < self.processors.count_old_ns {
            return;
        }
        self.processors.count_old_ns = now.monotonic_ns + PAYMENTS_OLD_COUNT_NS;
        let old = self.served().map(|shard| {
            let before_us = shard.now_us(now).saturating_sub(PAYMENT_OLD_NS / 1000);
            shard.payments().older_than(before_us)
        });
        self.stats().payments.old.set(old.sum::<usize>() as u64);
    }
}

fn backlog(shard: &Shard, oldest_us: u64, now_us: u64) -> Backlog {
    let payments = shard.payments();
    let bound = payments.open() - payments.free();
    let age_ns = |since_us: u64| now_us.saturating_sub(since_us) * 1000;
    Backlog {
        oldest_ns: age_ns(oldest_us),
        newest_ns: payments.newest_us().map_or(0, age_ns),
        length: payments.free(),
        // Those with a processor have their places, too.
        length_max: payments.open_max().saturating_sub(bound),
    }
}
