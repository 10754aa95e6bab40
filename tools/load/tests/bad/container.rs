//! `--watch-container`: cgroups made by hand, and an engine that knows of them. Needs root.
//!
//! What is seen of the container must be what is seen of its processes, which is read from elsewhere.

use std::fs;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use galo_load::report::Watched;
use galo_testkit::{Request, Service};

use crate::server::{Bad, Server};
use crate::support::run::Run;

/// A cgroup in a cgroup; both are removed, and what is in them is ended, when this is dropped.
struct Container {
    id: String,
    dir: PathBuf,
    /// It uses a CPU as far as it can. The first process of the container.
    busy: Child,
    /// It does nothing; in the inner cgroup.
    idle: Child,
}

impl Container {
    fn start(mount: &Path, number: usize) -> Container {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let id = format!("{:064x}", (std::process::id() as usize) << 8 | number);
        let dir = mount.join(format!("galo-load-{id}.scope"));
        fs::create_dir_all(dir.join("inner")).unwrap();
        let spawn = |command: &mut Command| command.stdin(Stdio::piped()).spawn().unwrap();
        let container = Container {
            id,
            busy: spawn(Command::new("sh").args(["-c", "while :; do :; done"])),
            idle: spawn(&mut Command::new("cat")),
            dir,
        };
        for (dir, child) in [("", &container.busy), ("inner", &container.idle)] {
            let procs = container.dir.join(dir).join("cgroup.procs");
            fs::write(procs, child.id().to_string()).unwrap();
        }
        container
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for child in [&mut self.busy, &mut self.idle] {
            let _ = child.kill();
            let _ = child.wait();
        }
        for dir in [self.dir.join("inner"), self.dir.clone()] {
            if let Err(error) = fs::remove_dir(&dir) {
                eprintln!("{} is left: {error}", dir.display());
            }
        }
    }
}

/// Where this machine has cgroups that count CPU time: version 1, version 2, or both.
fn mounts() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = text.lines().filter_map(|line| {
        let [_, dir, kind, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let counts = kind == "cgroup2" || options.split(',').any(|name| name == "cpuacct");
        (kind.starts_with("cgroup") && counts).then(|| PathBuf::from(dir))
    });
    mounts.collect()
}

/// The engine: it knows of this one container, as Docker does.
fn engine(socket: &Path, container: &Container) -> Service {
    let (id, pid) = (container.id.clone(), container.busy.id());
    Service::start_at(socket, move |client| {
        let mut reader = BufReader::new(client);
        while let Ok(request) = Request::read(&mut reader) {
            let is_known = request.method == "GET" && request.path == "/containers/api01/json";
            let (status, body) = match is_known {
                true => (
                    "200 OK",
                    format!(r#"{{"Id":"{id}","State":{{"Status":"running","Pid":{pid}}}}}"#),
                ),
                false => (
                    "404 Not Found",
                    r#"{"message":"No such container"}"#.to_owned(),
                ),
            };
            let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let mut client = client;
            client.write_all((head + &chunk).as_bytes()).unwrap();
        }
    })
}

#[test]
fn memory_and_cpu_of_a_container_are_those_of_its_processes() {
    let mounts = mounts();
    assert!(!mounts.is_empty(), "no cgroups are mounted");
    for (number, mount) in mounts.iter().enumerate() {
        let mut container = Container::start(mount, number);
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let _engine = engine(&socket, &container);
        let host = format!("unix://{}", socket.display());
        let server = Server::start(Bad::default());

        let arguments = format!(
            "-c 1 -r 50 -d 1500ms --interval 300ms --watch-container api01 --watch-pid {} --watch-pid {}",
            container.busy.id(),
            container.idle.id()
        );
        let run = Run::new(&server.url(), &arguments).env("DOCKER_HOST", &host);
        let done = run.done().expect_status(0);
        let [busy, idle, whole] = <[Watched; 3]>::try_from(done.report().watched).unwrap();
        assert_eq!(whole.name, "container api01");
        assert_eq!(whole.points.len(), busy.points.len());
        assert!(
            whole.points.len() >= 4 && whole.ended.is_none(),
            "{whole:?}"
        );
        // Looks at one after the other, on a machine that may be busy.
        assert!(whole.cpu > 0.0, "{whole:?}");
        let processes = busy.cpu + idle.cpu;
        assert!((whole.cpu - processes).abs() < 0.15, "{}", done.text());
        // The kernel's counts of pages come in portions.
        let processes = busy.resident_bytes_max + idle.resident_bytes_max;
        assert!(idle.resident_bytes_max > 500_000, "{idle:?}");
        assert!(
            whole.resident_bytes_max.abs_diff(processes) < 300_000,
            "{}",
            done.text()
        );

        // With its first process it ends, whatever else is in it.
        let seen = server.seen(|seen| seen.requests.len());
        let arguments = "-c 1 -r 50 -d 1500ms --interval 300ms --watch-container api01";
        let running = Run::new(&server.url(), arguments)
            .env("DOCKER_HOST", &host)
            .start()
            .until(|| server.seen(|now| now.requests.len()) > seen + 10);
        container.busy.kill().unwrap();
        container.busy.wait().unwrap();
        let report = running.done().expect_status(0).report();
        let ended = report.watched[0].ended.as_deref().unwrap_or_default();
        assert!(ended.starts_with("it ended after "), "{report:?}");

        let other = Run::new(&server.url(), "--watch-container api02").env("DOCKER_HOST", &host);
        other
            .done()
            .expect_refused("container api02: the engine at unix://");
    }
}
