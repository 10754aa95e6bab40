//! Signals. Those that by default would end the process without a log line are waited for in a thread of their own:
//! some of them stop the server, the others are logged and change nothing. `docs/operations.md` has
//! the table, and the reasons.

use std::fmt;
use std::io;
use std::sync::mpsc::Sender;

use nix::sys::signal::Signal;

use super::{ProcessEvent, ServeError};

/// Signals that stop the server gracefully.
const STOPS: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGPWR,
    Signal::SIGXCPU,
];
/// Signals that are logged and otherwise ignored.
const NOTED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGIO,
    Signal::SIGSTKFLT,
];
/// Ignored where they have no handler, such as that of a profiler. The last two would stop a process in the
/// background that writes its log to the terminal, or reads from it.
const IGNORED: [Signal; 4] = [
    Signal::SIGPROF,
    Signal::SIGVTALRM,
    Signal::SIGTTOU,
    Signal::SIGTTIN,
];

/// A signal by its number: one with a name, or a real-time one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceivedSignal(libc::c_int);

impl ReceivedSignal {
    /// Whether it asks to stop.
    pub fn stops(self) -> bool {
        STOPS.iter().any(|signal| *signal as libc::c_int == self.0)
    }

    /// What a log says of one that changes nothing.
    pub fn note(self) -> &'static str {
        match Signal::try_from(self.0) {
            Ok(Signal::SIGHUP) => {
                "nothing to do: settings are read at the start only, and the log is standard error"
            }
            _ => "nothing to do: it means nothing here",
        }
    }
}

impl fmt::Display for ReceivedSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) => write!(f, "SIGRTMIN+{}", self.0 - libc::SIGRTMIN()),
        }
    }
}

/// Early, before there is another thread: from here on none of those that mean no stop ends or stops the process.
/// What comes before [`take`] waits for it.
pub(super) fn withstand() -> Result<(), ServeError> {
    for signal in IGNORED {
        ignore_by_default(signal)?;
    }
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    block(
        NOTED
            .map(|signal| signal as libc::c_int)
            .into_iter()
            .chain(real_time),
    )
}

/// Those that mean a stop, for this thread and those that it starts: when there is something to stop.
pub(super) fn block_stops() -> Result<(), ServeError> {
    block(STOPS.map(|signal| signal as libc::c_int).into_iter())
}

/// What this starts are threads that stay: they are never to be those that such a signal ends. Meanwhile it waits.
pub(super) fn without_stops<T>(start: impl FnOnce() -> T) -> Result<T, ServeError> {
    block_stops()?;
    let started = start();
    let stops = set(STOPS.map(|signal| signal as libc::c_int).into_iter());
    change(libc::SIG_UNBLOCK, &stops)?;
    Ok(started)
}

/// Takes them all, in a thread.
pub(super) fn take(events: Sender<ProcessEvent>) -> Result<(), ServeError> {
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    let named = STOPS.into_iter().chain(NOTED);
    let set = set(named.map(|signal| signal as libc::c_int).chain(real_time));
    let run = move || loop {
        let mut signal = 0;
        // SAFETY: both are ours; the signals of the set are blocked, here and in all threads.
        let error = unsafe { libc::sigwait(&raw const set, &raw mut signal) };
        if error == 0
            && events
                .send(ProcessEvent::Signal(ReceivedSignal(signal)))
                .is_err()
        {
            return;
        }
    };
    std::thread::Builder::new()
        .name("galo-signals".to_owned())
        .spawn(run)
        .map(|_| ())
        .map_err(|error| ServeError::System("cannot start a thread", error))
}

fn set(signals: impl Iterator<Item = libc::c_int>) -> libc::sigset_t {
    // SAFETY: plain bits, which sigemptyset initialises; the numbers are signals'.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

fn block(signals: impl Iterator<Item = libc::c_int>) -> Result<(), ServeError> {
    change(libc::SIG_BLOCK, &set(signals))
}

fn change(how: libc::c_int, set: &libc::sigset_t) -> Result<(), ServeError> {
    // SAFETY: the set is whole, and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(refused(io::Error::from_raw_os_error(error))),
    }
}

fn ignore_by_default(signal: Signal) -> Result<(), ServeError> {
    // SAFETY: both actions are ours; ignoring installs no handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal as libc::c_int, std::ptr::null(), &raw mut action) != 0 {
            return Err(refused(io::Error::last_os_error()));
        }
        if action.sa_sigaction == libc::SIG_DFL {
            action.sa_sigaction = libc::SIG_IGN;
            if libc::sigaction(
                signal as libc::c_int,
                &raw const action,
                std::ptr::null_mut(),
            ) != 0
            {
                return Err(refused(io::Error::last_os_error()));
            }
        }
    }
    Ok(())
}

fn refused(error: io::Error) -> ServeError {
    ServeError::System("cannot block signals", error)
}
