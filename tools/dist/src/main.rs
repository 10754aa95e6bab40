//! `galo-dist`: writes the manual pages and the completions into `dist/`, or into the directory that is named.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    let directory = std::env::args_os().nth(1).map_or(dist, PathBuf::from);
    for (name, bytes) in galo_dist::files() {
        let path = directory.join(name);
        if let Err(error) = std::fs::write(&path, bytes) {
            eprintln!("galo-dist: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
