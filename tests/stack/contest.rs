//! The contest's load passes through the balancer.

use crate::nginx::Balancer;
use crate::stack::Stack;
use galo_testkit::contest_2024;

#[test]
fn the_contests_sequence_passes_behind_stream() {
    contest_2024(&Stack::behind(Balancer::Stream).address());
}

#[test]
fn the_contests_sequence_passes_behind_http() {
    contest_2024(&Stack::behind(Balancer::Http).address());
}
