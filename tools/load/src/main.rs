//! `galo-load`: see the library.

use std::process::ExitCode;

use clap::Parser;
use galo_load::cli::Cli;
use galo_load::observer::Verdict;
use galo_load::run;
use galo_output::{complain, unprinted};

const PROGRAM: &str = "galo-load";

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help, the version, or what is wrong with the command line.
        Err(text) => {
            return match text.print() {
                Ok(()) => ExitCode::from(text.exit_code() as u8),
                Err(error) => unprinted(PROGRAM, &error, 2),
            }
        }
    };
    match run::run(cli) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        Err(error) => {
            complain(PROGRAM, format_args!("{error:#}"));
            ExitCode::from(2)
        }
    }
}
