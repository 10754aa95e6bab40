//! One chart as SVG.
//!
//! A chart is as wide as its place and has a fixed height, and its text keeps its size: places on the x axis are
//! percentages. Lines are drawn in an inner `svg` of [`WIDTH`] units that is stretched, with strokes that are not.

use std::fmt::Write;

use maud::{html, Markup, PreEscaped};

use crate::report::axis::Axis;

/// Of the inner drawing, in units. Also the number of columns: no screen shows more of a line than its least and its largest
/// value in one of them.
const WIDTH: f64 = 1_000.0;
/// Below the plot, for the labels of the x axis.
const FOOT: f64 = 24.0;
/// Of a lane, in pixels, with the space above it.
const LANE: f64 = 26.0;
const LANE_GAP: f64 = 8.0;

/// A chart's frame: its axes and its size.
#[derive(Debug)]
pub struct Plot {
    /// Unique on the page.
    pub id: &'static str,
    /// What it shows, in a few words.
    pub title: String,
    /// What there is to be seen, in a sentence or two, for who does not see it.
    pub description: String,
    /// Between the axes, in pixels.
    pub height: f64,
    /// Above them, in pixels.
    pub head: f64,
    /// From left to right.
    pub x: Axis,
    /// From the bottom to the top.
    pub y: Axis,
}

/// A stretch of the x axis under the pointer.
#[derive(Debug)]
pub struct Bin {
    /// Its beginning, as the x axis counts.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// One line, shown above the chart.
    pub readout: String,
    /// All that is known of it, a line each.
    pub title: String,
}

/// Bars of a count of its own below the plot, for what would not be seen at its scale.
#[derive(Debug)]
pub struct Lane {
    /// Of its style.
    pub class: &'static str,
    /// What is counted.
    pub name: String,
    /// From, to, how many.
    pub bars: Vec<(f64, f64, f64)>,
}

/// A point of a line, as the axes count; `None`: the line has a gap.
pub type Place = Option<(f64, f64)>;

impl Plot {
    /// The whole chart: `inner` is drawn in its units, `over` in pixels and percentages.
    pub fn draw(&self, inner: &Markup, over: &Markup, lanes: &[Lane], bins: &[Bin]) -> Markup {
        let plot_and_lanes = self.height + LANE * lanes.len() as f64;
        let height = self.head + plot_and_lanes + FOOT;
        let (title_id, description_id) =
            (format!("{}-title", self.id), format!("{}-text", self.id));
        html! {
            svg.plot role="img" aria-labelledby=(title_id) aria-describedby=(description_id)
                width="100%" height=(Px(height)) {
                title id=(title_id) { (self.title) }
                desc id=(description_id) { (self.description) }
                g transform={ "translate(0," (Px(self.head)) ")" } {
                    @for tick in &self.y.ticks {
                        @let y = Px(self.height * (1.0 - tick.at));
                        line.grid x2="100%" y1=(y) y2=(y) {}
                        text.y x="-8" y=(y) dy=".35em" { (tick.label) }
                    }
                    @for tick in &self.x.ticks {
                        @let x = Percent(tick.at);
                        line.tick x1=(x) x2=(x) y1=(Px(plot_and_lanes)) y2=(Px(plot_and_lanes + 4.0)) {}
                        // A long label at the end would leave the chart.
                        @let is_last = tick.at > 0.93 && tick.label.len() > 7;
                        text.x.last[is_last].fine[tick.fine] x=(x) y=(Px(plot_and_lanes + 17.0)) { (tick.label) }
                    }
                    svg width="100%" height=(Px(self.height)) viewBox={ "0 0 " (Px(WIDTH)) " " (Px(self.height)) }
                        preserveAspectRatio="none" overflow="visible" { (inner) }
                    (over)
                    @for (number, lane) in lanes.iter().enumerate() {
                        (self.lane(lane, self.height + LANE * number as f64))
                    }
                    line.foot x2="100%" y1=(Px(self.height)) y2=(Px(self.height)) {}
                    @for bin in bins { (self.bin(bin, plot_and_lanes)) }
                }
            }
        }
    }

    /// A line through points in order of x.
    pub fn line(&self, class: &str, points: impl Iterator<Item = Place>) -> Markup {
        let mut path = String::new();
        for run in self.runs(points) {
            open(&mut path, &run);
        }
        html! { @if !path.is_empty() { path.line.(class) d=(path) {} } }
    }

    /// What lies between two lines, or between one and zero.
    pub fn area(
        &self,
        class: &str,
        above: impl Iterator<Item = Place>,
        below: Option<&mut dyn Iterator<Item = Place>>,
    ) -> Markup {
        let above = self.runs(above);
        let below = below.map(|points| self.runs(points));
        let mut path = String::new();
        for (number, run) in above.iter().enumerate() {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            open(&mut path, run);
            match below.as_ref().and_then(|below| below.get(number)) {
                Some(below) => append(&mut path, 'L', below.iter().rev()),
                None => {
                    let base = Px(self.height);
                    let _ = write!(path, "L{},{base}L{},{base}", Px(last.0), Px(first.0));
                }
            }
            path.push('Z');
        }
        html! { @if !path.is_empty() { path.area.(class) d=(path) {} } }
    }

    /// A dot at each point; where several share two columns, at the topmost.
    pub fn dots(&self, class: &str, points: impl Iterator<Item = Place>) -> Markup {
        let mut path = String::new();
        let mut last: Option<(i64, f64, f64)> = None;
        let mut put = |dot: Option<(i64, f64, f64)>| {
            if let Some((_, x, y)) = dot {
                let _ = write!(path, "M{},{}h0", Px(x), Px(y));
            }
        };
        for (x, y) in points.flatten().map(|place| self.place(place)) {
            let columns = (x / 2.0) as i64;
            last = match last {
                Some((same, _, top)) if same == columns && top <= y => last,
                Some((same, ..)) if same == columns => Some((columns, x, y)),
                before => {
                    put(before);
                    Some((columns, x, y))
                }
            };
        }
        put(last);
        html! { @if !path.is_empty() { path.dots.(class) d=(path) {} } }
    }

    /// A line across.
    pub fn level(&self, class: &str, value: f64) -> Markup {
        let y = self.height * (1.0 - self.y.scale.at(value));
        html! { line.(class) x2="100%" y1=(Px(y)) y2=(Px(y)) {} }
    }

    /// Lines from the top to the base, each with its words in a row of its own, so that none lies on another.
    pub fn markers(&self, markers: &[(f64, String)]) -> Markup {
        const ROW: f64 = 15.0;
        let places = markers.iter().enumerate().map(|(number, (value, label))| {
            let y = -4.0 - ROW * number as f64;
            (self.x.scale.at(*value), y, label)
        });
        let places: Vec<_> = places.collect();
        html! {
            @for (at, y, _) in &places {
                line.marker x1=(Percent(*at)) x2=(Percent(*at)) y1=(Px(y - 9.0)) y2=(Px(self.height)) {}
            }
            @for (at, y, label) in &places {
                // The lowest is to the left of its line: the lines of the others are to its right.
                @let is_left = *at > 0.7 || (*y > -5.0 && *at > 0.1);
                @let (anchor, dx) = if is_left { ("end", "-5") } else { ("start", "5") };
                text.marker x=(Percent(*at)) dx=(dx) y=(Px(*y)) text-anchor=(anchor) { (label) }
            }
        }
    }

    /// Upright bars from the base: from, to, value. What there is is seen, however small.
    pub fn bars(&self, class: &str, bars: impl Iterator<Item = (f64, f64, f64)>) -> Markup {
        let mut path = String::new();
        for (from, to, value) in bars.filter(|bar| bar.2 > 0.0) {
            let (left, _) = self.place((from, 0.0));
            let (right, _) = self.place((to, 0.0));
            let height = (self.height * self.y.scale.at(value)).max(2.0);
            let (left, width) = (left + 0.5, (right - left - 1.0).max(0.5));
            let top = self.height - height;
            let _ = write!(
                path,
                "M{},{}h{}v{}h{}z",
                Px(left),
                Px(top),
                Px(width),
                Px(height),
                Px(-width)
            );
        }
        html! { @if !path.is_empty() { path.bars.(class) d=(path) {} } }
    }

    fn lane(&self, lane: &Lane, top: f64) -> Markup {
        let most = lane.bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
        let room = LANE - LANE_GAP;
        let base = top + LANE;
        let mut path = String::new();
        let mut last: Option<(i64, f64)> = None;
        for (from, to, value) in lane.bars.iter().filter(|bar| bar.2 > 0.0) {
            let (x, _) = self.place(((from + to) / 2.0, 0.0));
            let height = (room * value / most).max(4.0);
            // Of several in one column the first that is the tallest so far is enough.
            let column = x as i64;
            if last.is_some_and(|(same, tallest)| same == column && tallest >= height) {
                continue;
            }
            last = Some((column, height));
            let _ = write!(path, "M{},{}v{}", Px(x), Px(LANE), Px(-height));
        }
        let width = self.stroke_width(&lane.bars);
        html! {
            text.y.lane x="-8" y=(Px(base - 6.0)) { (lane.name) }
            line.grid x2="100%" y1=(Px(base)) y2=(Px(base)) {}
            svg width="100%" y=(Px(top)) height=(Px(LANE)) viewBox={ "0 0 " (Px(WIDTH)) " " (Px(LANE)) }
                preserveAspectRatio="none" overflow="visible" {
                path.ticks.(lane.class) d=(path) stroke-width=(Px(width)) {}
            }
        }
    }

    /// Of a lane's bars, in pixels: as many as there are have room.
    fn stroke_width(&self, bars: &[(f64, f64, f64)]) -> f64 {
        (WIDTH / 5.0 / bars.len().max(1) as f64).clamp(1.5, 6.0)
    }

    fn bin(&self, bin: &Bin, height: f64) -> Markup {
        let (from, to) = (self.x.scale.at(bin.from), self.x.scale.at(bin.to));
        let middle = Percent((from + to) / 2.0);
        let height = Px(height);
        html! {
            g.bin {
                rect x=(Percent(from)) width=(Percent((to - from).max(0.001))) height=(height) {
                    title { (bin.title) }
                }
                line x1=(middle) x2=(middle) y2=(height) {}
                text x="100%" y=(Px(8.0 - self.head)) { (bin.readout) }
            }
        }
    }

    /// In units of the inner drawing.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let y = self.height * (1.0 - self.y.scale.at(y));
        (WIDTH * self.x.scale.at(x), y)
    }

    /// The stretches of a line between its gaps, in units of the inner drawing, not more points than are seen.
    fn runs(&self, points: impl Iterator<Item = Place>) -> Vec<Vec<(f64, f64)>> {
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut gap = true;
        for point in points {
            match point {
                None => gap = true,
                Some(place) => {
                    if std::mem::take(&mut gap) {
                        runs.push(Vec::new());
                    }
                    let run = runs.last_mut().expect("one was begun");
                    run.push(self.place(place));
                }
            }
        }
        runs.into_iter().map(thin).collect()
    }
}

/// Of the points in one column, the first, the lowest, the highest and the last.
fn thin(run: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if run.len() as f64 <= WIDTH {
        return run;
    }
    let mut kept = Vec::new();
    for column in run.chunk_by(|one, other| one.0 as i64 == other.0 as i64) {
        let by_height = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let least = column.iter().min_by(by_height);
        let most = column.iter().max_by(by_height);
        let mut ends: Vec<_> = least.into_iter().chain(most).copied().collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        ends.dedup();
        kept.extend(ends);
    }
    kept
}

fn open(path: &mut String, run: &[(f64, f64)]) {
    match run {
        // A point alone is a short stroke.
        [(x, y)] => {
            let left = (x - 4.0).clamp(0.0, WIDTH - 8.0);
            let _ = write!(path, "M{},{}h8", Px(left), Px(*y));
        }
        run => append(path, 'M', run.iter()),
    }
}

fn append<'a>(path: &mut String, first: char, points: impl Iterator<Item = &'a (f64, f64)>) {
    for (number, (x, y)) in points.enumerate() {
        let letter = if number == 0 { first } else { 'L' };
        let _ = write!(path, "{letter}{},{}", Px(*x), Px(*y));
    }
}

/// A number of pixels or units, to a tenth; always a number.
#[derive(Clone, Copy)]
pub struct Px(pub f64);

/// A part of the width, to a hundredth of a percent; always a number.
#[derive(Clone, Copy)]
pub struct Percent(pub f64);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug_assert!(self.0.is_finite());
        // Adding zero makes -0 a 0.
        write!(f, "{}", (self.0 * 10.0).round() / 10.0 + 0.0)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug_assert!(self.0.is_finite());
        write!(f, "{}%", (self.0 * 1e4).round() / 100.0 + 0.0)
    }
}

impl maud::Render for Px {
    fn render_to(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl maud::Render for Percent {
    fn render_to(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

/// A legend: how each series is drawn, and what it is.
pub fn legend(entries: &[(&str, &str, &str)]) -> Markup {
    html! {
        ul.legend {
            @for (shape, class, name) in entries {
                @let d = match *shape {
                    "dots" => "M5,5h0M17,5h0",
                    "ticks" => "M5,10v-7M11,10v-10M17,10v-5",
                    "bars" | "area" => "M1,1h20v9h-20z",
                    _ => "M1,5h20",
                };
                li {
                    svg.key width="22" height="10" aria-hidden="true" {
                        path class=(format!("{shape} {class}")) d=(d) {}
                    }
                    (PreEscaped("&#8239;")) (name)
                }
            }
        }
    }
}
