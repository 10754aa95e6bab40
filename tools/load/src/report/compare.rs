//! A former run beside this one.

use super::figure::{figures, Better, Unit};
use super::Report;

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
    let _ = (report, base);
    todo!()
}
