//! The units under systemd itself, the first process of a container.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use galo_testkit::programs::expect_programs;
use galo_testkit::{data_dir, wait_until, Process, PATIENCE};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::debian_support::run;
use crate::{package, Debian};

const WITH_SYSTEMD: [&str; 2] = ["debian-systemd.tar", "systemd-sysv,dbus,curl"];

/// A Debian that has been booted, with a network of its own.
struct Booted {
    container: Process,
    /// systemd in it.
    first: Pid,
    _cgroups: Cgroups,
}

impl Booted {
    fn boot(debian: &Debian) -> Booted {
        expect_programs(&[("systemd-nspawn", "systemd-container")]);
        let cgroups = Cgroups::make();
        let path = debian.0.with_extension("notify");
        let told = UnixDatagram::bind(&path).expect("a socket");
        told.set_read_timeout(Some(PATIENCE)).expect("a time");
        let script = "for path in $CGROUPS; do echo $$ >$path/cgroup.procs; done; exec \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-euc", script, "sh", "systemd-nspawn", "--quiet", "--boot"])
            .args(["--register=no", "--keep-unit", "--private-network"])
            .args(["--console=pipe", "--notify-ready=yes"])
            .arg(format!("--machine=galo-{}", std::process::id()))
            .arg("--directory")
            .arg(&debian.0)
            .env("CGROUPS", cgroups.to_string())
            .env("NOTIFY_SOCKET", &path);
        let container = Process::unlogged(command);
        let mut text = [0; 500];
        let mut next = || {
            let length = told.recv(&mut text).expect("it tells of its start");
            String::from_utf8_lossy(&text[..length]).into_owned()
        };
        let first = loop {
            let told = next();
            let mut lines = told.lines();
            if let Some(pid) = lines.find_map(|line| line.strip_prefix("X_NSPAWN_LEADER_PID=")) {
                break Pid::from_raw(pid.parse().expect("a number"));
            }
        };
        let booted = Booted {
            container,
            first,
            _cgroups: cgroups,
        };
        while !next().lines().any(|line| line == "READY=1") {}
        booted
    }

    /// A command in there.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--target", &self.first.to_string()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(words);
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        run(&mut self.command(words))
    }

    #[track_caller]
    fn systemctl(&self, verb: &str, unit: &str) {
        self.run(&["systemctl", verb, unit]);
    }

    /// A property of a unit.
    #[track_caller]
    fn show(&self, unit: &str, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", property, unit])
    }

    /// What curl makes of this.
    #[track_caller]
    fn curl(&self, words: &[&str]) -> String {
        let seconds = PATIENCE.as_secs().to_string();
        let curl = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            &seconds,
        ];
        self.run(&[&curl, words].concat())
    }

    /// What the service itself has written into the journal, of this priority and more urgent ones.
    fn journal(&self, priority: &str) -> String {
        self.run(&["journalctl", "--sync"]);
        let flags = [
            "_SYSTEMD_UNIT=galo.service",
            "--output=cat",
            "--quiet",
            "--priority",
            priority,
        ];
        self.run(&[&["journalctl"], &flags[..]].concat())
    }

    fn power_off(mut self) {
        self.container.signal(Signal::SIGTERM);
        assert_eq!(self.container.wait(PATIENCE).code(), Some(0));
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if self.container.is_running() {
            if std::thread::panicking() {
                let journal = self.command(&["journalctl", "--no-pager"]).output();
                let journal = journal.map(|it| it.stdout).unwrap_or_default();
                eprintln!("{}", String::from_utf8_lossy(&journal));
            }
            // All of the container ends with it, and then what has started it.
            let _ = kill(self.first, Signal::SIGKILL);
            self.container.wait(PATIENCE);
        }
    }
}

/// A cgroup of the container's own in each tree that systemd keeps its units in. They go with it.
struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    fn make() -> Cgroups {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc");
        let trees: BTreeSet<&str> = mounts
            .lines()
            .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [_, path, "cgroup2", ..] => Some(path),
                [_, path, "cgroup", options, ..] if options.contains("name=systemd") => Some(path),
                _ => None,
            })
            .collect();
        assert!(!trees.is_empty(), "no cgroups for systemd are mounted");
        let name = format!("galo-package-{}", std::process::id());
        let paths = trees.iter().map(|tree| Path::new(tree).join(&name));
        let cgroups = Cgroups(paths.collect());
        for path in &cgroups.0 {
            fs::create_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        cgroups
    }
}

impl std::fmt::Display for Cgroups {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<String> = self.0.iter().map(|it| it.display().to_string()).collect();
        text.write_str(&paths.join(" "))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        fn remove(path: &Path) -> std::io::Result<()> {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    remove(&entry.path())?;
                }
            }
            fs::remove_dir(path)
        }
        for path in &self.0 {
            if let Err(error) = remove(path) {
                eprintln!("{} is left: {error}", path.display());
            }
        }
    }
}

const HERE: &str = "http://localhost:9999/clientes/1";
const CREDIT: &str = r#"{"valor":7,"tipo":"c","descricao":"um"}"#;

#[test]
fn systemd_starts_it_watches_it_and_stops_it() {
    let dir = data_dir();
    let package = package(dir.path());
    let debian = Debian::unpack(WITH_SYSTEMD, dir.path().join("root"));
    let systemd = Booted::boot(&debian);
    fs::copy(package, debian.path("/galo.deb")).unwrap();
    systemd.run(&["dpkg", "--install", "/galo.deb"]);
    assert_eq!(systemd.show("galo.service", "ActiveState"), "inactive");

    let clients = r#"[{"id":1,"limite":100000,"saldo":0}]"#;
    fs::write(debian.path("/etc/clients.json"), clients).unwrap();
    let settings = "GALO_CLIENTS=/etc/clients.json\n";
    fs::write(debian.path("/etc/default/galo"), settings).unwrap();
    systemd.systemctl("start", "galo.service");
    let transactions = format!("{HERE}/transacoes");
    let balance = systemd.curl(&[&transactions, "--data", CREDIT]);
    assert_eq!(balance, r#"{"limite":100000,"saldo":7}"#);
    let pid = systemd.show("galo.service", "MainPID");
    let status = systemd.run(&["cat", &format!("/proc/{pid}/status")]);
    let user = systemd.run(&["id", "--user", "galo"]);
    for (name, value) in [
        ("Uid", format!("{user}\t{user}\t{user}\t{user}")),
        ("CapBnd", "0".repeat(16)),
        ("NoNewPrivs", "1".to_owned()),
        ("Seccomp", "2".to_owned()),
    ] {
        let line = format!("\n{name}:\t{value}\n");
        assert!(status.contains(&line), "{name} is not {value}: {status}");
    }
    let log = systemd.journal("info");
    assert!(log.contains("listening on 127.0.0.1:9999"), "{log}");
    assert!(
        !log.contains("<6>"),
        "the priorities are still there: {log}"
    );
    assert_eq!(systemd.journal("warning"), "");

    // A sign of life is missing for WatchdogSec.
    systemd.run(&["systemctl", "kill", "--signal=STOP", "galo.service"]);
    wait_until("it is started again", || {
        systemd.show("galo.service", "NRestarts") == "1"
            && systemd.show("galo.service", "ActiveState") == "active"
    });
    assert_ne!(systemd.show("galo.service", "MainPID"), pid);
    let statement = systemd.curl(&[&format!("{HERE}/extrato")]);
    assert!(statement.contains(r#""total":7"#), "{statement}");
    let warnings = systemd.journal("warning");
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    let is_known = "--clients /etc/clients.json is not read";
    assert!(warnings.contains(is_known), "{warnings}");

    systemd.systemctl("stop", "galo.service");
    let ended = ["ActiveState", "Result", "ExecMainStatus"];
    let ended = ended.map(|property| systemd.show("galo.service", property));
    assert_eq!(ended, ["inactive", "success", "0"]);
    let log = systemd.journal("info");
    assert!(log.ends_with("stopped"), "{log}");

    // A client at a socket of systemd's starts it, again and again; it has the port, too.
    systemd.systemctl("enable", "galo.socket");
    systemd.systemctl("start", "galo.socket");
    let socket = "/run/galo.sock";
    let access = systemd.run(&["stat", "--format=%U:%G:%a", socket]);
    assert_eq!(access, "root:galo:660");
    for _ in 0..2 {
        assert_eq!(systemd.show("galo.service", "ActiveState"), "inactive");
        systemd.curl(&["--unix-socket", socket, "http://galo/health"]);
        assert_eq!(systemd.show("galo.service", "ActiveState"), "active");
        let statement = systemd.curl(&[&format!("{HERE}/extrato")]);
        assert!(statement.contains(r#""total":7"#), "{statement}");
        systemd.systemctl("stop", "galo.service");
    }

    // Replaced while it runs, and removed.
    systemd.systemctl("start", "galo.service");
    let pid = systemd.show("galo.service", "MainPID");
    systemd.run(&["dpkg", "--install", "/galo.deb"]);
    assert_eq!(systemd.show("galo.service", "ActiveState"), "active");
    assert_ne!(systemd.show("galo.service", "MainPID"), pid);
    systemd.run(&["dpkg", "--remove", "galo"]);
    for unit in ["galo.service", "galo.socket"] {
        let state = ["ActiveState", "LoadState"].map(|property| systemd.show(unit, property));
        assert_eq!(state, ["inactive", "not-found"], "{unit}");
    }
    assert!(debian.path("/var/lib/galo/galo.meta").exists(), "data stay");
    systemd.run(&["dpkg", "--purge", "galo"]);
    assert!(!debian.path("/var/lib/galo").exists());
    assert!(!debian.read("/etc/passwd").contains("galo"));
    systemd.power_off();
}
