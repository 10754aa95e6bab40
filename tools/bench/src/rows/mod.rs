//! What is measured: one function for each row of the table in `docs/design.md`, one file for each
//! family of them.

mod cluster;
mod cost;
mod crowds;
mod full;
mod hop;
mod instructions;
mod load;
mod machines;
mod machines_faults;
mod machines_state;
mod payments;
mod payments_large;
mod payments_open;
mod speed;
mod stack;
mod start;

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use galo::io::DriverChoice;
use galo_load::measure::Tally;
use galo_output::complain;
use nix::sys::resource::{getrlimit, setrlimit, Resource};

use crate::report::Figure;
use crate::rounds::{ratio, Sample};
pub use crate::row::{Row, Scale};
use crate::wrk::{Load, Post, Wrk};
use galo_bench::client::{self, Connection};
use galo_bench::server::{Cpus, Launch, Programs, Server};

/// Of the table.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What every row needs.
pub struct Bench {
    programs: Programs,
    scratch: PathBuf,
    scale: Scale,
    cpus: Cpus,
    /// The one that galo chooses here: uring, unless the kernel refuses it.
    driver: &'static str,
    wrk: Wrk,
    /// Numbers data directories and logs.
    names: Cell<usize>,
}

impl Bench {
    pub fn new(programs: Programs, scratch: &Path, scale: Scale) -> Result<Bench> {
        // Both ends of a thousand connections, and what else is open.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        galo::system::raise_limits();
        let chosen = DriverChoice::Auto.decide().map_err(anyhow::Error::msg)?;
        let cpus = Cpus::choose()?;
        if cpus.load == cpus.server {
            complain(
                "galo-bench",
                "warning: one CPU for server and load: look at requests per CPU second only",
            );
        }
        Ok(Bench {
            wrk: Wrk::new(scratch, cpus.load),
            programs,
            scratch: scratch.to_path_buf(),
            scale,
            cpus,
            driver: chosen.driver.name(),
            names: Cell::new(0),
        })
    }

    pub fn measure(&self, row: Row) -> Result<Vec<Figure>> {
        match row {
            Row::Transactions => self.transactions(),
            Row::Syscalls => self.syscalls(),
            Row::Instructions => self.instructions(),
            Row::Memory => self.memory(),
            Row::Start => self.start(),
            Row::StartLarge => self.start_large(),
            Row::Idle => self.idle(),
            Row::Durability => self.durability(),
            Row::Pipelined => self.pipelined(),
            Row::Full => self.full(),
            Row::Hop => self.hop(),
            Row::Stack => self.stack(),
            Row::StackMemory => self.stack_memory(),
            Row::Paced => self.paced(),
            Row::Forward => self.forward(),
            Row::Takeover => self.takeover(),
            Row::Payments => self.payments(),
            Row::PaymentsPaced => self.payments_paced(),
            Row::PaymentsCost => self.payments_cost(),
            Row::PaymentsLarge => self.payments_large(),
            Row::PaymentsOpen => self.payments_open(),
            Row::Fairness => self.fairness(),
            Row::Flood => self.flood(),
            Row::Machines => self.machines(),
            Row::MachinesSpeed => self.machines_speed(),
            Row::MachinesFaults => self.machines_faults(),
            Row::MachinesMemory => self.machines_memory(),
            Row::MachinesJoin => self.machines_join(),
            Row::MachinesStore => self.machines_store(),
            Row::Load => self.load(),
        }
    }

    // ---- Servers -------------------------------------------------------------

    fn new_path(&self, what: &str) -> PathBuf {
        self.names.set(self.names.get() + 1);
        self.scratch.join(format!("{what}-{}", self.names.get()))
    }

    /// galo with one core. `cpu`: see [`Launch::cpu`].
    fn galo_launch(&self, data: &Path, cpu: Option<usize>, more: &[(&str, &Path)]) -> Launch<'_> {
        self.galo_launch_with("1", data, cpu, more)
    }

    fn galo_launch_with(
        &self,
        cores: &str,
        data: &Path,
        cpu: Option<usize>,
        more: &[(&str, &Path)],
    ) -> Launch<'_> {
        let mut arguments: Vec<OsString> = ["--cores", cores, "--data"].map(OsString::from).into();
        arguments.push(data.into());
        for (flag, value) in more {
            arguments.push(flag.into());
            arguments.push(value.into());
        }
        Launch {
            program: &self.programs.galo,
            arguments,
            cpu,
            log: self.new_path("galo.log"),
        }
    }

    fn galo_with(&self, data: &Path, cpu: Option<usize>, more: &[(&str, &Path)]) -> Result<Server> {
        Server::start(&self.galo_launch(data, cpu, more))
    }

    /// galo with five accounts in a directory of its own, on the server's CPU.
    fn galo(&self, flags: &[(&str, &str)]) -> Result<Server> {
        let flags: Vec<(&str, &Path)> = flags.iter().map(|(f, v)| (*f, Path::new(*v))).collect();
        self.galo_with(&self.new_path("data"), Some(self.cpus.server), &flags)
    }

    fn noop_launch(&self, driver: &str) -> Launch<'_> {
        Launch {
            program: &self.programs.noop,
            arguments: ["--io", driver].map(OsString::from).into(),
            cpu: Some(self.cpus.server),
            log: self.new_path("noop.log"),
        }
    }

    fn noop(&self, driver: &str) -> Result<Server> {
        Server::start(&self.noop_launch(driver))
    }

    /// What most rows put on servers: one transaction after the other on each connection.
    fn transactions_load(&self) -> Load {
        Load {
            post: Post::Transaction(client::CLIENT),
            connections: 32,
            pipelined: 1,
            seconds: self.scale.seconds,
        }
    }

    /// This many connections, each of which has posted once.
    fn connections(&self, server: &Server, count: usize) -> Result<Vec<Connection>> {
        (0..count)
            .map(|_| {
                let mut connection = Connection::open(server.address)?;
                connection.post(client::CLIENT)?;
                Ok(connection)
            })
            .collect()
    }
}

/// The smaller of the two ratios. On two CPUs the load generator is the bottleneck, so requests/s
/// alone would hide what a request costs the server.
fn compare(row: Row, what: impl Into<String>, of: &[Sample], to: &[Sample]) -> Figure {
    let (wall, wall_each) = ratio(of, to, Sample::requests_per_s);
    let (cpu, cpu_each) = ratio(of, to, Sample::requests_per_cpu_s);
    let note = format!(
        "requests/s {wall:.3} ({}), per CPU second {cpu:.3} ({})",
        spread(&wall_each),
        spread(&cpu_each)
    );
    Figure::new(row, what, wall.min(cpu), "×")
        .note(note)
        .samples([of, to])
}

/// p50, p99 and max of galo's and of the no-op servers' latencies; `bound`: what galo's p99 must be.
fn latencies(
    row: Row,
    what: &str,
    tallies: &[Tally; 2],
    bound: impl Fn(Figure) -> Figure,
) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (who, tally) in ["galo", "no-op"].into_iter().zip(tallies) {
        let latency = tally.latency();
        for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let ms = latency.value_at_quantile(part) as f64 / 1e6;
            let mut figure = Figure::new(row, format!("{what}: {who}, {name}"), ms, "ms");
            if (who, name) == ("galo", "p99") {
                figure = bound(figure);
            }
            figures.push(
                figure
                    .lower_is_better()
                    .note(format!("of {}", latency.len())),
            );
        }
    }
    figures
}

/// The least and the most of it.
fn spread(samples: &[f64]) -> String {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match most {
        10.0.. => format!("{least:.1}–{most:.1}"),
        _ => format!("{least:.2}–{most:.2}"),
    }
}
