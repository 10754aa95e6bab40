//! What is shown while a run goes on.
//!
//! | file | what |
//! |---|---|
//! | `terminal` | a screen of charts and tables, on a terminal |
//! | `lines` | a line an interval, everywhere else |

mod lines;
mod terminal;

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
/// standard error otherwise. `q` and Ctrl-C on the screen give the sign to stop; without a screen the
/// signal does.
pub fn open(title: Title, stop: &Stop) -> Box<dyn Screen> {
    let _ = (title, stop);
    todo!()
}
