use std::time::{Duration, Instant};

use ratatui::backend::TestBackend;
use ratatui::Terminal;

use super::*;
use crate::measure::{FailureKind, Kind, Point, Sample, Tally};

/// Replies of a made-up second, some of them wrong if it is to fail.
fn second(number: u64, replies: u64, is_failing: bool) -> Tally {
    let mut tally = Tally::default();
    for reply in 0..replies {
        let wave = 1.0 + (number as f64 / 5.0).sin() / 3.0;
        let us = if reply % 100 == 99 {
            9_000.0
        } else {
            500.0 + reply as f64
        };
        let latency = Duration::from_secs_f64(us * wave / 1e6);
        let kinds = [Kind::Debit, Kind::Debit, Kind::Credit, Kind::Statement];
        let sample = Sample {
            kind: kinds[reply as usize % kinds.len()],
            latency,
            service: latency * 9 / 10,
            status: Some(if reply % 20 == 19 { 422 } else { 200 }),
            bytes: 150,
            in_time: true,
        };
        tally.succeeded(&sample);
    }
    if is_failing {
        let sample = Sample {
            kind: Kind::Debit,
            latency: Duration::from_secs(5),
            service: Duration::from_secs(5),
            status: None,
            bytes: 0,
            in_time: false,
        };
        tally.failed(&sample, FailureKind::TimeOut, || {
            "no reply within 5s\\nPOST /clientes/1/transacoes".replace("\\n", "\n")
        });
        tally.late(Some(Duration::from_millis(2)), true);
    }
    tally
}

/// A run of 30 seconds, after so many of them.
fn view(seconds: u64, is_failing: bool, now: Instant) -> View {
    let mut view = View::new(Title {
        run: "bank".to_owned(),
        target: "http://127.0.0.1:9999".to_owned(),
        how: "14 connections, 30s, 340/s".to_owned(),
    });
    let mut total = Tally::default();
    for number in 0..seconds {
        let length = Duration::from_secs(1);
        let tally = second(
            number,
            330 + number % 3 * 10,
            is_failing && number % 10 == 7,
        );
        total.merge(&tally);
        let elapsed = Duration::from_secs(number + 1);
        let progress = Progress {
            elapsed,
            part: elapsed.as_secs_f64() / 30.0,
            point: Some(&Point::new(Duration::from_secs(number), length, &tally)),
            total: &total,
        };
        view.interval(&progress, now);
    }
    view
}

fn drawn(view: &View, width: u16, height: u16, now: Instant) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame, now)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(width.into());
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned() + "\n").collect()
}

#[test]
fn look() {
    let now = Instant::now();
    for (w, h) in [(80, 24), (100, 30), (200, 60), (60, 15), (40, 10)] {
        for failing in [false, true] {
            let mut view = view(17, failing, now);
            if failing {
                view.note("ramps: 2m10s, 330/s");
                view.note("checks over")
            }
            println!("{w}x{h}\n{}", drawn(&view, w, h, now));
        }
    }
}
