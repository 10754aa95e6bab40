//! How time passes where there are payments, and what must be true once nothing goes wrong any more.

use galo::limits::SECOND_NS;
use galo::machine::Machine;
use galo::payments::Processor;

use super::book::{Known, State};
use super::Phase;
use crate::cluster::{Cluster, Process};
use crate::request::Expect;
use crate::trace::{Checked, Who};
use crate::world::World;
use crate::{event, violation};

/// The longest that nothing happens, where little happens.
const PAUSE_NS_MAX: u64 = 5 * SECOND_NS;
/// For a payment to be acknowledged, with nothing wrong but the processors.
const ACCEPT_NS_MAX: u64 = SECOND_NS / 2;
/// For everything to be paid, once nothing is wrong.
const PAID_NS_MAX: u64 = 180 * SECOND_NS;
/// After this, nobody remembers that anything was wrong.
const TRUST_NS: u64 = 40 * SECOND_NS;

impl World {
    /// Lets much time pass, if that is how this run is. Whether it did.
    pub fn pass_long(&mut self, cluster: &Cluster) -> bool {
        let sparse = self.plan.payments.as_ref().is_some_and(|plan| plan.sparse);
        let stopping = cluster.processes.iter().any(Process::is_stopping);
        if !sparse || stopping || self.is_quiescent() || self.random.percent(20) {
            return false;
        }
        // Answers that are on their way are to come in time, mostly.
        let clients = self.sockets.values().filter_map(|socket| socket.client());
        let mut asked = clients.flat_map(|client| &client.asked);
        if asked.any(|asked| matches!(asked.expect, Expect::Summary(_))) {
            let pass_ns = self.random.skewed(10_000_000);
            self.set_clock(self.now_ns + pass_ns);
            return true;
        }
        let mut until_ns = self.now_ns + self.random.skewed(PAUSE_NS_MAX);
        if self.random.percent(80) {
            until_ns = until_ns.min(self.due_ns(cluster).unwrap_or(u64::MAX));
        }
        self.set_clock(until_ns.max(self.now_ns));
        true
    }

    /// When something happens next by itself.
    pub fn due_ns(&self, cluster: &Cluster) -> Option<u64> {
        let used = self.plan.payments.is_some();
        let mut due_ns = self.processors.due_ns().filter(|_| used);
        let mut add = |at_ns: Option<u64>| due_ns = due_ns.into_iter().chain(at_ns).min();
        for (member, core) in cluster.cores() {
            let paused_ns = cluster.processes[cluster.node_of(member)].paused_until_ns;
            if paused_ns > self.now_ns {
                add(Some(paused_ns));
                continue;
            }
            add(core.runtime.as_ref().and_then(Machine::deadline_ns));
            core.dialing.iter().for_each(|dial| add(Some(dial.due_ns)));
        }
        due_ns
    }

    /// Whether nothing is to be done at this moment.
    pub fn is_idle(&self, cluster: &Cluster) -> bool {
        let works = |(member, core): (usize, &crate::cluster::Core)| {
            let ready = core.runtime.as_ref().is_some_and(Machine::ready);
            ready || !core.connecting.is_empty() || self.has_events(core, member)
        };
        let starts = cluster.processes.iter().any(|it| it.starting.is_some());
        !starts && self.jobs.is_empty() && !cluster.cores().any(works)
    }

    /// Where nothing is to be done, the time of the next thing comes at once.
    pub fn skip_idle_time(&mut self, cluster: &Cluster) {
        if !self.is_idle(cluster) {
            return;
        }
        let until_ns = self.due_ns(cluster).unwrap_or(0);
        self.set_clock(until_ns.min(self.now_ns + SECOND_NS).max(self.now_ns));
    }

    /// Nothing is wrong any more but with the processors: payments are accepted as ever. Then they
    /// work, too.
    pub fn heal_processors(&mut self, cluster: &mut Cluster) -> Checked {
        if self.random.percent(40) {
            let refuses = self.random.percent(30);
            self.set_phases(&Phase::dead(refuses));
            self.accept_in_spite(cluster)?;
        }
        self.set_phases(&Phase::default());
        Ok(())
    }

    fn accept_in_spite(&mut self, cluster: &mut Cluster) -> Checked {
        let doors = self.doors(cluster);
        if doors.is_empty() {
            return Ok(());
        }
        let member = *self.random.pick(&doors);
        let at = self.connect(member);
        for _ in 0..self.random.between(1, 6) {
            self.ask(at, |author| author.pay());
        }
        let begun_ns = self.now_ns;
        loop {
            let socket = self.sockets.get(&at);
            let Some(client) = socket.and_then(|socket| socket.client()) else {
                return Ok(()); // Closed with its last reply.
            };
            if client.asked.is_empty() {
                self.coverage.paid_in_spite += 1;
                return Ok(());
            }
            if cluster.is_alone() && cluster.processes[0].has_failed() {
                return Ok(());
            }
            if self.now_ns > begun_ns + ACCEPT_NS_MAX {
                let asked = &client.asked;
                violation!("processors hang, and so do payments, {ACCEPT_NS_MAX} ns: {asked:?}");
            }
            self.ticks(cluster)?;
        }
    }

    /// Every payment comes to its end.
    pub fn until_paid(&mut self, cluster: &mut Cluster) -> Checked {
        self.until_paid_but_by(None, cluster)
    }

    /// The same; those that one which fails may have (their connection broke, say) stay with it.
    fn until_paid_but_by(&mut self, fails: Option<Processor>, cluster: &mut Cluster) -> Checked {
        let begun_ns = self.now_ns;
        while self.model.payments.open().next().is_some() {
            if cluster.is_alone() && cluster.processes[0].has_failed() {
                return Ok(());
            }
            if self.now_ns > begun_ns + PAID_NS_MAX {
                let may_have = |known: &&Known| match known.state {
                    State::Bound { to, .. } => Some(to) == fails,
                    _ => false,
                };
                let open = self.model.payments.open().filter(|it| !may_have(it));
                let open: Vec<_> = open.collect();
                if open.is_empty() {
                    return Ok(());
                }
                violation!(
                    "{} payments are open after {PAID_NS_MAX} ns, such as {:?}",
                    open.len(),
                    open[0]
                );
            }
            self.round(cluster)?;
        }
        event!(self.trace, Who::World, "every payment is settled");
        self.model.payments.settle()
    }

    /// Asks what everything comes to; then pays some more, in good times.
    pub fn probe_payments(&mut self, cluster: &mut Cluster) -> Checked {
        self.ask_for_everything(cluster)?;
        if self.random.percent(50) {
            return Ok(());
        }
        let until_ns = self.now_ns + TRUST_NS;
        while self.now_ns < until_ns {
            if cluster.is_alone() && cluster.processes[0].has_failed() {
                return Ok(());
            }
            self.round(cluster)?;
        }
        for member in self.doors(cluster) {
            let at = self.connect(member);
            for _ in 0..self.random.between(1, 5) {
                self.ask(at, |author| author.pay());
            }
        }
        self.until_answered(cluster)?;
        self.until_paid(cluster)?;
        if self.random.percent(50) {
            self.probe_deadline(cluster)?;
        }
        self.ask_for_everything(cluster)
    }

    /// The cheap one fails, and the clock steps: the dear one gets what is due, whatever the clock shows.
    fn probe_deadline(&mut self, cluster: &mut Cluster) -> Checked {
        let fails = Phase {
            failing: true,
            ..Phase::default()
        };
        self.set_phase(Processor::Default, &fails);
        for member in self.doors(cluster) {
            let at = self.connect(member);
            self.ask(at, |author| author.pay());
            if self.plan.clock_steps {
                self.step_clock();
            }
        }
        self.until_answered(cluster)?;
        if self.plan.clock_steps {
            self.step_clock();
        }
        self.until_paid_but_by(Some(Processor::Default), cluster)?;
        self.set_phase(Processor::Default, &Phase::default());
        self.until_paid(cluster)
    }

    /// At every door.
    fn ask_for_everything(&mut self, cluster: &mut Cluster) -> Checked {
        for member in self.doors(cluster) {
            let at = self.connect(member);
            self.ask(at, |author| author.summary_of(None, None));
            self.ask(at, |author| author.summary());
        }
        self.until_answered(cluster)
    }
}
