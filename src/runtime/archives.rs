//! Where an engine keeps the journals: files of shards that go to its store, and come from there.
//!
//! An owner whose shard is to be kept makes a snapshot, appends a mark, makes an archive of the shard's files, and has that
//! stored; so the log's front can go. A copy that lacks what is gone comes from there. And now and then each copy notes how far
//! it is in the log, from where it goes on at the next start.

use std::path::PathBuf;

use super::{copy_of, Away, OwnedShard, Runtime, Work};
use crate::limits::{ARCHIVE_RETRY_NS, LOG_POSITION_NS};
use crate::machine::Effect;
use crate::replicate::{self, Place};
use crate::shard::{self, Disk, LogPosition, Owned, RecoveryError};

const _: () = assert!(shard::PLACE_BYTES == replicate::PLACE_BYTES);

/// What is done with one shard of ours at a time.
enum Keeping {
    /// A snapshot is made.
    Snapshot,
    /// A mark is on its way into the log.
    Mark,
    /// The mark is there.
    Marked,
    /// A job makes the archive, which is to have this record.
    Archive(u64),
    /// The same of a shard that was lost meanwhile.
    Unwanted,
    /// The engine stores it.
    Store,
}

#[derive(Default)]
pub(super) struct Archives {
    keeping: Option<(u32, Keeping)>,
    /// After a failure: not before this. Monotonic.
    retry_ns: u64,
    /// Shards whose archive takes the place of their files.
    restoring: Vec<u32>,
    /// A copy has been synced in this tick.
    has_synced: bool,
    /// Notes that are being written.
    notes: usize,
    /// Of a stop: the last ones are.
    last_notes: bool,
}

impl Archives {
    /// Whether a job makes an archive of a shard.
    pub(super) fn is_made_of(&self, shard: u32) -> bool {
        let archive = |it: &Keeping| matches!(it, Keeping::Archive(_) | Keeping::Unwanted);
        matches!(&self.keeping, Some((number, it)) if *number == shard && archive(it))
    }

    /// A shard is not ours any more.
    pub(super) fn lost(&mut self, shard: u32) {
        self.keeping = match self.keeping.take() {
            Some((number, Keeping::Archive(_))) if number == shard => {
                Some((number, Keeping::Unwanted))
            }
            Some((number, Keeping::Snapshot | Keeping::Mark | Keeping::Marked))
                if number == shard =>
            {
                None
            }
            others => others,
        };
    }

    /// Whether a shard has come from an archive; that is said once.
    pub(super) fn is_restored(&mut self, shard: u32) -> bool {
        let at = self.restoring.iter().position(|it| *it == shard);
        at.map(|at| self.restoring.swap_remove(at)).is_some()
    }
}

/// Where a shard's files are in the log, as far as they say.
pub(super) fn place<D: Disk>(owned: &Owned<D>) -> Option<Place> {
    Place::read(&owned.recovered.log_position?.place)
}

impl<D: Disk> Runtime<D> {
    // ---- To the engine's store ----------------------------------------------------------

    pub(super) fn is_archiving(&self) -> bool {
        let replication = self.replication.as_ref();
        let keeping = replication.and_then(|it| it.archives.keeping.as_ref());
        matches!(keeping, Some((_, Keeping::Archive(_) | Keeping::Unwanted)))
    }

    /// Does what can be done now so that a shard of ours is kept. Between ticks.
    pub(super) fn keep(&mut self) {
        self.note();
        // One of these at a time.
        if self.closing || self.is_copying() || self.is_about_runs() {
            return;
        }
        let Some(replication) = &mut self.replication else {
            return;
        };
        let Some((number, step)) = &mut replication.archives.keeping else {
            return self.begin_to_keep();
        };
        match step {
            // It is made, or there was nothing new.
            Keeping::Snapshot => {
                *step = Keeping::Mark;
                replication.replica.mark(*number);
            }
            Keeping::Marked => {
                let number = *number;
                let is_its = |it: &&OwnedShard<D>| it.shard == number as usize;
                let Some(owned_shard) = self.owned.iter().find(is_its) else {
                    return;
                };
                let sequence = replication.replica.position(number).sequence;
                *step = Keeping::Archive(sequence);
                let place = replication.place(number as usize, owned_shard.store.written());
                let job = Work::Archive(self.directory.clone(), number, place);
                self.effects.push_back(Effect::Start(job));
            }
            _ => {}
        }
    }

    fn begin_to_keep(&mut self) {
        let now_ns = self.node.now().monotonic_ns;
        let Some(replication) = &mut self.replication else {
            return;
        };
        let archives = &mut replication.archives;
        if now_ns < archives.retry_ns {
            return;
        }
        let Some(number) = replication.replica.next_to_keep() else {
            return;
        };
        let is_its = |it: &&mut OwnedShard<D>| it.shard == number as usize;
        if let Some(owned_shard) = self.owned.iter_mut().find(is_its) {
            let copy = copy_of(&mut self.node, &mut owned_shard.standby, number as usize);
            if owned_shard.store.snapshot_begin(copy) {
                self.touched = true;
            }
            archives.keeping = Some((number, Keeping::Snapshot));
        }
    }

    /// A record of a shard of ours that is no batch is in the log.
    pub(super) fn marked(&mut self, shard: u32) {
        if let Some(replication) = &mut self.replication {
            match &mut replication.archives.keeping {
                Some((number, step @ Keeping::Mark)) if *number == shard => *step = Keeping::Marked,
                _ => {}
            }
        }
    }

    pub(super) fn archived(&mut self, shard: usize, file: Result<PathBuf, RecoveryError>) {
        let Some(replication) = &mut self.replication else {
            return;
        };
        let sequence = match replication.archives.keeping.take() {
            Some((_, Keeping::Archive(sequence))) => sequence,
            _ => return,
        };
        match file {
            Ok(file) => {
                let shard = shard as u32;
                replication.archives.keeping = Some((shard, Keeping::Store));
                replication.replica.keep(shard, sequence, file);
            }
            Err(error) => {
                log::warn!("shard {shard}: no archive for the engine's store: {error}");
                let now_ns = self.node.now().monotonic_ns;
                replication.archives.retry_ns = now_ns + ARCHIVE_RETRY_NS;
            }
        }
    }

    pub(super) fn kept(&mut self, shard: u32, is_kept: bool) {
        let now_ns = self.node.now().monotonic_ns;
        if let Some(replication) = &mut self.replication {
            replication.archives.keeping = None;
            match is_kept {
                true => log::debug!("shard {shard} is in the engine's store"),
                false => {
                    log::warn!("shard {shard}: the engine's store has not taken its archive");
                    replication.archives.retry_ns = now_ns + ARCHIVE_RETRY_NS;
                }
            }
        }
    }

    // ---- From there ---------------------------------------------------------------------

    /// The log does not have any more what a copy lacks, or a copy is not like its owner's.
    pub(super) fn behind(&mut self, number: usize) {
        let now_ns = self.node.now().monotonic_ns;
        if let Some(owned_shard) = self.here(number) {
            log::info!("shard {number}: what is here lacks what the engine's log had, or differs from it: its archive is fetched");
            owned_shard.away = Away::Behind(now_ns);
        }
    }

    /// Asks for the archive of a copy that is behind, once that is due.
    pub(super) fn fetch(&mut self, at: usize) {
        let now_ns = self.node.now().monotonic_ns;
        let (owned_shard, Some(replication)) = (&mut self.owned[at], &mut self.replication) else {
            return;
        };
        if matches!(owned_shard.away, Away::Behind(due_ns) if now_ns >= due_ns) {
            owned_shard.away = Away::Fetching;
            let shard = owned_shard.shard as u32;
            let file = self.directory.fetched(shard);
            replication.replica.fetch(shard, file);
        }
    }

    /// When an archive is to be asked for. Monotonic; `u64::MAX`: none is.
    pub(super) fn fetch_ns(&self) -> u64 {
        let due = self.owned.iter().filter_map(|it| match it.away {
            Away::Behind(due_ns) => Some(due_ns),
            _ => None,
        });
        due.min().unwrap_or(u64::MAX)
    }

    pub(super) fn fetched(&mut self, number: usize, is_there: bool) {
        let retry_ns = self.node.now().monotonic_ns + ARCHIVE_RETRY_NS;
        let mut owned = self.owned.iter_mut();
        let Some(owned_shard) = owned.find(|it| it.shard == number) else {
            return;
        };
        if owned_shard.away != Away::Fetching {
            return;
        }
        owned_shard.away = match is_there {
            true => Away::Fetched,
            false => {
                log::error!(
                    "shard {number}: the engine's store gives no archive: it is not served here"
                );
                Away::Behind(retry_ns)
            }
        };
        if let (true, Some(replication)) = (is_there, &mut self.replication) {
            replication.archives.restoring.push(number as u32);
        }
    }

    // ---- How far the files are ------------------------------------------------------------

    /// A sync is done.
    pub(super) fn synced(&mut self, number: usize) {
        let is_its = |it: &&mut OwnedShard<D>| it.shard == number;
        if let (Some(it), Some(replication)) =
            (self.owned.iter_mut().find(is_its), &mut self.replication)
        {
            it.synced = it.syncing.take();
            replication.archives.has_synced = true;
        }
    }

    /// Notes how far copies are that were not noted for some time, when one has been synced. Between ticks.
    fn note(&mut self) {
        let now_ns = self.node.now().monotonic_ns;
        let Some(replication) = &mut self.replication else {
            return;
        };
        if !std::mem::take(&mut replication.archives.has_synced) {
            return;
        }
        let mut places = Vec::new();
        let due = |it: &&mut OwnedShard<D>| it.away == Away::No && now_ns >= it.note_ns;
        for it in self.owned.iter_mut().filter(due) {
            let place = match it.store.is_synced() {
                true => Some(replication.place(it.shard, it.store.written())),
                false => it.synced.take(),
            };
            if let Some(place) = place {
                it.note_ns = now_ns + LOG_POSITION_NS;
                places.push((it.shard as u32, place));
            }
        }
        self.begin_notes(places.into_iter());
    }

    fn begin_notes(&mut self, places: impl Iterator<Item = (u32, LogPosition)>) {
        let Some(replication) = &mut self.replication else {
            return;
        };
        for (shard, place) in places {
            replication.archives.notes += 1;
            let job = Work::Note(self.directory.clone(), shard, place);
            self.effects.push_back(Effect::Start(job));
        }
    }

    pub(super) fn noted(&mut self, noted: Result<(), RecoveryError>) {
        if let Err(error) = noted {
            log::warn!("{error}; the next start reads more of the engine's log");
        }
        if let Some(replication) = &mut self.replication {
            replication.archives.notes -= 1;
        }
    }

    /// Of a stop, when everything is durable: whether how far each copy is has been noted.
    pub(super) fn has_noted(&mut self) -> bool {
        let Some(replication) = &mut self.replication else {
            return true;
        };
        if std::mem::replace(&mut replication.archives.last_notes, true) {
            return replication.archives.notes == 0;
        }
        let here = self.owned.iter().filter(|it| it.away == Away::No);
        let mut place = |it: &OwnedShard<D>| replication.place(it.shard, it.store.written());
        let places: Vec<_> = here.map(|it| (it.shard as u32, place(it))).collect();
        self.begin_notes(places.iter().copied());
        places.is_empty()
    }
}
