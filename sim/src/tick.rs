//! The driver: one tick of one core.

use galo::limits::{
    OUTPUT_BYTES_MAX, RECEIVE_BUFFER_BYTES, SECOND_NS, SEND_NS_MAX, STOP_SNAPSHOT_NS_MAX,
};
use galo::machine::{ConnectionId, Effect, Exit, Machine, Now, Peer, Target};
use galo::payments::Processor;
use galo::runtime::WorkDone;
use galo::shard::Done;

use crate::cluster::{Cluster, Core, Dial};
use crate::disk::SimDisk;
use crate::sabotage::Sabotage;
use crate::socket::{Ended, Far};
use crate::trace::{Checked, Who};
use crate::world::{Running, World};
use crate::{event, require, step, violation};

/// The longest single reply (`/metrics`), and what may be appended before a bound is looked at.
const REPLY_BYTES_MAX: usize = 64 * 1024;

type Runtime = galo::runtime::Runtime<SimDisk>;

/// One thing that can happen to a core in its tick.
#[derive(Clone, Copy, Debug)]
enum Event {
    Accept(u64),
    Receive(u64),
    InputEnd(u64),
    Sent(u64),
    Closed(u64),
    Done(usize),
}

impl World {
    /// One tick of a core, if it is there; a process that is starting goes on with that.
    pub fn tick(&mut self, cluster: &mut Cluster, member: usize) -> Checked {
        let node = cluster.node_of(member);
        let process = &cluster.processes[node];
        if process.paused_until_ns > self.now_ns || process.disk.events().killed {
            return Ok(());
        }
        if process.starting.is_some() {
            self.start_on(cluster, node)?;
            return self.watch();
        }
        let now_ns = self.now_ns;
        let (connecting, dials) = match cluster.core(member) {
            Some(core) if core.exited.is_none() => {
                let dialing = std::mem::take(&mut core.dialing).into_iter();
                let (dials, dialing): (Vec<Dial>, _) =
                    dialing.partition(|dial| dial.due_ns <= now_ns);
                core.dialing = dialing;
                (std::mem::take(&mut core.connecting), dials)
            }
            _ => return Ok(()),
        };
        let answers: Vec<(usize, bool)> = connecting
            .into_iter()
            .map(|to| (to, self.listens(cluster, to)))
            .collect();
        let disk = cluster.processes[node].disk.clone();
        self.tick_ns = self.now_ns;
        let now = self.now_of_tick();
        let count = match self.plan.scripted {
            true => self.plan.tick_events_max,
            false => self.random.skewed(self.plan.tick_events_max),
        };
        let core = cluster.core(member).expect("just seen");
        // It is not in its place while it is used, and not put back when it has exited.
        let mut runtime = core.runtime.take().expect("it has not exited");
        runtime.tick_begin(now);
        if core.stop_wanted && core.stopped_ns.is_none() {
            core.stopped_ns = Some(self.now_ns);
            runtime.stop();
        }
        for (to, listens) in answers {
            self.connected(&mut runtime, member, to, listens);
        }
        self.dialed(&mut runtime, member, &dials);
        let mut sync_failed = false;
        for _ in 0..count {
            let events = self.events(core, member);
            if events.is_empty() {
                break;
            }
            let event = match self.plan.scripted {
                true => events[0],
                false => *self.random.pick(&events),
            };
            sync_failed |= self.happen(&mut runtime, core, member, event)?;
        }
        if !self.plan.scripted {
            let pass_ns = self.random.below(20_000);
            self.set_clock(self.now_ns + pass_ns);
        }
        runtime.tick_end();
        if disk.events().killed {
            core.runtime = Some(runtime);
            return self.watch();
        }
        let alone = cluster.is_alone();
        let core = cluster.core(member).expect("just seen");
        self.carry_out(&mut runtime, core, member, alone, sync_failed, &disk)?;
        self.observe(&runtime, cluster, member)?;
        let core = cluster.core(member).expect("just seen");
        if core.exited.is_none() {
            core.runtime = Some(runtime);
        }
        self.watch()
    }

    /// What a core is told at the beginning of its tick.
    fn now_of_tick(&self) -> Now {
        match self.sabotage {
            // What the clock would show if it had never stepped.
            Some(Sabotage::MomentsOfOld) => Now {
                realtime_us: (crate::world::REAL_US + (self.now_ns / 1_000) as i64) as u64,
                ..self.now()
            },
            _ => self.now(),
        }
    }

    /// Nobody writes what is not his.
    fn watch(&self) -> Checked {
        match self.disk.trespass() {
            Some(trespass) => violation!("{trespass}"),
            None => Ok(()),
        }
    }

    /// What the tick journalled goes to the model.
    fn observe(&mut self, runtime: &Runtime, cluster: &mut Cluster, member: usize) -> Checked {
        let core = cluster.core(member).expect("it has had a tick");
        if matches!(core.exited, Some(Exit::Failed(_))) {
            core.owned.clear();
            return Ok(());
        }
        let mut owned = Vec::new();
        for shard in runtime.shards() {
            let number = shard.identity().shard as usize;
            let sequence = shard.sequence();
            owned.push(number);
            self.model.payments.clock_told(number);
            if sequence != self.model.sequence(number) {
                self.model.real_us = Some(self.now_at(self.tick_ns).realtime_us);
                let before = self.model.sequence(number);
                let journal = self.journals[number].as_mut().expect("it has an owner");
                self.coverage.segments += journal.read_to(&self.disk, sequence, &mut self.model)?;
                self.model.real_us = None;
                self.model.compare(shard, true)?;
                self.tell_records(member, number, before);
            }
        }
        if core.exited.is_some() {
            owned.clear(); // They went with it.
        }
        let before = std::mem::replace(&mut core.owned, owned.clone());
        for number in before {
            // What this tick wrote to it last must be known before a reply that tells of it.
            if !owned.contains(&number) {
                event!(self.trace, Who::Core(member), "gives up shard {number}");
                for job in self.jobs.iter_mut().filter(|job| job.member == member) {
                    job.let_go.push(number);
                }
                self.shuffled_ns = self.now_ns;
                let before = self.model.sequence(number);
                let journal = self.journals[number].as_mut().expect("it had an owner");
                self.coverage.segments += journal.read_on(&self.disk, &mut self.model)?;
                self.tell_records(member, number, before);
            }
        }
        for (other, core) in cluster.cores() {
            let both = core.owned.iter().find(|number| owned.contains(number));
            if let (Some(number), true) = (both, other != member) {
                violation!("members {member} and {other} own shard {number}");
            }
        }
        Ok(())
    }

    /// A core wrote these to a shard's journal.
    fn tell_records(&mut self, member: usize, shard: usize, before: u64) {
        for sequence in before + 1..=self.model.sequence(shard) {
            let what = self.model.words_of_record(shard, sequence);
            let who = Who::Core(member);
            event!(
                self.trace,
                who,
                "writes record {sequence} of shard {shard}: {what}"
            );
        }
    }

    pub fn has_events(&self, core: &Core, member: usize) -> bool {
        !self.events(core, member).is_empty()
    }

    fn events(&self, core: &Core, member: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for (&at, socket) in &self.sockets {
            if socket.member != member {
                continue;
            }
            if socket.id.is_none() {
                if core.accepts || matches!(socket.far, Far::Link(_)) {
                    events.push(Event::Accept(at));
                }
            } else if socket.closing {
                events.push(Event::Closed(at));
            } else {
                let readable = !socket.paused || socket.allowance > 0;
                let is_reset = socket.input_end == Some(Ended::Reset);
                if socket.stuck_until_ns > self.now_ns {
                    // Nothing arrives.
                } else if !socket.input.is_empty() && readable && !socket.end_seen {
                    events.push(Event::Receive(at));
                } else if socket.input_end.is_some() && !socket.end_seen && (readable || is_reset) {
                    events.push(Event::InputEnd(at));
                }
                if socket.sending_since_ns.is_some() && (socket.reads(self.now_ns) || is_reset) {
                    events.push(Event::Sent(at));
                }
            }
        }
        let own = |job: &Running| job.member == member && job.done.is_some();
        let done = self.jobs.iter().enumerate().filter(|(_, job)| own(job));
        events.extend(done.map(|(at, _)| Event::Done(at)));
        events
    }

    /// Whether the event was that a sync failed.
    fn happen(
        &mut self,
        runtime: &mut Runtime,
        core: &mut Core,
        member: usize,
        event: Event,
    ) -> Checked<bool> {
        step!(self.trace, Who::Core(member), "{event:?}");
        match event {
            Event::Accept(at) => {
                let socket = &self.sockets[&at];
                let peer = match socket.far {
                    Far::Client(_) => Peer::Client,
                    Far::Link(_) => Peer::Linker,
                    Far::Upstream(_) => unreachable!("it was opened by the core"),
                };
                match runtime.opened(peer) {
                    Ok(id) => self.socket(at).id = Some(id),
                    Err(_) => {
                        require!(core.stopped_ns.is_some(), "a connection was refused");
                        self.drop_socket(at, Ended::Fin);
                    }
                };
            }
            Event::Receive(at) => self.receive(runtime, at)?,
            Event::InputEnd(at) => {
                let socket = self.socket(at);
                socket.end_seen = true;
                let reset = socket.input_end == Some(Ended::Reset);
                let id = socket.id.expect("open");
                runtime.input_ended(id, reset);
            }
            Event::Sent(at) => self.sent(runtime, core, at)?,
            Event::Closed(at) => {
                let id = self.sockets[&at].id.expect("open");
                runtime.closed(id);
                self.closed_by_server(at, core.stopped_ns)?;
                self.drop_socket(at, Ended::Fin);
            }
            Event::Done(at) => {
                let running = self.jobs.swap_remove(at);
                let done = running.done.expect("listed");
                let shard = done.shard() as usize;
                // What it covered was written again by who has recovered the shard since.
                let is_stale = running.let_go.contains(&shard);
                let failed = matches!(done, WorkDone::Store(Done::SyncFailed { .. })) && !is_stale;
                runtime.job_done(done);
                if runtime
                    .shards()
                    .any(|it| it.identity().shard as usize == shard)
                    && !core.owned.contains(&shard)
                {
                    core.owned.push(shard); // Perhaps not for longer than this tick.
                }
                return Ok(failed);
            }
        }
        Ok(false)
    }

    fn receive(&mut self, runtime: &mut Runtime, at: u64) -> Checked {
        let socket = self.sockets.get_mut(&at).expect("listed");
        let mut length = socket.input.len().min(RECEIVE_BUFFER_BYTES);
        if socket.paused {
            length = length.min(socket.allowance);
            socket.allowance -= length;
        }
        if self.happens(40) {
            length = self.random.skewed(length as u64) as usize;
        }
        let length = self.drips(at, length);
        let socket = self.sockets.get_mut(&at).expect("listed");
        let bytes: Vec<u8> = socket.input.drain(..length).collect();
        self.trace.bytes(&bytes);
        let id = socket.id.expect("open");
        if let Far::Client(client) = &mut socket.far {
            client.delivered += length as u64;
            for asked in &mut client.asked {
                if !asked.delivered && asked.end <= client.delivered {
                    asked.delivered = true;
                    asked.delivered_ns = self.tick_ns;
                    self.model.taken_up(&asked.expect);
                }
            }
            let repeated: Option<&[u8]> = match self.sabotage {
                Some(Sabotage::RequestRepeated) => Some(b"POST"),
                Some(Sabotage::ResetRepeated) => Some(b"POST /reset"),
                _ => None,
            };
            let repeats = repeated.is_some_and(|it| bytes.starts_with(it))
                && client
                    .asked
                    .iter()
                    .any(|asked| asked.end == client.delivered)
                && self.random.percent(10);
            if repeats {
                runtime.received(id, &bytes);
            }
        }
        runtime.received(id, &bytes);
        Ok(())
    }

    fn sent(&mut self, runtime: &mut Runtime, core: &Core, at: u64) -> Checked {
        let now_ns = self.now_ns;
        let tick_ns = self.tick_ns;
        let socket = self.sockets.get_mut(&at).expect("listed");
        let id = socket.id.expect("open");
        let since_ns = socket.sending_since_ns.take().unwrap_or(0);
        if tick_ns >= since_ns + SEND_NS_MAX {
            socket.stalled_ns = tick_ns;
        }
        let far = match &mut socket.far {
            Far::Link(far) => Some(*far),
            Far::Client(_) => None,
            Far::Upstream(upstream) => {
                if upstream.inbox.is_empty() {
                    upstream.asked_ns = since_ns;
                }
                None
            }
        };
        let is_reset = socket.input_end == Some(Ended::Reset);
        if is_reset || far.is_some_and(|far| !self.sockets.contains_key(&far)) {
            self.socket(at).end_seen = true;
            runtime.sent(id, Err(()));
            return Ok(());
        }
        let output = runtime.output(id);
        require!(!output.is_empty(), "a Send of nothing");
        let mut length = output.len();
        if self.happens(30) {
            length = self.random.skewed(length as u64) as usize;
        }
        let length = self.sips(at, length);
        let mut bytes = output[..length].to_vec();
        runtime.sent(id, Ok(length));
        self.trace.bytes(&bytes);
        if let Some(far) = far {
            self.socket(far).input.extend(bytes);
            return Ok(());
        }
        let socket = self.sockets.get_mut(&at).expect("listed");
        let ended = socket.input_end.is_some();
        let client = match &mut socket.far {
            Far::Client(client) => client,
            Far::Upstream(upstream) => {
                // Who has closed the connection reads nothing more.
                if ended {
                    let which = upstream.processor;
                    self.model.payments.looks_bad(which, now_ns);
                    self.model.payments.unheard(which, now_ns);
                } else {
                    upstream.inbox.extend(bytes);
                }
                return Ok(());
            }
            Far::Link(_) => return Ok(()),
        };
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
            tick_ns,
            durable: self.durable,
            closing: core.stop_wanted,
            unsettled: core.stop_wanted || self.core_gone || self.plan.nodes > 1,
            full_events: self.disk.full_events(),
            queue_is_small: self
                .plan
                .payments
                .as_ref()
                .is_some_and(|p| p.open_max < 100),
            quiescent_ns: self.quiescent_ns,
            settled_ns: self.settled_ns,
        };
        let again = client.read(
            &mut self.model,
            &mut self.trace,
            &mut self.coverage,
            &context,
        )?;
        self.unanswered.extend(again);
        Ok(())
    }

    fn find(&self, member: usize, id: ConnectionId) -> Checked<u64> {
        let mut found = self.sockets.iter();
        match found.find(|(_, socket)| socket.member == member && socket.id == Some(id)) {
            Some((at, socket)) if !socket.closing => Ok(*at),
            Some(_) => violation!("an effect on {id:?} after its Close"),
            None => violation!("an effect on {id:?}, which is not there"),
        }
    }

    /// Carries out what the core wants.
    fn carry_out(
        &mut self,
        runtime: &mut Runtime,
        core: &mut Core,
        member: usize,
        alone: bool,
        sync_failed: bool,
        disk: &SimDisk,
    ) -> Checked {
        let mut failed = false;
        while let Some(effect) = runtime.next_effect() {
            match effect {
                Effect::Send(id) => {
                    let at = self.find(member, id)?;
                    let now_ns = self.tick_ns;
                    let socket = self.socket(at);
                    let length = runtime.output(id).len();
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
                    let at = self.find(member, id)?;
                    let allowance = self.random.index(RECEIVE_BUFFER_BYTES + 1);
                    let socket = self.socket(at);
                    require!(!socket.paused, "{id:?} is paused twice");
                    socket.paused = true;
                    socket.allowance = allowance;
                    self.coverage.pauses += 1;
                }
                Effect::Resume(id) => {
                    let at = self.find(member, id)?;
                    let socket = self.socket(at);
                    require!(socket.paused, "{id:?} was not paused");
                    socket.paused = false;
                }
                Effect::ShutdownWrite(id) => {
                    let at = self.find(member, id)?;
                    if let Some(client) = self.socket(at).client_mut() {
                        client.finished = true;
                    }
                }
                Effect::Close(id) => {
                    let at = self.find(member, id)?;
                    let tick_ns = self.tick_ns;
                    let socket = self.socket(at);
                    require!(
                        !matches!(socket.far, Far::Link(_)) || !alone || socket.input_end.is_some(),
                        "a link was closed while both cores live"
                    );
                    socket.closing = true;
                    socket.closing_ns = tick_ns;
                    step!(self.trace, Who::Core(member), "Close({at})");
                }
                Effect::Start(job) => {
                    let sequences = (0..self.plan.shards as usize)
                        .map(|shard| self.model.sequence(shard))
                        .collect();
                    // Its own shards' records of this tick are not observed yet.
                    let mut running = Running {
                        member,
                        job: Some(job),
                        done: None,
                        sequences,
                        let_go: Vec::new(),
                    };
                    for shard in runtime.shards() {
                        running.sequences[shard.identity().shard as usize] = shard.sequence();
                    }
                    self.jobs.push(running);
                }
                Effect::Connect(Target::Upstream(number)) => {
                    require!(self.plan.payments.is_some(), "there are no processors");
                    self.dial(core, Processor::ALL[number]);
                }
                Effect::Connect(Target::Member(to)) => {
                    require!(!alone, "nobody is there to connect to");
                    core.connecting.push(to);
                }
                Effect::Ask(request) => violation!("nobody asks for an engine: {request:?}"),
                Effect::TrimMemory => {}
                Effect::StopAccepting => core.accepts = false,
                Effect::Exit(exit) => {
                    step!(self.trace, Who::Core(member), "Exit");
                    match &exit {
                        Exit::Failed(reason) => {
                            let events = disk.events();
                            require!(events.failed > 0, "member {member} gave up: {reason}");
                            failed = true;
                            event!(self.trace, Who::Core(member), "gives up: {reason}");
                        }
                        Exit::Stopped => {
                            let Some(stopped_ns) = core.stopped_ns else {
                                violation!("member {member} stopped, and nobody wanted it");
                            };
                            let within = self.now_ns - stopped_ns;
                            require!(within <= 2 * SECOND_NS, "stopped after {within} ns");
                            core.stopped_clean = within < STOP_SNAPSHOT_NS_MAX;
                            event!(self.trace, Who::Core(member), "has stopped");
                        }
                    }
                    core.exited = Some(exit);
                    self.exited(member, core.stopped_ns, failed)?;
                    break; // The loop is left.
                }
            }
        }
        require!(
            !sync_failed || failed,
            "a sync failed, and member {member} goes on"
        );
        if let (Some(stopped_ns), None) = (core.stopped_ns, &core.exited) {
            let since = self.now_ns - stopped_ns;
            require!(since <= 2 * SECOND_NS, "not stopped after {since} ns");
        }
        Ok(())
    }

    /// A core is gone: what it had open is closed.
    fn exited(&mut self, member: usize, stopped_ns: Option<u64>, failed: bool) -> Checked {
        self.core_gone = true;
        for at in self.sockets_that(|socket| socket.member == member) {
            if !failed {
                self.closed_by_server(at, stopped_ns)?;
            }
            self.drop_socket(at, Ended::Fin);
        }
        self.jobs.retain(|job| job.member != member);
        Ok(())
    }
}
