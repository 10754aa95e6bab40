//! A node that takes over the other's shard while both have as much to remember as they ever have.

use std::thread;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::project::{Project, NODES};
use galo_testkit::{keyed, transaction, Address, Connection};

/// A client of each shard.
const CLIENTS: [u32; 2] = [1, 2];
/// More than a shard remembers (`KEYS_MAX`).
const KEYS: usize = 105_000;
/// Sent before the first of them is answered.
const BATCH: usize = 50;

/// The container's memory is enough for both shards and for the replay; nobody is killed for it.
pub fn fits_with_all_keys_remembered(project: &Project<'_>) {
    thread::scope(|scope| {
        for client in CLIENTS {
            scope.spawn(move || remember(&project.address, client));
        }
    });
    let [dead, survivor] = NODES;
    let pid = project.pid(dead);
    let survivor_pid = project.pid(survivor);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process");
    let is_another = |now: &str| now != "0" && now != pid.to_string();
    project.wait_until(dead, "{{.State.Pid}}", is_another);
    for node in NODES {
        project.wait_until_healthy(node);
        assert_eq!(project.inspect(node, "{{.State.OOMKilled}}"), "false");
    }
    assert_eq!(project.pid(survivor), survivor_pid, "it was never away");
    assert_eq!(project.inspect(dead, "{{.RestartCount}}"), "1");
    for client in CLIENTS {
        let mut connection = Connection::open(&project.address).expect("a connection");
        connection
            .ask(&transaction(client, 'c', 1, "depois"))
            .posted();
    }
}

/// Transactions of one client, each with a key.
fn remember(address: &Address, client: u32) {
    let mut connection = Connection::open(address).expect("a connection");
    for first in (0..KEYS).step_by(BATCH) {
        let keys = first..first + BATCH;
        let batch = keys.flat_map(|key| keyed(client, 'c', 1, "chave", &key.to_string()));
        connection.send(&batch.collect::<Vec<u8>>());
        for _ in 0..BATCH {
            connection.reply().posted();
        }
    }
}
