//! The system's nginx with the project's own configuration, on sockets and a port of this run. The
//! tests of the stack use it, too.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::{geteuid, Pid};

/// From its start until it listens. Beyond: given up.
const START_MAX: Duration = Duration::from_secs(10);
/// From a signal to its end. Beyond: killed.
const STOP_MAX: Duration = Duration::from_secs(5);
/// A port that was free may be taken by the time that it is wanted.
const ATTEMPTS_MAX: usize = 5;
/// Where Debian says that a dynamic module is to be loaded.
const MODULES: &str = "/etc/nginx/modules-enabled";
/// A link to the directory of the nodes' sockets, where nginx is started.
const NODES: &str = "nodes";

/// Which of the project's configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// `lb.conf`: layer 4, connections in turn.
    Stream,
    /// `lb-http.conf`: layer 7, requests in turn, with keys and repeats.
    Http,
}

impl Balancer {
    fn configuration(self) -> &'static str {
        match self {
            Balancer::Stream => include_str!("../../../lb.conf"),
            Balancer::Http => include_str!("../../../lb-http.conf"),
        }
    }

    /// The same on this port, with the nodes' sockets in [`NODES`] and all that it writes in the directory that nginx is
    /// started in. Paths are relative to that, so that nginx does not read the blanks, quotes and dollars of the way there.
    fn text(self, port: u16) -> String {
        let mut text = self.configuration().to_string();
        for (of_project, of_run) in [
            ("/tmp/", "/proc/self/cwd/"),
            ("unix:/run/galo/", &format!("unix:{NODES}/")),
            ("listen 9999 ", &format!("listen 127.0.0.1:{port} ")),
        ] {
            assert!(text.contains(of_project), "{self:?} has no {of_project}");
            text = text.replace(of_project, of_run);
        }
        text
    }
}

/// A running nginx. It is ended when this is dropped, its workers with it.
pub struct Nginx {
    master: Child,
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts it in `scratch`, a new directory, before `api01.sock` and `api02.sock` in `run`, and waits until it listens.
    pub fn start(balancer: Balancer, run: &Path, scratch: &Path) -> Result<Nginx, String> {
        expect_installed()?;
        std::fs::canonicalize(run)
            .and_then(|run| symlink(run, scratch.join(NODES)))
            .map_err(|error| failed("link to the sockets", &error))?;
        let mut said = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match Nginx::attempt(balancer, scratch)? {
                Ok(nginx) => return Ok(nginx),
                Err(log) => said = log,
            }
            if !said.contains("Address already in use") {
                break;
            }
        }
        Err(format!("nginx does not listen:\n{said}"))
    }

    /// The inner error: it ended, and what it said.
    fn attempt(balancer: Balancer, scratch: &Path) -> Result<Result<Nginx, String>, String> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| failed("port", &error))?;
        let configuration = scratch.join("nginx.conf");
        let text = balancer.text(address.port());
        std::fs::write(&configuration, text).map_err(|error| failed("configuration", &error))?;
        let log = scratch.join("nginx.log");
        let stderr = File::create(&log).map_err(|error| failed("log", &error))?;
        // Its workers need the nodes' sockets, which are for our user only.
        let user = if geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let mut command = Command::new(program());
        command
            .args(["-e", "stderr", "-g"])
            .arg(format!("daemon off; {user}"))
            .arg("-c")
            .arg(&configuration)
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let master = command.spawn().map_err(|error| failed("start", &error))?;
        let mut nginx = Nginx { master, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = nginx
                .master
                .try_wait()
                .map_err(|error| failed("end", &error))?;
            if ended.is_some() || began.elapsed() > START_MAX {
                return Ok(Err(std::fs::read_to_string(&log).unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Ok(nginx))
    }

    /// Master and workers.
    pub fn pids(&self) -> Vec<u32> {
        let master = self.master.id();
        let path = format!("/proc/{master}/task/{master}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let workers = children
            .split(' ')
            .filter_map(|pid| pid.trim().parse().ok());
        std::iter::once(master).chain(workers).collect()
    }

    fn wait(&mut self, longest: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + longest;
        loop {
            match self.master.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers, which it could not do if it was killed.
        let signal = |pid: u32, signal| kill(Pid::from_raw(pid as i32), signal);
        let workers = self.pids();
        let _ = signal(self.master.id(), Signal::SIGTERM);
        if self.wait(STOP_MAX).is_none() {
            for pid in workers {
                let _ = signal(pid, Signal::SIGKILL);
            }
            let _ = self.master.wait();
        }
    }
}

fn failed(what: &str, error: &std::io::Error) -> String {
    format!("nginx's {what}: {error}")
}

/// Debian keeps it where not every user looks for programs.
fn program() -> PathBuf {
    on_path("nginx").unwrap_or_else(|| PathBuf::from("/usr/sbin/nginx"))
}

/// Where the shell would find a program.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|directory| directory.join(program));
    found.find(|path| path.is_file())
}

/// That there is an nginx, with what the configurations need. The error says what is to be installed.
pub fn expect_installed() -> Result<(), String> {
    let output = Command::new(program())
        .arg("-V")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("nginx is missing ({error}); install it (package nginx)"))?;
    let built = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_loaded = || {
        let entries = std::fs::read_dir(MODULES);
        let mut names = entries.into_iter().flatten().flatten();
        names.any(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().ends_with("-mod-stream.conf")
        })
    };
    let words: Vec<&str> = built.split_ascii_whitespace().collect();
    if words.contains(&"--with-stream") || is_loaded() {
        return Ok(());
    }
    Err(
        "nginx has no stream module; install it (Debian, Ubuntu: package libnginx-mod-stream)"
            .into(),
    )
}

#[cfg(all(test, feature = "stack-tests"))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Answers every request with an empty 200. The connection that finds out whether nginx listens has none.
    fn answer(listener: &UnixListener) {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if stream.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0) {
                let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(reply).unwrap();
            }
        }
    }

    #[test]
    fn paths_may_have_any_characters() {
        for balancer in [Balancer::Stream, Balancer::Http] {
            let dir = tempfile::Builder::new()
                .prefix("a b'c\"d$e;{f}\\n#")
                .tempdir();
            let dir = dir.unwrap();
            let (run, scratch) = (dir.path().join("run of it"), dir.path().join("its own"));
            std::fs::create_dir(&run).unwrap();
            std::fs::create_dir(&scratch).unwrap();
            for node in ["api01", "api02"] {
                let listener = UnixListener::bind(run.join(format!("{node}.sock"))).unwrap();
                std::thread::spawn(move || answer(&listener));
            }
            let nginx = Nginx::start(balancer, &run, &scratch);
            let nginx = nginx.unwrap_or_else(|error| panic!("{balancer:?}: {error}"));
            // Each node in turn.
            for _ in 0..2 {
                let mut stream = TcpStream::connect(nginx.address).unwrap();
                stream.set_read_timeout(Some(START_MAX)).unwrap();
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
                let mut reply = String::new();
                stream.read_to_string(&mut reply).unwrap();
                assert!(reply.starts_with("HTTP/1.1 200"), "{balancer:?}: {reply}");
            }
            assert!(scratch.join("nginx.pid").is_file(), "{balancer:?}");
        }
    }
}
