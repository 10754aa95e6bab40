//! Instructions in user space for each request: one count, no rounds.

use anyhow::{Context, Result};

use super::{Bench, Row};
use crate::report::Figure;
use galo_bench::instructions::Case;

impl Bench {
    pub(super) fn instructions(&self) -> Result<Vec<Figure>> {
        let figure = |case: Case| {
            let scratch = self.new_path("instructions");
            std::fs::create_dir(&scratch)?;
            let count = case.count(&self.programs.galo, &scratch);
            let count = count.with_context(|| case.what())?;
            let what = format!("user space of a request: {}", case.what());
            Ok(
                Figure::new(Row::Instructions, what, count as f64, "instructions")
                    .lower_is_better()
                    .must(case.most() as f64)
                    .note("callgrind, epoll; counted once"),
            )
        };
        Case::all().map(figure).collect()
    }
}
