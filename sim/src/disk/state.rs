//! What is on the disk, and what each operation makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::locks::Held;
use super::{dir_of, error, Life, SimFile};
use crate::sabotage::Sabotage;
use galo_testkit::Random;

pub(super) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Length(length) => to.resize(*length, 0),
        }
    }
}

#[derive(Default)]
pub(super) struct Inode {
    pub live: Vec<u8>,
    pub durable: Vec<u8>,
    pub pending: Vec<Change>,
    /// A sync failed: the kernel may have dropped what was pending. Whose, and in which directory.
    pub doubtful: Option<(u64, PathBuf)>,
    /// It did, and what it dropped can still be read.
    pub falsely_clean: bool,
    /// Syncs that failed: everybody who has the file open by then is told of each, once.
    pub errors: u64,
}

/// Names that change together.
pub(super) struct Renaming {
    pub dir: PathBuf,
    pub entries: Vec<(PathBuf, Option<usize>)>,
}

pub(super) struct State {
    pub random: Random,
    pub inodes: Vec<Inode>,
    pub live: BTreeMap<PathBuf, usize>,
    pub durable: BTreeMap<PathBuf, usize>,
    pub pending: Vec<Renaming>,
    pub dirs: BTreeSet<PathBuf>,
    /// Bytes of all files together; `None`: enough.
    pub capacity: Option<u64>,
    /// Bytes of each file; `None`: as many as there is room for.
    pub file_bytes_max: Option<u64>,
    /// Operations that were refused for that.
    pub too_large: u64,
    /// Writes that take fewer bytes than they were given, percent.
    pub short_writes: u64,
    /// Operations that found no room.
    pub full_events: u64,
    pub lives: BTreeMap<u64, Life>,
    pub locks: BTreeMap<PathBuf, Held>,
    pub locks_taken: u64,
    /// Directories in which something that was written may have been lost with a sync that failed.
    pub doubted: BTreeSet<PathBuf>,
    /// The first one who wrote what is not his.
    pub trespass: Option<String>,
    pub sabotage: Option<Sabotage>,
}

fn counts_down(counter: &mut Option<u64>) -> bool {
    match counter {
        Some(0 | 1) => {
            *counter = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

impl State {
    pub(super) fn life(&mut self, process: u64) -> &mut Life {
        self.lives.entry(process).or_default()
    }

    /// Whether the process dies in this operation.
    fn dies(&mut self, process: u64) -> io::Result<bool> {
        let life = self.life(process);
        if life.events.killed {
            return Err(error(libc::EIO));
        }
        if counts_down(&mut life.faults.kill_in) {
            life.events.killed = true;
        }
        Ok(life.events.killed)
    }

    fn fails(&mut self, process: u64) -> io::Result<()> {
        let life = self.life(process);
        if counts_down(&mut life.faults.fail_in) {
            life.events.failed += 1;
            return Err(error(libc::EIO));
        }
        Ok(())
    }

    /// The same for a sync, which has a countdown of its own.
    pub(super) fn sync_fails(&mut self, process: u64) -> io::Result<()> {
        let life = self.life(process);
        if counts_down(&mut life.faults.sync_fails_in) {
            life.events.failed += 1;
            life.events.syncs_failed += 1;
            return Err(error(libc::EIO));
        }
        Ok(())
    }

    /// What every operation goes through that happens whole or not at all: `Err`: it does not; the
    /// process may also die just behind it.
    pub(super) fn begin(&mut self, process: u64) -> io::Result<()> {
        if self.dies(process)? && self.random.percent(50) {
            return Err(error(libc::EIO));
        }
        self.fails(process)
    }

    /// Whether a file may be so large.
    pub(super) fn fits(&mut self, bytes: u64) -> io::Result<()> {
        if self
            .file_bytes_max
            .is_none_or(|bytes_max| bytes <= bytes_max)
        {
            return Ok(());
        }
        self.full_events += 1;
        self.too_large += 1;
        Err(error(libc::EFBIG))
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let lengths = self
            .live
            .values()
            .map(|inode| self.inodes[*inode].live.len());
        lengths.sum::<usize>() as u64
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or(error(libc::ENOENT))
    }

    pub(super) fn rename_all(&mut self, dir: &Path, entries: Vec<(PathBuf, Option<usize>)>) {
        for (path, inode) in &entries {
            match inode {
                Some(inode) => self.live.insert(path.clone(), *inode),
                None => self.live.remove(path),
            };
        }
        self.pending.push(Renaming {
            dir: dir.to_owned(),
            entries,
        });
    }

    /// A new file, and its name.
    pub(super) fn add(&mut self, path: &Path) -> io::Result<usize> {
        let full = self.capacity.is_some_and(|c| c <= self.used_bytes());
        if full && self.random.percent(50) {
            self.full_events += 1;
            return Err(error(libc::ENOSPC));
        }
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.rename_all(dir_of(path), vec![(path.to_owned(), Some(inode))]);
        Ok(inode)
    }

    pub(super) fn write(&mut self, file: &SimFile, bytes: &[u8], at: usize) -> io::Result<usize> {
        let (process, inode) = (file.disk.process, file.inode);
        let journal = file.is_journal();
        let mut take = bytes.len();
        let dies = self.dies(process)?;
        if dies {
            take = self.random.index(take + 1);
        } else {
            self.fails(process)?;
            if take > 1 && self.random.percent(self.short_writes) {
                if self.random.percent(20) {
                    return Err(error(libc::EINTR));
                }
                take = 1 + self.random.index(take - 1);
            }
        }
        if let Some(capacity) = self.capacity {
            let room = capacity.saturating_sub(self.used_bytes()) as usize;
            let end_max = self.inodes[inode].live.len() + room;
            if at + take > end_max {
                self.full_events += 1;
                take = end_max.saturating_sub(at);
                if take == 0 || self.random.percent(50) {
                    return Err(error(libc::ENOSPC));
                }
            }
        }
        if let Some(bytes_max) = self.file_bytes_max {
            // What is within the limit is written, what begins beyond it is refused (write(2)).
            if (at + take) as u64 > bytes_max {
                take = (bytes_max as usize).saturating_sub(at);
                if take == 0 {
                    self.fits(at as u64 + 1)?;
                }
            }
        }
        if journal && self.sabotage == Some(Sabotage::WriteDropped) && self.random.percent(2) {
            return Ok(take);
        }
        let mut bytes = bytes[..take].to_vec();
        if journal && self.sabotage == Some(Sabotage::WriteDamaged) && self.random.percent(2) {
            let place = self.random.index(bytes.len().max(1));
            bytes
                .iter_mut()
                .skip(place)
                .take(1)
                .for_each(|b| *b ^= 0x10);
        }
        self.guard(process, &file.path);
        self.change(inode, Change::Write { at, bytes });
        if dies {
            return Err(error(libc::EIO));
        }
        Ok(take)
    }

    pub(super) fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        change.apply(&mut inode.live);
        inode.pending.push(change);
    }

    pub(super) fn sync(&mut self, file: &SimFile) -> io::Result<()> {
        let (process, inode) = (file.disk.process, file.inode);
        self.begin(process)?;
        if let Err(error) = self.sync_fails(process) {
            self.inodes[inode].doubtful = Some((process, dir_of(&file.path).to_owned()));
            self.inodes[inode].errors += 1;
            file.errors.store(self.inodes[inode].errors, Relaxed);
            return Err(error);
        }
        let errors = self.inodes[inode].errors;
        if file.errors.swap(errors, Relaxed) < errors {
            // Another's sync failed.
            let events = &mut self.life(process).events;
            events.failed += 1;
            events.syncs_failed += 1;
            return Err(error(libc::EIO));
        }
        let sabotage = self.sabotage;
        let inode = &mut self.inodes[inode];
        match sabotage {
            Some(Sabotage::SyncIgnored) => {}
            Some(Sabotage::SyncReordered) => {
                let newest = inode.pending.pop();
                if inode.pending.pop().is_none() || newest.is_none() {
                    inode.durable = inode.live.clone();
                }
                for change in inode.pending.drain(..).chain(newest) {
                    change.apply(&mut inode.durable);
                }
            }
            _ => {
                for change in inode.pending.drain(..) {
                    change.apply(&mut inode.durable);
                }
                let doubtful = inode.doubtful.is_some() || inode.falsely_clean;
                debug_assert!(doubtful || inode.durable == inode.live);
            }
        }
        Ok(())
    }
}

impl Renaming {
    pub(super) fn make_durable(&self, names: &mut BTreeMap<PathBuf, usize>) {
        for (path, inode) in &self.entries {
            match inode {
                Some(inode) => names.insert(path.clone(), *inode),
                None => names.remove(path),
            };
        }
    }
}
