//! bpftrace: one tick from its probes and system calls, and how long the journal's calls take.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::subject::Process;
use crate::Seen;

/// Enough to have many ticks of any load, and no more than bpftrace prints without losing some.
const EVENTS_MAX: usize = 4000;
/// Rows of the tick that is shown, if there is one so short.
const STEPS_MAX: usize = 100;
/// How much longer than asked for it looks at a node in which nothing happens.
const IDLE_S: u64 = 10;

/// Calls that a core makes, by their numbers.
const CALLS: &[(i64, &str)] = &[
    (libc::SYS_accept4, "accept4"),
    (libc::SYS_close, "close"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_epoll_ctl, "epoll_ctl"),
    (libc::SYS_epoll_pwait, "epoll_pwait"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_io_uring_enter, "io_uring_enter"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_read, "read"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_write, "write"),
];

/// What a look with bpftrace has found.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Of a core that was seen to work off requests; the tick that is the median by its length.
    pub tick: Vec<Step>,
    /// How many ticks that was chosen from.
    pub ticks: usize,
    pub pwrite: Vec<Bucket>,
    pub fdatasync: Vec<Bucket>,
}

/// One thing that happens in a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Since the tick's first.
    pub at_us: f64,
    /// Of a system call.
    pub takes_us: Option<f64>,
    pub what: String,
}

/// Of a histogram: from `min_ns` to below the next one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub min_ns: u64,
    pub count: u64,
}

pub fn trace(processes: &[Process], seconds: u64, scratch: &Path) -> Seen<Traced> {
    if !nix::unistd::geteuid().is_root() {
        return Err(
            "probes are watched by the kernel, which lets root do that (CAP_BPF, CAP_PERFMON)"
                .to_owned(),
        );
    }
    let is_galo = |process: &&Process| core(process.pid).is_some();
    let nodes: Vec<&Process> = processes.iter().filter(is_galo).collect();
    let Some(first) = nodes.first().and_then(|node| core(node.pid)) else {
        return Err("no thread is called galo/0: it is not galo, or not this version".to_owned());
    };
    let path = scratch.join("look.bt");
    std::fs::write(&path, script(&nodes, first, seconds)).map_err(|error| error.to_string())?;
    // A tracefs of its own where none is mounted.
    let tracefs = "/sys/kernel/tracing";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg(format!(
            "mountpoint -q {tracefs} || mount -t tracefs tracefs {tracefs}; exec bpftrace -f json -B line \"$1\""
        ))
        .arg("sh")
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        // Where no limit binds, it complains that it cannot raise one.
        let mut lines = error
            .lines()
            .filter(|line| !line.contains("RLIMIT_MEMLOCK"));
        let error = lines.next().unwrap_or_default();
        return Err(format!(
            "bpftrace: {error}; apt-get install bpftrace if it is missing"
        ));
    }
    read(&stdout)
}

/// The thread of a node's first core.
fn core(pid: u32) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    let core = tasks.find(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "galo/0")
    });
    core?.file_name()?.to_str()?.parse().ok()
}

fn script(nodes: &[&Process], core: u32, seconds: u64) -> String {
    let of_nodes: Vec<String> = nodes
        .iter()
        .map(|node| format!("pid == {}", node.pid))
        .collect();
    let of_nodes = of_nodes.join(" || ");
    let mut script = String::new();
    for call in ["pwrite64", "fdatasync"] {
        script += &format!(
            "tracepoint:syscalls:sys_enter_{call} /{of_nodes}/ {{ @{call}_at[tid] = nsecs }}\n\
             tracepoint:syscalls:sys_exit_{call} /@{call}_at[tid]/ {{\n  \
             @{call} = hist(nsecs - @{call}_at[tid]); delete(@{call}_at[tid]) }}\n"
        );
    }
    // Probes are attached one by one, which takes seconds on a busy machine: the look begins behind the last of them.
    let begun = "@request && @command && @batch";
    let shown =
        format!("/tid == {core} && {begun} && @events < {EVENTS_MAX}/ {{ @events += 1; printf(");
    script += &format!(
        "tracepoint:raw_syscalls:sys_enter {shown}\"%llu enter %d\\n\", nsecs, args->id) }}\n\
         tracepoint:raw_syscalls:sys_exit {shown}\"%llu exit %d\\n\", nsecs, args->id) }}\n"
    );
    let programs: BTreeSet<_> = nodes
        .iter()
        .map(|node| node.program.display().to_string())
        .collect();
    for program in programs {
        for probe in ["request", "command", "batch"] {
            script += &format!("usdt:{program}:galo:{probe} /tid == {core}/ {{ @{probe} = 1 }}\n");
        }
        for (probe, print) in [
            (
                "request",
                "\"%llu request %s, shard %d\\n\", nsecs, str(arg0), (int64)arg1",
            ),
            (
                "command",
                "\"%llu command: shard %d, status %d\\n\", nsecs, arg0, arg2",
            ),
            (
                "batch",
                "\"%llu batch: shard %d, %d records, %d bytes\\n\", nsecs, arg0, arg1, arg2",
            ),
            ("hop__sent", "\"%llu hop sent: shard %d\\n\", nsecs, arg1"),
            (
                "hop__received",
                "\"%llu hop received: shard %d\\n\", nsecs, arg1",
            ),
        ] {
            script += &format!("usdt:{program}:galo:{probe} {shown}{print}) }}\n");
        }
    }
    script += &format!(
        "interval:s:1 /{begun}/ {{ @seconds += 1; if (@seconds >= {seconds}) {{ exit() }} }}\n\
         interval:s:{} {{ exit() }}\n",
        seconds + IDLE_S
    );
    script
}

/// What bpftrace prints as JSON, line by line.
fn read(output: &str) -> Seen<Traced> {
    let mut events = Vec::new();
    let (mut pwrite, mut fdatasync) = (Vec::new(), Vec::new());
    for line in output.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        match line["type"].as_str() {
            Some("printf") => {
                let text = line["data"].as_str().unwrap_or_default().trim_end();
                let event = text
                    .split_once(' ')
                    .and_then(|(ns, what)| Some((ns.parse().ok()?, what.to_owned())));
                events.extend(event);
            }
            Some("hist") => {
                pwrite.extend(buckets(&line["data"]["@pwrite64"]));
                fdatasync.extend(buckets(&line["data"]["@fdatasync"]));
            }
            _ => {}
        }
    }
    // Each CPU has a buffer of its own.
    events.sort();
    let ticks = ticks(&events);
    Ok(Traced {
        ticks: ticks.len(),
        tick: median(ticks),
        pwrite,
        fdatasync,
    })
}

fn buckets(data: &Value) -> Vec<Bucket> {
    let buckets = data.as_array().map_or(&[][..], Vec::as_slice);
    let buckets = buckets.iter().map(|bucket| Bucket {
        min_ns: bucket["min"].as_u64().unwrap_or(0),
        count: bucket["count"].as_u64().unwrap_or(0),
    });
    buckets.collect()
}

fn call(number: &str) -> String {
    let number = number.parse::<i64>().ok();
    let known = number.and_then(|number| CALLS.iter().find(|(call, _)| *call == number));
    known.map_or_else(
        || format!("call {number:?}"),
        |(_, name)| (*name).to_owned(),
    )
}

/// Whether a core waits in it.
fn waits(what: &str) -> bool {
    matches!(what, "io_uring_enter" | "epoll_pwait" | "epoll_wait")
}

/// The ticks with requests and a batch, whole: from the end of the call in which the core waited, to the next one. With
/// io_uring that is in it, for it also sends.
fn ticks(events: &[(u64, String)]) -> Vec<Vec<Step>> {
    let mut ticks = Vec::new();
    // Begun with a wait that ended; when that was.
    let mut tick: Vec<Step> = Vec::new();
    let mut began_ns = None;
    let mut entered: Option<(u64, String)> = None;
    for (ns, event) in events {
        let at_us = |began: u64| (ns - began) as f64 / 1e3;
        match event.split_once(' ') {
            Some(("enter", number)) => {
                entered = Some((*ns, call(number)));
            }
            Some(("exit", _)) => {
                let Some((since_ns, name)) = entered.take() else {
                    continue;
                };
                let has_batch = tick.iter().any(|step| step.what.starts_with("batch"));
                let is_wait = waits(&name);
                let sends = name == "io_uring_enter" && has_batch;
                if let Some(began) = began_ns.filter(|_| !is_wait || sends) {
                    tick.push(Step {
                        at_us: (since_ns - began) as f64 / 1e3,
                        takes_us: Some((ns - since_ns) as f64 / 1e3),
                        what: name,
                    });
                }
                if is_wait {
                    let whole = std::mem::take(&mut tick);
                    if has_batch && whole.iter().any(|step| step.what.starts_with("request")) {
                        ticks.push(whole);
                    }
                    began_ns = Some(*ns);
                }
            }
            _ => {
                if let Some(began) = began_ns {
                    tick.push(Step {
                        at_us: at_us(began),
                        takes_us: None,
                        what: event.clone(),
                    });
                }
            }
        }
    }
    ticks
}

/// Of those that are short enough to be shown; where all connections ask at once none is, and the shortest has to do.
fn median(mut ticks: Vec<Vec<Step>>) -> Vec<Step> {
    let shortest = ticks.iter().map(Vec::len).min().unwrap_or(0);
    ticks.retain(|tick| tick.len() <= STEPS_MAX.max(shortest));
    let length = |tick: &Vec<Step>| tick.last().map_or(0.0, |step| step.at_us);
    ticks.sort_by(|one, other| length(one).total_cmp(&length(other)));
    let middle = ticks.len() / 2;
    ticks.into_iter().nth(middle).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_tick_is_better_than_none() {
        let tick = |steps: usize, length: usize| {
            let at = (1..=steps).map(|step| Step {
                at_us: (step * length) as f64 / steps as f64,
                takes_us: None,
                what: "request".to_owned(),
            });
            at.collect::<Vec<_>>()
        };
        let [long, longer] = [STEPS_MAX + 1, STEPS_MAX + 2];
        let shown = |ticks: Vec<Vec<Step>>| median(ticks).len();
        assert_eq!(shown(vec![tick(longer, 3), tick(long, 9)]), long);
        assert_eq!(shown(vec![tick(longer, 3), tick(5, 9), tick(6, 10)]), 6);
        assert_eq!(shown(vec![]), 0);
    }

    #[test]
    fn a_tick_is_read_from_the_end_of_a_wait_to_the_end_of_its_sending() {
        let wait = libc::SYS_io_uring_enter;
        let write = libc::SYS_pwrite64;
        let lines = [
            // The end of a tick whose beginning was not seen.
            "900 batch: shard 0, 1 records, 56 bytes".to_owned(),
            format!("950 enter {wait}"),
            format!("1000 exit {wait}"),
            "3000 command: shard 0, status 200".to_owned(),
            "2000 request transacoes, shard 0".to_owned(),
            format!("4000 enter {write}"),
            format!("9000 exit {write}"),
            "9500 batch: shard 0, 1 records, 56 bytes".to_owned(),
            format!("10000 enter {wait}"),
            format!("12000 exit {wait}"),
            // One that has nothing to do.
            format!("13000 enter {wait}"),
            format!("14000 exit {wait}"),
        ];
        let printed = lines
            .map(|line| serde_json::json!({ "type": "printf", "data": line + "\n" }).to_string());
        let hist =
            r#"{"type": "hist", "data": {"@pwrite64": [{"min": 4096, "max": 8191, "count": 3}]}}"#;
        let output = [&printed.join("\n"), "not JSON", hist].join("\n");
        let traced = read(&output).unwrap();
        let step = |at_us, takes_us, what: &str| Step {
            at_us,
            takes_us,
            what: what.to_owned(),
        };
        let expected = [
            step(1.0, None, "request transacoes, shard 0"),
            step(2.0, None, "command: shard 0, status 200"),
            step(3.0, Some(5.0), "pwrite64"),
            step(8.5, None, "batch: shard 0, 1 records, 56 bytes"),
            step(9.0, Some(2.0), "io_uring_enter"),
        ];
        assert_eq!((traced.ticks, &traced.tick[..]), (1, &expected[..]));
        let bucket = Bucket {
            min_ns: 4096,
            count: 3,
        };
        assert_eq!((traced.pwrite, traced.fdatasync), (vec![bucket], vec![]));
    }
}
