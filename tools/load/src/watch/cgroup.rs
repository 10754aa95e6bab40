//! A container's cgroup (cgroups(7)): the time that its processes used, ended ones included, and which they are.
//!
//! The cgroup is the one that is named after the container's id: engines do so in both versions of cgroups, whatever
//! they put around the id. A first process that has gone further down (an init system does) does not hide the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{ended, resident_bytes};
use super::{Ended, Usage};

#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Its controller cpuacct.
    One,
    Two,
}

impl Cgroup {
    /// That of the container `id`, in which the process `pid` is.
    ///
    /// # Errors
    /// No cgroup is named after it, or it is not where it should be.
    pub fn of(pid: u32, id: &str) -> Result<Cgroup> {
        let path = format!("/proc/{pid}/cgroup");
        let paths = fs::read_to_string(&path).with_context(|| path.clone())?;
        let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        for version in [Version::One, Version::Two] {
            let Some(group) = version.path(&paths).and_then(|path| named(path, id)) else {
                continue;
            };
            let mount = version.mount(&mounts).with_context(|| {
                format!("its cgroup is {group}, and no cgroup file system is mounted here that would show it")
            })?;
            let dir = Path::new(mount).join(group.trim_start_matches('/'));
            return Ok(Cgroup { dir, version });
        }
        let all: Vec<_> = paths.lines().collect();
        let all = all.join(", ");
        anyhow::bail!("no cgroup is named after it: {path} has {all}");
    }

    pub fn usage(&self) -> Result<Usage, Ended> {
        let file = self.dir.join(match self.version {
            Version::One => "cpuacct.usage",
            Version::Two => "cpu.stat",
        });
        let text = read(&file)?;
        let cpu = self.version.cpu(&text);
        let cpu =
            cpu.ok_or_else(|| Ended::Unreadable(format!("{} reads {text:?}", file.display())))?;
        let mut resident_bytes = 0;
        add_resident_bytes(&self.dir, &mut resident_bytes)?;
        Ok(Usage {
            cpu,
            resident_bytes,
        })
    }
}

/// Of all processes in it, and in those below it.
fn add_resident_bytes(dir: &Path, sum: &mut u64) -> Result<(), Ended> {
    for pid in read(&dir.join("cgroup.procs"))?.lines() {
        match pid.parse().map(resident_bytes) {
            Ok(Ok(bytes)) => *sum += bytes,
            // It has ended since.
            Ok(Err(Ended::Gone)) => {}
            Ok(Err(unreadable)) => return Err(unreadable),
            Err(_) => return Err(Ended::Unreadable(format!("{}: {pid:?}", dir.display()))),
        }
    }
    let told = |error| ended(&dir.to_string_lossy(), &error);
    for entry in fs::read_dir(dir).map_err(told)? {
        let entry = entry.map_err(told)?;
        if entry.file_type().map_err(told)?.is_dir() {
            match add_resident_bytes(&entry.path(), sum) {
                // Only that below has.
                Ok(()) | Err(Ended::Gone) => {}
                unreadable => return unreadable,
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Ended> {
    fs::read_to_string(path).map_err(|error| ended(&path.to_string_lossy(), &error))
}

impl Version {
    /// Of /proc/PID/cgroup: `number:controllers:path`.
    fn path(self, text: &str) -> Option<&str> {
        text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let ours = match self {
                Version::One => controllers.split(',').any(|name| name == "cpuacct"),
                Version::Two => controllers.is_empty(),
            };
            ours.then_some(path)
        })
    }

    /// Of /proc/self/mounts: `device directory type options ..`.
    fn mount(self, text: &str) -> Option<&str> {
        text.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (dir, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let ours = match self {
                Version::One => {
                    kind == "cgroup" && options.split(',').any(|option| option == "cpuacct")
                }
                Version::Two => kind == "cgroup2",
            };
            ours.then_some(dir)
        })
    }

    fn cpu(self, text: &str) -> Option<Duration> {
        match self {
            Version::One => text.trim().parse().ok().map(Duration::from_nanos),
            Version::Two => text.lines().find_map(|line| {
                let microseconds = line.strip_prefix("usage_usec ")?;
                microseconds.parse().ok().map(Duration::from_micros)
            }),
        }
    }
}

/// The front of the path, up to the part that is named after it.
fn named<'a>(path: &'a str, id: &str) -> Option<&'a str> {
    let at = path.find(id)?;
    let end = path[at..].find('/').map_or(path.len(), |slash| at + slash);
    Some(&path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "88012bb36b01f633b9d02f889bebc232";

    #[test]
    fn the_cgroup_is_found_in_either_version() {
        let one = format!(
            "12:cpuset:/docker/{ID}\n5:cpu,cpuacct:/docker/{ID}\n0::/system.slice/containerd.service\n"
        );
        let two = format!("0::/system.slice/docker-{ID}.scope/init.scope\n");
        let docker = format!("/docker/{ID}");
        assert_eq!(
            Version::One.path(&one).and_then(|it| named(it, ID)),
            Some(&*docker)
        );
        assert_eq!(Version::Two.path(&one).and_then(|it| named(it, ID)), None);
        assert_eq!(Version::One.path(&two), None);
        let scope = format!("/system.slice/docker-{ID}.scope");
        assert_eq!(
            Version::Two.path(&two).and_then(|it| named(it, ID)),
            Some(&*scope)
        );
        // Nobody's own.
        assert_eq!(named("/", ID), None);
    }

    #[test]
    fn mounts_are_told_apart() {
        let mounts = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                      cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n";
        assert_eq!(
            Version::One.mount(mounts),
            Some("/sys/fs/cgroup/cpu,cpuacct")
        );
        assert_eq!(Version::Two.mount(mounts), Some("/sys/fs/cgroup/unified"));
        assert_eq!(Version::Two.mount("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn cpu_time_is_read() {
        let text = "nr_periods 0\nusage_usec 1500000\nuser_usec 1000000\n";
        assert_eq!(Version::Two.cpu(text), Some(Duration::from_millis(1_500)));
        assert_eq!(
            Version::One.cpu("1500000000\n"),
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(Version::Two.cpu("user_usec 1\n"), None);
        assert_eq!(Version::One.cpu(""), None);
    }

    #[test]
    fn a_process_without_a_cgroup_of_its_own_is_said_so() {
        let error = Cgroup::of(std::process::id(), ID).unwrap_err().to_string();
        assert!(error.starts_with("no cgroup is named after it"), "{error}");
    }
}
