//! `--fail-on` and `--compare`: a run as a gate.

use crate::server::{Bad, Fault, Server};
use crate::support::run::Run;

#[test]
fn a_rule_that_is_broken_fails_the_run() {
    let server = Server::start(Bad::default());
    for (rule, status) in [
        ("p99>1us", 1),
        ("service.p50>1us", 1),
        ("rps>1", 1),
        ("p99>10m", 2),
        ("p99>600s", 0),
        ("errors>0", 0),
        ("debit.max>600s", 0),
    ] {
        let done = Run::new(&server.url(), "-c 2 -n 200 --fail-on")
            .arg(rule)
            .done();
        let done = done.expect_status(status);
        if status == 1 {
            let told = done
                .stdout
                .lines()
                .filter(|line| line.contains("--fail-on"));
            let told: Vec<_> = told.collect();
            let figure = rule.split('>').next().unwrap();
            assert!(told.len() == 1 && told[0].contains(figure), "{told:?}");
        }
    }
}

#[test]
fn transport_failures_fail_a_run_if_a_rule_says_so() {
    let server = Server::start(Bad {
        fault: Some((20, Fault::Close)),
        ..Bad::default()
    });
    let rules = [
        ("errors>0", 1),
        ("error_rate>4%", 1),
        ("error_rate>6%", 0),
        ("wrong>0", 0),
    ];
    for (rule, status) in rules {
        let run = Run::new(&server.url(), "-c 2 -n 200 --fail-on").arg(rule);
        run.done().expect_status(status);
    }
}

#[test]
fn a_former_run_is_compared() {
    let server = Server::start(Bad::default());
    let base = Run::new(&server.url(), "-c 4 -r 100 -d 1s").done();
    let base = base.expect_status(0);
    for (rule, status) in [("rps<-5%", 1), ("rps<-80%", 0), ("rps<40", 0)] {
        let done = Run::new(&server.url(), "-c 4 -r 50 -d 1s --compare")
            .arg(base.path())
            .arg("--fail-on")
            .arg(rule)
            .done();
        let done = done.expect_status(status);
        assert!(done.stdout.contains("p99"), "{}", done.text());
        let is_told = done.stdout.contains("--fail-on");
        assert_eq!(is_told, status == 1, "{}", done.text());
    }
}
