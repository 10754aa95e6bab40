//! The rows there are, and how much of everything they take.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// A row of the table: what `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Transactions against the no-op server, and their latency.
    Transactions,
    /// System calls for each request.
    Syscalls,
    /// Instructions in user space for each request.
    Instructions,
    /// Resident memory with many connections.
    Memory,
    /// Start to the first 200, five accounts.
    Start,
    /// Start to the first 200, a large snapshot.
    StartLarge,
    /// CPU time when idle.
    Idle,
    /// Durability disk against process.
    Durability,
    /// Pipelined transactions against the no-op server.
    Pipelined,
    /// Transactions on two full CPUs: two cores, and two nodes, against two no-op servers.
    Full,
    /// Latency of requests that cross to another core or node, against those that do not.
    Hop,
    /// Transactions through nginx and two nodes, against two no-op servers.
    Stack,
    /// Memory of nginx and two nodes under load.
    StackMemory,
    /// The contest's pace through nginx, a connection for each request.
    Paced,
    /// What a forwarded request costs either node.
    Forward,
    /// From the kill -9 of a node to the first reply for its shard.
    Takeover,
    /// Accepting payments against the no-op server.
    Payments,
    /// Payments at the contest's pace through nginx, and what each costs until it is confirmed.
    PaymentsPaced,
    /// What each payment costs as fast as they come.
    PaymentsCost,
    /// Many confirmed payments: start, memory, summaries.
    PaymentsLarge,
    /// Many open payments: start.
    PaymentsOpen,
    /// Latency beside connections that pipeline without end.
    Fairness,
    /// Memory and latency beside thousands of connections that pipeline and read nothing.
    Flood,
    /// Several machines: a request against a bare append to the same servers.
    Machines,
    /// Several machines: transactions a second, and how many share an append.
    MachinesSpeed,
    /// Several machines: deaths and a stop, to the first reply.
    MachinesFaults,
    /// Several machines: a node's memory beyond that of one alone.
    MachinesMemory,
    /// Several machines: a new node, with many accounts.
    MachinesJoin,
    /// Several machines: latency while shards are stored.
    MachinesStore,
    /// galo-load beside wrk, and whether it keeps its pace.
    Load,
}

impl Row {
    /// Those of several machines, whose journals it keeps.
    pub fn needs_nats_server(self) -> bool {
        matches!(
            self,
            Row::Machines
                | Row::MachinesSpeed
                | Row::MachinesFaults
                | Row::MachinesMemory
                | Row::MachinesJoin
                | Row::MachinesStore
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no row is hidden");
        f.write_str(value.get_name())
    }
}

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scale {
    pub rounds: usize,
    /// Of load, for each server in each round.
    pub seconds: u64,
    /// Open connections of the row on memory.
    pub connections: usize,
    pub starts: usize,
    pub large_accounts: u32,
    pub large_starts: usize,
    pub idle_seconds: u64,
    pub takeovers: usize,
    pub large_payments: u64,
    pub open_payments: u64,
    /// Connections of the larger flood.
    pub flood: usize,
    /// Deaths and stops of nodes on several machines, of each kind.
    pub machine_faults: usize,
}

impl Scale {
    pub const FULL: Scale = Scale {
        rounds: 7,
        seconds: 3,
        connections: 1000,
        starts: 20,
        large_accounts: 1_000_000,
        large_starts: 5,
        idle_seconds: 10,
        takeovers: 10,
        large_payments: 10_000_000,
        open_payments: 1_000_000,
        flood: 10_000,
        machine_faults: 5,
    };
    pub const QUICK: Scale = Scale {
        rounds: 1,
        seconds: 1,
        connections: 1000,
        starts: 3,
        large_accounts: 20_000,
        large_starts: 2,
        idle_seconds: 2,
        takeovers: 2,
        large_payments: 200_000,
        open_payments: 50_000,
        flood: 1_000,
        machine_faults: 1,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_several_machines_need_servers_and_others_do_not() {
        for row in Row::value_variants() {
            let is_named_so = row.to_string().starts_with("machines");
            assert_eq!(row.needs_nats_server(), is_named_so, "{row}");
        }
    }
}
