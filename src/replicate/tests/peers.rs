//! Whose lease is over, and when one may be revoked.

use super::*;
use crate::limits::{ENGINE_RETRY_NS, LEASE_SILENCE_NS};
use crate::machine::engine::Answer;
use crate::replicate::peers::Peer;

fn lease_record(incarnation: u64, kind: Kind) -> Record {
    let writer = Writer {
        incarnation,
        ..THEM
    };
    record(Subject::Lease(THEM.member), writer, (1, 0), kind)
}

/// Whose last record is the 6th, and its holder's first.
fn peer() -> Peer {
    let mut peer = Peer::new(THEM.member);
    peer.seen(6, Some(&lease_record(0, Kind::Held)), 100);
    peer
}

#[test]
fn a_lease_is_over_when_something_else_stands_behind_it() {
    let mut peer = Peer::new(THEM.member);
    assert!(!peer.is_over(6) && !peer.is_alive(0), "nothing is known");
    peer.seen(6, Some(&lease_record(0, Kind::Held)), 100);
    assert!(!peer.is_over(6) && peer.is_over(5));
    peer.seen(7, Some(&lease_record(6, Kind::Held)), 200);
    assert!(!peer.is_over(6), "it was renewed");
    peer.seen(7, Some(&lease_record(6, Kind::Ended)), 300);
    assert!(!peer.is_over(6), "that was seen before");
    for kind in [Kind::Ended, Kind::Revoked] {
        let mut peer = self::peer();
        peer.seen(9, Some(&lease_record(6, kind)), 300);
        assert!(peer.is_over(6) && !peer.is_over(9) && !peer.is_alive(300));
        peer.seen(10, Some(&lease_record(0, Kind::Held)), 400);
        assert!(peer.is_over(6) && !peer.is_over(10) && peer.is_alive(400));
    }
}

#[test]
fn what_cannot_be_read_ends_no_lease() {
    let mut peer = peer();
    peer.seen(9, None, 200);
    assert!(!peer.is_over(6) && peer.is_alive(200));
}

#[test]
fn a_lease_is_silent_when_nothing_was_seen_of_it_while_ours_lasted() {
    let peer = peer();
    assert_eq!(peer.revocable_ns(0), 100 + LEASE_SILENCE_NS);
    assert_eq!(peer.revocable_ns(5_000), 5_000 + LEASE_SILENCE_NS);
    assert!(peer.is_alive(100 + LEASE_SILENCE_NS - 1));
    assert!(!peer.is_alive(100 + LEASE_SILENCE_NS));
}

#[test]
fn a_revocation_expects_the_record_that_was_seen() {
    let (mut peer, mut out) = (peer(), Outbox::default());
    peer.revoke(&mut out, CLUSTER, US);
    let (id, expected, revocation) = appended(&mut out);
    assert_eq!((expected, revocation.writer), (6, US));
    assert_eq!(revocation.kind, Kind::Revoked);
    peer.revoke(&mut out, CLUSTER, US);
    nothing_is_asked(&out);
    peer.answered(&mut out, id, &Answer::Acknowledged(8), 500);
    assert!(peer.is_over(6));
}

#[test]
fn one_that_lives_keeps_its_lease() {
    let (mut peer, mut out) = (peer(), Outbox::default());
    peer.revoke(&mut out, CLUSTER, US);
    let (id, ..) = appended(&mut out);
    peer.answered(&mut out, id, &Answer::Refused(7), 500);
    let (id, _) = asked(&mut out);
    let renewal = lease_record(6, Kind::Held).to_bytes();
    peer.answered(&mut out, id, &Answer::Last(Some((7, renewal))), 600);
    assert!(!peer.is_over(6) && peer.is_alive(600));
    assert_eq!(peer.revocable_ns(0), 600 + LEASE_SILENCE_NS);
}

#[test]
fn a_revocation_whose_answer_was_lost_is_found() {
    let (mut peer, mut out) = (peer(), Outbox::default());
    peer.revoke(&mut out, CLUSTER, US);
    let (id, _, revocation) = appended(&mut out);
    peer.answered(&mut out, id, &Answer::Unknown, 500);
    let (id, _) = asked(&mut out);
    let found = Answer::Last(Some((7, revocation.to_bytes())));
    peer.answered(&mut out, id, &found, 600);
    assert!(peer.is_over(6));
}

#[test]
fn a_revocation_that_came_to_nothing_is_tried_again_later() {
    let (mut peer, mut out) = (peer(), Outbox::default());
    let due_ns = 100 + LEASE_SILENCE_NS;
    peer.revoke(&mut out, CLUSTER, US);
    let (id, ..) = appended(&mut out);
    peer.answered(&mut out, id, &Answer::Unknown, due_ns);
    let (id, _) = asked(&mut out);
    peer.answered(&mut out, id, &Answer::Unknown, due_ns);
    assert_eq!(peer.revocable_ns(0), due_ns + ENGINE_RETRY_NS);
    peer.revoke(&mut out, CLUSTER, US);
    let (_, expected, _) = appended(&mut out);
    assert_eq!(expected, 6);
}
