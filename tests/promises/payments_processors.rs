//! A directory remembers which processors its payments went to.

use std::path::Path;
use std::time::{Duration, Instant};

use galo_testkit::{
    data_dir, on_both_drivers, Launch, PaymentLedger, Processor, Random, Server, PATIENCE,
};

/// Nobody is there.
const OTHER: &str = "http://127.0.0.1:1";
const ANOTHER: &str = "http://127.0.0.1:2";

fn launch(data: &Path, default: &str, fallback: &str) -> Launch {
    Launch::serve(data)
        .cores(2)
        .listen("127.0.0.1:0")
        .processors(default, fallback)
}

/// Waits until the default processor has as many as it is given while it says nothing. How many.
fn under_way(server: &Server) -> f64 {
    let began = Instant::now();
    let mut before = 0.0;
    loop {
        assert!(began.elapsed() < PATIENCE, "nothing is under way");
        let now = server.metric("galo_processor_under_way{processor=\"default\"}");
        if now > 0.0 && now == before {
            return now;
        }
        before = now;
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn processors_do_not_change_while_payments_are_with_them() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let [default, fallback] = processors.each_ref().map(|processor| processor.url());
        let launch = |default: &str, fallback: &str| {
            launch(dir.path(), default, fallback).flag("io", driver.name())
        };
        // With none of them is a payment: it may have been a slip.
        launch(OTHER, ANOTHER).start().stop();
        processors[0].set_faults(&[("hang_lost", 1.0)]);
        let server = launch(&default, &fallback).start();
        server.wait_for_log("others than before; no payment is with those of before");
        let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
        book.pay(&mut server.connect(), &mut random, 10);
        under_way(&server);
        server.kill();
        let twice = ["could be paid twice", "--replace-processors"];
        launch(&fallback, &default)
            .run()
            .refused(1, &[&["changed places"], &twice[..]].concat());
        launch(OTHER, &fallback).run().refused(
            1,
            &[
                &["--processor-default http://127.0.0.1:1 is another"],
                &twice[..],
            ]
            .concat(),
        );
        launch(OTHER, ANOTHER).run().refused(1, &twice);
        // The other one may change: it has none.
        launch(&default, OTHER).start().stop();
        launch(&default, &fallback).start().stop();
        // The same one by another name: that is meant.
        processors[0].set_faults(&[]);
        let named = default.replace("127.0.0.1", "localhost");
        let server = launch(&named, &fallback)
            .arg("--replace-processors")
            .start();
        book.expect_settled(server.address(), &processors);
        server.stop();
        // It is remembered, and nothing is open any more.
        let server = launch(&named, &fallback).start();
        assert!(!server.log().iter().any(|line| line.contains("than before")));
        server.stop();
        launch(&fallback, &default).start().stop();
    });
}

#[test]
fn a_node_looks_at_the_shards_of_all_nodes_before_it_takes_other_processors() {
    let (dir, processors) = (data_dir(), Processor::both());
    let [default, fallback] = processors.each_ref().map(|processor| processor.url());
    let node = |name: &str, default: &str, fallback: &str| {
        Launch::serve(&dir.path().join("data"))
            .cores(1)
            .listen("127.0.0.1:0")
            .processors(default, fallback)
            .flag("nodes", "api01,api02")
            .flag("node", name)
            .flag("run", dir.path().join("run"))
    };
    processors[0].set_faults(&[("hang_lost", 1.0)]);
    let server = node("api01", &default, &fallback).start();
    server.wait_for_log("shard 1 is ours");
    let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
    book.pay(&mut server.connect(), &mut random, 40);
    let count = under_way(&server);
    server.kill();
    // Each has one shard at home, and both have payments.
    for name in ["api01", "api02"] {
        let payments = format!("{count} payments are with those of before");
        node(name, &fallback, &default)
            .run()
            .refused(1, &["changed places", &payments]);
    }
}
