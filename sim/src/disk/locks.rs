//! Who may write a shard's files: locks, the end of a process, and the watch over both.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use galo::shard::layout::{is_shard_dir, SHARD_LOCK};
use galo::shard::Locked;

use super::crash::drop_some;
use super::{dir_of, Change, SimDisk, State, MAKER};
use crate::sabotage::Sabotage;

/// A lock that somebody has.
pub(super) struct Held {
    process: u64,
    /// Tells it from the same process's others.
    number: u64,
}

/// A lock; given up when dropped, or with its process.
pub struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    number: u64,
}

impl SimDisk {
    pub(super) fn take_lock(&self, path: &Path, descriptor: &str) -> io::Result<Locked<SimLock>> {
        let mut state = self.state();
        let state = &mut *state;
        state.begin(self.process())?;
        let inode = match state.live.get(path).copied() {
            Some(inode) => inode,
            None => state.add(path)?,
        };
        if state.locks.contains_key(path) && state.sabotage != Some(Sabotage::LockIgnored) {
            let descriptor = String::from_utf8_lossy(&state.inodes[inode].live);
            return Ok(Locked::Held(descriptor.trim().to_owned()));
        }
        let bytes = format!("{descriptor}\n").into_bytes();
        state.change(inode, Change::Length(0));
        state.change(inode, Change::Write { at: 0, bytes });
        state.locks_taken += 1;
        let number = state.locks_taken;
        let process = self.process();
        state
            .locks
            .insert(path.to_owned(), Held { process, number });
        Ok(Locked::Ours(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            number,
        }))
    }

    /// Ends this process; the others go on.
    pub fn kill(&self) {
        let process = self.process();
        let mut state = self.state();
        state.life(process).events.killed = true;
        let mut dirs = BTreeSet::new();
        state.locks.retain(|path, held| {
            let own = held.process == process;
            if own {
                dirs.insert(dir_of(path).to_owned());
            }
            !own
        });
        let locks: BTreeSet<PathBuf> = state.locks.keys().cloned().collect();
        // What another has by now is his, failed syncs of ours and all.
        state.settle_doubts(|owner, dir| {
            dirs.contains(dir) || (owner == process && !locks.contains(&dir.join(SHARD_LOCK)))
        });
    }

    /// Directories in which a failed sync may have taken something, since this was last asked.
    pub fn take_doubted(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.state().doubted)
    }

    /// Whether somebody wrote where he had no lock.
    pub fn trespass(&self) -> Option<String> {
        self.state().trespass.clone()
    }

    /// All of this process's locks are gone, and it does not know.
    pub fn lose_locks(&self) {
        let process = self.process();
        self.state().locks.retain(|_, held| held.process != process);
    }
}

impl State {
    /// Notes it when a process changes a shard's file without the shard's lock.
    pub(super) fn guard(&mut self, process: u64, path: &Path) {
        let dir = dir_of(path);
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        if process == MAKER || !is_shard_dir(&name) {
            return;
        }
        let holder = self.locks.get(&dir.join(SHARD_LOCK));
        if holder.is_none_or(|held| held.process != process) && self.trespass.is_none() {
            let what = format!("process {process} writes {} without a lock", path.display());
            self.trespass = Some(what);
        }
    }

    /// Nobody has these files open any more.
    fn settle_doubts(&mut self, which: impl Fn(u64, &Path) -> bool) {
        for inode in &mut self.inodes {
            let doubtful = inode.doubtful.take();
            match doubtful {
                Some((process, dir)) if which(process, &dir) => {
                    self.doubted.insert(dir);
                    drop_some(inode, &mut self.random);
                }
                other => inode.doubtful = other,
            }
        }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        let held = state.locks.get(&self.path);
        if held.is_some_and(|held| held.number == self.number) {
            state.locks.remove(&self.path);
            let dir = dir_of(&self.path).to_owned();
            state.settle_doubts(|_, doubted| doubted == dir);
        }
    }
}
