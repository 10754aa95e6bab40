//! What those who run it have: `/health`, `/metrics`, `/reset`, and replies by gzip.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use galo_testkit::{data_dir, get, on_both_drivers, post, transaction, Launch, Server};

#[test]
fn health_is_json_that_tells_how_it_is() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let first = server.get("/health").json();
        let second = server.get("/health").json();
        assert_eq!(first["status"], "healthy");
        assert_eq!(first["driver"], driver.name());
        assert!(first["version"].is_string(), "{first}");
        let number = |json: &serde_json::Value, name: &str| {
            json[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {json}"))
        };
        assert!(number(&second, "uptime") >= number(&first, "uptime"));
        assert_eq!(
            number(&second, "requests"),
            number(&first, "requests") + 1.0
        );
        let time = first["timestamp"].as_str().expect("a time");
        assert_eq!((time.len(), &time[10..11], &time[26..]), (27, "T", "Z"));
        assert!(second["timestamp"].as_str().unwrap() >= time);
    });
}

/// Prometheus' text format 0.0.4: samples by name with labels.
fn samples(server: &Server) -> BTreeMap<String, f64> {
    let reply = server.get("/metrics");
    assert_eq!(reply.status, 200);
    let content_type = reply.header("content-type").expect("a type");
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(reply.body).expect("UTF-8");
    assert!(text.ends_with('\n'));
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
    };
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a text");
            assert!(is_name(name) && !words.is_empty(), "{line}");
            assert!(helped.insert(name.to_owned()), "twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none());
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a value");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            let (name, labels) = match key.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').expect("an end")),
                None => (key, ""),
            };
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').expect("a label's value");
                let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
                assert!(is_name(label) && quoted, "{line}");
            }
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"))
                .unwrap_or(name);
            assert!(is_name(name) && kinds.contains_key(family), "{line}");
            assert!(helped.contains(family), "{line}");
            if kinds[family] == "counter" {
                assert!(name.ends_with("_total") && value >= 0.0, "{line}");
            }
            assert!(samples.insert(key.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}

#[test]
fn metrics_are_prometheus_text_and_count() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let before = samples(&server);
        let mut connection = server.connect();
        for _ in 0..7 {
            connection.ask(&transaction(1, 'c', 1, "um")).posted();
            connection.ask(&transaction(2, 'c', 1, "um")).posted();
        }
        for _ in 0..3 {
            assert_eq!(connection.ask(&transaction(1, 'x', 1, "um")).status, 422);
        }
        for _ in 0..5 {
            connection.ask(&get("/clientes/3/extrato")).statement();
        }
        assert_eq!(connection.ask(&get("/nada")).status, 404);
        let after = samples(&server);
        let moved = |key: &str| {
            let new = after.get(key).unwrap_or_else(|| panic!("no {key}"));
            new - before.get(key).unwrap_or(&0.0)
        };
        let requests = |endpoint: &str, status: u16| {
            moved(&format!(
                "galo_requests_total{{endpoint=\"{endpoint}\",status=\"{status}\"}}"
            ))
        };
        assert_eq!(requests("transacoes", 200), 14.0);
        assert_eq!(requests("transacoes", 422), 3.0);
        assert_eq!(requests("extrato", 200), 5.0);
        assert_eq!(requests("none", 404), 1.0);
        assert_eq!(requests("metrics", 200), 1.0);
        assert_eq!(moved("galo_journal_records_total"), 14.0);
        assert!(moved("galo_journal_bytes_total") >= 14.0 * 40.0);
        let writes = moved("galo_journal_writes_total");
        assert!((1.0..=14.0).contains(&writes), "{writes}");
        assert_eq!(moved("galo_connections_total"), 2.0);
        assert_eq!(after["galo_connections_open"], 2.0);
        assert!(after["process_resident_memory_bytes"] > 1e6);
        assert!(after["galo_snapshot_age_seconds"] >= 0.0);
        let has = |prefix: &str| after.keys().any(|key| key.starts_with(prefix));
        let build = format!("driver=\"{}\"", driver.name());
        assert!(has("galo_build_info{version="));
        assert!(after.keys().any(|key| key.contains(&build)));
        histogram(&after, "transacoes", moved);
        // A sync follows within 100 ms of a write; how often is the server's choice.
        while server.metric("galo_journal_syncs_total") == 0.0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
}

fn histogram(samples: &BTreeMap<String, f64>, endpoint: &str, moved: impl Fn(&str) -> f64) {
    let name = "galo_request_duration_seconds";
    let prefix = format!("{name}_bucket{{endpoint=\"{endpoint}\",le=\"");
    let mut buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|(key, count)| {
            let bound = key.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            Some((bound.parse().expect("a bound"), *count))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(buckets.len() > 5);
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    let (bound, all) = buckets[buckets.len() - 1];
    let count = format!("{name}_count{{endpoint=\"{endpoint}\"}}");
    assert_eq!((bound, all), (f64::INFINITY, samples[&count]));
    assert_eq!(moved(&count), 17.0);
    assert!(moved(&format!("{name}_sum{{endpoint=\"{endpoint}\"}}")) > 0.0);
}

#[test]
fn reset_is_forbidden_unless_allowed() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).start();
    server.transact(1, 'c', 9, "nove").posted();
    let reply = server.ask(&post("/reset", ""));
    assert_eq!(reply.status, 403);
    let json = reply.json();
    let why = json["rule"].as_str().expect("an explanation");
    assert!(why.contains("--allow-reset"), "{json}");
    assert_eq!(server.balance(1), 9);
}

#[test]
fn reset_sets_every_account_back_and_lasts() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            let launch = || {
                Launch::driver(dir.path(), driver)
                    .cores(cores)
                    .arg("--allow-reset")
            };
            let server = launch().start();
            for client in 1..=5 {
                server.transact(client, 'c', 100, "antes").posted();
            }
            assert_eq!(server.ask(&get("/reset")).status, 405);
            assert_eq!(server.ask(&post("/reset", "")).status, 200);
            let is_new = |server: &Server, client| {
                let statement = server
                    .get(&format!("/clientes/{client}/extrato"))
                    .statement();
                assert_eq!((statement.total, statement.transactions.len()), (0, 0));
            };
            for client in 1..=5 {
                is_new(&server, client);
            }
            server.transact(1, 'c', 3, "depois").posted();
            server.kill();
            let server = launch().start();
            for client in 2..=5 {
                is_new(&server, client);
            }
            assert_eq!(server.balance(1), 3);
        }
    });
}

#[test]
fn a_long_reply_is_gzipped_for_those_who_accept_it() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let path = "/clientes/4/extrato";
        let asking = |codings: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: galo\r\nAccept-Encoding: {codings}\r\n\r\n")
                .into_bytes()
        };
        let short = server.ask(&asking("gzip"));
        assert_eq!(short.header("content-encoding"), None);
        short.statement();
        for _ in 0..10 {
            server
                .transact(4, 'c', 123_456_789, "😀😀😀😀😀😀😀😀😀😀")
                .posted();
        }
        let plain = server.get(path);
        assert!(plain.body.len() > 1024);
        assert_eq!(plain.header("content-encoding"), None);
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
        for refused in ["gzip;q=0", "br", "identity"] {
            let reply = server.ask(&asking(refused));
            assert_eq!(reply.header("content-encoding"), None, "{refused}");
        }
        for accepted in ["gzip", "deflate, gzip;q=0.5", "*"] {
            let zipped = server.ask(&asking(accepted));
            assert_eq!(
                zipped.header("content-encoding"),
                Some("gzip"),
                "{accepted}"
            );
            assert_eq!(zipped.header("vary"), Some("Accept-Encoding"));
            assert!(zipped.body.len() < plain.body.len() / 2);
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&zipped.body[..]);
            decoder.read_to_string(&mut text).expect("gzip");
            // They differ in nothing but the time of the statement.
            let plain = String::from_utf8(plain.body.clone()).unwrap();
            let time = plain.find("data_extrato").unwrap() + "data_extrato\":\"".len();
            let rest = time + "2024-01-17T02:34:41.217753Z".len();
            assert_eq!(text[..time], plain[..time]);
            assert_eq!(text[rest..], plain[rest..]);
        }
    });
}
