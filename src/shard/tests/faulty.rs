//! A disk whose operations fail when they are told to.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::shard::disk::{Disk, DiskFile, RealDisk};
use crate::shard::lock::{Locked, ShardLock};
use crate::shard::mapping::Mapping;

/// What becomes of one write.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// Only so many bytes are taken.
    Short(usize),
    /// It fails with this errno.
    Fails(i32),
}

#[derive(Debug, Default)]
pub struct Plan {
    /// For the next writes; then they all go well.
    pub writes: VecDeque<Write>,
    /// Every sync fails with this errno.
    pub sync: Option<i32>,
    /// Every cut fails with this errno.
    pub set_len: Option<i32>,
    /// Every creation fails with this errno.
    pub create: Option<i32>,
    /// Every opening for writing fails with this errno.
    pub open: Option<i32>,
    /// Every rename fails with this errno.
    pub rename: Option<i32>,
    /// Every directory's sync fails with this errno.
    pub sync_dir: Option<i32>,
    /// How often a file was synced.
    pub syncs: usize,
    /// Directories that were synced.
    pub dir_syncs: Vec<PathBuf>,
    /// What was written: file, offset, bytes.
    pub written: Vec<(PathBuf, u64, usize)>,
    /// All that were given; those that were given up are empty.
    locks: Vec<Held>,
}

type Held = Arc<Mutex<Option<ShardLock>>>;

/// A lock that a test can take away: a process that ends gives up even those that it forgot.
pub struct Lock(Held);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.lock().unwrap().take();
    }
}

#[derive(Clone, Debug, Default)]
pub struct Faulty(pub Arc<Mutex<Plan>>);

impl Faulty {
    /// The process that has this disk's locks is gone.
    pub fn release_locks(&self) {
        for lock in self.0.lock().unwrap().locks.drain(..) {
            lock.lock().unwrap().take();
        }
    }
}

pub struct FaultyFile(File, Faulty, PathBuf);

fn result(errno: Option<i32>) -> io::Result<()> {
    errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
}

impl Disk for Faulty {
    type File = FaultyFile;
    type Lock = Lock;

    fn lock(&self, path: &Path, descriptor: &str) -> io::Result<Locked<Lock>> {
        Ok(match RealDisk.lock(path, descriptor)? {
            Locked::Held(descriptor) => Locked::Held(descriptor),
            Locked::Ours(lock) => {
                let held = Arc::new(Mutex::new(Some(lock)));
                self.0.lock().unwrap().locks.push(held.clone());
                Locked::Ours(Lock(held))
            }
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        Mapping::of_bytes(&RealDisk.read(path)?)
    }

    fn read(&self, path: &Path) -> io::Result<Mapping> {
        RealDisk.read(path)
    }

    fn open(&self, path: &Path) -> io::Result<FaultyFile> {
        result(self.0.lock().unwrap().open)?;
        Ok(FaultyFile(
            RealDisk.open(path)?,
            self.clone(),
            path.to_owned(),
        ))
    }

    fn create(&self, path: &Path) -> io::Result<FaultyFile> {
        result(self.0.lock().unwrap().create)?;
        Ok(FaultyFile(
            RealDisk.create(path)?,
            self.clone(),
            path.to_owned(),
        ))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        result(self.0.lock().unwrap().rename)?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        result(self.0.lock().unwrap().sync_dir)?;
        self.0.lock().unwrap().dir_syncs.push(dir.to_owned());
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut plan = self.1 .0.lock().unwrap();
        let taken = match plan.writes.pop_front() {
            None => DiskFile::write_at(&self.0, bytes, offset)?,
            Some(Write::Short(taken)) => DiskFile::write_at(&self.0, &bytes[..taken], offset)?,
            Some(Write::Fails(errno)) => return Err(io::Error::from_raw_os_error(errno)),
        };
        plan.written.push((self.2.clone(), offset, taken));
        Ok(taken)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        result(self.1 .0.lock().unwrap().set_len)?;
        DiskFile::set_len(&self.0, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let mut plan = self.1 .0.lock().unwrap();
        plan.syncs += 1;
        result(plan.sync)?;
        DiskFile::sync(&self.0)
    }
}
