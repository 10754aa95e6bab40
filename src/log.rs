//! The logger: one line an event on standard error, as text or JSON. There is no line per request.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{LevelFilter, Log, Metadata, Record};

use crate::http::iso8601;

/// `--log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `2024-01-17T02:34:41.217753Z INFO  message`
    Text,
    /// `{"time":"…","level":"info","message":"…"}`
    Json,
}

struct Logger {
    format: Format,
}

/// Sets the process's logger. Call once.
pub fn install(format: Format, level: LevelFilter) {
    log::set_boxed_logger(Box::new(Logger { format })).expect("install is called once");
    log::set_max_level(level);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries have to say is for those who debug.
        metadata.target().starts_with("galo")
            || metadata.level() <= log::max_level().min(LevelFilter::Warn)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let line = line(self.format, time.as_micros() as u64, record);
        // One write a line, so that lines of several threads do not mix; there is nobody to tell
        // when standard error is gone.
        let _ = std::io::stderr().lock().write_all(&line);
    }

    fn flush(&self) {}
}

fn line(format: Format, time_us: u64, record: &Record<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(160);
    let message = record.args().to_string();
    match format {
        Format::Text => {
            line.extend_from_slice(&iso8601(time_us));
            write!(line, " {:<5} {message}", record.level())
        }
        Format::Json => {
            line.extend_from_slice(b"{\"time\":\"");
            line.extend_from_slice(&iso8601(time_us));
            let level = record.level().as_str().to_ascii_lowercase();
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
            let args = format_args!("say \"{}\"\n", 1);
            let record = Record::builder().args(args).level(log::Level::Warn).build();
            String::from_utf8(line(format, 1_705_459_281_217_753, &record)).unwrap()
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
