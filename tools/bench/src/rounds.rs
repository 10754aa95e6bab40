//! Load on several servers in turn, so that whatever slows the machine slows all of them, and the
//! ratios between them.

use std::net::SocketAddr;

use anyhow::Result;
use serde::Serialize;

use crate::wrk::{Load, Run, Wrk};
use galo_bench::server::{ticks_per_second, Server};

/// What load can be put on.
pub trait Loaded {
    /// Where it listens. With several addresses wrk has a thread for each, and no CPU of its own.
    fn addresses(&self) -> Vec<SocketAddr>;
    /// What it took so far.
    fn cpu_ticks(&self) -> Result<CpuTicks>;
    /// Before each load: as if there had been none before.
    fn refresh(&self) -> Result<()> {
        Ok(())
    }
}

impl Loaded for Server {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn cpu_ticks(&self) -> Result<CpuTicks> {
        let ticks = Server::cpu_ticks(self)?;
        Ok(CpuTicks {
            servers: ticks,
            all: ticks,
        })
    }
}

/// User and system time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTicks {
    /// Of servers alone.
    pub servers: u64,
    /// Of what is before them, too.
    pub all: u64,
}

/// One server, or several together, under load, once.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    #[serde(flatten)]
    pub run: Run,
    /// User and system time that it took: see [`CpuTicks::all`].
    pub cpu_seconds: f64,
    /// See [`CpuTicks::servers`].
    pub servers_cpu_seconds: f64,
}

impl Sample {
    pub fn requests_per_s(&self) -> f64 {
        self.run.requests as f64 / self.run.seconds
    }

    pub fn requests_per_cpu_s(&self) -> f64 {
        self.run.requests as f64 / self.cpu_seconds
    }

    pub fn requests_per_servers_cpu_s(&self) -> f64 {
        self.run.requests as f64 / self.servers_cpu_seconds
    }
}

/// The samples of each server, in the order of `servers`: see [`in_turn`].
pub fn rounds(
    servers: &[&dyn Loaded],
    wrk: &Wrk,
    load: Load,
    rounds: usize,
) -> Result<Vec<Vec<Sample>>> {
    let warm_up = Load { seconds: 1, ..load };
    for server in servers {
        sample(*server, wrk, warm_up)?;
    }
    in_turn(servers.len(), rounds, |index| {
        sample(servers[index], wrk, load)
    })
}

/// What `measure` says of each of `count` things, by index. The n-th of all are one round; every other round runs
/// backwards, so that none always comes first.
pub fn in_turn<T>(
    count: usize,
    rounds: usize,
    mut measure: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut measured: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for position in 0..count {
            let index = match round % 2 {
                0 => position,
                _ => count - 1 - position,
            };
            measured[index].push(measure(index)?);
        }
    }
    Ok(measured)
}

/// One run of load.
pub fn sample(server: &dyn Loaded, wrk: &Wrk, load: Load) -> Result<Sample> {
    server.refresh()?;
    let before = server.cpu_ticks()?;
    let run = wrk.run_on(&server.addresses(), load)?;
    let after = server.cpu_ticks()?;
    let per_second = ticks_per_second()?;
    // A tick at least: it is a divisor.
    let seconds = |before: u64, after: u64| (after - before).max(1) as f64 / per_second;
    Ok(Sample {
        run,
        cpu_seconds: seconds(before.all, after.all),
        servers_cpu_seconds: seconds(before.servers, after.servers),
    })
}

/// The median of the rounds' ratios, and each of them.
pub fn ratio(of: &[Sample], to: &[Sample], speed: impl Fn(&Sample) -> f64) -> (f64, Vec<f64>) {
    let pairs = of.iter().zip(to);
    let ratios: Vec<f64> = pairs.map(|(of, to)| speed(of) / speed(to)).collect();
    (median(&ratios), ratios)
}

/// The middle one, or the mean of the two.
pub fn median(samples: &[f64]) -> f64 {
    assert!(!samples.is_empty());
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// What the median of something about the samples is.
pub fn median_of(samples: &[Sample], what: impl Fn(&Sample) -> f64) -> f64 {
    median(&samples.iter().map(what).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let sample = |requests| Sample {
            run: Run {
                requests,
                seconds: 2.0,
                p50_us: 0.0,
                p99_us: 0.0,
                refused: 0,
                socket_errors: 0,
            },
            cpu_seconds: 1.0,
            servers_cpu_seconds: 1.0,
        };
        let (of, to) = (
            [sample(90), sample(10), sample(45)],
            [100, 20, 50].map(sample),
        );
        let (median, each) = ratio(&of, &to, Sample::requests_per_s);
        assert_eq!((median, each), (0.9, vec![0.9, 0.5, 0.9]));
    }
}
