//! How it starts and ends.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use galo_testkit::programs::program;
use galo_testkit::{Processor, PATIENCE};

use crate::client::Client;

fn run(flags: &[&str]) -> (Output, String) {
    let mut command = Command::new(program("galo-processor"));
    let output = command.args(flags).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, error)
}

#[test]
fn wrong_flags_are_told() {
    for (flags, reason) in [
        (&["--dealy", "5"][..], "'--delay'"),
        (&["--delay", "x"], "--delay"),
        (&["--delay", "3600001"], "3600000"),
        (&["--listen", "localhost"], "--listen"),
        (&["--fee", "1.5"], "1.5 is no share from 0 to 1"),
        (&["--fault", "drop=1"], "there are reply_lost, reset_before"),
        (&["--fault", "drip"], "such as reply_lost=0.01"),
        (&["--fault", "drip=2"], "2 is no share"),
        (&["--fault", "drip@0"], "counted from 1"),
        (
            &["--fault", "drip=0.6", "--fault", "cut_head=0.6"],
            "more than 1",
        ),
        (&["--parallel", "0"], "--parallel"),
        (&["--threads", "0"], "--threads"),
    ] {
        let (output, error) = run(flags);
        assert!(!output.status.success(), "{flags:?}");
        assert!(output.stdout.is_empty());
        assert!(error.contains(reason), "{flags:?}: {error}");
    }
}

#[test]
fn an_address_that_is_taken_is_told() {
    let server = Processor::start(&[]);
    let address = server.address.to_string();
    let (output, error) = run(&["--listen", &address]);
    assert!(!output.status.success());
    assert!(
        error.contains(&format!("cannot listen on {address}")),
        "{error}"
    );
}

#[test]
fn signals_end_it_at_once_whoever_waits() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Processor::start(&["--delay", "3600000"]);
        let mut connection = server.connect();
        connection.send_payment(1);
        server.process.signal(signal);
        assert!(server.process.wait(PATIENCE).success());
        let (bytes, _) = connection.rest();
        assert!(bytes.is_empty());
    }
}

#[test]
fn the_help_names_every_fault() {
    let (output, _) = run(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("text");
    for fault in galo_processor::fault::Fault::ALL {
        assert!(help.contains(fault.name()), "{fault}");
    }
}
