//! What processors say of their health: whoever serves shard 0 asks, not more often than they allow, and
//! only while there are payments; and tells the others.

use super::super::event::NodeEvent;
use super::super::link::Frame;
use super::super::shards::Shards;
use super::super::transport::Transport;
use super::Gateway;
use super::{Answer, UpstreamWork};
use crate::api::processors::{read_health, HealthReport};
use crate::limits::{HEALTH_NS_MIN, HEALTH_REPLY_NS_MAX};
use crate::payments::answers::Asked;
use crate::payments::Processor;

/// The shard whose owner asks.
const SHARD: usize = 0;

/// When one processor is asked, and what it said last.
#[derive(Default)]
pub(in crate::node) struct ProcessorHealth {
    /// It is not asked before this. Monotonic.
    due_ns: u64,
    /// To be asked once there is a connection.
    pub(in crate::node) wanted: bool,
    under_way: bool,
    /// What it said last.
    failing: bool,
}

impl ProcessorHealth {
    /// Somebody has asked just now, or may have: not again before the time that a processor asks for.
    fn put_off(&mut self, now_ns: u64) {
        self.due_ns = self.due_ns.max(now_ns + HEALTH_NS_MIN);
    }
}

impl Gateway {
    /// The first tick, or we serve the shard from now on: who served it before, another incarnation of ours
    /// perhaps, may have asked just then.
    pub(in crate::node) fn health_put_off(&mut self, io: &Transport) {
        for upstream in &mut self.upstreams {
            upstream.health.put_off(io.now.monotonic_ns);
        }
    }

    /// The same, if it is the shard whose owner asks.
    pub(in crate::node) fn health_owned(&mut self, io: &Transport, shard: usize) {
        if shard == SHARD {
            self.health_put_off(io);
        }
    }

    /// Asks if it is time to.
    pub(in crate::node) fn ask_health(
        &mut self,
        io: &mut Transport,
        shards: &Shards,
        processor: Processor,
    ) {
        let now_ns = io.now.monotonic_ns;
        if self.health_due_ns(shards, processor) <= now_ns {
            let health = &mut self.upstream(processor).health;
            health.wanted = true;
            // Also if it cannot be reached.
            health.put_off(now_ns);
        }
        let upstream = self.upstream(processor);
        if !upstream.health.wanted {
            return;
        }
        let Some(connection) = upstream.take_idle() else {
            upstream.pool.wanted_beside += 1;
            return;
        };
        upstream.health.wanted = false;
        upstream.health.under_way = true;
        upstream.health.put_off(now_ns);
        self.busy[processor as usize] = false;
        self.ask_processor(
            io,
            connection,
            processor,
            UpstreamWork::Health,
            HEALTH_REPLY_NS_MAX,
        );
    }

    /// When it will be time to ask; `u64::MAX`: nobody needs to know, or it is not for us to ask.
    /// Monotonic.
    pub(in crate::node) fn health_due_ns(&self, shards: &Shards, processor: Processor) -> u64 {
        let number = processor as usize;
        let health = &self.upstreams[number].health;
        let asked = health.wanted || health.under_way;
        if asked || !self.busy[number] || !shards.serves(SHARD) {
            return u64::MAX;
        }
        health.due_ns
    }

    /// A processor has answered, or has not.
    pub(in crate::node) fn health_over(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
        answer: Answer<'_>,
    ) {
        self.upstream(processor).health.under_way = false;
        // None: asked too often, most likely: by somebody else.
        let mut told = None;
        self.hear(io, processor, Asked::Health, None, answer, |body| {
            told = read_health(body);
            told.is_some()
        });
        if let Some(told) = told {
            self.health_known(io, shards, processor, told);
            io.events.push_back(NodeEvent::Announce(Frame::Health {
                processor,
                failing: told.failing,
                response_min_ms: told.response_min_ms,
            }));
        }
    }

    /// What another member was told by a processor about its health.
    pub(in crate::node) fn health_told(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
        (failing, response_min_ms): (bool, u32),
    ) {
        let now_ns = io.now.monotonic_ns;
        self.upstream(processor).health.put_off(now_ns);
        let told = HealthReport {
            failing,
            response_min_ms,
        };
        self.health_known(io, shards, processor, told);
    }

    fn health_known(
        &mut self,
        io: &Transport,
        shards: &mut Shards,
        processor: Processor,
        told: HealthReport,
    ) {
        let HealthReport {
            failing,
            response_min_ms,
        } = told;
        let now = io.now;
        let upstream = self.upstream(processor);
        upstream
            .circuit
            .health(failing, response_min_ms, now.monotonic_ns);
        let failed = std::mem::replace(&mut upstream.health.failing, failing);
        if failed && !failing {
            self.end_rests(io, shards, processor);
        }
        let stats = &io.stats().payments.processors[processor as usize];
        stats.failing.set(u64::from(failing));
        stats.response_min_ms.set(u64::from(response_min_ms));
        stats.health_ns.set(now.monotonic_ns.max(1));
    }
}
