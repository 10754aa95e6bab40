//! One process, from /proc (proc(5)). Its threads count; processes that it has started do not.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use nix::unistd::{sysconf, SysconfVar};

use super::{Ended, Usage};

/// A process, and no later one of the same number.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    name: String,
    /// In clock ticks after the start of the machine: two processes of the same number differ in it.
    started_ticks: u64,
    tick: Duration,
}

/// What /proc/PID/stat says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    state: char,
    /// In user and kernel mode, of all threads.
    cpu_ticks: u64,
    started_ticks: u64,
}

impl Process {
    /// # Errors
    /// There is no such process, or it may not be read.
    pub fn find(pid: u32) -> Result<Process> {
        let stat = match read(pid, "stat") {
            Ok(stat) => stat,
            Err(Ended::Gone) => bail!("there is no process {pid}"),
            Err(Ended::Unreadable(why)) => bail!("process {pid} cannot be read: {why}"),
        };
        let stat = Stat::parse(&stat).with_context(|| format!("/proc/{pid}/stat: {stat:?}"))?;
        if stat.is_over() {
            bail!("process {pid} ({}) has ended", stat.name);
        }
        let ticks = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")?;
        Ok(Process {
            pid,
            name: stat.name,
            started_ticks: stat.started_ticks,
            tick: Duration::from_secs(1) / u32::try_from(ticks)?,
        })
    }

    /// As it stands in reports.
    pub fn name(&self) -> String {
        format!("pid {} ({})", self.pid, self.name)
    }

    /// It still runs.
    pub fn is_there(&self) -> Result<(), Ended> {
        self.stat().map(|_| ())
    }

    pub fn usage(&self) -> Result<Usage, Ended> {
        let stat = self.stat()?;
        let ticks = u32::try_from(stat.cpu_ticks).unwrap_or(u32::MAX);
        Ok(Usage {
            cpu: self.tick * ticks,
            resident_bytes: resident_bytes(self.pid)?,
        })
    }

    fn stat(&self) -> Result<Stat, Ended> {
        let text = read(self.pid, "stat")?;
        let stat = Stat::parse(&text)
            .ok_or_else(|| Ended::Unreadable(format!("/proc/{}/stat reads {text:?}", self.pid)))?;
        match stat.started_ticks == self.started_ticks && !stat.is_over() {
            true => Ok(stat),
            false => Err(Ended::Gone),
        }
    }
}

impl Stat {
    /// The name stands in parentheses and can hold any character, parentheses and spaces too: the last one ends it.
    fn parse(text: &str) -> Option<Stat> {
        let (name, fields) = text.split_once('(')?.1.rsplit_once(')')?;
        // Fields are numbered from 1; the one after the name is the third.
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
        let (user, system) = (number(14 - 4)?, number(0)?);
        let started_ticks = number(22 - 16)?;
        Some(Stat {
            name: name.to_owned(),
            state,
            cpu_ticks: user + system,
            started_ticks,
        })
    }

    /// Dead, and its parent has not asked for it yet.
    fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Of one process: what is in memory, shared pages included.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn resident_bytes(pid: u32) -> Result<u64, Ended> {
    let text = read(pid, "statm")?;
    let page_bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let pages = resident_pages(&text);
    let (Some(pages), Some(page_bytes)) = (pages, page_bytes) else {
        return Err(Ended::Unreadable(format!(
            "/proc/{pid}/statm reads {text:?}"
        )));
    };
    Ok(pages * page_bytes as u64)
}

/// Of /proc/PID/statm: the second number.
fn resident_pages(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn read(pid: u32, file: &str) -> Result<String, Ended> {
    let path = format!("/proc/{pid}/{file}");
    // Names need not be UTF-8.
    let bytes = fs::read(&path).map_err(|error| ended(&path, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What it means that a file of /proc or of a cgroup cannot be read. One that was opened in time says "no such
/// process" or "no such device" when it is read.
pub fn ended(path: &str, error: &io::Error) -> Ended {
    let gone = [nix::libc::ENOENT, nix::libc::ESRCH, nix::libc::ENODEV];
    match error.raw_os_error() {
        Some(number) if gone.contains(&number) => Ended::Gone,
        _ => Ended::Unreadable(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a process named `a) S (b`, with fields 14, 15 and 22 being 250, 50 and 4711.
    const STAT: &str = "4711 (a) S (b) R 1 4711 4711 0 -1 4194560 111 222 3 4 250 50 7 8 20 0 1 0 4711 \
                        12345678 890 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn stat_is_read_whatever_the_name() {
        let expected = Stat {
            name: "a) S (b".to_owned(),
            state: 'R',
            cpu_ticks: 300,
            started_ticks: 4711,
        };
        assert_eq!(Stat::parse(STAT), Some(expected));
        for bad in [
            "",
            "1 (sh",
            "1 (sh) S 1 2 3",
            "1 (sh) S a b c d e f g h i j k l m",
        ] {
            assert_eq!(Stat::parse(bad), None, "{bad}");
        }
        let zombie = STAT.replace(") R ", ") Z ");
        assert!(Stat::parse(&zombie).unwrap().is_over());
    }

    #[test]
    fn statm_is_read() {
        assert_eq!(resident_pages("1000 25 12 1 0 40 0\n"), Some(25));
        assert_eq!(resident_pages("1000"), None);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let mut process = Process::find(std::process::id()).unwrap();
        assert_eq!(process.is_there(), Ok(()));
        process.started_ticks -= 1;
        assert_eq!(process.is_there(), Err(Ended::Gone));
        assert_eq!(process.usage(), Err(Ended::Gone));
    }

    #[test]
    fn a_process_that_is_not_there_is_said_so() {
        // Beyond the largest that the kernel gives (proc(5), pid_max).
        let error = Process::find(u32::MAX).unwrap_err();
        assert_eq!(error.to_string(), "there is no process 4294967295");
    }
}
