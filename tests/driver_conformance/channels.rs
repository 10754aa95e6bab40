//! Links through shared memory, seen from a peer that does in it what it likes.

use galo::io::{bind_link, Driver};
use galo::machine::Peer;
use galo_testkit::PATIENCE;
use nix::fcntl::{fcntl, FcntlArg, SealFlag};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::socket::{sendmsg, ControlMessage, MsgFlags, UnixAddr};
use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use tempfile::TempDir;

use crate::support::{Event, Server};

promises! {
    a_channel_carries_the_frames
    a_doorbell_may_come_late_twice_or_for_nothing
    what_a_peer_wrote_before_it_died_is_read
    what_a_peer_had_not_published_is_not_read
    a_full_ring_is_waited_for
    indices_that_make_no_sense_end_the_link
    bytes_on_the_socket_of_a_channel_end_the_link
    without_a_channel_the_socket_carries_the_frames
    a_channel_that_is_unfit_is_not_taken
}

// The layout of the memory, in bytes: a page, and a ring for each direction.
const RING: usize = 32 * 1024;
const PAGE: usize = 4096;
const LENGTH: usize = PAGE + 2 * RING;
const MARK: &[u8] = b"glc1";
const ATTACHED: usize = 4;
/// Of the ring that the peer who connects writes; those of the other one follow.
const WRITTEN: usize = 64;
const READ: usize = 128;
const READER_TURN: usize = 192;
const WRITER_TURN: usize = 256;
const OTHER: usize = 256;

/// A node in the place of one that connects.
struct Node {
    socket: UnixStream,
    memory: File,
    /// What the server rings.
    own_bell: OwnedFd,
    server_bell: File,
    written: u32,
    read: u32,
}

fn bell() -> OwnedFd {
    nix::sys::eventfd::EventFd::new().unwrap().into()
}

/// What nobody but a test would hand over is made by changing what `File` this is.
fn memory() -> File {
    let file = memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let file = File::from(file);
    file.set_len(LENGTH as u64).unwrap();
    file.write_all_at(MARK, 0).unwrap();
    file
}

fn seal(file: &File) {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
}

/// Connects, and says hello with these descriptors beside it.
fn hello(path: &Path, parts: &[&dyn AsFd]) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let fds: Vec<_> = parts.iter().map(|it| it.as_fd().as_raw_fd()).collect();
    let (bytes, rights) = ([IoSlice::new(b"hello\n")], ControlMessage::ScmRights(&fds));
    let rights = match fds.is_empty() {
        true => &[][..],
        false => &[rights],
    };
    let flags = MsgFlags::empty();
    let sent = sendmsg::<UnixAddr>(socket.as_raw_fd(), &bytes, rights, flags, None);
    assert_eq!(sent, Ok(6));
    socket
}

fn line(socket: &UnixStream) -> String {
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, socket);
    reader.read_line(&mut line).unwrap();
    line
}

impl Node {
    fn connect(path: &Path) -> Node {
        let (memory, own_bell, server_bell) = (memory(), bell(), bell());
        seal(&memory);
        let socket = hello(path, &[&memory, &own_bell, &server_bell]);
        assert_eq!(line(&socket), "hello\n");
        let node = Node {
            socket,
            memory,
            own_bell,
            server_bell: server_bell.into(),
            written: 0,
            read: 0,
        };
        assert_eq!(node.word(ATTACHED), 1);
        node
    }

    fn word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        self.memory.read_exact_at(&mut bytes, at as u64).unwrap();
        u32::from_ne_bytes(bytes)
    }

    fn set(&self, at: usize, word: u32) {
        let bytes = word.to_ne_bytes();
        self.memory.write_all_at(&bytes, at as u64).unwrap();
    }

    /// Puts bytes where the next ones go, and does not say so.
    fn put(&mut self, text: &str) {
        for (byte, at) in text.bytes().zip(self.written..) {
            let at = PAGE + at as usize % RING;
            self.memory.write_all_at(&[byte], at as u64).unwrap();
        }
        self.written += text.len() as u32;
    }

    fn write(&mut self, text: &str) {
        self.put(text);
        self.set(WRITTEN, self.written);
    }

    fn ring(&self) {
        (&self.server_bell).write_all(&1_u64.to_ne_bytes()).unwrap();
    }

    /// Waits until the server has written something, as a core would.
    fn wait(&self) {
        let turn = self.word(OTHER + READER_TURN);
        self.set(OTHER + READER_TURN, turn + 1);
        if self.word(OTHER + WRITTEN) == self.read {
            let mut bells = [PollFd::new(self.own_bell.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE).unwrap();
            assert_eq!(poll(&mut bells, timeout), Ok(1), "nobody rings");
            let mut count = [0; 8];
            nix::unistd::read(&self.own_bell, &mut count).unwrap();
        }
        self.set(OTHER + READER_TURN, turn + 2);
    }

    /// What the server has written; waits for some.
    fn read(&mut self) -> String {
        while self.word(OTHER + WRITTEN) == self.read {
            self.wait();
        }
        let written = self.word(OTHER + WRITTEN);
        let bytes = (self.read..written).map(|at| {
            let mut byte = [0];
            let at = PAGE + RING + at as usize % RING;
            self.memory.read_exact_at(&mut byte, at as u64).unwrap();
            byte[0]
        });
        let text = String::from_utf8(bytes.collect()).unwrap();
        self.read = written;
        self.set(OTHER + READ, written);
        text
    }

    fn read_line(&mut self) -> String {
        let mut text = self.read();
        while !text.ends_with('\n') {
            text += &self.read();
        }
        text
    }
}

/// A server with a link socket.
struct Listening {
    server: Server,
    path: std::path::PathBuf,
    _file: galo::io::SocketFile,
    _directory: TempDir,
}

impl Listening {
    fn start(driver: Driver) -> Listening {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link");
        let (file, listener) = bind_link(&path).unwrap();
        Listening {
            server: Server::start_linked(driver, usize::MAX, Some(listener), Vec::new()),
            path,
            _file: file,
            _directory: directory,
        }
    }

    fn node(&self) -> Node {
        Node::connect(&self.path)
    }

    /// Everybody else is served.
    fn serves(&self) {
        assert_eq!(self.server.connect().ask_line("echo well"), "well");
    }
}

fn a_channel_carries_the_frames(driver: Driver) {
    let listening = Listening::start(driver);
    let mut node = listening.node();
    // Round the ring's end, several times.
    for round in 0..9 {
        let text = format!("{round}").repeat(10_000);
        node.write(&format!("echo {text}\n"));
        node.ring();
        assert_eq!(node.read_line(), format!("{text}\n"));
    }
    // The server begins, too.
    listening.server.connect().send(b"ask you\n");
    assert_eq!(node.read_line(), "echo you\n");
    listening.server.stop();
}

fn a_doorbell_may_come_late_twice_or_for_nothing(driver: Driver) {
    let listening = Listening::start(driver);
    let mut node = listening.node();
    for _ in 0..100 {
        node.ring();
    }
    node.write("echo on time\n");
    node.ring();
    node.ring();
    assert_eq!(node.read_line(), "on time\n");
    // It is asleep by the time that it has answered a second client, which it was told of in another way.
    let mut client = listening.server.connect();
    assert_eq!(client.ask_line("echo well"), "well");
    node.write("echo late\n");
    node.write("echo by a second\n");
    node.ring();
    let mut text = node.read_line();
    while !text.ends_with("second\n") {
        text += &node.read_line();
    }
    assert_eq!(text, "late\nby a second\n");
    listening.server.stop();
}

/// It had no time to ring: the end of its socket is as good.
fn what_a_peer_wrote_before_it_died_is_read(driver: Driver) {
    let listening = Listening::start(driver);
    let mut node = listening.node();
    // As long as the ring is.
    let text = "x".repeat(RING - 1);
    node.write(&format!("{text}\n"));
    drop(node);
    let from_link = Event::FromLink(Peer::Linker, text);
    listening.server.await_event(|event| *event == from_link);
    let ended = |event: &Event| matches!(event, Event::InputEnded { .. });
    listening.server.await_event(ended);
    listening.serves();
    listening.server.stop();
}

fn what_a_peer_had_not_published_is_not_read(driver: Driver) {
    let listening = Listening::start(driver);
    let mut node = listening.node();
    node.write("whole\nha");
    node.put("lf\n");
    drop(node);
    let mut lines = Vec::new();
    loop {
        let event = listening
            .server
            .await_event(|event| matches!(event, Event::FromLink(..) | Event::InputEnded { .. }));
        match event {
            Event::FromLink(_, line) => lines.push(line),
            _ => break,
        }
    }
    assert_eq!(lines, ["hello", "whole"]);
    listening.serves();
    listening.server.stop();
}

fn a_full_ring_is_waited_for(driver: Driver) {
    let listening = Listening::start(driver);
    let mut node = listening.node();
    let text = "y".repeat(10 * RING);
    let mut client = listening.server.connect();
    client.send(format!("ask {text}\n").as_bytes());
    // It is full, and its writer waits.
    while node.word(OTHER + WRITTEN) != RING as u32
        || node.word(OTHER + WRITER_TURN).is_multiple_of(2)
    {
        assert_eq!(client.ask_line("echo meanwhile"), "meanwhile");
    }
    let mut found = String::new();
    while !found.ends_with('\n') {
        found += &node.read();
        node.ring();
    }
    assert_eq!(found, format!("echo {text}\n"));
    listening.server.stop();
}

fn indices_that_make_no_sense_end_the_link(driver: Driver) {
    let listening = Listening::start(driver);
    for written in [RING as u32 + 1, u32::MAX, 1 << 31] {
        let node = listening.node();
        node.set(WRITTEN, written);
        node.ring();
        assert_eq!(line(&node.socket), "");
        listening.serves();
    }
    // It has read what was never written: found out by whoever writes to it.
    for read in [1, u32::MAX - RING as u32, 1 << 31] {
        let mut node = listening.node();
        node.set(OTHER + READ, read);
        node.write("echo x\n");
        node.ring();
        assert_eq!(line(&node.socket), "");
        listening.serves();
    }
    listening.server.stop();
}

fn bytes_on_the_socket_of_a_channel_end_the_link(driver: Driver) {
    let listening = Listening::start(driver);
    let node = listening.node();
    (&node.socket).write_all(b"echo x\n").unwrap();
    assert_eq!(line(&node.socket), "");
    listening.serves();
    listening.server.stop();
}

fn without_a_channel_the_socket_carries_the_frames(driver: Driver) {
    let listening = Listening::start(driver);
    let socket = hello(&listening.path, &[]);
    assert_eq!(line(&socket), "hello\n");
    (&socket).write_all(b"echo x\n").unwrap();
    assert_eq!(line(&socket), "x\n");
    listening.server.stop();
}

fn a_channel_that_is_unfit_is_not_taken(driver: Driver) {
    let listening = Listening::start(driver);
    let (own, server) = (bell(), bell());
    let unsealed = memory();
    let short = memory();
    short.set_len(PAGE as u64).unwrap();
    let other = memory();
    other.write_all_at(b"glc0", 0).unwrap();
    let on_disk = tempfile::tempfile().unwrap();
    on_disk.set_len(LENGTH as u64).unwrap();
    let fit = memory();
    [&short, &other, &fit].into_iter().for_each(seal);
    for parts in 0..8 {
        // Whether it is kept can be seen from the other end.
        let (left, kept) = nix::unistd::pipe().unwrap();
        let parts: &[&dyn AsFd] = match parts {
            0 => &[&unsealed, &own, &kept],
            1 => &[&short, &own, &kept],
            2 => &[&other, &own, &kept],
            3 => &[&on_disk, &own, &kept],
            4 => &[&own, &fit, &kept],
            5 => &[&kept],
            6 => &[&fit, &kept],
            _ => &[&fit, &own, &kept, &server],
        };
        let socket = hello(&listening.path, parts);
        assert_eq!(line(&socket), "hello\n");
        drop(kept);
        assert_eq!(std::io::read_to_string(File::from(left)).unwrap(), "");
        let mut attached = [0; 4];
        fit.read_exact_at(&mut attached, ATTACHED as u64).unwrap();
        assert_eq!(attached, [0; 4]);
        (&socket).write_all(b"echo x\n").unwrap();
        assert_eq!(line(&socket), "x\n");
        drop(socket);
        listening.serves();
    }
    listening.server.stop();
}
