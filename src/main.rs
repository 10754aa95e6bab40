//! The `galo` binary: read the command line, and run what it asks for.
//!
//! Exit status: 0 for success; 1 for a command that failed, or a server that must not go on; 2 for a wrong command line.

use std::process::ExitCode;

use galo::config::{self, CliCommand};
use galo::{cluster_status, healthcheck, serve, shard};
use galo_output::{complain, print, unprinted, Report};

const PROGRAM: &str = "galo";

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    let command = match config::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(command) => command,
        Err(error) => {
            complain(PROGRAM, error);
            return ExitCode::from(2);
        }
    };
    let done = match command {
        CliCommand::Help(page) => return printed(&config::help(page)),
        CliCommand::Version => return printed(&format!("{}\n", config::version())),
        CliCommand::Check { data } => {
            let mut report = Report::default();
            let checked = shard::check::check(&data, &mut report);
            if let (Ok(_), Err(error)) = (&checked, report.finish()) {
                return unprinted(PROGRAM, &error, 1);
            }
            checked.map(|_| ()).map_err(|error| error.to_string())
        }
        CliCommand::Healthcheck { url } => {
            healthcheck::run(&url).map_err(|error| error.to_string())
        }
        CliCommand::ClusterStatus(engine) => {
            let mut report = Report::default();
            let looked = cluster_status::run(&engine, &mut report);
            if let (Ok(_), Err(error)) = (&looked, report.finish()) {
                return unprinted(PROGRAM, &error, 1);
            }
            looked.map_err(|error| error.to_string())
        }
        CliCommand::Serve(settings) => {
            galo::log::install(settings.log, settings.log_level);
            serve::run(*settings).map_err(|error| error.to_string())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(PROGRAM, error);
            ExitCode::FAILURE
        }
    }
}

fn printed(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unprinted(PROGRAM, &error, 1),
    }
}
