//! The screen on a terminal that is driven: `cargo test -p galo-load --features terminal-tests --test terminal`; needs tmux.

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use galo_testkit::Service;
use support::bank::{self, Faults};
use support::run::galo_load;
use tempfile::TempDir;

const GALO_LOAD: &str = env!("CARGO_BIN_EXE_galo-load");
/// For whatever is waited for, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// From one look at the terminal to the next.
const LOOK: Duration = Duration::from_millis(50);
/// What the terminal shows when the program has ended.
const ENDED: &str = "exit status: ";

/// A terminal, with a shell in it that runs galo-load and says how it ended and how it left the terminal.
struct Terminal {
    dir: TempDir,
}

impl Terminal {
    /// Of this size. `environment`: as env(1) takes it.
    fn start(columns: u16, rows: u16, environment: &str, arguments: &str) -> Terminal {
        let dir = tempfile::tempdir().unwrap();
        let terminal = Terminal { dir };
        let script = terminal.path("script");
        let pid = terminal.path("pid");
        let pid = pid.display();
        // Ctrl-C goes to the shell, too. All that the terminal shows is piped into a file before the program begins.
        let lines = format!(
            "trap : INT\n\
             read -r _\n\
             before=$(stty -g)\n\
             env {environment} sh -c 'echo $$ > {pid}; exec {GALO_LOAD} {arguments}'\n\
             status=$?\n\
             [ \"$before\" = \"$(stty -g)\" ] && echo terminal as before\n\
             echo {ENDED}$status.\n\
             exec cat\n"
        );
        fs::write(&script, lines).unwrap();
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = format!("sh {}", script.display());
        let size = ["-x", &columns, "-y", &rows];
        terminal.tmux(&[&["new-session", "-d"], &size[..], &[&shell]].concat());
        let pipe = format!("cat > {}", terminal.path("output").display());
        terminal.tmux(&["pipe-pane", "-o", &pipe]);
        terminal.keys("Enter");
        terminal
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What tmux says to it; a server of its own, without anybody's configuration.
    fn tmux(&self, arguments: &[&str]) -> String {
        let output = self
            .command()
            .args(arguments)
            .output()
            .unwrap_or_else(|error| {
                panic!("tmux: {error}. These tests need it: apt-get install tmux");
            });
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(self.path("socket"));
        command
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR");
        command
    }

    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// As a person sees it, its rows without the blanks at their ends.
    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is shown as soon as it has something, which is called `what`.
    fn shown_with<T>(&self, what: &str, has: impl Fn(&str) -> Option<T>) -> (String, T) {
        let began = Instant::now();
        loop {
            let shown = self.shown();
            if let Some(found) = has(&shown) {
                return (shown, found);
            }
            assert!(
                began.elapsed() < PATIENCE,
                "no {what} on the terminal:\n{shown}"
            );
            thread::sleep(LOOK);
        }
    }

    /// What stands on the terminal when the program has ended, and its exit status.
    fn end(&self) -> (String, i32) {
        let status = |shown: &str| {
            let (_, rest) = shown.split_once(ENDED)?;
            rest.split_once('.')?.0.parse().ok()
        };
        let (shown, status) = self.shown_with("exit status", status);
        assert!(shown.contains("terminal as before"), "{shown}");
        assert!(!shown.contains("Percentiles so far"), "{shown}");
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "alternate screen, cursor");
        (shown, status)
    }

    /// All bytes that were written to it.
    fn written(&self) -> String {
        String::from_utf8(fs::read(self.path("output")).unwrap()).unwrap()
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.path("pid"))
            .unwrap()
            .trim()
            .to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Of a server that never began, there is nothing to end.
        let _ = self.command().arg("kill-server").output();
    }
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
    let terminal = Terminal::start(100, 30, "", &arguments(&bank));
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
    let (shown, status) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("\nStatuses\n"), "no summary:\n{shown}");
}

#[test]
fn ctrl_c_and_esc_end_a_run_too() {
    let bank = bank::start(Faults::default());
    for key in ["C-c", "Escape"] {
        let terminal = Terminal::start(80, 24, "", &arguments(&bank));
        terminal.shown_with("replies", replies);
        terminal.keys(key);
        let (shown, status) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("\nStatuses\n"), "no summary:\n{shown}");
    }
}

#[test]
fn sigterm_ends_a_run_and_gives_the_terminal_back() {
    let bank = bank::start(Faults::default());
    let terminal = Terminal::start(80, 24, "", &arguments(&bank));
    terminal.shown_with("replies", replies);
    let killed = Command::new("kill")
        .args(["-TERM", &terminal.pid()])
        .status()
        .unwrap();
    assert!(killed.success());
    let (shown, status) = terminal.end();
    assert_eq!(status, 0, "{shown}");
}

#[test]
fn wrong_replies_are_seen_and_the_exit_status_says_so() {
    let faults = Faults {
        wrong_balance_every: Some(10),
        ..Faults::default()
    };
    let bank = bank::start(faults);
    let terminal = Terminal::start(100, 30, "", &arguments(&bank));
    let counted = |shown: &str| number_after(shown, "Failures: ");
    let (shown, _) = terminal.shown_with("failures", counted);
    assert!(shown.contains(" wrong content"), "{shown}");
    terminal.keys("q");
    assert_eq!(terminal.end().1, 1);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_target_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap();
    let terminal = Terminal::start(80, 24, "", &format!("{target} --timeout 10m"));
    terminal.shown_with("screen", |shown| shown.contains("starting …").then_some(()));
    terminal.keys("C-c");
    let (shown, status) = terminal.end();
    assert_eq!(status, 2, "{shown}");
    assert!(shown.contains("stopped before"), "{shown}");
}

#[test]
fn without_colours_there_are_lines_and_no_escape_sequence() {
    let bank = bank::start(Faults::default());
    for environment in ["NO_COLOR=1", "TERM=dumb"] {
        let arguments = format!("{} -c 2 -d 2s -r 100", bank.url());
        let terminal = Terminal::start(100, 30, environment, &arguments);
        let (shown, status) = terminal.end();
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
