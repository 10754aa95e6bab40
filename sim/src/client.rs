//! What clients do, and what they make of the replies.

use galo::limits::{COMMAND_NS_MAX, HEAD_NS_MAX};

use crate::author::Author;
use crate::cluster::Cluster;
use crate::coverage::Coverage;
use crate::model::Model;
use crate::reply::{self, Reply};
use crate::request::{Asked, Draft, Expect, Tag};
use crate::sabotage::Sabotage;
use crate::socket::{Client, Ended, Pace};
use crate::trace::{Checked, Trace, Who};
use crate::world::World;
use crate::{event, require, step, violation};

/// What the world was like when a reply arrived.
pub struct Context {
    pub now_ns: u64,
    /// When the tick began in which it is sent.
    pub tick_ns: u64,
    /// What is replied must survive a loss of power.
    pub durable: bool,
    /// The core is to stop.
    pub closing: bool,
    /// Some core is, or is gone.
    pub unsettled: bool,
    pub full_events: u64,
    /// Few payments may be open.
    pub queue_is_small: bool,
    /// Nothing goes wrong from then on.
    pub quiescent_ns: u64,
    /// Everybody can be asked from then on.
    pub settled_ns: u64,
}

impl World {
    /// Some client does something.
    pub fn act(&mut self, cluster: &Cluster) -> Checked {
        if self.act_in_crowd(cluster) {
            return Ok(());
        }
        let doors = self.doors(cluster);
        let clients = self.clients();
        let opens = clients.is_empty()
            || (clients.len() < self.plan.connections_max && self.random.percent(15));
        if opens {
            if !doors.is_empty() {
                let member = *self.random.pick(&doors);
                self.connect(member);
            }
            return Ok(());
        }
        if !self.unanswered.is_empty() && self.random.percent(15) {
            self.ask_again(cluster);
            return Ok(());
        }
        let at = *self.random.pick(&clients);
        let slow_percent = if self.plan.timeouts { 10 } else { 3 };
        let socket = self.sockets.get_mut(&at).expect("just listed");
        let Some(client) = socket.client_mut() else {
            return Ok(());
        };
        if client.finished {
            if socket.input_end.is_none() && self.random.percent(30) {
                let reset = self.random.percent(10);
                socket.input_end = Some(if reset { Ended::Reset } else { Ended::Fin });
            }
            return Ok(());
        }
        match self.random.below(100) {
            0..=3 => {
                client.finished = true;
                socket.input_end = Some(Ended::Fin);
            }
            4 if self.random.percent(50) => {
                client.finished = true;
                socket.input_end = Some(Ended::Reset);
            }
            5..=10 if !client.reads => client.reads = true,
            5.. if self.random.percent(slow_percent) => client.reads = false,
            11..=14 if self.plan.keyed > 0 => self.ask_twice(at),
            _ => {
                let depth = self.random.skewed(self.plan.pipeline_max);
                for _ in 0..depth {
                    self.ask(at, |author| author.any());
                }
            }
        }
        Ok(())
    }

    /// A client sends a request, if it may still send one.
    pub fn ask(&mut self, at: u64, draft: impl FnOnce(&mut Author<'_>) -> Draft) {
        let clients: Vec<u32> = self.plan.clients.iter().map(|client| client.id).collect();
        let Some(client) = self.sockets[&at].client() else {
            return;
        };
        let pace = client.pace;
        if client.finished || client.asked.len() >= self.asked_max(pace) {
            return;
        }
        let limit = match self.random.percent(90) {
            true => self.plan.amount_max,
            false => 100,
        };
        let now_us = self.now().realtime_us;
        let Draft {
            mut bytes,
            expect,
            head_only,
            close,
            continues,
            gzip,
        } = draft(&mut Author {
            random: &mut self.random,
            model: &mut self.model,
            clients: &clients,
            resets: self.plan.resets,
            limit,
            keep_alive: self.plan.pipeline_max > 100 || matches!(pace, Pace::Mute | Pace::Sips),
            keyed: self.plan.keyed,
            payments: self.plan.payments.as_ref().map_or(0, |plan| plan.share),
            cents_max: self.plan.payments.as_ref().map_or(1, |plan| plan.cents_max),
            now_us,
            now_ns: self.now_ns,
            forgets_keys: self.sabotage == Some(Sabotage::KeyForgotten),
        });
        let about = self.model.about(&expect);
        let since = self.model.since(about);
        let socket = self.sockets.get_mut(&at).expect("seen above");
        let member = socket.member;
        let client = socket.client_mut().expect("seen above");
        let name = client.name;
        let asked = Asked {
            expect,
            end: client.written + bytes.len() as u64,
            head_only,
            close,
            continues,
            gzip,
            since,
            written_ns: self.now_ns,
            full_events: self.disk.full_events(),
            delivered: false,
            delivered_ns: 0,
            tainted: false,
        };
        client.written = asked.end;
        let mut cut = false;
        if matches!(asked.expect, Expect::Malformed(_)) {
            client.finished = true;
        } else if self.quiescent_ns == u64::MAX
            && self.plan.pipeline_max <= 100
            && !self.plan.scripted
            && self.random.percent(2)
        {
            // The rest never comes.
            bytes.truncate(self.random.index(bytes.len()));
            client.finished = true;
            cut = true;
        }
        let door = self.trace.name(Who::Core(member));
        let line = String::from_utf8_lossy(&bytes);
        let line: Vec<&str> = line.split_whitespace().take(2).collect();
        let about = self.model.words_of_request(&asked.expect);
        let part = if cut { ", of which a part is sent" } else { "" };
        let line = line.join(" ");
        event!(
            self.trace,
            Who::Client(name),
            "asks {door}: {line}{about}{part}"
        );
        step!(self.trace, Who::Client(name), "expects {:?}", asked.expect);
        client.asked.push_back(asked);
        socket.input.extend(bytes);
    }
}

impl Client {
    /// Makes what it can of what was received. Which keyed requests are left without an answer.
    pub fn read(
        &mut self,
        model: &mut Model,
        trace: &mut Trace,
        coverage: &mut Coverage,
        context: &Context,
    ) -> Checked<Vec<Tag>> {
        let mut unanswered = Vec::new();
        while !self.inbox.is_empty() {
            let Some(asked) = self.asked.front() else {
                let text = String::from_utf8_lossy(&self.inbox);
                violation!("client {} asked nothing and got {text:?}", self.name);
            };
            let Some((reply, length)) = reply::read(&self.inbox, asked.head_only)? else {
                return Ok(unanswered);
            };
            self.inbox.drain(..length);
            event!(trace, Who::Client(self.name), "gets {}", reply.line());
            coverage.replied(reply.status);
            if reply.status == 100 {
                require!(asked.continues, "100 for {asked:?}");
                continue;
            }
            let asked = self.asked.pop_front().expect("just seen");
            let tag = match asked.expect {
                Expect::Transaction(tag) if model.is_keyed(tag) => Some(tag),
                _ => None,
            };
            if matches!(reply.status, 408 | 503) {
                unanswered.extend(tag);
            }
            self.judge(&asked, &reply, model, context)
                .map_err(|violation| {
                    let text = format!("{}; asked {asked:?}, got {}", violation.0, reply.text());
                    crate::trace::Violation(text)
                })?;
            if reply.close {
                self.last_reply_seen = true;
                self.finished = true;
                // What was sent behind it is not taken up.
                for asked in self.asked.drain(..) {
                    if let Expect::Transaction(tag) = asked.expect {
                        model.refused(tag)?;
                        if model.is_keyed(tag) {
                            unanswered.push(tag);
                        }
                    }
                    if asked.delivered {
                        model.payment_refused(&asked.expect)?;
                    }
                }
                require!(self.inbox.is_empty(), "something follows the last reply");
            }
            self.newest_reply = Some(reply);
        }
        Ok(unanswered)
    }

    fn judge(
        &mut self,
        asked: &Asked,
        reply: &Reply,
        model: &mut Model,
        context: &Context,
    ) -> Checked {
        let malformed = matches!(asked.expect, Expect::Malformed(_));
        let timed_out = reply.status == 408;
        require!(
            asked.delivered || malformed || timed_out,
            "answered before it was there"
        );
        require!(!asked.close || reply.close, "the connection stays open");
        require!(
            asked.close || !reply.close || timed_out || context.closing,
            "the connection is closed"
        );
        require!(asked.gzip || !reply.gzipped, "gzipped");
        require!((reply.status == 405) == reply.allow, "Allow");
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        if timed_out {
            let waited_ns = context.now_ns - asked.written_ns;
            require!(waited_ns >= HEAD_NS_MAX, "timed out after {waited_ns} ns");
            if let Expect::Transaction(tag) = asked.expect {
                model.refused(tag)?;
            }
            if asked.delivered {
                model.payment_refused(&asked.expect)?;
            }
            return Ok(());
        }
        if reply.status == 503 {
            if body.contains("storage full") {
                let was_full = context.full_events > asked.full_events;
                let is_quiescent = asked.written_ns >= context.quiescent_ns;
                require!(was_full && !is_quiescent, "there was room");
                match asked.expect {
                    Expect::Transaction(tag) => model.refused(tag)?,
                    // It might have been refused for what the full disk took back.
                    Expect::Reset | Expect::Purge | Expect::Status(404) => {}
                    Expect::Show(..) => {}
                    Expect::Pay(..) | Expect::PayNow(_) => model.payment_refused(&asked.expect)?,
                    _ => violation!("not a write"),
                }
            } else if body.contains("unanswered") || body.contains("unavailable") || asked.head_only
            {
                let late = context.now_ns >= asked.written_ns + COMMAND_NS_MAX;
                let settled = asked.written_ns >= context.settled_ns;
                require!(
                    (context.unsettled || late) && !settled,
                    "the owner is there"
                );
                if let (Expect::Transaction(tag), true) =
                    (&asked.expect, body.contains("nothing was changed"))
                {
                    model.refused(*tag)?;
                }
                if body.contains("nothing was changed") || body.contains("nothing was accepted") {
                    model.payment_refused(&asked.expect)?;
                }
            } else if body.contains("forgotten") {
                let pays = matches!(asked.expect, Expect::PayNow(_));
                let purges = model.payments.purges;
                require!(
                    pays && (purges || asked.tainted),
                    "nobody asked to forget anything"
                );
            } else if body.contains("queue full") {
                let pays = matches!(asked.expect, Expect::Pay(..) | Expect::PayNow(_));
                require!(pays && context.queue_is_small, "there was room");
                model.payment_refused(&asked.expect)?;
            } else {
                let reset = matches!(asked.expect, Expect::Reset | Expect::Purge);
                require!(reset && body.contains("busy"), "no reason for this");
            }
            return Ok(());
        }
        if asked.tainted {
            require!(
                matches!(reply.status, 200 | 202 | 404 | 422),
                "a wrong status"
            );
            return Ok(());
        }
        let mut seen = None;
        match asked.expect {
            Expect::Transaction(tag) => {
                let position = match reply.status {
                    200 => model.acknowledged(tag, reply, context.durable)?,
                    422 => model.limited(tag, reply, &asked.since, context.durable)?,
                    _ => violation!("a wrong status"),
                };
                seen = Some((model.client_of(tag), position));
            }
            Expect::Statement(client) => {
                require!(reply.status == 200, "a wrong status");
                if asked.head_only {
                    require!(reply.content_length > 0, "no length");
                } else {
                    let between_ns = (asked.written_ns, context.now_ns);
                    let position =
                        model.stated(client, reply, &asked.since, between_ns, context.durable)?;
                    seen = Some((client, position));
                }
            }
            Expect::Reset => {
                require!(reply.status == 200, "a wrong status");
                model.was_reset(&asked.since, context.durable)?;
            }
            Expect::Pay(tag, cents) => {
                let place = model.payments.answered(tag, cents, reply)?;
                model.rests_on(place, context.durable);
            }
            Expect::PayNow(tag) => {
                let waited_ns = context.tick_ns.saturating_sub(asked.delivered_ns);
                let place = model
                    .payments
                    .answered_now(tag, reply, waited_ns, context.closing)?;
                model.rests_on(place, context.durable);
            }
            Expect::Show(tag, since) => model.payments.shown(tag, since, reply)?,
            Expect::Summary(ref question) => {
                require!(reply.status == 200, "a wrong status");
                let since_ns = (asked.written_ns, asked.delivered_ns);
                let payments = &mut model.payments;
                payments.summed_up(question, reply, since_ns, context.now_ns)?;
            }
            Expect::Purge => {
                require!(reply.status == 200, "a wrong status");
                model.was_purged(&asked.since, context.durable)?;
            }
            Expect::Contains(text) => {
                require!(reply.status == 200, "a wrong status");
                require!(asked.head_only || body.contains(text), "a wrong body");
            }
            Expect::Status(status) => require!(reply.status == status, "a wrong status"),
            Expect::Malformed(status) => {
                require!(reply.status == status && reply.close, "a wrong status");
            }
        }
        // On one connection nothing older is seen later.
        if let Some((client, position)) = seen {
            for later in &mut self.asked {
                let about = match later.expect {
                    Expect::Transaction(tag) => model.client_of(tag),
                    Expect::Statement(client) => client,
                    _ => continue,
                };
                if about == client {
                    later.since.raise(position);
                }
            }
        }
        Ok(())
    }
}
