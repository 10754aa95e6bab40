//! At most one process serves a shard: an open-file-description lock on its lock file (fcntl(2),
//! F_OFD_SETLK). The kernel drops it when the owner is gone, whatever ended it; a paused owner keeps it.
//!
//! The file holds the owner's card, one line that says who it is. It is written after the lock is
//! taken, so for a moment it may be the card of the owner before.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};

use super::disk::Locked;

/// The lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Ownership {
    _file: File,
}

impl Ownership {
    /// Takes the lock on a file (created if need be, its directory must be there), or says who has it.
    pub fn acquire(path: &Path, card: &str) -> io::Result<Locked<Ownership>> {
        Ownership::lock(path, card, false)
    }

    /// The same, waiting for as long as another has it.
    pub fn wait(path: &Path, card: &str) -> io::Result<Ownership> {
        match Ownership::lock(path, card, true)? {
            Locked::Ours(lock) => Ok(lock),
            Locked::Held(_) => unreachable!("F_OFD_SETLKW waits"),
        }
    }

    fn lock(path: &Path, card: &str, wait: bool) -> io::Result<Locked<Ownership>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let whole_file = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        loop {
            let argument = match wait {
                true => FcntlArg::F_OFD_SETLKW(&whole_file),
                false => FcntlArg::F_OFD_SETLK(&whole_file),
            };
            match fcntl(&file, argument) {
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    return Ok(Locked::Held(holder.trim().to_owned()));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        // Only for messages, so a full disk does not matter.
        let _ = file.set_len(0);
        let _ = file.write_at(format!("{card}\n").as_bytes(), 0);
        Ok(Locked::Ours(Ownership { _file: file }))
    }
}
