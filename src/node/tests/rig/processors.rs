//! The processors of a [`Rig`]: they do what the test says, request by request.

use super::{Client, Gateway, Rig, Socket};
use crate::api::processors::{read_payment, Stored};
use crate::limits::SECOND_NS;
use crate::machine::{Peer, Target};
use crate::node::settings::PaymentSettings;
use crate::payments::{PaymentId, Processor};

/// As in the contest.
pub const GATEWAY: Gateway = Gateway {
    deadline_ns: 60 * SECOND_NS,
    open_max: 1_000_000,
};

pub(super) fn settings(gateway: Gateway) -> PaymentSettings {
    PaymentSettings {
        hosts: ["default:8080", "fallback:8080"].map(str::to_owned),
        prefixes: [String::new(), "/pay".to_owned()],
        deadline_ns: gateway.deadline_ns,
        open_max: gateway.open_max,
    }
}

/// A request that a processor has got, and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub at: Processor,
    pub kind: Kind,
    peer: Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pay(Stored),
    LookUp(PaymentId),
    Health,
}

impl Call {
    /// Whether both were asked on one connection.
    pub fn is_behind(&self, other: &Call) -> bool {
        self.peer == other.peer
    }

    /// Which core asks.
    pub fn core(&self) -> usize {
        self.peer.core
    }

    #[track_caller]
    pub fn payment(&self) -> Stored {
        match self.kind {
            Kind::Pay(stored) => stored,
            _ => panic!("{self:?}"),
        }
    }
}

/// A whole reply.
pub fn response(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// What `GET /payments/{id}` answers: without a `Z`, as the real one.
pub fn stored(payment: &Stored) -> String {
    let mut body = Vec::new();
    crate::api::processors::write_payment(&mut body, payment);
    String::from_utf8(body).unwrap().replace("Z\"", "\"")
}

impl Rig {
    pub(super) fn dial_processor(&mut self, index: usize, processor: Processor) {
        if self.silent[processor as usize] {
            return self.unheard.push((index, processor));
        }
        let core = &mut self.cores[index];
        if self.unreachable[processor as usize] {
            return core
                .connect_failed
                .push(Target::Upstream(processor as usize));
        }
        core.sockets.push(Socket {
            processor: Some(processor),
            ..Socket::unopened(Peer::Upstream(processor as usize))
        });
    }

    /// Whoever connects to a silent processor is told that it took too long.
    pub fn give_up_connecting(&mut self) {
        for (core, processor) in std::mem::take(&mut self.unheard) {
            let target = Target::Upstream(processor as usize);
            self.cores[core].connect_failed.push(target);
        }
        self.run();
    }

    /// What the processors were asked about payments since the last call, in the order of the
    /// connections.
    #[track_caller]
    pub fn calls(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        for core in 0..self.cores.len() {
            for socket in 0..self.cores[core].sockets.len() {
                let peer = Client { core, socket };
                let its = self.socket(peer);
                let Some(at) = its.processor.filter(|_| !its.outbound.is_empty()) else {
                    continue;
                };
                let bytes = std::mem::take(&mut its.outbound);
                let call = call(at, peer, std::str::from_utf8(&bytes).unwrap());
                match call.kind {
                    Kind::Health => self.health_calls.push(call),
                    _ => calls.push(call),
                }
            }
        }
        calls
    }

    /// The only thing that was asked since.
    #[track_caller]
    pub fn call(&mut self) -> Call {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls[0]
    }

    /// A processor says something; the nodes go on.
    pub fn say(&mut self, call: &Call, bytes: impl AsRef<[u8]>) {
        self.send(call.peer, bytes);
        self.run();
    }

    /// A processor answers; the nodes go on.
    pub fn answer(&mut self, call: &Call, status: u16) {
        self.send_answer(call, status);
        self.run();
    }

    /// The same, for the next tick.
    pub fn send_answer(&mut self, call: &Call, status: u16) {
        self.send(call.peer, response(status, "{\"message\":\"x\"}"));
    }

    /// A processor says something, and perhaps hangs up behind it; for the next tick.
    pub fn reply(&mut self, call: &Call, bytes: impl AsRef<[u8]>, ends: bool) {
        self.send(call.peer, bytes);
        if ends {
            self.finish(call.peer);
        }
    }

    /// A processor hangs up; the nodes go on.
    pub fn hang_up_on(&mut self, call: &Call) {
        self.finish(call.peer);
        self.run();
    }

    pub fn is_hung_up(&mut self, call: &Call) -> bool {
        self.is_closed(call.peer)
    }

    /// Connections to processors that are open, or were asked for.
    pub fn processor_connections(&self) -> usize {
        let sockets = self.cores.iter().flat_map(|core| &core.sockets);
        sockets
            .filter(|it| it.processor.is_some() && !it.closed)
            .count()
    }
}

#[track_caller]
fn call(at: Processor, peer: Client, request: &str) -> Call {
    let (head, body) = request.split_once("\r\n\r\n").expect("a whole head");
    let (line, fields) = head.split_once("\r\n").unwrap();
    let runtime = format!("Host: {}:8080", at.name());
    assert!(fields.lines().any(|field| field == runtime), "{request}");
    let path = match at {
        Processor::Default => line.to_owned(),
        Processor::Fallback => line.replacen(" /pay/", " /", 1),
    };
    let path = path.strip_suffix(" HTTP/1.1").unwrap();
    let kind = match path.split_once(" /payments").expect(request) {
        ("POST", "") => {
            let length = format!("Content-Length: {}", body.len());
            assert!(fields.lines().any(|field| field == length), "{request}");
            Kind::Pay(read_payment(body.as_bytes()).expect(request))
        }
        ("GET", "/service-health") => Kind::Health,
        ("GET", id) => Kind::LookUp(PaymentId::parse(&id.as_bytes()[1..]).expect(request)),
        _ => panic!("{request}"),
    };
    Call { at, kind, peer }
}
