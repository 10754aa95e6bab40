//! Where what is known of the run stands on the terminal.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Widget};
use ratatui::Frame;

use super::standing::Standing;
use super::tables::{failed, headed, write, Columns};
use super::{charts, clock, tables, Title};
use crate::engine::Progress;
use crate::measure::Series;
use crate::report::units;

/// Of lines that are kept: more than there is ever room for.
const NOTES_MAX: usize = 64;
/// Where there is less, charts and tables give way to the essentials.
const COLUMNS_MIN: u16 = 58;
/// The same.
const ROWS_MIN: u16 = 14;
/// A chart of the rate: its heading, three rows, and its axis of time.
const RATE_ROWS_MIN: u16 = 4;
/// Both charts: two headings, at least three and four rows, one axis of time.
const CHARTS_ROWS_MIN: u16 = 10;
/// What the time at the right of the gauge needs.
const CLOCK_COLUMNS: u16 = 34;

/// What is known.
pub(super) struct View {
    title: Title,
    state: State,
    /// Of the measured time.
    series: Series,
    /// What stood when the last interval ended, and when that was.
    standing: Option<(Standing, Instant)>,
    notes: VecDeque<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begun,
    WarmingUp,
    Measuring,
    Stopping,
}

impl View {
    pub(super) fn new(title: Title) -> View {
        View {
            title,
            state: State::Begun,
            series: Series::default(),
            standing: None,
            notes: VecDeque::new(),
        }
    }

    /// An interval has ended, `now`.
    pub(super) fn interval(&mut self, progress: &Progress<'_>, now: Instant) {
        let state = match progress.point {
            Some(_) => State::Measuring,
            None => State::WarmingUp,
        };
        if self.state != State::Stopping {
            self.state = state;
        }
        // The next part of an official run has a time of its own.
        let former = self.standing.as_ref().map(|(former, _)| former.elapsed);
        if former.is_some_and(|former| progress.elapsed < former) {
            self.series = Series::default();
        }
        if let Some(point) = progress.point {
            self.series.push(*point);
        }
        self.standing = Standing::new(progress).map(|standing| (standing, now));
    }

    /// One line for the log.
    pub(super) fn note(&mut self, line: &str) {
        self.notes.truncate(NOTES_MAX - 1);
        self.notes.push_front(line.to_owned());
    }

    /// The sign to stop was given.
    pub(super) fn stopping(&mut self) {
        self.state = State::Stopping;
    }

    /// All of it, as it stands `now`.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, now: Instant) {
        let (area, buf) = (frame.area(), frame.buffer_mut());
        if area.width >= COLUMNS_MIN && area.height >= ROWS_MIN {
            self.draw_all(area, buf, now);
        } else {
            self.draw_essentials(area, buf, now);
        }
    }

    /// Header, charts, tables, failures, the log's end, footer: charts take what the others leave.
    fn draw_all(&self, area: Rect, buf: &mut Buffer, now: Instant) {
        let rows = [Length(1), Length(1), Fill(1), Length(1)];
        let [header, gauge, rest, footer] = Layout::vertical(rows).areas(area);
        self.header(header, buf);
        self.gauge(gauge, buf, now);
        self.footer(footer, buf);
        let notes = match self.notes.len() as u16 {
            0 => 0,
            _ if area.height < 30 => 1,
            lines => 1 + lines.min(if area.height < 40 { 3 } else { 8 }),
        };
        let Some((standing, _)) = &self.standing else {
            let [_, log] = Layout::vertical([Fill(1), Length(notes)]).areas(rest);
            self.log(log, buf);
            return;
        };
        let has_column = Columns::of(area.width).failures > 0;
        let failures = match standing.failures.len() as u16 {
            0 => 0,
            _ if has_column || area.height < 20 => 0,
            kinds => 1 + kinds.min(if area.height < 30 { 2 } else { 5 }),
        };
        let tables = if area.height < 34 { 8 } else { 11 };
        let rows = [Fill(1), Length(tables), Length(failures), Length(notes)];
        let [charts, tables, failures, log] = Layout::vertical(rows).areas(rest);
        self.charts(charts, buf, standing);
        tables::side_by_side(tables, buf, standing);
        tables::failures(failures, buf, standing);
        self.log(log, buf);
    }

    fn charts(&self, area: Rect, buf: &mut Buffer, standing: &Standing) {
        let window_s = charts::window_s(&self.series);
        let axis = u16::from(area.height >= RATE_ROWS_MIN);
        let rate = match area.height {
            height if height < CHARTS_ROWS_MIN => height - axis,
            height => height * 2 / 5,
        };
        let rows = [Length(rate), Fill(1), Length(axis)];
        let [rate, latency, axis] = Layout::vertical(rows).areas(area);
        charts::time_axis(axis, buf, window_s);
        let rate = headed(rate, buf, "Rate");
        charts::rate(rate, buf, &self.series, window_s, standing.mean_rate);
        if latency.height > 0 {
            let latency = headed(latency, buf, "Latency");
            charts::latency(latency, buf, &self.series, window_s);
        }
    }

    /// What runs; how, if there is room.
    fn header(&self, area: Rect, buf: &mut Buffer) {
        let Title { run, target, how } = &self.title;
        let what = Line::from(vec![
            " galo-load ".bold(),
            run.into(),
            " → ".dim(),
            target.into(),
        ]);
        let how = Line::from(format!("{how} ")).right_aligned();
        if what.width() + 2 + how.width() <= area.width.into() {
            how.render(area, buf);
        }
        what.render(area, buf);
    }

    fn gauge(&self, area: Rect, buf: &mut Buffer, now: Instant) {
        let (share, text) = self.progress(now);
        // At the left edge: nothing is drawn there.
        let clock = CLOCK_COLUMNS.min(area.width.saturating_sub(1) / 2);
        let columns = [Length(1), Fill(1), Length(clock)];
        let [_, gauge, clock] = Layout::horizontal(columns).areas(area);
        Line::from(format!("{text} "))
            .right_aligned()
            .render(clock, buf);
        LineGauge::default()
            .ratio(share)
            .label(format!("{:>3.0}%", share * 100.0))
            .filled_symbol("━")
            .unfilled_symbol("─")
            .filled_style(Color::Cyan)
            .render(gauge, buf);
    }

    /// The part of the run that is over, and in words where it stands.
    fn progress(&self, now: Instant) -> (f64, String) {
        let (elapsed, share) = self
            .standing
            .as_ref()
            .map_or((Duration::ZERO, 0.0), |known| {
                let (standing, seen) = known;
                standing.now(now.saturating_duration_since(*seen))
            });
        let expected = self
            .standing
            .as_ref()
            .and_then(|(standing, _)| standing.expected);
        let text = match (self.state, expected) {
            (State::Stopping, _) => "stopping …".to_owned(),
            (State::Begun, _) => "starting …".to_owned(),
            (State::WarmingUp, _) => "warm-up, not measured".to_owned(),
            (State::Measuring, _) if share >= 1.0 => "waiting for the last replies".to_owned(),
            (State::Measuring, None) => clock(elapsed.as_secs_f64()),
            (State::Measuring, Some(expected)) => {
                // Of whole seconds, so that both sum up to the whole.
                let whole_s = expected.as_secs_f64().round();
                let elapsed_s = elapsed.as_secs_f64().floor();
                let left = clock((whole_s - elapsed_s).max(0.0));
                format!("{} of {} · {left} left", clock(elapsed_s), clock(whole_s))
            }
        };
        (share, text)
    }

    /// The log's end, the newest line last; without a heading where there is one row for it.
    fn log(&self, area: Rect, buf: &mut Buffer) {
        let area = match area.height {
            0..=1 => area,
            _ => headed(area, buf, "Log"),
        };
        let newest = self.notes.iter().take(area.height.into()).rev();
        let lines = newest.map(|note| Line::from(vec![" › ".dim(), note.into()]));
        write(area, buf, lines);
    }

    /// What is well when it is nothing, and the keys.
    fn footer(&self, area: Rect, buf: &mut Buffer) {
        if let Some((standing, _)) = &self.standing {
            let keys = " q ends the run ";
            let columns = usize::from(area.width).saturating_sub(keys.len());
            let mut line = Line::from(" ");
            for (at, part) in self.counters(standing).into_iter().enumerate() {
                if line.width() + part.width() + 3 > columns {
                    break;
                }
                if at > 0 {
                    line.push_span(" · ".dim());
                }
                line.extend(part);
            }
            line.render(area, buf);
        }
        Line::from(" q ends the run ")
            .dim()
            .right_aligned()
            .render(area, buf);
    }

    /// In the order of their weight.
    fn counters<'a>(&self, standing: &Standing) -> Vec<Line<'a>> {
        let late = standing.late;
        let of = |count, what: &str| format!("{} {what}", units::count(count));
        vec![
            Line::from(failed(of(standing.failed, "failed"), standing.failed)),
            Line::from(failed(of(late.by_tool, "sent late"), late.by_tool)),
            Line::from(of(late.by_target, "waited for a connection")),
            Line::from(of(standing.requests, "requests")),
            Line::from(units::bytes(standing.bytes as f64)),
        ]
    }

    /// Line by line, the most important first.
    fn draw_essentials(&self, area: Rect, buf: &mut Buffer, now: Instant) {
        let (share, text) = self.progress(now);
        let mut lines = vec![
            Line::from(format!("{} → {}", self.title.run, self.title.target)).bold(),
            Line::from(format!("{:.0}%  {text}", share * 100.0)),
        ];
        if let Some((standing, _)) = &self.standing {
            let rates = [standing.point.rate(), standing.mean_rate].map(units::rate);
            lines.push(named(
                "rate",
                format!("{}/s, mean {}/s", rates[0], rates[1]),
            ));
            let head = format!("{:8}{:<10}{:<10}{}", "", "p50", "p99", "max");
            lines.push(Line::from(head).dim());
            for (name, of) in [
                ("latency", &standing.latency),
                ("service", &standing.service),
            ] {
                let [p50, p99, max] = [of.p50_us, of.p99_us, of.max_us].map(units::time_us);
                lines.push(named(name, format!("{p50:<10}{p99:<10}{max}")));
            }
            let statuses = standing.statuses.iter();
            let statuses =
                statuses.map(|(status, count)| format!("{status}: {}", units::count(*count)));
            lines.push(named("replies", statuses.collect::<Vec<_>>().join("  ")));
            let kinds = standing.failures.iter();
            let kinds =
                kinds.map(|failure| format!("{} {}", failure.kind, units::count(failure.count)));
            let mut line = Line::from(failed(
                units::count(standing.failed) + " failed  ",
                standing.failed,
            ));
            line.push_span(kinds.collect::<Vec<_>>().join(", "));
            lines.push(line);
            let late = units::count(standing.late.by_tool) + " sent late";
            lines.push(Line::from(failed(late, standing.late.by_tool)));
        }
        lines.extend(
            self.notes
                .front()
                .map(|note| Line::from(format!("› {note}"))),
        );
        write(area, buf, lines.into_iter());
    }
}

fn named(name: &str, text: String) -> Line<'static> {
    Line::from(vec![Span::from(format!("{name} ")).bold(), text.into()])
}

#[cfg(test)]
mod tests;
