//! What goes wrong.

use galo::limits::SECOND_NS;
use galo::machine::engine::Request;

use super::engine::Entry;
use super::member::Copy;
use super::plan::Fault;
use super::world::{What, World, LATE_COPY};
use crate::event;
use crate::trace::{Checked, Who};

impl World {
    /// Something goes wrong.
    pub fn fault(&mut self) -> Checked {
        let fault = match self.random.percent(50) {
            true => self.plan.often,
            false => *self.random.pick(&Fault::ALL),
        };
        let member = self.random.index(self.members.len());
        let for_ns = match self.random.percent(40) {
            true => self.random.between(1, SECOND_NS),
            false => self.random.between(1, 10 * SECOND_NS),
        };
        let until_ns = self.now_ns + for_ns;
        match fault {
            Fault::Kill => self.kill(member),
            Fault::Power => {
                event!(self.trace, Who::World, "the power fails");
                self.coverage.power_losses += 1;
                (0..self.members.len()).for_each(|member| self.kill(member));
            }
            Fault::Stop => self.stop(member)?,
            Fault::Pause => {
                event!(self.trace, Who::Node(member), "is paused for {for_ns} ns");
                self.coverage.pauses += 1;
                self.members[member].paused_until_ns = until_ns;
                self.at(until_ns, What::Resume(member));
            }
            Fault::Cut | Fault::HalfCut => {
                event!(self.trace, Who::Node(member), "{fault:?} for {for_ns} ns");
                self.coverage.cuts += 1;
                let is_mute = fault == Fault::Cut || self.random.percent(50);
                let it = &mut self.members[member];
                if is_mute {
                    it.mute_until_ns = until_ns;
                }
                if !is_mute || fault == Fault::Cut {
                    it.deaf_until_ns = until_ns;
                }
            }
            Fault::Stall => {
                event!(
                    self.trace,
                    Who::Node(member),
                    "is told nothing for {for_ns} ns"
                );
                self.coverage.stalls += 1;
                self.members[member].stalled_until_ns = until_ns;
            }
            Fault::Election => {
                event!(self.trace, Who::World, "an election takes {for_ns} ns");
                self.coverage.elections += 1;
                self.engine.away_until_ns = until_ns;
            }
            Fault::LoseRecords => self.lose_records(until_ns),
            Fault::HandOver => self.hand_over()?,
            Fault::Replace => {
                self.kill(member);
                event!(self.trace, Who::Node(member), "has lost its disk");
                self.coverage.replaced += 1;
                let it = &mut self.members[member];
                it.copies.fill_with(Copy::default);
            }
        }
        Ok(())
    }

    /// A server that has lost some records leads: the newest ones, or some in between.
    fn lose_records(&mut self, until_ns: u64) {
        let length = self.engine.log.len();
        if length == 0 {
            return;
        }
        let newest = self.random.percent(70);
        let count = self.random.skewed(length.min(20) as u64) as usize;
        let begin = match newest {
            true => length - count,
            false => self.random.index(length),
        };
        // Now and then only those of one shard.
        let only = self.random.percent(50);
        let shard = self.random.index(self.plan.shards) as u32;
        let lost: Vec<bool> = self
            .engine
            .log
            .iter()
            .zip(0..)
            .map(|(entry, at)| {
                (begin..begin + count).contains(&at) && (!only || entry.number == shard)
            })
            .collect();
        let lost = self.lost_behind_refused().unwrap_or(lost);
        event!(
            self.trace,
            Who::World,
            "a server without {count} records from {begin} on leads"
        );
        self.coverage.holes += 1;
        self.engine.lose(|at| lost[at]);
        self.copy_refused();
        self.at(until_ns, What::Heal);
    }

    /// All of a shard behind what an append expected that was refused, if there was one.
    fn lost_behind_refused(&mut self) -> Option<Vec<bool>> {
        if self.refused.is_empty() || !self.random.percent(50) {
            return None;
        }
        let at = self.random.index(self.refused.len());
        let Request::Append {
            subject, expected, ..
        } = &self.refused[at].1
        else {
            return None;
        };
        let log = self.engine.log.iter().zip(1..);
        let is_lost = |(entry, sequence): (&Entry, u64)| {
            sequence > *expected && entry.number == subject.number()
        };
        Some(log.map(is_lost).collect())
    }

    /// Copies of appends that were refused get there only now, and are what a server expects that has lost records.
    fn copy_refused(&mut self) {
        for (member, request) in self.refused.clone() {
            if self.engine.accepts(&request) {
                self.at(self.now_ns + 1, What::Asked(member, LATE_COPY, request));
            }
        }
    }

    /// A shard goes to another member.
    fn hand_over(&mut self) -> Checked {
        let shard = self.random.index(self.plan.shards);
        let to = self.random.index(self.members.len());
        if let Some(owner) = self.owner(shard).filter(|owner| *owner != to) {
            event!(self.trace, Who::Node(owner), "gives shard {shard} to {to}");
            self.coverage.handovers += 1;
            self.members[owner].copies[shard].reads.clear();
            self.with(owner, |replica, _| {
                replica.hand_over(shard as u32, to as u32)
            })?;
        }
        Ok(())
    }
}
