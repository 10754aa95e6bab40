//! What is shipped for Prometheus and Grafana: rules that are right, and a dashboard each of whose panels has data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use galo_testkit::{data_dir, wait_until, Launch, Processor};
use serde_json::Value;

use crate::prometheus::{spawned, Prometheus};
use crate::Load;

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dist")
        .join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(dist(name)).expect("it is there")
}

#[track_caller]
fn promtool(arguments: &[&str], file: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).arg(dist(file));
    let status = spawned(command).wait().expect("its end");
    assert!(status.success(), "promtool {arguments:?} {file}: {status}");
}

#[test]
fn alerts_fire_when_they_should_and_each_has_a_case() {
    promtool(&["check", "rules"], "alerts.yaml");
    promtool(&["test", "rules"], "alerts_test.yaml");
    let (rules, cases) = (read("alerts.yaml"), read("alerts_test.yaml"));
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<&str> = alerts.collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels:");
        assert!(cases.contains(&fires), "{alert} never fires in a case");
        let quiet = format!("alertname: {alert} }}");
        assert!(cases.contains(&quiet), "{alert} is never quiet in a case");
    }
}

/// Titles and queries of a dashboard's panels.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter(|panel| panel["type"] != "row")
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{panel}");
            let title = panel["title"].as_str().expect("a title");
            let text = |target: &Value| target["expr"].as_str().expect("a query").to_owned();
            targets
                .iter()
                .map(move |target| (title.to_owned(), text(target)))
        });
    targets.collect()
}

/// With the variables that Grafana would put in.
fn filled_in(query: &str) -> String {
    let variables = [
        ("$job", "galo"),
        ("$instance", ".*"),
        ("$__rate_interval", "5s"),
        ("$__range", "5s"),
    ];
    let filled = variables
        .iter()
        .fold(query.to_owned(), |query, (name, value)| {
            query.replace(name, value)
        });
    assert!(!filled.contains('$'), "{filled}");
    filled
}

#[test]
fn each_panel_of_the_dashboard_has_data() {
    let (dir, processors) = (data_dir(), Processor::both());
    let launch = Launch::serve(dir.path()).processors_of(&processors);
    let server = launch.cores(2).start();
    let prometheus = Prometheus::scraping(&[server.address()]);
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).expect("JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 30);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As rates are only seen while something happens.
        scope.spawn(|| {
            let mut load = Load::new(&server);
            while !is_over.load(Ordering::Relaxed) {
                load.some_of_everything();
            }
        });
        // However this ends.
        let _over = Over(&is_over);
        for (title, query) in &queries {
            let query = filled_in(query);
            wait_until(&format!("{title}: {query}"), || prometheus.has_data(&query));
        }
    });
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
