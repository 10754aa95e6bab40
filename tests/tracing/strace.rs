//! The system calls of one request.

use std::collections::BTreeMap;
use std::path::Path;

use galo_testkit::markdown::{code, table};
use galo_testkit::process::LogStream;
use galo_testkit::{data_dir, on_both_drivers, transaction, wait_until, Launch, Server};

use crate::{manual, Tracer};

/// Whoever reads a table by hand sees the same.
const TRIES: usize = 10;

const RING: &str = "io_uring_enter";

/// How much these move, or what number they give, is the client's affair, or that of what was open before.
const VARIES: [&str; 3] = ["accept4", "recvfrom", "sendto"];

/// A line of strace's, as far as it is the same each time.
struct Call {
    name: String,
    /// None while it has not returned.
    result: Option<String>,
}

impl Call {
    /// None of a line that is no call.
    fn read(line: &str) -> Option<Call> {
        let (name, rest) = line.split_once('(')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let name = name.bytes().all(is_name).then(|| name.to_owned())?;
        let result = Call::result(&name, rest);
        Some(Call { name, result })
    }

    /// What stands at the end of a line.
    fn result(name: &str, line: &str) -> Option<String> {
        let (_, result) = line.rsplit_once(" = ")?;
        // What it means is in parentheses.
        let result = result.split(" (").next()?.trim();
        let is_some = result.parse::<i64>().is_ok_and(|number| number > 0);
        match is_some && VARIES.contains(&name) {
            true => Some("some".to_owned()),
            false => Some(result.to_owned()),
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str(&self.name)?;
        match &self.result {
            // How much is handed over at a time depends on what has come meanwhile, too.
            Some(result) if self.name != RING => write!(text, " = {result}"),
            _ => Ok(()),
        }
    }
}

/// By thread, in their order.
type Calls = BTreeMap<String, Vec<String>>;

/// Of a driver's table.
fn documented(driver: &str) -> Calls {
    let head = format!("| thread | call ({driver}) |");
    let rows = table(&manual(), &head).into_iter();
    gathered(rows.map(|row| {
        let (thread, line) = (code(&row[0]).remove(0), code(&row[1]).remove(0));
        let call = Call::read(&line).expect("a call");
        (thread, call.to_string())
    }))
}

/// How often in a row a ring is entered depends on how much has come meanwhile.
fn gathered(calls: impl Iterator<Item = (String, String)>) -> Calls {
    let mut gathered = Calls::new();
    for (thread, call) in calls {
        let of_thread = gathered.entry(thread).or_default();
        if call != RING || of_thread.last() != Some(&call) {
            of_thread.push(call);
        }
    }
    gathered
}

/// Not of a request: how threads wake each other, the thread that waits for signals, and std's check in a debug
/// build that what is closed was open.
const BESIDE: [&str; 3] = ["futex", "rt_sigtimedwait", "fcntl"];

/// The calls that strace has seen so far.
fn seen(server: &Server, output: &Path) -> Calls {
    let output = std::fs::read_to_string(output).unwrap();
    let tasks = Path::new("/proc")
        .join(server.pid().to_string())
        .join("task");
    let mut calls: Vec<(&str, Call)> = Vec::new();
    for line in output.lines() {
        let Some((task, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some((name, rest)) = rest
            .strip_prefix("<... ")
            .and_then(|rest| rest.split_once(" resumed>"))
        {
            // Of a call whose beginning is further above, for another thread's came between.
            let begun = calls.iter_mut().rev().find(|(other, _)| *other == task);
            if let Some((_, call)) = begun.filter(|(_, call)| call.name == name) {
                call.result = Call::result(name, rest);
            }
        } else if let Some(call) = Call::read(rest) {
            calls.push((task, call));
        }
    }
    let calls = calls.into_iter();
    let calls = calls.filter(|(_, call)| !BESIDE.contains(&call.name.as_str()));
    gathered(calls.map(|(task, call)| {
        let name = std::fs::read_to_string(tasks.join(task).join("comm")).expect("a thread");
        (name.trim_end().to_owned(), call.to_string())
    }))
}

/// Traces a request on a connection of its own, until its record is synced.
fn trace(server: &Server) -> Calls {
    let dir = data_dir();
    let output = dir.path().join("strace");
    let pid = server.pid().to_string();
    let tracer = Tracer::start("strace", LogStream::Stderr, |command| {
        command.args(["-f", "-p", &pid, "-o"]).arg(&output);
    });
    tracer.0.wait_for_log("attached");
    server.ask(&transaction(1, 'c', 1, "x"));
    // The last of it: the core has heard of the sync, and waits again.
    wait_until("the core is told of the sync", || {
        let calls = seen(server, &output);
        let core = calls.get("galo/0");
        let told = core.and_then(|calls| calls.iter().position(|call| call == "read = 8"));
        told.is_some_and(|at| core.is_some_and(|calls| calls.len() > at + 1))
    });
    let calls = seen(server, &output);
    tracer.stop();
    calls
}

#[test]
fn a_request_is_the_calls_that_the_manual_lists() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let documented = documented(driver.name());
        assert!(documented.len() == 2, "{documented:?}");
        // The first request of a process touches what later ones find.
        server.ask(&transaction(1, 'c', 1, "x"));
        wait_until("it is synced", || {
            server.metric("galo_journal_syncs_total") > 0.0
        });
        // On a machine that others use, a client may be late by more than the sync.
        let mut seen = Vec::new();
        for _ in 0..TRIES {
            seen.push(trace(&server));
            if seen.last() == Some(&documented) {
                return;
            }
        }
        panic!("never {documented:#?}, but {seen:#?}");
    });
}

/// The transcript of perf, which is of a request on io_uring, too.
#[test]
fn perf_shows_what_strace_shows() {
    let manual = manual();
    let (_, transcript) = manual
        .split_once("$ perf trace -p $(pidof galo)\n```\n\n```text\n")
        .expect("a transcript");
    let lines = transcript.lines().take_while(|line| *line != "```");
    let calls = lines.map(|line| {
        let (_, line) = line.split_once("): ").expect("a time, and how long");
        let (thread, line) = line.split_once(' ').expect("a thread");
        // What it means is behind more than a blank.
        let (call, _) = line.trim_start().split_once("   ").expect("a meaning");
        let call = Call::read(call).expect("a call");
        (thread.to_owned(), call.to_string())
    });
    let mut documented = documented("uring");
    // It ends where the job is done, before the core waits again.
    let core = documented.get_mut("galo/0").expect("the core");
    assert_eq!(core.pop().as_deref(), Some(RING));
    assert_eq!(gathered(calls), documented);
}
