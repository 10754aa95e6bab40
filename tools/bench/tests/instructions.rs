//! A request takes no more instructions than it did: `tools/bench/src/instructions.rs` has the bounds.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use galo_bench::callgrind;
use galo_bench::instructions::Case;
use galo_testkit::programs::expect_programs;

/// What cargo takes instead of the release profile of `Cargo.toml`: another LTO is some 45% more.
const OVERRIDES: &str = "CARGO_PROFILE_RELEASE_";

/// A server, built as `Cargo.toml` says for a release. It is built here, unless all programs are (`.ci/run`), and
/// elsewhere than the others if those are built otherwise.
fn galo() -> PathBuf {
    let variables = std::env::vars_os().map(|(name, _)| name);
    let overrides: Vec<_> = variables
        .filter(|name| name.to_string_lossy().starts_with(OVERRIDES))
        .collect();
    let mut target = target();
    if !overrides.is_empty() {
        target.push("instructions");
    }
    let galo = target.join("release/galo");
    if !overrides.is_empty() || std::env::var_os("GALO_PROGRAMS_BUILT").is_none() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--locked", "--package", "galo"])
            .args(["--profile", "release", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null());
        for name in &overrides {
            cargo.env_remove(name);
        }
        assert!(cargo.status().expect("cargo").success());
    }
    galo
}

/// cargo's: this program is in a profile's `deps`.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    let target = own.ancestors().nth(3);
    target.expect("cargo's layout").to_owned()
}

#[test]
fn a_request_takes_no_more_instructions_than_it_did() {
    expect_programs(&callgrind::PROGRAMS);
    let galo = galo();
    let count = |case: Case| {
        let scratch = tempfile::tempdir().expect("a directory");
        let count = case.count(&galo, scratch.path());
        count.unwrap_or_else(|error| panic!("{case:?}: {error:#}"))
    };
    let counts: Vec<(Case, u64)> = thread::scope(|scope| {
        let running: Vec<_> = Case::all()
            .map(|case| (case, scope.spawn(move || count(case))))
            .collect();
        let ended = running.into_iter();
        ended
            .map(|(case, count)| (case, count.join().expect("see above")))
            .collect()
    });
    for (case, count) in &counts {
        println!("{}: {count}, at most {}", case.what(), case.most());
    }
    let beyond: Vec<_> = counts
        .iter()
        .filter(|(case, count)| *count > case.most())
        .map(|(case, count)| format!("{}: {count}, at most {}", case.what(), case.most()))
        .collect();
    assert!(
        beyond.is_empty(),
        "more instructions than a request may take; if that is meant, tools/bench/src/instructions.rs has the bounds: {beyond:#?}"
    );
}
