//! `kill -9` with payments in every state: each acknowledged one is carried out afterwards, once.

use std::path::Path;
use std::time::Duration;

use galo_testkit::{
    amount, data_dir, new_id, on_both_drivers, payment, wait_until, Connection, Launch,
    PaymentLedger, Processor, Random, Server,
};

const ROUNDS: usize = 4;
const PAYMENTS: u64 = 120;
/// Of both processors: as long as a round, so that what was sent before a kill ends at any moment of it.
const DELAY_MS: u64 = 60;

#[test]
fn acknowledged_payments_survive_kill_9_on_one_core() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let launch = || Launch::driver(dir.path(), driver).cores(1);
        survive(launch, &processors, dir.path());
    });
}

#[test]
fn acknowledged_payments_survive_kill_9_on_two_cores() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let launch = || Launch::driver(dir.path(), driver).cores(2);
        survive(launch, &processors, dir.path());
    });
}

#[test]
fn acknowledged_payments_survive_kill_9_with_durability_disk() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let launch = || {
            Launch::driver(dir.path(), driver)
                .cores(2)
                .flag("durability", "disk")
        };
        survive(launch, &processors, dir.path());
    });
}

/// Some wait, some are with a processor that says nothing: the snapshots of several stops have them all.
#[test]
fn open_payments_survive_stops() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        for processor in &processors {
            processor.set_faults(&[("hang_stored", 0.5), ("hang_lost", 0.5)]);
        }
        let launch = || {
            Launch::driver(dir.path(), driver)
                .cores(2)
                .processors_of(&processors)
        };
        let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
        for round in 0..4 {
            let server = launch().start();
            // In the second incarnation nothing changes.
            if round != 1 {
                book.pay(&mut server.connect(), &mut random, 20);
            }
            let open = book.acknowledged_count() as f64;
            wait_until("all payments open", || {
                server.metric("galo_payments_open") == open
            });
            server.stop();
        }
        for processor in &processors {
            processor.set_faults(&[]);
        }
        let server = launch().start();
        book.expect_settled(server.address(), &processors);
    });
}

fn survive(launch: impl Fn() -> Launch, processors: &[Processor; 2], data: &Path) {
    let launch = || launch().processors_of(processors);
    let mut random = Random::from_time();
    let mut book = PaymentLedger::default();
    for round in 0..ROUNDS {
        let server = launch().start();
        // Every kind of moment: both slow, one failing, both failing.
        for (number, processor) in processors.iter().enumerate() {
            processor.set_delay(random.between(0, DELAY_MS));
            processor.set_failing(round > 0 && random.between(0, 2) <= 1 - number as u64);
        }
        pay_until_killed(server, &mut book, &mut random);
        let checked = Launch::bare().arg("check").flag("data", data).run().good();
        assert!(checked.contains("good"), "{checked}");
    }
    for processor in processors {
        processor.set_failing(false);
    }
    let server = launch().start();
    book.expect_settled(server.address(), processors);
    // And so it stays.
    server.stop();
    let server = launch().start();
    book.expect_settled(server.address(), processors);
    assert!(book.acknowledged_count() > 0);
}

/// Several in one piece, so that the kill finds requests in every state.
fn pay_until_killed(server: Server, book: &mut PaymentLedger, random: &mut Random) {
    let replies_max = random.between(1, PAYMENTS);
    let mut connections: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    let mut replies = 0;
    let mut sent: Vec<Vec<String>> = vec![Vec::new(); connections.len()];
    while replies < replies_max {
        for (connection, sent) in connections.iter_mut().zip(&mut sent) {
            for _ in 0..4 {
                let (id, amount) = (new_id(random), amount(random));
                book.sends(&id, &amount);
                connection.send(&payment(&id, &amount));
                sent.push(id);
            }
        }
        for (connection, sent) in connections.iter_mut().zip(&mut sent) {
            for id in sent.drain(..random.between(1, 4) as usize) {
                let reply = connection.reply();
                assert_eq!(reply.status, 202, "{reply:?}");
                book.acknowledged(&id);
                replies += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(random.between(0, 3)));
    }
    server.kill();
    // What was released before the kill has arrived, or will.
    for (connection, sent) in connections.iter_mut().zip(sent) {
        for id in sent {
            match connection.try_reply() {
                Ok(reply) => assert_eq!(reply.status, 202, "{reply:?}"),
                Err(_) => break,
            }
            book.acknowledged(&id);
        }
    }
}
