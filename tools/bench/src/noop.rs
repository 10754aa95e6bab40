//! `galo-noop`: a server on galo's drivers, with galo's parser, that does nothing: it answers every
//! request with the same reply, so it stands for the limit of what galo can reach.
//!
//! Usage: `galo-noop [--io auto|uring|epoll] [--listen host:port|unix:/path]...`

use galo::http::{self, Parsed};
use galo::io::{Address, Control, DriverChoice, Listeners, Setup};
use galo::machine::{ConnectionId, Effect, Exit, Job, Machine, Now, Peer, Target};
use galo::system::raise_limits;
use galo_output::{complain, print};
use lexopt::ValueExt;
use nix::sys::signal::{SigSet, Signal};
use std::collections::VecDeque;
use std::process::ExitCode;

/// Byte for byte as long as galo's reply to a transaction when the balance has seven digits.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Wed, 17 Jan 2024 02:34:41 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 33\r\n\r\n\
    {\"limite\":100000,\"saldo\":1234567}";

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            complain("galo-noop", text);
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let mut choice = DriverChoice::Auto;
    let mut addresses: Vec<Address> = Vec::new();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            lexopt::Arg::Long("io") => choice = value(&mut arguments)?.parse()?,
            lexopt::Arg::Long("listen") => addresses.push(value(&mut arguments)?.parse()?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if addresses.is_empty() {
        addresses.push("127.0.0.1:9999".parse()?);
    }
    raise_limits();
    let chosen = choice.decide()?;
    let mut listeners = Listeners::bind(&addresses, 1).map_err(|error| error.to_string())?;
    let control = Control::new(1).map_err(|error| error.to_string())?;
    stop_on_signal(control.clone())?;
    // Nobody may be there to read it.
    let _ = print(format_args!(
        "galo-noop on {} through {} ({})\n",
        listeners.addresses()[0],
        chosen.driver.name(),
        chosen.reason
    ));
    let exit = chosen.driver.run(Setup {
        machine: NoOp::default(),
        listeners: listeners.take(0),
        peers: Vec::new(),
        link_listener: None,
        link_paths: Vec::new(),
        upstreams: None,
        engine: None,
        control,
        core: 0,
    });
    match exit {
        Exit::Stopped => Ok(()),
        Exit::Failed(text) => Err(text),
    }
}

fn value(arguments: &mut lexopt::Parser) -> Result<String, String> {
    let value = arguments.value().and_then(|value| value.string());
    value.map_err(|error| error.to_string())
}

/// Blocks the signals here and in all threads to come, and waits for them in one.
fn stop_on_signal(control: std::sync::Arc<Control>) -> Result<(), String> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block().map_err(|error| error.to_string())?;
    let wait = move || {
        if signals.wait().is_ok() {
            control.stop();
        }
    };
    let thread = std::thread::Builder::new().spawn(wait);
    thread.map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(())
}

#[derive(Default)]
struct NoOp {
    connections: Vec<Connection>,
    free: Vec<u32>,
    /// With replies to release at the end of the tick.
    dirty: Vec<u32>,
    /// Decoded chunked bodies, which nobody looks at.
    decoded: Vec<u8>,
    effects: VecDeque<Effect<Never>>,
}

#[derive(Default)]
struct Connection {
    generation: u32,
    open: bool,
    /// The beginning of a request whose end has not come yet, and where parsing of it stands.
    partial: Vec<u8>,
    progress: http::ParseState,
    /// Being sent, from `sent` on.
    output: Vec<u8>,
    sent: usize,
    sending: bool,
    /// To be sent next.
    replies: Vec<u8>,
    dirty: bool,
    ended: bool,
}

impl NoOp {
    /// Answers what is complete at the front of `input`: how many bytes that was.
    fn answer(&mut self, index: u32, input: &[u8]) -> usize {
        let connection = &mut self.connections[index as usize];
        let mut taken = 0;
        while taken < input.len() {
            match http::parse(&input[taken..], &mut connection.progress, &mut self.decoded) {
                Parsed::Request { consumed, .. } => {
                    taken += consumed;
                    connection.replies.extend_from_slice(REPLY);
                }
                Parsed::Incomplete { .. } => break,
                Parsed::Bad(_) => {
                    connection.ended = true;
                    taken = input.len();
                }
            }
        }
        self.mark(index);
        taken
    }

    fn mark(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(index);
        }
    }

    fn close(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.index as usize];
        if std::mem::replace(&mut connection.open, false) {
            self.effects.push_back(Effect::Close(id));
        }
    }
}

impl Machine for NoOp {
    type Job = Never;

    fn tick_begin(&mut self, _now: Now) {}

    fn opened(&mut self, _peer: Peer) -> Result<ConnectionId, &'static [u8]> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::default());
            self.connections.len() as u32 - 1
        });
        let connection = &mut self.connections[index as usize];
        connection.open = true;
        Ok(ConnectionId {
            index,
            generation: connection.generation,
        })
    }

    fn connect_failed(&mut self, _: Target) {}

    fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        let connection = &mut self.connections[id.index as usize];
        if connection.ended || !connection.open {
            return;
        }
        if connection.partial.is_empty() {
            let taken = self.answer(id.index, bytes);
            let rest = &bytes[taken..];
            if !rest.is_empty() {
                self.connections[id.index as usize]
                    .partial
                    .extend_from_slice(rest);
            }
        } else {
            let mut partial = std::mem::take(&mut connection.partial);
            partial.extend_from_slice(bytes);
            let taken = self.answer(id.index, &partial);
            partial.drain(..taken);
            self.connections[id.index as usize].partial = partial;
        }
    }

    fn input_ended(&mut self, id: ConnectionId, _reset: bool) {
        self.connections[id.index as usize].ended = true;
        self.mark(id.index);
    }

    fn sent(&mut self, id: ConnectionId, bytes: Result<usize, ()>) {
        let connection = &mut self.connections[id.index as usize];
        connection.sending = false;
        match bytes {
            Ok(count) => connection.sent += count,
            Err(()) => {
                connection.ended = true;
                connection.output.clear();
                connection.replies.clear();
            }
        }
        if connection.sent >= connection.output.len() {
            connection.output.clear();
            connection.sent = 0;
        }
        if connection.ended || !connection.output.is_empty() || !connection.replies.is_empty() {
            self.mark(id.index);
        }
    }

    fn closed(&mut self, id: ConnectionId) {
        self.connections[id.index as usize] = Connection {
            generation: (id.generation + 1) & 0xff_ffff,
            ..Connection::default()
        };
        self.free.push(id.index);
    }

    fn job_done(&mut self, done: Never) {
        match done {}
    }

    fn stop(&mut self) {
        self.effects.push_back(Effect::Exit(Exit::Stopped));
    }

    fn tick_end(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let connection = &mut self.connections[index as usize];
            connection.dirty = false;
            if !connection.open || connection.sending {
                continue;
            }
            let id = ConnectionId {
                index,
                generation: connection.generation,
            };
            if connection.output.is_empty() {
                std::mem::swap(&mut connection.output, &mut connection.replies);
            }
            if !connection.output.is_empty() {
                connection.sending = true;
                self.effects.push_back(Effect::Send(id));
            } else if connection.ended {
                self.close(id);
            }
        }
        self.dirty = dirty;
    }

    fn next_effect(&mut self) -> Option<Effect<Never>> {
        self.effects.pop_front()
    }

    fn output(&self, id: ConnectionId) -> &[u8] {
        let connection = &self.connections[id.index as usize];
        &connection.output[connection.sent..]
    }

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn ready(&self) -> bool {
        false
    }
}

/// There are no jobs.
#[derive(Debug)]
enum Never {}

impl Job for Never {
    type Done = Never;

    fn run(self) -> Never {
        self
    }
}
