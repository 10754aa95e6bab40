//! The contest's load passes through the balancer.

use crate::nginx::Balancer;
use crate::stack::Stack;
use crate::support::contest;

#[test]
fn the_contests_sequence_passes_behind_stream() {
    contest(&Stack::behind(Balancer::Stream).address());
}

#[test]
fn the_contests_sequence_passes_behind_http() {
    contest(&Stack::behind(Balancer::Http).address());
}
