//! The data directory: who may use it, what may be in it, and `galo check`.

use std::fs;
use std::path::{Path, PathBuf};

use galo_testkit::{data_dir, on_both_drivers, Launch};

fn check(data: &Path) -> Launch {
    Launch::bare().arg("check").flag("data", data)
}

#[test]
fn a_second_galo_is_refused() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let pid = server.pid().to_string();
        let name = dir.path().display().to_string();
        let outcome = Launch::driver(dir.path(), driver)
            .flag("listen", "127.0.0.1:0")
            .run();
        outcome.refused(1, &["another galo", &name, &pid]);
        assert_eq!(server.get("/health").status, 200);
        server.kill();
        Launch::driver(dir.path(), driver).start().stop();
    });
}

#[test]
fn another_number_of_shards_is_refused_with_both() {
    let dir = data_dir();
    let launch = || Launch::serve(dir.path());
    launch().cores(1).flag("shards", "3").start().stop();
    let outcome = launch().cores(1).flag("shards", "4").run();
    let name = dir.path().display().to_string();
    outcome.refused(1, &[&name, "3 shards", "4 are asked for"]);
    let server = launch().cores(2).start();
    server.wait_for_log("in 3 shards");
    for client in 1..=5 {
        server.transact(client, 'c', 1, "um").posted();
    }
}

/// More cores than shards are idle, and that is said.
#[test]
fn fewer_shards_than_cores_are_served_by_as_many_cores() {
    let dir = data_dir();
    Launch::serve(dir.path()).cores(1).start().stop();
    let server = Launch::serve(dir.path()).cores(2).start();
    server.wait_for_log("has 1 shards: 1 cores would be idle");
    server.wait_for_log("cores: 1");
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let dir = data_dir();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for data in [file.join("data"), PathBuf::from("/proc/galo")] {
        let outcome = Launch::serve(&data).flag("listen", "127.0.0.1:0").run();
        outcome.refused(1, &[&data.display().to_string()]);
    }
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let dir = data_dir();
    fs::write(dir.path().join("photo.jpg"), "x").unwrap();
    let outcome = Launch::serve(dir.path())
        .flag("listen", "127.0.0.1:0")
        .run();
    let name = dir.path().display().to_string();
    outcome.refused(1, &[&name, "photo.jpg"]);
    assert_eq!(fs::read(dir.path().join("photo.jpg")).unwrap(), b"x");
}

#[test]
fn clients_come_from_a_file_once() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let file = dir.path().join("clients.json");
        let data = dir.path().join("data");
        let clients = r#"[{"id":42,"limite":5,"saldo":7},{"id":9,"limite":0}]"#;
        fs::write(&file, clients).unwrap();
        let launch = || Launch::driver(&data, driver).flag("clients", &file);
        let server = launch().start();
        assert_eq!(server.balance(42), 7);
        assert_eq!(server.transact(42, 'd', 12, "tudo").posted(), (5, -5));
        assert_eq!(server.transact(9, 'd', 1, "nada").status, 422);
        assert_eq!(server.get("/clientes/1/extrato").status, 404);
        server.stop();
        fs::write(&file, r#"[{"id":1,"limite":1}]"#).unwrap();
        let server = launch().start();
        assert_eq!(server.balance(42), -5, "what is there is there");
    });
}

#[test]
fn a_bad_file_of_clients_is_refused_and_nothing_is_made() {
    let dir = data_dir();
    let file = dir.path().join("clients.json");
    let data = dir.path().join("data");
    let name = file.display().to_string();
    for (content, words) in [
        ("{", "line 1"),
        (r#"[{"id":1}]"#, "limite"),
        (r#"[{"id":1,"limite":-1}]"#, "client 1"),
        (r#"[{"id":1,"limite":1,"saldo":-2}]"#, "client 1"),
        (r#"[{"id":1,"limite":1},{"id":1,"limite":1}]"#, "once"),
        ("[]", "empty"),
    ] {
        fs::write(&file, content).unwrap();
        let launch = Launch::serve(&data).flag("clients", &file);
        let outcome = launch.flag("listen", "127.0.0.1:0").run();
        outcome.refused(1, &[&name, words]);
        assert!(!data.exists(), "{content}");
    }
    fs::remove_file(&file).unwrap();
    let launch = Launch::serve(&data).flag("clients", &file);
    let outcome = launch.flag("listen", "127.0.0.1:0").run();
    outcome.refused(1, &[&name, "cannot be read"]);
    assert!(!data.exists());
}

#[test]
fn check_tells_what_is_there() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).cores(2).start();
    for client in 1..=5 {
        server.transact(client, 'c', 1, "um").posted();
    }
    // While it is being served, too.
    check(dir.path()).run().good();
    server.kill();
    let said = check(dir.path()).run().good();
    for words in [
        "shard 0: 2 accounts",
        "shard 1: 3 accounts",
        "2 records",
        "3 records",
        "last sequence",
        "bytes",
        "2 shards",
        "5 accounts",
        "5 records",
        "good",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    Launch::serve(dir.path()).start().stop();
    check(dir.path()).run().good();
}

#[test]
fn check_refuses_what_is_no_data_directory() {
    let dir = data_dir();
    let missing = dir.path().join("missing");
    let name = missing.display().to_string();
    check(&missing).run().refused(1, &[&name]);
    assert!(!missing.exists());
    let name = dir.path().display().to_string();
    check(dir.path()).run().refused(1, &[&name]);
}

/// A journal of twenty transactions, each known to be on disk when the next was written.
fn twenty_records(data: &Path) -> PathBuf {
    let server = Launch::serve(data)
        .cores(1)
        .flag("durability", "disk")
        .start();
    for count in 1..=20 {
        let description = format!("n{count:02}");
        assert_eq!(server.transact(1, 'c', 1, &description).posted().1, count);
    }
    server.kill();
    let journals: Vec<PathBuf> = fs::read_dir(data.join("shard-0000"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.into_iter().next().unwrap()
}

fn offset_of(journal: &[u8], description: &str) -> usize {
    let wanted = description.as_bytes();
    let found = journal.windows(wanted.len()).rposition(|at| at == wanted);
    found.expect("a description is in its record")
}

#[test]
fn a_torn_tail_is_cut_and_logged() {
    on_both_drivers(|driver| {
        for torn in ["garbage behind", "end missing"] {
            let dir = data_dir();
            let journal = twenty_records(dir.path());
            let mut bytes = fs::read(&journal).unwrap();
            let whole = bytes.len();
            let kept = if torn == "garbage behind" {
                bytes.extend_from_slice(&[0xa5; 21]);
                20
            } else {
                bytes.truncate(whole - 5);
                19
            };
            fs::write(&journal, &bytes).unwrap();
            let said = check(dir.path()).run().good();
            let name = journal.display().to_string();
            assert!(said.contains("torn tail") && said.contains(&name), "{said}");
            assert!(said.contains(&format!("{kept} records")), "{said}");
            assert_eq!(fs::read(&journal).unwrap(), bytes, "check changes nothing");

            let server = Launch::driver(dir.path(), driver).start();
            assert_eq!(server.balance(1), kept);
            let line = server.wait_for_log(&name);
            assert!(line.contains("WARN"), "{line}");
            server.wait_for_log(&format!("{kept} records replayed"));
            server.transact(1, 'c', 1, "depois").posted();
            server.kill();
            let said = check(dir.path()).run().good();
            assert!(!said.contains("torn tail"), "{said}");
            let server = Launch::driver(dir.path(), driver).start();
            assert_eq!(server.balance(1), kept + 1);
        }
    });
}

/// Up to the second-last record, which the last one proves durable.
#[test]
fn damage_is_refused_with_file_and_offset() {
    for description in ["n01", "n10", "n19"] {
        let dir = data_dir();
        let journal = twenty_records(dir.path());
        let mut bytes = fs::read(&journal).unwrap();
        let at = offset_of(&bytes, description);
        bytes[at] ^= 0x10;
        fs::write(&journal, &bytes).unwrap();
        let name = journal.display().to_string();
        let words = [name.as_str(), "damaged at byte "];
        for launch in [
            check(dir.path()),
            Launch::serve(dir.path()).flag("listen", "127.0.0.1:0"),
        ] {
            let outcome = launch.run();
            // `check` tells of the shards before the damage; there is none here.
            let line = outcome.refused(1, &words);
            let number = line.split("damaged at byte ").nth(1).unwrap();
            let number = number.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            let offset: usize = number.parse().expect("an offset");
            assert!(offset <= at && at < offset + 64, "{offset}, not {at}");
        }
        assert_eq!(fs::read(&journal).unwrap(), bytes, "nothing is repaired");
    }
}

#[test]
fn a_damaged_snapshot_is_refused_by_check() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).cores(1).start();
    server.transact(1, 'c', 1, "um").posted();
    server.stop();
    let snapshots = fs::read_dir(dir.path().join("shard-0000")).unwrap();
    let snapshots = snapshots.map(|entry| entry.unwrap().path());
    let newest = snapshots
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "rkyv")
        })
        .max()
        .expect("a snapshot");
    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let name = newest.display().to_string();
    check(dir.path()).run().refused(1, &[&name, "at byte "]);
    // The older one and the journal are enough to serve.
    let server = Launch::serve(dir.path()).cores(1).start();
    server.wait_for_log("using an older snapshot");
    assert_eq!(server.balance(1), 1);
}
