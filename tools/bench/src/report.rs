//! Figures, and how they are shown.

use serde::Serialize;
use serde_json::{json, Value};

use crate::machine::Machine;
use crate::row::{Row, Scale};

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

/// A row that was not measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LeftOut {
    pub row: Row,
    pub why: &'static str,
}

/// One measured number.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The row that measured it.
    pub row: Row,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    pub better: Better,
    /// Without it: for information.
    pub must: Option<f64>,
    pub aim: Option<f64>,
    /// How far the samples lie apart, or what else to know.
    pub note: String,
    /// All there is behind the number.
    pub samples: Value,
}

impl Figure {
    /// A number for information.
    pub fn new(row: Row, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Figure {
            row,
            what: what.into(),
            value,
            unit,
            better: Better::Higher,
            must: None,
            aim: None,
            note: String::new(),
            samples: Value::Null,
        }
    }

    pub fn lower_is_better(mut self) -> Self {
        self.better = Better::Lower;
        self
    }

    pub fn must(mut self, must: f64) -> Self {
        self.must = Some(must);
        self
    }

    pub fn aim(mut self, aim: f64) -> Self {
        self.aim = Some(aim);
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub fn samples(mut self, samples: impl Serialize) -> Self {
        self.samples = json!(samples);
        self
    }

    fn meets(&self, bound: f64) -> bool {
        match self.better {
            Better::Higher => self.value >= bound,
            Better::Lower => self.value <= bound,
        }
    }

    /// `None`: nothing is demanded of it.
    pub fn meets_must(&self) -> Option<bool> {
        self.must.map(|must| self.meets(must))
    }

    fn verdict(&self) -> &'static str {
        match self.meets_must() {
            Some(false) => "MISSED",
            _ if self.aim.is_some_and(|aim| self.meets(aim)) => "aim",
            Some(true) => "must",
            None => "",
        }
    }
}

/// Lined up, a figure a line.
pub fn table(figures: &[Figure]) -> String {
    let bound = |bound: Option<f64>| bound.map_or(String::new(), number);
    let mut lines = vec![["what", "measured", "", "must", "aim", "meets", ""].map(String::from)];
    lines.extend(figures.iter().map(|figure| {
        [
            figure.what.clone(),
            number(figure.value),
            figure.unit.to_string(),
            bound(figure.must),
            bound(figure.aim),
            figure.verdict().to_string(),
            figure.note.clone(),
        ]
    }));
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Numbers to the right, words to the left.
            let aligned = match column {
                1 | 3 | 4 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            };
            row += &aligned;
            row += if column == 1 { " " } else { "  " };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

/// With three or four digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        0.0..0.1 => format!("{value:.4}"),
        0.1..10.0 => format!("{value:.3}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// All of a run, as it is written to a file.
pub fn json(machine: &Machine, scale: &Scale, figures: &[Figure], left_out: &[LeftOut]) -> Value {
    let mut all = json!({
        "machine": machine, "scale": scale, "figures": figures, "left_out": left_out
    });
    for (written, figure) in all["figures"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .zip(figures)
    {
        written["pass"] = figure.meets_must().into();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_met_from_the_good_side() {
        let speed = Figure::new(Row::Start, "speed", 0.9, "x")
            .must(0.8)
            .aim(0.95);
        assert_eq!((speed.meets_must(), speed.verdict()), (Some(true), "must"));
        let memory = Figure::new(Row::Start, "memory", 12.0, "MB").lower_is_better();
        let memory = memory.must(10.0).aim(6.0);
        assert_eq!(
            (memory.meets_must(), memory.verdict()),
            (Some(false), "MISSED")
        );
        let idle = Figure::new(Row::Start, "idle", 0.0, "ticks")
            .lower_is_better()
            .must(0.0)
            .aim(0.0);
        assert_eq!((idle.meets_must(), idle.verdict()), (Some(true), "aim"));
        let information = Figure::new(Row::Start, "latency", 1.0, "ms");
        assert_eq!(
            (information.meets_must(), information.verdict()),
            (None, "")
        );
    }

    #[test]
    fn columns_line_up() {
        let figures = [
            Figure::new(Row::Start, "a", 0.123_45, "x").must(0.5),
            Figure::new(Row::Start, "longer", 123_456.7, "requests/s").note("noisy"),
        ];
        assert_eq!(
            table(&figures),
            "what    measured              must  aim  meets\n\
             a          0.123 x           0.500       MISSED\n\
             longer    123457 requests/s                      noisy\n"
        );
    }
}
