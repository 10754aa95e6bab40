//! Which nodes are of a cluster, and which are not.

use galo_testkit::{data_dir, Launch, NatsCluster};

use crate::machines::{Machines, NODES};

fn node(engine: &NatsCluster, data: &std::path::Path) -> Launch {
    Launch::serve(data).flag("replicate", engine.urls().join(","))
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
fn one_server_is_enough_to_try_it_out() {
    let engine = NatsCluster::start(1);
    let data = data_dir();
    let launch = || node(&engine, data.path()).cores(1).flag("cluster", "try");
    let server = launch().start();
    galo_testkit::wait_until("it has its shards", || {
        server.get("/health").json()["shards"]
            .as_array()
            .map_or(0, Vec::len)
            == 4
    });
    assert_eq!(server.transact(1, 'c', 5, "x").posted().1, 5);
    let status = Launch::bare().arg("cluster").arg("status");
    let status = status.flag("replicate", engine.urls().join(","));
    let report = status.flag("cluster", "try").run().good();
    assert!(report.contains("nothing needs a person"), "{report}");
    server.stop();
    let server = launch().start();
    galo_testkit::wait_until("it has its shards", || {
        server.get("/health").json()["shards"]
            .as_array()
            .map_or(0, Vec::len)
            == 4
    });
    assert_eq!(server.balance(1), 5);
}
