//! How the streams are to be, and what the engine says of them (JetStream's JSON API).

use serde::Deserialize;
use serde_json::{json, Value};

use super::charter::Charter;
use super::{ClientError, Settings};
use crate::machine::engine::{Inspection, Sequence, Subject};

/// Error codes of the JSON API.
pub(super) const STREAM_NOT_FOUND: u64 = 10059;
pub(super) const NAME_IN_USE: u64 = 10058;
pub(super) const WRONG_LAST_SEQUENCE: u64 = 10071;
pub(super) const IN_FLIGHT: u64 = 10164;
pub(super) const NOT_ENABLED: [u64; 2] = [10039, 10076];

/// The names of a cluster's streams and subjects.
#[derive(Clone, Debug)]
pub(super) struct Names {
    cluster: String,
}

impl Names {
    pub(super) fn of(settings: &Settings) -> Names {
        Names {
            cluster: settings.cluster.clone(),
        }
    }

    pub(super) fn log_stream(&self) -> String {
        format!("GALO_{}", self.cluster)
    }

    /// Of the store of files.
    pub(super) fn bucket(&self) -> String {
        self.log_stream()
    }

    pub(super) fn lease_stream(&self) -> String {
        format!("GALO_{}_LEASE", self.cluster)
    }

    pub(super) fn stream_of(&self, subject: Subject) -> String {
        match subject {
            Subject::Log(_) => self.log_stream(),
            Subject::Lease(_) => self.lease_stream(),
        }
    }

    pub(super) fn subject(&self, subject: Subject) -> String {
        match subject {
            Subject::Log(shard) => format!("galo.{}.log.{shard}", self.cluster),
            Subject::Lease(member) => format!("galo.{}.lease.{member}", self.cluster),
        }
    }

    /// The subjects of all logs, and of all leases.
    pub(super) fn logs(&self) -> String {
        format!("galo.{}.log.*", self.cluster)
    }

    pub(super) fn leases(&self) -> String {
        format!("galo.{}.lease.*", self.cluster)
    }

    pub(super) fn messages(&self, member: u32) -> String {
        format!("galo.{}.to.{member}", self.cluster)
    }

    /// How the log's stream is made.
    pub(super) fn log_config(&self, replicas: usize, charter: &Charter) -> Value {
        let mut config = self.config(&self.log_stream(), self.logs(), replicas);
        config["metadata"] = json!(charter.to_metadata());
        config
    }

    /// How the leases' stream is made.
    pub(super) fn lease_config(&self, replicas: usize) -> Value {
        let mut config = self.config(&self.lease_stream(), self.leases(), replicas);
        config["max_msgs_per_subject"] = json!(1);
        config
    }

    fn config(&self, name: &str, subjects: String, replicas: usize) -> Value {
        json!({
            "name": name,
            "subjects": [subjects],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "deny_delete": true,
            "num_replicas": replicas,
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1,
            "duplicate_window": 0,
        })
    }
}

/// An answer of the JSON API.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Reply {
    pub(super) error: Option<ApiError>,
    /// Of a publication.
    pub(super) seq: Option<u64>,
    /// Of a stream's info.
    pub(super) config: Value,
    state: Option<State>,
    pub(super) cluster: Cluster,
    /// When the server said so.
    pub(super) ts: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ApiError {
    pub(super) err_code: u64,
    pub(super) description: String,
}

#[derive(Deserialize)]
struct State {
    first_seq: u64,
    last_seq: u64,
    /// Not there if there are none.
    #[serde(default)]
    num_deleted: u64,
    #[serde(default)]
    bytes: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) leader: String,
    pub(super) replicas: Vec<Replica>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) current: bool,
    pub(super) offline: bool,
    pub(super) lag: u64,
}

impl Reply {
    /// `None`: it is no answer of the API.
    pub(super) fn read(bytes: &[u8]) -> Option<Reply> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn error_code(&self) -> Option<u64> {
        self.error.as_ref().map(|error| error.err_code)
    }

    /// `kept`: see there. `None`: it says nothing of a stream.
    pub(super) fn inspection(&self, kept: Sequence) -> Option<Inspection> {
        let state = self.state.as_ref()?;
        Some(Inspection {
            first: state.first_seq,
            last: state.last_seq,
            missing: state.num_deleted,
            kept,
            bytes: state.bytes,
        })
    }

    /// The number of a stream's first record.
    pub(super) fn first(&self) -> Sequence {
        self.state.as_ref().map_or(0, |it| it.first_seq)
    }

    /// A server that could lead the stream instead of the one that does.
    pub(super) fn other_leader(&self) -> Option<&str> {
        let replicas = self.cluster.replicas.iter();
        let mut current = replicas.filter(|it| it.current && !it.offline);
        let other = current.find(|it| it.name != self.cluster.leader);
        other.map(|it| it.name.as_str())
    }

    /// The charter in the log's stream.
    pub(super) fn charter(&self) -> Result<Charter, ClientError> {
        let metadata = &self.config["metadata"];
        let value = |name: &str| Some(metadata[name].as_str()?.to_owned());
        Charter::from_metadata(value).map_err(|name| {
            let stream = self.config["name"].as_str().unwrap_or_default();
            ClientError(format!(
                "engine: stream {stream} has no galo.{name} that this version writes in its metadata: it is not of a Galo cluster"
            ))
        })
    }

    /// Whether a stream is as it has to be: as `wanted`, but that it may have more replicas.
    pub(super) fn check(&self, wanted: &Value) -> Result<(), ClientError> {
        let name = wanted["name"].as_str().unwrap_or_default();
        let refuse = |what: &str, is: &Value, want: &Value| {
            Err(ClientError(format!(
                "engine: stream {name} has {what} {is}, and must have {want}"
            )))
        };
        if replicas(&self.config) < replicas(wanted) {
            let (is, want) = (&self.config["num_replicas"], &wanted["num_replicas"]);
            return refuse("num_replicas", is, want);
        }
        if self.config["persist_mode"] == "async" {
            return refuse("persist_mode", &json!("async"), &json!("default"));
        }
        for what in [
            "subjects",
            "retention",
            "storage",
            "discard",
            "max_msgs",
            "max_bytes",
            "max_age",
            "max_msgs_per_subject",
            "deny_delete",
        ] {
            let default = match what {
                "max_msgs_per_subject" => json!(-1),
                "deny_delete" => json!(false),
                _ => Value::Null,
            };
            let value = |config: &Value| match &config[what] {
                Value::Null => default.clone(),
                value => value.clone(),
            };
            let (is, want) = (value(&self.config), value(wanted));
            if is != want {
                return refuse(what, &is, &want);
            }
        }
        Ok(())
    }
}

/// How many servers are to have a stream.
pub(super) fn replicas(config: &Value) -> usize {
    config["num_replicas"].as_u64().unwrap_or(1) as usize
}

/// The number in "wrong last sequence: 7"; `None`: it does not say.
pub(super) fn last_sequence(description: &str) -> Option<u64> {
    let (_, number) = description.rsplit_once(' ')?;
    number.parse().ok()
}

/// Whether a server's version is one that is known to work: 2.15 or later.
pub(super) fn is_recent(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (2, 15),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::charter::PROTOCOL;

    fn names() -> Names {
        Names {
            cluster: "prod".to_owned(),
        }
    }

    fn charter() -> Charter {
        Charter {
            protocol: PROTOCOL,
            directory: 7,
            shards: 3,
            nodes: vec!["a".to_owned()],
            cores: 1,
            clients: Some(1),
            processors: None,
        }
    }

    fn info(config: &Value) -> Reply {
        let info = json!({"config": config, "state": {"first_seq": 1, "last_seq": 9, "num_deleted": 2, "bytes": 3}});
        Reply::read(info.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn answers_are_read() {
        let reply = Reply::read(b"{\"stream\":\"GALO_prod\",\"seq\":12}").unwrap();
        assert_eq!((reply.seq, reply.error_code()), (Some(12), None));
        let refused = "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 7\"},\"seq\":0}";
        let reply = Reply::read(refused.as_bytes()).unwrap();
        assert_eq!(reply.error_code(), Some(WRONG_LAST_SEQUENCE));
        assert_eq!(last_sequence(&reply.error.unwrap().description), Some(7));
        assert_eq!(last_sequence("wrong last sequence"), None);
        assert!(Reply::read(b"no json").is_none());
        let inspection = Inspection {
            first: 1,
            last: 9,
            missing: 2,
            kept: 7,
            bytes: 3,
        };
        assert_eq!(info(&json!({})).inspection(7), Some(inspection));
        assert_eq!(Reply::read(b"{}").unwrap().inspection(7), None);
    }

    #[test]
    fn another_leader_is_one_that_has_everything() {
        let info = json!({"cluster": {"leader": "a", "replicas": [
            {"name": "b", "current": false}, {"name": "c", "current": true, "offline": true},
            {"name": "d", "current": true}]}});
        let reply = Reply::read(info.to_string().as_bytes()).unwrap();
        assert_eq!(reply.other_leader(), Some("d"));
        assert_eq!(Reply::default().other_leader(), None);
    }

    #[test]
    fn a_stream_that_is_not_as_it_has_to_be_is_refused_by_name() {
        let wanted = names().log_config(3, &charter());
        assert_eq!(info(&wanted).check(&wanted), Ok(()));
        assert_eq!(info(&wanted).charter(), Ok(charter()));
        let more = json!(5);
        for (what, value, is_fine) in [
            ("num_replicas", more, true),
            ("num_replicas", json!(1), false),
            ("storage", json!("memory"), false),
            ("discard", json!("old"), false),
            ("deny_delete", json!(false), false),
            ("max_age", json!(1_000_000_000), false),
            ("max_msgs", json!(10), false),
            ("max_bytes", json!(10), false),
            ("max_msgs_per_subject", json!(1), false),
            ("subjects", json!(["galo.>"]), false),
            ("retention", json!("workqueue"), false),
            ("persist_mode", json!("async"), false),
        ] {
            let mut config = wanted.clone();
            config[what] = value;
            let checked = info(&config).check(&wanted);
            assert_eq!(checked.is_ok(), is_fine, "{what}");
            if let Err(error) = checked {
                assert!(
                    error.0.contains(what) && error.0.contains("GALO_prod"),
                    "{error}"
                );
            }
        }
        let other = info(&json!({"name": "GALO_prod"}));
        assert!(other.charter().unwrap_err().0.contains("galo.directory"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, is_fine) in [
            ("2.15.0", true),
            ("2.15.2-RC.1", true),
            ("2.100.0", true),
            ("3.0.0", true),
            ("2.9.24", false),
            ("2.14.9", false),
            ("", false),
        ] {
            assert_eq!(is_recent(version), is_fine, "{version}");
        }
    }
}
