use super::*;
use crate::replicate::record::RECORD_BYTES_MIN;
use crate::replicate::{Digest, Owner, Place, Position};

fn all() -> Vec<Record> {
    let log = |kind| record(Subject::Log(3), THEM, (4, 2), kind);
    let lease = |kind| record(Subject::Lease(1), THEM, (9, 2), kind);
    vec![
        log(Kind::Epoch),
        log(Kind::Batch(b"what was journalled".to_vec())),
        log(Kind::Batch(Vec::new())),
        log(Kind::Handover(2)),
        log(Kind::Mark),
        log(Kind::Digest(Digest {
            journal: 8,
            from: 4096,
            checksum: 7,
        })),
        lease(Kind::Held),
        lease(Kind::Ended),
        lease(Kind::Revoked),
    ]
}

#[test]
fn every_record_is_read_back() {
    for record in all() {
        let bytes = record.to_bytes();
        assert_eq!(Record::read(record.subject, &bytes), Some(record));
    }
}

#[test]
fn whatever_bit_flips_and_wherever_it_is_cut_a_record_is_refused() {
    for record in all() {
        let bytes = record.to_bytes();
        for bit in 0..8 * bytes.len() {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::read(record.subject, &other), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Record::read(record.subject, &bytes[..length]), None);
        }
        assert!(bytes.len() >= RECORD_BYTES_MIN);
    }
}

#[test]
fn a_record_is_refused_where_it_does_not_belong() {
    for record in all() {
        let bytes = record.to_bytes();
        for elsewhere in [
            Subject::Log(4),
            Subject::Lease(4),
            Subject::Lease(3),
            Subject::Log(1),
        ] {
            assert_eq!(Record::read(elsewhere, &bytes), None, "{elsewhere:?}");
        }
    }
}

#[test]
fn records_are_the_same_by_their_place_and_not_by_their_bytes() {
    let batch = record(Subject::Log(3), US, (4, 2), Kind::Batch(vec![1]));
    let again = Record {
        previous: 17,
        ..batch.clone()
    };
    assert!(batch.is_same(&again));
    for other in [
        record(Subject::Log(3), THEM, (4, 2), Kind::Batch(vec![1])),
        record(Subject::Log(3), US, (5, 2), Kind::Batch(vec![1])),
        record(Subject::Log(3), US, (4, 3), Kind::Batch(vec![1])),
        record(Subject::Log(3), US, (4, 2), Kind::Handover(1)),
    ] {
        assert!(!batch.is_same(&other), "{other:?}");
    }
}

#[test]
fn a_place_is_read_back() {
    for owner in [
        Owner::Nobody,
        Owner::Member(Writer {
            member: 2,
            incarnation: 1 << 40,
        }),
        Owner::Released(3),
    ] {
        let position = Position {
            sequence: 9,
            epoch: 4,
            number: 7,
            owner,
        };
        let place = Place {
            position,
            followed: 12,
        };
        assert_eq!(Place::read(&place.to_bytes()), Some(place));
    }
    let mut bytes = Place::default().to_bytes();
    bytes[24] = 3;
    assert_eq!(Place::read(&bytes), None, "no such owner");
}
