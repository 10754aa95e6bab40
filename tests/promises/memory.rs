//! Resident memory with many connections open.

use nix::sys::resource::{getrlimit, setrlimit, Resource};

use crate::support::{data_dir, get, on_both_drivers, Launch};

const CONNECTIONS: usize = 1_000;
/// What is promised, of a release build.
const RELEASE_KIB_MAX: u64 = 10 * 1024;
/// A debug build's code alone is some megabytes more.
const DEBUG_KIB_MAX: u64 = 16 * 1024;

#[test]
fn a_thousand_connections_fit_in_ten_megabytes() {
    // Both servers' clients are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = 4 * CONNECTIONS as u64;
    assert!(hard >= wanted, "this test needs ulimit -n {wanted}");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send(&get("/clientes/1/extrato"));
        }
        for connection in &mut connections {
            assert_eq!(connection.reply().status, 200);
        }
        let max = if cfg!(debug_assertions) {
            DEBUG_KIB_MAX
        } else {
            RELEASE_KIB_MAX
        };
        let resident = server.resident_kib();
        eprintln!("{}: {resident} KiB of {max}", driver.name());
        assert!(resident < max, "{resident} KiB resident, at most {max}");
        let connected = server.metric("galo_connections");
        assert_eq!(connected as usize, CONNECTIONS + 1);
    });
}
