//! A server as a child process: started on a port of its own and on one CPU, ended by its own id,
//! and what `/proc` says of it.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::sys::signal::{kill, Signal};
use nix::unistd::{sysconf, Pid, SysconfVar};
use serde::Serialize;

use crate::client;

/// From the start to the first 200. Beyond: given up.
const START_MAX: Duration = Duration::from_secs(60);
/// From a signal to the end. Beyond: killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The executables, beside this one.
pub struct Programs {
    /// All are in it.
    pub directory: PathBuf,
    /// The server.
    pub galo: PathBuf,
    /// What it is compared with.
    pub noop: PathBuf,
    /// galo-load.
    pub load: PathBuf,
    /// galo-processor.
    pub processor: PathBuf,
}

impl Programs {
    /// `Err` names the one that is missing.
    pub fn find() -> Result<Programs> {
        let own = std::env::current_exe().context("where this executable is")?;
        let directory = own.parent().context("it is in no directory")?.to_path_buf();
        let sibling = |name: &str| {
            let path = directory.join(name);
            if !path.is_file() {
                bail!(
                    "{} is missing; build it: cargo build --release --workspace",
                    path.display()
                );
            }
            Ok(path)
        };
        Ok(Programs {
            galo: sibling("galo")?,
            noop: sibling("galo-noop")?,
            load: sibling("galo-load")?,
            processor: sibling("galo-processor")?,
            directory,
        })
    }
}

/// The CPUs of a measurement: the server alone on one, what loads it on the other.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    /// By its number.
    pub server: usize,
    /// By its number; the same where there is only one.
    pub load: usize,
}

impl Cpus {
    /// The first two that this process may use. With only one, both share it, and requests/s say
    /// little; requests per CPU second still do.
    pub fn choose() -> Result<Cpus> {
        let set = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
        let mut allowed = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false));
        let server = allowed.next().context("no CPU is allowed")?;
        Ok(Cpus {
            server,
            load: allowed.next().unwrap_or(server),
        })
    }

    /// Until it is dropped, this thread, and what it starts and does not [`pin`], runs on these two.
    pub fn confine(&self) -> Result<Confined> {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).context("sched_getaffinity")?;
        let mut both = CpuSet::new();
        both.set(self.server)?;
        both.set(self.load)?;
        sched_setaffinity(this, &both).context("sched_setaffinity")?;
        Ok(Confined(before))
    }
}

/// See [`Cpus::confine`].
pub struct Confined(CpuSet);

impl Drop for Confined {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// Keeps a child on one CPU.
pub fn pin(command: &mut Command, cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("a CPU of our own set");
    // SAFETY: between fork and exec there is one system call, which allocates nothing.
    unsafe {
        command.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &set)?));
    }
}

/// A child that does not outlive this value.
pub struct Guard(pub Child);

impl Guard {
    /// Waits for its end; `None` if it takes longer.
    pub fn wait_for(&mut self, longest: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// `Err`: it is gone, and somebody has waited for it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.0.id() as i32), signal).with_context(|| format!("kill {signal}"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How to start a server.
pub struct Launch<'a> {
    /// Its executable.
    pub program: &'a Path,
    /// All but `--listen`.
    pub arguments: Vec<OsString>,
    /// The CPU that it is kept on; `None`: as the system likes.
    pub cpu: Option<usize>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A running server.
pub struct Server {
    guard: Guard,
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    /// From the start to the first 200.
    pub start: Duration,
}

impl Server {
    /// Starts it, on a free port, and waits until it answers.
    pub fn start(launch: &Launch<'_>) -> Result<Server> {
        let mut servers = Server::start_all(std::slice::from_ref(launch))?;
        Ok(servers.remove(0))
    }

    /// Starts them all, and waits for each.
    pub fn start_all(launches: &[Launch<'_>]) -> Result<Vec<Server>> {
        let spawned = launches
            .iter()
            .map(Server::spawn)
            .collect::<Result<Vec<_>>>()?;
        let ready = spawned.into_iter().zip(launches);
        ready
            .map(|((server, began), launch)| server.ready(launch, began))
            .collect()
    }

    /// The server, which may not answer yet, and when it was started.
    pub fn spawn(launch: &Launch<'_>) -> Result<(Server, Instant)> {
        // Free now; who takes it before the server does makes the server fail, and say so.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = File::create(&launch.log)?;
        let mut command = Command::new(launch.program);
        command
            .args(&launch.arguments)
            .arg("--listen")
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some(cpu) = launch.cpu {
            pin(&mut command, cpu);
        }
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start", launch.program.display()))?;
        let server = Server {
            guard: Guard(child),
            address,
            start: Duration::ZERO,
        };
        Ok((server, began))
    }

    fn ready(mut self, launch: &Launch<'_>, began: Instant) -> Result<Server> {
        while !client::answers(self.address) {
            let ended = self.guard.0.try_wait()?;
            if ended.is_some() || began.elapsed() > START_MAX {
                let said = std::fs::read_to_string(&launch.log).unwrap_or_default();
                bail!(
                    "{} {}:\n{said}",
                    launch.program.display(),
                    match ended {
                        Some(status) => format!("ended ({status}) before it answered"),
                        None => format!("did not answer within {START_MAX:?}"),
                    }
                );
            }
            // With the scheduler's slack, a tenth of a millisecond.
            std::thread::sleep(Duration::from_micros(20));
        }
        self.start = began.elapsed();
        Ok(self)
    }

    /// Asks it to stop, as a supervisor would, and waits for that.
    pub fn stop(mut self) -> Result<()> {
        self.guard.signal(Signal::SIGTERM)?;
        match self.guard.wait_for(STOP_MAX)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("it ended with {status} (signal {:?})", status.signal()),
            None => bail!("it did not stop within {STOP_MAX:?}"),
        }
    }

    /// As the machine numbers it.
    pub fn pid(&self) -> u32 {
        self.guard.0.id()
    }

    /// User and system time so far, all threads.
    pub fn cpu_ticks(&self) -> Result<u64> {
        cpu_ticks_of(self.pid())
    }

    /// `kill -9`, and nothing else: it may not be gone yet.
    pub fn kill(&self) -> Result<()> {
        self.guard.signal(Signal::SIGKILL)
    }

    /// Resident bytes.
    pub fn resident(&self) -> Result<Resident> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).context(path)?;
        resident(&status).context("/proc/PID/status reads differently")
    }
}

/// User and system time of a process so far, all threads.
pub fn cpu_ticks_of(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).context(path)?;
    cpu_ticks(&stat).context("/proc/PID/stat reads differently")
}

/// Of a second.
pub fn ticks_per_second() -> Result<f64> {
    let ticks = sysconf(SysconfVar::CLK_TCK)?.context("CLK_TCK is unknown")?;
    Ok(ticks as f64)
}

/// utime and stime of `/proc/PID/stat` (proc(5), fields 14 and 15), added up.
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Resident {
    /// All of it.
    pub all: u64,
    /// The most that it ever was.
    pub most: u64,
    /// What no file backs.
    pub anonymous: u64,
    /// Pages of files: the executable, mapped data.
    pub file: u64,
}

/// Of some processes together, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Together {
    /// RSS added up: what they share counts for each.
    pub resident: u64,
    /// PSS: what several share counts in parts.
    pub proportional: u64,
}

impl Together {
    /// Of processes that run.
    pub fn of(pids: &[u32]) -> Result<Together> {
        let mut sum = Together::default();
        for pid in pids {
            let path = format!("/proc/{pid}/smaps_rollup");
            let rollup = std::fs::read_to_string(&path).context(path)?;
            let of_one = together(&rollup).context("/proc/PID/smaps_rollup reads differently")?;
            sum.resident += of_one.resident;
            sum.proportional += of_one.proportional;
        }
        Ok(sum)
    }
}

fn together(rollup: &str) -> Option<Together> {
    Some(Together {
        resident: bytes(rollup, "Rss:")?,
        proportional: bytes(rollup, "Pss:")?,
    })
}

/// Of a line such as `VmRSS:      4456 kB`.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn resident(status: &str) -> Option<Resident> {
    Some(Resident {
        all: bytes(status, "VmRSS:")?,
        most: bytes(status, "VmHWM:")?,
        anonymous: bytes(status, "RssAnon:")?,
        file: bytes(status, "RssFile:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let numbers = "S 8469 8467 29189 0 -1 4194560 397 0 1 0 10 98 0 0 20 0 4 0 315498 \
            213594112 1114 18446744073709551615 1 1 0 0 0 0 0 4096 1088 0 0 0 17 1 0 0 0 0 0";
        assert_eq!(cpu_ticks(&format!("8472 (galo) {numbers}")), Some(108));
        assert_eq!(cpu_ticks(&format!("8472 (a ) 1 (b)) {numbers}")), Some(108));
        assert_eq!(cpu_ticks("8472 (galo) S 1 2"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn resident_memory_is_read() {
        let status =
            "Name:\tgalo\nVmSize:\t  208588 kB\nVmHWM:\t    5000 kB\nVmRSS:\t    4456 kB\n\
            RssAnon:\t    1312 kB\nRssFile:\t    3144 kB\nRssShmem:\t       0 kB\n";
        let expected = Resident {
            most: 5000 * 1024,
            all: 4456 * 1024,
            anonymous: 1312 * 1024,
            file: 3144 * 1024,
        };
        assert_eq!(resident(status), Some(expected));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
        let rollup = "55d7c0e00000-7ffd3a3f0000 ---p 00000000 00:00 0  [rollup]\n\
            Rss:                4456 kB\nPss:                2228 kB\nPss_Dirty:  12 kB\n";
        let expected = Together {
            resident: 4456 * 1024,
            proportional: 2228 * 1024,
        };
        assert_eq!(together(rollup), Some(expected));
    }
}
