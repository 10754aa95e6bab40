//! Payments of nodes on several machines: whoever dies, each is carried out once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use galo_testkit::{new_id, payment, Connection, PaymentLedger, Processor, Random};

use crate::machines::{Machines, NODES};

const PAYERS: u64 = 4;

#[test]
fn a_payment_is_carried_out_once_whoever_is_killed() {
    let processors = Processor::both();
    for processor in &processors {
        processor.set_delay(20);
    }
    let mut machines = Machines::gateway(&processors);
    let addresses = machines.addresses.clone();
    let (book, is_over) = (Mutex::new(PaymentLedger::default()), AtomicBool::new(false));
    let pay = |seed: u64| {
        let mut random = Random::new(seed);
        while !is_over.load(Ordering::Relaxed) {
            let id = new_id(&mut random);
            book.lock().unwrap().sends(&id, "1.10");
            let request = payment(&id, "1.10");
            // The same once more, at whoever is there, until it is accepted.
            loop {
                let opened = Connection::open(random.pick(&addresses));
                let reply = opened.and_then(|mut connection| {
                    connection.try_send(&request)?;
                    connection.try_reply()
                });
                match reply {
                    Ok(reply) if reply.status == 202 => break,
                    Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                    Err(_) => thread::yield_now(),
                }
            }
            book.lock().unwrap().acknowledged(&id);
        }
    };
    thread::scope(|scope| {
        let pay = &pay;
        for seed in 0..PAYERS {
            scope.spawn(move || pay(seed));
        }
        let faults = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for node in 0..NODES.len() {
                thread::sleep(Duration::from_secs(1));
                machines.kill_node(node);
                thread::sleep(Duration::from_secs(1));
                machines.start_node(node);
                machines.wait_until_whole();
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = faults {
            std::panic::resume_unwind(panic);
        }
    });
    let book = book.into_inner().unwrap();
    let summary = book.expect_settled(&machines.addresses[0], &processors);
    eprintln!("{} payments", summary.count());
}
