//! From the queues to the processors: what is sent to whom, at the end of each tick.
//!
//! First payments that a processor may have already: they go to it again, and their records are in the
//! journal. Then free ones, in the order in which they were accepted (those that no processor takes come
//! last), shard by shard in turn, to whom the rule ([`choice`]) says: bound in the tick's batch, and sent
//! when that is written. A payment that came in with this tick is accepted, bound and sent with one write.

use super::super::shards::Shards;
use super::super::transport::Transport;
use super::attempts::{Attempt, PaymentOrder};
use super::Gateway;
use crate::limits::{
    DISPATCH_NS_MAX, DISPATCH_RETRY_NS, PAYMENTS_OLD_COUNT_NS, PAYMENT_OLD_NS,
    PROCESSOR_PARALLEL_MAX,
};
use crate::machine::ConnectionId;
use crate::payments::choice::{self, Backlog, Choice, Outlook};
use crate::payments::circuit::CircuitState;
use crate::payments::{PaymentId, Processor};
use crate::shard::payments::Course;
use crate::shard::Shard;
use probe::probe;

impl Gateway {
    /// Sends what may be sent, and finds out when to look again.
    pub(in crate::node) fn dispatch(&mut self, io: &mut Transport, shards: &mut Shards) {
        self.left = false;
        self.wake_ns = u64::MAX;
        if shards.served().any(|shard| shard.payments().open() > 0) {
            self.busy = [true; 2];
        }
        if io.stop.is_none() {
            for processor in Processor::ALL {
                if !self.upstream(processor).status_queries.order.is_empty() {
                    self.send_status_queries(io, shards, processor);
                }
                self.ask_health(io, shards, processor);
                self.retry(io, shards, processor);
            }
            self.bind_free(io, shards);
            self.connect_processors(io);
            self.wake_ns = self.next_look_ns(io, shards);
        }
        self.count_payments(io, shards);
    }

    /// A shard is ours, or once more to be served here.
    pub(in crate::node) fn payments_owned(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        number: usize,
    ) {
        let open_max = io.settings.payments().open_max;
        shards.shard(number).set_payments_max(open_max);
        self.health_owned(io, number);
        self.gather_retries(io, shards, number);
    }

    /// Whether one more payment may be sent to a processor.
    fn takes_payment(&self, io: &Transport, processor: Processor) -> bool {
        let upstream = &self.upstreams[processor as usize];
        // The connection for a probe is part of it: what cannot wait does not wait for that.
        let probing =
            upstream.circuit.state() == CircuitState::Open && upstream.waits_for_connection();
        !probing
            && upstream
                .circuit
                .has_room(upstream.under_way, io.now.monotonic_ns)
    }

    /// Connections are wanted for payments: as many as wait, as far as the processor has room.
    fn want_connections(&mut self, processor: Processor, waiting: usize) {
        let upstream = self.upstream(processor);
        // There is room for one; for more, if the window says so.
        let window = upstream.circuit.window() as usize;
        let room = window.saturating_sub(upstream.under_way as usize).max(1);
        upstream.pool.wanted = upstream.pool.wanted.max(waiting.min(room));
    }

    /// Sends payments once more that a processor may have.
    fn retry(&mut self, io: &mut Transport, shards: &mut Shards, processor: Processor) {
        let now_ns = io.now.monotonic_ns;
        loop {
            let upstream = self.upstream(processor);
            let works = upstream.circuit.state() == CircuitState::Closed;
            let first = upstream.retries.first_key_value();
            if first.is_none_or(|((due_ns, _), _)| *due_ns > now_ns) {
                return;
            }
            if (!works && upstream.retry_ns > now_ns) || !self.takes_payment(io, processor) {
                return;
            }
            let upstream = self.upstream(processor);
            let ((due_ns, id), shard) = upstream.retries.pop_first().expect("there is one");
            // Settled or forgotten meanwhile, or another's: whoever has the shard sees to it.
            let Some(order) = self
                .bound_to(shards, shard, id)
                .filter(|it| it.to == processor)
            else {
                continue;
            };
            let course = self.course(shards, shard, id);
            if course.due_ns != due_ns {
                continue; // It is in there again.
            }
            let paused_ns = self.paused_ns[shard];
            if paused_ns > now_ns {
                let due_ns = paused_ns;
                self.set_course(shards, shard, id, Course { due_ns, ..course });
                let upstream = self.upstream(processor);
                upstream.retries.insert((due_ns, id), shard);
                continue;
            }
            let upstream = self.upstream(processor);
            let Some(connection) = upstream.take_idle() else {
                upstream.retries.insert((due_ns, id), shard);
                let due = upstream
                    .retries
                    .keys()
                    .take_while(|(due_ns, _)| *due_ns <= now_ns);
                let waiting = due.take(PROCESSOR_PARALLEL_MAX).count();
                return self.want_connections(processor, waiting);
            };
            self.set_course(
                shards,
                shard,
                id,
                Course {
                    due_ns: 0,
                    ..course
                },
            );
            shards.shard(shard).payment_retried(id);
            let attempt = self.attempt(io, order);
            self.send_payment(io, attempt, connection);
        }
    }

    /// Binds free payments, one of each shard in turn, for as long as there is somebody to send them to.
    fn bind_free(&mut self, io: &mut Transport, shards: &mut Shards) {
        let count = shards.count();
        let now_ns = io.now.monotonic_ns;
        for shard in shards.ours_mut() {
            shard.wake_payments(now_ns);
        }
        loop {
            let mut any = false;
            let first = self.first;
            for shard in (0..count).map(|step| (first + step) % count) {
                if self.bind_next(io, shards, shard) {
                    self.first = (shard + 1) % count;
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Binds the payment of a shard that has waited longest. Whether it did.
    fn bind_next(&mut self, io: &mut Transport, shards: &mut Shards, number: usize) -> bool {
        let now = io.now;
        if !shards.serves(number) || self.paused_ns[number] > now.monotonic_ns {
            return false;
        }
        let (payment, choice, to, time_us) = loop {
            let shard = shards.shard(number);
            let time_us = shard.tell_time(now);
            let Some(payment) = shard.payments().next_free() else {
                return false;
            };
            if !shard.accepts() {
                self.left = true;
                return false;
            }
            let backlog = backlog(shard, payment.accepted_us, time_us);
            let mut outlooks = Processor::ALL.map(|processor| self.outlook(io, processor));
            let rests_until_ns = match payment.attempts {
                0 => None,
                _ => self.rests(io, shards, number, payment.id, &mut outlooks),
            };
            let deadline_ns = io.settings.payments().deadline_ns;
            let choice = choice::choose(&backlog, deadline_ns, &outlooks);
            match (choice, rests_until_ns) {
                (Choice::Wait, None) => return false,
                // Whoever is behind it may go where it may not.
                (Choice::Wait, Some(until_ns)) => {
                    self.rest_on(io, shards, number, payment.id, until_ns)
                }
                (Choice::Cheapest(to) | Choice::ForDeadline(to) | Choice::ForRoom(to), _) => {
                    break (payment, choice, Processor::ALL[to], time_us);
                }
            }
        };
        let upstream = self.upstream(to);
        let Some(connection) = upstream.take_idle() else {
            let waiting = shards.get(number).map(|it| it.payments().free());
            self.want_connections(to, waiting.unwrap_or(0));
            return false;
        };
        let stats = &io.stats().payments;
        match choice {
            Choice::Wait | Choice::Cheapest(_) => {}
            Choice::ForDeadline(_) => stats.fallback_for_deadline.add(1),
            Choice::ForRoom(_) => stats.fallback_for_room.add(1),
        }
        let shard = shards.shard(number);
        let requested_us = shard.bind_payment(payment.id, to, time_us);
        let id = payment.id.0;
        probe!(galo, payment__bound, number, to as usize, id >> 64, id);
        let order = PaymentOrder {
            shard: number,
            id: payment.id,
            cents: payment.cents,
            requested_us,
            to,
        };
        let attempt = self.attempt(io, order);
        self.unsent.push((attempt, connection));
        true
    }

    /// Takes the processors out of what a payment may choose from that it rests from; until when it does. Monotonic.
    fn rests(
        &self,
        io: &Transport,
        shards: &Shards,
        shard: usize,
        id: PaymentId,
        outlooks: &mut [Outlook; 2],
    ) -> Option<u64> {
        let course = self.course(shards, shard, id);
        let mut until_ns = None;
        for (rest_ns, outlook) in course.rest_ns.into_iter().zip(outlooks) {
            if rest_ns > io.now.monotonic_ns {
                *outlook = outlook.without_room();
                until_ns = Some(until_ns.unwrap_or(u64::MAX).min(rest_ns));
            }
        }
        until_ns
    }

    /// A free payment that goes nowhere now rests on; it may go to the other processor before that is over, and is
    /// looked at now and then.
    fn rest_on(
        &mut self,
        io: &Transport,
        shards: &mut Shards,
        shard: usize,
        id: PaymentId,
        until_ns: u64,
    ) {
        let now_ns = io.now.monotonic_ns;
        let look_ns = ((until_ns - now_ns) / 4).max(DISPATCH_NS_MAX);
        let due_ns = until_ns.min(now_ns + look_ns);
        let course = self.course(shards, shard, id);
        self.set_course(shards, shard, id, Course { due_ns, ..course });
    }

    /// A processor says that it works again: whatever rests from it may go there.
    pub(in crate::node) fn end_rests(
        &mut self,
        io: &Transport,
        shards: &mut Shards,
        processor: Processor,
    ) {
        let now_ns = io.now.monotonic_ns;
        for shard in shards.ours_mut() {
            shard.end_payment_rests(processor);
        }
        // Those that it may have are due in the order in which they would have been, one after the other.
        let retries = std::mem::take(&mut self.upstream(processor).retries);
        let first_ns = now_ns.saturating_sub(retries.len() as u64);
        for (place, ((due_before_ns, id), shard)) in retries.into_iter().enumerate() {
            let tried = self
                .bound_to(shards, shard, id)
                .and_then(|_| self.tried(shards, shard, id));
            let tried = tried.filter(|(_, course)| course.due_ns == due_before_ns);
            if let Some((_, course)) = tried {
                let due_ns = due_before_ns.min(first_ns + 1 + place as u64);
                self.set_course(shards, shard, id, Course { due_ns, ..course });
                let upstream = self.upstream(processor);
                upstream.retries.insert((due_ns, id), shard);
            }
        }
        self.upstream(processor).retry_ns = 0;
    }

    pub(in crate::node) fn outlook(&self, io: &Transport, processor: Processor) -> Outlook {
        let upstream = &self.upstreams[processor as usize];
        Outlook {
            works: upstream.circuit.works(io.now.monotonic_ns),
            room: self.takes_payment(io, processor),
            full: upstream
                .circuit
                .is_full(upstream.under_way, io.now.monotonic_ns),
            latency_ns: upstream.circuit.latency_ns(io.now.monotonic_ns),
            parallel_max: upstream.window_max,
            fee_basis_points: processor.fee_basis_points(),
        }
    }

    // ---- The journal -----------------------------------------------------------

    /// The tick's batch of a shard is in the journal: what it binds may leave, as replies may.
    pub(in crate::node) fn payments_written(&mut self, io: &mut Transport, shard: usize) {
        self.each_unsent(shard, |gateway, attempt, connection| {
            gateway.send_payment(io, attempt, connection);
        });
        let stats = io.settings.process.stats.core(io.settings.members.core);
        if !self.confirmed.is_empty() {
            stats.payments.settled_ns.set(io.now.monotonic_ns);
        }
        self.confirmed.retain(|(of, by, cents)| {
            if *of == shard {
                let stats = &stats.payments.processors[*by as usize];
                stats.settled.add(1);
                stats.settled_cents.add(*cents);
            }
            *of != shard
        });
    }

    /// The batch is undone: nothing of it is sent, and what it settled is in doubt again.
    pub(in crate::node) fn payments_refused(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        shard: usize,
    ) {
        self.each_unsent(shard, |gateway, attempt, connection| {
            let upstream = gateway.upstream(attempt.order.to);
            upstream.under_way -= 1;
            upstream.circuit.withdrawn(attempt.ticket);
            upstream.give_back(connection);
        });
        self.confirmed.retain(|(of, ..)| *of != shard);
        self.paused_ns[shard] = io.now.monotonic_ns + DISPATCH_RETRY_NS;
        self.wake_ns = self.wake_ns.min(self.paused_ns[shard]);
        self.gather_retries(io, shards, shard);
    }

    fn each_unsent(
        &mut self,
        shard: usize,
        mut each: impl FnMut(&mut Self, Attempt, ConnectionId),
    ) {
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.retain(|(attempt, connection)| {
            let is_its = attempt.order.shard == shard;
            if is_its {
                each(self, *attempt, *connection);
            }
            !is_its
        });
        self.unsent = unsent;
    }

    // ---- When to look again, and what to tell -----------------------------------------

    /// When to look again, although nothing happens. Monotonic.
    fn next_look_ns(&self, io: &Transport, shards: &Shards) -> u64 {
        let now_ns = io.now.monotonic_ns;
        let upstreams = &self.upstreams;
        let mut next_ns = u64::MAX;
        let retries = upstreams
            .iter()
            .any(|upstream| !upstream.retries.is_empty());
        if retries || shards.served().any(|shard| shard.payments().free() > 0) {
            let probes = upstreams
                .iter()
                .filter_map(|upstream| upstream.circuit.wake_ns(now_ns));
            let throttles = upstreams.iter().map(|upstream| upstream.retry_ns);
            let firsts = upstreams
                .iter()
                .filter_map(|upstream| upstream.retries.first_key_value());
            let retries = firsts.map(|((due_ns, _), _)| *due_ns);
            let rests = shards
                .served()
                .filter_map(|shard| shard.payments().wake_ns());
            let pauses = self.paused_ns.iter().copied();
            let all = probes
                .chain(throttles)
                .chain(retries)
                .chain(rests)
                .chain(pauses);
            let ahead = all.filter(|at_ns| *at_ns > now_ns);
            next_ns = ahead.fold(now_ns + DISPATCH_NS_MAX, u64::min);
        }
        for processor in Processor::ALL {
            let status_queries = &upstreams[processor as usize].status_queries;
            if !status_queries.order.is_empty() {
                next_ns = next_ns.min(status_queries.deadline_ns());
            }
            next_ns = next_ns.min(self.health_due_ns(shards, processor));
        }
        next_ns
    }

    fn count_payments(&mut self, io: &Transport, shards: &mut Shards) {
        let mut open = 0;
        let mut oldest_age_us = 0;
        for shard in shards.served() {
            open += shard.payments().open() as u64;
            if let Some(oldest_us) = shard.payments().oldest_us() {
                let age_us = shard.now_us(io.now).saturating_sub(oldest_us);
                oldest_age_us = oldest_age_us.max(age_us);
            }
        }
        self.count_old(io, shards, oldest_age_us);
        let now_ns = io.now.monotonic_ns;
        let stats = &io.stats().payments;
        stats.open.set(open);
        // It may be older than the machine has been up.
        let since_ns = (io.now.monotonic_ns).wrapping_sub(oldest_age_us.saturating_mul(1_000));
        stats.oldest_ns.set(since_ns);
        match (open, stats.open_since_ns.get()) {
            (0, _) => stats.open_since_ns.set(0),
            (_, 0) => stats.open_since_ns.set(now_ns.max(1)),
            _ => {}
        }
        let upstreams = &self.upstreams;
        let in_doubt: usize = upstreams
            .iter()
            .map(|upstream| upstream.retries.len())
            .sum();
        stats.in_doubt.set(in_doubt as u64);
        for (upstream, stats) in upstreams.iter().zip(&stats.processors) {
            stats.circuit.set(upstream.circuit.state() as u64);
            stats.window.set(u64::from(upstream.circuit.window()));
            stats.under_way.set(u64::from(upstream.under_way));
            stats
                .latency_ns
                .set(upstream.circuit.latency_ns(io.now.monotonic_ns));
        }
    }

    /// Counts the open payments that are old, now and then; `oldest_age_us`: the age of the oldest.
    fn count_old(&mut self, io: &Transport, shards: &Shards, oldest_age_us: u64) {
        let now = io.now;
        if oldest_age_us <= PAYMENT_OLD_NS / 1000 {
            return io.stats().payments.old.set(0);
        }
        if now.monotonic_ns < self.count_old_ns {
            return;
        }
        self.count_old_ns = now.monotonic_ns + PAYMENTS_OLD_COUNT_NS;
        let old = shards.served().map(|shard| {
            let before_us = shard.now_us(now).saturating_sub(PAYMENT_OLD_NS / 1000);
            shard.payments().older_than(before_us)
        });
        io.stats().payments.old.set(old.sum::<usize>() as u64);
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
