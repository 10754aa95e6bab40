//! What happens to the machines while clients ask.

use std::thread::sleep;
use std::time::Duration;

use galo_testkit::{wait_until, Random};
use nix::sys::signal::Signal;

use crate::clients::Clients;
use crate::load::under_load;
use crate::machines::{Machines, LOG, NODES, SUBJECTS};
use crate::payments::under_payments;

/// A node that is back after this is not missed by anybody, and a server for less than an election takes.
const SOON: Duration = Duration::from_secs(1);
/// A network between two machines stays cut for so long, in which the engine may elect again and again.
const CUT: Duration = Duration::from_secs(10);
/// Each client has so much acknowledged between two faults.
const BETWEEN: u64 = 20;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// `kill -9` of a node.
    OwnerKilled,
    /// `kill -9` of the server that leads the log.
    LeaderKilled,
    /// Both at once.
    BothKilled,
    /// A node stands still for so many seconds.
    OwnerPaused(u64),
    /// The server that leads the log stands still for so many seconds.
    LeaderPaused(u64),
    /// A machine is cut off from the others until these have its shards, with a server that does not lead the log.
    MachineCut,
    /// The same with the server that leads the log.
    LeaderCut,
    /// Two machines do not reach each other, and both reach the third.
    LinkCut,
    /// `kill -9` of all nodes and servers.
    AllPower,
    /// `kill -9` of a server that does not lead the log, and a bit of its records is flipped.
    BitFlipped,
    /// The same of the server that leads the log.
    LeadersBitFlipped,
}

/// So many rounds of it while clients of the bank ask.
pub fn bank(fault: Fault, rounds: usize) {
    let mut machines = fault.machines();
    let addresses = machines.addresses.clone();
    let report = under_load(&addresses, |clients| {
        fault.plays(&mut machines, clients, rounds)
    });
    eprintln!("{fault:?} x {rounds}: {report:?}");
}

/// The same while clients pay.
pub fn payments(fault: Fault, rounds: usize) {
    let mut machines = Machines::gateway();
    let count = under_payments(&mut machines, |machines, clients| {
        fault.plays(machines, clients, rounds)
    });
    eprintln!("{fault:?} x {rounds}: {count} payments");
}

impl Fault {
    fn machines(self) -> Machines {
        match self {
            // Else there is little in which a bit could be flipped.
            Fault::BitFlipped | Fault::LeadersBitFlipped => Machines::with_log(64),
            _ => Machines::start(),
        }
    }

    /// After each round everything is as it was.
    fn plays(self, machines: &mut Machines, clients: &Clients, rounds: usize) {
        for round in 0..rounds {
            clients.wait_for(BETWEEN);
            self.happens(machines, clients, round);
            machines.engine.wait_until_ready();
            machines.wait_until_whole();
        }
        clients.wait_for(BETWEEN);
    }

    fn happens(self, machines: &mut Machines, clients: &Clients, round: usize) {
        let node = round % NODES.len();
        let leader = machines.engine_leader();
        match self {
            Fault::OwnerKilled => {
                machines.kill_node(node);
                // Every other time it is back before anybody misses it.
                match round % 2 {
                    0 => machines.wait_until_taken_over_by(&others(node)),
                    _ => sleep(SOON),
                }
                machines.start_node(node);
            }
            Fault::LeaderKilled => {
                machines.engine.kill(leader);
                sleep(SOON);
                machines.engine.restart(leader);
            }
            Fault::BothKilled => {
                machines.engine.kill(leader);
                machines.kill_node(node);
                match round % 2 {
                    0 => machines.wait_until_taken_over_by(&others(node)),
                    _ => sleep(SOON),
                }
                machines.start_node(node);
                machines.engine.restart(leader);
            }
            Fault::OwnerPaused(seconds) => {
                machines.signal_node(node, Signal::SIGSTOP);
                sleep(Duration::from_secs(seconds));
                machines.signal_node(node, Signal::SIGCONT);
            }
            Fault::LeaderPaused(seconds) => {
                machines.engine.stop(leader);
                sleep(Duration::from_secs(seconds));
                machines.engine.cont(leader);
            }
            Fault::MachineCut | Fault::LeaderCut => {
                let machine = match self {
                    Fault::LeaderCut => leader,
                    _ => others(leader)[round % 2],
                };
                clients.only_read_at(machine);
                machines.network().cut_off(machine);
                machines.wait_until_taken_over_by(&others(machine));
                // It is asked, too, for what it does not own any more, and takes two seconds to say so.
                clients.wait_for(BETWEEN / 4);
                clients.write_everywhere();
                clients.wait_for(BETWEEN / 4);
                machines.network().mend();
            }
            Fault::LinkCut => {
                machines.network().cut(leader, others(leader)[round % 2]);
                // Whoever follows and does not hear of the leader wants to lead: there may be no end to it.
                sleep(CUT);
                machines.network().mend();
            }
            Fault::AllPower => {
                (0..NODES.len()).for_each(|server| machines.engine.kill(server));
                (0..NODES.len()).for_each(|node| machines.kill_node(node));
                (0..NODES.len()).for_each(|server| machines.engine.restart(server));
                (0..NODES.len()).for_each(|node| machines.start_node(node));
            }
            Fault::BitFlipped => flip(machines, clients, others(leader)[round % 2], false, node),
            Fault::LeadersBitFlipped => flip(machines, clients, leader, true, node),
        }
    }
}

/// A bit of what a server has is flipped, and it is made to lead; an owner dies. The nodes find it, and have another server lead
/// before they take anything over. Then the server gets new files from the others.
fn flip(machines: &mut Machines, clients: &Clients, server: usize, leads: bool, node: usize) {
    // What it has when it is shut down it does not ask the others for again.
    clients.wait_for(5 * BETWEEN);
    machines.engine.shut_down(server);
    let length = machines.engine.records_length(server, LOG);
    machines.engine.restart(server);
    machines.engine.wait_until_ready();
    if leads {
        machines.engine.make_leader(LOG, server);
    }
    clients.wait_for(BETWEEN);
    machines.engine.kill(server);
    let mut random = Random::from_time();
    let (at, bit) = (random.between(length / 8, length / 2), random.below(64));
    machines
        .engine
        .flip_bit(server, LOG, SUBJECTS, at, bit as u32);
    machines.engine.restart(server);
    machines.engine.wait_until_ready();
    machines.engine.make_leader(LOG, server);
    let missing = machines.engine.missing_of(server, LOG).unwrap_or(0);
    let what = format!("bit {bit} behind byte {at} of {length}: {missing} missing");
    eprintln!("{what}");
    assert!(missing > 0, "{what}");
    machines.kill_node(node);
    let others = others(node);
    wait_until(&format!("a node finds it: {what}"), || {
        let lines = others.iter().flat_map(|node| machines.log_of(*node));
        let words = format!("leading server lacks {missing} records");
        lines.filter(|line| line.contains(&words)).count() > 0
    });
    machines.wait_until_taken_over_by(&others);
    assert_ne!(machines.engine_leader(), server, "{what}");
    machines.start_node(node);
    machines.engine.kill(server);
    machines.engine.wipe(server);
    machines.engine.restart(server);
    machines.engine.wait_until_ready();
    machines.engine.make_leader(LOG, server);
    assert_eq!(machines.engine.missing_of(server, LOG), Some(0), "{what}");
}

/// Than this node, or machine.
fn others(than: usize) -> [usize; 2] {
    [(than + 1) % NODES.len(), (than + 2) % NODES.len()]
}
