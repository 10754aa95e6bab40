//! Resident memory and CPU of the target over the time of a run.
//!
//! Resident memory is what `ps` calls RSS: pages that a process has in memory, those that it shares with others
//! included. Of a container it is the sum over its processes, so that the same server has the same figure in a
//! container and outside; the kernel's page cache of its files does not count. CPU is the time that all threads
//! used, in user and kernel mode. What a process has started counts with a container, and not with the process.
//!
//! | file | what |
//! |---|---|
//! | `process` | one process, from /proc |
//! | `container` | one container, as its engine describes it |
//! | `cgroup` | the processes of a container, and the time that they used |

mod cgroup;
mod container;
mod process;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::measure::POINTS_MAX;
use crate::report::{Watched, WatchedPoint};

use container::Container;
use process::Process;

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By its number.
    Pid(u32),
    /// By its name or id, as the container engine knows it. The engine is asked through the Unix socket that
    /// `DOCKER_HOST` names, or Docker's usual one.
    Container(String),
}

/// Looks at some of them from time to time.
#[derive(Debug)]
pub struct Watch {
    watched: Vec<One>,
    opened: Instant,
}

#[derive(Debug)]
struct One {
    source: Source,
    track: Track,
    ended: Option<String>,
}

#[derive(Debug)]
enum Source {
    Process(Process),
    Container(Container),
}

/// Of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    /// Since it was started.
    cpu: Duration,
    resident_bytes: u64,
}

/// Why there is nothing more to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    Gone,
    /// The reason in words.
    Unreadable(String),
}

impl Watch {
    /// Finds them, and looks at them for the first time: CPU time counts from here, unless there is another look at zero.
    ///
    /// # Errors
    /// There is no such process or container, or it may not be read.
    pub fn new(subjects: &[Subject]) -> Result<Watch> {
        let watched = subjects.iter().map(|subject| {
            let source = match subject {
                Subject::Pid(pid) => Process::find(*pid).map(Source::Process),
                Subject::Container(name) => Container::find(name).map(Source::Container),
            };
            Ok(One {
                source: source?,
                track: Track::default(),
                ended: None,
            })
        });
        let mut watch = Watch {
            watched: watched.collect::<Result<_>>()?,
            opened: Instant::now(),
        };
        watch.look(Duration::ZERO);
        Ok(watch)
    }

    /// Looks at each, `at` this moment of the measured time. A look at zero, before or in the warm-up or at its end, makes
    /// no point: CPU time counts anew from there. One that has ended has no more points.
    pub fn look(&mut self, at: Duration) {
        for one in &mut self.watched {
            if one.ended.is_some() {
                continue;
            }
            match one.source.usage() {
                Ok(usage) => one.track.push(Look {
                    at,
                    seen: self.opened.elapsed(),
                    usage,
                }),
                Err(ended) => one.ended = Some(ended.told(at)),
            }
        }
    }

    /// What was seen.
    pub fn finish(self) -> Vec<Watched> {
        let watched = self.watched.into_iter();
        watched
            .map(|one| Watched {
                name: one.source.name(),
                points: one.track.points(),
                resident_bytes_max: one.track.resident_bytes_max,
                cpu: one.track.cpu(),
                ended: one.ended,
            })
            .collect()
    }
}

impl Source {
    fn name(&self) -> String {
        match self {
            Source::Process(process) => process.name(),
            Source::Container(container) => container.name(),
        }
    }

    fn usage(&self) -> Result<Usage, Ended> {
        match self {
            Source::Process(process) => process.usage(),
            Source::Container(container) => container.usage(),
        }
    }
}

impl Ended {
    fn told(&self, at: Duration) -> String {
        let after_s = at.as_secs_f64();
        match self {
            Ended::Gone => format!("it ended after {after_s:.1} s"),
            Ended::Unreadable(why) => format!("after {after_s:.1} s: {why}"),
        }
    }
}

/// What was seen of one, in bounded memory: CPU times are kept as they are read, since the start of the process, so
/// that any two looks give the CPU between them, whichever were left out.
#[derive(Debug, Default)]
struct Track {
    origin: Option<Look>,
    /// At most [`POINTS_MAX`].
    kept: Vec<Look>,
    /// Of so many looks one is kept, as a power of two.
    fold: u32,
    /// The newest, not kept (yet), and how many there were since the last one that was.
    newest: Option<Look>,
    since_kept: usize,
    resident_bytes_max: u64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Duration,
    /// When it was in truth, since some moment: later than `at`, where the run's last interval waits for the last replies.
    /// What was used counts over that time.
    seen: Duration,
    usage: Usage,
}

impl Track {
    fn push(&mut self, look: Look) {
        self.resident_bytes_max = self.resident_bytes_max.max(look.usage.resident_bytes);
        if look.at.is_zero() || self.origin.is_none() {
            self.origin = Some(look);
            return;
        }
        self.since_kept += 1;
        if self.since_kept < 1 << self.fold {
            self.newest = Some(look);
            return;
        }
        self.since_kept = 0;
        self.newest = None;
        self.kept.push(look);
        if self.kept.len() == POINTS_MAX {
            let mut number = 0;
            // The later of each two, and so the last one.
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.fold += 1;
        }
    }

    fn looks(&self) -> impl Iterator<Item = &Look> {
        let kept = self.origin.iter().chain(&self.kept);
        kept.chain(&self.newest)
    }

    fn points(&self) -> Vec<WatchedPoint> {
        let pairs = self.looks().zip(self.looks().skip(1));
        let points = pairs.map(|(before, look)| WatchedPoint {
            at_s: look.at.as_secs_f64(),
            resident_bytes: look.usage.resident_bytes,
            cpu: look.cpu_since(before),
        });
        points.collect()
    }

    /// Over the whole time.
    fn cpu(&self) -> f64 {
        match (&self.origin, self.looks().last()) {
            (Some(origin), Some(last)) => last.cpu_since(origin),
            _ => 0.0,
        }
    }
}

impl Look {
    /// CPU time over time.
    fn cpu_since(&self, before: &Look) -> f64 {
        let used = self.usage.cpu.saturating_sub(before.usage.cpu);
        let time = self.seen.saturating_sub(before.seen);
        match time.is_zero() {
            true => 0.0,
            false => used.as_secs_f64() / time.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn memory_and_cpu_of_this_process_are_seen() {
        let began = Instant::now();
        let mut watch = Watch::new(&[Subject::Pid(std::process::id())]).unwrap();
        // At least three clock ticks of CPU, however long that takes.
        let used =
            || nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        let first = used();
        let mut sum = 0_u64;
        while Duration::from(used()) < Duration::from(first) + 30 * MILLISECOND {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        let at = began.elapsed();
        watch.look(at);
        let time_s = began.elapsed().as_secs_f64();
        let [seen] = <[Watched; 1]>::try_from(watch.finish()).unwrap();
        assert!(seen
            .name
            .starts_with(&format!("pid {} (", std::process::id())));
        let [point] = seen.points[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(point.at_s, at.as_secs_f64());
        assert_eq!(point.cpu, seen.cpu);
        // One tick of 10 ms can be missing.
        assert!(seen.cpu * time_s >= 0.019, "{seen:?}");
        assert!(point.resident_bytes > 1 << 20, "{seen:?}");
        assert!(seen.resident_bytes_max >= point.resident_bytes);
        assert_eq!(seen.ended, None);
    }

    #[test]
    fn one_that_ends_has_no_more_points() {
        // It reads until its standard input ends.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let subjects = [Subject::Pid(child.id()), Subject::Pid(std::process::id())];
        let mut watch = Watch::new(&subjects).unwrap();
        watch.look(1_000 * MILLISECOND);
        drop(child.stdin.take());
        // Dead, and not waited for: that is an end, too.
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), flags).unwrap();
        watch.look(2_000 * MILLISECOND);
        child.wait().unwrap();
        watch.look(3_200 * MILLISECOND);
        let [ended, this] = <[Watched; 2]>::try_from(watch.finish()).unwrap();
        assert!(ended.name.ends_with("(cat)"), "{ended:?}");
        assert_eq!(ended.points.len(), 1);
        assert_eq!(ended.ended.as_deref(), Some("it ended after 2.0 s"));
        assert!(ended.resident_bytes_max > 0);
        assert_eq!((this.points.len(), this.ended), (3, None));
    }

    #[test]
    fn a_long_run_has_fewer_points_and_the_same_sums() {
        let mut track = Track::default();
        let count = 5 * POINTS_MAX + 3;
        // A second's look, with 1 ms of CPU more in each second than in the one before.
        let mut cpu = Duration::ZERO;
        for second in 0..=count as u32 {
            cpu += second * MILLISECOND;
            let usage = Usage {
                cpu,
                resident_bytes: match second {
                    4_711 => 9_000,
                    _ => 1_000,
                },
            };
            let at = second * 1_000 * MILLISECOND;
            track.push(Look {
                at,
                seen: at,
                usage,
            });
        }
        let points = track.points();
        assert!((POINTS_MAX / 2..=POINTS_MAX + 1).contains(&points.len()));
        // The highest stays the highest even if its point went.
        assert_eq!(track.resident_bytes_max, 9_000);
        assert_eq!(points.last().unwrap().at_s, count as f64);
        let (mut at_s, mut sum_s) = (0.0, 0.0);
        for point in &points {
            assert!(point.at_s > at_s);
            sum_s += point.cpu * (point.at_s - at_s);
            at_s = point.at_s;
        }
        assert!((sum_s - cpu.as_secs_f64()).abs() < 1e-3, "{sum_s}");
        assert!((track.cpu() * at_s - sum_s).abs() < 1e-3);
    }

    /// The last interval is 1 ms long, and was handed in when the last reply had come, 5 s later.
    #[test]
    fn what_is_seen_late_counts_over_the_time_that_it_took() {
        let mut track = Track::default();
        for (at_ms, seen_ms, cpu_ms) in [
            // It was started, and the load began later.
            (0, 0, 0),
            (0, 9_000, 8_000),
            (1_000, 10_000, 8_500),
            (1_001, 15_000, 9_500),
        ] {
            track.push(Look {
                at: at_ms * MILLISECOND,
                seen: seen_ms * MILLISECOND,
                usage: Usage {
                    cpu: cpu_ms * MILLISECOND,
                    resident_bytes: 1,
                },
            });
        }
        let cpu: Vec<_> = track.points().iter().map(|point| point.cpu).collect();
        assert_eq!(cpu, [0.5, 0.2]);
        assert_eq!(track.cpu(), 0.25);
    }

    #[test]
    fn the_warm_up_makes_no_points() {
        let mut watch = Watch::new(&[Subject::Pid(std::process::id())]).unwrap();
        watch.look(Duration::ZERO);
        watch.look(Duration::ZERO);
        let [seen] = <[Watched; 1]>::try_from(watch.finish()).unwrap();
        assert!(seen.points.is_empty() && seen.cpu == 0.0);
        assert!(seen.resident_bytes_max > 1 << 20);
    }
}
