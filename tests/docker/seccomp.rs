//! The nodes' seccomp profile, and one without io_uring, as engines have it by default.

use std::path::Path;

use serde_json::Value;

use crate::images::{Images, ROOT};
use crate::project::{Project, NODES};
use galo_testkit::{get, transaction, Connection};

/// The profile of the project allows what the uring driver needs.
pub fn allows_io_uring(project: &Project<'_>) {
    expect_driver(project, "uring");
}

/// Where the profile refuses io_uring, the nodes run on epoll.
pub fn without_io_uring_it_is_epoll(images: &Images<'_>) {
    let dir = galo_testkit::data_dir();
    let profile = dir.path().join("seccomp.json");
    std::fs::write(&profile, without_io_uring()).expect("a profile");
    let profile = profile.to_str().expect("a path in UTF-8");
    let project = Project::up(images, &[("GALO_SECCOMP", profile)]);
    expect_driver(&project, "epoll");
    for client in 1..=5 {
        let mut connection = Connection::open(&project.address).expect("a connection");
        let reply = connection.ask(&transaction(client, 'c', 7, "epoll"));
        assert_eq!(reply.posted().1, 7);
    }
}

fn expect_driver(project: &Project<'_>, driver: &str) {
    for node in NODES {
        let log = project.log(node);
        assert!(log.contains(&format!("I/O driver {driver}: ")), "{log}");
    }
    // One connection for each node: they go round.
    for _ in NODES {
        let mut connection = Connection::open(&project.address).expect("a connection");
        let health = connection.ask(&get("/health")).json();
        assert_eq!(health["driver"], driver, "{health}");
    }
}

/// The project's profile without all that begins with `io_uring_`.
fn without_io_uring() -> String {
    let text = std::fs::read_to_string(Path::new(ROOT).join("seccomp.json")).expect("the profile");
    let mut profile: Value = serde_json::from_str(&text).expect("JSON");
    let mut removed = 0;
    for rule in profile["syscalls"].as_array_mut().expect("rules") {
        let names = rule["names"].as_array_mut().expect("names");
        names.retain(|name| {
            let is_kept = !name.as_str().expect("a name").starts_with("io_uring_");
            removed += usize::from(!is_kept);
            is_kept
        });
    }
    let rules = profile["syscalls"].as_array_mut().expect("rules");
    rules.retain(|rule| rule["names"] != Value::Array(Vec::new()));
    assert_eq!(removed, 3, "setup, enter, register");
    profile.to_string()
}
