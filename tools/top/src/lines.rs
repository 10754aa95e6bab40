//! Where there is no terminal: a line for each node, and one for payments.

use std::io::{self, Write};

use crate::overview::{NodeFigures, Overview};
use crate::text::{bytes, clock, count, or_dash, owners, time};

/// Writes one look at all nodes.
pub fn write(out: &mut impl Write, overview: &Overview) -> io::Result<()> {
    for row in &overview.nodes {
        match &row.node {
            Err(why) => writeln!(out, "{}: {why}", row.target)?,
            Ok(node) => writeln!(out, "{}", line(&row.target, node))?,
        }
    }
    writeln!(out, "shards {}", owners(&overview.owners))?;
    if let Some(payments) = &overview.payments {
        write!(
            out,
            "payments open {} old {} in doubt {} accepted/s {} refused/s {}",
            payments.open,
            payments.old,
            payments.in_doubt,
            count(payments.accepted),
            count(payments.refused)
        )?;
        for it in &payments.processors {
            write!(
                out,
                "; {} {} {}/{} settled/s {} failed/s {} latency {:.1} ms",
                it.name,
                it.circuits.join("+"),
                it.under_way,
                it.window,
                count(it.settled),
                count(it.failed),
                it.latency_ms
            )?;
        }
        writeln!(out)?;
    }
    out.flush()
}

fn line(target: &str, node: &NodeFigures) -> String {
    format!(
        "{target}: {} {} up {} shards {} connections {} requests/s {} 4xx/s {} 5xx/s {} p50 {} p99 {} batch {} journal {}/s \
         snapshot {} memory {}",
        node.name,
        node.status,
        clock(node.uptime_s),
        node.shards,
        count(node.connections),
        count(node.requests),
        count(node.refused),
        count(node.failed),
        time(node.p50_s),
        time(node.p99_s),
        or_dash(node.batch),
        bytes(node.journal_bytes),
        clock(node.snapshot_age_s),
        bytes(node.resident_bytes)
    )
}
