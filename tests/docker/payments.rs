//! The whole run, as `compose.processors.yml` has it: payments through the published port, a container
//! that is killed, and two processors that tell what they were really asked for. And the contest's
//! network, which somebody else has made.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::json;

use crate::engine::Engine;
use crate::images::Images;
use crate::project::{Project, NODES};
use galo_testkit::{
    get, payment, post, wait_until, Address, Connection, ProcessorApi, Summary, PATIENCE,
    PROCESSORS,
};

pub const FILES: [&str; 2] = ["compose.yml", "compose.processors.yml"];
pub const VARIABLES: [(&str, &str); 2] = [("GALO_DEFAULT_PORT", "0"), ("GALO_FALLBACK_PORT", "0")];

const PAYERS: usize = 8;
const PAYMENTS: usize = 600;
/// Of all of them.
const CENTS: u128 = PAYMENTS as u128 * 1990;

/// `GALO_PAYMENT_QUEUE` in `compose.yml`.
const QUEUE: usize = 200_000;
const FILLERS: usize = 4;
/// Sent before the first of them is answered.
const BATCH: usize = 50;

/// What is published on this machine.
pub struct Processors([ProcessorApi; 2]);

impl Processors {
    /// The two of a project, by the ports that the engine has given them.
    pub fn of(project: &Project<'_>) -> Processors {
        Processors(PROCESSORS.map(|name| ProcessorApi {
            address: project.published(&format!("payment-processor-{name}"), 8080),
        }))
    }

    fn fail(&self, number: usize, failing: bool) {
        self.0[number].set_failing(failing);
    }

    /// What each holds.
    fn summary(&self) -> Summary {
        Summary(self.0.each_ref().map(ProcessorApi::all))
    }
}

/// Hundreds of payments, while the cheap processor fails for a moment and a node is killed: each is paid
/// once, and both sides say the same.
pub fn are_made_once(project: &Project<'_>, processors: &Processors) {
    let acknowledged = AtomicUsize::new(0);
    let until = |count: usize| {
        wait_until("payments accepted", || {
            acknowledged.load(Ordering::Relaxed) >= count
        });
    };
    thread::scope(|scope| {
        for payer in 0..PAYERS {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for number in (payer..PAYMENTS).step_by(PAYERS) {
                    pay(&project.address, number);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until(PAYMENTS / 4);
        processors.fail(0, true);
        until(PAYMENTS / 2);
        let pid = project.pid(NODES[0]);
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process");
        processors.fail(0, false);
        let is_another = |now: &str| now != "0" && now != pid.to_string();
        project.wait_until(NODES[0], "{{.State.Pid}}", is_another);
        project.wait_until_healthy(NODES[0]);
    });
    let paid = settled(&project.address);
    assert_eq!(paid, processors.summary(), "both say the same");
    let cents: u128 = paid.0.iter().map(|totals| totals.cents).sum();
    assert_eq!((paid.count(), cents), (PAYMENTS as u64, CENTS), "{paid:?}");
    println!("{PAYMENTS} payments over a failing processor and a kill -9: {paid:?}");
}

fn id(series: usize, number: usize) -> String {
    format!("{series:08x}-0000-4000-8000-{number:012x}")
}

/// One payment, sent again until somebody has acknowledged it: it is the same one by its id.
fn pay(address: &Address, number: usize) {
    let request = payment(&id(0, number), "19.90");
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(
            Instant::now() < deadline,
            "payment {number} is not accepted"
        );
        let reply = Connection::open(address).and_then(|mut connection| {
            connection.try_send(&request)?;
            connection.try_reply()
        });
        match reply {
            Ok(reply) if (200..300).contains(&reply.status) => return,
            Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
            // The node that had it is gone.
            Err(_) => {}
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The summary, once all payments are in it. Both nodes say the same: each connection goes to the next.
fn settled(address: &Address) -> Summary {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let of_nodes = NODES.map(|_| {
            let mut connection = Connection::open(address).expect("a connection");
            Summary::of(&connection.ask(&get("/payments-summary")))
        });
        let [one, other] = of_nodes;
        if one == other && one.count() >= PAYMENTS as u64 {
            return one;
        }
        assert!(Instant::now() < deadline, "not all is paid: {of_nodes:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// As many wait as may, and the node that is left has all of them: its memory is enough, and nobody is
/// killed for it. Nothing can be paid from now on.
pub fn fit_where_all_wait(project: &Project<'_>, processors: &Processors) {
    for number in [0, 1] {
        processors.fail(number, true);
    }
    let began = Instant::now();
    let accepted: usize = thread::scope(|scope| {
        let fillers: Vec<_> = (0..FILLERS)
            .map(|filler| scope.spawn(move || fill(&project.address, filler)))
            .collect();
        let accepted = fillers.into_iter().map(|filler| filler.join().unwrap());
        accepted.sum()
    });
    println!(
        "{accepted} wait after {:.0} s",
        began.elapsed().as_secs_f64()
    );
    assert!(accepted > QUEUE, "{accepted}");
    let [dead, survivor] = NODES;
    let [pid, survivor_pid] = NODES.map(|node| project.pid(node));
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process");
    let is_another = |now: &str| now != "0" && now != pid.to_string();
    project.wait_until(dead, "{{.State.Pid}}", is_another);
    for node in NODES {
        project.wait_until_healthy(node);
        assert_eq!(project.inspect(node, "{{.State.OOMKilled}}"), "false");
    }
    assert_eq!(project.pid(survivor), survivor_pid, "it was never away");
    for (node, pid) in [(dead, project.pid(dead)), (survivor, survivor_pid)] {
        println!("{node}: at most {:.1} MB resident", peak_megabytes(pid));
    }
    // Full is full, before and after.
    let mut connection = Connection::open(&project.address).expect("a connection");
    let reply = connection.ask(&payment(&id(FILLERS + 1, 0), "19.90"));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    let summary = Summary::of(&connection.ask(&get("/payments-summary")));
    assert_eq!(summary, processors.summary());
}

/// Payments until none is accepted any more. Says how many were.
fn fill(address: &Address, filler: usize) -> usize {
    let mut connection = Connection::open(address).expect("a connection");
    let mut accepted = 0;
    for first in (0..2 * QUEUE).step_by(BATCH) {
        let ids = (first..first + BATCH).map(|number| id(filler + 1, number));
        connection.send(
            &ids.flat_map(|id| payment(&id, "19.90"))
                .collect::<Vec<u8>>(),
        );
        let mut taken = 0;
        for _ in 0..BATCH {
            let reply = connection.reply();
            match reply.status {
                202 => taken += 1,
                status => assert_eq!(status, 503, "{reply:?}"),
            }
        }
        if taken == 0 {
            return accepted;
        }
        accepted += taken;
    }
    panic!("there is no bound");
}

/// The most memory that a process ever had.
fn peak_megabytes(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let mut lines = status
        .lines()
        .filter_map(|line| line.strip_prefix("VmHWM:"));
    let kib = lines.next().expect("a peak").trim().trim_end_matches(" kB");
    kib.parse::<f64>().expect("a number") * 1024.0 / 1e6
}

/// As in the contest: the processors are there, and so is their network.
pub fn reach_the_contests_network(images: &Images<'_>) {
    let contest = Contest::start(images);
    let files = ["compose.yml", "compose.contest.yml"];
    let variables = [("GALO_PROCESSOR_NETWORK", contest.network.as_str())];
    let project = Project::up_from(images, &files, &variables);
    let mut connection = Connection::open(&project.address).expect("a connection");
    // Answered when it is paid.
    let reply = connection.ask(&post(
        "/payments",
        r#"{"amount":12.34,"description":"rede"}"#,
    ));
    let paid = reply.json();
    assert_eq!(
        (reply.status, &paid["status"]),
        (200, &json!("processed")),
        "{paid}"
    );
    assert_eq!(paid["processor"], "default", "{paid}");
}

/// Two processors in a network; gone when this is dropped.
struct Contest<'a> {
    engine: &'a Engine,
    network: String,
}

impl Contest<'_> {
    fn start<'a>(images: &Images<'a>) -> Contest<'a> {
        let contest = Contest {
            engine: images.engine,
            network: format!("galotest{}", std::process::id()),
        };
        let network = contest.network.as_str();
        contest.engine.docker(&["network", "create", network]);
        for name in PROCESSORS {
            let container = contest.container(name);
            let alias = format!("payment-processor-{name}");
            let joins = ["--network", network, "--network-alias", &alias];
            let run = ["run", "--detach", "--rm", "--name", &container];
            let arguments = [&run[..], &joins, &[&images.processor]].concat();
            contest.engine.docker(&arguments);
        }
        contest
    }

    fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.network)
    }
}

impl Drop for Contest<'_> {
    fn drop(&mut self) {
        let [default, fallback] = PROCESSORS.map(|name| self.container(name));
        for arguments in [
            &["rm", "--force", &default, &fallback][..],
            &["network", "rm", &self.network],
        ] {
            let output = self.engine.command("docker").args(arguments).output();
            if !output.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("{} is left: {output:?}", self.network);
            }
        }
    }
}
