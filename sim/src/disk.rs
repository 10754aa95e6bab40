//! A file system in memory that can lose everything that POSIX allows it to lose.
//!
//! Every file has what a process sees (`live`), what is on the medium (`durable`), and what was done
//! in between and is not synced (`pending`); names likewise. What a crash leaves is `crash.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use galo::shard::mapping::Mapping;
use galo::shard::{Disk, DiskFile, Locked};

use crate::random::Random;
use crate::sabotage::Sabotage;

/// What goes wrong, and when. Countdowns are in operations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Bytes of all files together; `None`: enough.
    pub capacity: Option<u64>,
    /// Writes that take fewer bytes than they were given, percent.
    pub short_writes: u64,
    /// The n-th operation from now fails (EIO), once.
    pub fail_in: Option<u64>,
    /// The n-th sync from now fails, once.
    pub sync_fails_in: Option<u64>,
    /// The process dies in the n-th operation from now; nothing works after that.
    pub kill_in: Option<u64>,
}

/// What went wrong so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Operations that found no room.
    pub full: u64,
    /// Operations that failed with EIO.
    pub failed: u64,
    /// Syncs that did.
    pub syncs_failed: u64,
    /// The process died in an operation.
    pub killed: bool,
}

pub(crate) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    pub(crate) fn apply(&self, to: &mut Vec<u8>) {
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
pub(crate) struct Inode {
    pub live: Vec<u8>,
    pub durable: Vec<u8>,
    pub pending: Vec<Change>,
    /// A sync failed: the kernel may have dropped what was pending.
    pub doubtful: bool,
    /// It did, and what it dropped can still be read.
    pub falsely_clean: bool,
}

/// Names that change together.
pub(crate) struct Renaming {
    pub dir: PathBuf,
    pub entries: Vec<(PathBuf, Option<usize>)>,
}

pub(crate) struct State {
    pub random: Random,
    pub inodes: Vec<Inode>,
    pub live: BTreeMap<PathBuf, usize>,
    pub durable: BTreeMap<PathBuf, usize>,
    pub pending: Vec<Renaming>,
    dirs: BTreeSet<PathBuf>,
    pub faults: Faults,
    pub events: Events,
    pub sabotage: Option<Sabotage>,
}

/// See the module. Clones are the same file system.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// An open file.
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// As it was called when it was opened.
    is_journal: bool,
}

fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
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
    /// Whether the process dies in this operation.
    fn dies(&mut self) -> io::Result<bool> {
        if self.events.killed {
            return Err(error(libc::EIO));
        }
        if counts_down(&mut self.faults.kill_in) {
            self.events.killed = true;
        }
        Ok(self.events.killed)
    }

    fn fails(&mut self) -> io::Result<()> {
        if counts_down(&mut self.faults.fail_in) {
            self.events.failed += 1;
            return Err(error(libc::EIO));
        }
        Ok(())
    }

    /// What every operation goes through that happens whole or not at all: `Err`: it does not; the
    /// process may also die just behind it.
    fn begin(&mut self) -> io::Result<()> {
        if self.dies()? && self.random.percent(50) {
            return Err(error(libc::EIO));
        }
        self.fails()
    }

    fn used_bytes(&self) -> u64 {
        let lengths = self
            .live
            .values()
            .map(|inode| self.inodes[*inode].live.len());
        lengths.sum::<usize>() as u64
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or(error(libc::ENOENT))
    }

    fn rename_all(&mut self, dir: &Path, entries: Vec<(PathBuf, Option<usize>)>) {
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

    fn write(&mut self, inode: usize, bytes: &[u8], at: usize, journal: bool) -> io::Result<usize> {
        let mut take = bytes.len();
        if self.dies()? {
            take = self.random.index(take + 1);
        } else {
            self.fails()?;
            if take > 1 && self.random.percent(self.faults.short_writes) {
                if self.random.percent(20) {
                    return Err(error(libc::EINTR));
                }
                take = 1 + self.random.index(take - 1);
            }
        }
        if let Some(capacity) = self.faults.capacity {
            let room = capacity.saturating_sub(self.used_bytes()) as usize;
            let end_max = self.inodes[inode].live.len() + room;
            if at + take > end_max {
                self.events.full += 1;
                take = end_max.saturating_sub(at);
                if take == 0 || self.random.percent(50) {
                    return Err(error(libc::ENOSPC));
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
        self.change(inode, Change::Write { at, bytes });
        if self.events.killed {
            return Err(error(libc::EIO));
        }
        Ok(take)
    }

    fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        change.apply(&mut inode.live);
        inode.pending.push(change);
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        self.begin()?;
        if counts_down(&mut self.faults.sync_fails_in) {
            self.events.failed += 1;
            self.events.syncs_failed += 1;
            self.inodes[inode].doubtful = true;
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
                let doubtful = inode.doubtful || inode.falsely_clean;
                debug_assert!(doubtful || inode.durable == inode.live);
            }
        }
        Ok(())
    }
}

impl SimDisk {
    /// An empty file system.
    pub fn new(random: Random) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(State {
            random,
            inodes: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            dirs: BTreeSet::new(),
            faults: Faults::default(),
            events: Events::default(),
            sabotage: None,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("one thread uses it")
    }

    /// Decides what goes wrong from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Makes it a disk that lies.
    pub fn set_sabotage(&self, sabotage: Option<Sabotage>) {
        self.state().sabotage = sabotage;
    }

    /// What went wrong since the last crash.
    pub fn events(&self) -> Events {
        self.state().events
    }

    /// Leaves so many bytes.
    pub fn fill_up_to(&self, room: u64) {
        let mut state = self.state();
        let used = state.used_bytes();
        state.faults.capacity = Some(used + room);
    }

    /// There is room again.
    pub fn make_room(&self) {
        let mut state = self.state();
        if state.sabotage != Some(Sabotage::FullForever) || state.faults.capacity.is_none() {
            state.faults.capacity = None;
        }
    }

    /// Looks at a file as a process sees it, without being an operation.
    pub fn peek<T>(&self, path: &Path, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let state = self.state();
        let inode = *state.live.get(path)?;
        Some(look(&state.inodes[inode].live))
    }

    /// Names in a directory, without being an operation.
    pub fn names(&self, dir: &Path) -> Vec<String> {
        let state = self.state();
        let inside = state.live.keys().filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        inside.filter_map(name).collect()
    }

    fn mapping(&self, path: &Path) -> io::Result<Mapping> {
        let mut state = self.state();
        state.begin()?;
        let inode = state.find(path)?;
        Mapping::of_bytes(&state.inodes[inode].live)
    }

    fn handle(&self, path: &Path, inode: usize) -> SimFile {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        SimFile {
            disk: self.clone(),
            inode,
            is_journal: name.starts_with("journal-"),
        }
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().expect("a file is in a directory")
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = ();

    fn lock(&self, _: &Path, _: &str) -> io::Result<Locked<()>> {
        Ok(Locked::Ours(()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.begin()?;
        if !state.dirs.contains(dir) {
            return Err(error(libc::ENOENT));
        }
        let paths = state.live.keys().chain(&state.dirs);
        let inside = paths.filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        Ok(inside.filter_map(name).collect())
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        self.mapping(path)
    }

    fn read(&self, path: &Path) -> io::Result<Mapping> {
        self.mapping(path)
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state();
        state.begin()?;
        let inode = state.find(path)?;
        drop(state);
        Ok(self.handle(path, inode))
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state();
        state.begin()?;
        let inode = match state.live.get(path) {
            Some(inode) => {
                let inode = *inode;
                state.change(inode, Change::Length(0));
                inode
            }
            None => {
                let full = state
                    .faults
                    .capacity
                    .is_some_and(|c| c <= state.used_bytes());
                if full && state.random.percent(50) {
                    state.events.full += 1;
                    return Err(error(libc::ENOSPC));
                }
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.rename_all(dir_of(path), vec![(path.to_owned(), Some(inode))]);
                inode
            }
        };
        drop(state);
        Ok(self.handle(path, inode))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        for dir in dir.ancestors() {
            state.dirs.insert(dir.to_owned());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let inode = state.find(from)?;
        let entries = vec![(from.to_owned(), None), (to.to_owned(), Some(inode))];
        state.rename_all(dir_of(to), entries);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.find(path)?;
        state.rename_all(dir_of(path), vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if counts_down(&mut state.faults.sync_fails_in) {
            state.events.failed += 1;
            state.events.syncs_failed += 1;
            return Err(error(libc::EIO));
        }
        if state.sabotage == Some(Sabotage::DirSyncIgnored) {
            return Ok(());
        }
        let state = &mut *state;
        let durable = &mut state.durable;
        state.pending.retain(|renaming| {
            let stays = renaming.dir != dir;
            if !stays {
                renaming.make_durable(durable);
            }
            stays
        });
        Ok(())
    }
}

impl Renaming {
    pub(crate) fn make_durable(&self, names: &mut BTreeMap<PathBuf, usize>) {
        for (path, inode) in &self.entries {
            match inode {
                Some(inode) => names.insert(path.clone(), *inode),
                None => names.remove(path),
            };
        }
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.write(self.inode, bytes, offset as usize, self.is_journal)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin()?;
        if state.sabotage != Some(Sabotage::CutIgnored) {
            state.change(self.inode, Change::Length(bytes as usize));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.inode)
    }
}
