//! Where galo listens: several addresses, Unix sockets, and the files that those leave.

use std::os::unix::net::UnixListener;

use galo_testkit::{data_dir, get, on_both_drivers, Address, Connection, Launch, ReservedPort};

#[test]
fn tcp_and_unix_at_once_and_the_file_goes_at_the_end() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            let path = dir.path().join("galo.sock");
            let server = Launch::driver(&dir.path().join("data"), driver)
                .cores(cores)
                .listen("127.0.0.1:0")
                .listen(&format!("unix:{}", path.display()))
                .listen("127.0.0.1:0")
                .start();
            assert_eq!(server.addresses.len(), 3);
            assert_eq!(server.addresses[1], Address::Unix(path.clone()));
            for address in &server.addresses {
                let mut connections: Vec<_> = (0..4)
                    .map(|_| Connection::open(address).expect("it listens"))
                    .collect();
                for connection in &mut connections {
                    assert_eq!(connection.ask(&get("/health")).status, 200);
                    connection.ask(&get("/clientes/1/extrato")).statement();
                }
            }
            server.stop();
            assert!(!path.exists(), "removed at the end");
        }
    });
}

#[test]
fn what_a_dead_process_left_is_replaced() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let path = dir.path().join("galo.sock");
        let listen = format!("unix:{}", path.display());
        let data = dir.path().join("data");
        let launch = || Launch::driver(&data, driver).listen(&listen);
        launch().start().kill();
        assert!(path.exists(), "this is what kill -9 leaves");
        let server = launch().start();
        assert_eq!(server.get("/health").status, 200);
        server.stop();
        assert!(!path.exists());
    });
}

#[test]
fn a_socket_in_use_is_refused_and_left_alone() {
    let dir = data_dir();
    let path = dir.path().join("galo.sock");
    let listen = format!("unix:{}", path.display());
    let _other = UnixListener::bind(&path).unwrap();
    let data = dir.path().join("data");
    let outcome = Launch::serve(&data).flag("listen", &listen).run();
    outcome.refused(1, &[&listen, "another process"]);
    assert!(path.exists());
}

#[test]
fn a_file_that_is_no_socket_is_refused_and_left_alone() {
    let dir = data_dir();
    let path = dir.path().join("precious");
    std::fs::write(&path, "precious").unwrap();
    let listen = format!("unix:{}", path.display());
    let data = dir.path().join("data");
    let outcome = Launch::serve(&data).flag("listen", &listen).run();
    outcome.refused(1, &[&listen, "is not a socket"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_port_in_use_is_named() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            let server = Launch::driver(&dir.path().join("a"), driver)
                .cores(cores)
                .start();
            let taken = server.address().tcp();
            let data = dir.path().join("b");
            // Two galos of one user could share a port without noticing.
            let outcome = Launch::driver(&data, driver)
                .cores(2)
                .flag("listen", taken)
                .run();
            outcome.refused(1, &[taken, "another process"]);
            assert_eq!(server.get("/health").status, 200);
        }
    });
}

#[test]
fn an_address_that_another_one_has_in_it_is_named() {
    let dir = data_dir();
    let data = dir.path().join("data");
    std::fs::create_dir(dir.path().join("d")).unwrap();
    let unix = ["galo.sock", "d/../galo.sock"];
    let unix = unix.map(|name| format!("unix:{}", dir.path().join(name).display()));
    let free = ReservedPort::new();
    let tcp = [
        free.address().replace("127.0.0.1", "0.0.0.0"),
        free.address(),
    ];
    for [first, second] in [unix, tcp] {
        let launch = Launch::serve(&data).flag("listen", &first);
        let outcome = launch.flag("listen", &second).run();
        outcome.refused(1, &[&second, &first, "leave one of them out"]);
    }
}
