//! What the system allows this process.

use std::io;

use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::sys::signal::{signal, SigHandler, Signal};

/// Raises the soft limits of descriptors and of locked memory to the hard ones. What cannot be
/// raised stays as it is: what needs more says so.
pub fn raise_limits() {
    for resource in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_MEMLOCK] {
        if let Ok((soft, hard)) = getrlimit(resource) {
            if soft < hard {
                let _ = setrlimit(resource, hard, hard);
            }
        }
    }
}

/// A write beyond RLIMIT_FSIZE fails from now on (EFBIG), where by default it ends the process (SIGXFSZ). Of use in
/// every command that writes: its output may go into a file, too.
pub fn fail_beyond_file_size() {
    // SAFETY: no handler is installed, and nothing is done with the one before.
    let ignored = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    ignored.expect("a signal that can be ignored");
}

/// An error of the system, and the limit of this process that it met, if it is about one.
pub fn with_limit(error: &io::Error) -> String {
    let (resource, name, unit, raise) = match error.raw_os_error() {
        Some(libc::EFBIG) => (Resource::RLIMIT_FSIZE, "RLIMIT_FSIZE", "bytes", "ulimit -f"),
        Some(libc::EMFILE) => (
            Resource::RLIMIT_NOFILE,
            "RLIMIT_NOFILE",
            "files",
            "ulimit -n",
        ),
        Some(libc::ENOMEM) => (Resource::RLIMIT_AS, "RLIMIT_AS", "bytes", "ulimit -v"),
        _ => return error.to_string(),
    };
    match getrlimit(resource) {
        Ok((soft, _)) if soft != libc::RLIM_INFINITY => {
            format!("{error}: {name} is {soft} {unit} (raise it with {raise})")
        }
        _ => error.to_string(),
    }
}
