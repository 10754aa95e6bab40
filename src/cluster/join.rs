//! Joining a cluster: a node takes the lock of its name, compares its descriptor with those of the other nodes,
//! and takes the shards whose home it is.
//!
//! A node's descriptor is in its lock file before it reads those of the others. So of two nodes that start at once
//! at least one sees the other, and a disagreement never goes unnoticed.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cluster, Disagreement, NodeDescriptor};
use crate::limits::{JOIN_RETRY_NS, JOIN_WAIT_NS_MAX};
use crate::shard::layout::{shard_dir, SHARD_LOCK};
use crate::shard::lock::ShardLock;
use crate::shard::{Acquired, Directory, Locked, Owned, RealDisk, RecoveryError};
use crate::system::with_limit;

const JOIN_WAIT_MAX: Duration = Duration::from_nanos(JOIN_WAIT_NS_MAX);
const JOIN_RETRY: Duration = Duration::from_nanos(JOIN_RETRY_NS);

/// Why a node cannot join. Each is one line that says what to do.
#[derive(Debug)]
pub enum JoinError {
    /// The directory of the links cannot be trusted: what is wrong with it.
    Links(PathBuf, &'static str),
    /// Another process runs as this node: the node's name, and the other's descriptor.
    NodeRuns(String, String),
    /// A living node has other settings.
    Disagrees(Disagreement),
    /// A process that is no node of this cluster has a shard: its lock file, and the descriptor in it.
    ForeignProcess(PathBuf, String),
    /// A file cannot be used: what was to be done with it.
    Io(&'static str, PathBuf, io::Error),
    /// A shard cannot be recovered.
    Data(RecoveryError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Links(path, what) => write!(
                f,
                "{} {what}: whoever can enter it could act as a node. Remove it, or name another \
                 directory with --run",
                path.display()
            ),
            JoinError::NodeRuns(node, descriptor) => {
                let process = match descriptor.parse::<NodeDescriptor>() {
                    Ok(descriptor) => format!("process {}", descriptor.pid),
                    Err(_) => format!("'{descriptor}'"),
                };
                write!(
                    f,
                    "another galo runs as node {node} ({process}). Stop it, or give this one \
                     another --node"
                )
            }
            JoinError::Disagrees(disagreement) => {
                write!(f, "nodes must be alike: {disagreement}")
            }
            JoinError::ForeignProcess(lock, descriptor) => write!(
                f,
                "another galo owns this shard: {} is locked by {descriptor}. \
                 Stop it, or name another directory with --data",
                lock.display()
            ),
            JoinError::Io(action, path, error) => {
                write!(
                    f,
                    "cannot {action} {}: {}",
                    path.display(),
                    with_limit(error)
                )
            }
            JoinError::Data(error) => error.fmt(f),
        }
    }
}

impl From<RecoveryError> for JoinError {
    fn from(error: RecoveryError) -> JoinError {
        JoinError::Data(error)
    }
}

/// Makes the directory where nodes meet, or makes sure that nobody but our user can enter it.
pub fn prepare(cluster: &Cluster) -> Result<(), JoinError> {
    let run = &cluster.run;
    fs::create_dir_all(run).map_err(|error| JoinError::Io("make", run.clone(), error))?;
    let links = cluster.links();
    match DirBuilder::new().mode(0o700).create(&links) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(JoinError::Io("make", links, error));
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(&links)
        .map_err(|error| JoinError::Io("look at", links.clone(), error))?;
    let wrong = if !metadata.is_dir() {
        "is not a directory"
    } else if metadata.uid() != nix::unistd::geteuid().as_raw() {
        "belongs to another user"
    } else if metadata.mode() & 0o077 != 0 {
        "is open to others than its owner (it must have mode 0700)"
    } else {
        return Ok(());
    };
    Err(JoinError::Links(links, wrong))
}

/// Becomes the node that the descriptor says, for as long as the lock is kept, if all that live are alike.
pub fn join(cluster: &Cluster, descriptor: &NodeDescriptor) -> Result<ShardLock, JoinError> {
    let path = cluster.lock_path(cluster.node);
    let line = descriptor.to_string();
    let lock = patiently(
        || ShardLock::acquire(&path, &line).map_err(io_error("lock", &path)),
        |locked| matches!(locked, Locked::Ours(_)),
    )?;
    let mut lock = match lock {
        Locked::Ours(lock) => lock,
        Locked::Held(descriptor) => {
            return Err(JoinError::NodeRuns(cluster.name().to_owned(), descriptor))
        }
    };
    // Without it no other node could start.
    let written = lock.expect_descriptor();
    written.map_err(io_error("write", &path))?;
    for other in (0..cluster.nodes.len()).filter(|other| *other != cluster.node) {
        if let Some(disagreement) = disagreement(cluster, descriptor, other)? {
            return Err(JoinError::Disagrees(disagreement));
        }
    }
    Ok(lock)
}

/// The setting in which a running node disagrees with this one; `None`: none, or the node does not run.
fn disagreement(
    cluster: &Cluster,
    descriptor: &NodeDescriptor,
    other: usize,
) -> Result<Option<Disagreement>, JoinError> {
    let path = cluster.lock_path(other);
    let ask = || {
        let holder = ShardLock::holder(&path).map_err(io_error("read", &path))?;
        Ok(holder.and_then(|theirs| match theirs.parse() {
            Ok(theirs) => descriptor.disagreement(&theirs),
            Err(_) => Some(Disagreement::unreadable(&cluster.nodes[other], &theirs)),
        }))
    };
    // What we read may be the descriptor of its incarnation before.
    patiently(ask, Option::is_none)
}

/// Takes those of the shards `home` that nobody else has. A peer may have some of them, and any of
/// the others: it took them over while we were away. A foreign process may have none.
pub fn claim(
    directory: &Directory<RealDisk>,
    descriptor: &NodeDescriptor,
    home: impl Iterator<Item = u32>,
) -> Result<Vec<Owned<RealDisk>>, JoinError> {
    // Before the first recovery, which may take its time.
    for shard in 0..directory.meta.shards {
        peer(directory, descriptor, shard)?;
    }
    let mut owned = Vec::new();
    for shard in home {
        owned.extend(claim_one(directory, descriptor, shard)?);
    }
    Ok(owned)
}

fn claim_one(
    directory: &Directory<RealDisk>,
    descriptor: &NodeDescriptor,
    shard: u32,
) -> Result<Option<Owned<RealDisk>>, JoinError> {
    loop {
        if let Acquired::Ours(owned) = directory.acquire(shard)? {
            return Ok(Some(*owned));
        }
        if let Some(peer) = peer(directory, descriptor, shard)? {
            let node = peer.node;
            log::info!("shard {shard} is at home here; node {node} has it, and will hand it back");
            return Ok(None);
        }
    }
}

/// The peer that has a shard; `None`: no process has it. An error if a foreign process has it.
fn peer(
    directory: &Directory<RealDisk>,
    descriptor: &NodeDescriptor,
    shard: u32,
) -> Result<Option<NodeDescriptor>, JoinError> {
    let path = shard_dir(&directory.path, shard).join(SHARD_LOCK);
    let ask = || {
        let holder = ShardLock::holder(&path).map_err(io_error("read", &path))?;
        Ok(match holder {
            None => Ok(None),
            Some(text) => match text.parse::<NodeDescriptor>() {
                Ok(holder) if descriptor.is_peer(&holder) => Ok(Some(holder)),
                _ => Err(text),
            },
        })
    };
    // What we read may be the descriptor of the owner before, or that of our own incarnation before, which is just ending.
    let holder = patiently(ask, |holder| holder.is_ok())?;
    holder.map_err(|text| JoinError::ForeignProcess(path.clone(), text))
}

/// Asks again until the answer is good, for a bounded time: the last answer.
fn patiently<T>(
    mut ask: impl FnMut() -> Result<T, JoinError>,
    is_good: impl Fn(&T) -> bool,
) -> Result<T, JoinError> {
    let began = Instant::now();
    loop {
        let answer = ask()?;
        if is_good(&answer) || began.elapsed() >= JOIN_WAIT_MAX {
            return Ok(answer);
        }
        std::thread::sleep(JOIN_RETRY);
    }
}

fn io_error<'p>(action: &'static str, path: &'p Path) -> impl Fn(io::Error) -> JoinError + 'p {
    move |error| JoinError::Io(action, path.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::descriptor::tests::descriptor;
    use super::*;

    /// Node api02 of two.
    fn cluster(run: &Path) -> Cluster {
        Cluster {
            nodes: descriptor(1).nodes,
            node: 1,
            run: run.to_owned(),
        }
    }

    #[test]
    fn the_links_are_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(&dir.path().join("run"));
        for _ in 0..2 {
            prepare(&cluster).unwrap();
            let mode = fs::metadata(cluster.links()).unwrap().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        for mode in [0o710, 0o701, 0o777] {
            fs::set_permissions(cluster.links(), fs::Permissions::from_mode(mode)).unwrap();
            let line = prepare(&cluster).unwrap_err().to_string();
            assert!(
                line.contains("run/links is open") && line.contains("--run"),
                "{line}"
            );
        }
        fs::remove_dir(cluster.links()).unwrap();
        fs::write(cluster.links(), "").unwrap();
        let line = prepare(&cluster).unwrap_err().to_string();
        assert!(line.contains("is not a directory"), "{line}");
    }

    #[test]
    fn a_name_is_held_once_and_a_dead_nodes_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        prepare(&cluster).unwrap();
        let lock = join(&cluster, &descriptor(1)).unwrap();
        let line = join(&cluster, &descriptor(1)).unwrap_err().to_string();
        assert!(line.contains("runs as node api02 (process 12)"), "{line}");
        drop(lock);
        join(&cluster, &descriptor(1)).unwrap();
    }

    #[test]
    fn a_living_node_of_another_kind_is_refused_and_a_dead_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        prepare(&cluster).unwrap();
        let path = cluster.lock_path(0);
        let other = NodeDescriptor {
            protocol: 99,
            ..descriptor(0)
        };
        for (theirs, words) in [
            (other.to_string(), "has link protocol 99, this one"),
            ("process 12".to_owned(), "'process 12'"),
        ] {
            let lock = ShardLock::wait(&path, &theirs).unwrap();
            let line = join(&cluster, &descriptor(1)).unwrap_err().to_string();
            assert!(
                line.contains("node api01") && line.contains(words),
                "{line}"
            );
            drop(lock);
            join(&cluster, &descriptor(1)).unwrap();
        }
        let _lock = ShardLock::wait(&path, &descriptor(0).to_string()).unwrap();
        join(&cluster, &descriptor(1)).unwrap();
    }

    /// Its new incarnation has the lock, and writes its descriptor in a moment.
    #[test]
    fn a_stale_descriptor_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = cluster(dir.path());
        prepare(&cluster).unwrap();
        let path = cluster.lock_path(0);
        let stale = NodeDescriptor {
            cores: 9,
            ..descriptor(0)
        };
        let _lock = ShardLock::wait(&path, &stale.to_string()).unwrap();
        std::thread::scope(|scope| {
            let joining = scope.spawn(|| join(&cluster, &descriptor(1)).map(drop));
            // Not before it has begun to ask.
            while ShardLock::holder(&cluster.lock_path(1)).unwrap().is_none() {
                std::thread::yield_now();
            }
            fs::write(&path, descriptor(0).to_string()).unwrap();
            joining.join().unwrap().unwrap();
        });
    }
}
