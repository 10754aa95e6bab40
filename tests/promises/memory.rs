//! Resident memory with many connections open, whatever they do.

use std::time::{Duration, Instant};

use galo_testkit::{
    data_dir, get, need_files, on_both_drivers, transaction, Address, Crowd, Driver, Launch,
    PaymentLedger, Processor, Random,
};

const CONNECTIONS: usize = 1_000;
/// What is promised, of a release build.
const RELEASE_KIB_MAX: u64 = 10 * 1024;
/// A debug build's code alone is some megabytes more, with the engine's client eight.
const DEBUG_KIB_MAX: u64 = 22 * 1024;

#[test]
fn a_thousand_connections_fit_in_ten_megabytes() {
    // Both servers' clients are in this process.
    need_files(4 * CONNECTIONS);
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send(&get("/clientes/1/extrato"));
        }
        for connection in &mut connections {
            assert_eq!(connection.reply().status, 200);
        }
        let max = if cfg!(debug_assertions) {
            DEBUG_KIB_MAX
        } else {
            RELEASE_KIB_MAX
        };
        let resident = server.resident_kib();
        eprintln!("{}: {resident} KiB of {max}", driver.name());
        assert!(resident < max, "{resident} KiB resident, at most {max}");
        let connected = server.metric("galo_connections_open");
        assert_eq!(connected as usize, CONNECTIONS + 1);
    });
}

/// What all clients together may add to a node's resident memory.
const FLOOD_KIB_MAX: u64 = 24_000;
/// What of it may stay when they have gone.
const AFTERWARDS_KIB_MAX: u64 = 8_000;
/// From when they have gone.
const AFTERWARDS_MAX: Duration = Duration::from_secs(15);

/// Many connections that send `bytes`, at most `step` of each in a round, and read nothing.
fn flood(driver: Driver, connections: usize, bytes: &[u8], step: usize) {
    let dir = data_dir();
    let server = Launch::driver(dir.path(), driver).cores(1).start();
    let mut polite = server.connect();
    for _ in 0..10 {
        let long = transaction(1, 'c', 1, "0123456789");
        polite.ask(&long).posted();
    }
    let before = server.resident_kib();
    let mut crowd = Crowd::connect(server.address(), connections);
    // Until memory grows no more, either: some of it is answered by then.
    let mut most = 0;
    crowd.flood(bytes, step, || {
        assert_eq!(polite.ask(&get("/clientes/1/extrato")).status, 200);
        let resident = server.resident_kib();
        let grows = resident > most;
        most = most.max(resident);
        grows
    });
    let grown = most.saturating_sub(before);
    assert!(grown <= FLOOD_KIB_MAX, "{grown} KiB more");
    drop(crowd);
    let gone = Instant::now();
    loop {
        let left = server.resident_kib().saturating_sub(before);
        if left <= AFTERWARDS_KIB_MAX && server.metric("galo_connections_open") <= 2.0 {
            eprintln!(
                "{}, {connections}: {grown} KiB more, {left} KiB after {:?}",
                driver.name(),
                gone.elapsed()
            );
            break;
        }
        assert!(gone.elapsed() < AFTERWARDS_MAX, "{left} KiB are left");
        polite.is_readable(Duration::from_millis(50));
    }
    assert_eq!(polite.ask(&get("/clientes/1/extrato")).status, 200);
}

/// What the kernel may keep of replies beyond the client's window: what may be unsent, and the send that reached that.
const KERNEL_BYTES_MAX: u64 = 100 << 10;

#[test]
fn the_kernel_keeps_little_for_a_client_that_does_not_read() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let mut client = Crowd::connect(server.address(), 1);
        let requests = get("/clientes/1/extrato").repeat(20_000);
        client.flood(&requests, usize::MAX, || {
            assert_eq!(server.get("/health").status, 200);
            false
        });
        let kept = send_queue_bytes(server.address());
        assert!(kept > 0, "it has room for all");
        assert!(kept <= KERNEL_BYTES_MAX, "{kept} bytes");
    });
}

/// The most that waits in a connection of a server on the loopback, as /proc/net/tcp has it.
fn send_queue_bytes(server: &Address) -> u64 {
    let (_, port) = server.tcp().split_once(':').unwrap();
    let local = format!("0100007F:{:04X}", port.parse::<u16>().unwrap());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace());
    let queues = rows.filter_map(|mut row| {
        let is_its = row.nth(1) == Some(&local);
        let (send, _receive) = row.nth(2).filter(|_| is_its)?.split_once(':')?;
        Some(u64::from_str_radix(send, 16).unwrap())
    });
    queues.max().expect("it listens")
}

#[test]
fn pipelines_that_nobody_reads_are_bounded_together_and_memory_goes_back() {
    for driver in [Driver::Uring, Driver::Epoll] {
        let (statement, credit) = (get("/clientes/1/extrato"), transaction(1, 'c', 1, "a"));
        flood(driver, 2_000, &statement.repeat(400), usize::MAX);
        flood(driver, 2_000, &credit.repeat(400), usize::MAX);
        flood(driver, 10_000, &statement.repeat(80), usize::MAX);
    }
}

#[test]
fn bodies_that_never_end_are_bounded_together_and_memory_goes_back() {
    let mut half =
        b"POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
            .to_vec();
    half.resize(59_000, b' ');
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    let head =
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = head.to_owned() + &chunk.repeat(7);
    for driver in [Driver::Uring, Driver::Epoll] {
        flood(driver, 2_000, &half, usize::MAX);
        flood(driver, 1_000, chunked.as_bytes(), usize::MAX);
    }
}

#[test]
fn requests_that_come_byte_by_byte_are_bounded_together_and_memory_goes_back() {
    let head = "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\n";
    let filler = "a".repeat(40);
    for driver in [Driver::Uring, Driver::Epoll] {
        for rest in [
            format!("X-Filler: {filler}"),
            format!("Content-Length: 60000\r\n\r\n{filler}"),
            format!("Transfer-Encoding: chunked\r\n\r\n1000\r\n{filler}"),
        ] {
            flood(driver, 2_000, format!("{head}{rest}").as_bytes(), 1);
        }
    }
}

#[test]
fn processors_that_answer_byte_by_byte_take_nothing_from_clients() {
    const PAYMENTS: usize = 200;
    for driver in [Driver::Uring, Driver::Epoll] {
        let (dir, processors) = (data_dir(), Processor::both());
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .processors_of(&processors)
            .start();
        for processor in &processors {
            processor.set_faults(&[("drip", 1.0)]);
        }
        let mut polite = server.connect();
        polite.ask(&transaction(1, 'c', 1, "um")).posted();
        let before = server.resident_kib();
        let mut book = PaymentLedger::default();
        book.pay(&mut server.connect(), &mut Random::from_time(), PAYMENTS);
        let open = || server.metric("galo_payments_open");
        let mut most = before;
        let mut asked = 0;
        while open() > 0.0 {
            polite.ask(&transaction(1, 'c', 1, "um")).posted();
            asked += 1;
            most = most.max(server.resident_kib());
        }
        assert!(asked > 10, "all are settled at once");
        let grown = most - before;
        eprintln!("{}: {grown} KiB more", driver.name());
        assert!(grown <= FLOOD_KIB_MAX, "{grown} KiB more");
        let summary = book.expect_settled(server.address(), &processors);
        assert_eq!(summary.count(), PAYMENTS as u64);
        server.stop();
    }
}
