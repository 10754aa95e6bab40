//! What is promised: what was confirmed stays, in one order, once; and a read sees all that was confirmed before.

use std::collections::BTreeSet;

use galo::machine::engine::Subject;
use galo::replicate::record::{Kind, Record, Writer};

use super::writes::writes;
use crate::require;
use crate::trace::Checked;

/// A shard, by what the engine has in its log: told at each append, with rules of its own.
#[derive(Default)]
struct Truth {
    owner: Option<(Writer, u64)>,
    /// Of the owner's last record. A server that has lost one may take that again: it counts once.
    number: u64,
    writes: Vec<u64>,
    /// How many of them somebody has been told of, by a confirmation or a read.
    floor: usize,
}

pub struct Oracle {
    shards: Vec<Truth>,
    known: BTreeSet<u64>,
}

impl Oracle {
    pub fn new(shards: usize) -> Oracle {
        Oracle {
            shards: (0..shards).map(|_| Truth::default()).collect(),
            known: BTreeSet::new(),
        }
    }

    /// The engine has a record.
    pub fn appended(&mut self, shard: u32, bytes: &[u8]) -> Checked {
        let record = Record::read(Subject::Log(shard), bytes);
        let record = record.expect("replicas write records");
        let truth = &mut self.shards[shard as usize];
        let author = (record.writer, record.epoch);
        if record.kind == Kind::Epoch {
            if truth.owner.is_none_or(|owner| owner.1 < record.epoch) {
                (truth.owner, truth.number) = (Some(author), 0);
            }
            return Ok(());
        }
        if truth.owner != Some(author) || record.number != truth.number + 1 {
            return Ok(());
        }
        truth.number += 1;
        if let Kind::Batch(batch) = record.kind {
            for write in writes(&batch) {
                require!(self.known.insert(write), "write {write} is there twice");
                truth.writes.push(write);
            }
        }
        Ok(())
    }

    /// A copy was brought forward.
    pub fn copied(&self, member: usize, shard: usize, copy: &[u64]) -> Checked {
        let truth = &self.shards[shard].writes;
        require!(
            truth.starts_with(copy),
            "member {member}'s copy of shard {shard} differs from the log: {}",
            first_difference(truth, copy)
        );
        Ok(())
    }

    /// A writer was told that it is done.
    pub fn confirmed(&mut self, shard: usize, write: u64) -> Checked {
        let truth = &mut self.shards[shard];
        let Some(at) = truth.writes.iter().rposition(|it| *it == write) else {
            crate::violation!("write {write} of shard {shard} is confirmed, and not in the log");
        };
        truth.floor = truth.floor.max(at + 1);
        Ok(())
    }

    /// A read begins: it is to see so much at least.
    pub fn floor(&self, shard: usize) -> usize {
        self.shards[shard].floor
    }

    /// A reader was told of these.
    pub fn read(&mut self, shard: usize, floor: usize, seen: &[u64]) -> Checked {
        let truth = &mut self.shards[shard];
        require!(
            truth.writes.starts_with(seen),
            "a read of shard {shard} shows what is not in the log: {}",
            first_difference(&truth.writes, seen)
        );
        require!(
            seen.len() >= floor,
            "a stale read of shard {shard}: {} writes, and {floor} were known before",
            seen.len()
        );
        truth.floor = truth.floor.max(seen.len());
        Ok(())
    }

    pub fn writes(&self, shard: usize) -> &[u64] {
        &self.shards[shard].writes
    }
}

fn first_difference(truth: &[u64], copy: &[u64]) -> String {
    let same = truth.iter().zip(copy).take_while(|(a, b)| a == b).count();
    format!(
        "from the {same}th write on, {:?} for {:?}",
        copy.get(same),
        truth.get(same)
    )
}
