//! Clients that pay at whichever node answers; whatever happens, each payment is carried out once.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use galo_testkit::{new_id, payment, Connection, PaymentLedger, Processor, ProcessorApi, Random};

use crate::clients::Clients;
use crate::machines::Machines;

const PAYERS: u64 = 12;
/// How long a processor takes for each payment.
const DELAY_MS: u64 = 100;
/// One that has gone wrong again and again rests for 30 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// How long it refuses all, and how long it does not.
const ALTERNATES: Duration = Duration::from_millis(1500);
/// What happens to how many payments: nobody knows then whether they are stored.
const FAULTY: [(&str, f64); 3] = [
    ("reply_lost", 0.05),
    ("reset_before", 0.05),
    ("reset_after", 0.05),
];

/// Runs `faults` while clients pay; then every payment that was accepted is at one processor, once. How many there were.
pub fn under_payments(
    machines: &mut Machines,
    faults: impl FnOnce(&mut Machines, &Clients),
) -> u64 {
    let clients = Clients::new(PAYERS as usize);
    let is_over = AtomicBool::new(false);
    let faulty = |processors: &[Processor; 2], shares: &[(&str, f64)]| {
        for processor in processors {
            processor.set_delay(DELAY_MS);
            processor.set_faults(shares);
        }
    };
    faulty(machines.processors(), &FAULTY);
    let admin = ProcessorApi {
        address: machines.processors()[0].address.clone(),
    };
    // Now the one is to be had, now only the other.
    let alternate = || {
        for is_failing in [true, false].into_iter().cycle() {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            admin.set_failing(is_failing);
            thread::sleep(ALTERNATES);
        }
        admin.set_failing(false);
    };
    let addresses = machines.addresses.clone();
    let book = Mutex::new(PaymentLedger::default());
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
        scope.spawn(alternate);
        for seed in 0..PAYERS {
            scope.spawn(move || pay(seed));
        }
        let faults = catch_unwind(AssertUnwindSafe(|| faults(machines, &clients)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = faults {
            resume_unwind(panic);
        }
    });
    faulty(machines.processors(), &[]);
    let book = book.into_inner().unwrap();
    let summary = book.expect_settled_within(
        &machines.addresses[0],
        machines.processors(),
        SETTLED_WITHIN,
    );
    let counts = summary.0.map(|it| it.count);
    assert!(counts.iter().all(|it| *it > 0), "{counts:?}: both are paid");
    counts.iter().sum()
}
