//! What is measured: one function for each row of the table in `docs/design.md`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use galo::io::Choice;
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use serde_json::{json, Value};

use crate::client;
use crate::report::Figure;
use crate::rounds::{median, median_of, ratio, rounds, Sample};
use crate::server::{Cpus, Launch, Programs, Server};
use crate::strace;
use crate::wrk::{Load, Wrk};

/// Bytes in a megabyte of the table.
const MB: f64 = 1e6;
/// Requests in one piece, where they are pipelined.
const PIPELINED: usize = 16;

/// A row of the table: what `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// Transactions against the no-op server, and their latency.
    Transactions,
    /// System calls for each request.
    Syscalls,
    /// Resident memory with many connections.
    Memory,
    /// Start to the first 200, five accounts.
    Start,
    /// Start to the first 200, a large snapshot.
    StartLarge,
    /// CPU time when idle.
    Idle,
    /// Durability disk against process.
    Durability,
    /// Pipelined transactions against the no-op server.
    Pipelined,
}

impl Row {
    pub const ALL: [Row; 8] = [
        Row::Transactions,
        Row::Syscalls,
        Row::Memory,
        Row::Start,
        Row::StartLarge,
        Row::Idle,
        Row::Durability,
        Row::Pipelined,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Row::Transactions => "transactions",
            Row::Syscalls => "syscalls",
            Row::Memory => "memory",
            Row::Start => "start",
            Row::StartLarge => "start-large",
            Row::Idle => "idle",
            Row::Durability => "durability",
            Row::Pipelined => "pipelined",
        }
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub rounds: usize,
    /// Of load, for each server in each round.
    pub seconds: u64,
    /// Open connections of the row on memory.
    pub connections: usize,
    pub starts: usize,
    pub large_accounts: u32,
    pub large_starts: usize,
    pub idle_seconds: u64,
}

impl Scale {
    pub const FULL: Scale = Scale {
        rounds: 7,
        seconds: 3,
        connections: 1000,
        starts: 20,
        large_accounts: 1_000_000,
        large_starts: 5,
        idle_seconds: 10,
    };
    pub const QUICK: Scale = Scale {
        rounds: 1,
        seconds: 1,
        connections: 1000,
        starts: 3,
        large_accounts: 20_000,
        large_starts: 2,
        idle_seconds: 2,
    };

    pub fn json(&self) -> Value {
        json!({
            "rounds": self.rounds,
            "seconds": self.seconds,
            "connections": self.connections,
            "starts": self.starts,
            "large_accounts": self.large_accounts,
            "large_starts": self.large_starts,
            "idle_seconds": self.idle_seconds,
        })
    }
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
        galo::io::raise_limits();
        let chosen = Choice::Auto.decide().map_err(anyhow::Error::msg)?;
        let cpus = Cpus::choose()?;
        if cpus.load == cpus.server {
            eprintln!("warning: one CPU for server and load: look at requests per CPU second only");
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
            Row::Memory => self.memory(),
            Row::Start => self.start(),
            Row::StartLarge => self.start_large(),
            Row::Idle => self.idle(),
            Row::Durability => self.durability(),
            Row::Pipelined => self.pipelined(),
        }
    }

    // ---- Servers -------------------------------------------------------------

    fn new_path(&self, what: &str) -> PathBuf {
        self.names.set(self.names.get() + 1);
        self.scratch.join(format!("{what}-{}", self.names.get()))
    }

    /// galo with one core. `cpu`: see [`Launch::cpu`].
    fn galo_with(&self, data: &Path, cpu: Option<usize>, more: &[(&str, &Path)]) -> Result<Server> {
        let mut arguments: Vec<OsString> = ["--cores", "1", "--data"].map(OsString::from).into();
        arguments.push(data.into());
        for (flag, value) in more {
            arguments.push(flag.into());
            arguments.push(value.into());
        }
        Server::start(&Launch {
            program: &self.programs.galo,
            arguments,
            cpu,
            log: &self.new_path("galo.log"),
        })
    }

    /// galo with five accounts in a directory of its own, on the server's CPU.
    fn galo(&self, flags: &[(&str, &str)]) -> Result<Server> {
        let flags: Vec<(&str, &Path)> = flags.iter().map(|(f, v)| (*f, Path::new(*v))).collect();
        self.galo_with(&self.new_path("data"), Some(self.cpus.server), &flags)
    }

    fn noop(&self, driver: &str) -> Result<Server> {
        Server::start(&Launch {
            program: &self.programs.noop,
            arguments: ["--io", driver].map(OsString::from).into(),
            cpu: Some(self.cpus.server),
            log: &self.new_path("noop.log"),
        })
    }

    /// This many connections, each of which has posted once.
    fn connections(&self, server: &Server, count: usize) -> Result<Vec<TcpStream>> {
        (0..count)
            .map(|_| {
                let mut stream = TcpStream::connect(server.address)?;
                client::post(&mut stream)?;
                Ok(stream)
            })
            .collect()
    }

    // ---- Rows ------------------------------------------------------------------

    fn transactions(&self) -> Result<Vec<Figure>> {
        let row = Row::Transactions.name();
        let load = Load {
            connections: 32,
            pipelined: 1,
            seconds: self.scale.seconds,
        };
        let mut figures = Vec::new();
        let mut servers = vec![
            self.galo(&[("--io", self.driver)])?,
            self.noop(self.driver)?,
        ];
        let with_epoll = self.driver != "epoll";
        if with_epoll {
            servers.push(self.galo(&[("--io", "epoll")])?);
            servers.push(self.noop("epoll")?);
        }
        let lengths = servers
            .iter()
            .map(|server| client::post(&mut TcpStream::connect(server.address)?))
            .collect::<Result<Vec<usize>>>()?;
        let references: Vec<&Server> = servers.iter().collect();
        let samples = rounds(&references, &self.wrk, load, self.scale.rounds)?;

        let what = format!(
            "POST transacoes, 1 core, 32 connections, {}: galo / no-op",
            self.driver
        );
        let mut figure = compare(row, what, &samples[0], &samples[1])
            .must(0.80)
            .aim(0.95);
        if lengths[0].abs_diff(lengths[1]) > 8 {
            figure.note += &format!("; replies of {} and {} bytes", lengths[0], lengths[1]);
        }
        figures.push(figure);
        if with_epoll {
            let what = "the same, epoll: galo / no-op";
            figures.push(compare(row, what, &samples[2], &samples[3]));
            let what = "galo uring / galo epoll";
            figures.push(compare(row, what, &samples[0], &samples[2]));
            let what = "no-op uring / no-op epoll";
            figures.push(compare(row, what, &samples[1], &samples[3]));
        }
        for (name, samples) in [("galo", &samples[0]), ("no-op", &samples[1])] {
            let speed = median_of(samples, Sample::requests_per_s);
            figures.push(Figure::new(row, name, speed, "requests/s"));
            let speed = median_of(samples, Sample::requests_per_cpu_s);
            figures.push(Figure::new(row, name, speed, "requests/CPU s"));
            for (percentile, time) in [
                ("p50", median_of(samples, |sample| sample.run.p50_us)),
                ("p99", median_of(samples, |sample| sample.run.p99_us)),
            ] {
                let what = format!("{name} latency {percentile}, 32 connections");
                figures.push(Figure::new(row, what, time / 1e3, "ms").lower_is_better());
            }
        }
        Ok(figures)
    }

    fn syscalls(&self) -> Result<Vec<Figure>> {
        let row = Row::Syscalls.name();
        let load = Load {
            connections: 64,
            pipelined: 1,
            seconds: self.scale.seconds,
        };
        let measure = |server: &Server| -> Result<(f64, Value)> {
            // The connections are made, and the rest is warm, before it counts.
            self.wrk.run(server.address, Load { seconds: 1, ..load })?;
            let (calls, run) = strace::count(server.pid(), &self.scratch, || {
                self.wrk.run(server.address, load)
            })?;
            let sum: u64 = calls.iter().map(|(_, count)| count).sum();
            let by_name: BTreeMap<_, _> = calls.into_iter().collect();
            let samples = json!({ "calls": by_name, "requests": run.requests });
            Ok((sum as f64 / run.requests as f64, samples))
        };
        let (noop, noop_samples) = measure(&self.noop(self.driver)?)?;
        let (galo, galo_samples) = measure(&self.galo(&[("--io", self.driver)])?)?;
        let what = "system calls per request, 64 connections (strace -c)";
        Ok(vec![
            Figure::new(row, what, galo, "calls")
                .lower_is_better()
                .must(0.5)
                .aim(noop)
                .note("aim: the no-op server's")
                .samples(galo_samples),
            Figure::new(row, "the same, no-op", noop, "calls")
                .lower_is_better()
                .samples(noop_samples),
        ])
    }

    fn memory(&self) -> Result<Vec<Figure>> {
        let row = Row::Memory.name();
        let server = self.galo(&[("--io", self.driver)])?;
        let before = server.resident()?;
        let connections = self.connections(&server, self.scale.connections)?;
        let after = server.resident()?;
        let what = format!(
            "resident memory, 5 accounts, {} connections",
            connections.len()
        );
        let megabytes = |bytes: u64| bytes as f64 / MB;
        Ok(vec![Figure::new(row, what, megabytes(after.all), "MB")
            .lower_is_better()
            .must(10.0)
            .aim(6.0)
            .note(format!(
                "{:.1} MB before them; of the executable and other files: {:.1} MB",
                megabytes(before.all),
                megabytes(after.file)
            ))
            .samples(json!({
                "before": { "all": before.all, "anonymous": before.anonymous, "file": before.file },
                "after": { "all": after.all, "anonymous": after.anonymous, "file": after.file },
            }))])
    }

    /// Starts on a directory that a server has left: milliseconds to the first 200, and resident
    /// bytes then. Not kept on one CPU: nobody starts it so.
    fn starts(&self, data: &Path, count: usize) -> Result<(Vec<f64>, Vec<u64>)> {
        let (mut times, mut resident) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let server = self.galo_with(data, None, &[])?;
            times.push(server.start.as_secs_f64() * 1e3);
            resident.push(server.resident()?.all);
            server.stop()?;
        }
        Ok((times, resident))
    }

    fn start(&self) -> Result<Vec<Figure>> {
        let row = Row::Start.name();
        let data = self.new_path("data");
        let server = self.galo_with(&data, None, &[])?;
        self.connections(&server, 1)?;
        server.stop()?;
        let (times, _) = self.starts(&data, self.scale.starts)?;
        Ok(vec![Figure::new(
            row,
            "start to first 200, 5 accounts",
            median(&times),
            "ms",
        )
        .lower_is_better()
        .must(50.0)
        .aim(10.0)
        .note(spread(&times))
        .samples(json!(times))])
    }

    fn start_large(&self) -> Result<Vec<Figure>> {
        let row = Row::StartLarge.name();
        let accounts = self.scale.large_accounts;
        let clients = self.new_path("clients.json");
        write_clients(&clients, accounts)?;
        let data = self.new_path("data");
        let server = self.galo_with(&data, None, &[("--clients", &clients)])?;
        let made_ms = server.start.as_secs_f64() * 1e3;
        self.connections(&server, 1)?;
        server.stop()?;
        let (times, resident) = self.starts(&data, self.scale.large_starts)?;
        std::fs::remove_dir_all(&data)?;
        let memory: Vec<f64> = resident.iter().map(|bytes| *bytes as f64 / MB).collect();
        let what = format!("start to first 200, {accounts} accounts in the snapshot");
        Ok(vec![
            Figure::new(row, what, median(&times), "ms")
                .lower_is_better()
                .must(1000.0)
                .aim(100.0)
                .note(format!("{}; file cache warm", spread(&times)))
                .samples(json!(times)),
            Figure::new(row, "resident memory then", median(&memory), "MB")
                .lower_is_better()
                .samples(json!(resident)),
            Figure::new(row, "making that directory, to first 200", made_ms, "ms")
                .lower_is_better(),
        ])
    }

    fn idle(&self) -> Result<Vec<Figure>> {
        let row = Row::Idle.name();
        let server = self.galo(&[("--io", self.driver)])?;
        let connections = self.connections(&server, 32)?;
        // What follows a request (fdatasync) is over by then.
        std::thread::sleep(Duration::from_secs(1));
        let before = server.cpu_ticks()?;
        std::thread::sleep(Duration::from_secs(self.scale.idle_seconds));
        let ticks = server.cpu_ticks()? - before;
        let what = format!(
            "CPU when idle, {} connections open: ticks in {} s",
            connections.len(),
            self.scale.idle_seconds
        );
        Ok(vec![Figure::new(row, what, ticks as f64, "ticks")
            .lower_is_better()
            .must(0.0)
            .aim(0.0)])
    }

    fn durability(&self) -> Result<Vec<Figure>> {
        let row = Row::Durability.name();
        let load = Load {
            connections: 32,
            pipelined: 1,
            seconds: self.scale.seconds,
        };
        let process = self.galo(&[("--durability", "process")])?;
        let disk = self.galo(&[("--durability", "disk")])?;
        let count = self.scale.rounds.div_ceil(2);
        let samples = rounds(&[&disk, &process], &self.wrk, load, count)?;
        let (value, each) = ratio(&samples[0], &samples[1], Sample::requests_per_s);
        let speed = median_of(&samples[0], Sample::requests_per_s);
        let p99_ms = median_of(&samples[0], |sample| sample.run.p99_us / 1e3);
        let what = "durability disk / process, requests/s";
        Ok(vec![
            Figure::new(row, what, value, "×")
                .note(spread(&each))
                .samples(json_of(&samples)),
            Figure::new(row, "durability disk, 32 connections", speed, "requests/s"),
            Figure::new(row, "durability disk latency p99", p99_ms, "ms").lower_is_better(),
        ])
    }

    fn pipelined(&self) -> Result<Vec<Figure>> {
        let row = Row::Pipelined.name();
        let load = Load {
            connections: 32,
            pipelined: PIPELINED,
            seconds: self.scale.seconds,
        };
        let servers = [
            self.galo(&[("--io", self.driver)])?,
            self.noop(self.driver)?,
        ];
        let count = self.scale.rounds.div_ceil(2);
        let samples = rounds(&[&servers[0], &servers[1]], &self.wrk, load, count)?;
        let what = format!("pipelined, {PIPELINED} at a time: galo / no-op");
        let speed = median_of(&samples[0], Sample::requests_per_s);
        Ok(vec![
            compare(row, what, &samples[0], &samples[1]),
            Figure::new(row, "galo, pipelined", speed, "requests/s"),
        ])
    }
}

/// The smaller of the two ratios. On two CPUs the load generator is the bottleneck, so requests/s
/// alone would hide what a request costs the server.
fn compare(row: &'static str, what: impl Into<String>, of: &[Sample], to: &[Sample]) -> Figure {
    let (wall, wall_each) = ratio(of, to, Sample::requests_per_s);
    let (cpu, cpu_each) = ratio(of, to, Sample::requests_per_cpu_s);
    let note = format!(
        "requests/s {wall:.3} ({}), per CPU second {cpu:.3} ({})",
        spread(&wall_each),
        spread(&cpu_each)
    );
    Figure::new(row, what, wall.min(cpu), "×")
        .note(note)
        .samples(json_of(&[of, to]))
}

/// The samples of each server.
fn json_of(servers: &[impl AsRef<[Sample]>]) -> Value {
    let samples = servers
        .iter()
        .map(|samples| samples.as_ref().iter().map(Sample::json).collect());
    samples.collect::<Vec<Value>>().into()
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

fn write_clients(path: &Path, count: u32) -> Result<()> {
    let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    let mut out = std::io::BufWriter::new(file);
    for id in 1..=count {
        let separator = if id == 1 { '[' } else { ',' };
        writeln!(
            out,
            "{separator}{{\"id\":{id},\"limite\":100000,\"saldo\":0}}"
        )?;
    }
    writeln!(out, "]")?;
    Ok(out.flush()?)
}
