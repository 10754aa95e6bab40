//! Each fault once or twice. The long form is `soak`.

use crate::faults::{bank, payments, Fault};

#[test]
fn owners_are_killed() {
    bank(Fault::OwnerKilled, 2);
}

#[test]
fn the_engines_leader_is_killed() {
    bank(Fault::LeaderKilled, 1);
}

#[test]
fn an_owner_and_the_engines_leader_are_killed_together() {
    bank(Fault::BothKilled, 1);
}

#[test]
fn an_owner_is_paused_for_less_than_its_lease() {
    bank(Fault::OwnerPaused(1), 1);
}

#[test]
fn an_owner_is_paused_for_more_than_its_lease() {
    bank(Fault::OwnerPaused(6), 1);
}

#[test]
fn the_engines_leader_is_paused() {
    bank(Fault::LeaderPaused(6), 1);
}

#[test]
fn a_machine_is_cut_off() {
    bank(Fault::MachineCut, 1);
}

#[test]
fn the_machine_of_the_engines_leader_is_cut_off() {
    bank(Fault::LeaderCut, 1);
}

#[test]
fn two_machines_do_not_reach_each_other() {
    bank(Fault::LinkCut, 1);
}

#[test]
fn everything_loses_its_power() {
    bank(Fault::AllPower, 1);
}

#[test]
fn a_bit_of_a_server_is_flipped() {
    bank(Fault::BitFlipped, 1);
}

#[test]
fn a_payment_is_carried_out_once_whoever_is_killed() {
    payments(Fault::OwnerKilled, 2);
}

#[test]
fn a_payment_is_carried_out_once_whoever_is_paused() {
    payments(Fault::OwnerPaused(5), 1);
}

#[test]
fn a_payment_is_carried_out_once_whoever_is_cut_off() {
    payments(Fault::MachineCut, 1);
}
