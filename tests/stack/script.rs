//! `tools/stack`, which starts the same without tests.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use galo_testkit::{data_dir, free_address, get, Address, Connection};

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
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Script {
    fn start(project: &Path, dir: &Path, lb: &str) -> Script {
        let free = free_address();
        let (_, port) = free.split_once(':').unwrap();
        let bin = Path::new(env!("CARGO_BIN_EXE_galo")).parent().unwrap();
        let mut child = Command::new(project.join("tools/stack"))
            .args(["--lb", lb, "--port", port, "--dir"])
            .arg(dir)
            .arg("--bin")
            .arg(bin)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Script { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
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
        assert_eq!(script.line(), format!("dir {}", dir.display()));
        for name in ["api01 ", "api02 ", "nginx "] {
            let line = script.line();
            assert!(line.starts_with(name), "{line}");
        }
        let url = script.line();
        let address = url.strip_prefix("url http://").expect("a URL").to_owned();
        assert_eq!(script.line(), "ready");
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
    assert_eq!(script.line(), "");
    assert_eq!(script.child.wait().unwrap().code(), Some(2));
    assert!(!comma.exists());
}
