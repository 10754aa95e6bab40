//! At most one process serves a shard: an open-file-description lock on its lock file (fcntl(2),
//! F_OFD_SETLK). The kernel drops it when the owner is gone, whatever ended it; a paused owner keeps it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};

/// The lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Ownership {
    _file: File,
}

/// Why the lock is not ours.
#[derive(Debug)]
pub enum OwnershipError {
    /// Another galo has it.
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the owner wrote into it: its process id, in its own pid namespace.
        pid: Option<u32>,
    },
    /// The lock file cannot be opened or locked.
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for OwnershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OwnershipError::Held { path, pid } => {
                write!(
                    f,
                    "another galo owns this shard: {} is locked",
                    path.display()
                )?;
                if let Some(pid) = pid {
                    write!(f, " by process {pid}")?;
                }
                f.write_str(". Stop it, or name another directory with --data")
            }
            OwnershipError::Io { path, error } => {
                write!(f, "cannot lock {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for OwnershipError {}

impl Ownership {
    /// Takes the lock on a file (created if need be, its directory must be there), or says who has it.
    pub fn acquire(path: &Path) -> Result<Ownership, OwnershipError> {
        Ownership::lock(path, false)
    }

    /// The same, waiting for as long as another has it.
    pub fn wait(path: &Path) -> Result<Ownership, OwnershipError> {
        Ownership::lock(path, true)
    }

    fn lock(path: &Path, wait: bool) -> Result<Ownership, OwnershipError> {
        let failed = |error| OwnershipError::Io {
            path: path.to_owned(),
            error,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
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
                    let mut pid = String::new();
                    let _ = file.read_to_string(&mut pid);
                    return Err(OwnershipError::Held {
                        path: path.to_owned(),
                        pid: pid.trim().parse().ok(),
                    });
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        // Only for the message above, so a full disk does not matter.
        let _ = file.set_len(0);
        let _ = file.write_at(format!("{}\n", std::process::id()).as_bytes(), 0);
        Ok(Ownership { _file: file })
    }
}
