//! What the kernel counts for each process: context switches, page faults, time.

use anyhow::{Context, Result};
use galo_bench::server::{cpu_ticks_of, ticks_per_second};

use crate::subject::Process;

/// Of some processes, each in the order that they were given in.
#[derive(Clone, Debug)]
pub struct Counters(pub Vec<Counted>);

/// Of one process, all threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// It waited for something.
    pub voluntary: u64,
    /// Somebody else was to run.
    pub involuntary: u64,
    /// Page faults without and with a read from the disk.
    pub minor: u64,
    pub major: u64,
    pub cpu_s: f64,
}

pub fn read(processes: &[Process]) -> Result<Counters> {
    let counted = processes.iter().map(|process| of(process.pid));
    Ok(Counters(counted.collect::<Result<_>>()?))
}

impl Counters {
    pub fn since(&self, before: &Counters) -> Counters {
        let pairs = self.0.iter().zip(&before.0);
        Counters(
            pairs
                .map(|(now, before)| Counted {
                    // A thread that has ended takes its counts with it.
                    voluntary: now.voluntary.saturating_sub(before.voluntary),
                    involuntary: now.involuntary.saturating_sub(before.involuntary),
                    minor: now.minor - before.minor,
                    major: now.major - before.major,
                    cpu_s: now.cpu_s - before.cpu_s,
                })
                .collect(),
        )
    }
}

fn of(pid: u32) -> Result<Counted> {
    let mut counted = Counted {
        cpu_s: cpu_ticks_of(pid)? as f64 / ticks_per_second()?,
        ..Counted::default()
    };
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that ends meanwhile counts no more.
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        let switches = field("voluntary_ctxt_switches:").zip(field("nonvoluntary_ctxt_switches:"));
        let (voluntary, involuntary) =
            switches.context("/proc/PID/task/TID/status reads differently")?;
        counted.voluntary += voluntary;
        counted.involuntary += involuntary;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 10 and 12 of proc(5), behind the name.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .context("a name")?
        .1
        .split_ascii_whitespace()
        .collect();
    (counted.minor, counted.major) = (fields[7].parse()?, fields[9].parse()?);
    Ok(counted)
}
