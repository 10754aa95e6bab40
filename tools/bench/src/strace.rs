//! strace, attached to a running server: how many system calls it makes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::sys::signal::Signal;

use crate::server::Guard;

/// To attach to all threads, and to let go of them.
const ATTACH_MAX: Duration = Duration::from_secs(5);

/// Counts the calls of some processes, all threads, while `during` runs: name and count, most first.
pub fn count<T>(
    pids: &[u32],
    directory: &Path,
    during: impl FnOnce() -> Result<T>,
) -> Result<(Vec<(String, u64)>, T)> {
    let output = directory.join("strace.txt");
    let child = Command::new("strace")
        .args(["-c", "-f"])
        .args(pids.iter().map(|pid| format!("--attach={pid}")))
        .arg("-o")
        .arg(&output)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("strace does not start")?;
    let mut guard = Guard(child);
    let began = Instant::now();
    while !pids.iter().all(|pid| is_traced(*pid).unwrap_or(false)) {
        if guard.0.try_wait()?.is_some() || began.elapsed() > ATTACH_MAX {
            bail!("strace cannot attach; as root, or with kernel.yama.ptrace_scope=0, it can");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let result = during()?;
    guard.signal(Signal::SIGINT)?;
    if guard.wait_for(ATTACH_MAX)?.is_none() {
        bail!("strace does not let go");
    }
    let text = std::fs::read_to_string(&output)?;
    let calls = parse(&text).with_context(|| format!("strace printed something else: {text}"))?;
    Ok((calls, result))
}

/// Whether every thread has a tracer.
fn is_traced(pid: u32) -> Result<bool> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The table of `strace -c`: time, seconds, usecs/call, calls, errors (may be blank), name.
fn parse(text: &str) -> Option<Vec<(String, u64)>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("------"));
    lines.next()?;
    lines
        .take_while(|line| !line.starts_with("------"))
        .map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            Some((words.last()?.to_string(), words.get(3)?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read() {
        let output = "\
strace: Process 8472 attached with 4 threads
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 54.19    0.294208       14710        20         3 futex
 39.39    0.213875         108      1963           io_uring_enter
  4.45    0.024161          14      1632           pwrite64
------ ----------- ----------- --------- --------- ----------------
100.00    0.542954         148      3656         3 total
";
        let expected = [("futex", 20), ("io_uring_enter", 1963), ("pwrite64", 1632)];
        let expected = expected.map(|(name, calls)| (name.to_string(), calls));
        assert_eq!(parse(output).as_deref(), Some(&expected[..]));
        assert_eq!(parse("strace: attach: no\n"), None);
    }
}
