//! `galo-bench`: measures galo against the no-op server, on this machine, in one run, and prints the
//! table of `docs/design.md`.
//!
//! | file | what |
//! |---|---|
//! | `rows` | what is measured: one function for each row of the table |
//! | `stack`, `nginx` | two servers, and nginx before them |
//! | `machines` | nodes on several machines, and the servers that keep their journals |
//! | `paced` | load at a given pace |
//! | `processor` | payment processors beside them |
//! | `rounds` | load on several servers in turn, and the ratios between them |
//! | `wrk` | what loads them, and reading what it prints |
//! | `report` | figures, the table, the JSON |
//! | `machine` | where it was measured |

mod crowd;
mod machine;
mod machines;
mod nginx;
mod paced;
mod processor;
mod report;
mod rounds;
mod row;
mod rows;
mod stack;
mod wrk;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use clap::{Parser, ValueEnum};
use galo_bench::callgrind;
use galo_bench::server::Programs;
use galo_output::{complain, unprinted, Report};
use galo_testkit::find_nats_server;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use machine::Machine;
use report::LeftOut;
use rows::{Bench, Row, Scale};

/// Measures galo against the no-op server, and prints the table.
#[derive(Parser)]
struct Arguments {
    /// A smoke run: everything once, short, the large directory smaller; its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Only this row; may be repeated.
    #[arg(long, value_name = "ROW")]
    only: Vec<Row>,
    /// Where the figures go, with every sample.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with status 1 if a must is missed.
    #[arg(long)]
    check: bool,
    /// Interleaved rounds of the rows that compare servers.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Seconds of load for each server in each round.
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// Where data directories are made (and removed). Best on a real file system.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const PROGRAM: &str = "galo-bench";

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    end_children_on_panic();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help, or what is wrong with the command line.
        Err(text) => {
            return match text.print() {
                Ok(()) => ExitCode::from(text.exit_code() as u8),
                Err(error) => unprinted(PROGRAM, &error, 2),
            }
        }
    };
    // Measuring goes on when nobody reads: the figures are in the JSON, too.
    let mut report = Report::default();
    match (run(&arguments, &mut report), report.finish()) {
        (Ok(true), Ok(())) => ExitCode::SUCCESS,
        (Ok(false), Ok(())) => ExitCode::FAILURE,
        (Ok(_), Err(error)) => unprinted(PROGRAM, &error, 2),
        (Err(error), _) => {
            complain(PROGRAM, format_args!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// A release does not unwind, so nobody else would end them.
fn end_children_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            for pid in children.unwrap_or_default().split_ascii_whitespace() {
                if let Ok(pid) = pid.parse() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }));
}

/// Whether the run is to count as passed.
fn run(arguments: &Arguments, report: &mut Report) -> Result<bool> {
    let programs = Programs::find()?;
    for (tool, package) in [("wrk", "wrk"), ("strace", "strace")]
        .into_iter()
        .chain(callgrind::PROGRAMS)
    {
        if nginx::on_path(tool).is_none() {
            bail!(
                "{tool} is missing; install it (Debian, Ubuntu, Fedora, Arch: package {package})"
            );
        }
    }
    nginx::expect_installed().map_err(anyhow::Error::msg)?;
    let target = programs.directory.parent().map(PathBuf::from);
    let target = target.context("the executable has no directory above it")?;
    let dir = match &arguments.dir {
        Some(dir) => dir.clone(),
        None => std::env::var_os("TMPDIR").map_or(target.clone(), PathBuf::from),
    };
    let scratch = tempfile::Builder::new()
        .prefix("galo-bench-")
        .tempdir_in(&dir)
        .with_context(|| format!("no directory can be made in {}", dir.display()))?;
    let mut scale = if arguments.quick {
        Scale::QUICK
    } else {
        Scale::FULL
    };
    scale.rounds = arguments.rounds.unwrap_or(scale.rounds).max(1);
    scale.seconds = arguments.seconds.unwrap_or(scale.seconds).max(1);

    let machine = Machine::here(scratch.path(), &programs.galo)?;
    writeln!(report, "{machine}\n")?;
    let bench = Bench::new(programs, scratch.path(), scale)?;
    let mut rows: Vec<Row> = match arguments.only.as_slice() {
        [] => Row::value_variants().to_vec(),
        only => only.to_vec(),
    };
    let mut left_out = Vec::new();
    if let Err(missing) = find_nats_server() {
        if let Some(row) = arguments.only.iter().find(|row| row.needs_nats_server()) {
            bail!("row {row}: {missing}");
        }
        let rest = rows.extract_if(.., |row| row.needs_nats_server());
        left_out.extend(rest.map(|row| LeftOut { row, why: missing }));
    }
    let mut figures = Vec::new();
    for row in rows {
        complain(PROGRAM, format_args!("{row} …"));
        figures.extend(bench.measure(row).with_context(|| format!("row {row}"))?);
    }
    write!(report, "{}", report::table(&figures))?;
    for LeftOut { row, why } in &left_out {
        writeln!(report, "left out: {row}: {why}")?;
    }
    let json = match &arguments.json {
        Some(path) => path.clone(),
        None => target.join("bench.json"),
    };
    let text = serde_json::to_string_pretty(&report::json(&machine, &scale, &figures, &left_out))?;
    std::fs::write(&json, text + "\n").with_context(|| format!("{}", json.display()))?;
    writeln!(report, "\nsamples: {}", json.display())?;
    let missed = figures
        .iter()
        .any(|figure| figure.meets_must() == Some(false));
    Ok(!(arguments.check && missed))
}
