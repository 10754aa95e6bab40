//! Puts the git hash into `--version`; a tree without git builds all the same.

use std::process::Command;

fn git_hash() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn main() {
    let hash = git_hash().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=GALO_GIT_HASH={hash}");
    println!("cargo:rerun-if-changed=build.rs");
    for path in [".git/HEAD", ".git/logs/HEAD"] {
        if std::path::Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}
