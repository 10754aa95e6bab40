//! Clients that pay at whichever node answers; whatever happens, each payment is carried out once.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;

use galo_testkit::{new_id, payment, Connection, PaymentLedger, Random};

use crate::clients::Clients;
use crate::machines::Machines;

const PAYERS: u64 = 4;
/// How long a processor takes for each payment.
const DELAY_MS: u64 = 20;

/// Runs `faults` while clients pay; then every payment that was accepted is at one processor, once. How many there were.
pub fn under_payments(
    machines: &mut Machines,
    faults: impl FnOnce(&mut Machines, &Clients),
) -> u64 {
    let clients = Clients::new(PAYERS as usize);
    for processor in machines.processors() {
        processor.set_delay(DELAY_MS);
    }
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
            clients.acknowledged(seed as usize);
        }
    };
    thread::scope(|scope| {
        let pay = &pay;
        for seed in 0..PAYERS {
            scope.spawn(move || pay(seed));
        }
        let faults = catch_unwind(AssertUnwindSafe(|| faults(machines, &clients)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = faults {
            resume_unwind(panic);
        }
    });
    let book = book.into_inner().unwrap();
    let summary = book.expect_settled(&machines.addresses[0], machines.processors());
    summary.count()
}
