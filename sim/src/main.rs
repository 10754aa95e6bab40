//! `galo-sim`: runs seeds, and says which of them broke a promise.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use galo_output::{complain, print, unprinted, Report};
use galo_sim::many::many;
use galo_sim::run::Options;
use galo_sim::sabotage::Sabotage;
use galo_sim::trace::Shown;

const HELP: &str = "\
galo-sim: a deterministic simulator for galo

  --seed S            runs one seed
  --trace             and prints what happens in it, one event a line
  --steps             and how: every event and effect of a core
  --seeds N           runs N seeds, on all CPUs (default: 1000)
  --from S            beginning with this one (default: 0)
  --self-test         puts known-wrong behaviour in, and expects that it is found
  --sabotage NAME     puts one kind of wrong behaviour into the runs, as the self-test names it
  --coverage          prints what the runs met

Exit status 1: a promise was broken (or, with --self-test, none was);
2: wrong usage, or the output could not be written.
";

/// Seeds within which every kind of sabotage must be found.
const SELF_TEST_SEEDS: u64 = 400;

struct Arguments {
    seed: Option<u64>,
    seeds: u64,
    from: u64,
    shown: Shown,
    self_test: bool,
    sabotage: Option<Sabotage>,
    coverage: bool,
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments = Arguments {
        seed: None,
        seeds: 1000,
        from: 0,
        shown: Shown::Nothing,
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
            Long("self-test") => arguments.self_test = true,
            Long("sabotage") => {
                arguments.sabotage = Some(parser.value()?.parse_with(|name| {
                    let named = |sabotage: &Sabotage| format!("{sabotage:?}") == name;
                    let found = Sabotage::ALL.iter().copied().find(named);
                    found.ok_or_else(|| format!("there is no sabotage {name:?}"))
                })?);
            }
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
    let good = match arguments.self_test {
        true => self_test(arguments.from, &mut report),
        false => seeds(&arguments, &mut report),
    };
    match (good, report.finish()) {
        (Ok(true), Ok(())) => ExitCode::SUCCESS,
        (Ok(false), _) => ExitCode::FAILURE,
        (_, Err(error)) | (Err(error), _) => unprinted(PROGRAM, &error, UNPRINTED),
    }
}

/// Whether no promise was broken.
fn seeds(arguments: &Arguments, report: &mut Report) -> io::Result<bool> {
    let (from, count) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.from, arguments.seeds),
    };
    let shown = match arguments.seed {
        Some(_) => arguments.shown,
        None => Shown::Nothing,
    };
    let options = Options {
        shown,
        sabotage: arguments.sabotage,
    };
    let begin = Instant::now();
    let summary = many(from, count, options, false, |seed, violation| {
        // The report keeps its errors to itself.
        let _ = writeln!(
            report,
            "seed {seed}: {violation}\n  replay: cargo run --release -p galo-sim -- --seed {seed} --trace"
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
fn self_test(from: u64, report: &mut Report) -> io::Result<bool> {
    let mut missed = 0;
    for &sabotage in Sabotage::ALL {
        let options = Options {
            shown: Shown::Nothing,
            sabotage: Some(sabotage),
        };
        let first = from + sabotage.first_seed();
        let summary = many(first, SELF_TEST_SEEDS, options, true, |_, _| {});
        match summary.failed.first_key_value() {
            Some((seed, violation)) => {
                let short: String = violation.chars().take(100).collect();
                writeln!(report, "{sabotage:?}: found with seed {seed}: {short}")?;
            }
            None => {
                missed += 1;
                writeln!(
                    report,
                    "{sabotage:?}: NOT FOUND with {SELF_TEST_SEEDS} seeds"
                )?;
            }
        }
    }
    let found = Sabotage::ALL.len() - missed;
    writeln!(report, "{found} found, {missed} missed")?;
    Ok(missed == 0)
}
