//! Connections to payment processors.

use galo::io::{Driver, Upstream};
use galo::machine::Peer;
use nix::sys::socket::{listen, Backlog};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Event, Server};
use crate::{from, ANY};

promises! {
    processors_are_connected_to
    processors_that_refuse_or_are_not_found
    many_connections_to_a_processor_at_once
    a_connection_to_a_processor_that_is_refused_is_closed
    a_silent_processor_is_given_up
    stops_while_connecting
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
