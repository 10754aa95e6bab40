use super::super::example::{full_report, report};
use super::*;

#[test]
fn show() {
    let mut former = report();
    former.rate = 300.0;
    former.latency.p99_us *= 1.2;
    former.machine.cpus = 4;
    println!("{}", summary(&full_report(), None));
    println!("=====\n{}", summary(&report(), Some(&former)));
}
