//! A full disk: writes are refused, reads go on, and writes resume by themselves.
//!
//! Needs root, for a file system of its own.

use std::fs;
use std::path::Path;

use galo_testkit::{data_dir, on_both_drivers, transaction, Launch, Mount, Writer};

#[test]
fn writes_are_refused_and_resume_by_themselves_on_one_core() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let mount = Mount::new(dir.path().join("disk"), 2);
        let data = mount.path().join("data");
        refused_and_resumed(&mount, &data, &|| Launch::driver(&data, driver).cores(1));
    });
}

#[test]
fn writes_are_refused_and_resume_by_themselves_on_two_cores() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let mount = Mount::new(dir.path().join("disk"), 2);
        let data = mount.path().join("data");
        refused_and_resumed(&mount, &data, &|| {
            Launch::driver(&data, driver)
                .cores(2)
                .flag("durability", "disk")
        });
    });
}

fn refused_and_resumed(mount: &Mount, data: &Path, launch: &dyn Fn() -> Launch) {
    let server = launch().start();
    let mut connection = server.connect();
    let mut expected = [0; 6];
    for round in 0..3 {
        let filler = mount.fill();
        let mut refused = 0;
        // A page of the journal has room for some more.
        for count in 0..400 {
            let client = 1 + count % 5;
            let reply = connection.ask(&transaction(client, 'c', 1, "cheio"));
            if reply.status == 200 {
                expected[client as usize] += 1;
                assert_eq!(reply.posted().1, expected[client as usize]);
            } else {
                assert_eq!(reply.status, 503, "{reply:?}");
                let json = reply.json();
                assert_eq!(json["error"], "storage full", "{json}");
                assert_eq!(reply.header("retry-after"), Some("1"));
                refused += 1;
            }
        }
        assert!(refused > 0, "round {round}: nothing was refused");
        for client in 1..=5 {
            // Reads go on, and show nothing that was refused.
            assert_eq!(server.balance(client), expected[client as usize]);
        }
        assert_eq!(server.get("/health").status, 200);
        server.wait_for_log("writes are refused");
        fs::remove_file(filler).unwrap();
        for client in 1..=5 {
            let reply = connection.ask(&transaction(client, 'c', 1, "depois"));
            expected[client as usize] += 1;
            assert_eq!(reply.posted().1, expected[client as usize]);
        }
    }
    server.kill();
    let checked = Launch::bare().arg("check").flag("data", data).run().good();
    assert!(checked.contains("good"), "{checked}");
    let server = launch().start();
    for client in 1..=5 {
        assert_eq!(server.balance(client), expected[client as usize]);
    }
    server.stop();
}

/// No room for the closing snapshot: the journal has everything.
#[test]
fn a_stop_on_a_full_disk_loses_nothing() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let mount = Mount::new(dir.path().join("disk"), 2);
        let data = mount.path().join("data");
        let launch = || Launch::driver(&data, driver).cores(1);
        let mut server = launch().start();
        for _ in 0..10 {
            server.transact(1, 'c', 1, "um").posted();
        }
        let filler = mount.fill();
        server.signal(nix::sys::signal::Signal::SIGTERM);
        let status = server.wait(std::time::Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{status}");
        fs::remove_file(filler).unwrap();
        let server = launch().start();
        assert_eq!(server.balance(1), 10);
    });
}

/// The disk fills up under load and is emptied again; everything acknowledged is there.
#[test]
fn a_disk_that_fills_up_under_load_loses_nothing() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let mount = Mount::new(dir.path().join("disk"), 2);
        let data = mount.path().join("data");
        let server = Launch::driver(&data, driver).cores(2).start();
        let filler = mount.fill();
        let mut writers = Writer::several(10);
        std::thread::scope(|scope| {
            for writer in &mut writers {
                let mut connection = server.connect();
                scope.spawn(move || {
                    let mut refused = 0;
                    while refused < 10 {
                        let reply = connection.ask(&writer.request());
                        if reply.status == 503 {
                            refused += 1;
                        } else {
                            reply.posted();
                            writer.acknowledged += 1;
                        }
                    }
                });
            }
        });
        fs::remove_file(filler).unwrap();
        Writer::settle(&mut writers, &server);
        server.kill();
        let server = Launch::driver(&data, driver).cores(2).start();
        Writer::settle(&mut writers, &server);
    });
}
