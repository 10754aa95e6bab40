//! What a service manager and its service tell each other: states (`sd_notify(3)`), signs of life
//! (`sd_watchdog_enabled(3)`), sockets that are passed on (`sd_listen_fds(3)`). Without a manager all of it is nothing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::limits::NOTIFY_WAIT_NS_MAX;

/// Where the manager wants to hear of its service.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// A state that the manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// The start is over, and all went well.
    Ready,
    /// The end has begun.
    Stopping,
    /// A sign of life, for the watchdog.
    Alive,
}

/// Tells the manager, if there is one that wants to know. What goes wrong is logged: nothing here depends on it.
pub fn notify(state: ServiceState) {
    let Some(socket) = env::var_os(NOTIFY_SOCKET) else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        log::warn!(
            "the service manager cannot be told {state:?}: {NOTIFY_SOCKET} {socket:?}: {error}"
        );
    }
}

/// With a socket of its own, as `sd_notify(3)` does. (The crate's `notify` knows no abstract sockets.)
fn send(socket: &OsStr, state: ServiceState) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let text = match state {
        ServiceState::Ready => NotifyState::Ready,
        ServiceState::Stopping => NotifyState::Stopping,
        ServiceState::Alive => NotifyState::Watchdog,
    };
    let from = UnixDatagram::unbound()?;
    from.set_write_timeout(Some(Duration::from_nanos(NOTIFY_WAIT_NS_MAX)))?;
    from.send_to_addr(text.to_string().as_bytes(), &address)
        .map(|_| ())
}

/// Within what time the manager wants a sign of life, each time; `None`: it wants none.
pub fn watchdog() -> Option<Duration> {
    // Without a socket there is nobody to give one to.
    env::var_os(NOTIFY_SOCKET)?;
    sd_notify::watchdog_enabled().filter(|within| !within.is_zero())
}

/// The descriptors that are passed to this process, from now on its own and not its children's. Before anything else is
/// opened, and once.
///
/// # Errors
/// A variable is no number, or there are not as many descriptors as it says: one line.
pub fn inherited() -> Result<Vec<OwnedFd>, String> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    assert!(!TAKEN.swap(true, Ordering::Relaxed), "they are there once");
    let descriptors = sd_notify::listen_fds().map_err(|error| {
        let [pid, count] = ["LISTEN_PID", "LISTEN_FDS"].map(|name| env::var(name).unwrap_or_default());
        format!("the inherited descriptors cannot be taken: LISTEN_PID is '{pid}', LISTEN_FDS '{count}': {error}")
    })?;
    // SAFETY: each is open (its flags were set just now), nothing of ours has opened one yet, and nobody takes them twice.
    Ok(descriptors
        .map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
        .collect())
}
