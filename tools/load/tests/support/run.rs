//! The binary, and what it leaves: text, exit status, report.

use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use galo_load::measure::FailureKind;
use galo_load::report::{FailureReport, Report};
use galo_testkit::process::LogStream;
use galo_testkit::programs::program;
use galo_testkit::Process;
use tempfile::TempDir;

/// For anything to come about; a machine can be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without arguments.
pub fn galo_load() -> Command {
    let mut command = Command::new(program("galo-load"));
    command.stdin(Stdio::null());
    command
}

/// A run whose report is kept in a directory of its own.
pub struct Run {
    dir: TempDir,
    command: Command,
}

/// A run that goes on.
pub struct Running {
    dir: TempDir,
    pub process: Process,
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
        let mut command = galo_load();
        command
            .arg(target)
            .arg("--json")
            .arg(dir.path().join("report.json"))
            .args(arguments.split_whitespace())
            .stdout(Stdio::piped());
        Run { dir, command }
    }

    /// An official run.
    pub fn official(name: &str, target: &str, arguments: &str) -> Run {
        Run::new(name, &format!("{target} {arguments}"))
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Run {
        self.command.arg(argument);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    pub fn start(self) -> Running {
        Running {
            process: Process::start(self.command, LogStream::Stderr),
            dir: self.dir,
        }
    }

    pub fn done(self) -> Done {
        self.start().done()
    }
}

impl Running {
    /// Waits until something has happened, while it runs.
    #[track_caller]
    pub fn until(mut self, mut happened: impl FnMut() -> bool) -> Running {
        let deadline = Instant::now() + PATIENCE;
        while !happened() {
            if !self.process.is_running() {
                panic!("it has ended: {}", self.done().text());
            }
            assert!(Instant::now() < deadline, "it does not come about");
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    pub fn done(mut self) -> Done {
        // Its end is the end of standard output, too.
        let mut stdout = String::new();
        let mut pipe = self.process.take_stdout().expect("it was piped");
        pipe.read_to_string(&mut stdout).unwrap();
        let status = self.process.wait(PATIENCE);
        let lines = self.process.log().into_iter();
        let done = Done {
            dir: self.dir,
            status: status.code().expect("no signal ended it"),
            stdout,
            stderr: lines.map(|line| line + "\n").collect(),
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
