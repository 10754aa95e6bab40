//! `galo-sim`: runs seeds, and says which of them broke a promise.

use std::fmt::Debug;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use galo_output::{complain, print, unprinted, Report};
use galo_sim::machines::MACHINES;
use galo_sim::many::{Options, Simulation, Tally};
use galo_sim::run::BANK_AND_GATEWAY;
use galo_sim::trace::Shown;

const HELP: &str = "\
galo-sim: a deterministic simulator for galo

  --seed S            runs one seed
  --trace             and prints what happens in it, one event a line
  --steps             and how: every event and effect of a core
  --seeds N           runs N seeds, on all CPUs (default: 1000)
  --from S            beginning with this one (default: 0)
  --machines          of the world of several machines, and what replicates between them
  --self-test         puts known-wrong behaviour in, and expects that it is found
  --sabotage NAME     puts one kind of wrong behaviour into the runs, as the self-test names it
  --coverage          prints what the runs met

Exit status 1: a promise was broken (or, with --self-test, none was);
2: wrong usage, or the output could not be written.
";

struct Arguments {
    seed: Option<u64>,
    seeds: u64,
    from: u64,
    shown: Shown,
    machines: bool,
    self_test: bool,
    sabotage: Option<String>,
    coverage: bool,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments = Arguments {
        seed: None,
        seeds: 1000,
        from: 0,
        shown: Shown::Nothing,
        machines: false,
        self_test: false,
        sabotage: None,
        coverage: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seed") => arguments.seed = Some(parser.value()?.parse()?),
            Long("seeds") => arguments.seeds = parser.value()?.parse()?,
            Long("from") => arguments.from = parser.value()?.parse()?,
            Long("trace") => arguments.shown = arguments.shown.max(Shown::Events),
            Long("steps") => arguments.shown = Shown::Steps,
            Long("machines") => arguments.machines = true,
            Long("self-test") => arguments.self_test = true,
            Long("sabotage") => arguments.sabotage = Some(parser.value()?.parse()?),
            Long("coverage") => arguments.coverage = true,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(arguments))
}

const PROGRAM: &str = "galo-sim";
const UNPRINTED: u8 = 2;

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            return match print(HELP) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => unprinted(PROGRAM, &error, UNPRINTED),
            }
        }
        Err(error) => {
            complain(PROGRAM, format_args!("{error}; see --help"));
            return ExitCode::from(2);
        }
    };
    match arguments.machines {
        true => execute(&arguments, &MACHINES),
        false => execute(&arguments, &BANK_AND_GATEWAY),
    }
}

fn execute<S, C>(arguments: &Arguments, simulation: &Simulation<S, C>) -> ExitCode
where
    S: Copy + Debug + Send + Sync,
    C: Tally,
{
    let mut sabotage = None;
    if let Some(name) = &arguments.sabotage {
        let mut all = simulation.sabotages.iter().copied();
        sabotage = all.find(|sabotage| format!("{sabotage:?}") == *name);
        if sabotage.is_none() {
            let error = format_args!("there is no sabotage {name:?}; see --help");
            complain(PROGRAM, error);
            return ExitCode::from(2);
        }
    }
    // Runs go on when nobody reads: what they find is in the status, too.
    let mut report = Report::default();
    let good = match arguments.self_test {
        true => self_test(arguments.from, &mut report, simulation),
        false => seeds(arguments, &mut report, simulation, sabotage),
    };
    match (good, report.finish()) {
        (Ok(true), Ok(())) => ExitCode::SUCCESS,
        (Ok(false), _) => ExitCode::FAILURE,
        (_, Err(error)) | (Err(error), _) => unprinted(PROGRAM, &error, UNPRINTED),
    }
}

/// Whether no promise was broken.
fn seeds<S, C>(
    arguments: &Arguments,
    report: &mut Report,
    simulation: &Simulation<S, C>,
    sabotage: Option<S>,
) -> io::Result<bool>
where
    S: Copy + Send + Sync,
    C: Tally,
{
    let (from, count) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.from, arguments.seeds),
    };
    let shown = match arguments.seed {
        Some(_) => arguments.shown,
        None => Shown::Nothing,
    };
    let options = Options { shown, sabotage };
    let begin = Instant::now();
    let flag = simulation.flag;
    let summary = simulation.many(from, count, options, false, |seed, violation| {
        // The report keeps its errors to itself.
        let _ = writeln!(
            report,
            "seed {seed}: {violation}\n  replay: cargo run --release -p galo-sim -- {flag}--seed {seed} --trace"
        );
    });
    if arguments.coverage {
        for (name, count) in summary.coverage.list() {
            writeln!(report, "{name:>24} {count}")?;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (passed, failed) = (summary.passed, summary.failed.len());
    writeln!(report, "{count} seeds from {from} in {seconds:.1} s")?;
    writeln!(report, "{passed} passed, {failed} failed")?;
    Ok(failed == 0)
}

/// Whether everything that was put in was found.
fn self_test<S, C>(
    from: u64,
    report: &mut Report,
    simulation: &Simulation<S, C>,
) -> io::Result<bool>
where
    S: Copy + Debug + Send + Sync,
    C: Tally,
{
    let (mut missed, seeds) = (0, simulation.self_test_seeds);
    for &sabotage in simulation.sabotages {
        let summary = simulation.self_test(from, sabotage);
        match summary.failed.first_key_value() {
            Some((seed, violation)) => {
                let short: String = violation.chars().take(100).collect();
                writeln!(report, "{sabotage:?}: found with seed {seed}: {short}")?;
            }
            None => {
                missed += 1;
                writeln!(report, "{sabotage:?}: NOT FOUND with {seeds} seeds")?;
            }
        }
    }
    let found = simulation.sabotages.len() - missed;
    writeln!(report, "{found} found, {missed} missed")?;
    Ok(missed == 0)
}
