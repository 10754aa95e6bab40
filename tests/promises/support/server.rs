//! Starting the binary, reading its log as it comes, and ending it.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{get, transaction, Address, Connection, Reply, PATIENCE};

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
        Launch::program(Path::new(env!("CARGO_BIN_EXE_galo")))
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

    /// Starts it and waits until it listens, on a port of the kernel's choice unless told.
    pub fn start(mut self) -> Server {
        if self.listens == 0 {
            self = self.listen("127.0.0.1:0");
        }
        let listens = self.listens;
        self.start_listening(listens)
    }

    /// Starts it and waits until it listens on as many addresses as its environment names.
    pub fn start_listening(self, listens: usize) -> Server {
        let mut server = self.spawn();
        let listening = |lines: &[String]| -> Vec<Address> {
            let said = lines
                .iter()
                .filter_map(|line| line.split("listening on ").nth(1));
            // In a log of JSON, more follows.
            said.map(|rest| Address::parse(rest.trim_end_matches("\"}")))
                .collect()
        };
        server
            .log
            .wait(PATIENCE, |lines| listening(lines).len() >= listens)
            .unwrap_or_else(|| panic!("galo does not listen"));
        server.addresses = listening(&server.log.lines());
        server
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        let mut server = self.spawn();
        let status = server.wait(PATIENCE);
        let mut stdout = String::new();
        let mut pipe = server.child.stdout.take().expect("it was piped");
        pipe.read_to_string(&mut stdout).expect("text");
        Outcome {
            status,
            stdout,
            stderr: server.log.lines(),
        }
    }

    fn spawn(mut self) -> Server {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary starts");
        let log = Log::default();
        let stderr = child.stderr.take().expect("it was piped");
        log.follow(stderr);
        Server {
            child,
            log,
            addresses: Vec::new(),
            ended: None,
        }
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

/// Standard error of a process, line by line.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn follow(&self, from: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.0 .0.lock().unwrap().lines.push(line);
                log.0 .1.notify_all();
            }
            log.0 .0.lock().unwrap().ended = true;
            log.0 .1.notify_all();
        });
    }

    fn lines(&self) -> Vec<String> {
        self.0 .0.lock().unwrap().lines.clone()
    }

    /// `None`: the time is over, or the process.
    fn wait(&self, within: Duration, is_there: impl Fn(&[String]) -> bool) -> Option<()> {
        let lines = self.0 .0.lock().unwrap();
        let waiting = |lines: &mut Lines| !lines.ended && !is_there(&lines.lines);
        let (lines, _) = (self.0 .1)
            .wait_timeout_while(lines, within, waiting)
            .unwrap();
        is_there(&lines.lines).then_some(())
    }

    /// Whether the process has closed it, which it does when it ends.
    fn wait_end(&self, within: Duration) -> bool {
        let lines = self.0 .0.lock().unwrap();
        let waiting = |lines: &mut Lines| !lines.ended;
        let (lines, _) = (self.0 .1)
            .wait_timeout_while(lines, within, waiting)
            .unwrap();
        lines.ended
    }
}

/// A running galo. It is killed when this is dropped, and its log is shown if a test failed.
pub struct Server {
    child: Child,
    log: Log,
    pub addresses: Vec<Address>,
    ended: Option<ExitStatus>,
}

impl Server {
    /// Where it listens, or the first of these.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("a connection")
    }

    /// A request on a connection of its own.
    pub fn ask(&self, request: &[u8]) -> Reply {
        let mut connection = self.connect();
        connection.send(request);
        connection.reply()
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

    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits until the log is so, or the process has ended: whether it is so.
    pub fn wait_for_lines(&self, is_so: impl Fn(&[String]) -> bool) -> bool {
        self.log.wait(PATIENCE, is_so).is_some()
    }

    /// Waits for a line with these words, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, words: &str) -> String {
        let has = |line: &String| line.contains(words);
        self.log
            .wait(PATIENCE, |lines| lines.iter().any(has))
            .unwrap_or_else(|| panic!("the log never says {words:?}"));
        self.log().into_iter().find(has).expect("it was there")
    }

    /// A value of `/metrics`, by name and labels as they stand there.
    pub fn metric(&self, name: &str) -> f64 {
        let reply = self.get("/metrics");
        let text = String::from_utf8(reply.body).expect("text");
        let line = text.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then_some(value)
        });
        line.unwrap_or_else(|| panic!("{name} is not in {text}"))
            .parse()
            .expect("a number")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the process is ours");
    }

    /// `kill -9`, and until it is gone.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let status = self.wait(PATIENCE);
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }

    /// SIGTERM, and until it is gone, which must be as promised. Its log.
    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::SIGTERM);
        self.expect_stop(Instant::now())
    }

    /// After a signal to stop: exit 0 in time, everything finished. Its log.
    pub fn expect_stop(&mut self, signalled: Instant) -> Vec<String> {
        let status = self.wait(PATIENCE);
        let took = signalled.elapsed();
        assert_eq!(status.code(), Some(0), "{status}");
        // 2 s are promised; the rest is for this machine to tell us.
        assert!(took < Duration::from_millis(2_500), "took {took:?}");
        let log = self.log();
        let last = log.last().expect("a line");
        assert!(last.contains("stopped"), "it gave something up: {last}");
        log
    }

    /// Until it has ended by itself.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        assert!(self.log.wait_end(within), "galo does not end");
        let status = self.child.wait().expect("it is our child");
        self.ended = Some(status);
        status
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// User and system time in clock ticks, from `/proc`.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("/proc");
        // Behind the name, which is in parentheses: fields 14 and 15 of the line.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let fields = rest.split_ascii_whitespace().skip(11).take(2);
        fields
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum()
    }

    /// VmRSS in KiB, from `/proc`.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
        number.expect("VmRSS").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended since; then there is nothing to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            for line in self.log() {
                eprintln!("galo {}: {line}", self.pid());
            }
        }
    }
}
