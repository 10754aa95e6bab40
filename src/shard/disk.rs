//! The seam to the file system, with no more operations than a shard's files need.
//!
//! [`RealDisk`] is the file system; the simulator has a double with a `live` and a `durable` image,
//! whose n-th operation fails. What the code above relies on:
//!
//! - bytes written are durable after [`DiskFile::sync`] of their file, which also makes its length so;
//! - a file created, renamed or removed is durably so after [`Disk::sync_dir`] of its directory;
//! - a rename replaces the target in one step;
//! - until then a crash of the machine may lose or keep any of it, in any order; a crash of the
//!   process loses nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::lock::{Locked, ShardLock};
use super::mapping::Mapping;
use crate::system::with_limit;

/// The operations on files that a shard needs, so that tests can put another file system in place of the
/// kernel's.
pub trait Disk: Clone + Send + 'static {
    /// An open file; closed when dropped.
    type File: DiskFile;
    /// A lock; given up when dropped, or when the process ends.
    type Lock: Send + 'static;

    /// Takes the lock on a file (created if need be), if nobody has it; `descriptor` says who we are, for
    /// those who do not get it.
    fn lock(&self, path: &Path, descriptor: &str) -> io::Result<Locked<Self::Lock>>;

    /// Names in a directory, in any order. `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// The whole file, privately mapped: not read before it is touched.
    fn map(&self, path: &Path) -> io::Result<Mapping>;
    /// The contents of the file.
    fn read(&self, path: &Path) -> io::Result<Mapping>;
    /// Opens an existing file for writing.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// A new file, for writing; one of that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Creates a directory, and those above it; not an error when it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Replaces `to`, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes the file; its directory is still to be synced.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync + 'static {
    /// One write; how many bytes were taken (`pwrite`(2)).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes contents and length durable (`fdatasync`(2)). After an error nothing may be assumed about
    /// what was written before, and another try proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Writes all of it; one call unless the kernel takes less.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_counting(bytes, offset, &mut 0)
    }

    /// Writes all of the bytes; `written` says how many were taken, also when it fails then.
    fn write_counting(&self, bytes: &[u8], offset: u64, written: &mut usize) -> io::Result<()> {
        *written = 0;
        while *written < bytes.len() {
            match self.write_at(&bytes[*written..], offset + *written as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => *written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether an error means that there is no room (now), rather than that something broke. A limit on file sizes
/// (EFBIG, RLIMIT_FSIZE) is one of room: it can be raised while we run (prlimit(1)).
pub fn is_full(error: &io::Error) -> bool {
    let full = [libc::ENOSPC, libc::EDQUOT, libc::EFBIG];
    error
        .raw_os_error()
        .is_some_and(|errno| full.contains(&errno))
}

/// Whether an error means that no file can be opened (now).
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = File;
    type Lock = ShardLock;

    fn lock(&self, path: &Path, descriptor: &str) -> io::Result<Locked<ShardLock>> {
        let mut locked = ShardLock::acquire(path, descriptor)?;
        if let Locked::Ours(lock) = &mut locked {
            if let Err(error) = lock.expect_descriptor() {
                let (path, error) = (path.display(), with_limit(&error));
                log::warn!("{path}: who has it cannot be written there: {error}");
            }
        }
        Ok(locked)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        Mapping::of_file(&File::open(path)?)
    }

    fn read(&self, path: &Path) -> io::Result<Mapping> {
        Mapping::read(&File::open(path)?)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).open(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        File::create(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
