//! A Prometheus of a test's own, and what it answers.

use std::io::ErrorKind;
use std::process::{Child, Command};

use galo_testkit::process::LogStream;
use galo_testkit::{get, wait_until, Address, Connection, Process};
use serde_json::Value;
use tempfile::TempDir;

pub struct Prometheus {
    address: Address,
    _process: Process,
    _dir: TempDir,
}

/// Starts a program of Debian's package.
#[track_caller]
pub fn spawned(mut command: Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        let program = command.get_program().to_string_lossy();
        match error.kind() {
            ErrorKind::NotFound => panic!("{program} is not there: install the package prometheus"),
            _ => panic!("{program}: {error}"),
        }
    })
}

impl Prometheus {
    /// Starts one that scrapes these every second, and waits until it answers.
    pub fn scraping(nodes: &[&Address]) -> Prometheus {
        let mut version = Command::new("prometheus");
        version.arg("--version").stdout(std::process::Stdio::null());
        assert!(spawned(version).wait().expect("its end").success());
        let dir = galo_testkit::data_dir();
        let config = dir.path().join("prometheus.yml");
        let targets: Vec<&str> = nodes.iter().map(|address| address.tcp()).collect();
        let text = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: galo\n    static_configs:\n      - targets: {targets:?}\n"
        );
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new("prometheus");
        let argument = |name: &str, path: &std::path::Path| format!("--{name}={}", path.display());
        command
            .arg(argument("config.file", &config))
            .arg(argument("storage.tsdb.path", &dir.path().join("data")))
            .arg("--web.listen-address=127.0.0.1:0");
        let process = Process::start(command, LogStream::Stderr);
        process.wait_for_log("Server is ready to receive web requests");
        let line = process.wait_for_log("msg=\"Listening on\"");
        let address = line.rsplit_once("address=").expect("it names it").1;
        Prometheus {
            address: Address::parse(address.trim()),
            _process: process,
            _dir: dir,
        }
    }

    /// `data` of its HTTP API's answer.
    #[track_caller]
    fn api(&self, path: &str) -> Value {
        let mut connection = Connection::open(&self.address).expect("a connection");
        let reply = connection.ask(&get(path));
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()["data"].clone()
    }

    /// The values of a query's samples.
    #[track_caller]
    fn values(&self, query: &str) -> Vec<f64> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.api(&format!("/api/v1/query?query={escaped}"));
        let samples = data["result"].as_array().expect("samples").iter();
        let values = samples.map(|sample| sample["value"][1].as_str().expect("a value"));
        values
            .map(|value| value.parse().expect("a number"))
            .collect()
    }

    /// The value of a query with one sample; `None`: it has none.
    #[track_caller]
    pub fn query(&self, query: &str) -> Option<f64> {
        let values = self.values(query);
        assert!(values.len() <= 1, "{query}: {values:?}");
        values.first().copied()
    }

    /// Whether a query has a sample that is a number.
    #[track_caller]
    pub fn has_data(&self, query: &str) -> bool {
        self.values(query).iter().any(|value| value.is_finite())
    }

    #[track_caller]
    pub fn wait_for(&self, query: &str, value: f64) {
        wait_until(query, || self.query(query) == Some(value));
    }

    /// What the last scrape said of a metric.
    #[track_caller]
    pub fn metadata(&self, metric: &str) -> Value {
        self.api(&format!("/api/v1/metadata?metric={metric}"))[metric][0].clone()
    }
}
