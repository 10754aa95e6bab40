//! How a reply is put together: the body that is being made, and what goes around it.

use super::super::link;
use crate::api::problem::Problem;
use crate::api::{self, Endpoint};
use crate::command::{wire, Outcome};
use crate::http::{self, Accepts, ContentType, Date, Framing, Gzip, Reply, Status};
use crate::limits::{BUFFER_BYTES, GZIP_BYTES_MIN};
use crate::machine::ConnectionId;

/// For whom a reply is, and in which form.
#[derive(Clone, Copy, Debug)]
pub(in crate::node) enum ReplyTarget {
    Client {
        framing: Framing,
        gzip: bool,
        accepts: Accepts,
    },
    /// Another member, by the command's shard and counter.
    Member { shard: u32, counter: u64 },
}

impl ReplyTarget {
    pub(in crate::node) fn closes(&self) -> bool {
        matches!(self, ReplyTarget::Client { framing, .. } if framing.close)
    }
}

/// A request without a reply: whose it is, and how the reply is written and counted.
#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Caller {
    pub(in crate::node) connection: ConnectionId,
    pub(in crate::node) reply_to: ReplyTarget,
    pub(in crate::node) endpoint: Endpoint,
    /// When the request came. Monotonic.
    pub(in crate::node) began_ns: u64,
}

impl Caller {
    pub(in crate::node) fn index(&self) -> usize {
        self.connection.index as usize
    }

    pub(in crate::node) fn is_client(&self) -> bool {
        matches!(self.reply_to, ReplyTarget::Client { .. })
    }

    pub(in crate::node) fn accepts(&self) -> Accepts {
        match self.reply_to {
            ReplyTarget::Client { accepts, .. } => accepts,
            ReplyTarget::Member { .. } => Accepts::USUAL,
        }
    }
}

pub(in crate::node) struct Encoder {
    pub(in crate::node) date: Date,
    gzip: Gzip,
    /// Of the reply that is being made.
    pub(in crate::node) body: Vec<u8>,
    zipped: Vec<u8>,
}

impl Encoder {
    pub(in crate::node) fn new() -> Encoder {
        Encoder {
            date: Date::default(),
            gzip: Gzip::default(),
            body: Vec::with_capacity(BUFFER_BYTES),
            zipped: Vec::new(),
        }
    }

    /// Writes what came of a command into the body, as its caller reads it; the status of the client's reply.
    pub(in crate::node) fn outcome(&mut self, caller: &Caller, outcome: &Outcome<'_>) -> Status {
        match caller.reply_to {
            ReplyTarget::Client { .. } => api::write_outcome(&mut self.body, outcome)
                .unwrap_or_else(|problem| self.problem(caller, &problem)),
            ReplyTarget::Member { .. } => {
                wire::write_outcome(&mut self.body, outcome);
                api::status(outcome)
            }
        }
    }

    /// Writes what is wrong into the body, in the form that its caller wants; the reply's status.
    pub(in crate::node) fn problem(&mut self, caller: &Caller, problem: &Problem) -> Status {
        match caller.accepts().problem_details {
            true => problem.write_details(&mut self.body),
            false => problem.write(&mut self.body),
        }
        problem.status
    }

    /// Appends a reply with the body that was made, and empties that.
    pub(in crate::node) fn write(
        &mut self,
        out: &mut Vec<u8>,
        caller: &Caller,
        status: Status,
        allow: Option<&'static str>,
    ) {
        match caller.reply_to {
            ReplyTarget::Member { shard, counter } => {
                link::write_reply(out, shard, counter, &self.body);
            }
            ReplyTarget::Client {
                framing,
                gzip,
                accepts,
            } => {
                let large = self.body.len() > GZIP_BYTES_MIN;
                let gzipped = large && gzip;
                if gzipped {
                    self.zipped.clear();
                    self.gzip.compress(&self.body, &mut self.zipped);
                }
                let is_metrics = caller.endpoint == Endpoint::Metrics && status == Status::Ok;
                let reply = Reply {
                    status,
                    content_type: if self.body.is_empty() {
                        ContentType::None
                    } else if is_metrics {
                        match accepts.openmetrics {
                            true => ContentType::OpenMetrics,
                            false => ContentType::Metrics,
                        }
                    } else if accepts.problem_details && status.is_error() {
                        ContentType::Problem
                    } else {
                        ContentType::Json
                    },
                    body: if gzipped { &self.zipped } else { &self.body },
                    gzipped,
                    vary: large,
                    allow,
                    retry_after_s: (status == Status::ServiceUnavailable).then_some(1),
                };
                http::write(out, &reply, &self.date, framing);
            }
        }
        self.body.clear();
    }
}
