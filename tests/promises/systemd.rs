//! Galo under a service manager: what it tells it, the sockets that it takes from it, and its lines in the journal. The
//! manager is the test.

use std::fs::File;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use galo_testkit::programs::program;
use galo_testkit::{
    data_dir, get, on_both_drivers, wait_until, Address, Connection, Driver, Launch, Process,
    PATIENCE,
};
use nix::sys::signal::Signal;

/// The socket on which a service manager is told.
struct Manager(UnixDatagram);

impl Manager {
    /// At a path, or with an abstract name: and what `NOTIFY_SOCKET` has to be.
    fn both(directory: &Path) -> [(Manager, String); 2] {
        let path = directory.join("notify");
        let at_path = UnixDatagram::bind(&path).expect("a socket");
        let name = path.display().to_string();
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let with_name = UnixDatagram::bind_addr(&address).expect("a socket");
        [(at_path, name.clone()), (with_name, format!("@{name}"))]
            .map(|(socket, name)| (Manager(socket), name))
    }

    fn one(directory: &Path) -> (Manager, String) {
        let [at_path, _] = Manager::both(directory);
        at_path
    }

    /// What it is told next, or `None` if that is nothing within this time.
    fn told_within(&self, time: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(time)).expect("a time");
        let mut text = [0; 100];
        match self.0.recv(&mut text) {
            Ok(length) => Some(String::from_utf8_lossy(&text[..length]).into_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn told(&self) -> String {
        self.told_within(PATIENCE).expect("it is told something")
    }

    /// What it has been told by now, and nobody has asked for yet.
    fn rest(&self) -> Vec<String> {
        self.0.set_nonblocking(true).expect("a socket");
        let rest = std::iter::from_fn(|| self.told_within(PATIENCE)).collect();
        self.0.set_nonblocking(false).expect("a socket");
        rest
    }
}

/// A process that finds its own number in this variable, as a manager puts it there.
pub fn with_own_pid(variable: &str) -> Launch {
    Launch::program(Path::new("/bin/sh"))
        .arg("-c")
        .arg(format!("export {variable}=$$; exec \"$0\" \"$@\""))
        .arg(program("galo"))
}

pub fn serving(launch: Launch, data: &Path, driver: Driver) -> Launch {
    launch
        .arg("serve")
        .flag("data", data)
        .flag("io", driver.name())
}

#[test]
fn the_manager_is_told_of_start_and_stop() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            for (manager, name) in Manager::both(dir.path()) {
                let path = dir.path().join("galo.sock");
                let launch = Launch::driver(&dir.path().join("data"), driver)
                    .cores(cores)
                    .env("NOTIFY_SOCKET", &name)
                    .flag("listen", format!("unix:{}", path.display()))
                    // No log to wait for: what the manager is told has to be true by then.
                    .flag("log-level", "warn");
                let mut command = launch.into_command();
                command.stderr(Stdio::piped());
                let mut process = Process::unlogged(command);
                assert_eq!(manager.told(), "READY=1", "{name}");
                let mut connection = Connection::open(&Address::Unix(path.clone())).unwrap();
                let health = connection.ask(&get("/health")).json();
                assert_eq!(health["shards"].as_array().map(Vec::len), Some(cores));
                process.signal(Signal::SIGTERM);
                assert_eq!(manager.told(), "STOPPING=1", "{name}");
                assert_eq!(process.wait(PATIENCE).code(), Some(0));
                assert_eq!(manager.rest(), [""; 0]);
            }
        }
    });
}

#[test]
fn a_start_that_fails_is_not_ready() {
    let dir = data_dir();
    let (manager, name) = Manager::one(dir.path());
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("stranger"), "").unwrap();
    let launch = Launch::serve(&data).env("NOTIFY_SOCKET", name);
    launch.run().refused(1, &["stranger"]);
    assert_eq!(manager.rest(), [""; 0]);
}

#[test]
fn a_manager_that_cannot_be_told_is_a_line_in_the_log() {
    let dir = data_dir();
    let nowhere = dir.path().join("nowhere").display().to_string();
    let server = Launch::serve(&dir.path().join("data"))
        .env("NOTIFY_SOCKET", &nowhere)
        .env("WATCHDOG_USEC", "1000000")
        .start();
    let line = server.wait_for_log("cannot be told");
    assert!(line.contains(&nowhere) && line.contains("WARN"), "{line}");
    assert_eq!(server.get("/health").status, 200);
    server.stop();
}

const WITHIN: Duration = Duration::from_millis(400);

fn watched(data: &Path, driver: Driver, name: &str) -> Launch {
    serving(with_own_pid("WATCHDOG_PID"), data, driver)
        .env("NOTIFY_SOCKET", name)
        .env("WATCHDOG_USEC", WITHIN.as_micros().to_string())
}

#[test]
fn an_idle_node_gives_signs_of_life_at_half_the_time() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        for (manager, name) in Manager::both(dir.path()) {
            let server = watched(&dir.path().join("data"), driver, &name)
                .cores(2)
                .start();
            assert_eq!(manager.told(), "READY=1");
            let began = Instant::now();
            for _ in 0..5 {
                assert_eq!(manager.told(), "WATCHDOG=1");
            }
            // Not all the time, either. (READY=1 may be read late.)
            assert!(
                began.elapsed() > WITHIN * 2 - WITHIN / 4,
                "{:?}",
                began.elapsed()
            );
            server.stop();
            let rest = manager.rest();
            assert_eq!(
                rest.last().map(String::as_str),
                Some("STOPPING=1"),
                "{rest:?}"
            );
        }
    });
}

/// The threads of a core, by their names.
fn of_core(core: usize) -> impl Fn(&str) -> bool {
    move |name| {
        [format!("-{core}"), format!("/{core}")]
            .iter()
            .any(|end| name.ends_with(end))
    }
}

#[test]
fn a_core_that_hangs_is_no_sign_of_life() {
    on_both_drivers(|driver| {
        for core in [0, 1] {
            let dir = data_dir();
            let (manager, name) = Manager::one(dir.path());
            let server = watched(&dir.path().join("data"), driver, &name)
                .cores(2)
                .start();
            assert_eq!([(); 2].map(|()| manager.told()), ["READY=1", "WATCHDOG=1"]);
            let frozen = server.freeze(of_core(core));
            server.wait_for_log(&format!("core {core} gives no sign of life"));
            manager.rest();
            assert_eq!(manager.told_within(WITHIN * 2), None);
            frozen.go_on();
            assert_eq!(manager.told(), "WATCHDOG=1");
            server.stop();
        }
    });
}

#[test]
fn nobody_gives_signs_of_life_who_is_not_asked_to() {
    let dir = data_dir();
    let (manager, name) = Manager::one(dir.path());
    let data = dir.path().join("data");
    let micros = WITHIN.as_micros().to_string();
    let launch = || Launch::serve(&data).env("NOTIFY_SOCKET", &name);
    for launch in [
        launch(),
        launch().env("WATCHDOG_USEC", "0"),
        launch().env("WATCHDOG_USEC", "soon"),
        // Of another process.
        launch()
            .env("WATCHDOG_USEC", &micros)
            .env("WATCHDOG_PID", "1"),
    ] {
        let server = launch.start();
        assert_eq!(manager.told(), "READY=1");
        assert_eq!(manager.told_within(WITHIN * 2), None);
        server.stop();
        assert_eq!(manager.rest(), ["STOPPING=1"]);
    }
}

#[test]
fn without_a_manager_no_thread_of_an_idle_node_wakes() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let switches = || -> Vec<String> {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
            let mut switches: Vec<String> = tasks
                .filter_map(|task| {
                    // A thread of the start's that has ended meanwhile has none.
                    let status = std::fs::read_to_string(task.unwrap().path().join("status"));
                    let is_it = |line: &&str| line.starts_with("voluntary_ctxt_switches");
                    Some(status.ok()?.lines().find(is_it)?.to_owned())
                })
                .collect();
            switches.sort();
            switches
        };
        // The start's last jobs may still run.
        wait_until("nothing runs", || {
            let before = switches();
            std::thread::sleep(Duration::from_millis(500));
            before == switches()
        });
        let before = switches();
        assert!(
            before.len() >= 4,
            "two cores, and what waits for signals: {before:?}"
        );
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(before, switches());
    });
}

/// What is written to standard error, where that is a file that `JOURNAL_STREAM` names, or not.
fn journal(data: &Path, named: bool, launch: impl FnOnce(Launch) -> Launch) -> Vec<String> {
    let path = data.with_extension("log");
    let log = File::create(&path).unwrap();
    let about = log.metadata().unwrap();
    let inode = about.ino() + u64::from(!named);
    let stream = format!("{}:{inode}", about.dev());
    let (manager, name) = Manager::one(data.parent().unwrap());
    let launch = launch(Launch::serve(data))
        .env("JOURNAL_STREAM", stream)
        .env("NOTIFY_SOCKET", &name);
    let mut command = launch.into_command();
    command.stderr(log);
    let mut process = Process::unlogged(command);
    // It serves, or has ended by itself.
    wait_until("ready, or over", || {
        manager.told_within(Duration::from_millis(10)).is_some() || !process.is_running()
    });
    if process.is_running() {
        process.signal(Signal::SIGTERM);
    }
    process.wait(PATIENCE);
    std::fs::remove_file(name).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lines_in_the_journal_have_priorities() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let stranger = dir.path().join("stranger");
    std::fs::create_dir(&stranger).unwrap();
    std::fs::write(stranger.join("file"), "").unwrap();
    let priority = |lines: &[String], words: &str| {
        let found = lines.iter().find(|line| line.contains(words));
        let line = found.unwrap_or_else(|| panic!("{words} is not in {lines:#?}"));
        line[..3].to_owned()
    };
    for format in ["text", "json"] {
        let launch = |launch: Launch| {
            launch
                .flag("log", format)
                .flag("listen", "127.0.0.1:0")
                .flag("payment-queue", "7")
        };
        let lines = journal(&data, true, launch);
        assert_eq!(priority(&lines, "listening on"), "<6>");
        assert_eq!(priority(&lines, "has no effect"), "<4>");
        assert!(lines.iter().all(|line| line.starts_with('<')), "{lines:#?}");
        let lines = journal(&stranger, true, launch);
        assert_eq!(priority(&lines, "galo: "), "<3>");
        // Standard error is another file than the journal.
        let lines = journal(&data, false, launch);
        assert!(
            !lines.iter().any(|line| line.starts_with('<')),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|line| line.contains("listening on")));
    }
    let lines = journal(&data, true, |launch| launch.flag("cores", "many"));
    assert_eq!(priority(&lines, "galo: --cores"), "<3>");
}
