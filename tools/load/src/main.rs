//! `galo-load`: see the library.

use std::process::ExitCode;

use clap::Parser;
use galo_load::cli::Cli;
use galo_load::observer::Verdict;
use galo_load::run;

fn main() -> ExitCode {
    match run::run(Cli::parse()) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("galo-load: {error:#}");
            ExitCode::from(2)
        }
    }
}
