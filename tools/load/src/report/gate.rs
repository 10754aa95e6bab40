//! `--fail-on`: what a run must not be.

use std::str::FromStr;

use super::Report;

/// `p99>5ms`, `errors>0`, `rps<-5%` (against a former run).
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {}

impl FromStr for Gate {
    type Err = String;

    /// The error says what would do.
    fn from_str(text: &str) -> Result<Gate, String> {
        let _ = text;
        todo!()
    }
}

impl Gate {
    /// Whether it needs a former run.
    pub fn is_relative(&self) -> bool {
        todo!()
    }

    /// What is wrong with the run, if something is: `p99 is 7.2 ms, more than 5 ms`.
    pub fn judge(&self, report: &Report, base: Option<&Report>) -> Option<String> {
        let _ = (report, base);
        todo!()
    }
}
