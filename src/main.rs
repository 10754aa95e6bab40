//! The `galo` binary: read the command line, and run what it asks for.
//!
//! Exit status: 0 done; 1 it could not be done, or must not go on; 2 the command line is wrong.

use std::process::ExitCode;

use galo::config::{self, Command};
use galo::{healthcheck, serve, shard};

fn main() -> ExitCode {
    let command = match config::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("galo: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => {
            print!("{}", config::HELP);
            Ok(())
        }
        Command::Version => {
            println!("{}", config::version());
            Ok(())
        }
        Command::Check { data } => shard::check::check(&data, &mut std::io::stdout().lock())
            .map(|_| ())
            .map_err(|error| error.to_string()),
        Command::Healthcheck { url } => healthcheck::run(&url).map_err(|error| error.to_string()),
        Command::Serve(settings) => {
            galo::log::install(settings.log, settings.log_level);
            serve::run(*settings).map_err(|error| error.to_string())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("galo: {error}");
            ExitCode::FAILURE
        }
    }
}
