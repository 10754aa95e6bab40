//! What tracers see of a server, as `docs/profiling.md` tells it: `cargo test --features tracing-tests --test tracing`,
//! as root, with Debian's packages strace and bpftrace.

mod bpftrace;
mod strace;

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use galo_testkit::process::LogStream;
use galo_testkit::programs::expect_programs;
use galo_testkit::{Process, PATIENCE};

/// A tracer that is attached, or about to be.
struct Tracer(Process);

impl Tracer {
    fn start(program: &str, log: LogStream, arrange: impl FnOnce(&mut Command)) -> Tracer {
        expect_programs(&[(program, program)]);
        // A tracefs of its own where none is mounted.
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c"]);
        let path = "/sys/kernel/tracing";
        command.arg(format!(
            "mountpoint -q {path} || mount -t tracefs tracefs {path} && exec \"$@\""
        ));
        command.args(["sh", program]);
        arrange(&mut command);
        Tracer(Process::start(command, log))
    }

    /// It lets go of what it traces.
    fn stop(mut self) -> Vec<String> {
        self.0.signal(Signal::SIGINT);
        self.0.wait(3 * PATIENCE); // Probe after probe, each when the kernel is sure that no CPU is in it.
        self.0.log()
    }
}

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/profiling.md");
    std::fs::read_to_string(path).expect("the manual")
}
