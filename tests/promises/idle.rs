//! A server that nobody asks anything of does nothing.

use std::thread::sleep;
use std::time::Duration;

use galo_testkit::{data_dir, get, on_both_drivers, Launch};

const WATCHED: Duration = Duration::from_secs(5);

#[test]
fn idle_means_no_cpu_time() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let mut connections: Vec<_> = (0..100).map(|_| server.connect()).collect();
        for connection in &mut connections {
            assert_eq!(connection.ask(&get("/health")).status, 200);
        }
        server.transact(1, 'c', 1, "um").posted();
        server.transact(2, 'c', 1, "um").posted();
        // What follows the last write, a sync within 100 ms, is not idleness yet.
        sleep(Duration::from_millis(500));
        let before = server.cpu_ticks();
        sleep(WATCHED);
        let ticks = server.cpu_ticks() - before;
        assert_eq!(ticks, 0, "ticks of CPU time in {WATCHED:?}");
        for connection in &mut connections {
            assert_eq!(connection.ask(&get("/health")).status, 200);
        }
    });
}
