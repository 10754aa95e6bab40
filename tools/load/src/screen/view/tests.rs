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
            "GET /x HTTP/1.1\nno reply within 5s".to_owned()
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

/// What stands in the row that has `name`, from there on.
fn after<'a>(screen: &'a str, name: &str) -> &'a str {
    let found = screen.lines().find_map(|row| row.split_once(name));
    found.unwrap_or_else(|| panic!("no {name} in\n{screen}")).1
}

#[test]
fn a_common_terminal_shows_all_of_a_run() {
    let now = Instant::now();
    let screen = drawn(&view(17, false, now), 80, 24, now);
    assert!(
        screen.starts_with(" galo-load bank → http://127.0.0.1:9999 "),
        "{screen}"
    );
    assert!(after(&screen, " 57% ━").ends_with("─            17s of 30s · 13s left"));
    // 17 seconds of 330, 340 and 350 in turn.
    assert_eq!(after(&screen, " now").trim(), "340.00/s");
    assert_eq!(after(&screen, " mean").trim(), "339.41/s");
    for name in ["p50", "p99", "max"] {
        let now = after(&screen, &format!("   {name} "));
        assert!(now.trim().ends_with("s"), "{name}: {now}");
    }
    assert!(
        after(&screen, " 200  ")
            .trim_start()
            .starts_with("5,487   95%"),
        "{screen}"
    );
    assert!(
        after(&screen, " 422  ")
            .trim_start()
            .starts_with("283    5%"),
        "{screen}"
    );
    assert_eq!(after(&screen, " debit ").trim(), "2,896");
    assert!(after(&screen, " 0 failed").starts_with(" · 0 sent late"));
    assert_eq!(screen.lines().count(), 24);
    assert!(screen.contains("0s─────────5s──"), "{screen}");
}

#[test]
fn failures_are_seen_with_an_example() {
    let now = Instant::now();
    let failing = view(17, true, now);
    let screen = drawn(&failing, 80, 24, now);
    assert!(screen.contains("─ Failures: 1 ─"), "{screen}");
    let line = after(&screen, "        1 time-out");
    assert_eq!(line.trim(), "GET /x · no reply within 5s");
    assert_eq!(
        after(&screen, " no reply ")
            .trim_start()
            .split_once(' ')
            .unwrap()
            .0,
        "1"
    );
    // Beside the other tables, where there is room.
    let screen = drawn(&failing, 200, 60, now);
    assert!(screen.contains(" ─ Failures: 1 ─"), "{screen}");
    assert!(after(&screen, "1 time-out").contains("no reply within 5s"));
}

#[test]
fn a_wide_terminal_shows_more() {
    let now = Instant::now();
    let screen = drawn(&view(17, false, now), 200, 60, now);
    for text in [
        "mean ",
        "p75 ",
        "p95 ",
        "─ Failures: none ─",
        " failed        p50        p99",
    ] {
        assert!(screen.contains(text), "no {text:?} in\n{screen}");
    }
}

#[test]
fn a_small_terminal_shows_the_essentials() {
    let now = Instant::now();
    let mut failing = view(17, true, now);
    failing.note("the ramps begin");
    let expected = "\
bank → http://127.0.0.1:9999
57%  17s of 30s · 13s left
rate 340.00/s, mean 339.41/s
        p50       p99       max
latency 794 µs    1.13 ms   5.00 s
service 714 µs    1.01 ms   5.00 s
replies 200: 5,487  422: 283
1 failed  time-out 1
1 sent late
› the ramps begin
";
    assert_eq!(drawn(&failing, 40, 10, now), expected);
}

#[test]
fn no_size_is_too_small_or_too_odd() {
    let now = Instant::now();
    let (mut busy, first) = (view(10, true, now), view(1, false, now));
    (0..100).for_each(|number| busy.note(&format!("note {number}")));
    let widths = [1, 2, 3, 11, 12, 30, 57, 58, 78, 79, 121, 200];
    for width in widths {
        for height in (1..25).chain([29, 30, 33, 34, 40, 80]) {
            for view in [&busy, &View::new(Title::default()), &first] {
                let rows = drawn(view, width, height, now);
                assert_eq!(rows.lines().count(), usize::from(height));
            }
        }
    }
}

#[test]
fn time_goes_on_between_intervals_and_not_beyond_the_end() {
    let then = Instant::now();
    let after_17 = view(17, false, then);
    let at = |ms| after_17.progress(then + Duration::from_millis(ms)).1;
    assert_eq!(at(900), "17s of 30s · 13s left");
    assert_eq!(at(1_100), "18s of 30s · 12s left");
    assert_eq!(at(20_000), "waiting for the last replies");
    assert_eq!(after_17.progress(then + Duration::from_secs(20)).0, 1.0);
}

#[test]
fn a_warm_up_is_called_one_and_a_stop_is_seen() {
    let now = Instant::now();
    let mut view = View::new(Title::default());
    assert!(drawn(&view, 80, 24, now).contains("starting …"));
    let total = Tally::default();
    let progress = Progress {
        elapsed: Duration::ZERO,
        part: 0.0,
        point: None,
        total: &total,
    };
    view.interval(&progress, now);
    assert!(drawn(&view, 80, 24, now).contains("  0% ───"));
    assert!(drawn(&view, 80, 24, now).contains("warm-up, not measured"));
    view.stopping();
    view.interval(&progress, now);
    assert!(drawn(&view, 80, 24, now).contains("stopping …"));
}

#[test]
fn the_next_part_of_a_run_has_its_own_time() {
    let now = Instant::now();
    let mut view = view(17, false, now);
    let total = second(0, 100, false);
    view.interval(
        &Progress {
            elapsed: Duration::from_secs(1),
            part: 0.5,
            point: Some(&Point::new(Duration::ZERO, Duration::from_secs(1), &total)),
            total: &total,
        },
        now,
    );
    assert_eq!(view.series.points().count(), 1);
}
