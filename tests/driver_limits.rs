//! What the drivers and the probe do when the system says no. Each test runs itself again as a child
//! that has been put under the limit; what the child prints is what is asserted on.

#[path = "driver_support/mod.rs"]
mod support;

use galo::io::{bind_link, probe, Address, Driver, DriverChoice, Probe};
use galo_testkit::process::cpu_ticks;
use galo_testkit::{Connection, PATIENCE};
use nix::sys::resource::{setrlimit, Resource};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{connect, Server};

const CHILD: &str = "GALO_TEST_CHILD";

/// This test again, as a child; `role` is what it finds in the environment.
fn again(test: &str, role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a child says after `: `.
fn said(child: &mut Child) -> String {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    lines
        .map(|line| line.unwrap())
        .find_map(|line| Some(line.split_once("child: ")?.1.to_string()))
        .expect("the child says something")
}

/// A seccomp filter that answers this system call with this error, for this process from now on.
fn refuse_call(call: i64, errno: i32) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let statement = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let mut filter = [
        statement(LOAD, 0), // seccomp_data.nr
        libc::sock_filter {
            code: EQUAL,
            jt: 0,
            jf: 1,
            k: call as u32,
        },
        statement(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` and the filter it points to are alive during the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &program), 0);
    }
}

#[test]
fn refused_io_uring_falls_back_and_says_why() {
    const TEST: &str = "refused_io_uring_falls_back_and_says_why";
    let errnos = [("EPERM", libc::EPERM), ("ENOSYS", libc::ENOSYS)];
    if let Ok(role) = std::env::var(CHILD) {
        let (_, errno) = errnos.into_iter().find(|(name, _)| *name == role).unwrap();
        refuse_call(libc::SYS_io_uring_setup, errno);
        assert!(matches!(probe(), Probe::Refused(_)));
        assert!(DriverChoice::Uring.decide().is_err());
        let chosen = DriverChoice::Auto.decide().unwrap();
        assert!(chosen.fallback);
        let server = Server::start(chosen.driver, "127.0.0.1:0");
        assert_eq!(server.connect().ask_line("echo served"), "served");
        server.stop();
        return println!("child: {} {}", chosen.driver.name(), chosen.reason);
    }
    for (name, _) in errnos {
        let mut child = again(TEST, name);
        let words = said(&mut child);
        assert!(words.starts_with("epoll io_uring_setup "), "{words}");
        assert!(words.contains(name) && words.contains("seccomp"), "{words}");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn little_locked_memory_is_epoll_and_named_with_its_fix() {
    const TEST: &str = "little_locked_memory_is_epoll_and_named_with_its_fix";
    if std::env::var(CHILD).is_ok() {
        setrlimit(Resource::RLIMIT_MEMLOCK, 64 * 1024, 64 * 1024).unwrap();
        let text = DriverChoice::Uring.decide().unwrap_err();
        let chosen = DriverChoice::Auto.decide().unwrap();
        assert_eq!((chosen.driver, chosen.fallback), (Driver::Epoll, true));
        assert_eq!(text, format!("--io uring: {}", chosen.reason));
        return println!("child: {text}");
    }
    if matches!(probe(), Probe::Refused(_)) {
        return;
    }
    let mut child = again(TEST, "memlock");
    let words = said(&mut child);
    assert!(words.contains("RLIMIT_MEMLOCK"), "{words}");
    assert!(
        words.contains("64 KiB") || words.contains("ENOMEM"),
        "{words}"
    );
    assert!(words.contains("ulimit -l") && words.contains("--io epoll"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn soft_limits_are_raised() {
    const TEST: &str = "soft_limits_are_raised";
    if std::env::var(CHILD).is_ok() {
        setrlimit(Resource::RLIMIT_NOFILE, 100, 200).unwrap();
        galo::system::raise_limits();
        let limits = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        return println!("child: {limits:?}");
    }
    let mut child = again(TEST, "nofile");
    assert_eq!(said(&mut child), "(200, 200)");
    assert!(child.wait().unwrap().success());
}

fn out_of_descriptors(test: &str, driver: Driver) {
    if std::env::var(CHILD).is_ok() {
        let server = Server::start(driver, "127.0.0.1:0");
        // The server is up when it answers; glommio and the ring have their descriptors by then.
        assert_eq!(server.connect().ask_line("echo up"), "up");
        setrlimit(Resource::RLIMIT_NOFILE, 60, 60).unwrap();
        println!("child: {}", server.address);
        // Until the parent is done.
        let _ = std::io::stdin().lines().next();
        return server.stop();
    }
    if driver == Driver::Uring && matches!(probe(), Probe::Refused(_)) {
        return;
    }
    let mut child = again(test, driver.name());
    let address: Address = said(&mut child).parse().unwrap();
    let mut clients: Vec<Connection> = (0..100).map(|_| connect(&address)).collect();
    // The first is served, though later ones are not.
    assert_eq!(clients[0].ask_line("echo first"), "first");
    let before = cpu_ticks(child.id());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(clients[0].ask_line("after 250"), "due");
    }
    let ticks = cpu_ticks(child.id()) - before;
    assert!(ticks < 20, "{ticks} ticks of CPU in a second: it spins");
    // Those in front leave, and those behind are let in.
    let mut late = clients.split_off(50);
    drop(clients);
    let began = Instant::now();
    for client in &mut late {
        assert_eq!(client.ask_line("echo late"), "late");
    }
    assert!(began.elapsed() < PATIENCE);
    drop(late);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// A pause in accepting ends for the link socket though it began before the stop.
fn links_out_of_descriptors(test: &str, driver: Driver) {
    if let Ok(path) = std::env::var(CHILD) {
        let (_file, listener) = bind_link(path.as_ref()).unwrap();
        let server = Server::start_linked(driver, usize::MAX, Some(listener), Vec::new());
        assert_eq!(server.connect().ask_line("echo up"), "up");
        setrlimit(Resource::RLIMIT_NOFILE, 60, 60).unwrap();
        println!("child: {}", server.address);
        let _ = std::io::stdin().lines().next();
        return server.stop();
    }
    if driver == Driver::Uring && matches!(probe(), Probe::Refused(_)) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("link");
    let mut child = again(test, path.to_str().unwrap());
    let address: Address = said(&mut child).parse().unwrap();
    let mut clients: Vec<Connection> = (0..100).map(|_| connect(&address)).collect();
    let mut link = connect(&Address::Unix(path));
    link.send(b"echo linked\n");
    assert_eq!(clients[0].ask_line("deaf"), "deaf");
    drop(clients);
    assert_eq!(link.line(), "hello");
    assert_eq!(link.line(), "linked");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn uring_survives_running_out_of_descriptors() {
    let test = "uring_survives_running_out_of_descriptors";
    out_of_descriptors(test, Driver::Uring);
}

#[test]
fn epoll_survives_running_out_of_descriptors() {
    let test = "epoll_survives_running_out_of_descriptors";
    out_of_descriptors(test, Driver::Epoll);
}

#[test]
fn uring_links_survive_running_out_of_descriptors() {
    let test = "uring_links_survive_running_out_of_descriptors";
    links_out_of_descriptors(test, Driver::Uring);
}

#[test]
fn epoll_links_survive_running_out_of_descriptors() {
    let test = "epoll_links_survive_running_out_of_descriptors";
    links_out_of_descriptors(test, Driver::Epoll);
}
