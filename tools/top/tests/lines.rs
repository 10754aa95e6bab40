//! Where there is no terminal: `cargo test -p galo-top --test lines`.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use galo_testkit::{
    data_dir, get, new_id, payment, transaction, Launch, Processor, Random, Server,
};

#[track_caller]
fn run(arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_galo-top"));
    let Output {
        stdout,
        stderr,
        status,
    } = command.args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

/// What stands behind these words, up to the next blank.
#[track_caller]
fn after<'a>(line: &'a str, words: &str) -> &'a str {
    let (_, rest) = line
        .split_once(words)
        .unwrap_or_else(|| panic!("no {words:?} in {line}"));
    rest.trim_start().split(' ').next().unwrap()
}

#[test]
fn a_line_for_each_node_its_shards_and_the_payments() {
    let (dir, processors) = (data_dir(), Processor::both());
    let (data, run_dir) = (dir.path().join("data"), dir.path().join("run"));
    let node = |name: &str| -> Server {
        Launch::serve(&data)
            .cores(1)
            .flag("nodes", "a,b")
            .flag("node", name)
            .flag("run", &run_dir)
            .processors_of(&processors)
            .start()
    };
    let (one, other) = (node("a"), node("b"));
    let urls = [&one, &other].map(|server| server.address().url());
    let is_over = AtomicBool::new(false);
    let (stdout, stderr, code) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut connection, mut random) = (one.connect(), Random::new(1));
            while !is_over.load(Ordering::Relaxed) {
                connection.ask(&transaction(1, 'c', 1, "x")).posted();
                let id = new_id(&mut random);
                assert_eq!(connection.ask(&payment(&id, "1.00")).status, 202);
                assert_eq!(connection.ask(&get("/nada")).status, 404);
            }
        });
        let said = run(&[&urls[0], &urls[1], "--count", "3", "--interval", "500ms"]);
        is_over.store(true, Ordering::Relaxed);
        said
    });
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3 * 4, "two nodes, shards, payments: {stdout}");
    let [first, second, shards, payments] = lines[8..] else {
        panic!("{stdout}")
    };
    assert!(
        first.contains(": a healthy up ") && second.contains(": b healthy up "),
        "{stdout}"
    );
    let number = |line: &str, words: &str| after(line, words).parse::<f64>().unwrap();
    assert!(
        number(first, "requests/s") > 0.0 && number(first, "4xx/s") > 0.0,
        "{first}"
    );
    assert_eq!(number(first, "5xx/s"), 0.0, "{first}");
    assert_ne!(after(first, "p99"), "-", "{first}");
    assert_eq!(shards, "shards a: 0, b: 1");
    assert!(
        payments.contains("; default closed ") && payments.contains("; fallback closed "),
        "{payments}"
    );
    assert!(number(payments, "accepted/s") > 0.0, "{payments}");

    // One is gone: the other has its shard, and the status says that not all is well.
    other.kill();
    galo_testkit::wait_until("a takeover", || one.metric("galo_shards_owned") == 2.0);
    let (stdout, _, code) = run(&[&urls[0], &urls[1], "-n", "1"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("shards a: 0-1\n"), "{stdout}");
    assert!(stdout.contains(&format!("{}: ", urls[1])), "{stdout}");
}

#[test]
fn what_is_wrong_is_said() {
    for (arguments, words) in [
        (&["ftp://x"][..], "ftp"),
        (&["-i", "1ms"], "from 100ms to 1h"),
        (&["-i", "soon"], "--interval"),
        (&["-n", "0"], "--count"),
        (&["--colour"], "--colour"),
    ] {
        let (_, stderr, code) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
    let closed = galo_testkit::ReservedPort::new();
    let (stdout, _, code) = run(&["-n", "1", &closed.address()]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains(&closed.address()), "{stdout}");
}
