//! The probes, as bpftrace sees them.

use galo_testkit::markdown::{code, table};
use galo_testkit::process::LogStream;
use galo_testkit::{
    data_dir, new_id, on_both_drivers, payment, processed, transaction, wait_until, Connection,
    Launch, Processor, Random, Server,
};

use crate::{manual, Tracer};

/// What a probe told, as the text of its arguments.
type Told = (String, Vec<String>);

/// Prints each probe of the manual's table with the time and its arguments.
fn script() -> String {
    let binary = env!("CARGO_BIN_EXE_galo");
    let rows = table(&manual(), "| probe | arguments |");
    let probes = rows.iter().map(|row| {
        let name = &code(&row[0])[0];
        let (mut formats, mut values) = (String::new(), String::new());
        for (number, argument) in code(&row[1]).iter().enumerate() {
            let is_text = argument == "endpoint";
            formats += if is_text { " %s" } else { " %lld" };
            values += &match is_text {
                true => format!(", str(arg{number})"),
                false => format!(", (int64)arg{number}"),
            };
        }
        let print = format!("printf(\"%llu {name}{formats}\\n\", nsecs{values})");
        format!("usdt:{binary}:galo:{name} {{ {print} }}\n")
    });
    probes.collect()
}

/// Events of one process.
struct Probes(Tracer);

impl Probes {
    /// Attached to all probes: `provoke` has been seen by those that it must be seen by.
    fn attach(server: &Server, provoke: impl Fn()) -> Probes {
        let pid = server.pid().to_string();
        let tracer = Tracer::start("bpftrace", LogStream::Stdout, |command| {
            command.args(["-B", "line", "-p", &pid, "-e", &script()]);
        });
        let probes = Probes(tracer);
        let all = ["request", "command", "batch", "sync__begin", "sync__done"];
        wait_until("bpftrace sees requests", || {
            provoke();
            let told = probes.told();
            all.iter()
                .all(|name| told.iter().any(|(other, _)| other == name))
        });
        probes
    }

    fn told(&self) -> Vec<Told> {
        told(&self.0 .0.log())
    }

    /// Waits until these come, in this order, among others, behind the first `skip`.
    #[track_caller]
    fn expect(&self, skip: usize, expected: &[&str]) {
        let is_seen = self.0 .0.wait_for_lines(|lines| {
            let told = told(lines);
            let mut lines = told[skip..].iter().map(|(name, arguments)| {
                let words = [std::slice::from_ref(name), arguments].concat();
                words.join(" ")
            });
            expected
                .iter()
                .all(|expected| lines.any(|line| matches(&line, expected)))
        });
        assert!(is_seen, "not {expected:?}, but {:#?}", &self.told()[skip..]);
    }
}

/// All in these lines, in the order of their times: each CPU has a buffer of its own.
fn told(lines: &[String]) -> Vec<Told> {
    let mut events: Vec<(u64, Told)> = lines.iter().filter_map(|line| read(line)).collect();
    events.sort_by_key(|(time, _)| *time);
    events.into_iter().map(|(_, told)| told).collect()
}

/// Word by word; `_` is any.
fn matches(line: &str, expected: &str) -> bool {
    let words = line.split(' ').zip(expected.split(' '));
    line.split(' ').count() == expected.split(' ').count()
        && words
            .into_iter()
            .all(|(word, expected)| expected == "_" || word == expected)
}

fn read(line: &str) -> Option<(u64, Told)> {
    let mut words = line.split(' ').map(str::to_owned);
    let time = words.next()?.parse().ok()?;
    Some((time, (words.next()?, words.collect())))
}

#[test]
fn a_request_is_seen_from_its_parsing_to_the_disk() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let mut connection = server.connect();
        let mut records = 0;
        let mut post = |connection: &mut Connection| {
            records += 1;
            connection.ask(&transaction(1, 'c', 1, "x")).posted();
            records
        };
        let provoking = std::cell::RefCell::new((&mut connection, &mut post));
        let probes = Probes::attach(&server, || {
            let (connection, post) = &mut *provoking.borrow_mut();
            post(connection);
        });
        let before = probes.told().len();
        let record = post(&mut connection);
        let command = format!("command 0 {record} 200");
        let written = ["request transacoes 0", &command, "batch 0 1 56"];
        probes.expect(
            before,
            &[&written[..], &["sync__begin 0", "sync__done 0 0"]].concat(),
        );

        // What is refused, and what only reads, is not written.
        let before = probes.told().len();
        assert_eq!(
            connection
                .ask(&transaction(1, 'd', i64::from(u32::MAX), "x"))
                .status,
            422
        );
        let command = format!("command 0 {record} 422");
        assert_eq!(
            connection
                .ask(&galo_testkit::get("/clientes/9/extrato"))
                .status,
            404
        );
        assert_eq!(connection.ask(&galo_testkit::get("/health")).status, 200);
        let none = ["request extrato _", "command _ _ 404", "request health -1"];
        probes.expect(
            before,
            &[&["request transacoes 0", &command], &none[..]].concat(),
        );
        let told = probes.told();
        let batches = told[before..].iter().filter(|(name, _)| name == "batch");
        assert_eq!(batches.count(), 0, "{:#?}", &told[before..]);
        probes.0.stop();
    });
}

/// Of an id, as two signed numbers.
fn two_numbers(id: &str) -> String {
    let bits = u128::from_str_radix(&id.replace('-', ""), 16).unwrap();
    format!("{} {}", (bits >> 64) as i64, bits as i64)
}

#[test]
fn a_payment_is_seen_from_its_acceptance_to_its_settlement() {
    let mut random = Random::new(1);
    let dir = data_dir();
    let processors = Processor::both();
    let server = Launch::serve(dir.path())
        .cores(1)
        .processors_of(&processors)
        .start();
    let probes = Probes::attach(&server, || {
        server.transact(1, 'c', 1, "x");
    });
    let id = new_id(&mut random);
    let before = probes.told().len();
    assert_eq!(server.ask(&payment(&id, "19.90")).status, 202);
    processed(&server, &id);
    let halves = two_numbers(&id);
    let [bound, settled] = ["bound", "settled"].map(|what| format!("payment__{what} 0 0 {halves}"));
    probes.expect(
        before,
        &[
            "request payments 0",
            "command 0 _ 202",
            &bound,
            "batch 0 _ _",
            &settled,
            "batch 0 _ _",
        ],
    );
    // One that is refused goes to the other one, or waits.
    processors[0].set_failing(true);
    let id = new_id(&mut random);
    let before = probes.told().len();
    assert_eq!(server.ask(&payment(&id, "19.90")).status, 202);
    let refused = format!("payment__refused 0 0 {}", two_numbers(&id));
    probes.expect(before, &["request payments 0", &refused]);
    probes.0.stop();
}

#[test]
fn a_command_is_seen_to_cross_to_another_core() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).cores(2).start();
    let all = || {
        for client in 1..=5 {
            server.transact(client, 'c', 1, "x");
        }
    };
    let probes = Probes::attach(&server, all);
    let before = probes.told().len();
    let crosses = || {
        all();
        let told = &probes.told()[before..];
        let sent: Vec<_> = told
            .iter()
            .filter(|(name, _)| name == "hop__sent")
            .collect();
        // Shard and counter name it on both sides; the member is the other end's number.
        sent.iter().any(|(_, to)| {
            let is_it = |(name, from): &&Told| {
                name == "hop__received" && from[1..] == to[1..] && from[0] != to[0]
            };
            told.iter().any(|event| is_it(&event))
        })
    };
    wait_until("a command crosses", crosses);
    probes.0.stop();
}

#[test]
fn a_takeover_and_a_snapshot_are_seen() {
    let dir = data_dir();
    let run = dir.path().join("run");
    let data = dir.path().join("data");
    let node = |name: &str| {
        Launch::serve(&data)
            .cores(1)
            .flag("nodes", "a,b")
            .flag("node", name)
            .flag("run", &run)
            .start()
    };
    let (one, other) = (node("a"), node("b"));
    other.transact(1, 'c', 1, "x");
    let probes = Probes::attach(&other, || {
        for client in 1..=5 {
            other.transact(client, 'c', 1, "x");
        }
    });
    let before = probes.told().len();
    one.kill();
    probes.expect(before, &["takeover__begin _", "takeover__done _ 1"]);
    // A stop leaves snapshots; what a process says as it ends is still told.
    other.stop();
    probes.expect(before, &["snapshot__slice _ _"]);
    probes.0.stop();
}
