//! The package for Debian: made, installed in a Debian of its own, served from, and removed; its units under systemd.
//! `cargo test --features package-tests --test package`, as root on Debian with its packages dpkg-dev, binutils, debootstrap and
//! systemd-container.

mod booted;
#[path = "../debian_support/mod.rs"]
mod debian_support;
mod unit;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{chown, DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use debian_support::{debian_tar, run, BASE};
use galo_testkit::process::LogStream;
use galo_testkit::programs::{expect_programs, program};
use galo_testkit::{data_dir, get, transaction, Connection, Process, PATIENCE};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use unit::Unit;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A Debian in a directory.
struct Debian(PathBuf);

impl Debian {
    /// `archive`: its name, and what is in it.
    fn unpack(archive: [&str; 2], root: PathBuf) -> Debian {
        fs::create_dir(&root).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--file"]).arg(debian_tar(archive));
        run(tar.arg("--directory").arg(&root));
        Debian(root)
    }

    /// A command in there.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(&self.0).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> String {
        run(&mut self.command(words))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn install(&self, package: &Path) {
        fs::copy(package, self.path("/galo.deb")).unwrap();
        self.run(&["dpkg", "--install", "/galo.deb"]);
        fs::remove_file(self.path("/galo.deb")).unwrap();
    }

    /// Everything in it, but for what dpkg and useradd keep for themselves.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut open = vec![self.0.clone()];
        let own = ["/var/lib/dpkg", "/var/log", "/etc/shadow-", "/etc/gshadow-"];
        let own = own.map(|path| self.path(path));
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if own.contains(&entry.path()) {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
                files.insert(entry.path().strip_prefix(&self.0).unwrap().to_owned());
            }
        }
        files
    }

    /// User and group of the service.
    fn owner(&self, user: &str) -> (u32, u32) {
        let users = self.read("/etc/passwd");
        let line = users
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{user}:")));
        let fields: Vec<&str> = line.expect("the user").split(':').collect();
        assert_eq!(fields[5], "/usr/sbin/nologin", "nobody logs in as it");
        (fields[1].parse().unwrap(), fields[2].parse().unwrap())
    }

    /// What a unit starts, as systemd would: its directories, its variables, its user; and the log.
    fn start(&self, unit: &Unit) -> Process {
        let user = unit.one("User");
        let (uid, gid) = self.owner(user);
        for (setting, above) in [("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")] {
            let path = self.path(above).join(unit.one(setting));
            if !path.exists() {
                fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
                chown(&path, Some(uid), Some(gid)).unwrap();
            }
        }
        let mut words = vec!["env".to_owned(), "-i".to_owned()];
        words.extend(unit.all("Environment").map(str::to_owned));
        let file = unit.one("EnvironmentFile").trim_start_matches('-');
        words.extend(self.read(file).lines().map(str::to_owned));
        words.extend(unit.one("ExecStart").split(' ').map(str::to_owned));
        // What is mounted is so for the process alone, and goes with it.
        let script = "root=$1 user=$2 group=$3 && shift 3 && mount -t proc proc $root/proc \
            && mount --rbind /dev $root/dev && exec chroot --userspec=$user:$group $root \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", script, "sh"]);
        command
            .arg(&self.0)
            .args([user, unit.one("Group")])
            .args(words);
        Process::start(command, LogStream::Stderr)
    }
}

const INSTALLED: [&str; 21] = [
    "/usr/bin/galo",
    "/usr/bin/galo-load",
    "/usr/bin/galo-processor",
    "/usr/bin/galo-top",
    "/usr/lib/systemd/system/galo.service",
    "/usr/lib/systemd/system/galo.socket",
    "/usr/lib/sysusers.d/galo.conf",
    "/usr/share/galo/alerts.yaml",
    "/usr/share/galo/grafana.json",
    "/usr/share/man/man1/galo.1.gz",
    "/usr/share/man/man1/galo-load.1.gz",
    "/usr/share/man/man1/galo-top.1.gz",
    "/usr/share/bash-completion/completions/galo",
    "/usr/share/bash-completion/completions/galo-load",
    "/usr/share/bash-completion/completions/galo-top",
    "/usr/share/zsh/vendor-completions/_galo",
    "/usr/share/zsh/vendor-completions/_galo-load",
    "/usr/share/zsh/vendor-completions/_galo-top",
    "/usr/share/fish/vendor_completions.d/galo.fish",
    "/usr/share/fish/vendor_completions.d/galo-load.fish",
    "/usr/share/fish/vendor_completions.d/galo-top.fish",
];

/// Makes the package of the programs as they were built for tests.
fn package(directory: &Path) -> PathBuf {
    assert!(geteuid().is_root(), "this test needs root");
    expect_programs(&[
        ("dpkg-shlibdeps", "dpkg-dev"),
        ("strip", "binutils"),
        ("debootstrap", "debootstrap"),
    ]);
    let programs = ["galo", "galo-load", "galo-processor", "galo-top"].map(program);
    let package = run(Command::new(Path::new(ROOT).join("dist/deb"))
        .arg("--programs")
        .arg(programs[0].parent().unwrap())
        .arg("--output")
        .arg(directory));
    PathBuf::from(package)
}

#[test]
fn it_is_installed_served_from_and_removed() {
    let dir = data_dir();
    let package = package(dir.path());
    let debian = Debian::unpack(BASE, dir.path().join("root"));
    let (before, users) = (debian.files(), debian.read("/etc/passwd"));

    debian.install(&package);
    for path in INSTALLED {
        assert!(debian.path(path).is_file(), "{path}");
    }
    assert_eq!(debian.run(&["dpkg", "--verify", "galo"]), "");
    // Without symbols, but not without its probes.
    let notes = run(Command::new("readelf")
        .arg("--notes")
        .arg(debian.path("/usr/bin/galo")));
    for probe in ["request", "snapshot__slice"] {
        let note = format!("Provider: galo\n    Name: {probe}\n");
        assert!(notes.contains(&note), "{probe} is not in {notes}");
    }
    let version = format!("galo {} (", env!("CARGO_PKG_VERSION"));
    assert!(debian.run(&["galo", "version"]).starts_with(&version));
    for name in ["galo-load", "galo-processor", "galo-top"] {
        debian.run(&[name, "--help"]);
    }

    let unit = Unit::parse(&debian.read("/usr/lib/systemd/system/galo.service"));
    fs::write(
        debian.path("/etc/default/galo"),
        "GALO_LISTEN=127.0.0.1:0\n",
    )
    .unwrap();
    let mut service = debian.start(&unit);
    let address = service.listening(1).remove(0);
    let mut connection = Connection::open(&address).expect("it listens");
    assert_eq!(connection.ask(&get("/health")).status, 200);
    let (limit, balance) = connection.ask(&transaction(1, 'c', 7, "um")).posted();
    assert_eq!((limit, balance), (100_000, 7));
    debian.run(&["galo", "healthcheck", "--url", address.tcp()]);
    service.signal(Signal::SIGTERM);
    assert_eq!(service.wait(PATIENCE).code(), Some(0));
    // Whatever it wrote is its own.
    let state = debian.path("/var/lib/galo");
    let owner = |path: &Path| {
        let about = fs::metadata(path).unwrap();
        (about.uid(), about.gid())
    };
    assert_eq!(owner(&state.join("galo.meta")), debian.owner("galo"));

    // Again, over itself: it goes on with its data.
    debian.install(&package);
    let mut service = debian.start(&unit);
    let address = service.listening(1).remove(0);
    let mut connection = Connection::open(&address).expect("it listens");
    let statement = connection.ask(&get("/clientes/1/extrato")).statement();
    assert_eq!(statement.total, 7);
    service.signal(Signal::SIGTERM);
    assert_eq!(service.wait(PATIENCE).code(), Some(0));

    // The administrator's, and of the time that it ran.
    fs::remove_file(debian.path("/etc/default/galo")).unwrap();
    fs::remove_dir_all(debian.path("/run/galo")).unwrap();
    debian.run(&["dpkg", "--remove", "galo"]);
    let after = debian.files();
    let left: Vec<_> = after
        .difference(&before)
        .filter(|path| !path.starts_with("var/lib/galo"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(before.is_subset(&after), "it took something away");
    assert!(state.join("galo.meta").exists(), "data stay");

    debian.run(&["dpkg", "--purge", "galo"]);
    assert_eq!(debian.files(), before);
    assert_eq!(debian.read("/etc/passwd"), users);
}
