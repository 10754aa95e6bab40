//! System calls per request by name, beside those of the no-op server under the same load.

use std::collections::BTreeMap;

use anyhow::Result;
use galo_bench::server::{Launch, Programs, Server};
use galo_bench::strace;

use crate::load::Load;
use crate::subject::Subject;
use crate::Seen;

/// Calls per request by name: of the server's processes together, and of one no-op server.
#[derive(Clone, Debug, Default)]
pub struct Calls(pub BTreeMap<String, [f64; 2]>);

impl Calls {
    pub fn sums(&self) -> [f64; 2] {
        let sum = |side: usize| self.0.values().map(|sides| sides[side]).sum();
        [sum(0), sum(1)]
    }
}

pub fn beside_noop(subject: &Subject, url: &str, load: &Load, programs: &Programs) -> Seen<Calls> {
    let count = || -> Result<Calls> {
        let noop = Server::start(&Launch {
            program: &programs.noop,
            arguments: Vec::new(),
            cpu: None,
            log: load.scratch.join("noop.log"),
        })?;
        let mut calls = Calls::default();
        let pids: Vec<u32> = subject
            .processes
            .iter()
            .map(|process| process.pid)
            .collect();
        calls.add(0, &pids, url, load)?;
        calls.add(1, &[noop.pid()], &format!("http://{}", noop.address), load)?;
        noop.stop()?;
        Ok(calls)
    };
    count().map_err(|error| format!("{error:#}"))
}

impl Calls {
    fn add(&mut self, side: usize, pids: &[u32], url: &str, load: &Load) -> Result<()> {
        let (calls, run) = strace::count(pids, &load.scratch, || load.run(url))?;
        for (name, count) in calls {
            self.0.entry(name).or_default()[side] += count as f64 / run.requests as f64;
        }
        Ok(())
    }
}
