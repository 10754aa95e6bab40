//! Both drivers keep the same promises to their machine and to its clients.

#[path = "driver_support/mod.rs"]
mod support;

use galo::io::{bind_link, probe, Driver, Probe, Upstream};
use galo::machine::Peer;
use galo_testkit::PATIENCE;
use nix::sys::socket::{listen, setsockopt, sockopt, Backlog};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{pattern, Event, Server};

const ANY: &str = "127.0.0.1:0";

/// Each promise, once per driver.
macro_rules! promises {
    ($($name:ident)*) => {
        mod uring {
            $(#[test] fn $name() {
                // Where io_uring is refused, the driver cannot be tested, and is not used.
                if let super::Probe::Refused(cause) = super::probe() {
                    return eprintln!("not tested: {cause}");
                }
                super::$name(super::Driver::Uring);
            })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(super::Driver::Epoll); })*
        }
    };
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
    cores_talk
    links_are_made_to_other_processes
    no_link_is_made_to_nobody
    no_link_is_waited_for
    a_link_that_is_refused_is_closed
    processors_are_connected_to
    processors_that_refuse_or_are_not_found
    many_connections_to_a_processor_at_once
    a_connection_to_a_processor_that_is_refused_is_closed
    a_silent_processor_is_given_up
    stops_while_connecting
    stops_accepting
    stops_accepting_clients_and_not_links
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

fn cores_talk(driver: Driver) {
    let server = Server::start_with(driver, ANY, 2, usize::MAX);
    for n in 0..10 {
        // Whichever of the two it came to.
        server.connect().send(format!("ask {n}\n").as_bytes());
        server.await_event(|event| match event {
            Event::FromLink(Peer::Member(0 | 1), text) => *text == n.to_string(),
            _ => false,
        });
    }
    server.stop();
    let server = Server::start_with(driver, ANY, 3, usize::MAX);
    for _ in 0..6 {
        server.await_event(|event| matches!(event, Event::Opened(Peer::Member(_))));
    }
    server.stop();
}

fn from(peer: Peer, text: &str) -> Event {
    Event::FromLink(peer, text.to_owned())
}

fn links_are_made_to_other_processes(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..3)
        .map(|n| directory.path().join(n.to_string()))
        .collect();
    let (file, listener) = bind_link(&paths[1]).unwrap();
    let b = Server::start_linked(driver, usize::MAX, Some(listener), Vec::new());
    let a = Server::start_linked(driver, usize::MAX, None, paths);
    let (mut to_a, mut to_b) = (a.connect(), b.connect());
    for round in 0..4 {
        to_a.send(b"connect 1\n");
        a.await_event(|event| *event == Event::Opened(Peer::Member(1)));
        b.await_event(|event| *event == Event::Opened(Peer::Linker));
        // More than the kernel's buffers hold.
        let text = "x".repeat(2_000_000);
        to_a.send(format!("ask {text}\n").as_bytes());
        a.await_event(|event| *event == from(Peer::Member(1), &text));
        to_b.send(format!("ask {text}\n").as_bytes());
        b.await_event(|event| *event == from(Peer::Linker, &text));
        // Either end may close it.
        let closer = if round % 2 == 0 { &mut to_a } else { &mut to_b };
        closer.send(b"unlink\n");
        a.await_event(|event| matches!(event, Event::Closed(_)));
        b.await_event(|event| matches!(event, Event::Closed(_)));
    }
    to_a.send(b"connect 1\n");
    a.await_event(|event| *event == Event::Opened(Peer::Member(1)));
    // Not before it is accepted, or its end is a reset.
    b.await_event(|event| *event == Event::Opened(Peer::Linker));
    drop(file);
    b.stop();
    a.await_event(|event| *event == Event::InputEnded { reset: false });
    a.await_event(|event| matches!(event, Event::Closed(_)));
    assert_eq!(to_a.ask_line("echo well"), "well");
    a.stop();
}

fn no_link_is_made_to_nobody(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let [nothing, stale, text] =
        ["nothing", "stale", "text"].map(|name| directory.path().join(name));
    drop(UnixListener::bind(&stale).unwrap());
    std::fs::write(&text, "no socket").unwrap();
    let long = directory.path().join("x".repeat(200));
    let server = Server::start_linked(driver, usize::MAX, None, vec![nothing, stale, text, long]);
    let mut client = server.connect();
    for member in [0, 1, 2, 3, 0] {
        client.send(format!("connect {member}\n").as_bytes());
        server.await_event(|event| *event == Event::ConnectFailed(member));
    }
    // Several in one tick are told in order.
    client.send(b"connect 2\nconnect 0\nconnect 1\n");
    for member in [2, 0, 1] {
        let told = server.await_event(|event| matches!(event, Event::ConnectFailed(_)));
        assert_eq!(told, Event::ConnectFailed(member));
    }
    assert_eq!(client.ask_line("echo well"), "well");
    server.stop();
}

fn no_link_is_waited_for(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("link");
    let (_file, listener) = bind_link(&path).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let waiting = UnixStream::connect(&path).unwrap();
    let server = Server::start_linked(driver, usize::MAX, None, vec![path]);
    let mut client = server.connect();
    client.send(b"connect 0\n");
    server.await_event(|event| *event == Event::ConnectFailed(0));
    assert_eq!(client.ask_line("echo meanwhile"), "meanwhile");
    // With room in the backlog it is made.
    let listener = UnixListener::from(listener);
    listener.accept().unwrap();
    client.send(b"connect 0\n");
    server.await_event(|event| *event == Event::Opened(Peer::Member(0)));
    drop(waiting);
    server.stop();
}

fn a_link_that_is_refused_is_closed(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("link");
    let (_file, listener) = bind_link(&path).unwrap();
    let b = Server::start_linked(driver, usize::MAX, Some(listener), Vec::new());
    // It has room for its client only.
    let a = Server::start_linked(driver, 1, None, vec![path]);
    let mut to_a = a.connect();
    to_a.send(b"connect 0\n");
    a.await_event(|event| *event == Event::Opened(Peer::Member(0)));
    b.await_event(|event| *event == Event::Opened(Peer::Linker));
    b.await_event(|event| *event == from(Peer::Linker, "full"));
    b.await_event(|event| matches!(event, Event::InputEnded { .. }));
    b.await_event(|event| matches!(event, Event::Closed(_)));
    assert_eq!(to_a.ask_line("echo well"), "well");
    a.stop();
    b.stop();
}

/// Where a test listens, as a processor.
fn upstream(listener: &TcpListener) -> Upstream {
    let address = listener.local_addr().unwrap();
    Upstream::new(&address.ip().to_string(), address.port())
}

/// Where nobody listens.
fn nobody() -> Upstream {
    upstream(&TcpListener::bind(ANY).unwrap())
}

/// A listener that answers no further SYN, and what it takes to keep it so.
fn silent() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind(ANY).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener, waiting)
}

const DEFAULT: Peer = Peer::Upstream(0);
const FALLBACK: Peer = Peer::Upstream(1);

fn processors_are_connected_to(driver: Driver) {
    let [default, fallback] = ["127.0.0.1:0", "[::1]:0"].map(|at| TcpListener::bind(at).unwrap());
    let upstreams = [upstream(&default), upstream(&fallback)];
    let server = Server::start_paying(driver, usize::MAX, upstreams);
    let mut client = server.connect();
    for (number, peer, listener) in [(0, DEFAULT, default), (1, FALLBACK, fallback)] {
        client.send(format!("dial {number}\n").as_bytes());
        let (socket, _) = listener.accept().unwrap();
        server.await_event(|event| *event == Event::Opened(peer));
        let mut socket = BufReader::new(socket);
        // More than the kernel's buffers hold, both ways.
        let text = "x".repeat(4_000_000);
        let text_sent = format!("{text}\n");
        client.send(format!("ask {text}\n").as_bytes());
        let mut line = String::new();
        socket.read_line(&mut line).unwrap();
        assert!(line.strip_prefix("echo ") == Some(text_sent.as_str()));
        socket.get_mut().write_all(text_sent.as_bytes()).unwrap();
        server.await_event(|event| *event == from(peer, &text));
        // Either end may close it.
        if number == 0 {
            client.send(b"unlink\n");
            assert_eq!(socket.read(&mut [0]).unwrap(), 0);
        } else {
            drop(socket);
            server.await_event(|event| *event == Event::InputEnded { reset: false });
        }
        server.await_event(|event| matches!(event, Event::Closed(_)));
    }
    assert_eq!(client.ask_line("echo well"), "well");
    server.stop();
}

fn processors_that_refuse_or_are_not_found(driver: Driver) {
    // Nobody has looked this name up.
    let upstreams = [nobody(), Upstream::new("localhost", 1)];
    let server = Server::start_paying(driver, usize::MAX, upstreams);
    let mut client = server.connect();
    for number in [0, 1] {
        for count in [1, 1, 20] {
            client.send(format!("dial {number}\n").repeat(count).as_bytes());
            for _ in 0..count {
                let told = server.await_event(|event| matches!(event, Event::DialFailed(_)));
                assert_eq!(told, Event::DialFailed(number));
            }
        }
    }
    assert_eq!(client.ask_line("echo well"), "well");
    server.stop();
    // Nor does one of whom nothing was said.
    let server = Server::start(driver, ANY);
    server.connect().send(b"dial 1\n");
    server.await_event(|event| *event == Event::DialFailed(1));
    server.stop();
}

fn many_connections_to_a_processor_at_once(driver: Driver) {
    const MANY: usize = 300;
    let default = TcpListener::bind(ANY).unwrap();
    // Room for all: beyond its backlog a listener may forget who thinks that it is connected.
    listen(&default, Backlog::new(2 * MANY as i32).unwrap()).unwrap();
    let server = Server::start_paying(driver, usize::MAX, [upstream(&default), nobody()]);
    let accepting = std::thread::spawn(move || {
        let sockets = default.incoming().take(MANY);
        sockets.collect::<Result<Vec<_>, _>>().unwrap()
    });
    let mut client = server.connect();
    client.send("dial 0\ndial 1\n".repeat(MANY).as_bytes());
    let (mut opened, mut failed) = (0, 0);
    while (opened, failed) != (MANY, MANY) {
        match server.await_event(|_| true) {
            Event::Opened(DEFAULT) => opened += 1,
            Event::DialFailed(1) => failed += 1,
            Event::Opened(Peer::Client) | Event::Received(..) => {}
            other => panic!("{other:?}"),
        }
    }
    let mut sockets = accepting.join().unwrap();
    for (n, socket) in sockets.iter_mut().enumerate() {
        socket.write_all(format!("{n}\n").as_bytes()).unwrap();
        server.await_event(|event| *event == from(DEFAULT, &n.to_string()));
    }
    drop(sockets);
    for _ in 0..MANY {
        server.await_event(|event| matches!(event, Event::Closed(_)));
    }
    assert_eq!(client.ask_line("echo well"), "well");
    server.stop();
}

fn a_connection_to_a_processor_that_is_refused_is_closed(driver: Driver) {
    let default = TcpListener::bind(ANY).unwrap();
    // It has room for its client only.
    let server = Server::start_paying(driver, 1, [upstream(&default), nobody()]);
    let mut client = server.connect();
    for _ in 0..5 {
        client.send(b"dial 0\n");
        let (mut socket, _) = default.accept().unwrap();
        server.await_event(|event| *event == Event::Opened(DEFAULT));
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "without a word");
    }
    assert_eq!(client.ask_line("echo well"), "well");
    server.stop();
}

fn a_silent_processor_is_given_up(driver: Driver) {
    let (listener, _waiting) = silent();
    let server = Server::start_paying(driver, usize::MAX, [upstream(&listener), nobody()]);
    let mut client = server.connect();
    let began = Instant::now();
    client.send(b"dial 0\ndial 1\n");
    // Nobody waits for it.
    server.await_event(|event| *event == Event::DialFailed(1));
    assert_eq!(client.ask_line("echo meanwhile"), "meanwhile");
    assert!(began.elapsed() < Duration::from_millis(900));
    server.await_event(|event| *event == Event::DialFailed(0));
    let took = began.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    server.stop();
}

fn stops_while_connecting(driver: Driver) {
    let (listener, _waiting) = silent();
    let server = Server::start_paying(driver, usize::MAX, [upstream(&listener), nobody()]);
    let mut client = server.connect();
    client.send("dial 0\n".repeat(50).as_bytes());
    assert_eq!(client.ask_line("echo begun"), "begun");
    let port = listener.local_addr().unwrap().port();
    let connecting = || {
        // SYN_SENT is 02, proc(5).
        let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let words = format!(":{port:04X} 02 ");
        sockets.lines().filter(|line| line.contains(&words)).count()
    };
    assert!(connecting() > 40);
    let before = Instant::now();
    server.stop();
    assert!(before.elapsed() < Duration::from_secs(2));
    assert_eq!(connecting(), 0, "none is left behind");
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

fn stops_accepting_clients_and_not_links(driver: Driver) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("link");
    let (_file, listener) = bind_link(&path).unwrap();
    let b = Server::start_linked(driver, usize::MAX, Some(listener), Vec::new());
    let a = Server::start_linked(driver, usize::MAX, None, vec![path.clone()]);
    let mut to_b = b.connect();
    assert_eq!(to_b.ask_line("deaf"), "deaf");
    let galo::io::Address::Tcp(host, port) = b.address.clone() else {
        unreachable!()
    };
    let began = Instant::now();
    while TcpStream::connect((host.as_str(), port)).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    let mut to_a = a.connect();
    to_a.send(b"connect 0\n");
    a.await_event(|event| *event == Event::Opened(Peer::Member(0)));
    b.await_event(|event| *event == Event::Opened(Peer::Linker));
    to_a.send(b"ask still here\n");
    a.await_event(|event| *event == from(Peer::Member(0), "still here"));
    // At the end of the loop it is closed, though the file is there.
    b.stop();
    assert!(path.exists());
    to_a.send(b"connect 0\n");
    a.await_event(|event| *event == Event::ConnectFailed(0));
    a.stop();
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
