//! What surrounds every run: the screen, what is watched beside it, and at its end the report and the verdict.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::cli::Output;
use crate::engine::{Progress, Stop, Watcher};
use crate::report::{csv, page, text, Report};
use crate::screen::{self, Screen, Title};
use crate::watch::{Subject, Watch};

/// How a run ended, as the exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 0.
    Good,
    /// 1: a reply, a check, the verification or a rule of `--fail-on` failed.
    Failed,
}

/// See the module. Dropping it gives the terminal back.
pub struct Observer {
    screen: Box<dyn Screen>,
    watch: Watch,
    output: Output,
    /// A former run.
    base: Option<Report>,
}

impl Observer {
    /// Before a run: whatever its end will need is looked at now, not after minutes of load.
    ///
    /// # Errors
    /// A former run that cannot be read, a rule that wants one and there is none, a file that cannot be written, nothing to
    /// watch.
    pub fn open(title: Title, output: &Output, stop: &Stop) -> Result<Observer> {
        let base = match &output.compare {
            Some(path) => Some(Report::read(path)?),
            None => None,
        };
        if base.is_none() && output.fail_on.iter().any(|gate| gate.is_relative()) {
            bail!("--fail-on with a percentage is about a former run: --compare FILE");
        }
        for path in [&output.json, &output.csv, &output.html]
            .into_iter()
            .flatten()
        {
            writable(path)?;
        }
        let pids = output.watch_pid.iter().copied().map(Subject::Pid);
        let containers = output
            .watch_container
            .iter()
            .cloned()
            .map(Subject::Container);
        let subjects: Vec<Subject> = pids.chain(containers).collect();
        Ok(Observer {
            watch: Watch::new(&subjects)?,
            output: output.clone(),
            base,
            screen: screen::open(title, stop),
        })
    }

    /// The load begins: CPU of what is watched counts from here, or from the end of the warm-up.
    pub fn begin(&mut self) {
        self.watch.look(Duration::ZERO);
    }

    /// One line for whoever watches.
    pub fn note(&mut self, line: &str) {
        self.screen.note(line);
    }

    /// Prints and writes the report, beside the former run, and judges it. One output that fails takes no other with it.
    ///
    /// # Errors
    /// The first output that could not be written; a target that answered nothing at all.
    pub fn finish(self, mut report: Report) -> Result<Verdict> {
        drop(self.screen);
        report.watched = self.watch.finish();
        let (output, base) = (&self.output, self.base.as_ref());
        let mut written = print(&text::summary(&report, base));
        if let Some(path) = &output.json {
            written = written.and(report.write_json(path));
        }
        if let Some(path) = &output.csv {
            written = written.and(csv::write(&report, path));
        }
        if let Some(path) = &output.html {
            let page = std::fs::write(path, page::page(&report, base));
            let page = page.with_context(|| format!("cannot write {}", path.display()));
            written = written.and(page);
        }
        let gates = output.fail_on.iter();
        let broken: Vec<String> = gates.filter_map(|gate| gate.judge(&report, base)).collect();
        for line in &broken {
            written = written.and(print(&format!("--fail-on {line}\n")));
        }
        written?;
        let requests = report.requests + report.tool.dropped;
        if requests > 0 && report.statuses.is_empty() {
            let target = &report.settings.target;
            bail!("{target} answered none of {requests} requests");
        }
        Ok(match broken.is_empty() && report.is_good() {
            true => Verdict::Good,
            false => Verdict::Failed,
        })
    }
}

impl Watcher for Observer {
    fn interval(&mut self, progress: &Progress<'_>) {
        self.watch.look(progress.elapsed);
        self.screen.interval(progress);
    }

    fn idle(&mut self) {
        self.screen.idle();
    }
}

/// On standard output. Whoever has closed it (`| head`) has seen enough; files are written all the same.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        _ => Ok(()),
    }
}

/// The file can be opened for writing; what it holds is left alone.
fn writable(path: &Path) -> Result<()> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}
