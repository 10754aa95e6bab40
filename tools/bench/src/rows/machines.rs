//! Nodes on several machines: what a request takes beyond the append that it waits for, how many there are a second, and
//! what a node takes of memory.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use galo_load::engine::Stop;
use galo_testkit::{NatsClient, NatsCluster};

use super::start::write_clients;
use super::{megabytes, spread, Bench, Row};
use crate::machines::append::{last_length, make_stream, Appender};
use crate::machines::load::{self, Amount, Outcome};
use crate::machines::{self, client_of, Nodes, NODES, SHARDS};
use crate::report::Figure;
use crate::rounds::{in_turn, median};
use galo_bench::client::Connection;
use galo_bench::server::Server;

/// So many that each shard has some.
const ACCOUNTS: u32 = 1_000;
/// To all nodes together: more of them add nothing but waiting.
const SATURATION: usize = 2_040;
/// What streams and subjects are called after.
pub(super) const CLUSTER: &str = "bench";

impl Bench {
    /// Servers for a row, with their files where all of the rows' are.
    pub(super) fn engine(&self) -> Result<NatsCluster> {
        machines::engine(&self.scratch)
    }

    /// Flags of nodes with so many accounts, and their file, which has to be made once.
    pub(super) fn accounts(&self, accounts: u32) -> Result<Vec<OsString>> {
        let clients = self.new_path("clients.json");
        write_clients(&clients, accounts)?;
        Ok(vec!["--clients".into(), clients.into()])
    }

    /// Nodes on these servers, none of which runs.
    pub(super) fn nodes(
        &self,
        engine: &NatsCluster,
        cluster: &str,
        flags: &[OsString],
    ) -> Result<Nodes<'_>> {
        let mut all = flags.to_vec();
        all.extend(["--replicate".into(), engine.urls().join(",").into()]);
        all.extend(["--cluster", cluster].map(OsString::from));
        Nodes::new(&self.programs.galo, &self.new_path(cluster), all)
    }

    /// All three, with a few accounts.
    fn all_nodes(&self, engine: &NatsCluster) -> Result<Nodes<'_>> {
        let mut nodes = self.nodes(engine, CLUSTER, &self.accounts(ACCOUNTS)?)?;
        nodes.start(&[0, 1, 2])?;
        Ok(nodes)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.scale.seconds)
    }

    /// One run of load on all nodes that run, of which nothing may fail.
    pub(super) fn load_nodes(
        &self,
        nodes: &Nodes<'_>,
        accounts: u32,
        amount: Amount,
    ) -> Result<Outcome> {
        let stop = Stop::default();
        load::run(&nodes.addresses(), accounts, amount, self.length(), &stop)?.sound()
    }

    /// Half of what these nodes can do, a second.
    pub(super) fn half_load(&self, nodes: &Nodes<'_>, accounts: u32) -> Result<f64> {
        let full = Amount::Closed(SATURATION);
        self.load_nodes(nodes, accounts, full)?;
        Ok(self.load_nodes(nodes, accounts, full)?.per_second / 2.0)
    }

    pub(super) fn machines(&self) -> Result<Vec<Figure>> {
        let row = Row::Machines;
        let engine = self.engine()?;
        let nodes = self.all_nodes(&engine)?;
        let log = format!("GALO_{CLUSTER}");
        let mut client = NatsClient::connect(&engine.urls()[0])?;
        let address = nodes.server(0)?.address;
        Connection::open(address)?.post(client_of(1))?;
        let length = last_length(&mut client, &log, &format!("galo.{CLUSTER}.log.1"))?;
        make_stream(&mut client, &log)?;
        // Each server forwards to the one that leads: a node may be connected to any of them.
        let mut appenders = (0..)
            .zip(engine.urls())
            .map(|(number, url)| Appender::new(&url, &format!("{number}"), length))
            .collect::<Result<Vec<_>>>()?;
        let mut bare = |length: Duration| -> Result<Vec<f64>> {
            let (began, mut times) = (Instant::now(), Vec::new());
            while began.elapsed() < length {
                for appender in &mut appenders {
                    times.push(appender.append()?.as_secs_f64() * 1e3);
                }
            }
            times.sort_unstable_by(f64::total_cmp);
            Ok(times)
        };
        let half = self.half_load(&nodes, ACCOUNTS)?;
        bare(Duration::from_secs(1))?;
        let (mut samples, mut busy) = (Vec::<[f64; 8]>::new(), Vec::new());
        let addresses = nodes.addresses();
        let length_of_all = self.length();
        let run = |addresses: &[SocketAddr], amount| {
            load::run(addresses, ACCOUNTS, amount, length_of_all, &Stop::default())
        };
        for _ in 0..self.scale.rounds {
            let alone = bare(length_of_all)?;
            let (beside, loaded) = thread::scope(|scope| {
                let load = scope.spawn(|| run(&addresses, Amount::PerSecond(half)));
                let beside = bare(length_of_all);
                (beside, load.join().expect("it does not panic"))
            });
            let (beside, loaded) = (beside?, loaded?.sound()?);
            let one = run(&[address], Amount::Closed(1))?.sound()?;
            busy.push(loaded.busy);
            samples.push([
                quantile(&beside, 0.5),
                quantile(&beside, 0.99),
                quantile(&alone, 0.5),
                quantile(&alone, 0.99),
                loaded.quantile_ms(0.5),
                loaded.quantile_ms(0.99),
                one.quantile_ms(0.5),
                one.quantile_ms(0.99),
            ]);
        }
        let column = |of: usize| -> Vec<f64> { samples.iter().map(|it| it[of]).collect() };
        let ratios = |of: usize, to: usize| -> Vec<f64> {
            samples.iter().map(|it| it[of] / it[to]).collect()
        };
        let figure = |what: &str, values: &[f64], unit: &'static str| {
            Figure::new(row, what, median(values), unit)
                .lower_is_better()
                .note(spread(values))
                .samples(values)
        };
        let what = "several machines, half load: p50 of a transaction / of a bare append beside it";
        let mut figures = vec![
            figure(what, &ratios(4, 0), "×").must(2.2).aim(1.5),
            figure("the same, p99", &ratios(5, 1), "×")
                .must(3.0)
                .aim(2.0),
        ];
        for (what, to, of) in [
            (
                "half load: a transaction / a bare append without load",
                2,
                4,
            ),
            ("one connection: a transaction / a bare append", 2, 6),
        ] {
            figures.push(figure(&format!("{what}, p50"), &ratios(of, to), "×"));
            figures.push(figure("the same, p99", &ratios(of + 1, to + 1), "×"));
        }
        for (what, of) in [
            (
                format!("a bare append of {length} bytes, beside half load"),
                0,
            ),
            ("the same without load".to_owned(), 2),
            (format!("a transaction at half load, {half:.0}/s"), 4),
            ("a transaction, one connection".to_owned(), 6),
        ] {
            for (of, part) in [(of, "p50"), (of + 1, "p99")] {
                figures.push(figure(&format!("{what}: {part}"), &column(of), "ms"));
            }
        }
        let what = "half load: the busiest thread of what loads the nodes";
        figures.push(figure(what, &busy, "CPU"));
        Ok(figures)
    }

    /// Against the same nodes on one directory, which wait for a disk and for nobody else.
    pub(super) fn machines_speed(&self) -> Result<Vec<Figure>> {
        let row = Row::MachinesSpeed;
        let engine = self.engine()?;
        let accounts = self.accounts(ACCOUNTS)?;
        let mut replicated = self.nodes(&engine, CLUSTER, &accounts)?;
        replicated.start(&[0, 1, 2])?;
        let disk = [
            accounts,
            ["--durability", "disk"].map(OsString::from).into(),
        ]
        .concat();
        let mut together = Nodes::new(&self.programs.galo, &self.new_path("disk"), disk)?;
        together.start_together()?;
        let full = Amount::Closed(SATURATION);
        for nodes in [&replicated, &together] {
            self.load_nodes(nodes, ACCOUNTS, full)?;
        }
        let mut batches = Vec::new();
        let outcomes = in_turn(2, self.scale.rounds, |which| {
            let nodes = [&replicated, &together][which];
            let appends = || match which {
                0 => nodes.sum("galo_engine_appends_total"),
                _ => Ok(0.0),
            };
            let before = appends()?;
            let outcome = self.load_nodes(nodes, ACCOUNTS, full)?;
            if which == 0 {
                batches.push(outcome.tally.requests() as f64 / (appends()? - before));
            }
            Ok(outcome)
        })?;
        let of = |what: fn(&Outcome) -> f64| -> Vec<Vec<f64>> {
            let runs = outcomes.iter().map(|runs| runs.iter().map(what).collect());
            runs.collect()
        };
        let speeds = of(|outcome| outcome.per_second);
        let p99s = of(|outcome| outcome.quantile_ms(0.99));
        let pairs = speeds[0].iter().zip(&speeds[1]);
        let ratios: Vec<f64> = pairs.map(|(of, to)| of / to).collect();
        let what = format!("several machines, {SHARDS} shards, {SATURATION} connections: POST/s / those of one directory, disk");
        let mut figures = vec![
            Figure::new(row, what, median(&ratios), "×")
                .must(0.5)
                .aim(1.0)
                .note(spread(&ratios))
                .samples(&speeds),
            Figure::new(
                row,
                "requests in a batch then",
                median(&batches),
                "requests",
            )
            .must(16.0)
            .note(spread(&batches))
            .samples(&batches),
        ];
        for (which, who) in ["several machines", "one directory, disk"]
            .iter()
            .enumerate()
        {
            let (speed, p99) = (median(&speeds[which]), median(&p99s[which]));
            figures.push(
                Figure::new(row, format!("{who}: transactions"), speed, "requests/s")
                    .note(format!("p99 {p99:.1} ms")),
            );
        }
        Ok(figures)
    }

    /// A node of three, and the same alone without an engine, idle and with the same load.
    pub(super) fn machines_memory(&self) -> Result<Vec<Figure>> {
        let row = Row::MachinesMemory;
        let engine = self.engine()?;
        let accounts = self.accounts(ACCOUNTS)?;
        let mut nodes = self.nodes(&engine, CLUSTER, &accounts)?;
        nodes.start(&[0, 1, 2])?;
        let mut launch = self.galo_launch(&self.new_path("data"), None, &[]);
        launch.arguments.extend(accounts);
        launch
            .arguments
            .extend(["--shards".into(), SHARDS.to_string().into()]);
        let alone = Server::start(&launch)?;
        let node = nodes.server(0)?;
        let resident = || -> Result<[f64; 2]> {
            Ok([
                megabytes(node.resident()?.all),
                megabytes(alone.resident()?.all),
            ])
        };
        let idle = resident()?;
        let half = self.half_load(&nodes, ACCOUNTS)?;
        self.load_nodes(&nodes, ACCOUNTS, Amount::PerSecond(half))?;
        let same = Amount::PerSecond(half / NODES.len() as f64);
        load::run(
            &[alone.address],
            ACCOUNTS,
            same,
            self.length(),
            &Stop::default(),
        )?
        .sound()?;
        let loaded = resident()?;
        let figure = |what: &str, [node, alone]: [f64; 2]| {
            Figure::new(row, what, node - alone, "MB")
                .lower_is_better()
                .must(8.0)
                .aim(5.0)
                .note(format!("{node:.1} and {alone:.1} MB"))
                .samples([node, alone])
        };
        Ok(vec![
            figure(
                "several machines: a node's memory beyond that of one alone, idle",
                idle,
            ),
            figure(
                "the same, after half load (and after full load: of the node only)",
                loaded,
            ),
        ])
    }
}

/// Of sorted samples.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}
