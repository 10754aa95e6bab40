//! `galo-top`: the nodes of a Galo, live: owners, rates, latency, journal, payments, from `/health` and `/metrics` of each.
//!
//! | file | what |
//! |---|---|
//! | `cli` | the command line (of the library, for what makes its manual page of it) |
//! | `poll` | asks all nodes |
//! | `metrics` | reads what `/metrics` says |
//! | `overview` | figures and rates from two looks |
//! | `screen`, `lines` | a terminal's screen; lines everywhere else |
//! | `text` | figures as people read them |

mod lines;
mod metrics;
mod overview;
mod poll;
mod screen;
mod text;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use galo_load::target::Target;
use galo_output::{complain, unprinted};
use galo_top::cli::Arguments;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use overview::Overview;
use poll::Node;
use screen::Screen;

const PROGRAM: &str = "galo-top";

/// For one answer, at most.
const ANSWER_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(text) => {
            return match text.print() {
                Ok(()) => ExitCode::from(text.exit_code() as u8),
                Err(error) => unprinted(PROGRAM, &error, 2),
            }
        }
    };
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            complain(PROGRAM, format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}

/// Whether all was well at the last look.
fn run(arguments: Arguments) -> Result<bool> {
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, over.clone()).context("signals")?;
    }
    let is_over = || over.load(Ordering::Relaxed);
    let targets: Vec<String> = arguments.url.iter().map(Target::to_string).collect();
    let mut nodes: Vec<Node> = arguments.url.into_iter().map(Node::new).collect();
    let mut screen = io::stdout().is_terminal().then(Screen::take).transpose()?;
    let (mut before, mut looks) = (Vec::new(), 0);
    loop {
        let next = Instant::now() + arguments.interval;
        let now = poll::ask(&mut nodes, ANSWER_MAX.min(arguments.interval));
        let overview = Overview::of(&targets, &now, &before);
        looks += 1;
        let is_last = Some(looks) == arguments.count;
        let goes_on = match &mut screen {
            Some(screen) => {
                screen.draw(&overview)?;
                !is_last && screen.wait(next, &overview, is_over)?
            }
            None => {
                lines::write(&mut io::stdout().lock(), &overview).context("standard output")?;
                !is_last && wait(next, is_over)
            }
        };
        if !goes_on {
            return Ok(overview.is_whole());
        }
        before = now;
    }
}

/// Until then, or a signal. Whether to go on.
fn wait(until: Instant, is_over: impl Fn() -> bool) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if is_over() || left.is_zero() {
            return !is_over();
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
