//! A file system in memory that can lose everything that POSIX allows it to lose.
//!
//! Every file has what a process sees (`live`), what is on the medium (`durable`), and what was done
//! in between and is not synced (`pending`); names likewise. `state`: what each operation makes of that; `crash`: what
//! is left by a crash; `locks`: who may write.
//!
//! Several processes use it, each through handles of its own ([`SimDisk::of`]), which work for as long
//! as it lives.

mod crash;
mod locks;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};

use galo::shard::mapping::Mapping;
use galo::shard::{Disk, DiskFile, Locked};

use crate::sabotage::Sabotage;
use galo_testkit::Random;

pub use crash::Crash;
use locks::SimLock;
use state::{Change, Inode, State};

/// The process that makes the directory: it needs no locks.
pub const MAKER: u64 = 0;

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
struct Life {
    pub faults: Faults,
    pub events: Events,
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

impl SimDisk {
    /// An empty file system; the handle is [`MAKER`]'s.
    pub fn new(random: Random) -> SimDisk {
        let state = State {
            random,
            inodes: Vec::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            dirs: BTreeSet::new(),
            capacity: None,
            file_bytes_max: None,
            too_large: 0,
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
            process: MAKER,
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

    fn state(&self) -> MutexGuard<'_, State> {
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

    /// No write makes a file larger than this (`RLIMIT_FSIZE`, with SIGXFSZ ignored).
    pub fn limit_files(&self, bytes: u64) {
        self.state().file_bytes_max = Some(bytes);
    }

    /// Writes that this refused.
    pub fn too_large(&self) -> u64 {
        self.state().too_large
    }

    /// There is room again.
    pub fn make_room(&self) {
        let mut state = self.state();
        if state.sabotage != Some(Sabotage::FullForever) {
            state.capacity = None;
            state.file_bytes_max = None;
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

fn dir_of(path: &Path) -> &Path {
    path.parent().expect("a file is in a directory")
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self, path: &Path, descriptor: &str) -> io::Result<Locked<SimLock>> {
        self.take_lock(path, descriptor)
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
        if bytes > state.inodes[self.inode].live.len() as u64 {
            state.fits(bytes)?;
        }
        if state.sabotage != Some(Sabotage::CutIgnored) {
            state.change(self.inode, Change::Length(bytes as usize));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self)
    }
}
