//! A start that fails leaves nothing behind that was not there before.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use galo_testkit::{data_dir, on_both_drivers, Launch};

/// Everything below a directory, by path.
fn below(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.insert(path.display().to_string());
    }
    found
}

#[test]
fn an_address_in_use_leaves_no_new_data_directory() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let unix = dir.path().join("theirs.sock");
            let _unix = UnixListener::bind(&unix).unwrap();
            let before = below(dir.path());
            for address in [
                tcp.local_addr().unwrap().to_string(),
                format!("unix:{}", unix.display()),
                format!("unix:{}/nowhere/galo.sock", dir.path().display()),
            ] {
                let ours = dir.path().join("ours.sock");
                let outcome = Launch::driver(&dir.path().join("a/b/data"), driver)
                    .cores(cores)
                    .listen(&format!("unix:{}", ours.display()))
                    .listen(&address)
                    .run();
                outcome.refused(1, &["cannot listen on", &address]);
                assert_eq!(below(dir.path()), before);
            }
        }
    });
}

/// Only what was made goes; and it can be made there afterwards.
#[test]
fn a_directory_that_was_there_stays_with_what_is_nobodys() {
    let dir = data_dir();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::create_dir(dir.path().join(".snapshot")).unwrap();
    for name in [".gitkeep", ".gitignore", ".keep", ".DS_Store"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let before = below(dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = Launch::serve(dir.path()).flag("listen", address).run();
    outcome.refused(1, &["cannot listen on"]);
    assert_eq!(below(dir.path()), before);
    let server = Launch::serve(dir.path()).start();
    assert_eq!(server.transact(1, 'c', 1, "um").posted().1, 1);
    server.stop();
    fs::write(dir.path().join("shard-0000/.DS_Store"), "x").unwrap();
    let server = Launch::serve(dir.path()).start();
    assert_eq!(server.balance(1), 1);
    server.stop();
    assert!(below(dir.path()).is_superset(&before));
    Launch::bare()
        .arg("check")
        .flag("data", dir.path())
        .run()
        .good();
}

/// However new it is, what was there before this start is not this start's.
#[test]
fn a_directory_that_was_made_before_is_left_alone() {
    let dir = data_dir();
    let data = dir.path().join("data");
    Launch::serve(&data).start().stop();
    let before = below(dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = Launch::serve(&data).flag("listen", address).run();
    outcome.refused(1, &["cannot listen on"]);
    assert_eq!(below(dir.path()), before);
    let server = Launch::serve(&data).start();
    assert_eq!(server.balance(1), 0);
}

#[test]
fn a_node_that_cannot_start_leaves_neither_links_nor_a_lock() {
    let dir = data_dir();
    let (data, run) = (dir.path().join("data"), dir.path().join("run/galo"));
    let node = |name: &str| {
        Launch::serve(&data)
            .cores(1)
            .flag("nodes", "api01,api02")
            .flag("node", name)
            .flag("run", &run)
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let outcome = node("api01").flag("listen", &taken).run();
    outcome.refused(1, &["cannot listen on"]);
    assert_eq!(below(dir.path()), BTreeSet::new());

    let server = node("api01").start();
    assert_eq!(server.transact(1, 'c', 1, "um").posted().1, 1);
    let before = below(dir.path());
    let outcome = node("api02").flag("listen", &taken).run();
    outcome.refused(1, &["cannot listen on"]);
    let outcome = node("api02")
        .flag("durability", "disk")
        .flag("processor-default", "http://127.0.0.1:1")
        .flag("processor-fallback", "http://127.0.0.1:2")
        .listen("127.0.0.1:0")
        .run();
    outcome.refused(1, &["must be alike"]);
    let left: Vec<String> = below(dir.path()).difference(&before).cloned().collect();
    // Of a shard that it owned for a moment; the other node's now.
    assert!(
        left.iter().all(|path| path.contains("/data/shard-")),
        "{left:?}"
    );
    assert!(run.join("links/api01.lock").exists());
    assert_eq!(server.balance(1), 1);
    assert_eq!(server.balance(2), 0);
}
