//! The screen on a terminal that is driven: `cargo test -p galo-load --features terminal-tests --test terminal`; needs tmux.

mod support;

use std::net::TcpListener;
use std::process::Command;

use galo_testkit::terminal::Terminal;
use galo_testkit::Service;
use support::bank::{self, Faults};
use support::run::galo_load;

const GALO_LOAD: &str = env!("CARGO_BIN_EXE_galo-load");
/// galo-load on a terminal of this size.
fn start(columns: u16, rows: u16, environment: &str, arguments: &str) -> Terminal {
    Terminal::start(
        columns,
        rows,
        environment,
        &format!("{GALO_LOAD} {arguments}"),
    )
}

/// What stands on the terminal when it has ended, and its exit status.
fn end(terminal: &Terminal) -> (String, i32) {
    let (shown, status) = terminal.end();
    assert!(!shown.contains("Percentiles so far"), "{shown}");
    (shown, status)
}

/// The number that follows a name in one of the rows.
fn number_after(shown: &str, name: &str) -> Option<u64> {
    let (_, rest) = shown.lines().find_map(|row| row.split_once(name))?;
    let word = rest.split_whitespace().next()?;
    word.trim_end_matches(['%', '/', 's'])
        .replace(',', "")
        .parse()
        .ok()
}

/// The share of the run that is over, in percent: what stands before the gauge.
fn share(shown: &str) -> Option<u64> {
    let (before, _) = shown.lines().nth(1)?.split_once("% ")?;
    before.trim().parse().ok()
}

fn replies(shown: &str) -> Option<u64> {
    number_after(shown, "\u{20}200  ").filter(|count| *count > 0)
}

/// At 200/s for a minute: far longer than a test looks at it.
fn arguments(bank: &Service) -> String {
    format!("{} -c 4 -d 60s -r 200 --interval 200ms", bank.url())
}

#[test]
fn a_run_is_watched_and_ended_with_q() {
    let bank = bank::start(Faults::default());
    let terminal = start(100, 30, "", &arguments(&bank));
    let (shown, first) = terminal.shown_with("replies", replies);
    assert!(
        shown.starts_with(&format!(" galo-load bank → {} ", bank.url())),
        "{shown}"
    );
    for text in [
        "4 connections, 1m, 200",
        "─ Rate ─",
        "─ Latency ─",
        "now ",
        "mean ",
        "p99.9 ",
        "service",
        "debit ",
        "0 failed",
    ] {
        assert!(shown.contains(text), "no {text:?}:\n{shown}");
    }
    for name in [" p50 ", " p99 ", " max "] {
        let row = shown.lines().rfind(|row| row.starts_with(name));
        assert!(
            row.is_some_and(|row| row.contains("s ")),
            "{name}:\n{shown}"
        );
    }
    let first_share = share(&shown).unwrap_or_else(|| panic!("no share:\n{shown}"));
    terminal.shown_with("progress", |shown| {
        let moved = share(shown)? > first_share && replies(shown)? > first;
        moved.then_some(())
    });

    terminal.resize(60, 15);
    let (shown, _) = terminal.shown_with("smaller screen", |shown| {
        let last = shown.lines().nth(14)?;
        (last.trim_end().ends_with("q ends the run") && !shown.contains("─ Latency ─"))
            .then_some(())
    });
    assert!(
        shown.lines().all(|row| row.chars().count() <= 60),
        "{shown}"
    );
    assert!(shown.contains("─ Percentiles so far ─"), "{shown}");
    terminal.resize(1, 1);
    terminal.resize(40, 10);
    terminal.shown_with("essentials", |shown| number_after(shown, "replies 200: "));
    terminal.resize(100, 30);
    terminal.shown_with("the whole screen", |shown| {
        shown.contains("─ Latency ─").then_some(())
    });

    terminal.keys("q");
    let (shown, status) = end(&terminal);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("\nStatuses\n"), "no summary:\n{shown}");
}

#[test]
fn ctrl_c_and_esc_end_a_run_too() {
    let bank = bank::start(Faults::default());
    for key in ["C-c", "Escape"] {
        let terminal = start(80, 24, "", &arguments(&bank));
        terminal.shown_with("replies", replies);
        terminal.keys(key);
        let (shown, status) = end(&terminal);
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("\nStatuses\n"), "no summary:\n{shown}");
    }
}

#[test]
fn sigterm_ends_a_run_and_gives_the_terminal_back() {
    let bank = bank::start(Faults::default());
    let terminal = start(80, 24, "", &arguments(&bank));
    terminal.shown_with("replies", replies);
    let killed = Command::new("kill")
        .args(["-TERM", &terminal.pid()])
        .status()
        .unwrap();
    assert!(killed.success());
    let (shown, status) = end(&terminal);
    assert_eq!(status, 0, "{shown}");
}

#[test]
fn wrong_replies_are_seen_and_the_exit_status_says_so() {
    let faults = Faults {
        wrong_balance_every: Some(10),
        ..Faults::default()
    };
    let bank = bank::start(faults);
    let terminal = start(100, 30, "", &arguments(&bank));
    let counted = |shown: &str| number_after(shown, "Failures: ");
    let (shown, _) = terminal.shown_with("failures", counted);
    assert!(shown.contains(" wrong content"), "{shown}");
    terminal.keys("q");
    assert_eq!(end(&terminal).1, 1);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_target_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap();
    let terminal = start(80, 24, "", &format!("{target} --timeout 10m"));
    terminal.shown_with("screen", |shown| shown.contains("starting …").then_some(()));
    terminal.keys("C-c");
    let (shown, status) = end(&terminal);
    assert_eq!(status, 2, "{shown}");
    assert!(shown.contains("stopped before"), "{shown}");
}

#[test]
fn without_colours_there_are_lines_and_no_escape_sequence() {
    let bank = bank::start(Faults::default());
    for environment in ["NO_COLOR=1", "TERM=dumb"] {
        let arguments = format!("{} -c 2 -d 2s -r 100", bank.url());
        let terminal = start(100, 30, environment, &arguments);
        let (shown, status) = end(&terminal);
        assert_eq!(status, 0, "{shown}");
        let written = terminal.written();
        assert!(!written.contains('\u{1b}'), "{written:?}");
        assert_lines(&written, &bank);
    }
}

#[test]
fn a_pipe_has_lines_and_standard_output_the_summary_only() {
    let bank = bank::start(Faults::default());
    let url = bank.url();
    let output = galo_load()
        .args([&url, "-c", "2", "-d", "2s", "-r", "100"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let [lines, summary] =
        [output.stderr, output.stdout].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!lines.contains('\u{1b}') && !summary.contains('\u{1b}'));
    assert_lines(&lines, &bank);
    assert!(summary.contains("p99"), "{summary}");
    assert!(!summary.contains("galo-load: bank against"), "{summary}");
}

/// The line of the title, and one for each of two seconds.
fn assert_lines(text: &str, bank: &Service) {
    let title = format!(
        "galo-load: bank against {}: 2 connections, 2s, 100",
        bank.url()
    );
    assert!(text.contains(&title), "{text}");
    let is_second = |line: &&str| line.contains("/s  p50 ") && line.contains("  failed 0  late ");
    let seconds = text.lines().filter(is_second).count();
    assert_eq!(seconds, 2, "{text}");
}
