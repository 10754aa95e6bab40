//! The seam between a deterministic machine and its driver: events and the time go in, effects come out.
//!
//! A machine whose journals are kept elsewhere asks for that in the same way: [`engine`].
//! Drivers are in [`crate::io`], the machine that the server runs in [`crate::runtime`]; the simulator drives the same one.

pub mod engine;

/// The time, as a driver reads it once at the start of each tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_MONOTONIC`, nanoseconds. Never goes backwards.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`, microseconds since 1970-01-01 UTC. May step either way.
    pub realtime_us: u64,
}

/// Names one connection of one machine. An index is used again after [`Machine::closed`], with
/// another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Slot; drivers keep their sockets in an array by it. Small, dense.
    pub index: u32,
    /// Which connection of the slot, 24 bits: the slot's connections are counted, and the count wraps.
    pub generation: u32,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Accepted from a listener; speaks HTTP.
    Client,
    /// A node of the cluster, by its member's number ([`crate::members::Members`]), to which this side
    /// made the link: [`Effect::Connect`], or a socket pair of the process; speaks the link protocol.
    Member(usize),
    /// A process that connected to our link socket; the link protocol's first frame says which member it is.
    Linker,
    /// A server by its number, to which this side connected; it is sent HTTP requests.
    Upstream(usize),
}

/// A peer that a machine may ask to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The link socket of this member ([`crate::io::Setup::link_paths`]).
    Member(usize),
    /// A server elsewhere ([`crate::io::Setup::upstreams`]).
    Upstream(usize),
}

/// An action that a machine asks of its driver.
#[derive(Debug)]
pub enum Effect<Job> {
    /// Send [`Machine::output`] of this connection, which stays as it is until [`Machine::sent`].
    /// Never more than one at a time for a connection.
    Send(ConnectionId),
    /// Stop reading this connection's socket; bytes on their way may still be delivered.
    Pause(ConnectionId),
    /// Read this connection's socket again, after [`Pause`](Effect::Pause).
    Resume(ConnectionId),
    /// Send FIN behind the output that was asked to be sent, go on reading.
    ShutdownWrite(ConnectionId),
    /// Close the socket, giving up what is in flight; then [`Machine::closed`], and no other event
    /// of this connection before it.
    Close(ConnectionId),
    /// Connect; then, in the next tick or (an upstream) a later one, [`Machine::opened`] with
    /// [`Peer::Member`] or [`Peer::Upstream`], or [`Machine::connect_failed`]. Any number may be under
    /// way for an upstream.
    Connect(Target),
    /// Run this away from the core, then [`Machine::job_done`].
    Start(Job),
    /// Ask the engine; what it says comes in a later tick ([`Machine::engine_says`]).
    Ask(Box<engine::Request>),
    /// Give memory that is free back to the system.
    TrimMemory,
    /// Close the listeners, but for the link socket: others may have to be answered while we stop.
    StopAccepting,
    /// Leave the loop: everything is done, or nothing more can be.
    Exit(Exit),
}

/// Why a core left its loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to stop, and everything it had to finish is finished.
    Stopped,
    /// Must not go on; the reason, for the log.
    Failed(String),
}

/// Blocking work that a machine hands out (`fdatasync`, a slice of a snapshot).
pub trait Job: Send + 'static {
    /// The result, given back to the machine in a later tick.
    type Done: Send + 'static;
    /// Blocks; runs on a thread that is not a core's.
    fn run(self) -> Self::Done;
}

/// A deterministic state machine that a driver feeds. It does no network I/O, reads no clock, and
/// starts no thread.
///
/// One tick: [`tick_begin`](Self::tick_begin); any number of events; [`tick_end`](Self::tick_end);
/// then [`next_effect`](Self::next_effect) until `None`. Events arrive only between begin and end.
pub trait Machine {
    /// Blocking work that the machine hands out.
    type Job: Job;

    /// Starts a tick. What timed out by `now` is dealt with here.
    fn tick_begin(&mut self, now: Now);
    /// A connection is there. Over a link each side sends a greeting at once, of one frame
    /// ([`crate::limits::LINK_FRAME_BYTES_MAX`]), and nothing else before it has the other's: until then the driver
    /// chooses what is to carry the frames. `Err`: at the bound; send these bytes if that can be done at once (an
    /// upstream gets none), and close.
    fn opened(&mut self, peer: Peer) -> Result<ConnectionId, &'static [u8]>;
    /// No process listens there, its queue is full, it is another user's, or it did not answer in time.
    fn connect_failed(&mut self, target: Target);
    /// Bytes arrived, never none. After [`Effect::Pause`] what was already on its way still comes:
    /// with io_uring up to all receive buffers' worth
    /// ([`crate::limits::RECEIVE_BUFFERS`] × [`crate::limits::RECEIVE_BUFFER_BYTES`]).
    fn received(&mut self, id: ConnectionId, bytes: &[u8]);
    /// The peer will send no more: end of file, or an error (`reset`).
    fn input_ended(&mut self, id: ConnectionId, reset: bool);
    /// `bytes` of the output that [`Effect::Send`] asked for were taken by the kernel (fewer than
    /// all: the machine asks again for the rest). `Err`: the connection is broken.
    fn sent(&mut self, id: ConnectionId, bytes: Result<usize, ()>);
    /// The driver holds nothing of this connection any more.
    fn closed(&mut self, id: ConnectionId);
    /// The result of a job that [`Effect::Start`] handed out.
    fn job_done(&mut self, done: <Self::Job as Job>::Done);
    /// What the engine says. Never, where [`Effect::Ask`] is never asked for.
    fn engine_says(&mut self, _event: engine::EngineEvent) {}
    /// Begin to stop: ends in [`Effect::Exit`].
    fn stop(&mut self);
    /// Ends the tick: what it journalled is written, and its replies are released.
    fn tick_end(&mut self);
    /// The next thing to do, in order.
    fn next_effect(&mut self) -> Option<Effect<Self::Job>>;
    /// The bytes to send, stable from [`Effect::Send`] to [`Machine::sent`], or to
    /// [`Machine::closed`].
    fn output(&self, id: ConnectionId) -> &[u8];
    /// How many bytes of one connection the machine wants at a time. A driver keeps to it from the next time on
    /// that it reads the connection's socket.
    fn receive_bytes_max(&self) -> usize {
        usize::MAX
    }
    /// When the machine wants a tick even if nothing happens (monotonic nanoseconds). A driver may
    /// tick earlier; one that has passed already is a tick without waiting.
    fn deadline_ns(&self) -> Option<u64>;
    /// Whether the machine has work left that needs no event: tick again without waiting.
    fn ready(&self) -> bool;
}
