//! The driver: one thread, in which a seed decides what happens next.

use galo::io::{Effect, Exit, Job as _, Machine, Now, Peer};
use galo::limits::{
    OUTPUT_BYTES_MAX, RECEIVE_BUFFER_BYTES, SEND_NS_MAX, STOP_NS_MAX, STOP_SNAPSHOT_NS_MAX,
};
use galo::shard::{Done, Job};

use crate::disk::SimDisk;
use crate::life::{Core, Process};
use crate::model::Model;
use crate::plan::Plan;
use crate::random::Random;
use crate::request::Asked;
use crate::run::Coverage;
use crate::sabotage::Sabotage;
use crate::socket::{Ended, Far, Socket};
use crate::trace::{Checked, Trace};
use crate::{require, violation};

/// The longest single reply (`/metrics`), and what may be appended before a bound is looked at.
const REPLY_BYTES_MAX: usize = 64 * 1024;
const SECOND_NS: u64 = 1_000_000_000;

/// Everything there is.
pub struct World {
    pub plan: Plan,
    pub random: Random,
    pub trace: Trace,
    pub disk: SimDisk,
    pub model: Model,
    pub coverage: Coverage,
    pub sabotage: Option<Sabotage>,
    pub now_ns: u64,
    /// When the last tick began.
    pub tick_ns: u64,
    /// Real time at `now_ns` 0.
    pub realtime_us: i64,
    /// Links first, at fixed places; then clients'.
    pub sockets: Vec<Socket>,
    pub jobs: Vec<Running>,
    pub names: u64,
    /// From then on no faults and no new work: what is under way must come to its end.
    pub calm_ns: u64,
    /// What a device does takes long.
    pub slow_jobs: bool,
    /// A core has exited.
    pub core_gone: bool,
}

/// A job that was handed out.
pub struct Running {
    pub core: usize,
    /// Until it is run.
    pub job: Option<Job<SimDisk>>,
    /// From then on.
    pub done: Option<Done<SimDisk>>,
    /// The shards' last records when it was handed out.
    pub sequences: Vec<u64>,
}

/// One thing that can happen to a core in its tick.
#[derive(Clone, Copy, Debug)]
enum Event {
    Accept(usize),
    Receive(usize),
    InputEnd(usize),
    Sent(usize),
    Closed(usize),
    Done(usize),
}

std::thread_local! {
    static CLOCK_NS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// `CLOCK_MONOTONIC` of the world that runs in this thread.
pub fn clock_ns() -> u64 {
    CLOCK_NS.get()
}

impl World {
    pub fn set_clock(&mut self, now_ns: u64) {
        assert!(now_ns >= self.now_ns);
        self.now_ns = now_ns;
        self.trace.now_ns = now_ns;
        CLOCK_NS.set(now_ns);
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ns: self.now_ns,
            realtime_us: (self.realtime_us + (self.now_ns / 1_000) as i64).max(0) as u64,
        }
    }

    /// One step of the world.
    pub fn step(&mut self, process: &mut Process) -> Checked {
        let pass_ns = self.random.skewed(100_000);
        self.set_clock(self.now_ns + pass_ns);
        match self.random.below(100) {
            0..=44 => {
                let core = self.random.index(process.cores.len());
                self.tick(process, core)
            }
            45..=79 => self.act(process),
            80..=92 if !self.slow_jobs || self.random.percent(8) => self.run_any_job(),
            93..=95 => {
                self.wait(process);
                Ok(())
            }
            96 if self.plan.clock_steps => {
                let step_us = self.random.skewed(1 << 40) as i64;
                let back = self.random.percent(50);
                self.realtime_us += if back { -step_us } else { step_us };
                self.trace.note(format_args!(
                    "the clock steps by {step_us} µs, back: {back}"
                ));
                Ok(())
            }
            97 if self.plan.full_disk && self.calm_ns == u64::MAX => {
                if self.random.percent(50) {
                    let room = self.random.below(600);
                    self.trace
                        .note(format_args!("{room} bytes are left on the disk"));
                    self.disk.fill_up_to(room);
                } else {
                    self.trace.note(format_args!("there is room on the disk"));
                    self.disk.make_room();
                }
                Ok(())
            }
            _ => {
                let core = self.random.index(process.cores.len());
                self.tick(process, core)
            }
        }
    }

    /// Lets time pass, at most to the next deadline.
    fn wait(&mut self, process: &Process) {
        let mut until_ns = self.now_ns + self.random.skewed(50_000_000);
        let alive = process.cores.iter().filter(|core| core.exited.is_none());
        let deadline_ns = alive.filter_map(|core| core.host.deadline_ns()).min();
        if let Some(deadline_ns) = deadline_ns {
            let soon = deadline_ns < self.now_ns + SECOND_NS / 5;
            if soon || (self.plan.timeouts && self.calm_ns == u64::MAX && !process.is_stopping()) {
                until_ns = deadline_ns;
            }
        }
        if process.is_stopping() {
            until_ns = until_ns.min(self.now_ns + SECOND_NS / 100);
        }
        self.set_clock(until_ns.max(self.now_ns));
    }

    // ---- Jobs ------------------------------------------------------------------

    /// Runs one that waits, if there is one.
    pub fn run_any_job(&mut self) -> Checked {
        let waiting: Vec<usize> = (0..self.jobs.len())
            .filter(|index| self.jobs[*index].job.is_some())
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let index = *self.random.pick(&waiting);
        let running = &mut self.jobs[index];
        let Some(job) = running.job.take() else {
            return Ok(());
        };
        let done = job.run();
        let what = match &done {
            Done::Synced {
                sequence, shard, ..
            } => {
                let shard = *shard as usize;
                let begun = running.sequences[shard];
                require!(
                    *sequence <= begun,
                    "shard {shard}: record {sequence} is called synced, and is not written: {begun}"
                );
                if !self.disk.events().killed {
                    self.model.raise_floor(shard, begun);
                }
                self.coverage.syncs += 1;
                "synced"
            }
            Done::SyncFailed { .. } => "sync failed",
            Done::SnapshotSlice { .. } => "slice",
            Done::SnapshotDone { .. } => {
                self.coverage.snapshots += 1;
                "snapshot done"
            }
            Done::SnapshotFailed { .. } => "snapshot failed",
            Done::Acquired { .. } => "acquired",
        };
        self.trace.note(format_args!(
            "core {} shard {}: {what}",
            running.core,
            done.shard()
        ));
        running.done = Some(done);
        Ok(())
    }

    // ---- Ticks -----------------------------------------------------------------

    /// One tick of a core, if it is there.
    pub fn tick(&mut self, process: &mut Process, index: usize) -> Checked {
        if process.cores[index].exited.is_some() || self.disk.events().killed {
            return Ok(());
        }
        let now = self.now();
        self.tick_ns = self.now_ns;
        let count = self.random.skewed(self.plan.tick_events_max);
        let core = &mut process.cores[index];
        core.host.tick_begin(now);
        if core.stop_wanted && core.stopped_ns.is_none() {
            core.stopped_ns = Some(self.now_ns);
            core.host.stop();
        }
        let mut sync_failed = false;
        for _ in 0..count {
            let events = self.events(core, index);
            if events.is_empty() {
                break;
            }
            let event = *self.random.pick(&events);
            sync_failed |= self.happen(core, event)?;
        }
        let pass_ns = self.random.below(20_000);
        self.set_clock(self.now_ns + pass_ns);
        core.host.tick_end();
        if self.disk.events().killed {
            self.trace
                .note(format_args!("core {index} was killed in its tick"));
            return Ok(());
        }
        let failing = self.carry_out(core, index, sync_failed)?;
        if failing {
            return Ok(());
        }
        self.observe(process, index)
    }

    /// What the tick journalled goes to the model.
    fn observe(&mut self, process: &mut Process, index: usize) -> Checked {
        let core = &mut process.cores[index];
        if matches!(core.exited, Some(Exit::Failed(_))) {
            return Ok(());
        }
        for shard in core.host.shards() {
            let number = shard.identity().shard as usize;
            let sequence = shard.sequence();
            if sequence != self.model.sequence(number) {
                let journal = &mut process.journals[number];
                let entered = journal.read_to(&self.disk, sequence, &mut self.model)?;
                self.coverage.segments += entered;
                self.model.compare(shard, true)?;
                self.trace
                    .note(format_args!("shard {number} is at record {sequence}"));
            }
        }
        Ok(())
    }

    fn events(&self, core: &Core, index: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, socket) in self.sockets.iter().enumerate() {
            if socket.core != index {
                continue;
            }
            if socket.id.is_none() {
                if core.accepts && matches!(socket.far, Far::Client(_)) {
                    events.push(Event::Accept(at));
                }
            } else if socket.closing {
                events.push(Event::Closed(at));
            } else {
                let readable = !socket.paused || socket.allowance > 0;
                let is_reset = socket.input_end == Some(Ended::Reset);
                if !socket.input.is_empty() && readable && !socket.end_seen {
                    events.push(Event::Receive(at));
                } else if socket.input_end.is_some() && !socket.end_seen && (readable || is_reset) {
                    events.push(Event::InputEnd(at));
                }
                if socket.sending_since_ns.is_some() && (socket.reads() || is_reset) {
                    events.push(Event::Sent(at));
                }
            }
        }
        let own = |job: &Running| job.core == index && job.done.is_some();
        let done = self.jobs.iter().enumerate().filter(|(_, job)| own(job));
        events.extend(done.map(|(at, _)| Event::Done(at)));
        events
    }

    /// Whether the event was that a sync failed.
    fn happen(&mut self, core: &mut Core, event: Event) -> Checked<bool> {
        self.trace.note(format_args!("  {event:?}"));
        match event {
            Event::Accept(at) => {
                match core.host.opened(Peer::Client) {
                    Ok(id) => self.sockets[at].id = Some(id),
                    Err(_) => {
                        require!(core.stopped_ns.is_some(), "a connection was refused");
                        self.drop_socket(at);
                    }
                };
            }
            Event::Receive(at) => self.receive(core, at)?,
            Event::InputEnd(at) => {
                let socket = &mut self.sockets[at];
                socket.end_seen = true;
                let reset = socket.input_end == Some(Ended::Reset);
                core.host.input_ended(socket.id.expect("open"), reset);
            }
            Event::Sent(at) => self.sent(core, at)?,
            Event::Closed(at) => {
                let id = self.sockets[at].id.expect("open");
                core.host.closed(id);
                let stopped_ns = core.stopped_ns;
                self.closed_by_server(at, stopped_ns)?;
                let socket = &mut self.sockets[at];
                if matches!(socket.far, Far::Link(_)) {
                    require!(
                        socket.input_end.is_some(),
                        "a link was closed while both cores live"
                    );
                    // It keeps its place.
                    socket.id = None;
                    return Ok(false);
                }
                self.drop_socket(at);
            }
            Event::Done(at) => {
                let done = self.jobs.swap_remove(at).done.expect("listed");
                let failed = matches!(done, Done::SyncFailed { .. });
                core.host.job_done(done);
                return Ok(failed);
            }
        }
        Ok(false)
    }

    fn receive(&mut self, core: &mut Core, at: usize) -> Checked {
        let socket = &mut self.sockets[at];
        let mut length = socket.input.len().min(RECEIVE_BUFFER_BYTES);
        if socket.paused {
            length = length.min(socket.allowance);
            socket.allowance -= length;
        }
        if self.random.percent(40) {
            length = self.random.skewed(length as u64) as usize;
        }
        let bytes: Vec<u8> = socket.input.drain(..length).collect();
        self.trace.bytes(&bytes);
        let id = socket.id.expect("open");
        if let Far::Client(client) = &mut socket.far {
            client.delivered += length as u64;
            for asked in &mut client.asked {
                if !asked.delivered && asked.end <= client.delivered {
                    asked.delivered = true;
                    asked.delivered_ns = self.tick_ns;
                    if let crate::request::Expect::Transaction(tag) = asked.expect {
                        self.model.delivered(tag);
                    }
                }
            }
            let repeats = self.sabotage == Some(Sabotage::RequestRepeated)
                && bytes.starts_with(b"POST")
                && client
                    .asked
                    .iter()
                    .any(|asked| asked.end == client.delivered)
                && self.random.percent(10);
            if repeats {
                core.host.received(id, &bytes);
            }
        }
        core.host.received(id, &bytes);
        Ok(())
    }

    fn sent(&mut self, core: &mut Core, at: usize) -> Checked {
        let now_ns = self.now_ns;
        let socket = &mut self.sockets[at];
        let id = socket.id.expect("open");
        let since_ns = socket.sending_since_ns.take().unwrap_or(0);
        if self.tick_ns >= since_ns + SEND_NS_MAX {
            socket.stalled_ns = self.tick_ns;
        }
        if socket.input_end == Some(Ended::Reset) {
            socket.end_seen = true;
            core.host.sent(id, Err(()));
            return Ok(());
        }
        let output = core.host.output(id);
        require!(!output.is_empty(), "a Send of nothing");
        let mut length = output.len();
        if self.random.percent(30) {
            length = self.random.skewed(length as u64) as usize;
        }
        let mut bytes = output[..length].to_vec();
        core.host.sent(id, Ok(length));
        self.trace.bytes(&bytes);
        match &mut socket.far {
            Far::Link(far) => {
                let far = *far;
                self.sockets[far].input.extend(bytes);
            }
            Far::Client(client) => {
                if self.sabotage == Some(Sabotage::ReplyChanged) && self.random.percent(2) {
                    let digits = bytes.iter_mut().filter(|byte| byte.is_ascii_digit());
                    digits.last().into_iter().for_each(|digit| *digit ^= 1);
                }
                if self.sabotage == Some(Sabotage::ReplyDropped) && self.random.percent(2) {
                    bytes.clear();
                }
                client.inbox.extend_from_slice(&bytes);
                let context = crate::client::Context {
                    now_ns,
                    durable: core.durable,
                    stopping: core.stop_wanted || self.core_gone,
                    full_events: self.disk.events().full,
                    calm_ns: self.calm_ns,
                };
                client.read(
                    &mut self.model,
                    &mut self.trace,
                    &mut self.coverage,
                    &context,
                )?;
            }
        }
        Ok(())
    }

    fn find(&self, core: usize, id: galo::io::ConnectionId) -> Checked<usize> {
        let mut found = self.sockets.iter().enumerate();
        match found.find(|(_, socket)| socket.core == core && socket.id == Some(id)) {
            Some((at, socket)) if !socket.closing => Ok(at),
            Some(_) => violation!("an effect on {id:?} after its Close"),
            None => violation!("an effect on {id:?}, which is not there"),
        }
    }

    /// Carries out what the core wants. Whether it failed.
    fn carry_out(&mut self, core: &mut Core, index: usize, sync_failed: bool) -> Checked<bool> {
        let mut failed = false;
        while let Some(effect) = core.host.next_effect() {
            match effect {
                Effect::Send(id) => {
                    let at = self.find(index, id)?;
                    let now_ns = self.tick_ns;
                    let socket = &mut self.sockets[at];
                    let length = core.host.output(id).len();
                    require!(socket.sending_since_ns.is_none(), "two Sends of {id:?}");
                    require!(length > 0, "a Send of nothing");
                    let bound = OUTPUT_BYTES_MAX + REPLY_BYTES_MAX;
                    require!(
                        length <= bound || socket.client().is_none(),
                        "{length} bytes wait for a client"
                    );
                    socket.sending_since_ns = Some(now_ns);
                }
                Effect::Pause(id) => {
                    let at = self.find(index, id)?;
                    let socket = &mut self.sockets[at];
                    require!(!socket.paused, "{id:?} is paused twice");
                    socket.paused = true;
                    socket.allowance = self.random.index(RECEIVE_BUFFER_BYTES + 1);
                    self.coverage.pauses += 1;
                }
                Effect::Resume(id) => {
                    let at = self.find(index, id)?;
                    require!(self.sockets[at].paused, "{id:?} was not paused");
                    self.sockets[at].paused = false;
                }
                Effect::ShutdownWrite(id) => {
                    let at = self.find(index, id)?;
                    if let Some(client) = self.sockets[at].client_mut() {
                        client.finished = true;
                    }
                }
                Effect::Close(id) => {
                    let at = self.find(index, id)?;
                    self.sockets[at].closing = true;
                    self.sockets[at].closing_ns = self.tick_ns;
                    self.trace.note(format_args!("  close {at}"));
                }
                Effect::Start(job) => {
                    let sequences = (0..self.plan.shards as usize)
                        .map(|shard| self.model.sequence(shard))
                        .collect();
                    // Its own shards' records of this tick are not observed yet.
                    let mut running = Running {
                        core: index,
                        job: Some(job),
                        done: None,
                        sequences,
                    };
                    for shard in core.host.shards() {
                        running.sequences[shard.identity().shard as usize] = shard.sequence();
                    }
                    self.jobs.push(running);
                }
                Effect::Connect(_) => violation!("nobody is there to connect to"),
                Effect::StopAccepting => core.accepts = false,
                Effect::Exit(exit) => {
                    self.trace
                        .note(format_args!("core {index} exits: {exit:?}"));
                    match &exit {
                        Exit::Failed(reason) => {
                            let events = self.disk.events();
                            require!(events.failed > 0, "core {index} gave up: {reason}");
                            failed = true;
                        }
                        Exit::Stopped => {
                            let Some(stopped_ns) = core.stopped_ns else {
                                violation!("core {index} stopped, and nobody wanted it");
                            };
                            let within = self.now_ns - stopped_ns;
                            require!(within <= 2 * SECOND_NS, "stopped after {within} ns");
                            core.stopped_clean = within < STOP_SNAPSHOT_NS_MAX;
                        }
                    }
                    core.exited = Some(exit);
                    self.exited(index, core.stopped_ns, failed)?;
                    break; // The loop is left.
                }
            }
        }
        require!(
            !sync_failed || failed,
            "a sync failed, and core {index} goes on"
        );
        if let (Some(stopped_ns), None) = (core.stopped_ns, &core.exited) {
            let since = self.now_ns - stopped_ns;
            require!(since <= 2 * SECOND_NS, "not stopped after {since} ns");
        }
        Ok(failed)
    }

    /// A core is gone: what it had open is closed.
    fn exited(&mut self, index: usize, stopped_ns: Option<u64>, failed: bool) -> Checked {
        self.core_gone = true;
        for at in (0..self.sockets.len()).rev() {
            if self.sockets[at].core != index {
                continue;
            }
            if let Far::Link(far) = self.sockets[at].far {
                self.sockets[far].input_end = Some(Ended::Fin);
                continue;
            }
            if !failed {
                self.closed_by_server(at, stopped_ns)?;
            }
            self.drop_socket(at);
        }
        self.jobs.retain(|job| job.core != index);
        Ok(())
    }

    /// Whether the server may close this connection now.
    fn closed_by_server(&mut self, at: usize, stopped_ns: Option<u64>) -> Checked {
        let socket = &self.sockets[at];
        let Some(client) = socket.client() else {
            return Ok(());
        };
        let may = client.last_reply_seen
            || socket.input_end == Some(Ended::Reset)
            // It does not read.
            || socket
                .sending_since_ns
                .is_some_and(|since_ns| self.now_ns >= since_ns + SEND_NS_MAX)
            || socket.stalled_ns == socket.closing_ns
            || stopped_ns.is_some_and(|at_ns| self.now_ns >= at_ns + STOP_NS_MAX);
        // What arrives in the tick in which an idle connection is given up is too late.
        let may_be_idle = self.plan.timeouts || stopped_ns.is_some();
        let in_time = |asked: &&Asked| {
            asked.delivered && !(may_be_idle && asked.delivered_ns == socket.closing_ns)
        };
        let unanswered = client.asked.iter().find(in_time);
        if let (false, Some(asked)) = (may, unanswered) {
            violation!(
                "client {}: closed without an answer to {asked:?}",
                client.name
            );
        }
        Ok(())
    }

    /// A client's connection is over.
    pub fn drop_socket(&mut self, at: usize) {
        let socket = self.sockets.swap_remove(at);
        if let Far::Client(client) = socket.far {
            for asked in client.asked {
                if let crate::request::Expect::Transaction(tag) = asked.expect {
                    self.model.abandoned(tag);
                }
            }
        }
    }
}
