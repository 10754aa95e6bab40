//! What surrounds every run: the screen, what is watched beside it, and at its end the report and the verdict.

use std::time::Duration;

use anyhow::{bail, Result};

use crate::cli::Output;
use crate::engine::{Progress, Stop, Watcher};
use crate::report::destination::{free, Destination, Stream};
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
    json: Option<Destination>,
    csv: Option<Destination>,
    html: Option<Destination>,
    /// Where the summary goes.
    summary: Option<Stream>,
    /// A former run.
    base: Option<Report>,
}

impl Observer {
    /// Before a run: whatever its end will need is looked at now, not after minutes of load.
    ///
    /// # Errors
    /// A former run that cannot be read, a rule that wants one and there is none, a file that cannot be written, or is given
    /// for two outputs, nothing to watch.
    pub fn open(title: Title, output: &Output, stop: &Stop) -> Result<Observer> {
        let base = match &output.compare {
            Some(path) => Some(Report::read(path)?),
            None => None,
        };
        if base.is_none() && output.fail_on.iter().any(|gate| gate.is_relative()) {
            bail!("--fail-on with a percentage is about a former run: --compare FILE");
        }
        let open = |path: &Option<_>| path.as_deref().map(Destination::open).transpose();
        let (json, csv) = (open(&output.json)?, open(&output.csv)?);
        let html = open(&output.html)?;
        let outputs = [("--json", &json), ("--csv", &csv), ("--html", &html)];
        let outputs = outputs
            .iter()
            .filter_map(|(flag, output)| Some((*flag, output.as_ref()?)));
        let free = free(&outputs.collect::<Vec<_>>())?;
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
            json,
            csv,
            html,
            summary: free.summary,
            screen: screen::open(title, stop, free.lines),
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
        let print = |text: &str| match self.summary {
            Some(stream) => stream.print(text.as_bytes()),
            None => Ok(()),
        };
        let mut written = print(&text::summary(&report, base));
        if let Some(json) = &self.json {
            written = written.and(report.json().and_then(|text| json.write(text.as_bytes())));
        }
        if let Some(csv) = &self.csv {
            written = written.and(csv::csv(&report).and_then(|text| csv.write(&text)));
        }
        if let Some(html) = &self.html {
            written = written.and(html.write(page::page(&report, base).as_bytes()));
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
