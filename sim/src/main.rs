//! `galo-sim`: runs seeds, and says which of them broke a promise.

use std::fmt::Debug;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use galo_output::{complain, print, unprinted, Report};
use galo_sim::many::{many, Outcome, Tally};
use galo_sim::trace::Shown;
use galo_sim::{machines, run, sabotage};

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
    // Runs go on when nobody reads: what they find is in the status, too.
    let mut report = Report::default();
    let good = match arguments.machines {
        true => one_or_all(&arguments, &mut report, &MACHINES),
        false => one_or_all(&arguments, &mut report, &BANK_AND_GATEWAY),
    };
    match (good, report.finish()) {
        (Ok(true), Ok(())) => ExitCode::SUCCESS,
        (Ok(false), _) => ExitCode::FAILURE,
        (_, Err(error)) | (Err(error), _) => unprinted(PROGRAM, &error, UNPRINTED),
    }
}

/// A world that seeds are of.
struct World<S: 'static, C> {
    /// How it is asked for.
    flag: &'static str,
    /// What can be wrong in it.
    sabotages: &'static [S],
    /// Within so many seeds each of them must be found.
    self_test_seeds: u64,
    /// From which seed on one of these is soon met.
    first_seed: fn(S) -> u64,
    run: fn(u64, Shown, Option<S>) -> Outcome<C>,
}

const BANK_AND_GATEWAY: World<sabotage::Sabotage, run::Coverage> = World {
    flag: "",
    sabotages: sabotage::Sabotage::ALL,
    self_test_seeds: 400,
    first_seed: sabotage::Sabotage::first_seed,
    run: |seed, shown, sabotage| run::run(seed, run::Options { shown, sabotage }),
};

const MACHINES: World<machines::sabotage::Sabotage, machines::Coverage> = World {
    flag: "--machines ",
    sabotages: machines::sabotage::Sabotage::ALL,
    self_test_seeds: 1000,
    first_seed: |_| 0,
    run: |seed, shown, sabotage| machines::run(seed, machines::Options { shown, sabotage }),
};

/// Whether what was to be shown was.
fn one_or_all<S, C>(
    arguments: &Arguments,
    report: &mut Report,
    world: &World<S, C>,
) -> io::Result<bool>
where
    S: Copy + Debug + Send + Sync,
    C: Tally,
{
    if arguments.self_test {
        return self_test(arguments.from, report, world);
    }
    let sabotage = match &arguments.sabotage {
        None => None,
        Some(name) => {
            let named = |sabotage: &S| format!("{sabotage:?}") == *name;
            let found = world.sabotages.iter().copied().find(named);
            if found.is_none() {
                writeln!(report, "there is no sabotage {name:?}")?;
                return Ok(false);
            }
            found
        }
    };
    seeds(arguments, report, world, sabotage)
}

/// Whether no promise was broken.
fn seeds<S, C>(
    arguments: &Arguments,
    report: &mut Report,
    world: &World<S, C>,
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
    let begin = Instant::now();
    let (run, flag) = (world.run, world.flag);
    let run = move |seed| run(seed, shown, sabotage);
    let summary = many(from, count, run, false, |seed, violation| {
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
fn self_test<S, C>(from: u64, report: &mut Report, world: &World<S, C>) -> io::Result<bool>
where
    S: Copy + Debug + Send + Sync,
    C: Tally,
{
    let (mut missed, seeds) = (0, world.self_test_seeds);
    for &sabotage in world.sabotages {
        let run = world.run;
        let run = move |seed| run(seed, Shown::Nothing, Some(sabotage));
        let first = from + (world.first_seed)(sabotage);
        let summary = many(first, seeds, run, true, |_, _| {});
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
    let found = world.sabotages.len() - missed;
    writeln!(report, "{found} found, {missed} missed")?;
    Ok(missed == 0)
}
