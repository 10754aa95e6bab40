//! The engine that keeps the journals of several machines: NATS JetStream, through a client of its own thread.
//!
//! Nothing else knows of it: cores have a [`Port`] each ([`crate::machine::engine`]), and the process a [`Client`].
//!
//! | stream | subjects | what it is |
//! |---|---|---|
//! | `GALO_<cluster>` | `galo.<cluster>.log.<shard>` | the log: nothing of it is deleted but its front |
//! | `GALO_<cluster>_LEASE` | `galo.<cluster>.lease.<member>` | the leases: the last record of each |
//! | `OBJ_GALO_<cluster>` | an Object Store's | files of shards, so that the log's front can go |
//! | – | `galo.<cluster>.to.<member>` | messages from member to member |
//!
//! [`charter`]: what all nodes of a cluster agree on. [`streams`]: how streams are to be, and what is said of them.
//! [`mod@survey`]: what it has, for whoever looks from outside. [`link`]: the thread and its connection. [`requests`]: what is
//! asked for a core. [`store`]: the store of files. [`port`]: a core's end.

pub mod charter;
mod link;
mod port;
mod requests;
mod store;
mod streams;
mod survey;

use std::path::PathBuf;
use std::sync::{mpsc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::mpsc as to_thread;

pub use charter::Charter;
pub use port::Port;
use port::{Command, Stored};
pub use survey::{survey, LastRecord, ReplicaSurvey, StreamSurvey, Survey};

use crate::machine::engine::ShardFile;

/// How the engine is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `nats://host:port` or `tls://host:port`: one, or three and more.
    pub servers: Vec<String>,
    /// Of streams and subjects: see [`check_cluster`].
    pub cluster: String,
    /// A credentials file of NATS (`.creds`).
    pub creds: Option<PathBuf>,
    /// PEM: whom to trust beside the system's.
    pub tls_ca: Option<PathBuf>,
    /// PEM: who we are; both or neither.
    pub tls_cert: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
}

impl Settings {
    /// How many servers are to have each stream.
    fn replicas(&self) -> usize {
        match self.servers.len() {
            3.. => 3,
            _ => 1,
        }
    }
}

/// Why the engine cannot be used as it is: for whoever runs it, one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError(pub String);

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClientError {}

/// Whether a cluster may be called so: 1 to 32 letters, digits, `-` and `_`. `Err` says so.
pub fn check_cluster(name: &str) -> Result<(), String> {
    let is_fine = |it: char| it.is_ascii_alphanumeric() || "-_".contains(it);
    match (1..=32).contains(&name.len()) && name.chars().all(is_fine) {
        true => Ok(()),
        false => Err("1 to 32 letters, digits, - and _".to_owned()),
    }
}

/// After this a thread that does not end is left to itself.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection of a process, for all of its cores.
pub struct Client {
    commands: to_thread::UnboundedSender<Command>,
    /// Hangs up when the thread is at its end.
    ended: Mutex<mpsc::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts the thread, which connects for as long as it takes. Errors: files that cannot be read, or no thread.
    pub fn start(settings: Settings) -> io::Result<Client> {
        let (commands, received) = to_thread::unbounded_channel();
        let (end, ended) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("galo/engine".to_owned())
            .spawn(move || {
                let tasks = tokio::task::LocalSet::new();
                tasks.block_on(&runtime, link::run(settings, received));
                drop(end);
            })?;
        Ok(Client {
            commands,
            ended: Mutex::new(ended),
            thread: Some(thread),
        })
    }

    /// The charter of the cluster; where there is none yet, `proposed` is, from then on. `None`: there is none. Waits for
    /// the engine, for as long as it takes. An error says why it cannot be used.
    pub fn charter(&self, proposed: Option<&Charter>) -> Result<Option<Charter>, ClientError> {
        let proposed = proposed.cloned();
        self.wait(|reply| Command::Charter { proposed, reply })
    }

    /// Changes the charter of the cluster that is there to this. Waits for the engine, for as long as it takes.
    pub fn amend(&self, charter: Charter) -> Result<(), ClientError> {
        self.wait(|reply| Command::Amend { charter, reply })
    }

    /// Puts a shard's file into the store, for a cluster that is to be founded with it. Waits for the engine, for as long
    /// as it takes.
    pub fn seed(&self, file: ShardFile) -> Result<(), ClientError> {
        let asked = Stored::Seed(file);
        self.wait(|reply| Command::Store { asked, reply }).map(drop)
    }

    /// Gets the newest file of a shard from the store. Whether there is one. Waits for the engine, for as long as it takes.
    pub fn fetch(&self, shard: u32, file: PathBuf) -> Result<bool, ClientError> {
        let asked = Stored::Fetch(shard, file);
        self.wait(|reply| Command::Store { asked, reply })
    }

    fn wait<T>(
        &self,
        command: impl FnOnce(mpsc::Sender<Result<T, ClientError>>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, replied) = mpsc::channel();
        let gone = || ClientError("the engine's thread has ended".to_owned());
        let sent = self.commands.send(command(reply));
        sent.map_err(|_| gone())?;
        replied.recv().map_err(|_| gone())?
    }

    /// A core's way to the engine. `wake`: called when there is something for it, and it may have gone to sleep.
    pub fn port(&self, member: u32, wake: impl Fn() + Send + Sync + 'static) -> Port {
        let (port, core) = port::pair(member, Box::new(wake), self.commands.clone());
        let _ = self.commands.send(Command::Port(core)); // Without the thread nothing is ever said.
        port
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::End);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let is_over = matches!(
            ended.recv_timeout(END_TIMEOUT),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
        if let (true, Some(thread)) = (is_over, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_have_names_that_subjects_can_have() {
        for name in ["galo", "a", "Prod-2_b", &"x".repeat(32)] {
            assert_eq!(check_cluster(name), Ok(()), "{name}");
        }
        for name in ["", "a.b", "a b", "*", ">", "é", &"x".repeat(33)] {
            assert!(check_cluster(name).is_err(), "{name}");
        }
    }
}
