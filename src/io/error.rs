//! Errors of a core: system calls that fail, and resources that it cannot have.

use nix::errno::Errno;
use std::{fmt, io};

/// A failed system call: which one, and its errno.
#[derive(Clone, Copy, Debug)]
pub(super) struct Error {
    pub call: &'static str,
    pub errno: Errno,
}

impl Error {
    pub(super) fn of<E: Into<io::Error>>(call: &'static str) -> impl Fn(E) -> Error {
        move |error| {
            let errno = error.into().raw_os_error();
            let errno = errno.map_or(Errno::UnknownErrno, Errno::from_raw);
            Error { call, errno }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { call, errno } = self;
        write!(f, "{call} failed ({errno:?}): {}", errno.desc())
    }
}

/// A resource of the system that a core cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There is no more memory to lock, which only io_uring needs: what was refused.
    Memory(String),
    /// Any other lack, as text.
    Other(String),
}

impl From<String> for Lack {
    fn from(text: String) -> Lack {
        Lack::Other(text)
    }
}
