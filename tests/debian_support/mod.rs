//! A bare Debian, for suites that put something into one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

/// With nginx, for whoever needs no more.
pub const BASE: [&str; 2] = ["debian-base.tar", "nginx,libnginx-mod-stream"];

/// Runs it to its end, which must be good: what it prints, without the line's end.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{stderr}",
        output.status
    );
    stdout.trim_end().to_owned()
}

/// A bare Debian of this machine's release (the binary is linked to its glibc) with these packages, as an archive of that
/// name. Made once: `cargo clean` removes it.
pub fn debian_tar([name, packages]: [&str; 2]) -> PathBuf {
    let tar = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // One suite makes it, and another that runs meanwhile waits.
    let lock = File::create(tar.with_extension("lock")).expect("cargo's directory");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("a lock");
    if tar.exists() {
        return tar;
    }
    let release = std::fs::read_to_string("/etc/os-release").expect("a Debian");
    let mut names = release
        .lines()
        .filter_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = names.next().expect("a release of Debian");
    let dir = tempfile::Builder::new().prefix("galo-debian-").tempdir();
    let dir = dir.expect("a temporary directory");
    run(Command::new("debootstrap")
        .arg("--variant=minbase")
        .arg(format!("--include={packages}"))
        .arg(codename)
        .arg(dir.path()));
    let unfinished = tar.with_extension("tmp");
    run(Command::new("tar")
        .args(["--create", "--one-file-system", "--file"])
        .arg(&unfinished)
        .arg("--directory")
        .arg(dir.path())
        .arg("."));
    std::fs::rename(&unfinished, &tar).expect("it was made just now");
    tar
}
