//! What happens next: a seed decides it.

use galo::limits::SECOND_NS;
use galo::machine::Machine;

use crate::cluster::Cluster;
use crate::event;
use crate::trace::{Checked, Who};
use crate::world::World;

impl World {
    /// One step of the world.
    pub fn step(&mut self, cluster: &mut Cluster) -> Checked {
        let pass_ns = self.random.skewed(100_000);
        self.set_clock(self.now_ns + pass_ns);
        self.attend_processors()?;
        match self.random.below(100) {
            45..=79 => self.act(cluster)?,
            80..=92 if !self.slow_jobs || self.random.percent(8) => self.run_any_job(cluster)?,
            93..=95 => self.wait(cluster),
            96 if self.plan.clock_steps => self.step_clock(),
            97 if self.plan.full_disk && !self.is_quiescent() => {
                if self.random.percent(50) {
                    let room = self.random.below(600);
                    self.model.payments.disturbed(self.now_ns);
                    if self.plan.size_limit && self.odd.percent(70) {
                        let bytes = self.odd.skewed(20_000) - 1;
                        event!(
                            self.trace,
                            Who::Disk,
                            "no file may be larger than {bytes} bytes"
                        );
                        self.disk.limit_files(bytes);
                    } else {
                        event!(self.trace, Who::Disk, "is full but for {room} bytes");
                        self.disk.fill_up_to(room);
                    }
                } else {
                    event!(self.trace, Who::Disk, "has room again");
                    self.disk.make_room();
                }
            }
            98 | 99 if self.troubles => self.trouble(cluster)?,
            _ => {
                let member = self.random.index(cluster.members());
                self.tick(cluster, member)?;
            }
        }
        if cluster.is_alone() {
            return Ok(());
        }
        self.bury(cluster)
    }

    /// The real-time clock steps, either way.
    pub fn step_clock(&mut self) {
        let step_us = self.random.skewed(self.plan.clock_step_us_max) as i64;
        let back = self.random.percent(50);
        self.realtime_us += if back { -step_us } else { step_us };
        self.model.clocks.push((self.now_ns, self.realtime_us));
        self.model.payments.clock_stepped();
        self.coverage.clock_steps += 1;
        let direction = if back { "back" } else { "forward" };
        event!(
            self.trace,
            Who::Clock,
            "is set {direction} by {} ms",
            step_us / 1_000
        );
    }

    /// Lets time pass, at most to the next deadline.
    pub fn wait(&mut self, cluster: &Cluster) {
        if self.pass_long(cluster) {
            return;
        }
        let mut until_ns = self.now_ns + self.random.skewed(50_000_000);
        let stopping = cluster
            .processes
            .iter()
            .any(|process| process.is_stopping());
        let awake = cluster
            .cores()
            .filter(|(member, _)| {
                let process = &cluster.processes[cluster.node_of(*member)];
                process.paused_until_ns <= self.now_ns
            })
            .filter_map(|(_, core)| core.runtime.as_ref());
        let mut deadline_ns = awake.filter_map(|runtime| runtime.deadline_ns()).min();
        if !cluster.is_alone() {
            let wake = cluster
                .processes
                .iter()
                .map(|process| process.paused_until_ns);
            let wake = wake.filter(|at_ns| *at_ns > self.now_ns).min();
            deadline_ns = deadline_ns.into_iter().chain(wake).min();
        }
        if let Some(deadline_ns) = deadline_ns {
            let soon_ns = if cluster.is_alone() {
                SECOND_NS / 5
            } else {
                SECOND_NS
            };
            let soon = deadline_ns < self.now_ns + soon_ns;
            if soon || (self.plan.timeouts && !self.is_quiescent() && !stopping) {
                until_ns = deadline_ns;
            }
        }
        if stopping || (self.is_quiescent() && !cluster.is_alone()) {
            until_ns = until_ns.min(self.now_ns + SECOND_NS / 100);
        }
        self.set_clock(until_ns.max(self.now_ns));
    }
}
