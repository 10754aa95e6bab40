//! What is in `dist/` is what is made now, and says what other files say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn dist_is_what_is_made_of_the_flags() {
    for (name, made) in galo_dist::files() {
        let path = root().join("dist").join(name);
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
    assert_eq!(files.len(), 8);
    let flags = galo::config::flags();
    assert!(flags.len() >= 19);
    for (name, text) in files.iter().filter(|(name, _)| !name.contains("load")) {
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
