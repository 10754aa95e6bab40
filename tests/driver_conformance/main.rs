//! Both drivers keep the same promises to their machine and to its clients.

#[macro_use]
mod promise;

mod channels;
mod links;
mod processors;
#[path = "../driver_support/mod.rs"]
mod support;

use galo::io::Driver;
use galo::machine::Peer;
use galo_testkit::PATIENCE;
use nix::sys::socket::{setsockopt, sockopt};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::{pattern, Event, Server};

const ANY: &str = "127.0.0.1:0";

fn from(peer: Peer, text: &str) -> Event {
    Event::FromLink(peer, text.to_owned())
}

promises! {
    echoes_and_closes
    lines_may_come_byte_by_byte
    unix_sockets_work_alike
    a_half_closed_client_gets_its_reply
    a_reset_is_reported
    fin_goes_out_and_reading_goes_on
    a_slow_reader_gets_all_of_a_big_reply
    a_flood_of_input_is_not_lost
    a_paused_connection_is_not_read_until_it_is_resumed
    closing_gives_up_a_send_in_flight
    five_hundred_connections
    indexes_are_used_again
    at_the_bound_words_are_said
    jobs_come_back
    deadlines_are_kept
    stops_accepting
    stops_with_everything_in_flight
}

fn echoes_and_closes(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    assert_eq!(client.ask_line("echo one"), "one");
    client.send(b"echo two\necho three\n");
    assert_eq!(
        (client.line(), client.line()),
        ("two".into(), "three".into())
    );
    assert_eq!(client.ask_line("bye"), "", "end of stream");
    server.await_event(|event| matches!(event, Event::Closed(_)));
    server.stop();
}

fn lines_may_come_byte_by_byte(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    for byte in b"echo slowly but surely\n" {
        client.send(&[*byte]);
        server.await_event(|event| matches!(event, Event::Received(_, 1)));
    }
    assert_eq!(client.line(), "slowly but surely");
    server.stop();
}

fn unix_sockets_work_alike(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("galo.sock");
    let server = Server::start_with(driver, &format!("unix:{}", path.display()), 2, usize::MAX);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask_line("echo hello"), "hello");
    }
    server.stop();
    assert!(!path.exists());
}

fn a_half_closed_client_gets_its_reply(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    client.send(b"echo last words\n");
    client.tcp().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.line(), "last words");
    assert_eq!(client.line(), "");
    server.await_event(|event| *event == Event::InputEnded { reset: false });
    server.stop();
}

fn a_reset_is_reported(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    assert_eq!(client.ask_line("echo here"), "here");
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(client.tcp(), sockopt::Linger, &at_once).unwrap();
    drop(client);
    server.await_event(|event| *event == Event::InputEnded { reset: true });
    server.await_event(|event| matches!(event, Event::Closed(_)));
    server.stop();
}

fn fin_goes_out_and_reading_goes_on(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    assert_eq!(client.ask_line("fin"), "bye");
    assert_eq!(client.line(), "");
    client.send(b"still there\n");
    server.await_event(|event| matches!(event, Event::Received(_, 12)));
    // FIN waits for what is being sent.
    let mut client = server.connect();
    client.send(b"big 30000000\nfin\n");
    let mut at = 0;
    let mut bytes = vec![0; 1 << 16];
    loop {
        match client.read(&mut bytes).unwrap() {
            0 => break,
            count => at += count,
        }
    }
    assert_eq!(at, 30_000_000 + "bye\n".len());
    server.stop();
}

fn a_slow_reader_gets_all_of_a_big_reply(driver: Driver) {
    const BYTES: usize = 12_000_000;
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    client.send(format!("big {BYTES}\n").as_bytes());
    let sent = server.await_event(|event| matches!(event, Event::Sent(_)));
    assert!(
        matches!(sent, Event::Sent(Ok(1..BYTES))),
        "part of it: {sent:?}"
    );
    // Others are served meanwhile.
    assert_eq!(server.connect().ask_line("echo meanwhile"), "meanwhile");
    let mut at = 0;
    let mut bytes = vec![0; 50_000];
    while at < BYTES {
        let count = client.read(&mut bytes).unwrap();
        assert!(count > 0, "ended after {at}");
        assert!(bytes[..count] == pattern(at, count), "after {at}");
        at += count;
    }
    assert_eq!(client.ask_line("echo more"), "more");
    server.stop();
}

fn a_flood_of_input_is_not_lost(driver: Driver) {
    const BYTES: usize = 4_000_000;
    let server = Server::start(driver, ANY);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                client.send(&[b'x'; BYTES]);
                client.ask_line("")
            })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.join().unwrap(), BYTES.to_string());
    }
    server.stop();
}

fn a_paused_connection_is_not_read_until_it_is_resumed(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut other = server.connect();
    for round in 0..3 {
        while server.events.try_recv().is_ok() {}
        let mut client = server.connect();
        setsockopt(client.tcp(), sockopt::SndBuf, &8192).unwrap();
        client.send(b"hold\n");
        // Until the pause has reached the kernel, bytes may still come in: the reply to another
        // connection's request is one tick later, and the cancellation was submitted before it.
        assert_eq!(other.ask_line("echo go"), "go");
        let mut written = 0;
        client
            .tcp()
            .set_write_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        // It gets stuck when all buffers of the kernel are full.
        while let Ok(count) = std::io::Write::write(&mut client.tcp(), &[b'y'; 10_000]) {
            written += count;
            assert!(written < 100_000_000, "it is read");
        }
        let mut received = 0;
        while let Ok(event) = server.events.try_recv() {
            if let Event::Received(_, count) = event {
                received += count;
            }
        }
        assert!(
            received < written / 2,
            "round {round}: {received} of {written} were read"
        );
        client.tcp().set_write_timeout(None).unwrap();
        other.send(b"release\n");
        assert_eq!(client.ask_line(""), written.to_string());
    }
    server.stop();
}

fn closing_gives_up_a_send_in_flight(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut other = server.connect();
    for _ in 0..10 {
        let mut client = server.connect();
        client.send(b"big 20000000\n");
        server.await_event(|event| matches!(event, Event::Sent(Ok(1000..))));
        other.send(b"drop\n");
        server.await_event(|event| matches!(event, Event::Closed(_)));
        let mut at = 0;
        let mut bytes = vec![0; 100_000];
        // To the end, or to a reset.
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            assert!(bytes[..count] == pattern(at, count), "after {at}");
            at += count;
        }
        assert!(at < 20_000_000);
    }
    assert_eq!(other.ask_line("echo well"), "well");
    server.stop();
}

fn five_hundred_connections(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut clients: Vec<_> = (0..500).map(|_| server.connect()).collect();
    for round in 0..3 {
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(format!("echo {round} {n}\n").as_bytes());
        }
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.line(), format!("{round} {n}"));
        }
    }
    drop(clients);
    for _ in 0..500 {
        server.await_event(|event| matches!(event, Event::Closed(_)));
    }
    server.stop();
}

fn indexes_are_used_again(driver: Driver) {
    let server = Server::start(driver, ANY);
    for n in 0..200 {
        let mut client = server.connect();
        assert_eq!(client.ask_line(&format!("echo {n}")), n.to_string());
        // Half of them leave, half are sent away.
        if n % 2 == 0 {
            assert_eq!(client.ask_line("bye"), "");
        }
        drop(client);
        let Event::Closed(id) = server.await_event(|event| matches!(event, Event::Closed(_)))
        else {
            unreachable!()
        };
        assert_eq!(id.index, 0);
    }
    server.stop();
}

fn at_the_bound_words_are_said(driver: Driver) {
    let server = Server::start_with(driver, ANY, 1, 1);
    let mut first = server.connect();
    assert_eq!(first.ask_line("echo in"), "in");
    for _ in 0..5 {
        let mut second = server.connect();
        assert_eq!((second.line(), second.line()), ("full".into(), "".into()));
    }
    assert_eq!(first.ask_line("bye"), "");
    server.await_event(|event| matches!(event, Event::Closed(_)));
    assert_eq!(server.connect().ask_line("echo next"), "next");
    server.stop();
}

fn jobs_come_back(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(client.ask_line("job"), "done");
    }
    let mut second = server.connect();
    second.send(b"jobs 100\n");
    assert_eq!(client.ask_line("echo meanwhile"), "meanwhile");
    assert_eq!(second.line(), "100");
    server.stop();
}

fn deadlines_are_kept(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    let mut second = server.connect();
    for ms in [20, 50, 5] {
        // A later one does not hide an earlier one, nor the other way round.
        second.send(b"after 200\n");
        assert_eq!(second.ask_line("echo armed"), "armed");
        let before = Instant::now();
        assert_eq!(client.ask_line(&format!("after {ms}")), "due");
        let took = before.elapsed();
        assert!(took >= Duration::from_millis(ms), "{took:?}");
        assert!(took < Duration::from_millis(ms + 150), "{took:?}");
    }
    for _ in 0..3 {
        assert_eq!(second.line(), "due");
    }
    server.stop();
}

fn stops_accepting(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut client = server.connect();
    assert_eq!(client.ask_line("deaf"), "deaf");
    let galo::io::Address::Tcp(host, port) = server.address.clone() else {
        unreachable!()
    };
    let began = Instant::now();
    while TcpStream::connect((host.as_str(), port)).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(client.ask_line("echo still here"), "still here");
    server.stop();
}

fn stops_with_everything_in_flight(driver: Driver) {
    let server = Server::start(driver, ANY);
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(match n % 3 {
            0 => b"big 10000000\n",
            1 => b"jobs 3\n",
            _ => b"after 60000\n",
        });
    }
    server.await_event(|event| matches!(event, Event::Sent(_)));
    let before = Instant::now();
    server.stop();
    assert!(before.elapsed() < Duration::from_secs(2));
    // And an idle one.
    let server = Server::start(driver, ANY);
    let before = Instant::now();
    server.stop();
    assert!(before.elapsed() < Duration::from_secs(2));
}
