//! Which driver this machine allows, found out before anything else is started.
//!
//! glommio panics where io_uring is refused and exits where an operation is missing, so all that it
//! needs is tried here first, on a ring of our own.

use super::error::{Error, Lack};
use super::uring::ring::{Ring, Size};
use super::Driver;
use crate::limits::{CORE_MEMLOCK_BYTES, GLOMMIO_MEMLOCK_BYTES_MIN, KIB};
use crate::system::threads_text;
use io_uring::opcode;
use nix::errno::Errno;
use nix::sys::resource::{getrlimit, Resource};
use std::str::FromStr;

/// What this kernel, container and process say to io_uring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// All that the uring driver needs is there.
    Available,
    /// io_uring is not allowed: the cause.
    Refused(String),
    /// io_uring is allowed, but too old: what is missing.
    Unsupported(String),
    /// Allowed, but something has run out; what, and how to get more.
    Exhausted(String),
}

/// The driver that `--io` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// uring where it is allowed and supported, else epoll.
    #[default]
    Auto,
    /// io_uring; an error where it is refused.
    Uring,
    /// epoll, without a look at io_uring.
    Epoll,
}

/// The driver that a [`DriverChoice`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The driver that cores are to use.
    pub driver: Driver,
    /// Why, for the log: `--io epoll`, or the cause of a fallback.
    pub reason: String,
    /// Whether uring was wanted and could not be had.
    pub fallback: bool,
}

impl FromStr for DriverChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DriverChoice, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(DriverChoice::Auto),
            "uring" => Ok(DriverChoice::Uring),
            "epoll" => Ok(DriverChoice::Epoll),
            _ => Err(format!("`{text}` is none of auto, uring, epoll")),
        }
    }
}

impl DriverChoice {
    /// Probes where that is needed, and decides. `Err`: the text to exit with.
    pub fn decide(self) -> Result<Chosen, String> {
        match self {
            DriverChoice::Epoll => self.decide_with(Probe::Available),
            DriverChoice::Auto | DriverChoice::Uring => self.decide_with(probe()),
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
            (DriverChoice::Epoll, _) => chosen(Driver::Epoll, "--io epoll".into(), false),
            (DriverChoice::Uring, Probe::Available) => {
                chosen(Driver::Uring, "--io uring".into(), false)
            }
            (DriverChoice::Auto, Probe::Available) => {
                chosen(Driver::Uring, "io_uring is available".into(), false)
            }
            (_, Probe::Refused(cause) | Probe::Unsupported(cause) | Probe::Exhausted(cause)) => {
                self.without_uring(cause)
            }
        }
    }

    /// What to do when uring cannot be had.
    fn without_uring(self, cause: String) -> Result<Chosen, String> {
        match self {
            DriverChoice::Uring => Err(format!("--io uring: {cause}")),
            DriverChoice::Auto | DriverChoice::Epoll => Ok(Chosen {
                driver: Driver::Epoll,
                reason: cause,
                fallback: true,
            }),
        }
    }
}

impl Chosen {
    /// Decides anew when a core cannot have what it needs, though the probe was good. `Err`: the text to exit with.
    pub fn lacking(
        &self,
        lack: Lack,
        choice: DriverChoice,
        cores: usize,
    ) -> Result<Chosen, String> {
        let cause = match lack {
            Lack::Memory(cause) => {
                let (need, soft) = (memlock_need(cores), memlock_limit());
                format!(
                    "{cause}; RLIMIT_MEMLOCK is {} for all processes of this user together, {cores} cores need {}: \
                     raise it with ulimit -l or --ulimit memlock={need}:{need}, or run with --io epoll",
                    memlock_text(soft),
                    memlock_text(need),
                )
            }
            Lack::Other(cause) => cause,
        };
        match self.driver {
            Driver::Uring => choice.without_uring(cause),
            Driver::Epoll => Err(cause),
        }
    }
}

impl From<Error> for Lack {
    fn from(error: Error) -> Lack {
        match error.errno {
            Errno::ENOMEM => Lack::Memory(error.to_string()),
            _ => match refusal(error) {
                Probe::Refused(text) | Probe::Unsupported(text) | Probe::Exhausted(text) => {
                    Lack::Other(text)
                }
                Probe::Available => unreachable!("a refusal"),
            },
        }
    }
}

/// Memory that the cores of a process on uring lock, bytes.
fn memlock_need(cores: usize) -> u64 {
    (cores as u64 * CORE_MEMLOCK_BYTES).max(GLOMMIO_MEMLOCK_BYTES_MIN)
}

fn memlock_limit() -> u64 {
    getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft)
}

/// Tries everything that the uring driver will do. Call [`crate::system::raise_limits`] before.
pub fn probe() -> Probe {
    // In a thread of its own: the kernel takes a ring down behind our back, and interrupts system
    // calls of the thread that made it (EINTR) to do so.
    let attempted = std::thread::Builder::new().spawn(attempt);
    match attempted.map(|thread| thread.join().expect("a probe does not panic")) {
        Ok(Ok(())) => Probe::Available,
        Ok(Err(probe)) => probe,
        Err(error) => Probe::Exhausted(threads_text(1, &error)),
    }
}

fn attempt() -> Result<(), Probe> {
    // The raw call first: the rest would say the same with less of a cause.
    let ring = Ring::new(&Size::PROBE).map_err(refusal)?;
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
fn refusal(error: Error) -> Probe {
    let Error { call, errno } = error;
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
            memlock_text(memlock_limit()),
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
    match memlock_complaint(memlock_limit()) {
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
        refusal(Error {
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
    fn cores_without_memory_to_lock_run_on_epoll_unless_told_otherwise() {
        let chosen = DriverChoice::Auto.decide_with(Probe::Available).unwrap();
        let lack = || {
            Lack::from(Error {
                call: "io_uring_setup",
                errno: Errno::ENOMEM,
            })
        };
        let fallback = chosen.lacking(lack(), DriverChoice::Auto, 2).unwrap();
        assert_eq!((fallback.driver, fallback.fallback), (Driver::Epoll, true));
        let text = chosen.lacking(lack(), DriverChoice::Uring, 4).unwrap_err();
        assert!(
            text.starts_with("--io uring: io_uring_setup failed (ENOMEM)"),
            "{text}"
        );
        assert!(
            text.contains("4 cores need 1536 KiB") && text.contains("ulimit -l"),
            "{text}"
        );
        // epoll has nothing to fall back to.
        let lack = Lack::Other("no thread".into());
        assert_eq!(
            fallback.lacking(lack, DriverChoice::Auto, 2),
            Err("no thread".into())
        );
        assert_eq!(memlock_need(1), 512 * 1024, "glommio's own minimum");
    }

    #[test]
    fn auto_falls_back_where_uring_cannot_be_had() {
        for probe in [Probe::Refused, Probe::Unsupported, Probe::Exhausted] {
            let chosen = DriverChoice::Auto.decide_with(probe("no".into())).unwrap();
            assert_eq!((chosen.driver, chosen.fallback), (Driver::Epoll, true));
            assert_eq!(chosen.reason, "no");
        }
        assert_eq!(
            DriverChoice::Uring.decide_with(Probe::Refused("no".into())),
            Err("--io uring: no".into())
        );
        assert_eq!(
            DriverChoice::Auto
                .decide_with(Probe::Available)
                .unwrap()
                .driver,
            Driver::Uring
        );
        assert!("poll".parse::<DriverChoice>().unwrap_err().contains("auto"));
    }
}
