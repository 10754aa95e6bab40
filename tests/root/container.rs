//! The memory of a container: what the kernel keeps for a node's clients is charged to the node, too.
//!
//! Needs root, for a control group of its own.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use galo_testkit::{data_dir, get, transaction, Crowd, Driver, Launch, PATIENCE};

/// A control group with a limit of memory, of either version; removed when dropped, once nobody is in it.
struct ControlGroup {
    path: PathBuf,
    peak: &'static str,
}

impl ControlGroup {
    fn new(name: &str, memory_bytes: u64) -> ControlGroup {
        let root = Path::new("/sys/fs/cgroup");
        let (root, limit, peak) = match root.join("cgroup.controllers").exists() {
            true => {
                // Of those below, not of this one.
                let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
                (root.to_owned(), "memory.max", "memory.peak")
            }
            false => (
                root.join("memory"),
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
            ),
        };
        let group = ControlGroup {
            path: root.join(name),
            peak,
        };
        let made = fs::create_dir(&group.path)
            .and_then(|()| fs::write(group.path.join(limit), memory_bytes.to_string()));
        let path = group.path.display();
        made.unwrap_or_else(|error| panic!("these tests need root, and to make {path}: {error}"));
        group
    }

    /// The most that was in use.
    fn peak_bytes(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(self.peak)).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let began = Instant::now();
        while let Err(error) = fs::remove_dir(&self.path) {
            if error.kind() != ErrorKind::ResourceBusy || began.elapsed() > PATIENCE {
                return eprintln!("{} is still there: {error}", self.path.display());
            }
            std::thread::yield_now();
        }
    }
}

/// As many as the balancer lets in, all of them at one node; each pipelines 400 statements and reads nothing.
#[test]
fn pipelines_that_nobody_reads_do_not_fill_a_nodes_container() {
    const CLIENTS: usize = 1_024;
    const CONTAINER_BYTES: u64 = 64 << 20;
    for driver in [Driver::Uring, Driver::Epoll] {
        let dir = data_dir();
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        let group = ControlGroup::new(name, CONTAINER_BYTES);
        let members = File::options()
            .write(true)
            .open(group.path.join("cgroup.procs"))
            .unwrap();
        let socket = dir.path().join("socket");
        let server = Launch::driver(&dir.path().join("data"), driver)
            .cores(1)
            .listen(&format!("unix:{}", socket.display()))
            .before_exec(move || (&members).write_all(b"0"))
            .start();
        let mut polite = server.connect();
        for _ in 0..10 {
            polite.ask(&transaction(1, 'c', 1, "0123456789")).posted();
        }
        let mut crowd = Crowd::connect(server.address(), CLIENTS);
        crowd.flood(&get("/clientes/1/extrato").repeat(400), usize::MAX, || {
            assert_eq!(polite.ask(&get("/clientes/1/extrato")).status, 200);
            false
        });
        let peak = group.peak_bytes();
        eprintln!("{}: {peak} bytes of {CONTAINER_BYTES}", driver.name());
        assert!(peak <= CONTAINER_BYTES * 3 / 4, "{peak} bytes");
        drop(crowd);
        server.stop();
    }
}
