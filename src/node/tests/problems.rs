//! Errors in the form of RFC 9457, for who asks for it, wherever they come from.

use super::*;
use crate::api::problem::{
    Problem, BODY_TOO_LARGE, LIMIT, METHOD, NOT_FOUND, NOT_HTTP, NO_SUCH_CLIENT, PROBLEMS,
    RESET_INCOMPLETE, STORAGE_FULL, TIMEOUT, TIPO, TOO_MANY_CONNECTIONS, UNANSWERED,
};
use crate::limits::{BODY_NS_MAX, COMMAND_NS_MAX, CONNECTIONS_MAX, HEAD_NS_MAX, LATE_NS};

const TWO_CORES: Plan = Plan {
    cores: 2,
    shards: 2,
    ..ONE
};

/// The same request, from a client that asks for that form, or says nothing.
fn asking(request: &str, details: bool) -> String {
    let accept = "Host: x\r\nAccept: application/json, application/problem+json\r\n";
    match details {
        true => request.replacen("Host: x\r\n", accept, 1),
        false => request.to_owned(),
    }
}

#[track_caller]
fn assert_is(reply: &Reply, problem: &Problem, details: bool) {
    let mut body = Vec::new();
    let content_type = match details {
        true => {
            problem.write_details(&mut body);
            "application/problem+json\r\nContent-Length: "
        }
        false => {
            problem.write(&mut body);
            "application/json\r\nContent-Length: "
        }
    };
    assert_eq!(reply.status, problem.status.code(), "{reply:?}");
    assert_eq!(reply.body, String::from_utf8(body).unwrap());
    let line = format!("\r\nContent-Type: {content_type}");
    assert!(reply.head.contains(&line), "{reply:?}");
    assert_eq!(
        reply.head.contains("\r\nVary: Accept"),
        details,
        "{reply:?}"
    );
}

#[test]
fn at_once_and_by_another_core_and_in_between_what_succeeds() {
    for details in [false, true] {
        for core in 0..2 {
            let mut rig = Rig::new(TWO_CORES);
            let client = rig.connect(core);
            let requests = [
                get("/nada"),
                "DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
                transact(1, 'x', 5),
                transact(1, 'd', 1_000_000),
                transact(1, 'c', 7),
                statement(9),
            ];
            let requests = requests.map(|request| asking(&request, details));
            rig.send(client, requests.concat());
            rig.run();
            let replies = rig.replies(client);
            assert_eq!(replies[4].balance(), 7);
            assert!(replies[4]
                .head
                .contains("Content-Type: application/json\r\nContent-Length"));
            for (reply, problem) in [
                (0, NOT_FOUND),
                (1, METHOD),
                (2, TIPO),
                (3, LIMIT),
                (5, NO_SUCH_CLIENT),
            ] {
                assert_is(&replies[reply], &problem, details);
            }
        }
    }
}

#[test]
fn each_of_two_that_share_a_connection_gets_its_own_form() {
    let mut rig = Rig::new(TWO_CORES);
    let client = rig.connect(0);
    let requests = [true, false, true].map(|details| asking(&transact(1, 'd', 1_000_000), details));
    rig.send(client, requests.concat());
    rig.run();
    for (reply, details) in rig.replies(client).iter().zip([true, false, true]) {
        assert_is(reply, &LIMIT, details);
    }
}

#[test]
fn late() {
    for details in [false, true] {
        let mut rig = Rig::new(TWO_CORES);
        let client = rig.connect(0);
        rig.send(client, asking(&statement(1), details));
        rig.tick(0, |_| ());
        rig.kill_core(1);
        rig.run();
        rig.pass(COMMAND_NS_MAX + LATE_NS);
        assert_is(&rig.replies(client)[0], &UNANSWERED, details);
    }
}

#[test]
fn of_a_full_disk() {
    for details in [false, true] {
        for core in 0..2 {
            let mut rig = Rig::new(TWO_CORES);
            let client = rig.connect(core);
            rig.disk_full_once(1);
            let reply = rig.ask(client, asking(&transact(1, 'c', 5), details));
            assert_is(&reply, &STORAGE_FULL, details);
            assert!(reply.head.contains("\r\nRetry-After: 1"), "{reply:?}");
            rig.disk_full_once(1);
            let reply = rig.ask(client, asking(reset(), details));
            assert_is(&reply, &RESET_INCOMPLETE, details);
        }
    }
}

#[test]
fn of_what_is_no_request() {
    for details in [false, true] {
        for (request, problem) in [
            ("GET /\tx HTTP/1.1\r\nHost: x\r\n\r\n", NOT_HTTP),
            ("GET / HTTP/1.1\r\nHost: x\r\nb ad\r\n\r\n", NOT_HTTP),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n",
                BODY_TOO_LARGE,
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx",
                NOT_HTTP,
            ),
        ] {
            let mut rig = Rig::new(ONE);
            let client = rig.connect(0);
            let reply = rig.ask(client, asking(request, details));
            assert_is(&reply, &problem, details);
        }
    }
}

#[test]
fn of_what_does_not_come_in_time() {
    for details in [false, true] {
        for (request, within_ns) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n", HEAD_NS_MAX),
            (
                "POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{",
                BODY_NS_MAX,
            ),
        ] {
            let mut rig = Rig::new(ONE);
            let client = rig.connect(0);
            rig.send(client, asking(request, details));
            rig.pass(within_ns + LATE_NS);
            assert_is(&rig.replies(client)[0], &TIMEOUT, details);
        }
    }
}

#[test]
fn of_a_connection_too_many_there_is_one_form() {
    let mut rig = Rig::new(ONE);
    let now = rig.now();
    let runtime = &mut rig.cores[0].runtime;
    runtime.tick_begin(now);
    for _ in 0..CONNECTIONS_MAX {
        runtime.opened(Peer::Client).unwrap();
    }
    let words = runtime.opened(Peer::Client).unwrap_err();
    let mut body = Vec::new();
    TOO_MANY_CONNECTIONS.write(&mut body);
    assert!(words.ends_with(&body));
    assert!(PROBLEMS.contains(&TOO_MANY_CONNECTIONS));
}
