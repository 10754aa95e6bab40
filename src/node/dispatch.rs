//! From the queues to the processors: what is sent to whom, at the end of each tick.
//!
//! First payments that a processor may have already: they go to it again, and their records are in the
//! journal. Then free ones, in the order in which they were accepted (those that no processor takes come
//! last), shard by shard in turn, to whom the rule ([`choice`]) says: bound in the tick's batch, and sent
//! when that is written. A payment that came in with this tick is accepted, bound and sent with one write.

use super::attempts::{Attempt, Order};
use super::Node;
use crate::io::ConnectionId;
use crate::limits::{DISPATCH_NS_MAX, DISPATCH_RETRY_NS};
use crate::payments::choice::{self, Backlog, Choice, Outlook};
use crate::payments::circuit::State;
use crate::payments::Processor;
use crate::shard::Shard;

impl<J> Node<J> {
    /// Sends what may be sent, and finds out when to look again.
    pub(super) fn dispatch(&mut self) {
        self.processors.left = false;
        self.pay_ns = u64::MAX;
        if self.settings.payments.is_none() {
            return;
        }
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
    pub(super) fn payments_owned(&mut self, number: usize) {
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
        let side = self.processors.side(processor);
        if side.retry_ns > now_ns {
            return;
        }
        for left in (1..=side.retries.len()).rev() {
            if !self.takes_payment(processor) {
                return;
            }
            let side = self.processors.side(processor);
            let (shard, id) = side.retries.pop_front().expect("one is left");
            if self.processors.paused_ns[shard] > now_ns {
                self.processors
                    .side(processor)
                    .retries
                    .push_back((shard, id));
                continue;
            }
            // Settled or forgotten meanwhile, or another's: whoever has the shard sees to it.
            let Some(order) = self.bound_to(shard, id).filter(|it| it.to == processor) else {
                continue;
            };
            let side = self.processors.side(processor);
            let Some(connection) = side.take_idle() else {
                side.retries.push_front((shard, id));
                return self.want_connections(processor, left);
            };
            self.shard(shard).payment_retried(id);
            let attempt = self.attempt(order);
            self.send_payment(attempt, connection);
        }
    }

    /// Binds free payments, one of each shard in turn, for as long as there is somebody to send them to.
    fn bind_free(&mut self) {
        let shards = self.shards.len();
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
        let outlooks = Processor::ALL.map(|processor| self.outlook(processor));
        let deadline_ns = self.payments_settings().deadline_ns;
        let choice = choice::choose(&backlog, deadline_ns, &outlooks);
        let to = match choice {
            Choice::Wait => return false,
            Choice::Cheapest(to) | Choice::ForDeadline(to) | Choice::ForRoom(to) => {
                Processor::ALL[to]
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

    fn outlook(&self, processor: Processor) -> Outlook {
        let side = &self.processors.sides[processor as usize];
        Outlook {
            works: side.circuit.works(self.now.monotonic_ns),
            room: self.takes_payment(processor),
            full: side.circuit.is_full(side.under_way, self.now.monotonic_ns),
            latency_ns: side.circuit.latency_ns(),
            parallel_max: side.window_max,
            fee_basis_points: processor.fee_basis_points(),
        }
    }

    // ---- The journal -----------------------------------------------------------

    /// The tick's batch of a shard is in the journal: what it binds may leave, as replies may.
    pub(super) fn payments_written(&mut self, shard: usize) {
        self.each_unsent(shard, Self::send_payment);
        let stats = self.settings.process.stats.core(self.settings.members.core);
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
    pub(super) fn payments_refused(&mut self, shard: usize) {
        self.each_unsent(shard, |node, attempt, connection| {
            let side = node.processors.side(attempt.order.to);
            side.under_way -= 1;
            side.circuit.withdrawn(attempt.ticket);
            side.give_back(connection);
        });
        self.processors.confirmed.retain(|(of, ..)| *of != shard);
        self.processors.paused_ns[shard] = self.now.monotonic_ns + DISPATCH_RETRY_NS;
        self.pay_ns = self.pay_ns.min(self.processors.paused_ns[shard]);
        if self.settings.payments.is_some() {
            self.gather_retries(shard);
        }
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
            let retries = sides.iter().map(|side| side.retry_ns);
            let pauses = self.processors.paused_ns.iter().copied();
            let all = probes.chain(retries).chain(pauses);
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
    fn served(&self) -> impl Iterator<Item = &Shard> {
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
        let stats = &self.stats().payments;
        stats.open.set(open);
        // It may be older than the machine has been up.
        let since_ns = (self.now.monotonic_ns).wrapping_sub(oldest_age_us.saturating_mul(1_000));
        stats.oldest_ns.set(since_ns);
        let sides = &self.processors.sides;
        let in_doubt: usize = sides.iter().map(|side| side.retries.len()).sum();
        stats.in_doubt.set(in_doubt as u64);
        for (side, stats) in sides.iter().zip(&stats.processors) {
            stats.circuit.set(side.circuit.state() as u64);
            stats.window.set(u64::from(side.circuit.window()));
            stats.under_way.set(u64::from(side.under_way));
            stats.latency_ns.set(side.circuit.latency_ns());
        }
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
