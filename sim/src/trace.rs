//! What happens in a run: a hash of all of it, and its text for those who ask.

use std::fmt;
use std::io::{self, Write};

use galo::payments::Processor;

/// Takes down what happens. Two runs of one seed have the same hash.
pub struct Trace {
    hash: u64,
    shown: Shown,
    /// See [`kept`](Self::kept).
    lines: String,
    /// When the run began, for the lines.
    begun_ns: u64,
    now_ns: u64,
    /// Of each node, for the names of cores.
    cores: usize,
}

/// What of a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    #[default]
    Nothing,
    /// What happens, on standard error.
    Events,
    /// And how the drivers bring it about.
    Steps,
    /// What happens, kept as text.
    Kept,
}

/// Who does something, or whom something happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A process.
    Node(usize),
    /// A core, by its number as a member.
    Core(usize),
    /// A connection of a client.
    Client(u64),
    Processor(Processor),
    Disk,
    Clock,
    /// The simulator.
    World,
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

/// Takes down an event: a trace, who, and a format.
#[macro_export]
macro_rules! event {
    ($trace:expr, $who:expr, $($arg:tt)*) => { $trace.event($who, format_args!($($arg)*)) };
}

/// Takes down a step of a driver: a trace, who, and a format.
#[macro_export]
macro_rules! step {
    ($trace:expr, $who:expr, $($arg:tt)*) => { $trace.step($who, format_args!($($arg)*)) };
}

impl Trace {
    pub fn new(shown: Shown) -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            shown,
            lines: String::new(),
            begun_ns: 0,
            now_ns: 0,
            cores: 1,
        }
    }

    /// The run begins: lines have the time since then.
    pub fn begin(&mut self, now_ns: u64) {
        self.begun_ns = now_ns;
    }

    pub fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    pub fn set_cores(&mut self, cores: usize) {
        self.cores = cores;
    }

    /// Something that a reader who knows what Galo is for understands. See [`event!`].
    pub fn event(&mut self, who: Who, what: fmt::Arguments<'_>) {
        self.add(who, what);
        match self.shown {
            Shown::Nothing => {}
            Shown::Events | Shown::Steps => {
                // Whoever closes it (`| head`) has seen enough.
                let _ = writeln!(io::stderr(), "{}", self.line(who, what));
            }
            Shown::Kept => {
                let line = self.line(who, what);
                self.lines.push_str(&line);
                self.lines.push('\n');
            }
        }
    }

    /// How a driver brings it about. See [`step!`].
    pub fn step(&mut self, who: Who, what: fmt::Arguments<'_>) {
        self.add(who, what);
        if self.shown == Shown::Steps {
            let _ = writeln!(
                io::stderr(),
                "{}  ({what})",
                self.line(who, format_args!(""))
            );
        }
    }

    fn line(&self, who: Who, what: fmt::Arguments<'_>) -> String {
        let ms = (self.now_ns - self.begun_ns) as f64 / 1e6;
        let who = self.name(who);
        format!("{ms:>12.3} ms  {who:<10} {what}")
    }

    /// As it stands in a line.
    pub fn name(&self, who: Who) -> String {
        match who {
            Who::Node(node) => node_name(node),
            Who::Core(member) => {
                let (node, core) = (member / self.cores, member % self.cores);
                format!("{}/{core}", node_name(node))
            }
            Who::Client(number) => format!("client {number}"),
            Who::Processor(which) => which.name().to_owned(),
            Who::Disk => "disk".to_owned(),
            Who::Clock => "clock".to_owned(),
            Who::World => "world".to_owned(),
        }
    }

    fn add(&mut self, who: Who, what: fmt::Arguments<'_>) {
        let _ = fmt::write(self, format_args!("{who:?} {what}"));
        let now_ns = self.now_ns;
        self.bytes(&now_ns.to_le_bytes());
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

    /// The lines of [`Shown::Kept`].
    pub fn kept(&self) -> &str {
        &self.lines
    }
}

/// What a node is called, to its peers, too.
pub fn node_name(node: usize) -> String {
    format!("api{node:02}")
}

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
