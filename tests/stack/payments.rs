//! The contest of 2025, behind nginx: the official run, and the same while nodes are killed.
//!
//! Here it is short; in full length and with the score for what the machine can do:
//! `cargo test --release --features stack-tests --test stack -- --ignored --nocapture --test-threads 1`.

use std::thread;
use std::time::{Duration, Instant};

use crate::nginx::Balancer;
use crate::rinha::{self, Plan, Run, OFFICIAL, SHORT};
use crate::stack::Stack;
use galo_testkit::{Processor, FAULTS};

/// Each node is killed twice as seldom.
const KILL_SHORT: Duration = Duration::from_secs(2);
const KILL: Duration = Duration::from_secs(5);
/// From its end to its next start, as an engine's restart takes.
const AWAY: Duration = Duration::from_millis(200);
/// Until all payments that wait have been carried out.
const SETTLE_MAX: Duration = Duration::from_secs(60);

#[test]
fn the_official_run_in_a_third_of_its_time() {
    undisturbed(SHORT);
}

#[test]
#[ignore = "takes a minute and the whole machine: see the top of this file"]
fn the_official_run() {
    undisturbed(OFFICIAL);
}

#[test]
fn the_official_run_with_kill_9_in_a_third_of_its_time() {
    with_kills(Balancer::Stream, SHORT, KILL_SHORT);
}

#[test]
fn the_official_run_with_kill_9_behind_http_in_a_third_of_its_time() {
    with_kills(Balancer::Http, SHORT, KILL_SHORT);
}

#[test]
#[ignore = "takes a minute and the whole machine: see the top of this file"]
fn the_official_run_with_kill_9_of_each_node_every_ten_seconds() {
    with_kills(Balancer::Stream, OFFICIAL, KILL);
}

/// Besides what the timetable says, replies are lost, cut, late, and connections reset, at both.
#[test]
fn the_official_run_with_every_fault_in_a_third_of_its_time() {
    let processors = Processor::both();
    // Silence lasts for as long as an attempt may.
    let share = |fault: &str| match fault.starts_with("hang") {
        true => 0.002,
        false => 0.01,
    };
    let faults = FAULTS.map(|fault| (fault, share(fault)));
    for processor in &processors {
        processor.set_faults(&faults);
    }
    let stack = Stack::gateway(Balancer::Stream, &processors);
    let run = rinha::run(&stack.address(), &processors, SHORT, |_| {});
    run.print();
    check(&run, &stack, &processors);
    run.expect_no_failure();
}

fn undisturbed(plan: Plan) {
    let processors = Processor::both();
    let stack = Stack::gateway(Balancer::Stream, &processors);
    let run = rinha::run(&stack.address(), &processors, plan, |_| {});
    run.print();
    check(&run, &stack, &processors);
    run.expect_no_failure();
}

/// The nodes in turn.
fn with_kills(balancer: Balancer, plan: Plan, pause: Duration) {
    let processors = Processor::both();
    let mut stack = Stack::gateway(balancer, &processors);
    let mut kills = 0;
    let run = rinha::run(&stack.address(), &processors, plan, |is_over| {
        let begin = Instant::now();
        loop {
            let next = begin + pause * (kills + 1);
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if is_over() {
                break;
            }
            let node = kills as usize % 2;
            stack.kill(node);
            thread::sleep(AWAY);
            stack.start(node);
            kills += 1;
        }
    });
    eprintln!("{kills} kills");
    run.print();
    assert!(kills > 5);
    check(&run, &stack, &processors);
    if balancer == Balancer::Http {
        // It repeats what a dead node had: nobody notices.
        run.expect_no_failure();
    }
}

fn check(run: &Run, stack: &Stack, processors: &[Processor; 2]) {
    stack.wait_until_whole();
    // The last stage's delay is no test of patience, nor is silence.
    for processor in processors {
        processor.set_delay(0);
        processor.set_faults(&[]);
    }
    run.book
        .expect_settled_within(&stack.address(), processors, SETTLE_MAX);
    run.expect_consistent();
}
