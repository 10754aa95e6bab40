//! A terminal that is driven: tmux with a server of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// For whatever is waited for, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// From one look at the terminal to the next.
const LOOK: Duration = Duration::from_millis(50);
/// What the terminal shows when the program has ended.
const ENDED: &str = "exit status: ";

/// A terminal, with a shell in it that runs a program and says how it ended and how it left the terminal.
pub struct Terminal {
    dir: TempDir,
}

impl Terminal {
    /// Of this size. `environment`: as env(1) takes it; `program`: with its arguments, as sh(1) takes it.
    pub fn start(columns: u16, rows: u16, environment: &str, program: &str) -> Terminal {
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
             env {environment} sh -c 'echo $$ > {pid}; exec {program}'\n\
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What tmux says to it; a server of its own, without anybody's configuration.
    pub fn tmux(&self, arguments: &[&str]) -> String {
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

    pub fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// As a person sees it, its rows without the blanks at their ends.
    pub fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is shown as soon as it has something, which is called `what`.
    pub fn shown_with<T>(&self, what: &str, mut has: impl FnMut(&str) -> Option<T>) -> (String, T) {
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
    pub fn end(&self) -> (String, i32) {
        let status = |shown: &str| {
            let (_, rest) = shown.split_once(ENDED)?;
            rest.split_once('.')?.0.parse().ok()
        };
        let (shown, status) = self.shown_with("exit status", status);
        assert!(shown.contains("terminal as before"), "{shown}");
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "alternate screen, cursor");
        (shown, status)
    }

    /// All bytes that were written to it.
    pub fn written(&self) -> String {
        String::from_utf8(fs::read(self.path("output")).unwrap()).unwrap()
    }

    pub fn pid(&self) -> String {
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
