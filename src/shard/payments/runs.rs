//! The runs of a shard, and the files of forgotten runs, which are to be removed.

use std::path::PathBuf;

use super::run::Run;
use super::{Settled, Unreadable};
use crate::limits::PAYMENT_IDS_MIN;
use crate::payments::{PaymentId, Summary, Window};
use crate::shard::error::RecoveryError;

/// The runs of a shard, and the files that are to be removed.
#[derive(Default)]
pub struct Runs {
    /// By their numbers, without a gap.
    runs: Vec<Run>,
    /// Files that were forgotten, and are to be removed.
    obsolete: Vec<PathBuf>,
    /// The last record that forgot one: they may go once it is durable.
    forgotten_by: u64,
}

impl Runs {
    /// Those that were found, by their numbers.
    pub fn new(runs: Vec<Run>) -> Runs {
        debug_assert!(runs
            .windows(2)
            .all(|pair| pair[0].first() < pair[1].first()));
        Runs {
            runs,
            ..Runs::default()
        }
    }

    /// The number behind the last one of all; `None`: there are none.
    pub fn end(&self) -> Option<u64> {
        self.runs.last().map(Run::end)
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Makes sure that all numbers of `floor..end` are there, and nothing else. `Err`: the first number that
    /// is missing, or that should not be there.
    pub fn expect(&self, floor: u64, end: u64) -> Result<(), u64> {
        let mut next = floor;
        for run in &self.runs {
            if run.first() != next {
                return Err(next);
            }
            next = run.end();
        }
        match next == end {
            true => Ok(()),
            false => Err(next),
        }
    }

    /// Appends a run; the oldest filters that are not needed any more are dropped.
    pub fn push(&mut self, run: Run) {
        debug_assert!(self.end().is_none_or(|end| end == run.first()));
        self.runs.push(run);
        let older = self.without_filter();
        self.runs[..older].iter_mut().for_each(Run::drop_filter);
    }

    /// How many of the first ones need no filter.
    fn without_filter(&self) -> usize {
        let mut ids = 0;
        let newest_first = self.runs.iter().rev().take_while(|run| {
            let needed = ids < PAYMENT_IDS_MIN;
            ids += run.count();
            needed
        });
        self.runs.len() - newest_first.count()
    }

    /// Reads the filters that are needed.
    pub fn load_filters(&mut self) -> Result<(), RecoveryError> {
        let older = self.without_filter();
        self.runs[older..].iter_mut().try_for_each(Run::load_filter)
    }

    /// Adds the payments within `window` to `summary`.
    pub fn summary(&self, window: &Window, summary: &mut Summary) -> Result<(), Unreadable> {
        let mut runs = self.runs.iter();
        runs.try_for_each(|run| run.summary(window, summary))
    }

    /// A payment, among the last [`PAYMENT_IDS_MIN`] at least.
    pub fn find_late(
        &self,
        id: PaymentId,
        hashes: (u64, u64),
    ) -> Result<Option<Settled>, Unreadable> {
        let late = self.runs.iter().rev().take_while(|run| run.has_filter());
        find(late, id, hashes)
    }

    /// A payment, among all others. Reads a block of every run.
    pub fn find_early(
        &self,
        id: PaymentId,
        hashes: (u64, u64),
    ) -> Result<Option<Settled>, Unreadable> {
        let early = self.runs.iter().rev().skip_while(|run| run.has_filter());
        find(early, id, hashes)
    }

    /// Those before a number are forgotten, by this record.
    pub fn forget(&mut self, floor: u64, sequence: u64) {
        let kept = self.runs.partition_point(|run| run.end() <= floor);
        for run in self.runs.drain(..kept) {
            self.obsolete.push(run.path().to_owned());
        }
        self.forgotten_by = sequence;
    }

    /// One was forgotten while it was made: by the last record that forgot any, or before.
    pub fn forget_new(&mut self, run: &Run) {
        self.obsolete.push(run.path().to_owned());
    }

    /// The files that may be removed when the journal is durable up to this record.
    pub fn removable(&self, synced: u64) -> &[PathBuf] {
        match self.forgotten_by <= synced {
            true => &self.obsolete,
            false => &[],
        }
    }

    /// The files at `paths` have been removed.
    pub fn removed(&mut self, paths: &[PathBuf]) {
        self.obsolete.retain(|path| !paths.contains(path));
    }
}

fn find<'a>(
    mut runs: impl Iterator<Item = &'a Run>,
    id: PaymentId,
    hashes: (u64, u64),
) -> Result<Option<Settled>, Unreadable> {
    runs.find_map(|run| run.find(id, hashes).transpose())
        .transpose()
}
