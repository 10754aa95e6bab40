//! What is away for a while in good order, or from the start: what clients and operators see of it.

use galo_testkit::wait_until;

use crate::load::under_load;
use crate::machines::{Machines, NODES};

#[test]
fn a_node_that_stops_leaves_its_clients_to_others_without_a_refusal() {
    let mut machines = Machines::start();
    // Who asks the other two sees nothing of it.
    let others = machines.addresses[1..].to_vec();
    let report = under_load(&others, |clients| {
        clients.wait_for(20);
        for _ in 0..2 {
            machines.stop_node(0);
            machines.wait_until_taken_over_by(&[1, 2]);
            machines.start_node(0);
            machines.wait_until_whole();
            clients.wait_for(20);
        }
    });
    eprintln!("{report:?}");
    assert_eq!(report.refused, 0, "{report:?}");
}

#[test]
fn while_the_engine_is_away_health_and_one_line_of_the_log_say_so() {
    let mut machines = Machines::start();
    for node in 0..NODES.len() {
        let health = machines.health(node);
        assert_eq!(health["status"], "healthy", "{health}");
    }
    for server in 0..3 {
        machines.engine.stop(server);
    }
    for node in 0..NODES.len() {
        wait_until("it has no engine, and no lease", || {
            let health = machines.health(node);
            let engine = &health["engine"];
            let is_degraded = health["status"] == "degraded";
            is_degraded && engine["connected"] == false && engine["lease"] == false
        });
    }
    for server in 0..3 {
        machines.engine.cont(server);
    }
    for node in 0..NODES.len() {
        wait_until("it is well again", || {
            machines.health(node)["status"] == "healthy"
        });
    }
    machines.engine.wait_until_ready();
    machines.wait_until_whole();
    for node in 0..NODES.len() {
        let lines = machines.log_of(node);
        let count = |words: &str| lines.iter().filter(|it| it.contains(words)).count();
        let away = count("the engine cannot be asked");
        assert!(away > 0, "{lines:#?}");
        assert_eq!(count("the engine can be asked"), 1 + away, "{lines:#?}");
        let ended = count("lease has ended");
        assert!(ended > 0, "{lines:#?}");
        assert_eq!(
            count("has renewed this node's lease"),
            1 + ended,
            "{lines:#?}"
        );
    }
}

#[test]
fn a_node_that_starts_while_the_engine_is_away_listens_and_waits() {
    let mut machines = Machines::start();
    machines.stop_node(0);
    for server in 0..3 {
        machines.engine.kill(server);
    }
    machines.start_node(0);
    assert_eq!(machines.shards_of(0), 0);
    for server in 0..3 {
        machines.engine.restart(server);
    }
    machines.wait_until_whole();
}
