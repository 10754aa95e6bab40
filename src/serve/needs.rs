//! Checks before a start makes anything that the system allows it enough open files and threads.

use crate::config::Serve;
use crate::io::{Address, Driver, DriverChoice};
use crate::limits::{
    CHANNEL_FILES, CLIENT_FILES, CORE_FILES_EPOLL, CORE_FILES_URING, JOB_FILES, JOB_THREADS,
    PROCESS_FILES,
};
use crate::system::{expect_threads, open_files};
use nix::sys::resource::{getrlimit, Resource};

/// Refuses unless as many files may be open as this process may come to need with nobody but a client for each core:
/// a node of a cluster may own every shard. `inherited`: sockets that each core is to have a descriptor of.
pub(super) fn expect_files(
    settings: &Serve,
    shards: usize,
    inherited: usize,
) -> Result<(), String> {
    let Ok((allowed, _)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Ok(());
    };
    // Where uring turns out to be refused, epoll needs less.
    let driver = match settings.io {
        DriverChoice::Epoll => Driver::Epoll,
        DriverChoice::Auto | DriverChoice::Uring => Driver::Uring,
    };
    // Where /proc is not to be read: standard input, output and error.
    let needed = open_files().unwrap_or(3) + files(settings, driver, shards, inherited) as u64;
    if needed <= allowed {
        return Ok(());
    }
    let (cores, driver) = (settings.cores, driver.name());
    Err(format!(
        "RLIMIT_NOFILE is {allowed}, {cores} cores on {driver} with {shards} shards need {needed} open files: \
         raise it with ulimit -n or --ulimit nofile={needed}:{needed}"
    ))
}

fn files(settings: &Serve, driver: Driver, shards: usize, inherited: usize) -> usize {
    let cores = settings.cores;
    let core = match driver {
        Driver::Uring => CORE_FILES_URING,
        Driver::Epoll => CORE_FILES_EPOLL,
    };
    // One for each core; a Unix socket has one for its path, too.
    let listener = |address: &Address| match address {
        Address::Tcp(..) => cores,
        Address::Unix(_) => cores + 1,
    };
    let listeners: usize = settings.listen.iter().map(listener).sum();
    let nodes = settings.cluster.as_ref().map_or(1, |all| all.nodes.len());
    // For each member of another node a link and its channel; our own listener and its path, and the lock of the
    // node's name.
    let links = match nodes {
        1 => 0,
        _ => cores * ((1 + CHANNEL_FILES) * (nodes - 1) * cores + 2),
    };
    let name = usize::from(settings.cluster.is_some());
    let processors = settings.payments.as_ref().map_or(0, |_| 2 * cores);
    let pairs = cores * (cores - 1) / 2 * (2 + CHANNEL_FILES);
    PROCESS_FILES
        + cores * (core + JOB_FILES + CLIENT_FILES)
        + listeners
        + inherited * cores
        + pairs
        + links
        + name
        + processors
        + 2 * shards
}

/// Refuses unless there can be as many threads as will be.
pub(super) fn expect_all_threads(settings: &Serve) -> Result<(), String> {
    let names = usize::from(settings.payments.is_some());
    let signals = 1;
    expect_threads(settings.cores * (1 + JOB_THREADS) + names + signals)
}
