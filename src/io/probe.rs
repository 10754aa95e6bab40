//! Which driver this machine allows, found out before anything else is started.
//!
//! glommio panics where io_uring is refused and exits where an operation is missing, so all that it
//! needs is tried here first, on a ring of our own.

use super::ring::{self, Ring};
use super::Driver;
use crate::limits::{GLOMMIO_MEMLOCK_BYTES_MIN, KIB, RING_ENTRIES};
use io_uring::opcode;
use nix::errno::Errno;
use nix::sys::resource::{getrlimit, Resource};
use std::str::FromStr;

/// What this kernel, container and process say to io_uring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// All that the uring driver needs is there.
    Available,
    /// Not allowed; the cause.
    Refused(String),
    /// Allowed, but too old; what is missing.
    Unsupported(String),
    /// Allowed, but something has run out; what, and how to get more.
    Exhausted(String),
}

/// `--io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// uring where it is allowed and supported, else epoll.
    #[default]
    Auto,
    /// uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

/// The driver that a [`Choice`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The driver.
    pub driver: Driver,
    /// Why, for the log: `--io epoll`, or the cause of a fallback.
    pub reason: String,
    /// Whether uring was wanted and could not be had.
    pub fallback: bool,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "uring" => Ok(Choice::Uring),
            "epoll" => Ok(Choice::Epoll),
            _ => Err(format!("`{text}` is none of auto, uring, epoll")),
        }
    }
}

impl Choice {
    /// Probes where that is needed, and decides. `Err`: the text to exit with.
    pub fn decide(self) -> Result<Chosen, String> {
        match self {
            Choice::Epoll => self.decide_with(Probe::Available),
            Choice::Auto | Choice::Uring => self.decide_with(probe()),
        }
    }

    fn decide_with(self, probe: Probe) -> Result<Chosen, String> {
        let chosen = |driver, reason: String, fallback| {
            Ok(Chosen {
                driver,
                reason,
                fallback,
            })
        };
        match (self, probe) {
            (Choice::Epoll, _) => chosen(Driver::Epoll, "--io epoll".into(), false),
            (Choice::Uring, Probe::Available) => chosen(Driver::Uring, "--io uring".into(), false),
            (Choice::Auto, Probe::Available) => {
                chosen(Driver::Uring, "io_uring is available".into(), false)
            }
            (Choice::Auto, Probe::Refused(cause) | Probe::Unsupported(cause)) => {
                chosen(Driver::Epoll, cause, true)
            }
            (_, Probe::Refused(cause) | Probe::Unsupported(cause)) => {
                Err(format!("--io uring: {cause}"))
            }
            (_, Probe::Exhausted(text)) => Err(text),
        }
    }
}

/// Tries everything that the uring driver will do. Call [`super::raise_limits`] before.
pub fn probe() -> Probe {
    // In a thread of its own: the kernel takes a ring down behind our back, and interrupts system
    // calls of the thread that made it (EINTR) to do so.
    let attempted = std::thread::Builder::new().spawn(attempt);
    match attempted.map(|thread| thread.join().expect("a probe does not panic")) {
        Ok(Ok(())) => Probe::Available,
        Ok(Err(probe)) => probe,
        Err(error) => Probe::Exhausted(format!("cannot start a thread: {error}")),
    }
}

fn attempt() -> Result<(), Probe> {
    // The raw call first: the rest would say the same with less of a cause.
    let ring = Ring::new(RING_ENTRIES).map_err(refusal)?;
    let mut operations = io_uring::Probe::new();
    ring.register_probe(&mut operations).map_err(refusal)?;
    for (code, name) in OPERATIONS {
        if !operations.is_supported(code) {
            return Err(Probe::Unsupported(format!(
                "this kernel's io_uring lacks {name}: Linux 6.1 or later has it"
            )));
        }
    }
    ring.try_enter().map_err(refusal)?;
    memlock()
}

/// What the socket ring uses, and what glommio 0.9 demands (its `GLOMMIO_URING_OPS`). Multishot
/// accept and receive have no code of their own; they came before DEFER_TASKRUN, which
/// [`Ring::new`] asks for.
const OPERATIONS: [(u8, &str); 24] = [
    (opcode::Nop::CODE, "NOP"),
    (opcode::AcceptMulti::CODE, "ACCEPT"),
    (opcode::RecvMulti::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::PollRemove::CODE, "POLL_REMOVE"),
    (opcode::Timeout::CODE, "TIMEOUT"),
    (opcode::TimeoutRemove::CODE, "TIMEOUT_REMOVE"),
    (opcode::LinkTimeout::CODE, "LINK_TIMEOUT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::Readv::CODE, "READV"),
    (opcode::Writev::CODE, "WRITEV"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::ReadFixed::CODE, "READ_FIXED"),
    (opcode::WriteFixed::CODE, "WRITE_FIXED"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::RecvMsg::CODE, "RECVMSG"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Fallocate::CODE, "FALLOCATE"),
    (opcode::OpenAt::CODE, "OPENAT"),
    (opcode::Statx::CODE, "STATX"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
];

/// What an error from setting up a ring means.
fn refusal(error: ring::Error) -> Probe {
    let ring::Error { call, errno } = error;
    match errno {
        Errno::EPERM | Errno::EACCES => {
            let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            Probe::Refused(format!(
                "{call} is refused ({errno:?}): {}",
                match disabled.as_deref().map(str::trim) {
                    Ok(value @ ("1" | "2")) => format!("kernel.io_uring_disabled={value}"),
                    _ => "by a seccomp profile or a security module".into(),
                }
            ))
        }
        Errno::ENOSYS => Probe::Refused(format!(
            "{call} does not exist here (ENOSYS): the kernel is built without io_uring, \
             or a seccomp profile hides it"
        )),
        Errno::EINVAL => Probe::Unsupported(format!(
            "{call} says EINVAL: no DEFER_TASKRUN or no provided buffer rings, Linux 6.1 or later has them"
        )),
        Errno::ENOMEM => Probe::Exhausted(format!(
            "{call} failed (ENOMEM): RLIMIT_MEMLOCK ({}) or the container's memory is used up: \
             raise it with ulimit -l or --ulimit memlock=-1:-1, or run with --io epoll",
            memlock_text(getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft)),
        )),
        Errno::EMFILE => Probe::Exhausted(format!(
            "{call} failed (EMFILE): this process may open no more descriptors: \
             raise it with ulimit -n or --ulimit nofile=…"
        )),
        Errno::ENFILE => Probe::Exhausted(format!(
            "{call} failed (ENFILE): the system's table of files is full: raise fs.file-max"
        )),
        other => Probe::Exhausted(format!(
            "{call} failed ({other:?}): {}; run with --io epoll to do without",
            other.desc()
        )),
    }
}

fn memlock() -> Result<(), Probe> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|errno| {
        refusal(ring::Error {
            call: "getrlimit",
            errno,
        })
    })?;
    match memlock_complaint(soft) {
        Some(text) => Err(Probe::Exhausted(text)),
        None => Ok(()),
    }
}

fn memlock_complaint(bytes: u64) -> Option<String> {
    (bytes < GLOMMIO_MEMLOCK_BYTES_MIN).then(|| {
        format!(
            "RLIMIT_MEMLOCK is {}, glommio wants {}: raise it with ulimit -l or \
             --ulimit memlock={GLOMMIO_MEMLOCK_BYTES_MIN}:{GLOMMIO_MEMLOCK_BYTES_MIN}, \
             or run with --io epoll",
            memlock_text(bytes),
            memlock_text(GLOMMIO_MEMLOCK_BYTES_MIN),
        )
    })
}

fn memlock_text(bytes: u64) -> String {
    match bytes {
        u64::MAX => "unlimited".into(),
        bytes => format!("{} KiB", bytes / KIB as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno) -> Probe {
        refusal(ring::Error {
            call: "io_uring_setup",
            errno,
        })
    }

    #[test]
    fn refused_names_the_cause() {
        for errno in [Errno::EPERM, Errno::ENOSYS] {
            let Probe::Refused(text) = error(errno) else {
                panic!("{errno:?}")
            };
            assert!(text.contains(&format!("{errno:?}")), "{text}");
            assert!(text.contains("seccomp") || text.contains("io_uring_disabled"));
        }
    }

    #[test]
    fn exhausted_names_the_fix() {
        let Probe::Exhausted(text) = error(Errno::ENOMEM) else {
            panic!()
        };
        assert!(
            text.contains("ulimit -l") && text.contains("--io epoll"),
            "{text}"
        );
        let Probe::Exhausted(text) = error(Errno::EMFILE) else {
            panic!()
        };
        assert!(text.contains("ulimit -n"), "{text}");
        assert_eq!(
            memlock_complaint(64 * 1024).unwrap(),
            "RLIMIT_MEMLOCK is 64 KiB, glommio wants 512 KiB: raise it with ulimit -l or \
             --ulimit memlock=524288:524288, or run with --io epoll"
        );
        assert_eq!(memlock_complaint(512 * 1024), None);
        assert_eq!(memlock_complaint(u64::MAX), None);
    }

    #[test]
    fn auto_falls_back_only_when_refused_or_unsupported() {
        let chosen = Choice::Auto
            .decide_with(Probe::Refused("no".into()))
            .unwrap();
        assert_eq!((chosen.driver, chosen.fallback), (Driver::Epoll, true));
        assert_eq!(chosen.reason, "no");
        assert!(Choice::Auto
            .decide_with(Probe::Exhausted("x".into()))
            .is_err());
        assert_eq!(
            Choice::Uring.decide_with(Probe::Refused("no".into())),
            Err("--io uring: no".into())
        );
        assert_eq!(
            Choice::Auto.decide_with(Probe::Available).unwrap().driver,
            Driver::Uring
        );
        assert!("poll".parse::<Choice>().unwrap_err().contains("auto"));
    }
}
