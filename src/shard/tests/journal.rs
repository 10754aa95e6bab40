//! The format, and what the reader makes of it.

use super::order;
use crate::bank::{Kind, Refusal};
use crate::command::{ForwardId, Ids, Origin};
use crate::shard::dedup::Remembered;
use crate::shard::journal::*;
use crate::shard::Identity;

const IDENTITY: Identity = Identity {
    directory: 99,
    shard: 0,
    shards: 1,
};

fn segment(records: &[(u64, u32)]) -> (Vec<u8>, SegmentHeader, u32) {
    let seed = seed(&IDENTITY);
    let header = SegmentHeader {
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
        chain = append_reset(&mut bytes, seed, &stamp, None);
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
    let order = order(5, Kind::Debit, 0x1234, "olá");
    append_transaction(&mut bytes, seed, &stamp, &order);
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
            order,
            ids: Ids::default(),
            balance: None,
        }
    );
    assert_eq!(record_at(&bytes, 0, seed ^ 1), Err(Reason::Checksum));
}

/// With ids, a transaction tells its outcome.
#[test]
fn layout_with_ids() {
    let seed = seed(&IDENTITY);
    let stamp = Stamp {
        chain: 0x0403_0201,
        unsynced: 7,
        sequence: 0x0908,
        time_us: 0x1110,
    };
    let ids = Ids {
        forward: Some(ForwardId {
            origin: Origin {
                member: 0x2221,
                epoch: 0x3635_3433_3231,
            },
            counter: 0x41,
        }),
        key: Some(0x52 << 120 | 0x51),
    };
    let order = order(5, Kind::Debit, 0x1234, "olá");
    let mut bytes = Vec::new();
    append_remembered(&mut bytes, seed, &stamp, &order, &ids, Ok(-2));
    #[rustfmt::skip]
    let expected = [
        1, 2, 3, 4, 96, 0, 1, 3, 7, 0, 0, 0,
        8, 9, 0, 0, 0, 0, 0, 0, 0x10, 0x11, 0, 0, 0, 0, 0, 0,
        5, 0, 0, 0, b'd', 4, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0,
        0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x21, 0x22, 0x41, 0, 0, 0, 0, 0, 0, 0,
        0x51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x52,
        0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        b'o', b'l', 0xc3, 0xa1, 0, 0, 0, 0,
    ];
    assert_eq!(bytes[4..], expected);
    let balance = Some(-2);
    let event = Event::Transaction {
        order,
        ids,
        balance,
    };
    assert_eq!(record_at(&bytes, 0, seed).unwrap().event, event);

    // Refused, and with only one of the ids.
    let ids = Ids {
        forward: None,
        ..ids
    };
    let mut bytes = Vec::new();
    let refusal = Refusal::Overflow;
    append_remembered(&mut bytes, seed, &stamp, &order, &ids, Err(refusal));
    #[rustfmt::skip]
    let expected = [
        1, 2, 3, 4, 80, 0, 3, 2, 7, 0, 0, 0,
        8, 9, 0, 0, 0, 0, 0, 0, 0x10, 0x11, 0, 0, 0, 0, 0, 0,
        5, 0, 0, 0, b'd', 4, 2, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0,
        0x51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x52,
        0, 0, 0, 0, 0, 0, 0, 0,
        b'o', b'l', 0xc3, 0xa1, 0, 0, 0, 0,
    ];
    assert_eq!(bytes[4..], expected);
    let event = Event::Refused {
        order,
        ids,
        refusal,
    };
    assert_eq!(record_at(&bytes, 0, seed).unwrap().event, event);
}

/// Intact, and yet nothing that this code writes: never taken for something else.
#[test]
fn what_makes_no_sense_is_unknown() {
    let seed = seed(&IDENTITY);
    let stamp = Stamp {
        chain: 0,
        unsynced: 1,
        sequence: 1,
        time_us: 5,
    };
    let forward = ForwardId {
        origin: Origin {
            member: 1,
            epoch: 1,
        },
        counter: 1,
    };
    let forwarded = Ids {
        forward: Some(forward),
        key: None,
    };
    let keyed = Ids {
        forward: None,
        key: Some(1),
    };
    let order = order(5, Kind::Debit, 1, "descricao!");
    let refused = Err(Refusal::Limit);
    type Change = (usize, u8);
    let cases: [(Ids, Remembered, Change); 8] = [
        (forwarded, Ok(1), (11, 0)),      // The ids are read as a description.
        (forwarded, Ok(1), (11, 5)),      // A flag that nobody knows.
        (forwarded, Ok(1), (38, 1)),      // It was refused, and it was not.
        (forwarded, Ok(1), (10, 3)),      // Refused, without a key.
        (forwarded, Ok(1), (48 + 15, 1)), // A counter beyond all bounds.
        (keyed, refused, (10, 1)),
        (keyed, refused, (38, 3)),
        (keyed, refused, (48 + 16, 1)), // Refused, with a balance.
    ];
    for (ids, outcome, (offset, byte)) in cases {
        let mut bytes = Vec::new();
        append_remembered(&mut bytes, seed, &stamp, &order, &ids, outcome);
        let known = record_at(&bytes, 0, seed).unwrap().event;
        assert!(!matches!(known, Event::Unknown(_)), "{known:?}");
        assert_ne!(bytes[offset], byte);
        bytes[offset] = byte;
        let crc = crc32c::crc32c_append(seed, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        let event = record_at(&bytes, 0, seed).unwrap().event;
        assert!(matches!(event, Event::Unknown(_)), "{offset}: {event:?}");
    }
}

#[test]
fn reads_until_the_chain_breaks() {
    let (bytes, header, seed) = segment(&[(4, 1), (5, 2), (7, 3)]);
    let mut reader = Reader::new(&bytes, &header, seed);
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 2);
    assert_eq!(reader.sequence(), 6);
    let stop = Reader::new(&bytes, &header, seed).last().unwrap();
    let expected = ReadStop {
        offset: 64 + 2 * 32,
        reason: Reason::Chain,
    };
    assert_eq!(stop, Err(expected));
}

#[test]
fn a_record_proves_what_was_durable() {
    let (bytes, _, seed) = segment(&[(4, 1), (5, 2), (6, 6)]);
    let best =
        |start, first| scan_durable_up_to(&bytes, start, first, seed).map(|(durable, _)| durable);
    assert_eq!(best(64, 4), Some(3));
    assert_eq!(best(128, 6), Some(0));
    assert_eq!(best(160, 7), None);
    // Not from here: the records before them would not have had room.
    assert_eq!(best(64 + 32 + 8, 4), None);
}

/// `unsynced` at its limit means "that many or more": subtracting it would prove too much.
#[test]
fn a_saturated_count_proves_nothing() {
    let (bytes, _, seed) = segment(&[(u64::from(u32::MAX) + 9, u32::MAX)]);
    let (durable, _) = scan_durable_up_to(&bytes, 64, u64::from(u32::MAX) + 9, seed).unwrap();
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
    append_reset(&mut forged, 0, &stamp, None);
    assert!(record_at(&forged, 0, 0).is_ok());
    assert_eq!(scan_durable_up_to(&forged, 0, 2, seed(&IDENTITY)), None);
}
