//! Limits and settings of this process in the system.

use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use nix::sys::resource::{getrlimit, setrlimit, Resource};

use crate::limits::THREADS_GONE_NS_MAX;

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

/// Files that this process has open; `None` where `/proc` is not to be read.
pub fn open_files() -> Option<u64> {
    // One of them is the directory itself.
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as u64)
}

/// Tries whether so many threads can be there at once: some libraries panic when they cannot start theirs.
///
/// # Errors
/// They cannot; the text names the limits that may be met.
pub fn expect_threads(count: usize) -> Result<(), String> {
    let before = threads();
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().expect("nothing panics under it");
    let mut started = Vec::with_capacity(count);
    let mut refused = None;
    for _ in 0..count {
        let gate = gate.clone();
        let wait = move || drop(gate.read());
        match std::thread::Builder::new().spawn(wait) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(closed);
    for thread in started {
        thread.join().expect("it waits, and does nothing else");
    }
    // One that was joined may count for a moment more.
    let began = Instant::now();
    while threads() > before && began.elapsed() < Duration::from_nanos(THREADS_GONE_NS_MAX) {
        std::thread::yield_now();
    }
    refused.map_or(Ok(()), |error| Err(threads_text(count, &error)))
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// What to say when so many threads cannot be there.
pub(crate) fn threads_text(count: usize, error: &io::Error) -> String {
    let limit = |resource, name, of: &str| match getrlimit(resource) {
        Ok((soft, _)) if soft != libc::RLIM_INFINITY => format!("{name} is {soft} {of}; "),
        _ => String::new(),
    };
    let processes = limit(
        Resource::RLIMIT_NPROC,
        "RLIMIT_NPROC",
        "for all threads of this user together (ulimit -u, --ulimit nproc=…)",
    );
    let memory = limit(Resource::RLIMIT_AS, "RLIMIT_AS", "bytes (ulimit -v)");
    format!(
        "{count} threads are needed, and cannot be started ({error}): raise what limits them. {processes}{memory}\
         a container's limit of processes (--pids-limit) and kernel.threads-max count, too"
    )
}
