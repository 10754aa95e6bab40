//! The binary, and what it leaves: text, exit status, report.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use galo_load::measure::FailureKind;
use galo_load::report::{FailureReport, Report};
use tempfile::TempDir;

/// For anything to come about; a machine can be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run whose report is kept in a directory of its own.
pub struct Run {
    dir: TempDir,
    command: Command,
}

/// A run that goes on.
pub struct Running {
    dir: TempDir,
    child: Child,
}

/// What it left.
pub struct Done {
    dir: TempDir,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// `arguments`: separated by spaces; one that has spaces itself may follow.
    pub fn new(target: &str, arguments: &str) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_galo-load"));
        command
            .arg(target)
            .arg("--json")
            .arg(dir.path().join("report.json"))
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Run { dir, command }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Run {
        self.command.arg(argument);
        self
    }

    #[cfg(feature = "root-tests")]
    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    pub fn start(mut self) -> Running {
        Running {
            child: self.command.spawn().unwrap(),
            dir: self.dir,
        }
    }

    pub fn done(self) -> Done {
        self.start().done()
    }
}

impl Running {
    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id() as i32)
    }

    /// Waits until something has happened, while it runs.
    #[track_caller]
    pub fn until(mut self, mut happened: impl FnMut() -> bool) -> Running {
        let deadline = Instant::now() + PATIENCE;
        while !happened() {
            if self.child.try_wait().unwrap().is_some() {
                panic!("it has ended: {}", self.done().text());
            }
            assert!(Instant::now() < deadline, "it does not come about");
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    pub fn done(self) -> Done {
        let output = self.child.wait_with_output().unwrap();
        let Output { stdout, stderr, .. } = output;
        let done = Done {
            dir: self.dir,
            status: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        };
        assert!(!done.stderr.contains("panicked"), "{}", done.text());
        done
    }
}

impl Done {
    /// For a failed assertion.
    pub fn text(&self) -> String {
        format!(
            "exit status {}\n{}{}",
            self.status, self.stdout, self.stderr
        )
    }

    #[track_caller]
    pub fn expect_status(self, status: i32) -> Done {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Nothing was measured: this is in the one line that says why.
    #[track_caller]
    pub fn expect_refused(self, part: &str) {
        let done = self.expect_status(2);
        assert!(done.stdout.is_empty(), "{}", done.text());
        assert!(done.stderr.contains(part), "{}", done.text());
    }

    #[track_caller]
    pub fn report(&self) -> Report {
        Report::read(&self.path()).unwrap_or_else(|error| panic!("{error:#}\n{}", self.text()))
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("report.json")
    }

    /// The only kind of failure that there was.
    #[track_caller]
    pub fn only_failure(&self) -> FailureReport {
        let report = self.report();
        let [failure] = &report.failures[..] else {
            panic!("{:?}\n{}", report.failures, self.text());
        };
        assert_eq!(report.failed, failure.count);
        failure.clone()
    }

    /// How many failures of this kind there were.
    #[track_caller]
    pub fn failed(&self, kind: FailureKind) -> u64 {
        let report = self.report();
        let mut failures = report.failures.iter();
        failures
            .find(|failure| failure.kind == kind)
            .map_or(0, |failure| failure.count)
    }
}
