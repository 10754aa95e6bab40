//! The server: its command line, and a node that runs.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::LogStream;
use crate::programs::program;
use crate::{get, transaction, Address, Connection, Process, Processor, Reply, Summary, PATIENCE};

/// `--io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Uring,
    Epoll,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Driver::Uring => "uring",
            Driver::Epoll => "epoll",
        }
    }
}

/// Runs a test for each driver, both at once; a failure names the driver as its thread.
pub fn on_both_drivers(test: impl Fn(Driver) + Sync) {
    thread::scope(|scope| {
        let test = &test;
        let threads = [Driver::Uring, Driver::Epoll].map(|driver| {
            thread::Builder::new()
                .name(format!("driver {}", driver.name()))
                .spawn_scoped(scope, move || test(driver))
                .expect("a thread")
        });
        let results = threads.map(|thread| thread.join());
        assert!(results.iter().all(Result::is_ok), "see above");
    });
}

/// A place for data, removed at the end.
pub fn data_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("galo-test-")
        .tempdir()
        .expect("a temporary directory")
}

/// A command line to be.
pub struct Launch {
    command: Command,
    listens: usize,
}

impl Launch {
    /// `galo` with nothing, and without the environment of whoever runs the tests.
    pub fn bare() -> Launch {
        Launch::program(&program("galo"))
    }

    /// The same with a copy of the binary.
    pub fn program(binary: &Path) -> Launch {
        let mut command = Command::new(binary);
        command.env_clear().stdin(Stdio::null());
        Launch {
            command,
            listens: 0,
        }
    }

    /// `galo serve` on these data.
    pub fn serve(data: &Path) -> Launch {
        Launch::bare().arg("serve").flag("data", data)
    }

    /// The same with a driver.
    pub fn driver(data: &Path, driver: Driver) -> Launch {
        Launch::serve(data).flag("io", driver.name())
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Launch {
        self.command.arg(arg);
        self
    }

    pub fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Launch {
        self.arg(format!("--{name}")).arg(value)
    }

    pub fn cores(self, cores: usize) -> Launch {
        self.flag("cores", cores.to_string())
    }

    pub fn processors(self, default: &str, fallback: &str) -> Launch {
        self.flag("processor-default", default)
            .flag("processor-fallback", fallback)
    }

    pub fn processors_of(self, processors: &[Processor; 2]) -> Launch {
        let [default, fallback] = processors.each_ref().map(|processor| processor.url());
        self.processors(&default, &fallback)
    }

    pub fn listen(mut self, address: &str) -> Launch {
        self.listens += 1;
        self.flag("listen", address)
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Launch {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, dir: &Path) -> Launch {
        self.command.current_dir(dir);
        self
    }

    /// Soft and hard.
    pub fn limit(self, resource: Resource, value: u64) -> Launch {
        self.before_exec(move || Ok(setrlimit(resource, value, value)?))
    }

    /// `action` runs in the child between fork and exec: it may only make system calls.
    pub fn before_exec(
        mut self,
        action: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Launch {
        // SAFETY: the caller's actions make system calls and touch nothing that a lock guards.
        unsafe { self.command.pre_exec(action) };
        self
    }

    /// For a test that has its own idea of standard output and standard error.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it and waits until it listens, on a port of the kernel's choice if on none of the caller's.
    pub fn start(mut self) -> Server {
        if self.listens == 0 {
            self = self.listen("127.0.0.1:0");
        }
        let listens = self.listens;
        self.start_listening(listens)
    }

    /// Starts it and waits until it listens on as many addresses as its environment names.
    pub fn start_listening(self, listens: usize) -> Server {
        let process = self.spawn();
        let addresses = process.listening(listens);
        Server { process, addresses }
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        let mut process = self.spawn();
        let status = process.wait(PATIENCE);
        let mut stdout = String::new();
        let mut pipe = process.take_stdout().expect("it was piped");
        pipe.read_to_string(&mut stdout).expect("text");
        Outcome {
            status,
            stdout,
            stderr: process.log(),
        }
    }

    fn spawn(mut self) -> Process {
        self.command.stdout(Stdio::piped());
        Process::start(self.command, LogStream::Stderr)
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: Vec<String>,
}

impl Outcome {
    /// Exit status 0: what it printed.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.status.code(), Some(0), "{self:?}");
        self.stdout
    }

    /// This exit status, and one line that says why, with these words in it. Lines of the log, which
    /// begin with a time, may be before it.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        let said = self.stderr.iter().filter(|line| !is_log(line));
        let said: Vec<&String> = said.collect();
        assert_eq!(said.len(), 1, "one line: {self:?}");
        assert!(said[0].starts_with("galo: "), "{self:?}");
        for word in words {
            assert!(said[0].contains(word), "{word:?} is not in {self:?}");
        }
        assert_eq!(self.stdout, "", "nothing but the error");
        said[0].clone()
    }
}

fn is_log(line: &str) -> bool {
    line.starts_with("20") && line.get(26..28) == Some("Z ")
}

/// A running galo.
pub struct Server {
    process: Process,
    pub addresses: Vec<Address>,
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Server {
    /// Where it listens, or the first of these.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("a connection")
    }

    /// A request on a connection of its own.
    pub fn ask(&self, request: &[u8]) -> Reply {
        self.connect().ask(request)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask(&get(path))
    }

    /// 200 or 422.
    pub fn transact(&self, client: u32, kind: char, amount: i64, description: &str) -> Reply {
        self.ask(&transaction(client, kind, amount, description))
    }

    /// Balance by statement.
    pub fn balance(&self, client: u32) -> i64 {
        self.get(&format!("/clientes/{client}/extrato"))
            .statement()
            .total
    }

    /// Of all payments.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.get("/payments-summary"))
    }

    /// A value of `/metrics`, by name and labels as they stand there.
    pub fn metric(&self, name: &str) -> f64 {
        let reply = self.get("/metrics");
        let text = reply.text();
        let line = text.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then_some(value)
        });
        line.unwrap_or_else(|| panic!("{name} is not in {text}"))
            .parse()
            .expect("a number")
    }

    /// `kill -9`, and until it is gone.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM, and until it is gone, which must be as promised. Its log.
    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::SIGTERM);
        self.expect_stop(Instant::now())
    }

    /// After a signal to stop: exit 0 in time, everything finished. Its log.
    pub fn expect_stop(&mut self, signalled: Instant) -> Vec<String> {
        let is_last = |line: &String| line.contains("stopped");
        self.wait_for_lines(|lines| lines.last().is_some_and(is_last));
        let took = signalled.elapsed();
        // The kernel ends a process behind what its threads have asked of a disk, however busy that is.
        let status = self.wait(PATIENCE);
        assert_eq!(status.code(), Some(0), "{status}");
        // 2 s are promised; the rest is for this machine to tell us.
        assert!(took < Duration::from_millis(2_500), "took {took:?}");
        let log = self.log();
        let last = log.last().expect("a line");
        assert!(last.contains("stopped"), "it gave something up: {last}");
        log
    }
}
