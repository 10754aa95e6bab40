//! Standard output and standard error of a command. Both may fail: the reader of a pipe may be gone or may
//! not read, the disk under a file may be full. A failure is a result, never a panic and never a wait without end.
//!
//! (Descriptors 0 to 2 that are closed at the start are /dev/null by the time `main` runs: the standard library sees
//! to that, so no file or socket of ours ever gets one of their numbers.)

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{signal, SigHandler, Signal};
use nix::sys::stat::fstat;

/// For room on standard error, milliseconds a page of a command's last words. Beyond: they are lost.
const COMPLAINT_WAIT_MS_MAX: u16 = 1_000;
/// A pipe that has room takes so much at once without a wait (pipe(7), PIPE_BUF).
const PIPE_BYTES: usize = 4096;
/// What a line in the journal begins with when it tells of an error.
pub const ERROR_PRIORITY: &str = "<3>";

/// Writes to standard output, all of it.
///
/// # Errors
/// It was not all taken. Give the error to [`unprinted`].
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Standard output for a command whose work goes on when that takes nothing: what it finds is in its status, too.
#[derive(Debug, Default)]
pub struct Report {
    error: Option<io::Error>,
}

impl Report {
    /// # Errors
    /// The first, if it was not all taken. Give it to [`unprinted`].
    pub fn finish(mut self) -> io::Result<()> {
        let _ = self.flush();
        self.error.map_or(Ok(()), Err)
    }
}

impl Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.is_none() {
            self.error = io::stdout().write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.error.is_none() {
            self.error = io::stdout().flush().err();
        }
        Ok(())
    }
}

/// A line on standard error: the program's name, and what is wrong. When it cannot be written there is nobody to
/// tell.
pub fn complain(program: &str, error: impl fmt::Display) {
    let priority = if is_journal() { ERROR_PRIORITY } else { "" };
    let line = format!("{priority}{program}: {error}\n");
    let _ = write_stderr(line.as_bytes(), COMPLAINT_WAIT_MS_MAX);
}

/// Whether standard error goes to the system's journal: `JOURNAL_STREAM` names it by device and inode
/// (`systemd.exec(5)`). A line there may begin with its priority (`sd-daemon(3)`).
pub fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = fstat(io::stderr());
    stderr.is_ok_and(|stderr| *stream == *format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// Ends a command whose output was not taken: this status, and a line, unless the reader is gone (`| head`), who
/// knows.
pub fn unprinted(program: &str, error: &io::Error, status: u8) -> ExitCode {
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(
            program,
            format_args!("standard output cannot be written: {error}"),
        );
    }
    ExitCode::from(status)
}

/// Writes to standard error, as far as that takes it within so many milliseconds a page.
///
/// # Errors
/// Not all was taken.
pub fn write_stderr(bytes: &[u8], wait_ms: u16) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    for part in bytes.chunks(PIPE_BYTES) {
        let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut room, PollTimeout::from(wait_ms)) == Ok(0) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        stderr.write_all(part)?;
    }
    Ok(())
}

/// A write beyond RLIMIT_FSIZE fails from now on (EFBIG), where by default it ends the process (SIGXFSZ). Of use in
/// every command that writes: its output may go into a file, too.
pub fn fail_beyond_file_size() {
    // SAFETY: no handler is installed, and nothing is done with the one before.
    let ignored = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    ignored.expect("a signal that can be ignored");
}
