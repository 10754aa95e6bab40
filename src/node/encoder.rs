//! How a reply is put together: the body that is being made, and what goes around it.

use super::link;
use crate::api::{self, Endpoint};
use crate::command::{wire, Outcome};
use crate::http::{self, ContentType, Date, Framing, Gzip, Reply, Status};
use crate::limits::{BUFFER_BYTES, GZIP_BYTES_MIN};

/// For whom a reply is, and in which form.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReplyTarget {
    Client {
        framing: Framing,
        gzip: bool,
    },
    /// Another member, by the command's shard and counter.
    Member {
        shard: u32,
        counter: u64,
    },
}

impl ReplyTarget {
    /// Appends what came of a command, as it is read by whom it is for; the reply's status.
    pub(super) fn write(&self, body: &mut Vec<u8>, outcome: &Outcome<'_>) -> Status {
        match self {
            ReplyTarget::Client { .. } => api::write_outcome(body, outcome),
            ReplyTarget::Member { .. } => {
                wire::write_outcome(body, outcome);
                Status::Ok
            }
        }
    }

    pub(super) fn closes(&self) -> bool {
        matches!(self, ReplyTarget::Client { framing, .. } if framing.close)
    }
}

/// See the module.
pub(super) struct Encoder {
    pub(super) date: Date,
    gzip: Gzip,
    /// Of the reply that is being made.
    pub(super) body: Vec<u8>,
    zipped: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        Encoder {
            date: Date::default(),
            gzip: Gzip::default(),
            body: Vec::with_capacity(BUFFER_BYTES),
            zipped: Vec::new(),
        }
    }

    /// Appends a reply with the body that was made, and empties that.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        status: Status,
        allow: Option<&'static str>,
    ) {
        match reply_to {
            ReplyTarget::Member { shard, counter } => {
                link::write_reply(out, shard, counter, &self.body);
            }
            ReplyTarget::Client { framing, gzip } => {
                let large = self.body.len() > GZIP_BYTES_MIN;
                let gzipped = large && gzip;
                if gzipped {
                    self.zipped.clear();
                    self.gzip.compress(&self.body, &mut self.zipped);
                }
                let is_metrics = endpoint == Endpoint::Metrics && status == Status::Ok;
                let reply = Reply {
                    status,
                    content_type: if self.body.is_empty() {
                        ContentType::None
                    } else if is_metrics {
                        ContentType::Metrics
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
