//! The terminal's screen.

use std::time::{Duration, Instant};

use anyhow::Result;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use crate::overview::{NodeFigures, NodeRow, Overview, PaymentsRow};
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

/// Of the table of nodes.
struct Column {
    head: &'static str,
    width: u16,
    /// Where there is not enough room for all, those with the highest go first.
    rank: u8,
    text: fn(&NodeFigures) -> String,
}

#[rustfmt::skip]
const COLUMNS: [Column; 15] = [
    Column { head: "node", width: 10, rank: 0, text: |node| node.name.clone() },
    Column { head: "status", width: 9, rank: 1, text: |node| node.status.clone() },
    Column { head: "up", width: 7, rank: 12, text: |node| clock(node.uptime_s) },
    Column { head: "shards", width: 6, rank: 2, text: |node| node.shards.to_string() },
    Column { head: "conns", width: 6, rank: 13, text: |node| count(node.connections) },
    Column { head: "req/s", width: 7, rank: 3, text: |node| count(node.requests) },
    Column { head: "4xx/s", width: 6, rank: 14, text: |node| count(node.refused) },
    Column { head: "5xx/s", width: 6, rank: 5, text: |node| count(node.failed) },
    Column { head: "p50", width: 8, rank: 10, text: |node| time(node.p50_s) },
    Column { head: "p99", width: 8, rank: 4, text: |node| time(node.p99_s) },
    Column { head: "batch", width: 6, rank: 11, text: |node| or_dash(node.batch) },
    Column { head: "journal/s", width: 10, rank: 7, text: |node| bytes(node.journal_bytes) },
    Column { head: "snapshot", width: 8, rank: 9, text: |node| clock(node.snapshot_age_s) },
    Column { head: "memory", width: 8, rank: 8, text: |node| bytes(node.resident_bytes) },
    Column { head: "link down", width: 12, rank: 6, text: |node| node.links_down.join(" ") },
];

/// Those that are whole in this width, in their order.
fn fitting(width: u16) -> Vec<&'static Column> {
    let needed = |rank: u8| -> u16 {
        let kept = COLUMNS.iter().filter(|column| column.rank <= rank);
        kept.map(|column| column.width + 1).sum::<u16>() - 1
    };
    let kept = COLUMNS.iter().filter(|column| needed(column.rank) <= width);
    kept.collect()
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, nodes: &[NodeRow]) {
    let inside = Block::bordered().inner(area);
    let columns = fitting(inside.width);
    let head: Vec<&str> = columns.iter().map(|column| column.head).collect();
    let widths: Vec<u16> = columns.iter().map(|column| column.width).collect();
    let rows = nodes.iter().map(|row| match &row.node {
        Err(_) => Row::default(),
        Ok(node) => Row::new(columns.iter().map(|column| (column.text)(node)))
            .style(if node.failed > 0.0 { BAD } else { Style::new() }),
    });
    frame.render_widget(table("Nodes", &head, rows.collect(), &widths), area);
    // Who has not answered has no figures: the row is for the reason, below the head.
    for (row, y) in nodes.iter().zip(inside.y + 1..inside.bottom()) {
        if let Err(why) = &row.node {
            let line = Line::styled(format!("{}: {why}", row.target), BAD);
            let place = Rect::new(inside.x, y, inside.width, 1);
            frame.render_widget(Paragraph::new(line), place);
        }
    }
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
        "Payments: {} open, {} over a minute, {} in doubt, {}/s accepted, {}/s refused",
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
            "open, 1 over a minute",
            "1.5 ms",
        ] {
            assert!(screen.contains(words), "{words:?} is not in\n{screen}");
        }
        // A terminal as most are has less of it, and nothing that is cut off.
        let heads: Vec<&str> = COLUMNS.iter().map(|column| column.head).collect();
        for (width, least) in [(80, 8), (110, 11), (160, heads.len())] {
            let screen = shown(width, 24, &overview);
            let line = screen.lines().find(|line| line.contains("node "));
            let mut line = line
                .expect("a head")
                .trim_matches(['"', '│', ' '])
                .to_owned();
            let mut whole = 0;
            for head in &heads {
                if line.contains(head) {
                    line = line.replacen(head, "", 1);
                    whole += 1;
                }
            }
            assert_eq!(line.trim(), "", "{screen}");
            assert!(whole >= least, "{whole} at {width}:\n{screen}");
            let reason = "localhost:2: connection refused";
            assert!(screen.contains(reason), "{screen}");
        }
        // However small: no panic.
        for (width, height) in [(1, 1), (20, 5), (80, 10)] {
            shown(width, height, &overview);
        }
        shown(80, 24, &Overview::default());
    }
}
