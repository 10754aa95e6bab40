//! Percentiles, statuses, kinds and failures, as they stand so far.

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

use super::standing::Standing;
use crate::report::{units, Distribution, PERCENTILES};

/// Of each table, and what keeps it apart from the next one.
const PERCENTILE_COLUMNS: u16 = 30;
const STATUS_COLUMNS: u16 = 24;
const KIND_COLUMNS: u16 = 21;
const KIND_COLUMNS_WIDE: u16 = 52;
const FAILURE_COLUMNS_MIN: u16 = 40;
const GAP_COLUMNS: u16 = 2;

/// Which tables stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    kinds: u16,
    /// Failures have a column, and need no rows of their own.
    pub(super) failures: u16,
}

impl Columns {
    /// As many as there is room for.
    pub(super) fn of(width: u16) -> Columns {
        let taken = PERCENTILE_COLUMNS + STATUS_COLUMNS + 2 * GAP_COLUMNS;
        let left = width.saturating_sub(taken);
        let with_failures = GAP_COLUMNS + FAILURE_COLUMNS_MIN;
        let kinds = match left {
            left if left >= KIND_COLUMNS_WIDE + with_failures => KIND_COLUMNS_WIDE,
            left if left >= KIND_COLUMNS + with_failures => KIND_COLUMNS,
            left if left >= KIND_COLUMNS_WIDE => KIND_COLUMNS_WIDE,
            left if left >= KIND_COLUMNS => KIND_COLUMNS,
            _ => 0,
        };
        let failures = left.saturating_sub(kinds + GAP_COLUMNS);
        let is_enough = kinds > 0 && failures >= FAILURE_COLUMNS_MIN;
        Columns {
            kinds,
            failures: if is_enough { failures } else { 0 },
        }
    }
}

/// A line over a part of the screen, with its name in it; what is left below it.
pub(super) fn headed(area: Rect, buf: &mut Buffer, name: &str) -> Rect {
    let title = Line::from(vec![" ".into(), name.to_owned().bold(), " ".into()]);
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(ratatui::style::Style::new().dim());
    let inner = block.inner(area);
    block.render(area, buf);
    // Not at the very edge: a name within the line reads as the line's name.
    if area.width > 2 && area.height > 0 {
        buf.set_line(area.x + 1, area.y, &title, area.width - 2);
    }
    inner
}

/// All tables that have room, side by side.
pub(super) fn side_by_side(area: Rect, buf: &mut Buffer, standing: &Standing) {
    let columns = Columns::of(area.width);
    let widths = match (columns.kinds, columns.failures) {
        (0, _) => vec![PERCENTILE_COLUMNS],
        (_, 0) => vec![PERCENTILE_COLUMNS, STATUS_COLUMNS],
        (kinds, _) => vec![PERCENTILE_COLUMNS, STATUS_COLUMNS, kinds],
    };
    // The last one has what is left.
    let widths = widths.into_iter().map(Length).chain([Fill(1)]);
    let areas = Layout::horizontal(widths).spacing(GAP_COLUMNS).split(area);
    let tables = [percentiles, statuses, kinds, failures];
    for (area, table) in areas.iter().zip(tables) {
        table(*area, buf, standing);
    }
}

/// Latency, and beside it service.
fn percentiles(area: Rect, buf: &mut Buffer, standing: &Standing) {
    let area = headed(area, buf, "Percentiles so far");
    let rows = |distribution: &Distribution| {
        let named = PERCENTILES.iter().map(|(name, _)| *name);
        let mut rows: Vec<(&str, f64)> = named.zip(distribution.percentiles_us()).collect();
        rows.insert(0, ("mean", distribution.mean_us));
        rows.push(("max", distribution.max_us));
        rows
    };
    // What is left out first, where there is no room for all.
    let mut shown: Vec<_> = rows(&standing.latency)
        .into_iter()
        .zip(rows(&standing.service))
        .collect();
    for name in ["mean", "p75", "p95", "p90", "p99.99", "p99.9"] {
        if shown.len() + 1 > area.height.into() {
            shown.retain(|((row, _), _)| *row != name);
        }
    }
    let head = Line::from(format!("{:<7}{:>10} {:>10}", "", "latency", "service")).dim();
    let lines = shown
        .into_iter()
        .map(|((name, latency_us), (_, service_us))| {
            let [latency, service] = [latency_us, service_us].map(units::time_us);
            Line::from(vec![
                format!(" {name:<6}").bold(),
                format!("{latency:>10} {service:>10}").into(),
            ])
        });
    write(area, buf, std::iter::once(head).chain(lines));
}

fn statuses(area: Rect, buf: &mut Buffer, standing: &Standing) {
    let area = headed(area, buf, "Replies");
    let head = Line::from(format!("{:<9}{:>9} {:>5}", " status", "count", "share")).dim();
    let lost = Some(standing.no_reply()).filter(|count| *count > 0);
    let all = standing
        .statuses
        .iter()
        .map(|(status, count)| (status.to_string(), *count));
    let all = all.chain(lost.map(|count| ("no reply".to_owned(), count)));
    let lines = all.map(|(name, count)| {
        let share = count as f64 / standing.requests.max(1) as f64;
        Line::from(vec![
            format!(" {name:<8}").bold(),
            format!("{:>9} {:>4.0}%", units::count(count), share * 100.0).into(),
        ])
    });
    write(area, buf, std::iter::once(head).chain(lines));
}

fn kinds(area: Rect, buf: &mut Buffer, standing: &Standing) {
    let is_wide = area.width >= KIND_COLUMNS_WIDE;
    let area = headed(area, buf, "Requests");
    let mut head = format!("{:<10}{:>10}", " kind", "count");
    if is_wide {
        head += &format!(" {:>8} {:>10} {:>10}", "failed", "p50", "p99");
    }
    let lines = standing.kinds.iter().map(|kind| {
        let mut line = vec![
            format!(" {:<9}", kind.kind.name()).bold(),
            format!("{:>10}", units::count(kind.requests)).into(),
        ];
        if is_wide {
            let [p50, p99] = [kind.p50_us, kind.p99_us].map(units::time_us);
            line.push(failed(
                format!(" {:>8}", units::count(kind.failed)),
                kind.failed,
            ));
            line.push(format!(" {p50:>10} {p99:>10}").into());
        }
        Line::from(line)
    });
    write(
        area,
        buf,
        std::iter::once(Line::from(head).dim()).chain(lines),
    );
}

/// By kind, with the first of each.
pub(super) fn failures(area: Rect, buf: &mut Buffer, standing: &Standing) {
    let name = match standing.failed {
        0 => "Failures: none".to_owned(),
        count => format!("Failures: {}", units::count(count)),
    };
    let area = headed(area, buf, &name);
    let lines = standing.failures.iter().map(|failure| {
        Line::from(vec![
            failed(format!("{:>9}", units::count(failure.count)), failure.count),
            format!(" {:<19}", failure.kind.name()).bold(),
            failure.example.clone().into(),
        ])
    });
    write(area, buf, lines);
}

/// A number of failures, which is to be seen.
pub(super) fn failed(text: String, count: u64) -> Span<'static> {
    match count {
        0 => text.into(),
        _ => text.bold().fg(Color::Red),
    }
}

/// One line a row, as far as there are rows.
pub(super) fn write<'a>(area: Rect, buf: &mut Buffer, lines: impl Iterator<Item = Line<'a>>) {
    for (row, line) in area.rows().zip(lines) {
        line.render(row, buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_take_what_room_there_is() {
        let columns = |width| {
            let Columns { kinds, failures } = Columns::of(width);
            (kinds, failures)
        };
        assert_eq!(columns(60), (0, 0));
        assert_eq!(columns(80), (KIND_COLUMNS, 0));
        assert_eq!(columns(100), (KIND_COLUMNS, 0));
        assert_eq!(columns(110), (KIND_COLUMNS_WIDE, 0));
        assert_eq!(columns(121), (KIND_COLUMNS, 40));
        assert_eq!(columns(200), (KIND_COLUMNS_WIDE, 88));
        assert_eq!(columns(1), (0, 0));
    }
}
