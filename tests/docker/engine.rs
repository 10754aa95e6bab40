//! The container engine: the one that runs, or one of our own.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::{geteuid, Pid};
use tempfile::TempDir;

use crate::debian_support::run;
use galo_testkit::programs::expect_programs;

/// For an engine to start, and to stop.
const ENGINE_MAX: Duration = Duration::from_secs(60);

/// What the commands need, and in which Debian package it is.
const PROGRAMS: [(&str, &str); 4] = [
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("debootstrap", "debootstrap"),
];

/// Something to send docker's commands to.
pub struct Engine {
    /// `DOCKER_HOST`, if it is not the default one.
    host: Option<String>,
    own: Option<Own>,
}

/// An engine of this test's: it is ended, and all that it had is removed, when this is dropped.
struct Own {
    process: Child,
    dir: Option<TempDir>,
}

impl Engine {
    /// The default engine if it answers, or a new one.
    pub fn find_or_start() -> Engine {
        assert!(geteuid().is_root(), "these tests need root");
        expect_programs(&PROGRAMS);
        let mut engine = Engine {
            host: None,
            own: None,
        };
        if !engine.answers() {
            let dir = tempfile::Builder::new().prefix("galo-docker-").tempdir();
            let dir = dir.expect("a temporary directory");
            engine.host = Some(format!("unix://{}/socket", dir.path().display()));
            engine.own = Some(Own::start(dir));
            engine.wait();
        }
        engine
    }

    fn answers(&self) -> bool {
        let mut command = self.command("docker");
        let done = command.args(["info", "--format", "{{.ServerVersion}}"]);
        done.output().is_ok_and(|output| output.status.success())
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + ENGINE_MAX;
        while !self.answers() {
            let own = self.own.as_mut().expect("it was started here");
            let ended = own.process.try_wait().expect("it is our child");
            if ended.is_some() || Instant::now() > deadline {
                panic!("dockerd does not start; it says:\n{}", own.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A command that talks to this engine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// `docker` with these arguments: what it prints, without the line's end.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        run(self.command("docker").args(arguments))
    }
}

impl Own {
    fn start(dir: TempDir) -> Own {
        let log = File::create(dir.path().join("log")).expect("a log");
        let path = |name: &str| dir.path().join(name);
        let mut command = Command::new("dockerd");
        command
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(format!("unix://{}", path("socket").display()))
            // What it would leave behind: a bridge, rules, and a machine that forwards.
            .args(["--bridge", "none", "--iptables=false", "--ip-forward=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log);
        Own {
            process: command.spawn().expect("dockerd starts"),
            dir: Some(dir),
        }
    }

    fn log(&self) -> String {
        let dir = self.dir.as_ref().expect("it is there until the end");
        std::fs::read_to_string(dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + ENGINE_MAX;
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if matches!(self.process.try_wait(), Ok(None)) {
            eprintln!(
                "dockerd does not stop, and is killed; it says:\n{}",
                self.log()
            );
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        let dir = self.dir.take().expect("this is the end");
        let path = dir.path().to_owned();
        if let Err(error) = dir.close() {
            eprintln!("{} is left: {error}", path.display());
        }
    }
}
