//! A line an interval, for logs, pipes, and terminals that are to show no more than text.

use std::io::Write;

use super::{clock, Screen, Title};
use crate::engine::{Progress, Watcher};
use crate::measure::Point;
use crate::report::units;

/// Shorter intervals are merged until they are as long. A little less than the second that is meant: a second's
/// interval can end a moment early.
const LINE_S_MIN: f64 = 0.95;

/// Lines on some output. What cannot be written is not: the run matters more.
pub(super) struct Lines<W: Write> {
    out: W,
    /// Since the last line.
    pending: Option<Point>,
    is_warming_up: bool,
}

impl<W: Write> Lines<W> {
    /// Says what runs.
    pub(super) fn new(out: W, title: &Title) -> Lines<W> {
        let mut lines = Lines {
            out,
            pending: None,
            is_warming_up: false,
        };
        let Title { run, target, how } = title;
        lines.say(&format!("galo-load: {run} against {target}: {how}"));
        lines
    }

    fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }

    /// Says what is pending.
    fn flush(&mut self) {
        let Some(point) = self.pending.take() else {
            return;
        };
        // Zero is that nothing was answered.
        let time = |us: f64| match us > 0.0 {
            true => units::time_us(us),
            false => "-".to_owned(),
        };
        let [p50, p99, max] = [point.p50_us, point.p99_us, point.max_us].map(time);
        let line = format!(
            "{:>6} {:>11}/s  p50 {p50:>8}  p99 {p99:>8}  max {max:>8}  failed {}  late {}",
            clock((point.at_s + point.length_s).round()),
            units::rate(point.rate()),
            units::count(point.failed),
            units::count(point.late),
        );
        self.say(&line);
    }
}

impl<W: Write> Watcher for Lines<W> {
    fn interval(&mut self, progress: &Progress<'_>) {
        let Some(point) = progress.point else {
            if !self.is_warming_up {
                self.is_warming_up = true;
                self.say("warm-up …");
            }
            return;
        };
        self.is_warming_up = false;
        let pending = match self.pending.take() {
            Some(earlier) => earlier.merge(point),
            None => *point,
        };
        let is_enough = pending.length_s >= LINE_S_MIN;
        self.pending = Some(pending);
        if is_enough {
            self.flush();
        }
    }
}

impl<W: Write> Screen for Lines<W> {
    fn note(&mut self, line: &str) {
        self.flush();
        self.say(line);
    }
}

impl<W: Write> Drop for Lines<W> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Tally;
    use std::time::Duration;

    fn title() -> Title {
        Title {
            run: "bank".to_owned(),
            target: "localhost:9999".to_owned(),
            how: "14 connections, 30s, 340/s".to_owned(),
        }
    }

    /// What is said of points of these lengths, in milliseconds, after two intervals of a warm-up.
    fn said(lengths_ms: &[u64]) -> String {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, &title());
        let total = Tally::default();
        let mut progress = Progress {
            elapsed: Duration::ZERO,
            part: 0.0,
            point: None,
            total: &total,
        };
        lines.interval(&progress);
        lines.interval(&progress);
        lines.note("the ramp begins");
        for length_ms in lengths_ms {
            let point = Point {
                at_s: progress.elapsed.as_secs_f64(),
                length_s: *length_ms as f64 / 1e3,
                replies: 34 * length_ms / 100,
                failed: 1,
                late: 2,
                p50_us: 812.0,
                p90_us: 1_000.0,
                p99_us: 1_900.0,
                max_us: *length_ms as f64 * 10.0,
            };
            progress.elapsed += Duration::from_millis(*length_ms);
            lines.interval(&Progress {
                point: Some(&point),
                ..progress
            });
        }
        drop(lines);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_interval_is_a_line() {
        assert_eq!(
            said(&[1_000, 1_000]),
            "galo-load: bank against localhost:9999: 14 connections, 30s, 340/s\n\
             warm-up …\n\
             the ramp begins\n    \
                 1s      340.00/s  p50   812 µs  p99  1.90 ms  max  10.0 ms  failed 1  late 2\n    \
                 2s      340.00/s  p50   812 µs  p99  1.90 ms  max  10.0 ms  failed 1  late 2\n"
        );
    }

    #[test]
    fn where_nothing_is_answered_nothing_is_quick() {
        let mut out = Vec::new();
        let point = Point {
            length_s: 1.0,
            failed: 7,
            ..Point::default()
        };
        Lines::new(&mut out, &title()).interval(&Progress {
            elapsed: Duration::from_secs(1),
            part: 0.1,
            point: Some(&point),
            total: &Tally::default(),
        });
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with("0/s  p50        -  p99        -  max        -  failed 7  late 0\n"),
            "{text}"
        );
    }

    #[test]
    fn short_intervals_are_merged_and_none_is_lost() {
        let text = said(&[300, 500, 300, 300]);
        let lines: Vec<_> = text.lines().skip(3).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].trim_start().starts_with("1s "), "{text}");
        assert!(
            lines[0].ends_with("max  5.00 ms  failed 3  late 6"),
            "{text}"
        );
        assert!(
            lines[1].ends_with("max  3.00 ms  failed 1  late 2"),
            "{text}"
        );
    }
}
