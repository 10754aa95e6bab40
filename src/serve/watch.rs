//! What a process does while its cores serve: it waits for signals, and tells the service manager that they live.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{ProcessEvent, ServeError};
use crate::io::Control;
use crate::limits::{STOP_REPEAT_NS_MIN, STOP_WAIT_NS_MAX, WATCHDOG_PARTS, WATCHDOG_RETRY_PARTS};
use crate::machine::Exit;
use crate::systemd::{self, ServiceState};

const STOP_WAIT_MAX: Duration = Duration::from_nanos(STOP_WAIT_NS_MAX);
const STOP_REPEAT_MIN: Duration = Duration::from_nanos(STOP_REPEAT_NS_MIN);

/// Waits for the end: of all cores after a signal, or of one that failed.
pub(super) fn watch(
    inbox: &Receiver<ProcessEvent>,
    control: &Control,
    cores: usize,
) -> Result<(), ServeError> {
    let mut running = cores;
    let mut stopping: Option<Instant> = None;
    let mut watchdog = systemd::watchdog().map(|within| Watchdog::begin(within, control));
    while running > 0 {
        let event = match (stopping, &watchdog) {
            (Some(since), _) => inbox.recv_timeout(STOP_WAIT_MAX.saturating_sub(since.elapsed())),
            (None, Some(watchdog)) => {
                let wait = watchdog.next.saturating_duration_since(Instant::now());
                inbox.recv_timeout(wait)
            }
            // Nothing runs until something happens.
            (None, None) => inbox.recv().map_err(RecvTimeoutError::from),
        };
        match event {
            Ok(ProcessEvent::Signal(signal)) if !signal.stops() => {
                log::info!("{signal}: {}", signal.note());
            }
            Ok(ProcessEvent::Signal(signal)) if stopping.is_none() => {
                log::info!("{signal}: finishing what was received; once more stops at once");
                stopping = Some(Instant::now());
                control.stop();
                systemd::notify(ServiceState::Stopping);
            }
            Ok(ProcessEvent::Signal(_)) if is_repeated(stopping) => {}
            Ok(ProcessEvent::Signal(signal)) => {
                log::warn!("{signal} again: stopped at once");
                return Ok(());
            }
            Ok(ProcessEvent::Ended(_, Exit::Stopped)) => running -= 1,
            Ok(ProcessEvent::Ended(core, Exit::Failed(reason))) => {
                return Err(ServeError::Core(format!(
                    "core {core} cannot go on: {reason}"
                )));
            }
            Ok(ProcessEvent::Unfit(problem)) => return Err(ServeError::Engine(problem)),
            Err(_) if stopping.is_some() => {
                log::warn!("{running} cores are not done in time: the journal holds everything");
                return Ok(());
            }
            Err(_) => {
                let watchdog = watchdog.as_mut().expect("nothing else has a time limit");
                watchdog.look(control);
            }
        }
    }
    log::info!("stopped");
    Ok(())
}

/// Whether a signal now only says again what the one at `stopping` said.
fn is_repeated(stopping: Option<Instant>) -> bool {
    stopping.is_some_and(|since| since.elapsed() < STOP_REPEAT_MIN)
}

/// Signs of life for the service manager: one is given when every core has given its own since the last. So a core that
/// hangs is a service that does.
struct Watchdog {
    /// The manager waits no longer than this.
    within: Duration,
    next: Instant,
    /// The core that has been complained of.
    silent: Option<usize>,
}

impl Watchdog {
    fn begin(within: Duration, control: &Control) -> Watchdog {
        control.ask();
        Watchdog {
            within,
            next: Instant::now() + within / WATCHDOG_PARTS,
            silent: None,
        }
    }

    /// When it is time: tells the manager, and asks anew; or looks again soon.
    fn look(&mut self, control: &Control) {
        let silent = control.silent();
        let wait = match silent {
            None => {
                systemd::notify(ServiceState::Alive);
                control.ask();
                self.within / WATCHDOG_PARTS
            }
            Some(_) => self.within / WATCHDOG_RETRY_PARTS,
        };
        if let (Some(core), None) = (silent, self.silent) {
            log::error!(
                "core {core} gives no sign of life: nor does this process, to the service manager"
            );
        }
        self.silent = silent;
        self.next = Instant::now() + wait;
    }
}
