//! callgrind: the instructions that a server executes in user space, counted.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

/// What runs a program in it.
pub const VALGRIND: &str = "valgrind";
/// What has it carry out commands meanwhile.
const VGDB: &str = "vgdb";
/// Both are to be on the path: with the Debian package that has them.
pub const PROGRAMS: [(&str, &str); 2] = [(VALGRIND, "valgrind"), (VGDB, "valgrind")];

/// The arguments with which [`VALGRIND`] runs a program. What it counts goes to files whose names begin like `out`.
pub fn arguments(out: &Path, program: &Path) -> Vec<OsString> {
    let mut to_file = OsString::from("--callgrind-out-file=");
    to_file.push(out);
    let tool = "--tool=callgrind".into();
    vec![tool, to_file, pipes(out), program.into()]
}

/// Where a process and [`VGDB`] meet: who is killed leaves its pipes behind.
fn pipes(out: &Path) -> OsString {
    let mut argument = OsString::from("--vgdb-prefix=");
    argument.push(out);
    argument.push("-vgdb");
    argument
}

/// Processes that run in valgrind, all counted together.
pub struct Counted {
    /// Each by its number and with its `out`.
    processes: Vec<(u32, PathBuf)>,
    /// Each count makes a file.
    counts: usize,
}

impl Counted {
    /// Nobody else has them write what they counted.
    pub fn new(processes: Vec<(u32, PathBuf)>) -> Counted {
        Counted {
            processes,
            counts: 0,
        }
    }

    /// The instructions that they execute, in all threads, while `during` runs.
    pub fn count(&mut self, during: impl FnOnce() -> Result<()>) -> Result<u64> {
        for (pid, out) in &self.processes {
            order(*pid, out, "zero")?;
        }
        during()?;
        self.counts += 1;
        let mut sum = 0;
        for (pid, out) in &self.processes {
            order(*pid, out, "dump")?;
            let mut written = out.clone().into_os_string();
            written.push(format!(".{}", self.counts));
            let text = std::fs::read_to_string(&written)
                .with_context(|| format!("callgrind has not written {}", written.display()))?;
            sum += total(&text).context("callgrind writes something else")?;
        }
        Ok(sum)
    }
}

/// Has a process that runs in valgrind carry out a command of callgrind's. It is done when this returns.
fn order(pid: u32, out: &Path, command: &str) -> Result<()> {
    let output = Command::new(VGDB)
        .arg(pipes(out))
        .arg(format!("--pid={pid}"))
        .arg(command)
        .stdin(Stdio::null())
        .output()
        .context("vgdb does not start")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("vgdb {command} ended with {}: {said}", output.status);
    }
    Ok(())
}

/// Of a profile whose only event is `Ir`, instructions read.
fn total(profile: &str) -> Option<u64> {
    let value = |name: &str| profile.lines().find_map(|line| line.strip_prefix(name));
    if value("events:")?.trim() != "Ir" {
        return None;
    }
    value("totals:")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_read() {
        let profile = "# callgrind format\nversion: 1\npid: 12\npart: 1\n\npositions: line\n\
            events: Ir\nsummary: 18620123\n\nfn=(0)\n0 5\n\ntotals: 18620123\n";
        assert_eq!(total(profile), Some(18_620_123));
        assert_eq!(total(&profile.replace("Ir", "Ir Dr")), None);
        assert_eq!(total("# callgrind format\nevents: Ir\n"), None);
    }
}
