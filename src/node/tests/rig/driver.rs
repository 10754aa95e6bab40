//! What a driver does with each core of a [`Rig`].

use super::{Core, Rig, Socket, TIME_US};
use crate::limits::RECEIVE_BUFFER_BYTES;
use crate::machine::{ConnectionId, Effect, Job as _, Machine, Now, Peer, Target};
use crate::payments::Processor;
use crate::runtime::{Runtime, Work};
use crate::shard::tests::faulty::Faulty;

impl Rig {
    pub fn now(&self) -> Now {
        Now {
            monotonic_ns: self.now_ns,
            realtime_us: (TIME_US + self.now_ns / 1000).saturating_add_signed(self.stepped_us),
        }
    }

    pub fn tick(&mut self, index: usize, event: impl FnOnce(&mut Runtime<Faulty>)) {
        let now = self.now();
        super::CLOCK_NS.set(now.monotonic_ns);
        let core = &mut self.cores[index];
        core.runtime.tick_begin(now);
        let refused = core.feed();
        core.asking.feed(&mut core.runtime, now.monotonic_ns);
        event(&mut core.runtime);
        core.runtime.tick_end();
        for at in refused {
            self.tell_peer_of_end(index, at);
        }
        while let Some(effect) = self.cores[index].runtime.next_effect() {
            self.carry_out(index, effect);
        }
    }

    pub(super) fn carry_out(&mut self, index: usize, effect: Effect<Work<Faulty>>) {
        let core = &mut self.cores[index];
        let of = |id: ConnectionId, sockets: &[Socket]| {
            let is_it = |it: &Socket| it.id == id && !it.closed && it.unopened.is_none();
            let at = sockets.iter().rposition(is_it);
            at.expect("an effect is for an open socket")
        };
        match effect {
            Effect::Connect(Target::Member(member)) => self.dial(index, member),
            Effect::Connect(Target::Upstream(number)) => {
                self.dial_processor(index, Processor::ALL[number])
            }
            Effect::Send(id) => {
                let at = of(id, &core.sockets);
                assert!(!core.sockets[at].sending, "one send at a time");
                core.sockets[at].sending = true;
                self.try_send(index, at);
            }
            Effect::Pause(id) => {
                let at = of(id, &core.sockets);
                core.sockets[at].reading = false;
            }
            Effect::Resume(id) => {
                let at = of(id, &core.sockets);
                core.sockets[at].reading = true;
            }
            Effect::ShutdownWrite(id) => {
                let at = of(id, &core.sockets);
                assert!(!core.sockets[at].sending);
                core.sockets[at].finished = true;
            }
            Effect::Close(id) => {
                let at = of(id, &core.sockets);
                core.sockets[at].closed = true;
                core.closed.push(id);
                core.sent.retain(|(other, _)| *other != id);
                self.tell_peer_of_end(index, at);
            }
            Effect::Start(job) => core.jobs.push_back(job),
            Effect::Ask(request) => self.ask_engine(index, *request),
            Effect::TrimMemory => core.trims += 1,
            Effect::StopAccepting => core.accepting = false,
            Effect::Exit(exit) => {
                core.exit = Some(exit);
                self.hang_up(index);
                let node = index / self.plan.cores;
                let mut members = self.members(node);
                if members.all(|member| self.cores[member].exit.is_some()) {
                    self.end(node);
                }
            }
        }
    }

    /// Both ends learn of the link in their next ticks.
    pub(super) fn dial(&mut self, index: usize, member: usize) {
        if self.cores[member].exit.is_some() {
            let target = Target::Member(member);
            return self.cores[index].connect_failed.push(target);
        }
        let ends = (
            self.cores[index].sockets.len(),
            self.cores[member].sockets.len(),
        );
        let ours = Socket::linked(Peer::Member(member), (member, ends.1));
        let theirs = Socket::linked(Peer::Linker, (index, ends.0));
        self.cores[index].sockets.push(ours);
        self.cores[member].sockets.push(theirs);
    }

    pub(super) fn try_send(&mut self, index: usize, at: usize) {
        let core = &mut self.cores[index];
        let socket = &mut core.sockets[at];
        let bytes = core.runtime.output(socket.id);
        assert!(!bytes.is_empty());
        let taken = bytes.len().min(socket.room);
        if taken == 0 {
            return;
        }
        let bytes = bytes[..taken].to_vec();
        socket.room -= if socket.room == usize::MAX { 0 } else { taken };
        socket.sending = false;
        core.sent.push((socket.id, Ok(taken)));
        match socket.linked {
            None => socket.outbound.extend_from_slice(&bytes),
            Some((other, theirs)) => {
                let theirs = &mut self.cores[other].sockets[theirs];
                if !theirs.ended {
                    theirs.inbound.extend_from_slice(&bytes);
                }
            }
        }
    }

    pub(super) fn hang_up(&mut self, index: usize) {
        for at in 0..self.cores[index].sockets.len() {
            if !std::mem::replace(&mut self.cores[index].sockets[at].closed, true) {
                self.tell_peer_of_end(index, at);
            }
        }
    }

    pub(super) fn tell_peer_of_end(&mut self, index: usize, at: usize) {
        if let Some((other, theirs)) = self.cores[index].sockets[at].linked {
            self.cores[other].sockets[theirs].ended = true;
        }
    }
}

impl Core {
    pub(super) fn runs(&self) -> bool {
        self.exit.is_none() && !self.frozen
    }

    pub fn has_events(&self, now_ns: u64) -> bool {
        self.runs()
            && (self.runtime.ready()
                || self.runtime.deadline_ns().is_some_and(|at| at <= now_ns)
                || self.asking.has_events(now_ns)
                || !self.sent.is_empty()
                || !self.closed.is_empty()
                || !self.connect_failed.is_empty()
                || !self.done.is_empty()
                || (!self.jobs.is_empty() && !self.disk_stuck)
                || self.sockets.iter().any(Socket::has_events))
    }

    /// All that has happened since the last tick. The sockets that the machine did not want.
    pub(super) fn feed(&mut self) -> Vec<usize> {
        let mut refused = Vec::new();
        for (id, sent) in self.sent.drain(..) {
            self.runtime.sent(id, sent);
        }
        for id in self.closed.drain(..) {
            self.runtime.closed(id);
        }
        for target in self.connect_failed.drain(..) {
            self.runtime.connect_failed(target);
        }
        for (at, socket) in self.sockets.iter_mut().enumerate() {
            if socket.closed {
                continue;
            }
            if let Some(peer) = socket.unopened.take() {
                match self.runtime.opened(peer) {
                    Ok(id) => socket.id = id,
                    Err(_) => {
                        socket.closed = true;
                        refused.push(at);
                        continue;
                    }
                }
            }
            if socket.sending && socket.room > 0 {
                let bytes = self.runtime.output(socket.id);
                let taken = bytes.len().min(socket.room);
                socket.outbound.extend_from_slice(&bytes[..taken]);
                socket.room -= if socket.room == usize::MAX { 0 } else { taken };
                socket.sending = false;
                self.runtime.sent(socket.id, Ok(taken));
            }
            if !socket.reading {
                continue;
            }
            let mut inbound = std::mem::take(&mut socket.inbound);
            if self.runtime.receive_bytes_max() < inbound.len() {
                socket.inbound = inbound.split_off(self.runtime.receive_bytes_max());
            }
            for bytes in inbound.chunks(RECEIVE_BUFFER_BYTES) {
                self.runtime.received(socket.id, bytes);
            }
            let is_through = socket.ended && socket.inbound.is_empty();
            if is_through && !std::mem::replace(&mut socket.end_told, true) {
                self.runtime.input_ended(socket.id, false);
            }
        }
        if !self.disk_stuck {
            self.done.extend(self.jobs.drain(..).map(|job| job.run()));
        }
        for done in self.done.drain(..) {
            self.runtime.job_done(done);
        }
        refused
    }
}

impl Socket {
    pub(super) fn new(id: ConnectionId) -> Socket {
        Socket {
            id,
            unopened: None,
            linked: None,
            processor: None,
            inbound: Vec::new(),
            ended: false,
            end_told: false,
            outbound: Vec::new(),
            room: usize::MAX,
            sending: false,
            reading: true,
            finished: false,
            closed: false,
        }
    }

    pub(super) fn linked(peer: Peer, linked: (usize, usize)) -> Socket {
        Socket {
            linked: Some(linked),
            ..Socket::unopened(peer)
        }
    }

    pub(super) fn unopened(peer: Peer) -> Socket {
        let nobody = ConnectionId {
            index: u32::MAX,
            generation: u32::MAX,
        };
        Socket {
            unopened: Some(peer),
            ..Socket::new(nobody)
        }
    }

    pub(super) fn has_events(&self) -> bool {
        let readable = !self.inbound.is_empty() || (self.ended && !self.end_told);
        let writable = self.sending && self.room > 0;
        !self.closed && (self.unopened.is_some() || (self.reading && readable) || writable)
    }
}
