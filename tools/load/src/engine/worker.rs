//! One thread: its connections, and the loop that drives them.

mod reply;

use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::measure::{nanoseconds, FailureKind};

use super::aggregator::Message;
use super::connection::{index_of, kind_of_connect, Connection, Request, Unsent};
use super::deadlines::Deadlines;
use super::recorder::Recorder;
use super::schedule::{Schedule, Start};
use super::timer::{now_ns, Timer};
use super::{share_of, End, Plan, Stop, Traffic};

/// Of one look at the epoll set.
const EVENTS_MAX: usize = 1024;
/// A reply's bytes at once: more than a reply may have.
const READ_BYTES: usize = 64 * 1024;
/// Between two looks at the sign to stop, at most.
const LOOK: Duration = Duration::from_millis(50);
/// After that sign, for replies that are on their way.
const STOP_GRACE_NS: u64 = 1_000_000_000;
/// No connection has this number.
const TIMER: Token = Token(usize::MAX);

/// What a thread came to.
#[derive(Debug)]
pub struct Outcome<T> {
    pub traffic: T,
    /// Where its measured time ended.
    pub end_ns: u64,
    /// See [`Measured`](crate::measure::Measured).
    pub unsent: u64,
    /// The same.
    pub dropped: u64,
    /// The sign to stop was given.
    pub stopped: bool,
    /// The same.
    pub busy: f64,
}

/// One thread.
pub struct Worker<'a, T: Traffic> {
    plan: &'a Plan,
    stop: &'a Stop,
    traffic: T,
    poll: Poll,
    timer: Timer,
    schedule: Schedule,
    recorder: Recorder,
    connections: Vec<Connection<T::Ticket>>,
    deadlines: Deadlines,
    timeout_ns: u64,
    under_way: usize,
    /// How many more may be begun after the warm-up.
    quota: u64,
    /// When the sign to stop was seen.
    stopped_ns: Option<u64>,
    buffer: Vec<u8>,
    /// Chunked bodies.
    decoded: Vec<u8>,
}

impl<'a, T: Traffic> Worker<'a, T> {
    pub fn new(
        plan: &'a Plan,
        thread: usize,
        begin_ns: u64,
        traffic: T,
        stop: &'a Stop,
        sender: Sender<Message>,
    ) -> io::Result<Worker<'a, T>> {
        let poll = Poll::new()?;
        let connections = plan.connections_of(thread);
        Ok(Worker {
            plan,
            stop,
            traffic,
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            schedule: Schedule::new(plan, thread, begin_ns),
            recorder: Recorder::new(plan, thread, begin_ns, sender),
            connections: (0..connections).map(|_| Connection::default()).collect(),
            deadlines: Deadlines::new(connections),
            timeout_ns: nanoseconds(plan.timeout),
            under_way: 0,
            quota: match plan.end {
                End::After(_) => u64::MAX,
                End::Requests(count) => share_of(count, plan.threads as u64, thread as u64),
            },
            stopped_ns: None,
            buffer: vec![0; READ_BYTES],
            decoded: Vec::new(),
        })
    }

    /// Until everything that was begun has ended.
    pub fn run(mut self) -> io::Result<Outcome<T>> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let mut now_ns = now_ns();
            self.recorder.advance(now_ns);
            if self.stop.is_stopped() && self.stopped_ns.is_none() {
                self.stopped_ns = Some(now_ns);
                self.recorder.stop(now_ns);
            }
            self.expire(now_ns);
            while self.may_begin(now_ns) {
                let Some(start) = self.schedule.next(now_ns) else {
                    break;
                };
                now_ns = self.begin(start);
            }
            if self.is_over(now_ns) {
                break;
            }
            self.wait(&mut events, now_ns)?;
            for event in &events {
                self.handle(event);
            }
        }
        Ok(self.finish())
    }

    /// Whether requests are begun at this moment. Past the end, those are that could have been before it, had this
    /// thread been quicker: they are late by the tool, and not unsent.
    fn may_begin(&self, now_ns: u64) -> bool {
        let end_ns = self.stopped_ns.unwrap_or(u64::MAX);
        let end_ns = end_ns.min(self.recorder.end_ns());
        self.quota > 0 && (now_ns < end_ns || self.schedule.is_behind(end_ns))
    }

    fn is_over(&self, now_ns: u64) -> bool {
        if let Some(stopped_ns) = self.stopped_ns {
            if now_ns >= stopped_ns + STOP_GRACE_NS {
                return true;
            }
        }
        let by_count = matches!(self.plan.end, End::Requests(_));
        let is_last = by_count && self.schedule.is_exhausted();
        self.under_way == 0 && (is_last || !self.may_begin(now_ns))
    }

    fn wait(&mut self, events: &mut Events, now_ns: u64) -> io::Result<()> {
        let mut latest = LOOK;
        if self.may_begin(now_ns) {
            if let Some(next_ns) = self.schedule.next_ns() {
                match next_ns > now_ns {
                    true => self.timer.set(next_ns)?,
                    false => latest = Duration::ZERO,
                }
            }
        }
        let deadline_ns = self
            .deadlines
            .first()
            .map_or(u64::MAX, |index| self.deadline_ns(index));
        let next_ns = self.recorder.next_ns(now_ns).min(deadline_ns);
        latest = latest.min(Duration::from_nanos(next_ns.saturating_sub(now_ns)));
        match self.poll.poll(events, Some(latest)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Outcome<T> {
        let mut dropped = 0;
        for connection in &mut self.connections {
            if let Some(request) = connection.request.take() {
                dropped += u64::from(!request.warm);
                self.traffic.lost(request.ticket, connection.written > 0);
            }
        }
        self.recorder.complete();
        let measured_ns = self.recorder.measured_ns();
        let by_count = matches!(self.plan.end, End::Requests(_)) && self.stopped_ns.is_none();
        let (end_ns, busy) = self.recorder.close();
        Outcome {
            traffic: self.traffic,
            end_ns,
            dropped,
            stopped: self.stopped_ns.is_some(),
            unsent: match by_count {
                true => 0,
                false => self.schedule.unsent(measured_ns, end_ns),
            },
            busy,
        }
    }

    fn deadline_ns(&self, index: u32) -> u64 {
        let request = self.connections[index as usize].request;
        let request = request.expect("it is in the list of those that have one");
        request.begun_ns.saturating_add(self.timeout_ns)
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some(index) = self.deadlines.first() {
            if self.deadline_ns(index) > now_ns {
                break;
            }
            let what = format!("no reply in {:?}", self.plan.timeout);
            self.fail(index, now_ns, FailureKind::TimeOut, &what);
        }
    }

    /// Returns the time.
    fn begin(&mut self, start: Start) -> u64 {
        let connection = &mut self.connections[start.connection as usize];
        connection.output.clear();
        connection.written = 0;
        let (kind, ticket) = self.traffic.next(start.stream, &mut connection.output);
        let begun_ns = now_ns();
        let from_ns = start.due_ns.unwrap_or(begun_ns);
        let warm = self.recorder.is_warm(from_ns);
        connection.request = Some(Request {
            ticket,
            kind,
            from_ns,
            begun_ns,
            sent_ns: None,
            warm,
        });
        self.under_way += 1;
        self.deadlines.push(start.connection);
        if !warm {
            self.quota -= 1;
            if let Some(able_ns) = start.able_ns {
                self.recorder.begun(begun_ns, from_ns, able_ns);
            }
        }
        match self.connections[start.connection as usize].socket {
            Some(_) => self.write(start.connection, begun_ns),
            None => self.connect(start.connection, begun_ns),
        }
        begun_ns
    }

    fn connect(&mut self, index: u32, now_ns: u64) {
        let connection = &mut self.connections[index as usize];
        let address = self.plan.target.address();
        match connection.connect(address, self.poll.registry(), index) {
            Ok(()) => (),
            Err(error) => self.unconnected(index, now_ns, &error),
        }
    }

    fn unconnected(&mut self, index: u32, now_ns: u64, error: &io::Error) {
        let what = format!("no connection: {error}");
        self.fail(index, now_ns, kind_of_connect(error), &what);
    }

    /// Sends what is left of the request.
    fn write(&mut self, index: u32, now_ns: u64) {
        let connection = &mut self.connections[index as usize];
        let written = connection.write();
        if connection.written > 0 {
            if let Some(request) = &mut connection.request {
                request.sent_ns.get_or_insert(now_ns);
            }
        }
        match written {
            Ok(()) | Err(Unsent::Waiting) => (),
            Err(Unsent::WasClosed) => {
                connection.close();
                self.connect(index, now_ns);
            }
            Err(Unsent::Unconnected(error)) => self.unconnected(index, now_ns, &error),
            Err(Unsent::Broken(error)) => self.broken(index, now_ns, &error),
        }
    }

    fn handle(&mut self, event: &Event) {
        let token = event.token();
        if token == TIMER {
            return;
        }
        let index = index_of(token);
        let connection = &self.connections[index as usize];
        if !connection.is_meant(token) {
            return;
        }
        let is_sending =
            connection.request.is_some() && connection.written < connection.output.len();
        if is_sending && (event.is_writable() || event.is_error()) {
            self.write(index, now_ns());
        }
        let connection = &self.connections[index as usize];
        let ended = event.is_read_closed() || event.is_error();
        if connection.is_meant(token) && (event.is_readable() || ended) {
            self.read(index, ended);
        }
    }
}
