//! Turns `docs/openapi.yaml` into the JSON that the server has, and puts the git hash into `--version`: that of the tree,
//! or where it is built without git (in a container, from an archive) that of the variable `GALO_GIT_HASH`, or `unknown`.

#[path = "build/openapi.rs"]
mod openapi;

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn main() {
    openapi::generate();
    let hash = git(&["rev-parse", "--short=12", "HEAD"])
        .or_else(|| std::env::var("GALO_GIT_HASH").ok())
        .filter(|hash| !hash.is_empty())
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=GALO_GIT_HASH={hash}");
    println!("cargo:rerun-if-env-changed=GALO_GIT_HASH");
    println!("cargo:rerun-if-changed=build.rs");
    // In a worktree these are not below .git.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            if std::path::Path::new(&path).exists() {
                println!("cargo:rerun-if-changed={path}");
            }
        }
    }
}
