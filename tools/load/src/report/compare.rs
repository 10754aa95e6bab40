//! A former run beside this one.

use super::figure::{figures, Better, Unit};
use super::{units, Machine, Report, Settings};

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
        let open = rate.map(|rate| format!("{}/s due", units::given(rate)));
        open.unwrap_or_else(|| "as fast as replies come".to_owned())
    };
    let connection = |keepalive| match keepalive {
        true => "kept",
        false => "one for each request",
    };
    let length = |settings: &Settings| match (settings.duration_s, settings.requests) {
        (Some(duration_s), _) => units::time_s(duration_s),
        (None, Some(requests)) => format!("{} requests", units::count(requests)),
        (None, None) => "none given".to_owned(),
    };
    let scale = |scale: Option<f64>| scale.map_or("none".to_owned(), units::given);
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
        ("length", length(this), length(former)),
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

#[cfg(test)]
mod tests {
    use super::super::example::{full_report, report};
    use super::*;

    #[test]
    fn figures_of_both_runs_stand_side_by_side() {
        let (mut this, former) = (full_report(), report());
        this.rate = former.rate * 1.1;
        this.latency.p99_us = former.latency.p99_us * 1.5;
        this.kinds.remove(0);
        let rows = rows(&this, &former);
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        // Only this run has them, or only the former one.
        for name in ["rss", "cpu", "score", "debit.p99"] {
            assert_eq!(row(name), None, "{name}");
        }
        let rate = row("rps").unwrap();
        assert_eq!((rate.former, rate.this), (former.rate, this.rate));
        assert_eq!(rate.change_text(), "+10.0%");
        assert_eq!(
            (rate.better(), rate.is_better()),
            (Better::More, Some(true))
        );
        let p99 = row("p99").unwrap();
        assert_eq!(p99.change_text(), "+50.0%");
        assert_eq!((p99.better(), p99.is_better()), (Better::Less, Some(false)));
        let same = row("statement.p99.9").unwrap();
        assert_eq!((same.change(), same.is_better()), (Some(0.0), None));
    }

    #[test]
    fn there_is_no_share_of_nothing() {
        let row = |this, former| Row {
            name: "score".to_owned(),
            unit: Unit::Points,
            this,
            former,
        };
        let texts = [
            (0.0, 0.0),
            (5.0, 0.0),
            (-5.0, 0.0),
            (-5.0, -10.0),
            (-15.0, -10.0),
        ];
        let texts = texts.map(|(this, former)| row(this, former).change_text());
        assert_eq!(texts, ["0%", "+", "-", "+50.0%", "-50.0%"]);
    }

    #[test]
    fn what_makes_runs_unlike_is_said() {
        let (this, mut former) = (report(), report());
        former.settings.seed += 1;
        former.machine.load_average += 1.0;
        assert_eq!(differences(&this, &former), [""; 0]);
        former.settings.run = "extrato".to_owned();
        former.settings.rate = None;
        former.settings.connections = 32;
        former.settings.keepalive = false;
        former.settings.duration_s = None;
        former.settings.requests = Some(5_000);
        former.machine.cpus = 4;
        assert_eq!(
            differences(&this, &former),
            [
                "run: bank; formerly extrato",
                "pace: 340/s due; formerly as fast as replies come",
                "connections: 14; formerly 32",
                "connections: kept; formerly one for each request",
                "length: 60.0 s; formerly 5,000 requests",
                "CPUs: 2; formerly 4",
            ]
        );
    }
}
