//! The clock, and a timer on it that an epoll set can wait for: epoll's own time-out counts in milliseconds, and
//! at 20,000 requests a second one is due every 50 microseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`: the clock of the timer, and of all times of the engine.
pub fn now_ns() -> u64 {
    read(nix::time::ClockId::CLOCK_MONOTONIC)
}

/// How long the calling thread has used a CPU, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    read(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: nix::time::ClockId) -> u64 {
    let time = nix::time::clock_gettime(clock).expect("a clock that every Linux has");
    time.tv_sec() as u64 * SECOND_NS + time.tv_nsec() as u64
}

/// Wakes up the epoll set that it is registered with (timerfd_create(2)).
#[derive(Debug)]
pub struct Timer {
    fd: TimerFd,
    /// It is set to this moment, or was, if it has passed.
    at_ns: u64,
}

impl Timer {
    pub fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // Edge-triggered: nobody needs to read it, as being set again makes it unready.
        let raw = fd.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&raw), token, Interest::READABLE)?;
        Ok(Timer { fd, at_ns: 0 })
    }

    /// Wakes up at this moment instead of the one before; no system call if it is the same.
    pub fn set(&mut self, at_ns: u64) -> io::Result<()> {
        if self.at_ns != at_ns {
            let (s, ns) = (at_ns / SECOND_NS, at_ns % SECOND_NS);
            self.fd.set(
                Expiration::OneShot(TimeSpec::new(s as i64, ns as i64)),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?;
            self.at_ns = at_ns;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Duration;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn each_setting_wakes_up_once_and_not_too_early() {
        let mut poll = Poll::new().unwrap();
        let mut timer = Timer::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..3 {
            let at_ns = now_ns() + 300_000;
            timer.set(at_ns).unwrap();
            poll.poll(&mut events, LONG).unwrap();
            assert!(now_ns() >= at_ns);
            assert_eq!(events.iter().map(|event| event.token().0).max(), Some(7));
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty());
        }
    }
}
