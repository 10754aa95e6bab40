//! Flags, and what they may be.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::gate::Gate;
use crate::target::Target;

/// Load for the APIs of Rinha de Backend 2024/Q1 and 2025, of use against any implementation.
///
/// Closed loop without --rate: each connection sends when it has its reply. Open loop with it: requests are due at
/// that rate whatever the replies do, and latency counts from when they were due.
///
/// Every reply is checked for being right. Exit status: 0 all good; 1 a reply, a check, --verify or --fail-on failed;
/// 2 wrong usage, a target that never answers, or a report that cannot be written.
#[derive(Debug, Parser)]
#[command(
    name = "galo-load",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// An official run instead
    #[command(subcommand)]
    pub contest: Option<Contest>,
    /// The plain run
    #[command(flatten)]
    pub load: Option<Load>,
}

/// The official runs.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Contest {
    /// The official run of 2024/Q1: its fixed sequence, its ramps, every check, the score
    #[command(name = "rinha-2024")]
    Rinha2024(Rinha2024),
    /// The official run of 2025: stages of two processors, users, consistency checks, the score
    #[command(name = "rinha-2025")]
    Rinha2025(Rinha2025),
}

/// The plain run. It is there if its target is: of a struct with a flattened one inside, clap does not know that by itself.
#[derive(Clone, Debug, Args)]
#[group(arg = "target")]
pub struct Load {
    /// http://host:port/prefix, host:port or unix:/path
    // In the group by hand: derived groups of flags that have flags of another struct among them stay empty, and the
    // run would be taken for absent.
    #[arg(value_name = "URL", group = "Load")]
    pub target: Target,
    /// Connections at once, over all threads
    #[arg(short, long, value_name = "COUNT", default_value_t = 14, value_parser = count)]
    pub connections: usize,
    /// How long it takes, the warm-up not included [default: 10s, without --requests]
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How many requests it takes, the warm-up's not included
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Requests a second that are due (open loop)
    #[arg(short, long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// Threads that drive the connections
    #[arg(short, long, value_name = "COUNT", default_value_t = 1, value_parser = count)]
    pub threads: usize,
    /// A connection for each request, as Gatling has it
    #[arg(long)]
    pub no_keepalive: bool,
    /// What is sent
    #[arg(long, value_enum, default_value_t = Mix::Bank)]
    pub mix: Mix,
    /// Sent before, and not measured
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration_or_zero)]
    pub warmup: Duration,
    /// For one request
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// Decides clients, amounts and ids [default: the time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Recompute every balance, or the totals of payments, from the replies, and compare at the end: nobody else may use the target
    #[arg(long)]
    pub verify: bool,
    /// What is said of it
    #[command(flatten)]
    pub output: Output,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// 22 debits, 11 credits, 1 statement
    Bank,
    /// Payments
    Payments,
    /// Statements
    Extrato,
    /// Health checks
    Health,
}

/// The official run of 2024/Q1.
#[derive(Clone, Debug, Args)]
pub struct Rinha2024 {
    /// As for the plain run
    #[arg(value_name = "URL", default_value = "http://localhost:9999")]
    pub target: Target,
    /// Of the ramps' times; their rates stay. 1 is four minutes
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub scale: f64,
    /// How long the target may take to answer at all
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = duration)]
    pub wait: Duration,
    /// Decides clients, amounts and descriptions [default: the time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// What is said of it
    #[command(flatten)]
    pub output: Output,
}

/// The official run of 2025.
#[derive(Clone, Debug, Args)]
pub struct Rinha2025 {
    /// As for the plain run
    #[arg(value_name = "URL", default_value = "http://localhost:9999")]
    pub target: Target,
    /// The default processor, as this program reaches it. Without both: it starts two of its own
    #[arg(long, value_name = "URL", requires = "fallback")]
    pub default: Option<Target>,
    /// The fallback processor
    #[arg(long, value_name = "URL", requires = "default")]
    pub fallback: Option<Target>,
    /// Where its own default processor listens
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8001",
        conflicts_with = "default"
    )]
    pub listen_default: std::net::SocketAddr,
    /// Where its own fallback processor listens
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8002",
        conflicts_with = "default"
    )]
    pub listen_fallback: std::net::SocketAddr,
    /// What the processors' admin endpoints want
    #[arg(long, default_value = "123")]
    pub token: String,
    /// Users at the end of the ramp (603 in the final)
    #[arg(long, value_name = "COUNT", default_value_t = 550, value_parser = count)]
    pub users: usize,
    /// Of all times of the script. 1 is a minute
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub scale: f64,
    /// For one payment's reply. The script has 1.5s
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = duration)]
    pub timeout: Duration,
    /// How long acknowledged payments may take to be made once the users have gone
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub settle: Duration,
    /// How long the target may take to answer at all
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = duration)]
    pub wait: Duration,
    /// What is said of it
    #[command(flatten)]
    pub output: Output,
}

/// What is said of a run, and to whom.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Report")]
pub struct Output {
    /// Write the report as JSON (docs/load.md has its fields). -, here and for the next two, is standard output: the
    /// summary is on standard error then
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the time series as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Put a former run beside this one: its --json
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Exit with 1 if it is so: "p99>5ms", "errors>0", "rps<-5%" (against --compare)
    #[arg(long, value_name = "RULE")]
    pub fail_on: Vec<Gate>,
    /// Watch memory and CPU of a process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub watch_pid: Vec<u32>,
    /// Watch memory and CPU of a container
    #[arg(long, value_name = "NAME")]
    pub watch_container: Vec<String>,
    /// Of one point of the time series
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=65_536) => Ok(number),
        _ => Err("a number from 1 to 65536".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number of requests a second")?;
    match (1e-3..=1e7).contains(&rate) {
        true => Ok(rate),
        false => Err("from 0.001 to 10000000".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a number, such as 0.1")?;
    match (0.01..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("from 0.01 to 1".to_owned()),
    }
}

fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text);
    duration.map_err(|_| "a time with its unit, such as 500ms, 30s or 2m".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("a time that is not zero".to_owned()),
        duration => Ok(duration),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        interval if interval >= Duration::from_millis(100) => Ok(interval),
        _ => Err("100ms or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_line_of_other_testers_is_understood() {
        let cli = Cli::parse_from([
            "galo-load",
            "http://127.0.0.1:9999",
            "-c",
            "14",
            "-d",
            "30s",
            "-r",
            "340",
        ]);
        let load = cli.load.unwrap();
        assert_eq!((load.connections, load.rate), (14, Some(340.0)));
        assert_eq!(load.duration, Some(Duration::from_secs(30)));
        let cli = Cli::parse_from(["galo-load", "rinha-2024", "--scale", "0.1"]);
        assert!(matches!(cli.contest, Some(Contest::Rinha2024(run)) if run.scale == 0.1));
    }
}
