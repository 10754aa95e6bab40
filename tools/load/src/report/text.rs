//! The summary on standard output.

use super::Report;

/// All of it, as it is printed; `base`: a former run, beside it.
pub fn summary(report: &Report, base: Option<&Report>) -> String {
    let _ = (report, base);
    todo!()
}
