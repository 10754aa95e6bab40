//! What is shown while a run goes on.
//!
//! | file | what |
//! |---|---|
//! | `terminal` | a terminal, taken and given back; its keys |
//! | `standing` | what is known of the run when an interval has ended |
//! | `view` | where it stands on the terminal |
//! | `charts` | rate and latency over time |
//! | `tables` | percentiles, statuses, kinds, failures |
//! | `lines` | a line an interval, everywhere else |

mod charts;
mod lines;
mod standing;
mod tables;
mod terminal;
mod view;

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use nix::unistd::{getpgrp, tcgetpgrp};

use crate::engine::{Stop, Watcher};

/// What is shown at the top of the screen, or in the first line.
#[derive(Clone, Debug, Default)]
pub struct Title {
    /// What runs: `bank`, `rinha-2024`.
    pub run: String,
    /// Against whom.
    pub target: String,
    /// How: `14 connections, 30s, 340/s`.
    pub how: String,
}

/// Where a run is watched. Dropping it gives the terminal back as it was.
pub trait Screen: Watcher {
    /// The next part of a run has begun, or something has happened: one line.
    fn note(&mut self, line: &str);
}

/// The terminal's screen if standard error is a terminal, `NO_COLOR` is not set and `TERM` is not `dumb`; plain lines on
/// standard error otherwise, if they have it (`lines`). `q` and Esc on the screen give the sign to stop; Ctrl-C is SIGINT with and without a screen.
pub fn open(title: Title, stop: &Stop, lines: bool) -> Box<dyn Screen> {
    if is_wanted(
        env::var_os("NO_COLOR").as_deref(),
        env::var_os("TERM").as_deref(),
    ) && is_in_foreground()
    {
        // A terminal that cannot be set up, such as one without a size, can still show lines.
        if let Ok(terminal) = terminal::Terminal::take(title.clone(), stop) {
            return Box::new(terminal);
        }
    }
    match lines {
        true => Box::new(lines::Lines::new(io::stderr(), &title)),
        false => Box::new(lines::Lines::new(io::sink(), &title)),
    }
}

/// Gives a terminal that [`open`] took back as it was, if there is one: for who ends the process without dropping what it
/// has.
pub fn give_back() {
    terminal::give_back();
}

/// Whether the environment allows colours and the sequences that move the cursor. <https://no-color.org>: a variable that
/// is set and empty forbids nothing.
fn is_wanted(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
}

/// Whether standard error is a terminal, and this process may set it up: one in the background would be stopped for
/// trying (SIGTTOU, see tcsetattr(3)).
fn is_in_foreground() -> bool {
    io::stderr().is_terminal() && tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}

/// A length of time as a clock shows it, whole seconds: `12s`, `3m05s`, `1h00m`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_not_for_everybody() {
        let is_wanted = |no_color: Option<&str>, term: Option<&str>| {
            is_wanted(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(is_wanted(None, Some("xterm-256color")));
        assert!(is_wanted(Some(""), Some("tmux")));
        assert!(is_wanted(None, None));
        assert!(!is_wanted(Some("1"), Some("xterm")));
        assert!(!is_wanted(Some("0"), None));
        assert!(!is_wanted(None, Some("dumb")));
    }

    #[test]
    fn clocks_have_the_units_that_matter() {
        let times = [0.0, 12.9, 185.0, 3_599.9, 3_700.0, -1.0];
        let texts = ["0s", "12s", "3m05s", "59m59s", "1h01m", "0s"];
        assert_eq!(times.map(clock), texts);
    }
}
