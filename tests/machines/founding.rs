//! Which nodes are of a cluster, and which are not.

use galo_testkit::{
    data_dir, get, keyed, transaction, wait_until, Launch, Mount, NatsCluster, Reply, Server,
    PATIENCE,
};

use tempfile::TempDir;

use crate::machines::{Machines, NODES};

fn node(engine: &NatsCluster, data: &std::path::Path) -> Launch {
    Launch::serve(data).flag("replicate", engine.urls().join(","))
}

/// Waits until a server owns so many.
fn wait_for_shards(server: &Server, shards: usize) {
    wait_until("it has its shards", || {
        let health = server.get("/health").json();
        health["shards"].as_array().map_or(0, Vec::len) == shards
    });
}

/// What a server replies once the engine lets it: nothing may happen twice if it is asked again.
fn ask(server: &Server, request: &[u8]) -> Reply {
    let mut reply = server.connect().ask(request);
    wait_until("a reply that is no 503", || {
        if reply.status == 503 {
            reply = server.connect().ask(request);
        }
        reply.status != 503
    });
    reply
}

fn balance(server: &Server, client: u32) -> i64 {
    let path = format!("/clientes/{client}/extrato");
    ask(server, &get(&path)).statement().total
}

/// Behind a transaction of the first client, which happens once.
fn transact(server: &Server, kind: char, amount: i64, key: &str) -> i64 {
    let request = keyed(1, kind, amount, "x", key);
    ask(server, &request).posted().1
}

#[test]
fn a_node_that_does_not_fit_says_what_does_not() {
    let machines = Machines::start();
    let fresh = data_dir();
    let launch = || {
        node(&machines.engine, fresh.path())
            .flag("nodes", NODES.join(","))
            .flag("node", "a")
            .listen("127.0.0.1:0")
    };
    // One that is about to be made.
    let said = launch()
        .cores(2)
        .run()
        .refused(1, &["not a node of the cluster galo", "cores"]);
    assert!(said.contains("cores is 1 there and 2 here"), "{said}");
    launch()
        .cores(1)
        .flag("shards", "6")
        .run()
        .refused(1, &["shards is 12 there and 6 here"]);
    let other = node(&machines.engine, fresh.path()).cores(1);
    let other = other
        .flag("nodes", "a,b")
        .flag("node", "a")
        .listen("127.0.0.1:0");
    other
        .run()
        .refused(1, &["nodes is a,b,c there and a,b here"]);
    assert!(
        !fresh.path().join("galo.meta").exists(),
        "nothing is left of it"
    );
    // One that was made without the engine.
    let alone = data_dir();
    Launch::serve(alone.path())
        .cores(1)
        .flag("shards", "12")
        .start()
        .stop();
    let launch = node(&machines.engine, alone.path()).cores(1);
    let launch = launch.flag("nodes", NODES.join(",")).flag("node", "a");
    launch
        .listen("127.0.0.1:0")
        .run()
        .refused(1, &["not a node of the cluster galo", "directory is"]);
    // One of a cluster that is not there.
    let launch = node(&machines.engine, alone.path()).cores(1);
    launch
        .flag("cluster", "other")
        .flag("shards", "12")
        .listen("127.0.0.1:0")
        .run()
        .refused(1, &["the cluster other", "there is no such cluster"]);
}

#[test]
fn a_node_that_runs_already_is_not_disturbed_by_another_of_its_name() {
    let machines = Machines::start();
    let fresh = data_dir();
    let twin = || {
        let twin = node(&machines.engine, fresh.path()).cores(1);
        let twin = twin.flag("nodes", NODES.join(",")).flag("node", "b");
        twin.listen("127.0.0.1:0").run()
    };
    let mut seen = [0; NODES.len()];
    let mut news = || -> Vec<String> {
        let all = seen.iter_mut().enumerate().flat_map(|(node, seen)| {
            let log = machines.log_of(node);
            let new = log[*seen..].to_vec();
            *seen = log.len();
            new
        });
        all.collect()
    };
    wait_until("nobody notices while the engine is in time", || {
        news();
        let reason = "node b runs already: another process renews its lease";
        twin().refused(1, &[reason]);
        let news = news();
        // On a busy machine it may not be, and leases with it.
        let is_late = news.iter().any(|it| it.contains("the engine can"));
        assert!(is_late || news.is_empty(), "{news:#?}");
        !is_late
    });
    let health = machines.health(1);
    assert_eq!(
        health["shards"].as_array().map(Vec::len),
        Some(4),
        "{health}"
    );
}

#[test]
fn payments_of_a_cluster_go_to_the_same_processors_from_every_node() {
    let engine = NatsCluster::start(1);
    let (first, second) = (data_dir(), data_dir());
    let [one, other] = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
    let launch = |data: &TempDir, default: &str, fallback: &str| {
        let launch = node(&engine, data.path()).cores(1).listen("127.0.0.1:0");
        launch.processors(default, fallback)
    };
    // The cluster was founded without any.
    node(&engine, first.path()).cores(1).start().stop();
    let named = "from now on the cluster's payments go to these processors";
    let server = launch(&first, one, other).start();
    server.wait_for_log(named);
    server.stop();
    let others = "its processors are others, or the other way round";
    launch(&second, other, one).run().refused(1, &[others]);
    let mut swapped = launch(&first, other, one).start();
    assert_eq!(swapped.wait(PATIENCE).code(), Some(1));
    swapped.wait_for_log(others);
    launch(&second, one, other).start().stop();
    // If it is meant, it is said once.
    let mut replaced = launch(&first, other, one)
        .arg("--replace-processors")
        .start();
    wait_for_shards(&replaced, 4);
    replaced.wait_for_log(named);
    assert!(replaced.is_running());
    replaced.stop();
    launch(&first, other, one).start().stop();
    launch(&second, one, other).run().refused(1, &[others]);
}

#[test]
fn a_nodes_directory_is_not_served_without_the_engine() {
    let engine = NatsCluster::start(1);
    let data = data_dir();
    node(&engine, data.path()).cores(1).start().stop();
    let alone = Launch::serve(data.path()).cores(1).flag("shards", "4");
    alone
        .run()
        .refused(1, &["a copy of what a cluster has", "--replicate only"]);
    // With it, it is served as before.
    node(&engine, data.path()).cores(1).start().stop();
}

#[test]
fn a_node_whose_disk_is_full_ends_and_does_not_come_back_before_there_is_room() {
    let engine = NatsCluster::start(1);
    let dir = data_dir();
    let mount = Mount::new(dir.path().join("disk"), 16);
    let data = mount.path().join("data");
    let launch = || {
        node(&engine, &data)
            .cores(1)
            .flag("shards", "1")
            .listen("127.0.0.1:0")
    };
    let mut server = launch().start();
    wait_for_shards(&server, 1);
    let filler = mount.fill();
    // A page of the journal has room for some more.
    let mut acknowledged = 0;
    let mut connection = server.connect();
    let mut is_acknowledged = || {
        let request = transaction(1, 'c', 1, "cheio");
        let sent = connection.try_send(&request);
        sent.and_then(|()| connection.try_reply())
            .is_ok_and(|reply| reply.status == 200)
    };
    while is_acknowledged() {
        acknowledged += 1;
    }
    assert_eq!(server.wait(PATIENCE).code(), Some(1));
    server.wait_for_log("journal: No space left on device");
    let room = "0 MiB of room, and the copies of its shards need 4";
    launch().run().refused(1, &[room]);
    std::fs::remove_file(filler).unwrap();
    let server = launch().start();
    wait_for_shards(&server, 1);
    // The engine has the one that was under way.
    let balance = balance(&server, 1);
    assert!(
        (acknowledged..=acknowledged + 1).contains(&balance),
        "{acknowledged} {balance}"
    );
    server.stop();
}

#[test]
fn one_server_is_enough_to_try_it_out() {
    let engine = NatsCluster::start(1);
    let data = data_dir();
    let launch = || node(&engine, data.path()).cores(1).flag("cluster", "try");
    let server = launch().start();
    wait_for_shards(&server, 4);
    assert_eq!(transact(&server, 'c', 5, "first"), 5);
    let status = Launch::bare().arg("cluster").arg("status");
    let status = status.flag("replicate", engine.urls().join(","));
    let report = status.flag("cluster", "try").run().good();
    assert!(report.contains("nothing needs a person"), "{report}");
    server.stop();
    let server = launch().start();
    wait_for_shards(&server, 4);
    assert_eq!(balance(&server, 1), 5);
}

#[test]
fn a_directory_of_one_machine_founds_a_cluster_that_is_empty() {
    let engine = NatsCluster::start(3);
    let [alone, fresh, other] = [(); 3].map(|()| data_dir());
    let server = Launch::serve(alone.path())
        .cores(1)
        .flag("shards", "3")
        .start();
    for client in 1..=5 {
        assert_eq!(server.transact(client, 'c', 7, "x").status, 200);
    }
    server.kill(); // Its journal is what counts.
    let launch = |data: &std::path::Path, name: &str| {
        node(&engine, data)
            .cores(1)
            .flag("nodes", "a,b")
            .flag("node", name)
    };
    launch(fresh.path(), "a")
        .arg("--seed")
        .listen("127.0.0.1:0")
        .run()
        .refused(1, &["--seed", "nothing to found a cluster with"]);
    let without = launch(alone.path(), "a").listen("127.0.0.1:0").run();
    without.refused(1, &["there is no such cluster", "--seed"]);
    let a = launch(alone.path(), "a").arg("--seed").start();
    wait_for_shards(&a, 3);
    assert_eq!(transact(&a, 'd', 2, "first"), 5);
    // A new node has what was there before, and what came then.
    let b = launch(fresh.path(), "b").start();
    wait_for_shards(&b, 1);
    a.stop();
    wait_for_shards(&b, 3);
    for client in 1..=5 {
        let expected = if client == 1 { 5 } else { 7 };
        assert_eq!(balance(&b, client), expected, "client {client}");
    }
    // The flag may stay where it was.
    let a = launch(alone.path(), "a").arg("--seed").start();
    wait_for_shards(&a, 2);
    assert_eq!(balance(&a, 1), 5);
    a.stop();
    b.stop();
    let without = Launch::serve(alone.path()).cores(1).run();
    without.refused(1, &["a copy of what a cluster has"]);
    // Nor does it found another cluster.
    let again = launch(alone.path(), "a")
        .arg("--seed")
        .flag("cluster", "other")
        .listen("127.0.0.1:0");
    let again = again.run();
    again.refused(1, &["the cluster other", "no directory of another one"]);
    // Another directory cannot found this one again.
    Launch::serve(other.path())
        .cores(1)
        .flag("shards", "3")
        .start()
        .stop();
    let again = launch(other.path(), "a")
        .arg("--seed")
        .listen("127.0.0.1:0");
    again
        .run()
        .refused(1, &["not a node of the cluster galo", "directory is"]);
}
