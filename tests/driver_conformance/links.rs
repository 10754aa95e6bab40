//! Links between cores and between nodes.

use galo::io::{bind_link, Driver};
use galo::machine::Peer;
use galo_testkit::PATIENCE;
use nix::sys::socket::{listen, Backlog};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Instant;

use crate::support::{Event, Server};
use crate::{from, ANY};

promises! {
    cores_talk
    links_are_made_to_other_processes
    no_link_is_made_to_nobody
    no_link_is_waited_for
    a_link_that_is_refused_is_closed
    stops_accepting_clients_and_not_links
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
        b.await_event(|event| *event == from(Peer::Linker, "hello"));
        a.await_event(|event| *event == from(Peer::Member(1), "hello"));
        // More than rings and the kernel's buffers hold.
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
    // Not before it has read what was sent, or its end is a reset.
    b.await_event(|event| *event == from(Peer::Linker, "hello"));
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
    b.await_event(|event| matches!(event, Event::Closed(_)));
    assert_eq!(to_a.ask_line("echo well"), "well");
    a.stop();
    b.stop();
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
    b.await_event(|event| *event == from(Peer::Linker, "hello"));
    a.await_event(|event| *event == from(Peer::Member(0), "hello"));
    to_a.send(b"ask still here\n");
    a.await_event(|event| *event == from(Peer::Member(0), "still here"));
    // At the end of the loop it is closed, though the file is there.
    b.stop();
    assert!(path.exists());
    to_a.send(b"connect 0\n");
    a.await_event(|event| *event == Event::ConnectFailed(0));
    a.stop();
}
