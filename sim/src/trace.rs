//! What happened in a run: a hash of all of it, and the text of it for those who ask.

use std::fmt;
use std::io::{self, Write};

/// Takes notes. Two runs of one seed have the same hash.
pub struct Trace {
    hash: u64,
    print: bool,
    /// For the lines.
    pub now_ns: u64,
}

/// The reason why a run fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Of whatever can find one.
pub type Checked<T = ()> = Result<T, Violation>;

/// Fails with a formatted [`Violation`].
#[macro_export]
macro_rules! violation {
    ($($arg:tt)*) => { return Err($crate::trace::Violation(format!($($arg)*))) };
}

/// Fails with a formatted [`Violation`] unless the condition holds.
#[macro_export]
macro_rules! require {
    ($condition:expr, $($arg:tt)*) => { if !$condition { $crate::violation!($($arg)*) } };
}

impl Trace {
    /// `print`: every note goes to standard error.
    pub fn new(print: bool) -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            print,
            now_ns: 0,
        }
    }

    /// Adds a note.
    pub fn note(&mut self, note: fmt::Arguments<'_>) {
        let _ = fmt::Write::write_fmt(self, note);
        let now_ns = self.now_ns;
        self.bytes(&now_ns.to_le_bytes());
        if self.print {
            // Whoever closes it (`| head`) has seen enough.
            let _ = writeln!(
                io::stderr(),
                "{:>14.6} ms  {note}",
                self.now_ns as f64 / 1e6
            );
        }
    }

    /// Adds bytes to the hash (FNV-1a).
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
