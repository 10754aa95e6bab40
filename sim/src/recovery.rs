//! What the owners of shards find when they take them, and whether that is what had to be there.

use std::path::Path;

use galo::shard::layout::shard_dir;
use galo::shard::recovery::JournalCase;
use galo::shard::{Owned, Recovered};

use crate::cluster::DATA;
use crate::disk::SimDisk;
use crate::journals::Journal;
use crate::sabotage::Sabotage;
use crate::trace::{Checked, Who};
use crate::world::{Promise, World};
use crate::{event, require, step};

/// How far a shard's time is wrong with [`Sabotage::TimeJumps`], and how long it stands still with the other.
const JUMP_NS: u64 = 1_200_000_000_000;

impl World {
    /// Somebody owns a shard now.
    pub fn recovered(&mut self, who: Who, owned: &mut Owned<SimDisk>) -> Checked {
        self.shuffled_ns = self.now_ns;
        let recovered = &mut owned.recovered;
        recovered
            .store
            .set_thresholds(self.plan.segment_bytes, self.plan.snapshot_bytes);
        if let Some(plan) = &self.plan.payments {
            recovered.shard.set_settled_run(plan.settled_run);
        }
        self.verify(who, recovered)?;
        let shard = &mut owned.recovered.shard;
        self.model
            .payments
            .owner_changed(shard.identity().shard as usize, self.now_ns);
        // Its time goes on from here: as if there were other moments.
        match self.sabotage {
            Some(Sabotage::TimeJumps) => {
                shard.tell_time(self.now_at(self.now_ns.saturating_sub(JUMP_NS)));
            }
            Some(Sabotage::TimeStands) => {
                shard.tell_time(self.now_at(self.now_ns + JUMP_NS));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether what was recovered is what had to be.
    fn verify(&mut self, who: Who, recovered: &Recovered<SimDisk>) -> Checked {
        let data = Path::new(DATA);
        let identity = *recovered.shard.identity();
        let number = identity.shard as usize;
        for dir in self.disk.take_doubted() {
            for shard in 0..self.plan.shards {
                if shard_dir(data, shard) == dir {
                    self.promises[shard as usize] = Promise::Durable;
                }
            }
        }
        let promise = std::mem::replace(&mut self.promises[number], Promise::Written);
        let sequence = recovered.shard.sequence();
        let known = self.model.sequence(number);
        let least = match promise {
            Promise::Written => known,
            Promise::Durable => self.model.floor(number),
        };
        let end = match recovered.report.journal {
            JournalCase::TornTail(_) => "; what follows is torn, and cut off",
            JournalCase::HalfSegment(_) => "; a file that was half made is removed",
            JournalCase::Clean | JournalCase::Replay => "",
        };
        event!(
            self.trace,
            who,
            "recovers shard {number} up to record {sequence}{end}"
        );
        step!(
            self.trace,
            who,
            "of {known}, {least} at least: {:?}",
            recovered.report
        );
        require!(
            sequence >= least,
            "{promise:?}: shard {number} ends with record {sequence}, {least} had to be there"
        );
        if sequence < known {
            self.coverage.lost_records += known - sequence;
            self.taint(number);
        }
        self.coverage.replayed += recovered.report.replayed;
        match recovered.report.journal {
            JournalCase::TornTail(_) => self.coverage.torn_tails += 1,
            JournalCase::HalfSegment(_) => self.coverage.half_segments += 1,
            _ => {}
        }
        self.coverage.bad_snapshots += recovered.report.snapshots_bad.len() as u64;
        self.model.cut(number, sequence)?;
        let newest = recovered.store.snapshots().last();
        let from = newest.map_or(1, |snapshot| snapshot.from);
        let mut journal = Journal::new(&self.disk, data, identity, from)?;
        journal.read_to(&self.disk, sequence, &mut self.model)?;
        self.model.compare(&recovered.shard, false)?;
        self.journals[number] = Some(journal);
        Ok(())
    }

    /// A failed sync took records of this shard while the machine went on: what is on its way may tell
    /// of them.
    fn taint(&mut self, shard: usize) {
        let shards = self.plan.shards;
        for socket in self.sockets.values_mut() {
            let Some(client) = socket.client_mut() else {
                continue;
            };
            for asked in &mut client.asked {
                asked.tainted |= match self.model.about(&asked.expect) {
                    None => true,
                    Some(about) => about != u32::MAX && about % shards == shard as u32,
                };
            }
        }
    }
}
