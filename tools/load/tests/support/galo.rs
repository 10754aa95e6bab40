//! galo itself, as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use galo_load::target::Target;
use tempfile::TempDir;

/// One that runs, with data of its own. It is killed when this is dropped.
pub struct Galo {
    child: Child,
    address: String,
    _data: TempDir,
}

impl Galo {
    /// A gateway on a port of its own, on loopback, before the default processor and the fallback.
    pub fn start(processors: &[Target; 2]) -> Galo {
        let data = tempfile::tempdir().unwrap();
        let [default, fallback] = processors.each_ref().map(Target::to_string);
        let mut child = Command::new(binary())
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--cores", "1", "--allow-reset"])
            .args(["--processor-default", &default])
            .args(["--processor-fallback", &fallback])
            .arg("--data")
            .arg(data.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(line) = log.next() else {
                panic!("galo does not listen; it says: {said:#?}");
            };
            let line = line.unwrap();
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.to_owned();
            }
            said.push(line);
        };
        // Nobody reads on; what it may say must not block it.
        std::thread::spawn(move || log.for_each(drop));
        Galo {
            child,
            address,
            _data: data,
        }
    }

    /// As it stands on a command line.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Galo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds it, once, with the profile that the load tester under test has: testing one package does not build the programs of
/// another. Who has tested the whole workspace has them, and says so (`.ci/run`).
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_BIN_EXE_galo-load")).parent().unwrap();
        let profile = match directory.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        if std::env::var_os("GALO_PROGRAMS_BUILT").is_some() {
            return directory.join("galo");
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--package", "galo"])
            .args(["--profile", profile, "--target-dir"])
            .arg(directory.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "galo does not build");
        directory.join("galo")
    })
}
