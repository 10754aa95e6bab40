//! The long form of `short`: each fault as often as it takes to meet what is rare. `.ci/run --soak`.

use crate::faults::{bank, payments, Fault};

macro_rules! soak {
    ($($name:ident: $load:ident $fault:expr, $rounds:expr;)*) => {$(
        #[test]
        #[ignore = "long: .ci/run --soak"]
        fn $name() {
            $load($fault, $rounds);
        }
    )*};
}

soak! {
    owners_are_killed_10_times: bank Fault::OwnerKilled, 10;
    the_engines_leader_is_killed_10_times: bank Fault::LeaderKilled, 10;
    both_are_killed_5_times: bank Fault::BothKilled, 5;
    owners_are_paused_for_1_s_10_times: bank Fault::OwnerPaused(1), 10;
    owners_are_paused_for_3_s_10_times: bank Fault::OwnerPaused(3), 10;
    owners_are_paused_for_10_s_10_times: bank Fault::OwnerPaused(10), 10;
    the_engines_leader_is_paused_5_times: bank Fault::LeaderPaused(6), 5;
    a_machine_is_cut_off_5_times: bank Fault::MachineCut, 5;
    the_machine_of_the_engines_leader_is_cut_off_5_times: bank Fault::LeaderCut, 5;
    two_machines_do_not_reach_each_other_5_times: bank Fault::LinkCut, 5;
    everything_loses_its_power_5_times: bank Fault::AllPower, 5;
    a_bit_of_a_server_is_flipped_5_times: bank Fault::BitFlipped, 5;
    a_bit_of_the_engines_leader_is_flipped_5_times: bank Fault::LeadersBitFlipped, 5;
    payments_while_owners_are_killed_10_times: payments Fault::OwnerKilled, 10;
    payments_while_the_engines_leader_is_killed_5_times: payments Fault::LeaderKilled, 5;
    payments_while_owners_are_paused_for_10_s_5_times: payments Fault::OwnerPaused(10), 5;
    payments_while_a_machine_is_cut_off_5_times: payments Fault::MachineCut, 5;
    payments_while_the_machine_of_the_engines_leader_is_cut_off_5_times: payments Fault::LeaderCut, 5;
    payments_while_everything_loses_its_power_5_times: payments Fault::AllPower, 5;
}
