//! At most one process serves a shard: an open-file-description lock on its lock file (fcntl(2),
//! F_OFD_SETLK). The kernel drops it when the owner is gone, whatever ended it; a paused owner keeps it.
//!
//! The file holds the owner's descriptor, one line that says who it is. It is written after the lock is
//! taken, so for a moment it may be the descriptor of the owner before.
//!
//! Whoever has the lock may remove the file: the lock that counts is that of the file which has the path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};

/// Bytes that are read of a lock file: more than any descriptor has.
const DESCRIPTOR_BYTES_MAX: u64 = 4096;

/// The result of trying to lock.
#[derive(Debug)]
pub enum Locked<L> {
    /// This process holds the lock.
    Ours(L),
    /// Another process holds the lock: its descriptor, as far as it is written.
    Held(String),
}

/// The lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct ShardLock {
    _file: File,
    /// Why its descriptor is not there.
    unwritten: Option<io::Error>,
}

impl ShardLock {
    /// Takes the lock on a file (created if need be, its directory must be there), or says who has it.
    pub fn acquire(path: &Path, descriptor: &str) -> io::Result<Locked<ShardLock>> {
        ShardLock::lock(path, descriptor, false)
    }

    /// [`acquire`](Self::acquire), waiting for as long as another process has the lock.
    pub fn wait(path: &Path, descriptor: &str) -> io::Result<ShardLock> {
        match ShardLock::lock(path, descriptor, true)? {
            Locked::Ours(lock) => Ok(lock),
            Locked::Held(_) => unreachable!("F_OFD_SETLKW waits"),
        }
    }

    /// The descriptor of who has the lock now; does not take it even for a moment.
    pub fn holder(path: &Path) -> io::Result<Option<String>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut lock = whole_file();
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        if lock.l_type == libc::F_UNLCK as libc::c_short {
            return Ok(None);
        }
        read_descriptor(&mut file).map(Some)
    }

    fn lock(path: &Path, descriptor: &str, wait: bool) -> io::Result<Locked<ShardLock>> {
        let file = loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            if !set_lock(&file, wait)? {
                return Ok(Locked::Held(read_descriptor(&mut file).unwrap_or_default()));
            }
            // Or its owner has removed it meanwhile, and somebody may have made another.
            if is_at(&file, path)? {
                break file;
            }
        };
        // Over the old one, which on a full disk is where there is room. Without a descriptor this process is
        // foreign to those that want the shard, but no less its owner.
        let line = format!("{descriptor}\n");
        let written = file.write_all_at(line.as_bytes(), 0);
        let written = written.and_then(|()| file.set_len(line.len() as u64));
        Ok(Locked::Ours(ShardLock {
            _file: file,
            unwritten: written.err(),
        }))
    }

    /// # Errors
    /// The descriptor could not be written: others do not know who has the lock.
    pub fn expect_descriptor(&mut self) -> io::Result<()> {
        self.unwritten.take().map_or(Ok(()), Err)
    }
}

/// Whether the lock is ours now.
fn set_lock(file: &File, wait: bool) -> io::Result<bool> {
    let whole_file = whole_file();
    loop {
        let argument = match wait {
            true => FcntlArg::F_OFD_SETLKW(&whole_file),
            false => FcntlArg::F_OFD_SETLK(&whole_file),
        };
        match fcntl(file, argument) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether a path is still this file's.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        now => now.map(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())),
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The first line: there may be more of a longer descriptor while a new one is being written.
fn read_descriptor(file: &mut File) -> io::Result<String> {
    let mut descriptor = Vec::new();
    file.take(DESCRIPTOR_BYTES_MAX)
        .read_to_end(&mut descriptor)?;
    let descriptor = String::from_utf8_lossy(&descriptor);
    Ok(descriptor
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned())
}
