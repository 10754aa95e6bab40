//! `galo cluster status`.

use galo_testkit::{wait_until, Launch};

use crate::machines::{Machines, NODES};

fn status(machines: &Machines) -> Launch {
    let urls = machines.engine.urls().join(",");
    let launch = Launch::bare().arg("cluster").arg("status");
    launch.flag("replicate", urls)
}

/// Waits until the report says so, with this exit status.
fn wait_until_told(machines: &Machines, code: i32, words: &str) -> String {
    let mut report = String::new();
    wait_until(words, || {
        let outcome = status(machines).run();
        report = format!("{}{}", outcome.stdout, outcome.stderr.concat());
        outcome.status.code() == Some(code) && report.contains(words)
    });
    report
}

#[test]
fn a_cluster_is_well_until_something_is_away() {
    let mut machines = Machines::start();
    let report = wait_until_told(&machines, 0, "nothing needs a person");
    assert!(
        report.contains("3 nodes, 1 core each, 12 shards"),
        "{report}"
    );
    for node in NODES {
        let row = format!("{node}/0     held");
        assert!(report.contains(&row), "{row}: {report}");
    }
    let follower = (0..3).find(|it| *it != machines.engine_leader());
    let follower = follower.expect("two follow");
    machines.engine.kill(follower);
    let report = wait_until_told(&machines, 1, "GALO_galo: ");
    assert!(report.contains("needs a person"), "{report}");
    machines.engine.restart(follower);
    machines.engine.wait_until_ready();
    wait_until_told(&machines, 0, "nothing needs a person");
    // A node is away: others have its shards.
    machines.kill_node(0);
    let report = wait_until_told(&machines, 0, "a/0     revoked by ");
    assert!(report.contains("nothing needs a person"), "{report}");
    // All are, in good order; then one comes back, and dies.
    machines.stop_node(1);
    machines.stop_node(2);
    let report = wait_until_told(&machines, 1, "shards 0,1,2,3,4,5,6,7,8,9,10,11: no owner");
    assert!(report.contains("c/0     given up"), "{report}");
    machines.start_node(2);
    wait_until_told(&machines, 0, "nothing needs a person");
    machines.kill_node(2);
    wait_until_told(&machines, 1, "the owner, c/0, has renewed its lease");
}

#[test]
fn an_engine_that_does_not_answer_and_a_cluster_that_is_not_there_are_a_line() {
    let mut machines = Machines::start();
    let other = status(&machines).flag("cluster", "other");
    other
        .run()
        .refused(1, &["there is no cluster other", "GALO_other"]);
    for server in 0..3 {
        machines.engine.stop(server);
    }
    let asked = std::time::Instant::now();
    status(&machines)
        .run()
        .refused(1, &["is of no use within 5 s"]);
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
    for server in 0..3 {
        machines.engine.cont(server);
    }
    for server in 0..3 {
        machines.engine.kill(server);
    }
    status(&machines)
        .run()
        .refused(1, &["is of no use within 5 s", "refused"]);
}
