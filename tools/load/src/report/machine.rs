//! Where galo-load runs.

use std::fs;

use nix::sched::{sched_getaffinity, CpuSet};
use nix::sys::utsname::uname;
use nix::unistd::{gethostname, Pid};

use super::Machine;

impl Machine {
    /// This one, now. What cannot be read is left empty.
    pub fn here() -> Machine {
        let proc = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        Machine {
            host: gethostname()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            kernel: kernel(),
            // ARM's kernel names no model here.
            cpu: field(&proc("cpuinfo"), "model name").unwrap_or_default(),
            cpus: cpus(),
            memory_bytes: memory_bytes(&proc("meminfo")),
            load_average: load_average(&proc("loadavg")),
        }
    }
}

fn kernel() -> String {
    let Ok(name) = uname() else {
        return String::new();
    };
    let parts = [name.sysname(), name.release(), name.machine()];
    parts.map(|part| part.to_string_lossy()).join(" ")
}

/// That this process may run on: fewer than the machine has within `taskset` or a container's set.
fn cpus() -> usize {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return 0;
    };
    let numbers = 0..CpuSet::count();
    numbers
        .filter(|number| set.is_set(*number).unwrap_or_default())
        .count()
}

/// Of the first line `NAME : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| field.trim() == name)?;
    Some(value.trim().to_owned())
}

/// `MemTotal:  16303140 kB`.
fn memory_bytes(meminfo: &str) -> u64 {
    let total = field(meminfo, "MemTotal").unwrap_or_default();
    let kib = total.strip_suffix("kB").map(str::trim_end);
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// The first of `0.52 0.58 0.59 1/467 12345`.
fn load_average(loadavg: &str) -> f64 {
    let first = loadavg.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::here();
        assert!(machine.kernel.starts_with("Linux "), "{}", machine.kernel);
        assert!(!machine.host.is_empty());
        assert!((1..=CpuSet::count()).contains(&machine.cpus));
        assert!(machine.memory_bytes > 64 << 20);
        assert!(machine.load_average >= 0.0);
    }

    #[test]
    fn fields_of_proc_are_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 7763: 64-Core\nmodel name\t: other\n";
        let model = field(cpuinfo, "model name");
        assert_eq!(model.as_deref(), Some("AMD EPYC 7763: 64-Core"));
        let arm = "processor\t: 0\nBogoMIPS\t: 50.00\n";
        assert_eq!(field(arm, "model name"), None);
        let meminfo = "MemTotal:       16303140 kB\nMemFree:         1 kB\n";
        assert_eq!(memory_bytes(meminfo), 16_303_140 * 1024);
        assert_eq!(load_average("0.52 0.58 0.59 1/467 12345\n"), 0.52);
        assert_eq!((memory_bytes(""), load_average("")), (0, 0.0));
    }
}
