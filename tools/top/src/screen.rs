//! The terminal's screen.

use std::time::{Duration, Instant};

use anyhow::Result;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use crate::overview::{NodeRow, Overview, PaymentsRow};
use crate::text::{bytes, clock, count, or_dash, owners, time};

/// From one look at keys and signals to the next.
const KEYS: Duration = Duration::from_millis(100);

/// Takes the terminal; dropping it gives it back as it was, and so does a panic.
pub struct Screen(DefaultTerminal);

impl Screen {
    pub fn take() -> Result<Screen> {
        Ok(Screen(ratatui::try_init()?))
    }

    pub fn draw(&mut self, overview: &Overview) -> Result<()> {
        self.0.draw(|frame| draw(frame, overview))?;
        Ok(())
    }

    /// Waits for the next look, drawing anew when the terminal changes. Whether to go on.
    pub fn wait(
        &mut self,
        until: Instant,
        overview: &Overview,
        is_over: impl Fn() -> bool,
    ) -> Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if is_over() {
                return Ok(false);
            }
            if left.is_zero() {
                return Ok(true);
            }
            if !event::poll(left.min(KEYS))? {
                continue;
            }
            match event::read()? {
                Event::Resize(..) => self.draw(overview)?,
                Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                        return Ok(false)
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

fn draw(frame: &mut Frame<'_>, overview: &Overview) {
    let payments = overview.payments.as_ref();
    let rows = |count: usize| Constraint::Length(count as u16 + 3);
    let areas = Layout::vertical([
        Constraint::Length(1),
        rows(overview.nodes.len()),
        rows(overview.endpoints.len().max(1)),
        payments.map_or(Constraint::Length(0), |payments| {
            rows(payments.processors.len() + 1)
        }),
        Constraint::Min(0),
        Constraint::Length(1),
    ]);
    let [head, nodes, endpoints, gateway, _, foot] = areas.areas(frame.area());
    draw_head(frame, head, overview);
    draw_nodes(frame, nodes, &overview.nodes);
    draw_endpoints(frame, endpoints, overview);
    if let Some(payments) = payments {
        draw_payments(frame, gateway, payments);
    }
    frame.render_widget(Paragraph::new("q: quit"), foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, overview: &Overview) {
    let up: Vec<_> = overview
        .nodes
        .iter()
        .filter_map(|row| row.node.as_ref().ok())
        .collect();
    let requests: f64 = up.iter().map(|node| node.requests).sum();
    let failed: f64 = up.iter().map(|node| node.failed).sum();
    let takeovers: f64 = up.iter().map(|node| node.takeovers).sum();
    let text = format!(
        "galo  {}/{} nodes  {} requests/s  {} 5xx/s  {} takeovers  shards {}",
        up.len(),
        overview.nodes.len(),
        count(requests),
        count(failed),
        count(takeovers),
        owners(&overview.owners)
    );
    let style = if overview.is_whole() { BOLD } else { BAD };
    frame.render_widget(Paragraph::new(Line::styled(text, style)), area);
}

fn table<'a>(title: &'a str, head: &'a [&'a str], rows: Vec<Row<'a>>, widths: &[u16]) -> Table<'a> {
    let widths = widths.iter().map(|width| Constraint::Length(*width));
    let head = Row::new(head.iter().map(|name| Cell::from(*name))).style(BOLD);
    Table::new(rows, widths)
        .header(head)
        .block(Block::bordered().title(title))
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, nodes: &[NodeRow]) {
    let head = [
        "node",
        "status",
        "up",
        "shards",
        "conns",
        "req/s",
        "4xx/s",
        "5xx/s",
        "p50",
        "p99",
        "batch",
        "journal/s",
        "snapshot",
        "memory",
        "link down",
    ];
    let rows = nodes.iter().map(|row| match &row.node {
        Err(why) => Row::new([row.target.clone(), why.clone()]).style(BAD),
        Ok(node) => Row::new([
            node.name.clone(),
            node.status.clone(),
            clock(node.uptime_s),
            node.shards.to_string(),
            count(node.connections),
            count(node.requests),
            count(node.refused),
            count(node.failed),
            time(node.p50_s),
            time(node.p99_s),
            or_dash(node.batch),
            bytes(node.journal_bytes),
            clock(node.snapshot_age_s),
            bytes(node.resident_bytes),
            node.links_down.join(" "),
        ])
        .style(if node.failed > 0.0 { BAD } else { Style::new() }),
    });
    // An answer that did not come takes the room of figures.
    let down = nodes.iter().any(|row| row.node.is_err());
    let (name, status) = if down { (24, 30) } else { (10, 9) };
    let widths = [name, status, 7, 6, 6, 7, 6, 6, 8, 8, 6, 10, 8, 8, 12];
    frame.render_widget(table("Nodes", &head, rows.collect(), &widths), area);
}

fn draw_endpoints(frame: &mut Frame<'_>, area: Rect, overview: &Overview) {
    let rows = overview.endpoints.iter().map(|row| {
        Row::new([
            row.name.clone(),
            count(row.requests),
            time(row.p50_s),
            time(row.p99_s),
        ])
    });
    let head = ["endpoint", "req/s", "p50", "p99"];
    frame.render_widget(
        table("Requests", &head, rows.collect(), &[18, 8, 9, 9]),
        area,
    );
}

fn draw_payments(frame: &mut Frame<'_>, area: Rect, payments: &PaymentsRow) {
    let rows = payments.processors.iter().map(|it| {
        let is_well = !it.failing && it.circuits == ["closed"];
        let row = Row::new([
            it.name.clone(),
            it.circuits.join("+"),
            format!("{}/{}", it.under_way, it.window),
            format!("{:.1} ms", it.latency_ms),
            count(it.settled),
            count(it.failed),
        ]);
        row.style(if is_well { Style::new() } else { BAD })
    });
    let head = [
        "processor",
        "circuit",
        "under way",
        "latency",
        "settled/s",
        "failed/s",
    ];
    let title = format!(
        "Payments: {} open, {} older than a minute, {} in doubt, {}/s accepted, {}/s refused",
        payments.open,
        payments.old,
        payments.in_doubt,
        count(payments.accepted),
        count(payments.refused)
    );
    frame.render_widget(
        table(&title, &head, rows.collect(), &[10, 16, 10, 10, 10, 9]),
        area,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    use super::*;
    use crate::overview::tests::sample;

    fn shown(width: u16, height: u16, overview: &Overview) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, overview)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn nodes_requests_owners_and_processors_are_there_and_who_does_not_answer() {
        let at = Instant::now();
        let targets = ["localhost:1", "localhost:2"].map(str::to_owned);
        let down = || Err("connection refused".to_owned());
        let before = [Ok(sample(at, 0, "api01", 0, 100)), down()];
        let now = [Ok(sample(at, 2, "api01", 0, 300)), down()];
        let overview = Overview::of(&targets, &now, &before);
        let screen = shown(160, 24, &overview);
        for words in [
            "1/2 nodes",
            "api01: 0, NOBODY: 1-2",
            "localhost:2",
            "connection refused",
            "extrato",
            "150",
            "default",
            "open, 1 older than a minute",
            "1.5 ms",
        ] {
            assert!(screen.contains(words), "{words:?} is not in\n{screen}");
        }
        // However small: no panic.
        for (width, height) in [(1, 1), (20, 5), (80, 10)] {
            shown(width, height, &overview);
        }
        shown(80, 24, &Overview::default());
    }
}
