//! Reading the journals of a data directory back, behind the nodes' backs.

use std::path::Path;

use galo::bank::Kind;
use galo::payments::PaymentId;
use galo::shard::journal::{self, Event, PaymentEvent, Reader, SegmentHeader};
use galo::shard::layout::{segment, shard_dir, Listing};
use galo::shard::{Meta, RealDisk};

/// A transaction that was journalled.
#[derive(Clone, Debug)]
pub struct Journalled {
    pub client: u32,
    /// As in requests.
    pub kind: char,
    pub amount: i64,
    pub description: String,
}

/// All transactions of all shards, each shard's in order.
pub fn transactions(data: &Path) -> Vec<Journalled> {
    read(data, transaction)
}

/// All payments that were accepted, and their cents.
pub fn payments(data: &Path) -> Vec<(PaymentId, u64)> {
    read(data, |event| match event {
        Event::Payment(PaymentEvent::Accepted { id, cents }) => Some((id, cents)),
        _ => None,
    })
}

/// The nodes must not write meanwhile, and must have closed the last record: nothing but records may
/// be there.
fn read<T>(data: &Path, wanted: fn(Event<'_>) -> Option<T>) -> Vec<T> {
    let meta = Meta::read(&RealDisk, data).expect("galo.meta");
    let meta = meta.expect("a data directory");
    let mut found = Vec::new();
    for shard in 0..meta.shards {
        let dir = shard_dir(data, shard);
        let names = std::fs::read_dir(&dir).expect("a shard's directory");
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let listing = Listing::new(names.collect());
        let seed = journal::seed(&meta.identity(shard));
        let mut next = 1;
        for first in listing.segments {
            assert_eq!(
                first, next,
                "shard {shard}: what a snapshot has was dropped"
            );
            let path = segment(&dir, first);
            let bytes = std::fs::read(&path).expect("a segment");
            let header = SegmentHeader::read(&bytes).expect("a header");
            let mut reader = Reader::new(&bytes, &header, seed);
            for record in reader.by_ref() {
                let record = record.unwrap_or_else(|stop| panic!("{}: {stop:?}", path.display()));
                found.extend(wanted(record.event));
            }
            next = reader.sequence();
        }
    }
    found
}

fn transaction(event: Event<'_>) -> Option<Journalled> {
    match event {
        Event::Transaction { order, .. } => Some(Journalled {
            client: order.client,
            kind: if order.kind == Kind::Credit { 'c' } else { 'd' },
            amount: order.amount,
            description: order.description.as_str().to_owned(),
        }),
        _ => None,
    }
}
