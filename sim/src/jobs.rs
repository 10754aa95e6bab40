//! What cores have done beside their ticks.

use galo::machine::Job as _;
use galo::runtime::WorkDone;
use galo::shard::{Acquired, Done};

use crate::cluster::Cluster;
use crate::trace::{Checked, Who};
use crate::world::{Running, World};
use crate::{event, require, step, violation};

impl World {
    /// Runs one that waits, if there is one.
    pub fn run_any_job(&mut self, cluster: &Cluster) -> Checked {
        let runs = |running: &Running| {
            let process = &cluster.processes[cluster.node_of(running.member)];
            running.job.is_some() && process.paused_until_ns <= self.now_ns
        };
        let waiting: Vec<usize> = (0..self.jobs.len())
            .filter(|index| runs(&self.jobs[*index]))
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let index = match self.plan.scripted {
            true => waiting[0],
            false => *self.random.pick(&waiting),
        };
        let running = &mut self.jobs[index];
        let member = running.member;
        let Some(job) = running.job.take() else {
            return Ok(());
        };
        let mut done = job.run();
        let events = cluster.processes[cluster.node_of(member)].disk.events();
        let what = match &mut done {
            WorkDone::Store(Done::Synced {
                sequence, shard, ..
            }) => {
                let shard = *shard as usize;
                let begun = running.sequences[shard];
                require!(
                    *sequence <= begun,
                    "shard {shard}: record {sequence} is called synced, and is not written: {begun}"
                );
                if *sequence > self.model.floor(shard) {
                    let who = Who::Core(member);
                    event!(self.trace, who, "syncs record {sequence} of shard {shard}");
                }
                if !events.killed {
                    self.model.raise_floor(shard, begun);
                }
                self.coverage.syncs += 1;
                "synced"
            }
            WorkDone::Archived { .. } | WorkDone::Noted { .. } => "for an engine",
            WorkDone::Store(Done::SyncLater { .. }) => "sync later",
            WorkDone::Store(Done::SyncFailed { shard, .. }) => {
                event!(
                    self.trace,
                    Who::Core(member),
                    "a sync of shard {shard} fails"
                );
                "sync failed"
            }
            WorkDone::Store(Done::SnapshotSlice { .. }) => "slice",
            WorkDone::Store(Done::SnapshotDone { shard, .. }) => {
                self.coverage.snapshots += 1;
                event!(
                    self.trace,
                    Who::Core(member),
                    "has written a snapshot of shard {shard}"
                );
                "snapshot done"
            }
            WorkDone::Store(Done::SnapshotFailed { .. }) => "snapshot failed",
            WorkDone::Store(Done::RunWritten { .. }) => {
                self.coverage.runs += 1;
                "run written"
            }
            WorkDone::Store(Done::RunsRemoved { .. }) => "runs removed",
            WorkDone::Store(Done::RunFailed { .. }) => "run failed",
            WorkDone::Acquired { .. } if events.killed => "acquired, and killed",
            WorkDone::Acquired { shard, acquired } => match acquired {
                Ok(Acquired::Ours(owned)) => {
                    let who = Who::Core(member);
                    match cluster.home(*shard as usize) == member {
                        true => {
                            self.coverage.hand_backs += 1;
                            event!(self.trace, who, "takes shard {shard} back");
                        }
                        false => {
                            self.coverage.takeovers += 1;
                            event!(self.trace, who, "takes shard {shard} over");
                        }
                    }
                    self.recovered(Who::Core(member), owned)?;
                    "acquired"
                }
                Ok(Acquired::Held(_)) => "held by another",
                Err(error) => {
                    if events.failed == 0 && self.disk.full_events() == 0 {
                        violation!("member {member}: recovery of shard {shard} refuses: {error}");
                    }
                    "not acquired"
                }
            },
        };
        let shard = done.shard();
        step!(
            self.trace,
            Who::Core(member),
            "job of shard {shard}: {what}"
        );
        self.jobs[index].done = Some(done);
        Ok(())
    }
}
