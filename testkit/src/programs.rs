//! Where the workspace's programs are.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Programs of the system, and the Debian package of each: that they are there.
#[track_caller]
pub fn expect_programs(programs: &[(&str, &str)]) {
    for (program, package) in programs {
        assert!(
            is_on_path(program),
            "{program} is missing: apt-get install {package}"
        );
    }
}

pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).is_file())
}

/// The program of this package, with the profile of the running test. It is built first, once, if it is another package's:
/// testing one package does not build the programs of another. Who has tested the whole workspace has them and says so with
/// `GALO_PROGRAMS_BUILT` (`.ci/run`): building one alone means other features of what it depends on, and all of that once more.
pub fn program(name: &'static str) -> PathBuf {
    let directory = directory();
    // Set by `cargo test`; without cargo whatever is there is taken.
    let tested = std::env::var("CARGO_PKG_NAME");
    let is_others = tested.is_ok_and(|package| package != name);
    if is_others && std::env::var_os("GALO_PROGRAMS_BUILT").is_none() {
        static BUILT: Mutex<Option<HashSet<&str>>> = Mutex::new(None);
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let built = built.get_or_insert_default();
        if !built.contains(name) {
            build(name, &directory);
            built.insert(name);
        }
    }
    directory.join(name)
}

/// Of the profile: the running test is in its `deps`.
fn directory() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let directory = test.parent().and_then(Path::parent);
    directory.expect("cargo's layout").to_owned()
}

fn build(package: &str, directory: &Path) {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", package])
        .args(["--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("cargo's layout"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("cargo").success(), "{package} does not build");
}
