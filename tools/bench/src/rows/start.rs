//! From the start to the first 200.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::{megabytes, spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::median;

impl Bench {
    pub(super) fn start(&self) -> Result<Vec<Figure>> {
        let row = Row::Start;
        let data = self.new_path("data");
        let server = self.galo_with(&data, None, &[])?;
        self.connections(&server, 1)?;
        server.stop()?;
        let (times, _) = self.starts(&data, self.scale.starts)?;
        Ok(vec![Figure::new(
            row,
            "start to first 200, 5 accounts",
            median(&times),
            "ms",
        )
        .lower_is_better()
        .must(50.0)
        .aim(10.0)
        .note(spread(&times))
        .samples(&times)])
    }

    pub(super) fn start_large(&self) -> Result<Vec<Figure>> {
        let row = Row::StartLarge;
        let accounts = self.scale.large_accounts;
        let clients = self.new_path("clients.json");
        write_clients(&clients, accounts)?;
        let data = self.new_path("data");
        let server = self.galo_with(&data, None, &[("--clients", &clients)])?;
        let made_ms = server.start.as_secs_f64() * 1e3;
        self.connections(&server, 1)?;
        server.stop()?;
        let (times, resident) = self.starts(&data, self.scale.large_starts)?;
        std::fs::remove_dir_all(&data)?;
        let memory: Vec<f64> = resident.iter().map(|bytes| megabytes(*bytes)).collect();
        let what = format!("start to first 200, {accounts} accounts in the snapshot");
        Ok(vec![
            Figure::new(row, what, median(&times), "ms")
                .lower_is_better()
                .must(1000.0)
                .aim(100.0)
                .note(format!("{}; file cache warm", spread(&times)))
                .samples(&times),
            Figure::new(row, "resident memory then", median(&memory), "MB")
                .lower_is_better()
                .samples(&resident),
            Figure::new(row, "making that directory, to first 200", made_ms, "ms")
                .lower_is_better(),
        ])
    }

    /// Starts on a directory that a server has left: milliseconds to the first 200, and resident
    /// bytes then. Not kept on one CPU: nobody starts it so.
    fn starts(&self, data: &Path, count: usize) -> Result<(Vec<f64>, Vec<u64>)> {
        let (mut times, mut resident) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let server = self.galo_with(data, None, &[])?;
            times.push(server.start.as_secs_f64() * 1e3);
            resident.push(server.resident()?.all);
            server.stop()?;
        }
        Ok((times, resident))
    }
}

pub(super) fn write_clients(path: &Path, count: u32) -> Result<()> {
    let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    let mut out = std::io::BufWriter::new(file);
    for id in 1..=count {
        let separator = if id == 1 { '[' } else { ',' };
        writeln!(
            out,
            "{separator}{{\"id\":{id},\"limite\":100000,\"saldo\":0}}"
        )?;
    }
    writeln!(out, "]")?;
    Ok(out.flush()?)
}
