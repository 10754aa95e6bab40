//! galo-load, beside whatever looks.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use galo_bench::server::Guard;
use nix::sys::signal::Signal;
use serde_json::Value;

/// Longer than any look: it is told to end.
const LOOK_MAX_S: u64 = 3600;

/// How a server is loaded.
pub struct Load {
    pub program: PathBuf,
    pub connections: u32,
    pub seconds: u64,
    pub scratch: PathBuf,
}

/// What galo-load has measured.
#[derive(Clone, Debug)]
pub struct Run {
    pub requests: u64,
    pub rate: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Load {
    /// Runs `look` while there is load, if there is to be any.
    pub fn during<T>(
        &self,
        url: Option<&str>,
        look: impl FnOnce() -> T,
    ) -> Result<(T, Option<Run>)> {
        let Some(url) = url else {
            return Ok((look(), None));
        };
        let json = self.scratch.join("load.json");
        let mut child = self.start(url, LOOK_MAX_S, &json)?;
        let seen = look();
        child.signal(Signal::SIGINT)?;
        let status = child.0.wait()?;
        // A look that is refused is over before the load has begun.
        if status.signal() == Some(Signal::SIGINT as i32) {
            return Ok((seen, None));
        }
        Ok((seen, Some(report(status, &json)?)))
    }

    /// Exactly as long as it is counted.
    pub fn run(&self, url: &str) -> Result<Run> {
        let json = self.scratch.join("load.json");
        report(self.start(url, self.seconds, &json)?.0.wait()?, &json)
    }

    fn start(&self, url: &str, seconds: u64, json: &Path) -> Result<Guard> {
        let child = Command::new(&self.program)
            .args([
                url,
                "-c",
                &self.connections.to_string(),
                "-d",
                &format!("{seconds}s"),
                "--json",
            ])
            .arg(json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("galo-load does not start")?;
        Ok(Guard(child))
    }
}

fn report(status: ExitStatus, json: &Path) -> Result<Run> {
    // Status 1: replies that are wrong, which the no-op server's are.
    anyhow::ensure!(
        matches!(status.code(), Some(0 | 1)),
        "galo-load ended with {status}"
    );
    let report: Value = serde_json::from_slice(&std::fs::read(json)?)?;
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let run = || {
        Some(Run {
            requests: report.pointer("/requests")?.as_u64()?,
            rate: number("/rate")?,
            p50_us: number("/latency/p50_us")?,
            p99_us: number("/latency/p99_us")?,
        })
    };
    run().context("galo-load's report reads differently")
}
