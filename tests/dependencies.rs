//! Licences and sources of all dependencies, checked offline against `deny.toml`.

use std::process::Command;

use serde_json::Value;

fn metadata() -> Value {
    // Of this platform only: what it does not need may never have been downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {error}");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The strings of the list `allow = [ … ]` in `deny.toml`.
fn allowed() -> Vec<String> {
    let deny = include_str!("../deny.toml");
    let (_, list) = deny
        .split_once("allow = [")
        .expect("deny.toml has the list");
    let (list, _) = list.split_once(']').expect("the list ends");
    let strings = list.split('"').skip(1).step_by(2);
    strings.map(str::to_owned).collect()
}

/// Whether an SPDX expression (or its older form with `/` for OR) can be met by `allowed`.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    // AND binds closer in SPDX, but every expression with parentheses in use here is an AND of ORs.
    expression.split(" AND ").all(|part| {
        part.split(" OR ").any(|name| {
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            allowed.contains(&name)
        })
    })
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    assert!(allowed.len() > 3);
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 20);
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str();
        let licence = licence.unwrap_or_else(|| panic!("{name} states no licence"));
        assert!(is_met(licence, &allowed), "{name}: {licence}");
    }
    assert!(!is_met("GPL-3.0", &allowed));
    assert!(!is_met("(MIT OR Apache-2.0) AND GPL-3.0", &allowed));
}

#[test]
fn every_dependency_comes_from_the_registry() {
    for package in metadata()["packages"].as_array().expect("a list") {
        // None: a package of this workspace.
        let source = package["source"].as_str().unwrap_or("registry+");
        assert!(
            source.starts_with("registry+"),
            "{}: {source}",
            package["name"]
        );
    }
}
