//! What is asked for a core, and what goes on for it all the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::Context;
use async_nats::{Client, HeaderMap, RequestError, RequestErrorKind};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, Instant};

use super::port::Core;
use super::store;
use super::streams::{self, Names, Reply};
use crate::limits::{ENGINE_ANSWER_NS, ENGINE_RETRY_NS};
use crate::machine::engine::{
    Answer, EngineEvent, Inspection, Request, Sequence, ShardFile, Subject,
};

const ANSWER: Duration = Duration::from_nanos(ENGINE_ANSWER_NS);
const RETRY: Duration = Duration::from_nanos(ENGINE_RETRY_NS);
/// A subject's append is under way at the server: not for longer than a sync takes.
const IN_FLIGHT: Duration = Duration::from_millis(1);
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// Who asks for whom.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) core: Core,
    /// What is known to be in the store of files: [`Inspection::kept`], or less.
    pub(super) kept: Arc<AtomicU64>,
    /// Told when a request had no answer in time.
    pub(super) silent: mpsc::UnboundedSender<()>,
}

/// A call of the JSON API. `Err`: no answer, and why.
pub(super) async fn call(
    client: &Client,
    subject: String,
    body: String,
    timeout: Duration,
) -> Result<Reply, RequestError> {
    let request = async_nats::Request::new()
        .payload(body.into())
        .timeout(Some(timeout));
    let message = client.send_request(subject, request).await?;
    let is_none = "an answer that is none";
    Reply::read(&message.payload)
        .ok_or_else(|| RequestError::with_source(RequestErrorKind::Other, is_none))
}

/// The last message of a subject, if there is one.
pub(super) async fn last(
    client: &Client,
    names: &Names,
    subject: Subject,
) -> Result<Option<StreamMessage>, async_nats::Error> {
    let context = async_nats::jetstream::new(client.clone());
    let stream = context.get_stream_no_info(names.stream_of(subject)).await?;
    let subject = names.subject(subject);
    match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Asks, and says what the answer is.
pub(super) async fn carry_out(asker: Asker, request: Request) {
    let id = request.id();
    let answer = match request {
        Request::Append {
            subject,
            expected,
            record,
            ..
        } => asker.append(subject, expected, record).await,
        Request::Last { subject, .. } => asker.last(subject).await,
        Request::Inspect { .. } => {
            let inspection = asker.inspect().await;
            inspection.map_or(Answer::Unknown, Answer::Inspected)
        }
        Request::Keep { kept, .. } => asker.keep(&kept).await,
        Request::Fetch { shard, file, .. } => {
            match store::fetch(&asker.context(), &asker.names, shard, &file).await {
                Ok(found) => Answer::Fetched(found),
                Err(error) => {
                    log::warn!("engine: the file of shard {shard} does not come: {error}");
                    Answer::Unknown
                }
            }
        }
        Request::StepDown => return asker.step_down().await,
        Request::Publish { member, message } => {
            let subject = asker.names.messages(member);
            // What is lost is found out by its receiver.
            let _ = asker.client.publish(subject, message.into()).await;
            return;
        }
        Request::Follow { .. } => unreachable!("it goes on until the next one"),
    };
    if let Some(id) = id {
        asker.core.say(EngineEvent::Answered(id, answer));
    }
}

impl Asker {
    async fn append(&self, subject: Subject, expected: Sequence, record: Vec<u8>) -> Answer {
        let subject = self.names.subject(subject);
        let began = Instant::now();
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECTED, expected.to_string().as_str());
            let request = async_nats::Request::new()
                .headers(headers)
                .payload(record.clone().into())
                .timeout(Some(ANSWER.saturating_sub(began.elapsed())));
            let message = match self.client.send_request(subject.clone(), request).await {
                Ok(message) => message,
                Err(error) => return self.unknown(error.kind()),
            };
            let reply = Reply::read(&message.payload).unwrap_or_default();
            match (&reply.error, reply.seq) {
                (None, Some(sequence)) if sequence > 0 => return Answer::Acknowledged(sequence),
                (Some(error), _) if error.err_code == streams::WRONG_LAST_SEQUENCE => {
                    let last = streams::last_sequence(&error.description);
                    return last.map_or(Answer::Unknown, Answer::Refused);
                }
                // It has acknowledged the one before, and is not done with it.
                (Some(error), _) if error.err_code == streams::IN_FLIGHT => sleep(IN_FLIGHT).await,
                _ => return Answer::Unknown,
            }
        }
    }

    async fn last(&self, subject: Subject) -> Answer {
        let last = last(&self.client, &self.names, subject);
        match tokio::time::timeout(ANSWER, last).await {
            Ok(Ok(last)) => {
                Answer::Last(last.map(|message| (message.sequence, message.payload.to_vec())))
            }
            Ok(Err(_)) => Answer::Unknown,
            Err(_) => self.unknown(RequestErrorKind::TimedOut),
        }
    }

    fn context(&self) -> Context {
        async_nats::jetstream::new(self.client.clone())
    }

    async fn inspect(&self) -> Option<Inspection> {
        let info = self.info().await?;
        let mut kept = self.kept.load(Ordering::Relaxed);
        if info.first() > kept.max(1) {
            let shards = info.charter().ok()?.shards;
            let found = store::kept(&self.context(), &self.names, shards).await;
            // Without the store nothing is known to be kept.
            kept = found.unwrap_or(kept).max(kept);
            self.kept.store(kept, Ordering::Relaxed);
        }
        info.inspection(kept)
    }

    async fn keep(&self, kept: &ShardFile) -> Answer {
        let done = match self.info().await {
            Some(info) => store::keep(&self.context(), &self.names, &info, kept).await,
            None => Err("the engine does not answer".into()),
        };
        if let Err(error) = std::fs::remove_file(&kept.path) {
            log::debug!("{}: not removed: {error}", kept.path.display());
        }
        match done {
            Ok(()) => Answer::Kept,
            Err(error) => {
                log::warn!(
                    "engine: the file of shard {} is not stored: {error}",
                    kept.shard
                );
                Answer::Unknown
            }
        }
    }

    async fn info(&self) -> Option<Reply> {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.names.log_stream());
        match call(&self.client, subject, String::new(), ANSWER).await {
            Ok(info) => Some(info).filter(|it| it.error.is_none()),
            Err(error) => {
                self.unknown(error.kind());
                None
            }
        }
    }

    async fn step_down(&self) {
        let Some(info) = self.info().await else {
            return;
        };
        let Some(other) = info.other_leader() else {
            return log::warn!("engine: no other server could lead the log's stream");
        };
        log::warn!("engine: {other} is asked to lead the log's stream");
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{}", self.names.log_stream());
        let body = serde_json::json!({"placement": {"preferred": other}});
        let _ = call(&self.client, subject, body.to_string(), ANSWER).await;
    }

    fn unknown(&self, kind: RequestErrorKind) -> Answer {
        if kind == RequestErrorKind::TimedOut {
            let _ = self.silent.send(());
        }
        Answer::Unknown
    }

    /// Reads a stream in order, until something goes wrong, or what comes is not taken.
    async fn read(
        &self,
        (stream, filter_subject): (String, String),
        deliver_policy: DeliverPolicy,
        mut take: impl AsyncFnMut(u32, Sequence, Vec<u8>) -> bool,
    ) -> Result<(), async_nats::Error> {
        let context = self.context();
        let stream = context.get_stream_no_info(stream).await?;
        let config = OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy,
            filter_subject,
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let mut messages = consumer.messages().await?;
        while let Some(message) = messages.next().await {
            let message = message?;
            let sequence = message.info()?.stream_sequence;
            let number = message.subject.rsplit('.').next();
            let number = number.and_then(|it| it.parse().ok());
            // A subject that is none of ours is nobody's.
            let number = number.unwrap_or(u32::MAX);
            if !take(number, sequence, message.payload.to_vec()).await {
                break;
            }
        }
        Ok(())
    }
}

/// Delivers the log behind a record, until it is ended. `last`: the one that was delivered last.
pub(super) async fn follow(asker: Asker, last: Arc<AtomicU64>, follow: u64) {
    loop {
        let policy = DeliverPolicy::ByStartSequence {
            start_sequence: last.load(Ordering::Relaxed) + 1,
        };
        let deliver = async |shard, sequence, record: Vec<u8>| {
            // A consumer that the client makes anew before it has delivered anything begins with the first.
            if sequence <= last.load(Ordering::Relaxed) {
                return false;
            }
            last.store(sequence, Ordering::Relaxed);
            let bytes = record.len();
            let event = EngineEvent::LogDelivered {
                shard,
                sequence,
                record,
            };
            asker.core.deliver(event, follow, bytes).await;
            true
        };
        let from = (asker.names.log_stream(), asker.names.logs());
        ended("log", asker.read(from, policy, deliver).await).await;
    }
}

/// Delivers the leases, until it is ended.
pub(super) async fn leases(asker: Asker) {
    loop {
        let say = async |member, sequence, record| {
            asker.core.say(EngineEvent::LeaseDelivered {
                member,
                sequence,
                record,
            });
            true
        };
        let from = (asker.names.lease_stream(), asker.names.leases());
        let policy = DeliverPolicy::LastPerSubject;
        ended("leases", asker.read(from, policy, say).await).await;
    }
}

/// A stream is read no more; soon again.
async fn ended(what: &str, why: Result<(), async_nats::Error>) {
    match why {
        Ok(()) => log::debug!("engine: the {what} are read no more: begun again"),
        Err(error) => log::debug!("engine: the {what} are read no more: {error}; begun again"),
    }
    sleep(RETRY).await;
}

/// Delivers what other members tell, until it is ended.
pub(super) async fn messages(asker: Asker) {
    loop {
        let subject = asker.names.messages(asker.core.shared.member);
        if let Ok(mut messages) = asker.client.subscribe(subject).await {
            while let Some(message) = messages.next().await {
                let message = EngineEvent::Message(message.payload.to_vec());
                asker.core.say(message);
            }
        }
        sleep(RETRY).await;
    }
}
