//! A file system in memory that can lose everything that POSIX allows it to lose.
//!
//! Every file has what a process sees (`live`), what is on the medium (`durable`), and what was done
//! in between and is not synced (`pending`); names likewise. What a crash leaves is `crash.rs`'s.
//!
//! Several processes use it, each through handles of its own ([`SimDisk::of`]), which work for as long
//! as it lives. Who may write is `locks.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use galo::shard::mapping::Mapping;
use galo::shard::{Disk, DiskFile, Locked};

use crate::locks::{Held, SimLock};
use crate::random::Random;
use crate::sabotage::Sabotage;

/// What goes wrong for one process, and when. Countdowns are in its operations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The n-th operation from now fails (EIO), once.
    pub fail_in: Option<u64>,
    /// The n-th sync from now fails, once.
    pub sync_fails_in: Option<u64>,
    /// The process dies in the n-th operation from now; nothing works after that.
    pub kill_in: Option<u64>,
}

/// What went wrong for one process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Operations that failed with EIO.
    pub failed: u64,
    /// Syncs that did.
    pub syncs_failed: u64,
    /// It is dead: in an operation, or by [`SimDisk::kill`].
    pub killed: bool,
}

/// One process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Life {
    pub faults: Faults,
    pub events: Events,
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
    /// A sync failed: the kernel may have dropped what was pending. Whose, and in which directory.
    pub doubtful: Option<(u64, PathBuf)>,
    /// It did, and what it dropped can still be read.
    pub falsely_clean: bool,
    /// Syncs that failed: everybody who has the file open by then is told of each, once.
    pub errors: u64,
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
    /// Bytes of all files together; `None`: enough.
    pub capacity: Option<u64>,
    /// Writes that take fewer bytes than they were given, percent.
    short_writes: u64,
    /// Operations that found no room.
    full_events: u64,
    pub lives: BTreeMap<u64, Life>,
    pub locks: BTreeMap<PathBuf, Held>,
    pub locks_taken: u64,
    /// Directories in which something that was written may have been lost with a sync that failed.
    pub doubted: BTreeSet<PathBuf>,
    /// The first one who wrote what is not his.
    pub trespass: Option<String>,
    pub sabotage: Option<Sabotage>,
}

/// See the module: one process's handle. Clones are the same process's.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    process: u64,
}

/// An open file.
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// As it was called when it was opened.
    path: PathBuf,
    /// Of [`Inode::errors`], those that this file was told of, or that were before it was opened.
    errors: AtomicU64,
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
    pub(crate) fn life(&mut self, process: u64) -> &mut Life {
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
    fn sync_fails(&mut self, process: u64) -> io::Result<()> {
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
    pub(crate) fn begin(&mut self, process: u64) -> io::Result<()> {
        if self.dies(process)? && self.random.percent(50) {
            return Err(error(libc::EIO));
        }
        self.fails(process)
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

    pub(crate) fn rename_all(&mut self, dir: &Path, entries: Vec<(PathBuf, Option<usize>)>) {
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
    pub(crate) fn add(&mut self, path: &Path) -> io::Result<usize> {
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

    fn write(&mut self, file: &SimFile, bytes: &[u8], at: usize) -> io::Result<usize> {
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

    pub(crate) fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        change.apply(&mut inode.live);
        inode.pending.push(change);
    }

    fn sync(&mut self, file: &SimFile) -> io::Result<()> {
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

impl SimDisk {
    /// An empty file system; the handle is [`MAKER`](crate::locks::MAKER)'s.
    pub fn new(random: Random) -> SimDisk {
        let state = State {
            random,
            inodes: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            dirs: BTreeSet::new(),
            capacity: None,
            short_writes: 0,
            full_events: 0,
            lives: BTreeMap::new(),
            locks: BTreeMap::new(),
            locks_taken: 0,
            doubted: BTreeSet::new(),
            trespass: None,
            sabotage: None,
        };
        SimDisk {
            state: Arc::new(Mutex::new(state)),
            process: crate::locks::MAKER,
        }
    }

    /// The same disk for another process.
    pub fn of(&self, process: u64) -> SimDisk {
        SimDisk {
            state: self.state.clone(),
            process,
        }
    }

    /// Whose handle this is.
    pub fn process(&self) -> u64 {
        self.process
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread uses it")
    }

    /// Decides what goes wrong for this process from now on.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().life(self.process).faults);
    }

    /// Writes that take fewer bytes than they were given, percent.
    pub fn set_short_writes(&self, percent: u64) {
        self.state().short_writes = percent;
    }

    /// Makes it a disk that lies.
    pub fn set_sabotage(&self, sabotage: Option<Sabotage>) {
        self.state().sabotage = sabotage;
    }

    /// What went wrong for this process so far.
    pub fn events(&self) -> Events {
        self.state().life(self.process).events
    }

    /// How often there was no room.
    pub fn full_events(&self) -> u64 {
        self.state().full_events
    }

    /// Leaves so many bytes.
    pub fn fill_up_to(&self, room: u64) {
        let mut state = self.state();
        let used = state.used_bytes();
        state.capacity = Some(used + room);
    }

    /// There is room again.
    pub fn make_room(&self) {
        let mut state = self.state();
        if state.sabotage != Some(Sabotage::FullForever) || state.capacity.is_none() {
            state.capacity = None;
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
        state.begin(self.process)?;
        let inode = state.find(path)?;
        Mapping::of_bytes(&state.inodes[inode].live)
    }

    fn handle(&self, path: &Path, inode: usize, errors: u64) -> SimFile {
        SimFile {
            disk: self.clone(),
            inode,
            path: path.to_owned(),
            errors: AtomicU64::new(errors),
        }
    }
}

pub(crate) fn dir_of(path: &Path) -> &Path {
    path.parent().expect("a file is in a directory")
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self, path: &Path, card: &str) -> io::Result<Locked<SimLock>> {
        self.take_lock(path, card)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.begin(self.process)?;
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
        state.begin(self.process)?;
        let inode = state.find(path)?;
        let errors = state.inodes[inode].errors;
        drop(state);
        Ok(self.handle(path, inode, errors))
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state();
        state.begin(self.process)?;
        state.guard(self.process, path);
        let inode = match state.live.get(path).copied() {
            Some(inode) => {
                state.change(inode, Change::Length(0));
                inode
            }
            None => state.add(path)?,
        };
        let errors = state.inodes[inode].errors;
        drop(state);
        Ok(self.handle(path, inode, errors))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin(self.process)?;
        for dir in dir.ancestors() {
            state.dirs.insert(dir.to_owned());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin(self.process)?;
        let inode = state.find(from)?;
        state.guard(self.process, to);
        let entries = vec![(from.to_owned(), None), (to.to_owned(), Some(inode))];
        state.rename_all(dir_of(to), entries);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin(self.process)?;
        state.find(path)?;
        state.guard(self.process, path);
        state.rename_all(dir_of(path), vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin(self.process)?;
        state.sync_fails(self.process)?;
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

impl SimFile {
    fn is_journal(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("journal-")
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.state().write(self, bytes, offset as usize)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let process = self.disk.process;
        let mut state = self.disk.state();
        state.begin(process)?;
        state.guard(process, &self.path);
        if state.sabotage != Some(Sabotage::CutIgnored) {
            state.change(self.inode, Change::Length(bytes as usize));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self)
    }
}
