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
        Script::with(project, |command| {
            command.args(["--lb", lb, "--dir"]).arg(dir);
        })
    }

    /// With these flags, and a port of its own.
    fn with(project: &Path, flags: impl FnOnce(&mut Command)) -> Script {
        let port = ReservedPort::new();
        let bin = Path::new(env!("CARGO_BIN_EXE_galo")).parent().unwrap();
        let mut command = Command::new(project.join("tools/stack"));
        command
            .args(["--port", &port.number().to_string(), "--bin"])
            .arg(bin);
        flags(&mut command);
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

#[test]
fn a_wrong_flag_is_named_before_anything_is_made() {
    let parent = data_dir();
    let dir = parent.path().join("dir");
    for (flags, named) in [
        (&["--machines", "2"][..], "--machines: '2'"),
        (&["--machines"], "--machines: a value"),
        (&["--machines", "3", "--net", "bridge"], "--net: 'bridge'"),
        (&["--net", "loopback"], "--net: with --machines"),
        (&["--machines", "3", "--noop"], "--noop: not with"),
        (&["--machines", "3", "--lb", "http"], "--lb: not with"),
        (&["--machine", "3"], "unknown flag '--machine'"),
    ] {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/stack"));
        command.arg("--dir").arg(&dir).args(flags);
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(named), "{flags:?}: {said}");
        assert!(ended.stdout.is_empty() && !dir.exists(), "{flags:?}");
    }
}

#[cfg(feature = "machines-tests")]
mod machines {
    use std::path::PathBuf;

    use nix::unistd::geteuid;

    use super::*;
    use galo_testkit::{nats_server, transaction};

    /// In the order of its lines.
    const PROCESSES: [&str; 7] = ["n1", "n2", "n3", "a", "b", "c", "nginx"];

    impl Script {
        fn machines(net: &str) -> Script {
            Script::with(Path::new(env!("CARGO_MANIFEST_DIR")), |command| {
                command
                    .args(["--machines", "3", "--net", net])
                    .env("GALO_NATS_SERVER", nats_server());
            })
        }

        /// What a line says behind this word.
        fn said(&self, word: &str) -> String {
            let log = self.process.log();
            let mut rests = log.iter().filter_map(|line| line.split_once(' '));
            let found = rests.find(|(first, _)| *first == word);
            found
                .unwrap_or_else(|| panic!("no {word}: {log:?}"))
                .1
                .to_owned()
        }

        fn pid_of(&self, name: &str) -> i32 {
            let line = self.said(name);
            line.split(' ').next().unwrap().parse().expect("a pid")
        }

        fn expect_nothing_left(&self) {
            for name in PROCESSES {
                let path = PathBuf::from(format!("/proc/{}", self.pid_of(name)));
                assert!(!path.exists(), "{name} is left");
            }
            assert!(!Path::new(&self.said("dir")).exists());
            // The interface's name has a number of the address.
            let url = self.said("a");
            if let Some((_, address)) = url.split_once("http://198.18.") {
                let number = address.split('.').next().unwrap();
                let interface = format!("/sys/class/net/galo-{number}");
                assert!(!Path::new(&interface).exists(), "{interface} is left");
            }
        }
    }

    /// Two of each kind at once: addresses are a stack's own.
    fn kinds() -> Vec<&'static str> {
        match geteuid().is_root() {
            true => vec!["namespaces", "namespaces", "loopback"],
            false => vec!["loopback", "loopback"],
        }
    }

    #[test]
    fn every_node_of_each_stack_answers_and_nothing_is_left() {
        let mut scripts: Vec<Script> = kinds().into_iter().map(Script::machines).collect();
        for (amount, script) in (1..).zip(&scripts) {
            script.process.wait_for_log("ready");
            let log = script.process.log();
            let words = log.iter().map(|line| line.split(' ').next().unwrap());
            let around = [&["dir", "net"][..], &PROCESSES, &["url", "ready"]].concat();
            assert_eq!(words.collect::<Vec<_>>(), around, "{log:?}");
            let open = |url: &str| {
                let address = url.strip_prefix("http://").expect("a URL").to_owned();
                Connection::open(&Address::Tcp(address)).unwrap()
            };
            let mut through_nginx = open(&script.said("url"));
            let reply = through_nginx.ask(&transaction(1, 'c', amount, "stack"));
            assert_eq!(reply.posted().1, amount, "one stack's own: {reply:?}");
            for node in ["a", "b", "c"] {
                let line = script.said(node);
                let mut direct = open(line.split_once(' ').unwrap().1);
                let total = direct.ask(&get("/clientes/1/extrato")).statement().total;
                assert_eq!(total, amount, "{node}");
            }
        }
        for script in &mut scripts {
            assert_eq!(script.stop(), Some(0));
            script.expect_nothing_left();
        }
    }

    #[test]
    fn all_end_when_one_does() {
        let mut script = Script::machines(kinds()[0]);
        script.process.wait_for_log("ready");
        let killed = nix::unistd::Pid::from_raw(script.pid_of("n2"));
        nix::sys::signal::kill(killed, Signal::SIGKILL).unwrap();
        assert_eq!(script.process.wait(PATIENCE).code(), Some(1));
        script.expect_nothing_left();
    }
}
