//! Connections between the machines and whoever is at the other end, byte by byte.

use std::collections::VecDeque;

use galo::machine::ConnectionId;
use galo::payments::Processor;

use crate::reply::Reply;
use crate::request::Asked;

/// One end of a connection: a core's.
pub struct Socket {
    /// Whose.
    pub member: usize,
    /// Once it is taken up.
    pub id: Option<ConnectionId>,
    /// Who is at the other end.
    pub far: Far,
    /// On its way to the core.
    pub input: VecDeque<u8>,
    /// After the input: the end, by FIN or by RST.
    pub input_end: Option<Ended>,
    /// The core knows of the end.
    pub end_seen: bool,
    /// The core wants no input.
    pub paused: bool,
    /// Nothing arrives before that.
    pub stuck_until_ns: u64,
    /// How many bytes may still be delivered all the same.
    pub allowance: usize,
    /// The core wants to send since then.
    pub sending_since_ns: Option<u64>,
    /// When that came to its end in the last moment: the time of the tick.
    pub stalled_ns: u64,
    /// The core wants it closed.
    pub closing: bool,
    /// Since the tick of this time.
    pub closing_ns: u64,
}

/// How the other end ended its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It will send no more.
    Fin,
    /// It is gone.
    Reset,
}

/// How fast a client reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// At once, mostly.
    #[default]
    Usual,
    /// Pipelines, and reads nothing for as long as there are faults.
    Mute,
    /// Pipelines, and takes some bytes now and then.
    Sips,
    /// Writes a byte or two now and then.
    Drips,
}

/// See [`Socket::far`].
pub enum Far {
    /// The socket of another core, by its place; it may be gone.
    Link(u64),
    /// A client.
    Client(Client),
    /// A processor.
    Upstream(Upstream),
}

/// A client's side of a connection.
#[derive(Default)]
pub struct Client {
    /// For the trace.
    pub name: u64,
    /// Bytes written so far.
    pub written: u64,
    /// Bytes that the machine has got.
    pub delivered: u64,
    /// Without an answer, oldest first.
    pub asked: VecDeque<Asked>,
    /// Received and not understood yet.
    pub inbox: Vec<u8>,
    /// It takes what is sent.
    pub reads: bool,
    /// But not before this.
    pub reads_from_ns: u64,
    /// How fast it is.
    pub pace: Pace,
    /// It will write no more.
    pub finished: bool,
    /// A reply said that it is the last.
    pub last_reply_seen: bool,
    pub newest_reply: Option<Reply>,
}

/// A processor's side of a connection.
pub struct Upstream {
    pub processor: Processor,
    /// Received, and no whole request yet.
    pub inbox: Vec<u8>,
    /// A request is in the works: its token.
    pub busy: Option<u64>,
    /// When the core wanted to send the last one: the time of the tick.
    pub asked_ns: u64,
}

impl Upstream {
    pub fn new(processor: Processor) -> Upstream {
        Upstream {
            processor,
            inbox: Vec::new(),
            busy: None,
            asked_ns: 0,
        }
    }
}

impl Socket {
    /// A connection that a client makes.
    pub fn of_client(member: usize, name: u64) -> Socket {
        let client = Client {
            name,
            reads: true,
            ..Client::default()
        };
        Socket::new(member, Far::Client(client))
    }

    /// Nothing has happened on it.
    pub fn new(member: usize, far: Far) -> Socket {
        Socket {
            member,
            id: None,
            far,
            input: VecDeque::new(),
            input_end: None,
            end_seen: false,
            paused: false,
            stuck_until_ns: 0,
            allowance: 0,
            sending_since_ns: None,
            stalled_ns: u64::MAX,
            closing: false,
            closing_ns: 0,
        }
    }

    /// The client at the other end.
    pub fn client(&self) -> Option<&Client> {
        match &self.far {
            Far::Client(client) => Some(client),
            Far::Link(_) | Far::Upstream(_) => None,
        }
    }

    /// The client at the other end.
    pub fn client_mut(&mut self) -> Option<&mut Client> {
        match &mut self.far {
            Far::Client(client) => Some(client),
            Far::Link(_) | Far::Upstream(_) => None,
        }
    }

    /// The processor at the other end.
    pub fn upstream(&self) -> Option<&Upstream> {
        match &self.far {
            Far::Upstream(upstream) => Some(upstream),
            Far::Link(_) | Far::Client(_) => None,
        }
    }

    /// The processor at the other end.
    pub fn upstream_mut(&mut self) -> Option<&mut Upstream> {
        match &mut self.far {
            Far::Upstream(upstream) => Some(upstream),
            Far::Link(_) | Far::Client(_) => None,
        }
    }

    /// Whether the other end takes what the core sends now.
    pub fn reads(&self, now_ns: u64) -> bool {
        self.client()
            .is_none_or(|client| client.reads && client.reads_from_ns <= now_ns)
    }
}
