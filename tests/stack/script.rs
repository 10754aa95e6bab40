//! `tools/stack`, which starts the same without tests.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use galo_testkit::process::LogStream;
use galo_testkit::{data_dir, get, Address, Connection, Process, ReservedPort, PATIENCE};

/// The script with what it needs, in a directory of its own.
fn copy(to: &Path) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(to.join("tools")).unwrap();
    for file in ["tools/stack", "lb.conf", "lb-http.conf"] {
        std::fs::copy(project.join(file), to.join(file)).unwrap();
    }
}

/// Ended with its three when it is dropped.
struct Script {
    process: Process,
    _port: ReservedPort,
}

impl Script {
    fn start(project: &Path, dir: &Path, lb: &str) -> Script {
        let port = ReservedPort::new();
        let bin = Path::new(env!("CARGO_BIN_EXE_galo")).parent().unwrap();
        let mut command = Command::new(project.join("tools/stack"));
        command
            .args(["--lb", lb, "--port", &port.number().to_string(), "--dir"])
            .arg(dir)
            .arg("--bin")
            .arg(bin);
        Script {
            process: Process::start(command, LogStream::Stdout),
            _port: port,
        }
    }

    fn stop(&mut self) -> Option<i32> {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(PATIENCE).code()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.process.is_running() {
            self.stop();
        }
    }
}

#[test]
fn paths_may_have_any_characters() {
    let parent = data_dir();
    // What the shell, sed or nginx read as more than a character.
    let project = parent.path().join("a galo's & co");
    copy(&project);
    let dir = parent.path().join("$x {b}; \"c\" | #d\\1");
    for lb in ["stream", "http"] {
        let mut script = Script::start(&project, &dir, lb);
        script.process.wait_for_log("ready");
        let log = script.process.log();
        let [of_dir, nodes @ .., url, ready] = &log[..] else {
            panic!("{log:?}");
        };
        assert_eq!(*of_dir, format!("dir {}", dir.display()));
        let names = nodes.iter().map(|line| line.split(' ').next());
        let expected = ["api01", "api02", "nginx"].map(Some);
        assert!(names.eq(expected), "{log:?}");
        assert_eq!(ready, "ready");
        let address = url.strip_prefix("url http://").expect("a URL").to_owned();
        let mut connection = Connection::open(&Address::Tcp(address)).unwrap();
        for path in ["/", "/clientes/1/extrato", "/clientes/2/extrato"] {
            assert_eq!(connection.ask(&get(path)).status, 200, "{path}");
        }
        drop(connection);
        assert_eq!(script.stop(), Some(0));
        assert!(dir.join("data/shard-0001").is_dir());
        assert!(dir.join("nginx.log").is_file());
    }
    // A comma would make two addresses of it: said before anything is made.
    let comma = parent.path().join("a,b");
    let mut script = Script::start(&project, &comma, "stream");
    assert_eq!(script.process.wait(PATIENCE).code(), Some(2));
    assert!(script.process.log().is_empty());
    assert!(!comma.exists());
}
