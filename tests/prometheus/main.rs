//! What Prometheus makes of `/metrics`: `cargo test --features prometheus-tests --test prometheus`; needs Debian's package
//! prometheus.

mod dist;
mod prometheus;

use std::io::Write;
use std::process::{Command, Stdio};

use galo_testkit::{
    data_dir, get, payment, transaction, Connection, Launch, Processor, Random, Server,
};
use prometheus::{spawned, Prometheus};

/// What is asked of a node.
struct Load {
    connection: Connection,
    random: Random,
    count: u32,
}

impl Load {
    fn new(server: &Server) -> Load {
        Load {
            connection: server.connect(),
            random: Random::new(1),
            count: 0,
        }
    }

    fn some_of_everything(&mut self) {
        let client = 1 + self.count % 5;
        self.count += 1;
        let posted = self.connection.ask(&transaction(client, 'c', 1, "um"));
        posted.posted();
        let id = galo_testkit::new_id(&mut self.random);
        let reply = self.connection.ask(&payment(&id, "1.23"));
        assert_eq!(reply.status, 202, "{reply:?}");
        assert_eq!(self.connection.ask(&get("/nada")).status, 404);
    }
}

/// A node with processors that has done some of everything.
fn loaded(launch: Launch) -> Server {
    let server = launch.cores(2).start();
    let mut load = Load::new(&server);
    for _ in 0..200 {
        load.some_of_everything();
    }
    galo_testkit::wait_until("all payments are carried out", || {
        server.summary().count() == 200
    });
    server
}

#[test]
fn promtool_has_nothing_to_complain_of() {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = loaded(Launch::serve(dir.path()).processors_of(&processors));
    let text = server.get("/metrics").body;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut promtool = spawned(command);
    promtool
        .stdin
        .take()
        .expect("it was piped")
        .write_all(&text)
        .expect("it reads");
    let said = promtool.wait_with_output().expect("its end");
    let words = [&said.stdout[..], &said.stderr]
        .map(String::from_utf8_lossy)
        .concat();
    assert!(said.status.success() && words.is_empty(), "{words}");
}

#[test]
fn prometheus_scrapes_a_loaded_node_and_answers() {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = loaded(Launch::serve(dir.path()).processors_of(&processors));
    let prometheus = Prometheus::scraping(&[server.address()]);
    prometheus.wait_for("up == 1", 1.0);
    for (query, value) in [
        (
            r#"galo_requests_total{endpoint="transacoes",status="200"}"#,
            200.0,
        ),
        (
            r#"galo_requests_total{endpoint="payments",status="202"}"#,
            200.0,
        ),
        (
            r#"galo_requests_total{endpoint="none",status="404"}"#,
            200.0,
        ),
        ("sum(galo_payments_settled_total)", 200.0),
        ("sum(galo_payments_settled_cents_total)", 200.0 * 123.0),
        (
            r#"galo_request_duration_seconds_bucket{endpoint="transacoes",le="+Inf"}"#,
            200.0,
        ),
        (
            r#"galo_request_duration_seconds_count{endpoint="payments"}"#,
            200.0,
        ),
        ("galo_payments_open", 0.0),
        ("galo_shards_owned", 2.0),
    ] {
        assert_eq!(prometheus.query(query), Some(value), "{query}");
    }
    // It has asked for OpenMetrics, and got it: units and bounds as only those have.
    let unit = |metric: &str| prometheus.metadata(metric)["unit"].clone();
    assert_eq!(unit("galo_request_duration_seconds"), "seconds");
    assert_eq!(unit("galo_journal_bytes"), "bytes");
    assert_eq!(prometheus.metadata("galo_requests")["type"], "counter");
    let second = r#"galo_request_duration_seconds_bucket{endpoint="transacoes",le="1.0"}"#;
    assert_eq!(prometheus.query(second), Some(200.0));
}
