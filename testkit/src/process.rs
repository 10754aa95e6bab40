//! Child processes: started, watched, and never left behind.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag};
use nix::unistd::Pid;

use crate::{Address, PATIENCE};

/// What a process writes its log to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// A child process. It is killed and reaped when this is dropped, and its log is shown if a test failed.
pub struct Process {
    program: String,
    child: Child,
    log: Option<Log>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// The other stream is as `command` has it.
    pub fn start(mut command: Command, log_stream: LogStream) -> Process {
        match log_stream {
            LogStream::Stdout => command.stdout(Stdio::piped()),
            LogStream::Stderr => command.stderr(Stdio::piped()),
        };
        let mut process = Process::unlogged(command);
        let child = &mut process.child;
        process.log = Some(match log_stream {
            LogStream::Stdout => Log::follow(child.stdout.take().expect("it was piped")),
            LogStream::Stderr => Log::follow(child.stderr.take().expect("it was piped")),
        });
        process
    }

    /// One whose output is the test's own affair.
    pub fn unlogged(mut command: Command) -> Process {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Process {
            child: child.unwrap_or_else(|error| panic!("{program}: {error}")),
            program,
            log: None,
            ended: None,
        }
    }

    /// Waits until its log names so many addresses on which it listens.
    #[track_caller]
    pub fn listening(&self, count: usize) -> Vec<Address> {
        let addresses = |lines: &[String]| -> Vec<Address> {
            let rests = lines
                .iter()
                .filter_map(|line| Some(line.split_once("listening on ")?.1));
            // In a log of JSON, more follows.
            rests
                .map(|rest| Address::parse(rest.trim_end_matches("\"}")))
                .collect()
        };
        let is_listening = self.wait_for_lines(|lines| addresses(lines).len() >= count);
        let log = self.log();
        assert!(
            is_listening,
            "{} does not listen; its log: {log:#?}",
            self.program
        );
        addresses(&log)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output, where that is piped and no log.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub fn log(&self) -> Vec<String> {
        let log = self.log.as_ref();
        log.map_or(Vec::new(), |log| log.lock().lines.clone())
    }

    /// Waits until the log is so, or the process has ended: whether it is so.
    pub fn wait_for_lines(&self, is_so: impl Fn(&[String]) -> bool) -> bool {
        let log = self.log.as_ref().expect("it has a log");
        log.wait_until(PATIENCE, |log| log.ended || is_so(&log.lines));
        is_so(&self.log())
    }

    /// Waits for a line with these words, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, words: &str) -> String {
        let has = |line: &String| line.contains(words);
        self.wait_for_lines(|lines| lines.iter().any(has));
        let found = self.log().into_iter().find(has);
        found.unwrap_or_else(|| panic!("the log never says {words:?}"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the process is ours");
    }

    /// `kill -9`, and until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let status = self.wait(PATIENCE);
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}");
    }

    /// Until it has ended by itself; one without a log has no bound.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        if let Some(log) = &self.log {
            // A process closes its log when it ends.
            let has_ended = log.wait_until(within, |log| log.ended);
            assert!(has_ended, "{} does not end", self.program);
        }
        let status = self.child.wait().expect("it is our child");
        self.ended = Some(status);
        status
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    pub fn cpu_ticks(&self) -> u64 {
        cpu_ticks(self.pid())
    }

    /// Stops those of its threads whose names are so, as a debugger does: they stand still, the others go on. The thread
    /// that asks for it is the one that lets them go on.
    #[track_caller]
    pub fn freeze(&self, is_meant: impl Fn(&str) -> bool) -> Frozen {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("/proc");
        let mut frozen = Vec::new();
        for task in tasks {
            let task = task.expect("/proc");
            // One that has ended meanwhile has no name any more.
            let name = std::fs::read_to_string(task.path().join("comm"));
            if !name.is_ok_and(|name| is_meant(name.trim_end())) {
                continue;
            }
            let id = task.file_name().to_string_lossy().parse();
            let thread = Pid::from_raw(id.expect("a number"));
            ptrace::seize(thread, ptrace::Options::empty()).expect("it is our child's");
            ptrace::interrupt(thread).expect("it is seized");
            waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
            frozen.push(thread);
        }
        assert!(!frozen.is_empty(), "no thread has such a name");
        Frozen(frozen)
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

/// Threads that stand still.
pub struct Frozen(Vec<Pid>);

impl Frozen {
    pub fn go_on(self) {
        for thread in self.0 {
            ptrace::detach(thread, None).expect("it stands still");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended since; then there is nothing to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            for line in self.log() {
                eprintln!("{} {}: {line}", self.program, self.pid());
            }
        }
    }
}

/// User and system time in clock ticks, from `/proc`.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
    // Behind the name, which is in parentheses: fields 14 and 15 of the line.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields = rest.split_ascii_whitespace().skip(11).take(2);
    fields
        .map(|ticks| ticks.parse::<u64>().expect("ticks"))
        .sum()
}

/// A stream of a process, line by line.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn follow(from: impl Read + Send + 'static) -> Log {
        let log = Log::default();
        let of_thread = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                of_thread.lock().lines.push(line);
                of_thread.0 .1.notify_all();
            }
            of_thread.lock().ended = true;
            of_thread.0 .1.notify_all();
        });
        log
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0 .0.lock().expect("nobody panics with it")
    }

    /// Whether it is so within this time.
    fn wait_until(&self, within: Duration, is_so: impl Fn(&Lines) -> bool) -> bool {
        let waiting = |lines: &mut Lines| !is_so(lines);
        let waited = (self.0 .1).wait_timeout_while(self.lock(), within, waiting);
        let (lines, _) = waited.expect("nobody panics with it");
        is_so(&lines)
    }
}
