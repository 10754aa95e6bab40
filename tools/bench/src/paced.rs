//! Requests at a given pace, whatever the replies do: what the contests' loads are like.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, Result};
use nix::sys::prctl::set_timerslack;

use crate::client;

/// Requests that may be under way at once. So many that a late reply delays no other request.
const THREADS: u32 = 32;
/// The contest's accounts, in turn.
const CLIENTS: u32 = 5;
/// Of runs so far: each has payments of its own.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// What is posted, and on which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// Transactions, with a connection for each, as the contest of 2024 has it.
    Transactions,
    /// Payments with ids of their own, on connections that stay, as that of 2025 has it.
    Payments,
}

/// From when each request was due to its reply, in milliseconds, ascending. Due, not sent: a server
/// that stops for a while does not get fewer requests for it.
pub fn run(address: SocketAddr, post: Post, per_second: u32, seconds: u64) -> Result<Vec<f64>> {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let [before_id, behind_id] = client::payment_around_id();
    let request = |number: u32| match post {
        Post::Transactions => client::request(1 + number % CLIENTS),
        // Unlike those of the other load.
        Post::Payments => format!("{before_id}{run:08x}-1111-4000-8000-{number:012x}{behind_id}"),
    };
    let count = per_second * seconds as u32;
    let begin = Instant::now() + Duration::from_millis(10);
    let failed = AtomicBool::new(false);
    let of_thread = |thread: u32| -> Result<Vec<f64>> {
        // Woken when it wanted, not up to 50 µs later.
        set_timerslack(1)?;
        let mut times = Vec::new();
        let mut kept = None;
        for number in (thread..count).step_by(THREADS as usize) {
            let due = begin + Duration::from_secs(1) * number / per_second;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if failed.load(Ordering::Relaxed) {
                break;
            }
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => TcpStream::connect(address)?,
            };
            stream.set_nodelay(true)?;
            client::exchange(&mut stream, &request(number))?;
            times.push(due.elapsed().as_secs_f64() * 1e3);
            if post == Post::Payments {
                kept = Some(stream);
            }
        }
        Ok(times)
    };
    let mut times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (of_thread, failed) = (&of_thread, &failed);
                scope.spawn(move || {
                    let times = of_thread(thread);
                    failed.fetch_or(times.is_err(), Ordering::Relaxed);
                    times
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|times| times.map_err(|_| anyhow!("a client panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?
    .concat();
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// Of samples in ascending order: the least that so large a part of them does not exceed.
pub fn percentile(sorted: &[f64], part: f64) -> f64 {
    assert!(!sorted.is_empty() && (0.0..=1.0).contains(&part));
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples: Vec<f64> = (1..=200).map(f64::from).collect();
        for (part, expected) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(percentile(&samples, part), expected);
        }
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
    }
}
