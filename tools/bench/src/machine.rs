//! Where it was measured: figures of two machines are not to be compared.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::{json, Value};

pub struct Machine {
    cores: usize,
    cpu: String,
    memory_kib: u64,
    kernel: String,
    date: String,
    galo: String,
    directory: String,
    file_system: String,
    /// Of the last minute, before anything was measured.
    load: String,
}

impl Machine {
    /// `directory`: where data directories will be.
    pub fn here(directory: &Path, galo: &Path) -> Result<Machine> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_string());
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let date = galo::http::iso8601(since_1970.as_micros() as u64);
        let version = Command::new(galo).arg("--version").output()?;
        let mounts = read("/proc/self/mounts")?;
        let file_system = file_system(&mounts, directory).unwrap_or("unknown");
        Ok(Machine {
            cores: nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))
                .map(|set| {
                    (0..nix::sched::CpuSet::count())
                        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
                        .count()
                })
                .context("sched_getaffinity")?,
            cpu: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown".into()),
            memory_kib: field(&read("/proc/meminfo")?, "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_string(),
            date: String::from_utf8_lossy(&date[..19]).into_owned() + "Z",
            galo: String::from_utf8_lossy(&version.stdout).trim().to_string(),
            directory: directory.display().to_string(),
            file_system: file_system.to_string(),
            load: read("/proc/loadavg")?
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_string(),
        })
    }

    pub fn json(&self) -> Value {
        json!({
            "cores": self.cores,
            "cpu": self.cpu,
            "memory_kib": self.memory_kib,
            "kernel": self.kernel,
            "date": self.date,
            "galo": self.galo,
            "directory": self.directory,
            "file_system": self.file_system,
            "load_before": self.load,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.galo)?;
        writeln!(
            f,
            "{} cores of {}, {} MiB, Linux {}, load {} before",
            self.cores,
            self.cpu,
            self.memory_kib / 1024,
            self.kernel,
            self.load
        )?;
        write!(
            f,
            "{}, data in {} ({})",
            self.date, self.directory, self.file_system
        )?;
        if matches!(self.file_system.as_str(), "tmpfs" | "ramfs") {
            write!(f, "\nwarning: that is memory, not a disk: see --dir")?;
        }
        Ok(())
    }
}

/// The value of a `name: value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The type of the file system that a path is on, from `/proc/self/mounts`: the longest mount point
/// above it; of two on the same, the later one.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let entries = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (point, kind) = (words.nth(1)?, words.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    Some(entries.max_by_key(|(length, _)| *length)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_counts() {
        let mounts = "/dev/vda / ext4 rw,relatime 0 0\n\
            proc /proc proc rw 0 0\n\
            tmpfs /tmp tmpfs rw,nosuid 0 0\n\
            /dev/vdb /tmp/disk xfs rw 0 0\n";
        for (path, expected) in [
            ("/home/x", "ext4"),
            ("/tmp/x", "tmpfs"),
            ("/tmp/disk/x", "xfs"),
            ("/tmp/diskette", "tmpfs"),
        ] {
            assert_eq!(
                file_system(mounts, Path::new(path)),
                Some(expected),
                "{path}"
            );
        }
    }

    #[test]
    fn fields_are_found() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nMemTotal:  24689 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("AMD EPYC"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("24689 kB"));
        assert_eq!(field(text, "absent"), None);
    }
}
