//! Rate and latency over time, one above the other on one axis of time.
//!
//! ```text
//!    400 ┤▆▆▆▆▆▆▆▆▆▆▆                 now   340/s
//!      0 ┤███████████                 mean  339/s
//!   10 ms┤            ⢀⠤⠤             max  12.0 ms
//!    1 ms┤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠁                p50  0.9 ms
//!        0s──────────5s────────────10s
//! ```
//!
//! Lines of latency never cross (p50 <= p99 <= max), and each has its name at its end: which is which can be told without
//! colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas, Line as Stroke};
use ratatui::widgets::{Sparkline, Widget};

use super::clock;
use crate::measure::{Point, Series};
use crate::report::axis::{count_label, number_above, number_below, one_two_five, time_label};
use crate::report::units;

/// Left of the charts: what the vertical axis says, and its line.
const LEFT_COLUMNS: u16 = 11;
/// Right of them: what is true now.
const RIGHT_COLUMNS: u16 = 18;
/// Both charts begin with so much time, and take more of it in steps, so that what is drawn keeps its place for a while.
const WINDOWS_S: [f64; 15] = [
    5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 600.0, 1_200.0,
    1_800.0,
];
/// Between two times on the axis.
const TIME_STEPS_S: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0,
];
/// What a time on the axis needs.
const TIME_COLUMNS: f64 = 12.0;
/// The least that the axis of latency covers: a factor of ten, in steps of [`one_two_five`].
const LATENCY_SPAN_MIN: i32 = 3;

/// One of a point's values.
type Value = fn(&Point) -> f64;

const RATE_COLOR: Color = Color::Cyan;
/// What is drawn of latency, lowest first.
const LATENCIES: [(&str, Color, Value); 3] = [
    ("p50", Color::Green, |point| point.p50_us),
    ("p99", Color::Magenta, |point| point.p99_us),
    ("max", Color::Reset, |point| point.max_us),
];

/// How much time the charts cover, so that all of a run so far is on them.
pub(super) fn window_s(series: &Series) -> f64 {
    let end_s = series
        .points()
        .last()
        .map_or(0.0, |point| point.at_s + point.length_s);
    let known = WINDOWS_S
        .into_iter()
        .find(|window_s| end_s <= window_s + 0.5);
    let longest_s = WINDOWS_S[WINDOWS_S.len() - 1];
    known.unwrap_or_else(|| (end_s / longest_s).ceil() * longest_s)
}

/// Replies a second, from zero.
pub(super) fn rate(area: Rect, buf: &mut Buffer, series: &Series, window_s: f64, mean: f64) {
    let [left, chart, right] = columns(area);
    let max = ceiling(series.points().map(Point::rate).fold(0.0, f64::max));
    let bars = resampled(series, window_s, chart.width.into());
    // Of a whole: the widget counts in whole numbers, and rates can be small ones.
    const WHOLE: f64 = 1e6;
    let bars = bars
        .into_iter()
        .map(|rate| rate.map(|rate| (rate / max * WHOLE) as u64));
    Sparkline::default()
        .data(bars.collect::<Vec<_>>())
        .max(WHOLE as u64)
        .style(RATE_COLOR)
        .render(chart, buf);
    let bottom = left.height.saturating_sub(1);
    vertical_axis(
        left,
        buf,
        &[(0, count_label(max)), (bottom, count_label(0.0))],
    );
    let now = series.points().last().map_or(0.0, Point::rate);
    let style = Style::new().fg(RATE_COLOR);
    beside(
        right,
        buf,
        0,
        "now",
        style,
        &format!("{}/s", units::rate(now)),
    );
    beside(
        right,
        buf,
        1,
        "mean",
        Style::new(),
        &format!("{}/s", units::rate(mean)),
    );
}

/// Percentiles of each interval, on a logarithmic axis that covers all of them.
pub(super) fn latency(area: Rect, buf: &mut Buffer, series: &Series, window_s: f64) {
    let [left, chart, right] = columns(area);
    let Some(numbers) = latency_bounds(series) else {
        vertical_axis(left, buf, &[]);
        return;
    };
    let bounds = numbers.map(|number| one_two_five(number).log10());
    Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, window_s])
        .y_bounds(bounds)
        .paint(|canvas| {
            // The lowest line last: where two share a cell, its colour stays.
            for (_, color, value) in LATENCIES.iter().rev() {
                strokes(series, value, |x1, y1, x2, y2| {
                    canvas.draw(&Stroke::new(x1, y1, x2, y2, *color));
                });
                canvas.layer();
            }
        })
        .render(chart, buf);
    let row = |us: f64| {
        let share = (bounds[1] - us.log10()) / (bounds[1] - bounds[0]);
        (share * f64::from(chart.height.saturating_sub(1))).round() as u16
    };
    vertical_axis(left, buf, &latency_ticks(numbers, row));

    let Some(last) = series.points().last().filter(|point| point.max_us > 0.0) else {
        return;
    };
    // From the bottom up; each at its line's end, or above the one below it.
    let rows = LATENCIES.map(|(_, _, value)| row(value(last)));
    for ((name, color, value), row) in LATENCIES.iter().zip(apart(rows, chart.height)) {
        let style = Style::new().fg(*color);
        beside(right, buf, row, name, style, &units::time_us(value(last)));
    }
}

/// The times of both charts: one row.
pub(super) fn time_axis(area: Rect, buf: &mut Buffer, window_s: f64) {
    let [_, chart, _] = columns(area);
    if chart.is_empty() {
        return;
    }
    let line = "─".repeat(chart.width.into());
    Span::raw(line).dim().render(chart, buf);
    let width = f64::from(chart.width);
    let steps_max = (width / TIME_COLUMNS).max(1.0);
    let is_wide = |step_s: &&f64| window_s / **step_s <= steps_max;
    let step_s = TIME_STEPS_S
        .iter()
        .find(is_wide)
        .copied()
        .unwrap_or(window_s);
    for number in 0..=(window_s / step_s).floor() as u64 {
        let at_s = number as f64 * step_s;
        let label = clock(at_s);
        let columns = label.len() as u16;
        let middle = (at_s / window_s * width) as u16;
        let last = chart.width.saturating_sub(columns);
        let column = middle.saturating_sub(columns / 2).min(last);
        buf.set_string(chart.x + column, chart.y, label, Style::new());
    }
}

/// Axis, chart, and what is true now. Where there is little room, the chart keeps some of it.
fn columns(area: Rect) -> [Rect; 3] {
    let right = match area.width >= LEFT_COLUMNS + 2 * RIGHT_COLUMNS {
        true => RIGHT_COLUMNS,
        false => 0,
    };
    Layout::horizontal([Length(LEFT_COLUMNS), Fill(1), Length(right)]).areas(area)
}

/// A line at the right of the area, with labels at some of its rows, counted from the top.
fn vertical_axis(area: Rect, buf: &mut Buffer, labels: &[(u16, String)]) {
    let Some(room) = usize::from(area.width).checked_sub(2) else {
        return;
    };
    for row in 0..area.height {
        let label = labels.iter().find(|(at, _)| *at == row);
        let (text, mark) = label.map_or(("", "│"), |(_, text)| (&**text, "┤"));
        let line = Line::from(vec![
            Span::raw(format!("{text:>room$} ")),
            Span::raw(mark).dim(),
        ]);
        buf.set_line(area.x, area.y + row, &line, area.width);
    }
}

/// A name and its value, right of a chart.
fn beside(area: Rect, buf: &mut Buffer, row: u16, name: &str, style: Style, value: &str) {
    if row < area.height {
        let line = Line::from(vec![
            Span::styled(format!(" {name:<4} "), style).bold(),
            Span::raw(format!("{value:>11}")),
        ]);
        buf.set_line(area.x, area.y + row, &line, area.width);
    }
}

/// What each column of a chart stands for: the mean of the rates in its part of the window, `None` where there is nothing.
fn resampled(series: &Series, window_s: f64, columns: usize) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0.0); columns];
    let column_s = window_s / columns.max(1) as f64;
    for point in series.points() {
        let (from, to) = (point.at_s, point.at_s + point.length_s);
        let first = (from / column_s) as usize;
        for (column, (sum, weight)) in sums.iter_mut().enumerate().skip(first) {
            let begin = column as f64 * column_s;
            let covered = to.min(begin + column_s) - from.max(begin);
            if covered <= 0.0 {
                break;
            }
            *sum += point.rate() * covered;
            *weight += covered;
        }
    }
    // A column is drawn if it is covered for the most part.
    let drawn = sums.into_iter();
    drawn
        .map(|(sum, weight)| (weight >= column_s / 2.0).then(|| sum / weight))
        .collect()
}

/// A line through the middles of intervals, from the beginning of the first to the end of the last, broken where nothing
/// ended. Vertically: the logarithm.
fn strokes(series: &Series, value: &Value, mut draw: impl FnMut(f64, f64, f64, f64)) {
    let mut former: Option<(f64, f64)> = None;
    let mut end = None;
    for point in series.points() {
        let us = value(point);
        if us <= 0.0 {
            if let (Some((x, y)), Some(end)) = (former.take(), end) {
                draw(x, y, end, y);
            }
            continue;
        }
        let (x, y) = (point.at_s + point.length_s / 2.0, us.log10());
        match former {
            Some((x1, y1)) => draw(x1, y1, x, y),
            None => draw(point.at_s, y, x, y),
        }
        former = Some((x, y));
        end = Some(point.at_s + point.length_s);
    }
    if let (Some((x, y)), Some(end)) = (former, end) {
        draw(x, y, end, y);
    }
}

/// Between which latencies all that is drawn lies, as numbers of [`one_two_five`]; `None`: nothing ended yet.
fn latency_bounds(series: &Series) -> Option<[i32; 2]> {
    let points = || series.points().filter(|point| point.p50_us > 0.0);
    let least_us = points().map(|point| point.p50_us).reduce(f64::min)?;
    let most_us = points().map(|point| point.max_us).reduce(f64::max)?;
    let low = number_below(least_us);
    Some([low, number_above(most_us).max(low + LATENCY_SPAN_MIN)])
}

/// Rows with their labels: powers of ten within the bounds, and of those between them, 5 and 2 times a power, as many as
/// leave a row free to their neighbours.
fn latency_ticks([low, high]: [i32; 2], row: impl Fn(f64) -> u16) -> Vec<(u16, String)> {
    let mut ticks: Vec<(u16, String)> = Vec::new();
    for of_decade in [0, 2, 1] {
        for number in (low..=high).filter(|number| number.rem_euclid(3) == of_decade) {
            let us = one_two_five(number);
            if ticks.iter().all(|(other, _)| row(us).abs_diff(*other) >= 2) {
                ticks.push((row(us), time_label(us)));
            }
        }
    }
    ticks
}

/// Rows for labels that want these (lowest first, counted from the top), none of them twice; in a chart with fewer rows the
/// lowest ones lie beyond its end.
fn apart<const N: usize>(wanted: [u16; N], height: u16) -> [u16; N] {
    let mut rows = wanted;
    let mut below = height;
    for row in &mut rows {
        *row = (*row).min(below.saturating_sub(1));
        below = *row;
    }
    // Those at the top have come to share its row: they push the others down.
    let mut above = None;
    for row in rows.iter_mut().rev() {
        *row = above.map_or(*row, |above: u16| (*row).max(above + 1));
        above = Some(*row);
    }
    rows
}

/// A round number that is not less, and not much more; one for nothing.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let factors = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let factor = factors
        .into_iter()
        .find(|factor| value <= factor * power * 1.000_001);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: impl IntoIterator<Item = (u64, f64)>) -> Series {
        let mut series = Series::default();
        for (second, (replies, us)) in points.into_iter().enumerate() {
            series.push(Point {
                at_s: second as f64,
                length_s: 1.0,
                replies,
                p50_us: us,
                p90_us: us * 2.0,
                p99_us: us * 4.0,
                max_us: us * 8.0,
                ..Point::default()
            });
        }
        series
    }

    #[test]
    fn columns_have_the_rates_of_their_time() {
        let few = series([(10, 1.0), (30, 1.0)]);
        let wide = resampled(&few, 5.0, 10);
        let (ten, thirty) = (Some(10.0), Some(30.0));
        assert_eq!(wide[..5], [ten, ten, thirty, thirty, None]);
        let many = series((0..60).map(|second| (second, 1.0)));
        let narrow = resampled(&many, 60.0, 6);
        assert_eq!(narrow[0], Some(4.5));
        assert_eq!(narrow[5], Some(54.5));
    }

    #[test]
    fn windows_cover_all_of_a_run() {
        for (seconds, window) in [
            (0, 5.0),
            (5, 5.0),
            (6, 10.0),
            (241, 300.0),
            (3_000, 3_600.0),
        ] {
            let series = series((0..seconds).map(|_| (1, 1.0)));
            assert_eq!(window_s(&series), window, "after {seconds}s");
        }
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(
            [0.0, 7.3, 340.0, 61_503.0].map(ceiling),
            [1.0, 8.0, 400.0, 80_000.0]
        );
    }

    #[test]
    fn latency_has_round_bounds_and_a_decade_at_least() {
        let bounds = |us: f64| latency_bounds(&series([(1, us)])).map(|it| it.map(one_two_five));
        assert_eq!(bounds(812.0), Some([500.0, 10_000.0]));
        assert_eq!(bounds(100.0), Some([100.0, 1_000.0]));
        assert_eq!(bounds(0.7), Some([0.5, 10.0]));
        assert_eq!(latency_bounds(&series([])), None);
        // With so many rows a decade.
        let labels = |rows: f64| {
            let ticks = latency_ticks([1, 7], |us| (us.log10() * rows).round() as u16);
            ticks
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(2.0), ["10 µs", "100 µs"]);
        let all = [
            "10 µs", "100 µs", "5 µs", "50 µs", "2 µs", "20 µs", "200 µs",
        ];
        assert_eq!(labels(20.0), all);
    }

    #[test]
    fn labels_do_not_share_rows() {
        assert_eq!(apart([6, 3, 1], 8), [6, 3, 1]);
        assert_eq!(apart([6, 6, 6], 8), [6, 5, 4]);
        assert_eq!(apart([0, 0, 0], 8), [2, 1, 0]);
        assert_eq!(apart([1, 0, 0], 2), [2, 1, 0]);
    }

    #[test]
    fn lines_break_where_nothing_ended() {
        let mut drawn = Vec::new();
        let series = series([(1, 10.0), (1, 100.0), (0, 0.0), (1, 10.0)]);
        let value: Value = |point| point.p50_us;
        strokes(&series, &value, |x1, y1, x2, y2| {
            drawn.push([x1, y1, x2, y2])
        });
        let expected = [
            [0.0, 1.0, 0.5, 1.0],
            [0.5, 1.0, 1.5, 2.0],
            [1.5, 2.0, 2.0, 2.0],
            [3.0, 1.0, 3.5, 1.0],
            [3.5, 1.0, 4.0, 1.0],
        ];
        assert_eq!(drawn, expected);
    }
}
