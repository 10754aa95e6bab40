//! Where it was measured: figures of two machines are not to be compared.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use galo_load::report;
use serde::Serialize;

#[derive(Serialize)]
pub struct Machine {
    #[serde(flatten)]
    machine: report::Machine,
    date: String,
    galo: String,
    directory: String,
    file_system: String,
}

impl Machine {
    /// `directory`: where data directories will be.
    pub fn here(directory: &Path, galo: &Path) -> Result<Machine> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let date = galo::http::iso8601(since_1970.as_micros() as u64);
        let version = Command::new(galo).arg("--version").output()?;
        let mounts = "/proc/self/mounts";
        let mounts = std::fs::read_to_string(mounts).context(mounts)?;
        Ok(Machine {
            machine: report::Machine::here(),
            date: String::from_utf8_lossy(&date[..19]).into_owned() + "Z",
            galo: String::from_utf8_lossy(&version.stdout).trim().to_string(),
            directory: directory.display().to_string(),
            file_system: file_system(&mounts, directory)
                .unwrap_or("unknown")
                .to_string(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.galo)?;
        let machine = &self.machine;
        writeln!(
            f,
            "{} CPUs of {}, {} MiB, {}, load {} before",
            machine.cpus,
            machine.cpu,
            machine.memory_bytes >> 20,
            machine.kernel,
            machine.load_average
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
}
