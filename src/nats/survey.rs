//! What the engine has of a cluster, for whoever looks at it from outside: asked once, of the servers that lead.

use std::time::Duration;

use async_nats::datetime::parse_rfc3339;
use async_nats::Client;
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::charter::Charter;
use super::streams::{self, Names, Replica, Reply};
use super::{link, requests, ClientError, Settings};
use crate::limits::{
    CORES_MAX, ENGINE_ANSWER_NS, ENGINE_RETRY_NS, ENGINE_SURVEY_NS_MAX, SHARDS_MAX,
};
use crate::machine::engine::{Inspection, Sequence, Subject};

const ANSWER: Duration = Duration::from_nanos(3 * ENGINE_ANSWER_NS);
const RETRY: Duration = Duration::from_nanos(5 * ENGINE_RETRY_NS);
const WITHIN: Duration = Duration::from_nanos(ENGINE_SURVEY_NS_MAX);

/// What the engine has of a cluster.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What its nodes agree on.
    pub charter: Charter,
    /// The server that was asked, and its version.
    pub server: (String, String),
    /// Whether that is one that is known to work.
    pub is_recent: bool,
    /// The stream of all logs, with the last record of each shard.
    pub log: StreamSurvey,
    /// The stream of all leases, with the last record of each member.
    pub leases: StreamSurvey,
}

/// A stream, as the server that leads it says.
#[derive(Clone, Debug, Default)]
pub struct StreamSurvey {
    /// Of the stream.
    pub name: String,
    /// The server that leads it; `None`: one server is all that there is.
    pub leader: Option<String>,
    /// The others that have it.
    pub replicas: Vec<ReplicaSurvey>,
    /// How many servers are to have it.
    pub replicas_wanted: usize,
    /// Its records.
    pub inspection: Inspection,
    /// How it is not as it has to be.
    pub differs: Option<String>,
    /// The last record of each subject, by shard or member.
    pub last: Vec<Option<LastRecord>>,
}

/// A server that follows the one that leads a stream.
#[derive(Clone, Debug)]
pub struct ReplicaSurvey {
    /// Of the server.
    pub name: String,
    /// It has everything.
    pub is_current: bool,
    /// It is not there.
    pub is_offline: bool,
    /// What it lacks: changes of the stream.
    pub lag: u64,
}

/// A subject's last record.
#[derive(Clone, Debug)]
pub struct LastRecord {
    /// Its number in the stream.
    pub sequence: Sequence,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How old it is, by the servers' clocks.
    pub age: Duration,
}

/// Looks at a cluster, for some seconds at most. An error says in a line why it cannot be seen.
pub fn survey(settings: &Settings) -> Result<Survey, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ClientError(format!("engine: {error}")))?;
    let mut why = "no answer".to_owned();
    let look = async {
        loop {
            match attempt(settings).await {
                Ok(done) => return done,
                Err(reason) => why = reason,
            }
            sleep(RETRY).await;
        }
    };
    let looked = runtime.block_on(async { timeout(WITHIN, look).await });
    looked.unwrap_or_else(|_| {
        let servers = settings.servers.join(",");
        let seconds = WITHIN.as_secs();
        Err(ClientError(format!(
            "engine: {servers} is of no use within {seconds} s: {why}"
        )))
    })
}

/// `Err`: it does not answer now, and why.
async fn attempt(settings: &Settings) -> Result<Result<Survey, ClientError>, String> {
    let (events, _) = mpsc::unbounded_channel();
    let options = match link::options(settings, events).await {
        Ok(options) => options,
        Err(error) => return Ok(Err(link::no_creds(&error))),
    };
    let client = match options.connect(settings.servers.clone()).await {
        Ok(client) => client,
        Err(error) if link::is_final(&error) => return Ok(Err(link::refused(settings, &error))),
        Err(error) => return Err(error.to_string()),
    };
    let names = Names::of(settings);
    let log = names.log_stream();
    let info = match info(&client, &log).await? {
        Some(info) => info,
        None => {
            let cluster = &settings.cluster;
            return Ok(Err(ClientError(format!(
                "engine: there is no cluster {cluster}: no stream {log}"
            ))));
        }
    };
    let charter = match info.charter() {
        Ok(charter) => charter,
        Err(error) => return Ok(Err(error)),
    };
    if charter.shards as usize > SHARDS_MAX || charter.cores as usize > CORES_MAX {
        return Ok(Err(ClientError(format!(
            "engine: stream {log} has {} shards and {} cores in its metadata: this version has no such clusters",
            charter.shards, charter.cores
        ))));
    }
    let replicas = settings.replicas();
    let shards = (0..charter.shards).map(Subject::Log);
    let last = lasts(&client, &names, shards, at_ns(&info)?).await?;
    let log = stream(&info, &names.log_config(replicas, &charter), last);
    let members = charter.nodes.len() as u32 * charter.cores;
    let leases = names.lease_stream();
    let Some(info) = self::info(&client, &leases).await? else {
        return Ok(Err(ClientError(format!("engine: no stream {leases}"))));
    };
    let last = lasts(
        &client,
        &names,
        (0..members).map(Subject::Lease),
        at_ns(&info)?,
    )
    .await?;
    let leases = stream(&info, &names.lease_config(replicas), last);
    let server = client.server_info();
    Ok(Ok(Survey {
        is_recent: streams::is_recent(&server.version),
        server: (server.server_name, server.version),
        charter,
        log,
        leases,
    }))
}

/// `None`: there is no such stream.
async fn info(client: &Client, stream: &str) -> Result<Option<Reply>, String> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let info = requests::call(client, subject, String::new(), ANSWER).await;
    let info = info.map_err(|error| format!("{stream}: {error}"))?;
    match &info.error {
        None => Ok(Some(info)),
        Some(error) if error.err_code == streams::STREAM_NOT_FOUND => Ok(None),
        Some(error) => Err(format!("{stream}: {}", error.description)),
    }
}

/// When the server has said so; nanoseconds since 1970.
fn at_ns(info: &Reply) -> Result<i128, String> {
    let at = parse_rfc3339(&info.ts);
    let at = at.map_err(|error| format!("an answer has no time: {error}"))?;
    Ok(at.unix_timestamp_nanos())
}

async fn lasts(
    client: &Client,
    names: &Names,
    subjects: impl Iterator<Item = Subject>,
    now_ns: i128,
) -> Result<Vec<Option<LastRecord>>, String> {
    let asked = subjects.map(async |subject| {
        let last = timeout(ANSWER, last(client, names, subject, now_ns)).await;
        last.unwrap_or_else(|_| Err(format!("{}: no answer", names.subject(subject))))
    });
    try_join_all(asked).await
}

async fn last(
    client: &Client,
    names: &Names,
    subject: Subject,
    now_ns: i128,
) -> Result<Option<LastRecord>, String> {
    let last = requests::last(client, names, subject).await;
    let last = last.map_err(|error| format!("{}: {error}", names.subject(subject)))?;
    Ok(last.map(|message| {
        let age_ns = now_ns - message.time.unix_timestamp_nanos();
        LastRecord {
            sequence: message.sequence,
            bytes: message.payload.to_vec(),
            // One that is newer than the answer before it, or of a server whose clock is ahead.
            age: Duration::from_nanos(age_ns.max(0) as u64),
        }
    }))
}

fn stream(info: &Reply, wanted: &Value, last: Vec<Option<LastRecord>>) -> StreamSurvey {
    let replica = |it: &Replica| ReplicaSurvey {
        name: it.name.clone(),
        is_current: it.current,
        is_offline: it.offline,
        lag: it.lag,
    };
    let is_alone = info.cluster.leader.is_empty() && info.cluster.replicas.is_empty();
    StreamSurvey {
        name: wanted["name"].as_str().unwrap_or_default().to_owned(),
        leader: (!is_alone).then(|| info.cluster.leader.clone()),
        replicas: info.cluster.replicas.iter().map(replica).collect(),
        replicas_wanted: streams::replicas(&info.config),
        inspection: info.inspection(0).unwrap_or_default(),
        differs: info.check(wanted).err().map(|error| error.0),
        last,
    }
}
