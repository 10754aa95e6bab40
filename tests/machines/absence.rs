//! What dies, or is paused, while clients ask.

use std::thread::sleep;
use std::time::Duration;

use galo_testkit::wait_until;
use nix::sys::signal::Signal;

use crate::load::{under_load, Report};
use crate::machines::{Machines, NODES};

/// Load goes on for so long between two faults.
const BETWEEN: Duration = Duration::from_secs(1);

/// Runs faults under load; afterwards everything is as it was.
fn play(faults: impl FnOnce(&mut Machines)) -> Report {
    let mut machines = Machines::start();
    let addresses = machines.addresses.clone();
    let report = under_load(&addresses, || {
        sleep(BETWEEN);
        faults(&mut machines);
        machines.engine.wait_until_ready();
        machines.wait_until_whole();
        sleep(BETWEEN);
    });
    eprintln!("{report:?}");
    assert!(report.replies > 100, "{report:?}: there was a load");
    report
}

#[test]
fn nodes_are_killed() {
    play(|machines| {
        for node in 0..NODES.len() {
            machines.kill_node(node);
            sleep(BETWEEN);
            machines.start_node(node);
            machines.wait_until_whole();
        }
    });
}

#[test]
fn the_engines_leader_is_killed() {
    play(|machines| {
        for _ in 0..2 {
            let leader = machines.engine_leader();
            machines.engine.kill(leader);
            sleep(BETWEEN);
            machines.engine.restart(leader);
            machines.engine.wait_until_ready();
            machines.wait_until_whole();
        }
    });
}

#[test]
fn a_node_and_the_engines_leader_are_killed_together() {
    play(|machines| {
        let leader = machines.engine_leader();
        machines.engine.kill(leader);
        machines.kill_node(0);
        sleep(BETWEEN);
        machines.start_node(0);
        machines.engine.restart(leader);
    });
}

#[test]
fn nodes_are_paused_for_less_and_for_more_than_their_lease() {
    play(|machines| {
        for (node, seconds) in [(0, 1), (1, 3), (2, 6)] {
            machines.signal_node(node, Signal::SIGSTOP);
            sleep(Duration::from_secs(seconds));
            machines.signal_node(node, Signal::SIGCONT);
            machines.wait_until_whole();
        }
    });
}

#[test]
fn a_server_of_the_engine_is_paused() {
    play(|machines| {
        let leader = machines.engine_leader();
        machines.engine.stop(leader);
        sleep(Duration::from_secs(6));
        machines.engine.cont(leader);
    });
}

#[test]
fn everything_loses_its_power() {
    play(|machines| {
        for server in 0..3 {
            machines.engine.kill(server);
        }
        (0..NODES.len()).for_each(|node| machines.kill_node(node));
        for server in 0..3 {
            machines.engine.restart(server);
        }
        (0..NODES.len()).for_each(|node| machines.start_node(node));
    });
}

#[test]
fn a_node_that_stops_leaves_its_clients_to_others_without_a_refusal() {
    let mut machines = Machines::start();
    // Who asks the other two sees nothing of it.
    let others = machines.addresses[1..].to_vec();
    let report = under_load(&others, || {
        sleep(BETWEEN);
        for _ in 0..2 {
            machines.stop_node(0);
            wait_until("the others have its shards", || {
                machines.shards_of(1) + machines.shards_of(2) == 12
            });
            machines.start_node(0);
            machines.wait_until_whole();
        }
        sleep(BETWEEN);
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
