//! The format, and what the reader makes of it.

use crate::bank::{Description, Kind};
use crate::shard::journal::*;
use crate::shard::Identity;

const IDENTITY: Identity = Identity {
    directory: 99,
    shard: 0,
    shards: 1,
};

fn segment(records: &[(u64, u32)]) -> (Vec<u8>, Header, u32) {
    let seed = seed(&IDENTITY);
    let header = Header {
        directory: 99,
        shard: 0,
        first: records[0].0,
        chain: 17,
    };
    let mut bytes = header.to_bytes().to_vec();
    let mut chain = 17;
    for (sequence, unsynced) in records {
        let stamp = Stamp {
            chain,
            unsynced: *unsynced,
            sequence: *sequence,
            time_us: 5,
        };
        chain = append_reset(&mut bytes, seed, &stamp);
    }
    (bytes, header, seed)
}

/// The layout is a promise: written down here byte by byte, checksums aside.
#[test]
fn layout() {
    let seed = seed(&IDENTITY);
    let stamp = Stamp {
        chain: 0x0403_0201,
        unsynced: 7,
        sequence: 0x0908,
        time_us: 0x1110,
    };
    let mut bytes = Vec::new();
    let text = Description::new("olá").unwrap();
    append_transaction(&mut bytes, seed, &stamp, 5, Kind::Debit, 0x1234, text);
    #[rustfmt::skip]
    let expected = [
        1, 2, 3, 4, 56, 0, 1, 0, 7, 0, 0, 0,
        8, 9, 0, 0, 0, 0, 0, 0, 0x10, 0x11, 0, 0, 0, 0, 0, 0,
        5, 0, 0, 0, b'd', 4, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0,
        b'o', b'l', 0xc3, 0xa1, 0, 0, 0, 0,
    ];
    assert_eq!(bytes[4..], expected);
    let record = record_at(&bytes, 0, seed).unwrap();
    assert_eq!(record.stamp, stamp);
    assert_eq!(
        record.event,
        Event::Transaction {
            account: 5,
            kind: Kind::Debit,
            amount: 0x1234,
            description: text,
        }
    );
    assert_eq!(record_at(&bytes, 0, seed ^ 1), Err(Reason::Checksum));
}

#[test]
fn reads_until_the_chain_breaks() {
    let (bytes, header, seed) = segment(&[(4, 1), (5, 2), (7, 3)]);
    let mut reader = Reader::new(&bytes, &header, seed);
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 2);
    assert_eq!(reader.sequence(), 6);
    let stop = Reader::new(&bytes, &header, seed).last().unwrap();
    let expected = Stop {
        offset: 64 + 2 * 32,
        reason: Reason::Chain,
    };
    assert_eq!(stop, Err(expected));
}

#[test]
fn a_record_vouches_for_what_was_durable() {
    let (bytes, _, seed) = segment(&[(4, 1), (5, 2), (6, 6)]);
    let best = |start, first| vouched(&bytes, start, first, seed).map(|(durable, _)| durable);
    assert_eq!(best(64, 4), Some(3));
    assert_eq!(best(128, 6), Some(0));
    assert_eq!(best(160, 7), None);
    // Not from here: the records before them would not have had room.
    assert_eq!(best(64 + 32 + 8, 4), None);
}

/// `unsynced` at its limit means "that many or more": subtracting it would vouch for too much.
#[test]
fn a_saturated_count_vouches_for_nothing() {
    let (bytes, _, seed) = segment(&[(u64::from(u32::MAX) + 9, u32::MAX)]);
    let (durable, _) = vouched(&bytes, 64, u64::from(u32::MAX) + 9, seed).unwrap();
    assert_eq!(durable, 0);
}

/// A client may choose 40 bytes of a record; without the seed it could choose a record in them.
#[test]
fn a_record_in_a_description_is_none() {
    let mut forged = Vec::new();
    let stamp = Stamp {
        chain: 0,
        unsynced: 1,
        sequence: 2,
        time_us: 0,
    };
    append_reset(&mut forged, 0, &stamp);
    assert!(record_at(&forged, 0, 0).is_ok());
    assert_eq!(vouched(&forged, 0, 2, seed(&IDENTITY)), None);
}
