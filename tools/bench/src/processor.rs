//! Payment processors as child processes.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use galo_bench::client;
use galo_bench::server::{pin, Guard};

/// A running one. It ends with this value.
pub struct Processor {
    _guard: Guard,
    address: SocketAddr,
}

/// The default one, and the fallback.
pub struct Processors([Processor; 2]);

impl Processors {
    /// Both on one CPU, if any, and with this delay of each payment.
    pub fn start(program: &Path, cpu: Option<usize>, delay_ms: u64) -> Result<Processors> {
        let start = |fee: &str| Processor::start(program, cpu, fee, delay_ms);
        Ok(Processors([start("0.05")?, start("0.15")?]))
    }

    /// The flags of galo that name them.
    pub fn flags(&self) -> [OsString; 4] {
        let url = |index: usize| format!("http://{}", self.0[index].address);
        let [default, fallback] = ["--processor-default", "--processor-fallback"];
        [
            default.into(),
            url(0).into(),
            fallback.into(),
            url(1).into(),
        ]
    }

    /// Payments that they have carried out, together.
    pub fn count(&self) -> Result<u64> {
        let counts = self.0.iter().map(|processor| {
            let path = "/admin/payments-summary";
            let body = client::order(processor.address, "GET", path, "")?;
            let summary: Value = serde_json::from_str(&body)?;
            summary["totalRequests"].as_u64().context("no count")
        });
        counts.sum()
    }
}

impl Processor {
    fn start(program: &Path, cpu: Option<usize>, fee: &str, delay_ms: u64) -> Result<Processor> {
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0", "--fee", fee, "--delay"])
            .arg(delay_ms.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(cpu) = cpu {
            pin(&mut command, cpu);
        }
        let child = command.spawn().context("galo-processor does not start")?;
        let mut guard = Guard(child);
        let stdout = guard.0.stdout.take().context("it was piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        let address = address.with_context(|| format!("it says {line:?}"))?;
        Ok(Processor {
            address: address.parse()?,
            _guard: guard,
        })
    }
}
