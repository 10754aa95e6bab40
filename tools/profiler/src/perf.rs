//! Flame graphs by perf: where time is spent, and where it is waited for.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use inferno::collapse::perf::Folder;
use inferno::collapse::Collapse;
use inferno::flamegraph::{self, Options};

use crate::subject::Process;
use crate::Seen;

/// Samples a second: not a divisor of what else happens regularly.
const FREQUENCY: &str = "1999";
/// What a line of `perf script` has; `time` in microseconds.
const FIELDS: &str = "comm,tid,time,event,ip,sym,dso";

/// A flame graph as SVG, with what is missing in it.
#[derive(Clone, Debug)]
pub struct Flames {
    pub svg: String,
    pub without: Option<&'static str>,
}

/// Samples of what runs.
pub fn on_cpu(processes: &[Process], seconds: u64, scratch: &Path) -> Seen<Flames> {
    let kernel = sees_kernel();
    let event = if kernel { "cpu-clock" } else { "cpu-clock:u" };
    let flags = ["-e", event, "-F", FREQUENCY];
    let script = record(processes, seconds, &flags, &scratch.join("on.data"), &[])?;
    let svg = draw(&script, "on CPU", "samples")?;
    let without = "the kernel's part, which needs root, or kernel.perf_event_paranoid at most 1";
    Ok(Flames {
        svg,
        without: (!kernel).then_some(without),
    })
}

/// How long each stack that gave the CPU away did not run.
pub fn off_cpu(processes: &[Process], seconds: u64, scratch: &Path) -> Seen<Flames> {
    if !sees_kernel() {
        return Err(
            "a switch happens in the kernel: as root, or with kernel.perf_event_paranoid at most 1, perf sees it"
                .to_owned(),
        );
    }
    let flags = ["-e", "context-switches", "-c", "1", "--switch-events"];
    let data = scratch.join("off.data");
    let script = record(processes, seconds, &flags, &data, &["--show-switch-events"])?;
    let svg = draw(&weighted(&script), "off CPU", "us")?;
    Ok(Flames { svg, without: None })
}

/// Whether the kernel shows what it does (`perf_event_open`(2)).
fn sees_kernel() -> bool {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let paranoid = paranoid
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    nix::unistd::geteuid().is_root() || paranoid.is_some_and(|paranoid| paranoid <= 1)
}

/// Records the processes, and prints what was recorded.
fn record(
    processes: &[Process],
    seconds: u64,
    events: &[&str],
    data: &Path,
    show: &[&str],
) -> Seen<String> {
    let pids: Vec<String> = processes
        .iter()
        .map(|process| process.pid.to_string())
        .collect();
    let mut command = Command::new("perf");
    command
        .args(["record", "--quiet", "--call-graph", "fp", "-o"])
        .arg(data)
        .args(events);
    command.args(["-p", &pids.join(","), "--", "sleep", &seconds.to_string()]);
    output(&mut command)?;
    let mut command = Command::new("perf");
    command
        .args(["script", "-i"])
        .arg(data)
        .args(show)
        .args(["-F", FIELDS]);
    output(&mut command)
}

/// What it prints, if it ends well.
fn output(command: &mut Command) -> Seen<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("perf: {error}; apt-get install linux-perf"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("perf: {}", error.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Gives each sample the microseconds until its thread ran again, as the period that perf would print there. What had
/// not run again by the end is left out.
fn weighted(script: &str) -> String {
    let mut samples: Vec<(String, u64)> = Vec::new();
    // By thread: its last sample, and when that was.
    let mut out: HashMap<&str, (usize, f64)> = HashMap::new();
    let mut is_stack = false;
    for line in script.lines() {
        let head = Head::read(line);
        match head {
            Some(head) if head.event == "context-switches:" => {
                out.insert(head.thread, (samples.len(), head.time_s));
                samples.push((String::new(), 0));
                is_stack = true;
            }
            Some(head) => {
                is_stack = false;
                if head.event == "PERF_RECORD_SWITCH" && line.contains(" IN") {
                    if let Some((sample, since_s)) = out.remove(head.thread) {
                        samples[sample].1 = ((head.time_s - since_s) * 1e6).round() as u64;
                    }
                }
                continue;
            }
            None => {}
        }
        if is_stack {
            let text = &mut samples.last_mut().expect("a sample is begun").0;
            text.push_str(line);
            text.push('\n');
        }
    }
    let samples = samples.iter().filter(|(_, micros)| *micros > 0);
    let period = |(text, micros): &(String, u64)| {
        let event = format!(" {micros} context-switches:");
        text.replacen(" context-switches:", &event, 1)
    };
    samples.map(period).collect()
}

/// `comm tid time: event`.
struct Head<'a> {
    thread: &'a str,
    time_s: f64,
    event: &'a str,
}

impl Head<'_> {
    fn read(line: &str) -> Option<Head<'_>> {
        if line.starts_with(char::is_whitespace) {
            return None;
        }
        let (before, event) = line.split_once(": ")?;
        let mut words = before.split_ascii_whitespace().rev();
        Some(Head {
            time_s: words.next()?.parse().ok()?,
            thread: words.next()?,
            event: event.split_ascii_whitespace().next()?,
        })
    }
}

fn draw(script: &str, title: &str, unit: &str) -> Seen<String> {
    let mut folded = Vec::new();
    let collapsed = Folder::default().collapse(script.as_bytes(), &mut folded);
    collapsed.map_err(|error| format!("perf script: {error}"))?;
    if folded.is_empty() {
        return Err("perf has seen nothing: is there load?".to_owned());
    }
    let mut options = Options::default();
    options.title = title.to_owned();
    options.count_name = unit.to_owned();
    options.min_width = 0.1;
    let mut svg = Vec::new();
    let drawn = flamegraph::from_reader(&mut options, &folded[..], &mut svg);
    drawn.map_err(|error| format!("inferno: {error}"))?;
    String::from_utf8(svg).map_err(|error| format!("inferno: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_weighs_what_its_thread_did_not_run() {
        let script = "\
galo/0 7  10.000100: PERF_RECORD_SWITCH IN         
galo/0 7  10.000200: context-switches: 
\tffffffff821fb643 schedule ([kernel.kallsyms])
\t          101829 wait (/bin/galo)

galo job 8  10.000210: context-switches: 
\t          101829 other (/bin/galo)

galo/0 7  10.000220: PERF_RECORD_SWITCH OUT preempt
galo/0 7  10.000450: PERF_RECORD_SWITCH IN         
galo/0 7  10.000500: context-switches: 
\t          101829 wait (/bin/galo)

";
        let expected = "\
galo/0 7  10.000200: 250 context-switches: 
\tffffffff821fb643 schedule ([kernel.kallsyms])
\t          101829 wait (/bin/galo)

";
        assert_eq!(weighted(script), expected);
        let mut folded = Vec::new();
        Folder::default()
            .collapse(expected.as_bytes(), &mut folded)
            .unwrap();
        assert_eq!(
            String::from_utf8(folded).unwrap(),
            "galo/0;wait;schedule 250\n"
        );
        assert!(draw("", "nothing", "us")
            .unwrap_err()
            .contains("is there load"));
    }
}
