//! A terminal, taken and given back; its keys.
//!
//! All of it goes to standard error, on the alternate screen: what stood on the terminal stands there again when the run is
//! over, and standard output has nothing but the summary.
//!
//! Ctrl-C stays a signal, unlike in most programs that have the whole screen: parts of a run that are no load (waiting for a
//! target, a contest's fixed sequence) look at no keys, and it must end those, too.

use std::io::{self, BufWriter, Stderr};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Once;
use std::time::{Duration, Instant};

use nix::sys::termios::{tcgetattr, tcsetattr, LocalFlags, SetArg, SpecialCharacterIndices};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    disable_raw_mode, enable_raw_mode, EnterAlternateScreen, LeaveAlternateScreen,
};

use super::view::View;
use super::{Screen, Title};
use crate::engine::{Progress, Stop, Watcher};

/// Between intervals, when only the clock moves, the screen is not drawn more often.
const DRAW_PERIOD: Duration = Duration::from_millis(200);
/// Keys at a time: whatever is pasted, the run goes on.
const EVENTS_MAX: usize = 64;
/// `_POSIX_VDISABLE` of Linux: a control character that no key gives.
const NO_KEY: u8 = 0;

/// Whether the terminal is ours. Of the process, as its terminal is: the panic hook has no other way to know.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is ours until it is dropped.
pub(super) struct Terminal {
    /// Standard error has no buffer of its own, and a screen is written in many small parts.
    screen: ratatui::Terminal<CrosstermBackend<BufWriter<Stderr>>>,
    view: View,
    stop: Stop,
    drawn: Instant,
}

impl Terminal {
    /// Takes it.
    ///
    /// # Errors
    /// It cannot be set up; it is then as it was.
    pub(super) fn take(title: Title, stop: &Stop) -> io::Result<Terminal> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let former = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                former(panic);
            }));
        });
        TAKEN.store(true, Ordering::SeqCst);
        let set_up = enable_raw_mode()
            .and_then(|()| interrupt_with_ctrl_c())
            .and_then(|()| execute!(io::stderr(), EnterAlternateScreen, Hide))
            .and_then(|()| {
                let backend = CrosstermBackend::new(BufWriter::new(io::stderr()));
                ratatui::Terminal::new(backend)
            });
        let screen = set_up.inspect_err(|_| give_back())?;
        let mut terminal = Terminal {
            screen,
            view: View::new(title),
            stop: stop.clone(),
            drawn: Instant::now(),
        };
        terminal.draw();
        Ok(terminal)
    }

    fn draw(&mut self) {
        self.drawn = Instant::now();
        // A thread that panicked has given it back.
        if !TAKEN.load(Ordering::SeqCst) {
            return;
        }
        let (view, now) = (&self.view, self.drawn);
        // A terminal that is gone is no reason to end the run: SIGHUP says so to those who want to know.
        let _ = self.screen.draw(|frame| view.draw(frame, now));
    }

    /// What was typed, and whether the screen must be drawn for it.
    fn take_events(&mut self) -> io::Result<bool> {
        let mut is_changed = false;
        for _ in 0..EVENTS_MAX {
            if !event::poll(Duration::ZERO)? {
                break;
            }
            match event::read()? {
                Event::Key(key) if is_end(&key) => {
                    self.stop.stop();
                    is_changed = true;
                }
                Event::Resize(..) => is_changed = true,
                _ => {}
            }
        }
        if self.stop.is_stopped() {
            self.view.stopping();
        }
        Ok(is_changed)
    }
}

impl Watcher for Terminal {
    fn interval(&mut self, progress: &Progress<'_>) {
        self.view.interval(progress, Instant::now());
        self.draw();
    }

    fn idle(&mut self) {
        let is_changed = self.take_events().unwrap_or_default();
        if is_changed || self.drawn.elapsed() >= DRAW_PERIOD {
            self.draw();
        }
    }
}

impl Screen for Terminal {
    fn note(&mut self, line: &str) {
        self.view.note(line);
        // Parts of an official run that have no load have no intervals either.
        let _ = self.take_events();
        self.draw();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Of the signals that keys give, raw mode keeps the one of Ctrl-C: who is suspended or killed by a key cannot give the
/// terminal back.
fn interrupt_with_ctrl_c() -> io::Result<()> {
    let mut mode = tcgetattr(io::stderr())?;
    mode.local_flags.insert(LocalFlags::ISIG);
    for key in [
        SpecialCharacterIndices::VQUIT,
        SpecialCharacterIndices::VSUSP,
    ] {
        mode.control_chars[key as usize] = NO_KEY;
    }
    Ok(tcsetattr(io::stderr(), SetArg::TCSANOW, &mode)?)
}

/// As it was, whoever is first to find that it must be.
pub(super) fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

fn is_end(key: &KeyEvent) -> bool {
    let is_plain = !key.modifiers.contains(KeyModifiers::CONTROL);
    let ends = matches!(key.code, KeyCode::Esc | KeyCode::Char('q' | 'Q'));
    ends && is_plain && key.kind != KeyEventKind::Release
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_end_a_run() {
        let key = |code, modifiers| is_end(&KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Char('Q'), KeyModifiers::SHIFT));
        assert!(key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(!key(KeyCode::Char('q'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Enter, KeyModifiers::NONE));
    }
}
