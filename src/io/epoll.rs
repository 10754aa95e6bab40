//! Driver.
use super::{Exit, Machine, Setup};

/// Runs a core.
pub(super) fn run<M: Machine>(_setup: Setup<M>) -> Exit {
    Exit::Stopped
}
