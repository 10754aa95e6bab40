//! Sender windows: for each member of the cluster, the outcomes of the last commands that it forwarded.
//!
//! A member has at most [`SHARD_COMMANDS_MAX`] commands of a shard open, with consecutive counters, so
//! what is further behind its newest one was answered. A new epoch is a new incarnation of the member,
//! with counters of its own, so its window begins empty.
//!
//! In a file, a window is a head of 24 bytes and 16 for each outcome, by counter; little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | member (2 bytes) above epoch (6 bytes), in one number |
//! | 8 | 8 | the last record that it is of |
//! | 16 | 4 | outcomes |
//! | 20 | 4 | zero |
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 7 | counter |
//! | 7 | 1 | why it was refused; 0: it was not |
//! | 8 | 8 | balance afterwards, cents; 0 when it was refused |

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::{from_stored, to_stored, DedupCounts, Remembered};
use crate::codec::{put, Fields};
use crate::command::ids::{ForwardId, Origin, COUNTER_MAX};
use crate::limits::{SHARD_COMMANDS_MAX, SNAPSHOT_SLICE_BYTES};

/// Bytes of a window's head in a file.
pub const HEAD_BYTES: usize = 24;
/// Bytes of an outcome in a file.
pub const ENTRY_BYTES: usize = 16;

const CODE_SHIFT: u32 = COUNTER_MAX.count_ones();

const _: () = {
    assert!(size_of::<WindowEntry>() == ENTRY_BYTES);
    assert!(HEAD_BYTES + SHARD_COMMANDS_MAX * ENTRY_BYTES <= SNAPSHOT_SLICE_BYTES);
};

#[derive(Clone, Copy, Debug)]
struct WindowEntry {
    /// The outcome's code above the counter.
    tagged: u64,
    balance: i64,
}

impl WindowEntry {
    fn new(counter: u64, outcome: Remembered) -> WindowEntry {
        debug_assert!((1..=COUNTER_MAX).contains(&counter));
        let (code, balance) = to_stored(outcome);
        WindowEntry {
            tagged: u64::from(code) << CODE_SHIFT | counter,
            balance,
        }
    }

    fn counter(&self) -> u64 {
        self.tagged & COUNTER_MAX
    }

    fn outcome(&self) -> Option<Remembered> {
        from_stored((self.tagged >> CODE_SHIFT) as u8, self.balance)
    }
}

/// Outcomes of one incarnation of a member.
#[derive(Debug)]
struct SenderWindow {
    origin: Origin,
    /// The outcomes, by counter, ascending.
    entries: VecDeque<WindowEntry>,
    /// The last record that it is of, as a snapshot has it.
    through: u64,
}

impl SenderWindow {
    fn new(origin: Origin, through: u64) -> SenderWindow {
        SenderWindow {
            origin,
            // What is remembered, and what a tick may bring on top, once and for good.
            entries: VecDeque::with_capacity(2 * SHARD_COMMANDS_MAX),
            through,
        }
    }

    fn position(&self, counter: u64) -> Result<usize, usize> {
        match self.entries.back() {
            Some(newest) if newest.counter() >= counter => self
                .entries
                .binary_search_by_key(&counter, WindowEntry::counter),
            _ => Err(self.entries.len()),
        }
    }

    fn bytes(&self) -> usize {
        HEAD_BYTES + self.entries.len() * ENTRY_BYTES
    }

    fn forget(&mut self) {
        let newest = self.entries.back().map_or(0, WindowEntry::counter);
        let is_answered =
            |entry: &WindowEntry| entry.counter() + SHARD_COMMANDS_MAX as u64 <= newest;
        while self.entries.front().is_some_and(is_answered) {
            self.entries.pop_front();
        }
    }
}

/// What the tick did, to be taken back.
#[derive(Debug)]
enum WindowUndo {
    /// A counter of a window, by position, is new.
    Counter(usize, u64),
    /// The last window is new.
    Window,
    /// A window, by position, took the place of this one.
    Replaced(usize, SenderWindow),
}

/// The windows of all members that have sent commands: see the top of this file.
#[derive(Debug, Default)]
pub struct SenderWindows {
    /// In the order in which the members came.
    windows: Vec<SenderWindow>,
    /// Changes of the tick, oldest first.
    undo: Vec<WindowUndo>,
}

impl SenderWindows {
    /// Whether no member has sent anything.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn window(&self, member: u16) -> Option<usize> {
        self.windows
            .iter()
            .position(|window| window.origin.member == member)
    }

    /// What is remembered of a command.
    pub fn find(&self, id: &ForwardId) -> Option<Remembered> {
        let window = &self.windows[self.window(id.origin.member)?];
        if window.origin != id.origin {
            return None;
        }
        let position = window.position(id.counter).ok()?;
        let outcome = window.entries[position].outcome();
        Some(outcome.expect("made from an outcome, or read and checked"))
    }

    /// Whether what is remembered of a command is of a tick that is over.
    pub fn is_settled(&self, id: &ForwardId) -> bool {
        let is_it = |undo: &WindowUndo| match undo {
            WindowUndo::Counter(at, counter) => {
                *counter == id.counter && self.windows[*at].origin == id.origin
            }
            WindowUndo::Window | WindowUndo::Replaced(..) => false,
        };
        self.find(id).is_some() && !self.undo.iter().any(is_it)
    }

    /// Adds an outcome to the sender's window. `Err`: the command is in it already.
    pub fn remember(&mut self, id: &ForwardId, outcome: Remembered) -> Result<(), &'static str> {
        let at = match self.window(id.origin.member) {
            Some(at) if self.windows[at].origin == id.origin => at,
            Some(at) => {
                let window = SenderWindow::new(id.origin, self.windows[at].through);
                let replaced = std::mem::replace(&mut self.windows[at], window);
                self.undo.push(WindowUndo::Replaced(at, replaced));
                at
            }
            None => {
                self.windows.push(SenderWindow::new(id.origin, 0));
                self.undo.push(WindowUndo::Window);
                self.windows.len() - 1
            }
        };
        let window = &mut self.windows[at];
        let Err(position) = window.position(id.counter) else {
            return Err("a forwarded command that came before");
        };
        window
            .entries
            .insert(position, WindowEntry::new(id.counter, outcome));
        self.undo.push(WindowUndo::Counter(at, id.counter));
        Ok(())
    }

    /// Whether a snapshot's window of the member does not have a record.
    pub fn lack(&self, id: &ForwardId, sequence: u64) -> bool {
        let window = self.window(id.origin.member);
        window.is_none_or(|at| sequence > self.windows[at].through)
    }

    /// What the tick brought stays, and what was answered long ago is forgotten.
    pub fn written(&mut self) {
        for undo in self.undo.drain(..) {
            if let WindowUndo::Counter(at, _) = undo {
                self.windows[at].forget();
            }
        }
    }

    /// Takes back what the tick brought.
    pub fn refused(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                WindowUndo::Counter(at, counter) => {
                    let position = self.windows[at].position(counter);
                    let position = position.expect("it was put there in this tick");
                    self.windows[at].entries.remove(position);
                }
                WindowUndo::Window => drop(self.windows.pop()),
                WindowUndo::Replaced(at, window) => self.windows[at] = window,
            }
        }
    }

    /// Appends the next windows, whole ones; nothing: that was all. Between ticks; `sequence` is the
    /// last record.
    pub fn slice(&self, counts: &mut DedupCounts, sequence: u64, into: &mut Vec<u8>) {
        debug_assert!(self.undo.is_empty());
        for window in &self.windows[counts.windows as usize..] {
            if into.len() + window.bytes() > SNAPSHOT_SLICE_BYTES {
                break;
            }
            put(into, window.origin.to_bits());
            put(into, sequence);
            put(into, window.entries.len() as u64);
            for entry in &window.entries {
                put(into, entry.tagged);
                put(into, entry.balance);
            }
            counts.windows += 1;
            counts.forwarded += window.entries.len() as u64;
        }
    }

    /// Reads what was copied. `Err`: where, and what is wrong there. `moments`: the records between
    /// which it was copied.
    pub fn read(
        bytes: &[u8],
        counts: &DedupCounts,
        moments: &RangeInclusive<u64>,
    ) -> Result<SenderWindows, (usize, &'static str)> {
        let mut senders = SenderWindows::default();
        let mut rest = Fields::new(bytes);
        for _ in 0..counts.windows {
            let at = bytes.len() - rest.left();
            let window = read_window(&mut rest, moments).map_err(|reason| (at, reason))?;
            if senders.window(window.origin.member).is_some() {
                return Err((at, "a member that came before"));
            }
            senders.windows.push(window);
        }
        match rest.is_empty() {
            true => Ok(senders),
            false => Err((
                bytes.len() - rest.left(),
                "more than the windows that are counted",
            )),
        }
    }

    /// Bytes that are allocated, used or not.
    #[cfg(test)]
    pub fn allocated_bytes(&self) -> usize {
        let entries = self.windows.iter().map(|window| window.entries.capacity());
        self.windows.capacity() * size_of::<SenderWindow>()
            + entries.sum::<usize>() * size_of::<WindowEntry>()
    }
}

fn read_window(
    rest: &mut Fields<'_>,
    moments: &RangeInclusive<u64>,
) -> Result<SenderWindow, &'static str> {
    let mut u64_next = || rest.u64().ok_or("a window that is cut short");
    let mut window = SenderWindow::new(Origin::from_bits(u64_next()?), u64_next()?);
    if !moments.contains(&window.through) {
        return Err("a window of another time");
    }
    let entries = u64_next()?;
    if entries > SHARD_COMMANDS_MAX as u64 {
        return Err("a window with more outcomes than there can be");
    }
    let mut before = 0;
    for _ in 0..entries {
        let entry = WindowEntry {
            tagged: u64_next()?,
            balance: u64_next()? as i64,
        };
        if entry.counter() <= before {
            return Err("a counter that is not above the one before it");
        }
        if entry.outcome().is_none() {
            return Err("a counter without an outcome");
        }
        before = entry.counter();
        window.entries.push_back(entry);
    }
    Ok(window)
}
