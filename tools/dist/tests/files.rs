//! What is in `dist/` is what is made now, and says what other files say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn dist_is_what_is_made_of_the_flags() {
    for (name, made) in galo_dist::files() {
        let path = root().join("dist").join(&name);
        let there = std::fs::read(&path).unwrap_or_default();
        assert!(
            there == made,
            "dist/{name} is not what the flags make of it: cargo run -p galo-dist"
        );
    }
}

#[test]
fn every_flag_is_in_manual_and_completions() {
    let files = galo_dist::files();
    assert_eq!(files.len(), 3 * 4);
    let flags = galo::config::flags();
    assert!(flags.len() >= 19);
    for (name, text) in files.iter().filter(|(name, _)| !name.contains("galo-")) {
        let text = String::from_utf8(text.clone()).unwrap();
        // roff escapes dashes, fish has none.
        let text = text.replace("\\-", "-").replace("-l ", "--");
        for flag in &flags {
            assert!(
                text.contains(&format!("--{}", flag.name)),
                "{name}: {}",
                flag.name
            );
            if *name == "galo.1" {
                for variable in &flag.variables {
                    assert!(text.contains(variable), "{name}: {variable}");
                }
            }
        }
    }
}

/// A list in a filter that has one that the other has not is a service, or a container, that fails where the other runs.
#[test]
fn the_unit_allows_the_system_calls_that_a_container_is_allowed() {
    let text = std::fs::read_to_string(root().join("seccomp.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rules = profile["syscalls"].as_array().unwrap();
    let names = rules
        .iter()
        .flat_map(|rule| rule["names"].as_array().unwrap());
    let container: BTreeSet<&str> = names.map(|name| name.as_str().unwrap()).collect();
    let unit = std::fs::read_to_string(root().join("dist/galo.service")).unwrap();
    let lists = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let unit: BTreeSet<&str> = lists.flat_map(str::split_ascii_whitespace).collect();
    assert!(unit.len() > 90, "{unit:?}");
    assert_eq!(unit, container);
}

/// The packages that a package of the workspace is compiled with.
fn dependencies(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal",
        ])
        .args(["--prefix", "none", "--format", "{lib}"])
        .current_dir(root());
    let output = cargo.output().expect("cargo");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().map(str::to_owned).collect()
}

/// So `cargo install --path tools/load` compiles no server, and the server nothing of what its description is made with.
#[test]
fn the_load_tester_is_without_the_server_and_the_server_without_tools() {
    let load = dependencies("galo-load");
    assert!(
        load.contains("galo_load") && load.contains("galo_output"),
        "{load:?}"
    );
    assert!(
        !load.contains("galo") && !load.contains("glommio"),
        "{load:?}"
    );
    let server = dependencies("galo");
    assert!(
        server.contains("galo") && server.contains("glommio"),
        "{server:?}"
    );
    for name in ["clap", "roff", "galo_load", "galo_dist", "uuid"] {
        assert!(!server.contains(name), "{name}");
    }
}
