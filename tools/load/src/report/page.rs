//! The HTML page: one file that needs nothing else.

use super::Report;

/// The whole page; `base`: a former run, beside it.
pub fn page(report: &Report, base: Option<&Report>) -> String {
    let _ = (report, base);
    todo!()
}
