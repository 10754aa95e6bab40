//! A former run beside this one.

use super::figure::{figures, Better, Unit};
use super::{units, Machine, Report};

/// A figure of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// As [`super::figure::Figure::name`].
    pub name: String,
    /// What both values are in.
    pub unit: Unit,
    /// This run's.
    pub this: f64,
    /// The former run's.
    pub former: f64,
}

impl Row {
    /// By which share of the former value this one differs: 0.1 is 10% more. `None`: the former value is 0 and this one is
    /// not, for which there is no share.
    pub fn change(&self) -> Option<f64> {
        match self.former {
            former if former == self.this => Some(0.0),
            0.0 => None,
            former => Some((self.this - former) / former.abs()),
        }
    }

    /// The same in percent, for people; a sign without a number where there is no share.
    pub fn change_text(&self) -> String {
        match self.change() {
            Some(change) => units::change(change),
            None if self.this > self.former => "+".to_owned(),
            None => "-".to_owned(),
        }
    }

    /// In which direction it is better.
    pub fn better(&self) -> Better {
        self.unit.better()
    }

    /// Whether this run is better in it, or worse; `None`: the same.
    pub fn is_better(&self) -> Option<bool> {
        let more = self.this > self.former;
        (self.this != self.former).then_some(more == (self.better() == Better::More))
    }
}

/// The figures that both runs have, in the order in which they are shown.
pub fn rows(report: &Report, base: &Report) -> Vec<Row> {
    let former = figures(base);
    let this = figures(report).into_iter();
    this.filter_map(|figure| {
        let former = former.iter().find(|other| other.name == figure.name)?;
        Some(Row {
            name: figure.name,
            unit: figure.unit,
            this: figure.value,
            former: former.value,
        })
    })
    .collect()
}

/// Why the two cannot be compared fairly, one line each; none: they can.
pub fn differences(report: &Report, base: &Report) -> Vec<String> {
    let (this, former) = (&report.settings, &base.settings);
    let (here, there) = (&report.machine, &base.machine);
    let loop_text = |rate: Option<f64>| {
        let open = rate.map(|rate| format!("{}/s due", units::rate(rate)));
        open.unwrap_or_else(|| "as fast as replies come".to_owned())
    };
    let connection = |keepalive| match keepalive {
        true => "connections kept",
        false => "a connection for each request",
    };
    let seconds = |seconds: Option<f64>| seconds.map_or("none".to_owned(), units::time_s);
    let scale = |scale: Option<f64>| scale.map_or("none".to_owned(), units::number);
    let memory = |machine: &Machine| units::bytes(machine.memory_bytes as f64);
    let pairs = [
        ("run", this.run.clone(), former.run.clone()),
        ("pace", loop_text(this.rate), loop_text(former.rate)),
        (
            "connections",
            this.connections.to_string(),
            former.connections.to_string(),
        ),
        (
            "connections",
            connection(this.keepalive).to_owned(),
            connection(former.keepalive).to_owned(),
        ),
        (
            "duration",
            seconds(this.duration_s),
            seconds(former.duration_s),
        ),
        ("scale", scale(this.scale), scale(former.scale)),
        (
            "time-out",
            units::time_s(this.timeout_s),
            units::time_s(former.timeout_s),
        ),
        ("machine", here.host.clone(), there.host.clone()),
        ("kernel", here.kernel.clone(), there.kernel.clone()),
        ("CPU", here.cpu.clone(), there.cpu.clone()),
        ("CPUs", here.cpus.to_string(), there.cpus.to_string()),
        ("memory", memory(here), memory(there)),
    ];
    let others = pairs.into_iter().filter(|(_, this, former)| this != former);
    others
        .map(|(what, this, former)| format!("{what}: {this}; formerly {former}"))
        .collect()
}
