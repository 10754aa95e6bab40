//! Two cores: whichever core has the connection, and whichever has the account.

use galo_testkit::{data_dir, get, on_both_drivers, transaction, Launch, CONTEST};

/// Requests for both shards in one write are answered in order, each with what it asked for.
#[test]
fn pipelined_requests_across_shards_are_answered_in_order() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let mut balances = [0; 6];
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for round in 0..60 {
            for (client, limit) in CONTEST {
                // Runs of one shard, and alternating ones.
                let client = if round % 2 == 0 { client } else { 2 };
                let limit = if round % 2 == 0 { limit } else { 80_000 };
                let amount = i64::from(client);
                balances[client as usize] += amount;
                requests.extend(transaction(client, 'c', amount, &format!("r{round}")));
                expected.push((limit, balances[client as usize]));
            }
            requests.extend(get("/health"));
            requests.extend(get(&format!("/clientes/{}/extrato", 1 + round % 5)));
        }
        // Several connections, so that both cores have some; the accounts go on.
        let mut connection = server.connect();
        connection.send(&requests);
        let mut expected = expected.into_iter();
        let mut newest = String::new();
        for round in 0..60u32 {
            for _ in CONTEST {
                assert_eq!(connection.reply().posted(), expected.next().unwrap());
            }
            assert_eq!(connection.reply().json()["status"], "healthy");
            let statement = connection.reply().statement();
            let (_, limit) = CONTEST[round as usize % 5];
            assert_eq!(statement.limit, limit);
            let last = &statement.transactions[0].time;
            if round % 5 == 1 {
                assert!(*last >= newest, "{last} after {newest}");
                newest.clone_from(last);
            }
        }
        for (client, _) in CONTEST {
            assert_eq!(server.balance(client), balances[client as usize]);
        }
    });
}

/// A connection that was not read while its replies were on their way from the other core is read
/// again after them.
#[test]
fn a_connection_goes_on_after_a_long_pipeline() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let requests: Vec<u8> = (0..60)
            .flat_map(|count| transaction(1 + count % 2, 'c', 1, "um"))
            .collect();
        for _ in 0..20 {
            let mut connection = server.connect();
            for _ in 0..5 {
                connection.send(&requests);
                for _ in 0..60 {
                    connection.reply().posted();
                }
            }
        }
        assert_eq!((server.balance(1), server.balance(2)), (3_000, 3_000));
    });
}

/// The kernel spreads connections over the cores; every one of them reaches every account.
#[test]
fn every_connection_reaches_every_account() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let mut connections: Vec<_> = (0..16).map(|_| server.connect()).collect();
        for (round, connection) in (1..).zip(&mut connections) {
            for (client, limit) in CONTEST {
                let reply = connection.ask(&transaction(client, 'c', 1, "um"));
                assert_eq!(reply.posted(), (limit, round));
            }
        }
        let forwards = server.metric("galo_forwards_total");
        assert!(forwards > 0.0 && forwards < 80.0, "{forwards} of 80");
    });
}

/// Many writers, one account at a time: its times are in the order of its transactions.
#[test]
fn times_of_a_statement_never_go_backwards() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut connection = server.connect();
                    for count in 0..100u32 {
                        let client = 1 + count % 5;
                        connection.ask(&transaction(client, 'c', 1, "um")).posted();
                        let path = format!("/clientes/{client}/extrato");
                        // The order of times is checked there.
                        connection.ask(&get(&path)).statement();
                    }
                });
            }
        });
    });
}

/// In `top -H` and `perf` each thread says what it is.
#[test]
fn threads_have_names() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("/proc");
        let names = tasks.map(|task| {
            let name = std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap();
            name.trim_end().to_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        let expected = [
            "galo",
            "galo-job/0",
            "galo-job/1",
            "galo-signals",
            "galo/0",
            "galo/1",
        ];
        assert_eq!(names, expected);
    });
}
