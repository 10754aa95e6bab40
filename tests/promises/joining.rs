//! How a node joins its cluster: who is refused, and what others may see of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use galo_testkit::{data_dir, on_both_drivers, wait_until, Driver, Launch, Server};

const NODES: &str = "api01,api02";

/// A place for two nodes.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: data_dir() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn links(&self) -> PathBuf {
        self.run().join("links")
    }

    /// A node with settings that all can have, and nowhere to listen yet.
    fn node(&self, name: &str) -> Launch {
        self.node_of(name, NODES, &self.data(), 1)
    }

    fn node_of(&self, name: &str, nodes: &str, data: &Path, cores: usize) -> Launch {
        Launch::serve(data)
            .cores(cores)
            .flag("nodes", nodes)
            .flag("node", name)
            .flag("run", self.run())
    }
}

/// To be refused, it must not hit upon another obstacle before.
fn anywhere(launch: Launch) -> Launch {
    launch.listen("127.0.0.1:0")
}

#[test]
fn nodes_that_differ_are_refused_with_what_differs() {
    let place = Place::new();
    let paying = |launch: Launch, default, fallback| {
        launch
            .flag("processor-default", default)
            .flag("processor-fallback", fallback)
    };
    let (a, b) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
    let first = place.node("api01").flag("shards", "4");
    let first = paying(first, a, b).start();
    let pid = first.pid().to_string();
    let data = place.data();
    let (three, elsewhere) = ("api01,api02,api03", place.dir.path().join("elsewhere"));
    for (launch, words) in [
        (
            place.node_of("api02", NODES, &data, 2),
            ["--cores 1", "this one --cores 2", "same --cores"],
        ),
        (
            place.node_of("api02", three, &data, 1),
            ["--nodes api01,api02,", "--nodes api01,api02,api03", "same"],
        ),
        (
            place
                .node_of("api02", NODES, &elsewhere, 1)
                .flag("shards", "4"),
            ["data directory", "this one data directory", "same --data"],
        ),
        (
            paying(place.node("api02"), b, a),
            [
                "--processor-default http://127.0.0.1:1 ",
                "this one --processor-default http://127.0.0.1:2 ",
                "same processors",
            ],
        ),
        (
            place.node("api02"),
            [
                "--processor-fallback http://127.0.0.1:2,",
                "this one no payment processors",
                "same processors",
            ],
        ),
    ] {
        let line = anywhere(launch).run().refused(1, &words);
        let who = format!("node api01 (process {pid}) has");
        assert!(line.contains(&who), "{line}");
    }
    let other_shards = place.node("api02").flag("shards", "2");
    anywhere(other_shards)
        .run()
        .refused(1, &["4 shards", "2 are asked for"]);
    assert_eq!(first.get("/health").status, 200);
}

#[test]
fn a_node_is_one_process() {
    on_both_drivers(|driver| {
        let place = Place::new();
        let node = || place.node("api01").flag("io", driver.name());
        let first = node().start();
        let pid = format!("(process {})", first.pid());
        let outcome = anywhere(node()).run();
        outcome.refused(1, &["runs as node api01", &pid, "--node"]);
        assert_eq!(first.get("/health").status, 200);
        first.kill();
        node().start();
    });
}

#[test]
fn foreign_processes_share_no_data_with_a_cluster() {
    let place = Place::new();
    let words = |server: &Server| ["another galo owns".to_owned(), server.pid().to_string()];
    let refused = |launch: Launch, [what, pid]: [String; 2]| {
        anywhere(launch).run().refused(1, &[&what, &pid, "lock"]);
    };
    let alone = Launch::serve(&place.data()).flag("shards", "2").start();
    refused(place.node("api01"), words(&alone));
    alone.kill();
    let first = place.node("api01").start();
    refused(Launch::serve(&place.data()), words(&first));
    // Of another cluster: it meets its peers elsewhere.
    let other = Launch::serve(&place.data())
        .cores(1)
        .flag("nodes", "web,api02")
        .flag("node", "web")
        .flag("run", place.dir.path().join("other"));
    refused(other, words(&first));
    assert_eq!(first.get("/health").status, 200);
}

#[test]
fn only_its_user_gets_near_the_links() {
    let place = Place::new();
    let _first = place.node("api01").start();
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&place.links()), 0o700);
    assert_eq!(mode(&place.links().join("api01-0.sock")), 0o600);
    let descriptor = fs::read_to_string(place.links().join("api01.lock")).unwrap();
    let begin = "galo node=api01 nodes=api01,api02 cores=1 shards=2 directory=";
    assert!(descriptor.starts_with(begin), "{descriptor}");
    let shard = fs::read_to_string(place.data().join("shard-0000/lock")).unwrap();
    assert_eq!(shard, descriptor);
}

#[test]
fn links_that_are_open_to_others_are_refused() {
    let place = Place::new();
    fs::create_dir_all(place.links()).unwrap();
    fs::set_permissions(place.links(), fs::Permissions::from_mode(0o755)).unwrap();
    let name = place.links().display().to_string();
    let outcome = anywhere(place.node("api01")).run();
    outcome.refused(1, &[&name, "0700", "--run"]);
    assert!(!place.data().exists(), "nothing is made");
}

#[test]
fn too_long_a_place_for_sockets_is_refused() {
    let place = Place::new();
    let run = place.dir.path().join("x".repeat(100));
    let launch = Launch::serve(&place.data())
        .flag("nodes", NODES)
        .flag("node", "api01")
        .flag("run", &run);
    launch.run().refused(2, &["--run", "107 bytes"]);
    assert!(!run.exists() && !place.data().exists());
}

/// The shards that a node says it owns.
fn shards(server: &Server) -> Vec<u64> {
    let health = server.get("/health").json();
    let shards = health["shards"].as_array().expect("a list");
    let number = |shard: &serde_json::Value| shard["shard"].as_u64().expect("a number");
    shards.iter().map(number).collect()
}

#[test]
fn health_tells_of_nodes_and_shards() {
    let place = Place::new();
    let first = place.node("api01").start();
    let health = first.get("/health").json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["node"], "api01");
    let nodes = serde_json::json!([
        {"name": "api01", "link": "self"},
        {"name": "api02", "link": "down"},
    ]);
    assert_eq!(health["nodes"], nodes);
    assert_eq!(health["shards_total"], 2);
    let shard = &health["shards"][0];
    assert_eq!(shard["shard"], 0);
    let since = shard["since"].as_str().expect("a time");
    let now = health["timestamp"].as_str().expect("a time");
    assert!(since.len() == now.len() && since <= now, "{health}");
    for name in [
        "galo_takeovers_total",
        "galo_handbacks_total",
        "galo_retries_total",
        "galo_duplicates_total",
    ] {
        assert!(first.metric(name) >= 0.0);
    }
    assert!(first.metric("galo_shards_owned") >= 1.0);
    assert_eq!(first.metric("galo_links_up"), 0.0);

    // Each gets what is at home there, whoever was first.
    let second = place.node("api02").start();
    wait_until("each its own shard", || {
        (shards(&first), shards(&second)) == (vec![0], vec![1])
    });
    wait_until("links up", || {
        (link(&first, 1), link(&second, 0)) == ("up".to_owned(), "up".to_owned())
    });
    assert_eq!(first.metric("galo_links_up"), 1.0);
    assert_eq!(second.metric("galo_shards_owned"), 1.0);
    let takeovers = first.metric("galo_takeovers_total");
    second.kill();
    wait_until("a takeover", || {
        shards(&first) == [0, 1] && link(&first, 1) == "down"
    });
    assert_eq!(first.metric("galo_links_up"), 0.0);
    assert_eq!(first.metric("galo_takeovers_total"), takeovers + 1.0);
}

/// How the link to a node is.
fn link(server: &Server, node: usize) -> String {
    let health = server.get("/health").json();
    let link = health["nodes"][node]["link"].as_str();
    link.expect("a state").to_owned()
}

#[test]
fn one_process_alone_is_a_node_that_owns_everything() {
    let dir = data_dir();
    let server = Launch::driver(dir.path(), Driver::Epoll).cores(2).start();
    let health = server.get("/health").json();
    assert_eq!(health["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(health["nodes"][0]["link"], "self");
    assert_eq!(shards(&server), [0, 1]);
    assert_eq!(health["shards_total"], 2);
    assert_eq!(server.metric("galo_shards_owned"), 2.0);
}
