//! The logger: one line an event on standard error, as text or JSON. There is no line per request.
//!
//! A core may be what writes a line, so none is waited for: when standard error takes nothing (its reader does not
//! read, the disk is full), lines are lost, and counted, and the next one that goes through says how many.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use galo_output::{is_journal, write_stderr, ERROR_PRIORITY};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::http::iso8601;

/// The format of a log line: `--log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line for people: `2024-01-17T02:34:41.217753Z INFO  message`
    Text,
    /// A JSON object a line: `{"time":"…","level":"info","message":"…"}`
    Json,
}

struct Logger {
    format: Format,
    /// Standard error is the system's journal: each line begins with its priority.
    journal: bool,
    /// Lines since the last one that was written.
    lost: AtomicU64,
}

/// Sets the process's logger. Call once.
pub fn install(format: Format, level: LevelFilter) {
    let lost = AtomicU64::new(0);
    log::set_boxed_logger(Box::new(Logger {
        format,
        journal: is_journal(),
        lost,
    }))
    .expect("install is called once");
    log::set_max_level(level);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries have to say is for those who debug. (glommio warns, in several lines, of rings that only carry
        // our background jobs.)
        let target = metadata.target();
        let others = match target.starts_with("glommio") {
            true => LevelFilter::Error,
            false => LevelFilter::Warn,
        };
        target.starts_with("galo") || metadata.level() <= log::max_level().min(others)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time_us = time.as_micros() as u64;
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let mut text = Vec::new();
        if lost > 0 {
            let told = format!("{lost} lines of the log could not be written");
            text = self.line(time_us, Level::Warn, told);
        }
        let message = record.args().to_string();
        text.extend(self.line(time_us, record.level(), message));
        // One write for both, so that lines of several threads do not mix.
        if write_stderr(&text, 0).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn line(&self, time_us: u64, level: Level, message: String) -> Vec<u8> {
        let mut text = Vec::new();
        if self.journal {
            text.extend_from_slice(priority(level).as_bytes());
        }
        text.extend(line(self.format, time_us, level, message));
        text
    }
}

/// As `syslog(3)` has them: errors, warnings, what is of interest, and what is only to whoever debugs.
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => ERROR_PRIORITY,
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

fn line(format: Format, time_us: u64, level: Level, message: String) -> Vec<u8> {
    let mut line = Vec::with_capacity(160);
    match format {
        Format::Text => {
            line.extend_from_slice(&iso8601(time_us));
            write!(line, " {level:<5} {message}")
        }
        Format::Json => {
            line.extend_from_slice(b"{\"time\":\"");
            line.extend_from_slice(&iso8601(time_us));
            let level = level.as_str().to_ascii_lowercase();
            let message = serde_json::Value::from(message);
            write!(line, "\",\"level\":\"{level}\",\"message\":{message}}}")
        }
    }
    .expect("writing to memory does not fail");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_or_json() {
        let record = |format| {
            let said = "say \"1\"\n".to_owned();
            String::from_utf8(line(format, 1_705_459_281_217_753, Level::Warn, said)).unwrap()
        };
        assert_eq!(
            record(Format::Text),
            "2024-01-17T02:41:21.217753Z WARN  say \"1\"\n\n"
        );
        assert_eq!(
            record(Format::Json),
            "{\"time\":\"2024-01-17T02:41:21.217753Z\",\"level\":\"warn\",\"message\":\"say \\\"1\\\"\\n\"}\n"
        );
    }
}
