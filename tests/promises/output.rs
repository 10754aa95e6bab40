//! Standard output and standard error that take nothing: a command ends quietly, with a status that says so, and a
//! server goes on.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use galo_testkit::{
    data_dir, get, on_both_drivers, Address, Connection, Launch, Process, Reply, PATIENCE,
};

/// What may be there in place of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// Every write: ENOSPC.
    Full,
    /// A pipe that nobody reads any more: EPIPE.
    ReaderGone,
    /// No descriptor at all.
    Closed,
}

const SINKS: [Sink; 3] = [Sink::Full, Sink::ReaderGone, Sink::Closed];

impl Sink {
    fn stdio(self) -> Stdio {
        match self {
            Sink::Full => OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap()
                .into(),
            Sink::ReaderGone => pipe2(OFlag::O_CLOEXEC).unwrap().1.into(),
            Sink::Closed => Stdio::null(),
        }
    }
}

fn close_in_child(command: &mut Command, descriptors: Vec<i32>) {
    let close = move || {
        for descriptor in &descriptors {
            // SAFETY: a system call; nobody uses the descriptor between fork and exec.
            unsafe { libc::close(*descriptor) };
        }
        Ok(())
    };
    // SAFETY: it makes system calls only.
    unsafe { command.pre_exec(close) };
}

/// Commands and their status when all is well.
fn commands(data: &Path) -> Vec<(Launch, i32)> {
    let check = || Launch::bare().arg("check").flag("data", data);
    vec![
        (Launch::bare().arg("--help"), 0),
        (Launch::bare().arg("--version"), 0),
        (check(), 0),
        (Launch::bare().arg("check").flag("data", "/nada"), 1),
        (Launch::bare().arg("--nada"), 2),
        (
            Launch::bare().arg("healthcheck").flag("url", "unix:/nada"),
            1,
        ),
        (Launch::serve(Path::new("/proc/nada")), 1),
    ]
}

#[test]
fn a_command_whose_output_is_not_taken_says_so_by_its_status() {
    let dir = data_dir();
    Launch::serve(dir.path()).start().stop();
    for sink in SINKS {
        for (launch, usual) in commands(dir.path()) {
            let mut command = launch.into_command();
            command.stdout(sink.stdio()).stderr(Stdio::piped());
            if sink == Sink::Closed {
                close_in_child(&mut command, vec![1]);
            }
            let output = command.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            let context = format!("{command:?} {sink:?}: {}, {stderr}", output.status);
            // Nobody can want what is printed where there is no descriptor.
            let expected = if sink == Sink::Closed {
                usual
            } else {
                usual.max(1)
            };
            assert_eq!(output.status.code(), Some(expected), "{context}");
            // One line; none where the reader has left, and knows.
            let quiet = usual == 0 && sink != Sink::Full;
            let said: Vec<&str> = stderr
                .lines()
                .filter(|line| !line.contains("INFO"))
                .collect();
            assert_eq!(said.len(), usize::from(!quiet), "{context}");
            assert!(
                said.iter().all(|line| line.starts_with("galo: ")),
                "{context}"
            );
        }
    }
}

#[test]
fn an_error_that_cannot_be_printed_changes_no_status() {
    let dir = data_dir();
    Launch::serve(dir.path()).start().stop();
    for sink in SINKS {
        for (launch, usual) in commands(dir.path()) {
            let mut command = launch.into_command();
            command.stdout(Stdio::null()).stderr(sink.stdio());
            if sink == Sink::Closed {
                close_in_child(&mut command, vec![0, 2]);
            }
            let status = command.status().unwrap();
            assert_eq!(status.code(), Some(usual), "{command:?} {sink:?}: {status}");
        }
    }
}

/// The first answer to `GET /health` at a Unix socket of a process that has no log to wait for.
pub fn wait_for(socket: &Path, process: &mut Process) -> Reply {
    let address = Address::parse(&format!("unix:{}", socket.display()));
    let began = Instant::now();
    let mut connection = loop {
        if let Ok(connection) = Connection::open(&address) {
            break connection;
        }
        assert!(process.is_running(), "it has ended");
        assert!(began.elapsed() < PATIENCE, "it does not listen");
        std::thread::yield_now();
    };
    connection.ask(&get("/health"))
}

/// Serves, logs, and stops as if there were somebody to read.
fn serves_and_stops(mut process: Process, socket: &Path) {
    assert_eq!(wait_for(socket, &mut process).status, 200);
    // Each makes a line.
    for _ in 0..3 {
        process.signal(Signal::SIGHUP);
        assert_eq!(wait_for(socket, &mut process).status, 200);
    }
    process.signal(Signal::SIGTERM);
    let status = process.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{status} {:?}", status.signal());
}

#[test]
fn a_log_that_cannot_be_written_stops_no_server() {
    on_both_drivers(|driver| {
        for sink in SINKS {
            for log in ["text", "json"] {
                let dir = data_dir();
                let socket = dir.path().join("galo.sock");
                let mut command = Launch::driver(&dir.path().join("data"), driver)
                    .flag("listen", format!("unix:{}", socket.display()))
                    .flag("log", log)
                    .cores(2)
                    .into_command();
                command.stdout(sink.stdio()).stderr(sink.stdio());
                if sink == Sink::Closed {
                    close_in_child(&mut command, vec![0, 1, 2]);
                }
                let mut process = Process::unlogged(command);
                wait_for(&socket, &mut process);
                if sink == Sink::Closed {
                    // Or a line of the log would be in the file, or at the client, that got its number.
                    for descriptor in 0..=2 {
                        let link = format!("/proc/{}/fd/{descriptor}", process.pid());
                        let target = std::fs::read_link(link).unwrap();
                        assert_eq!(target, Path::new("/dev/null"));
                    }
                }
                serves_and_stops(process, &socket);
            }
        }
    });
}

/// A pipe whose reader does not read, filled to the brim.
fn full_pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let nonblocking = |on: bool| {
        let flags = if on {
            OFlag::O_NONBLOCK
        } else {
            OFlag::empty()
        };
        fcntl(writer.as_fd(), FcntlArg::F_SETFL(flags)).unwrap();
    };
    nonblocking(true);
    while nix::unistd::write(&writer, &[b'.'; 4096]).is_ok() {}
    nonblocking(false);
    (reader.into(), writer)
}

/// A terminal that is held, `less` that is not looked at: lines are lost rather than waited for, and counted.
#[test]
fn a_log_that_nobody_reads_stops_no_server() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let socket = dir.path().join("galo.sock");
        let mut command = Launch::driver(&dir.path().join("data"), driver)
            .flag("listen", format!("unix:{}", socket.display()))
            .into_command();
        let (mut reader, writer) = full_pipe();
        command.stdout(Stdio::null()).stderr(writer);
        let mut process = Process::unlogged(command);
        assert_eq!(wait_for(&socket, &mut process).status, 200);
        let mut dots = vec![0; 32 * 1024];
        reader.read_exact(&mut dots).unwrap();
        serves_and_stops(process, &socket);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let rest = rest.trim_start_matches('.');
        let told = rest.find(" lines of the log could not be written");
        let hangup = rest.find("SIGHUP");
        assert!(told.is_some() && told < hangup, "{rest}");
        assert!(
            !rest.contains("I/O drivers"),
            "the first line was lost: {rest}"
        );
        assert!(rest.trim_end().ends_with("stopped"), "{rest}");
    });
}

/// Nobody reads its last words: it ends all the same.
#[test]
fn an_error_that_nobody_reads_ends_the_command() {
    let (_reader, writer) = full_pipe();
    let mut command = Launch::bare().arg("--nada").into_command();
    command.stdout(Stdio::null()).stderr(writer);
    assert_eq!(command.status().unwrap().code(), Some(2));
}

/// Standard input is nobody's business.
#[test]
fn no_standard_input_is_needed() {
    let dir = data_dir();
    let socket = dir.path().join("galo.sock");
    let mut command = Launch::serve(&dir.path().join("data"))
        .flag("listen", format!("unix:{}", socket.display()))
        .into_command();
    let log = File::create(dir.path().join("log")).unwrap();
    command.stdout(Stdio::null()).stderr(log);
    close_in_child(&mut command, vec![0]);
    let mut process = Process::unlogged(command);
    wait_for(&socket, &mut process);
    let target = std::fs::read_link(format!("/proc/{}/fd/0", process.pid())).unwrap();
    assert_eq!(target, Path::new("/dev/null"));
    serves_and_stops(process, &socket);
}
