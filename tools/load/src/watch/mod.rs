//! Resident memory and CPU of the target over the time of a run.
//!
//! | file | what |
//! |---|---|
//! | `process` | one process, from /proc |
//! | `container` | one container: its cgroup, and the processes in it |

use std::time::Duration;

use anyhow::Result;

use crate::report::Watched;

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// By its number.
    Pid(u32),
    /// By its name or id, as the container engine knows it.
    Container(String),
}

/// Looks at some of them from time to time.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// Finds them.
    ///
    /// # Errors
    /// There is no such process or container, or it may not be read.
    pub fn new(subjects: &[Subject]) -> Result<Watch> {
        let _ = subjects;
        todo!()
    }

    /// Looks at each, `at` this moment of the measured time. One that has ended has no more points.
    pub fn look(&mut self, at: Duration) {
        let _ = at;
        todo!()
    }

    /// What was seen.
    pub fn finish(self) -> Vec<Watched> {
        todo!()
    }
}
