//! The front of the engine's log goes, and who lacks it begins with what was kept.

use crate::load::under_load;
use crate::machines::Machines;

#[test]
fn a_new_machine_and_one_that_was_away_begin_with_what_was_kept() {
    let mut machines = Machines::start();
    let addresses = machines.addresses.clone();
    let report = under_load(&addresses, |_| {
        let first = machines.wait_until_the_front_is_gone(1);
        machines.kill_node(1);
        machines.replace_node(1);
        machines.wait_until_whole();
        machines.kill_node(2);
        machines.wait_until_the_front_is_gone(first);
        machines.start_node(2);
        machines.wait_until_whole();
    });
    assert!(report.replies > 500, "{report:?}: there was a load");
}
