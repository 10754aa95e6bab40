//! What clients write, and how records that have it are shown.

use galo::machine::engine::Sequence;
use galo::replicate::record::{Kind, Record};

/// What a write puts into the log: a number of its own.
const WRITE_BYTES: usize = 8;

/// The writes of a batch.
pub fn writes(batch: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let writes = batch.chunks_exact(WRITE_BYTES);
    writes.map(|it| u64::from_le_bytes(it.try_into().expect("of that size")))
}

/// A record and its place, without its bytes.
pub fn place(sequence: Sequence, record: &Record) -> String {
    let kind = match &record.kind {
        Kind::Batch(batch) => format!("Batch {:?}", writes(batch).collect::<Vec<_>>()),
        kind => format!("{kind:?}"),
    };
    let Record {
        writer,
        epoch,
        number,
        ..
    } = record;
    format!("{sequence}: {kind} by {writer:?} epoch {epoch} number {number}")
}
