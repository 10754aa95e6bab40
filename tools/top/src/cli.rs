//! The command line.

use std::time::Duration;

use clap::Parser;
use galo_load::target::Target;

/// The nodes of a Galo, live: owners, rates, latency, journal, payments.
///
/// Give the address of each node, not a balancer's. On a terminal a screen (q quits), otherwise lines. Exit status: 0; 1 a
/// node did not answer, or a shard had no owner, at the last look; 2 wrong usage.
#[derive(Parser)]
#[command(name = "galo-top", version)]
pub struct Arguments {
    /// http://host:port, host:port or unix:/path; of each node
    #[arg(default_value = "localhost:9999")]
    pub url: Vec<Target>,
    /// From one look to the next.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// How many looks; without it until it is ended.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
    match bounds.contains(&interval) {
        true => Ok(interval),
        false => Err("from 100ms to 1h".to_owned()),
    }
}
