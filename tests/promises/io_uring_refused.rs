//! Where io_uring is refused, galo runs on epoll and says why; where something has run out, it says
//! what.

use std::io;

use nix::sys::resource::Resource;

use galo_testkit::{data_dir, Launch};

/// What a container's seccomp profile does: `io_uring_setup` is not permitted.
fn refuse_io_uring() -> io::Result<()> {
    let statement = |code: u32, k: u32, jump_if_not: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_if_not,
        k,
    };
    // The system call's number is the first member of seccomp_data.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::SYS_io_uring_setup as u32,
            1,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
            0,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: plain numbers, and a program that outlives the call that copies it.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ),
        ]
    };
    if results == [0, 0] {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[test]
fn auto_falls_back_to_epoll_and_says_why() {
    let dir = data_dir();
    let server = Launch::serve(dir.path())
        .before_exec(refuse_io_uring)
        .start();
    let line = server.wait_for_log("I/O driver epoll");
    for words in ["WARN", "io_uring_setup", "EPERM", "seccomp"] {
        assert!(line.contains(words), "{words:?} is not in {line}");
    }
    assert_eq!(server.get("/health").json()["driver"], "epoll");
    assert_eq!(server.transact(1, 'c', 5, "epoll").posted().1, 5);
    server.stop();
    // The same data on the other driver.
    let server = Launch::serve(dir.path()).flag("io", "auto").start();
    assert_eq!(server.balance(1), 5);
}

#[test]
fn uring_by_demand_is_an_error_and_touches_nothing() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let outcome = Launch::serve(&data)
        .flag("io", "uring")
        .before_exec(refuse_io_uring)
        .run();
    outcome.refused(1, &["--io uring", "io_uring_setup", "EPERM"]);
    assert!(!data.exists(), "the probe comes before any file");
}

#[test]
fn auto_means_uring_where_it_is_allowed() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).start();
    assert_eq!(server.get("/health").json()["driver"], "uring");
    assert!(server.wait_for_log("I/O driver uring").contains("INFO"));
}

/// One core or more, as root or not: glommio has a minimum of its own.
#[test]
fn too_little_memlock_is_epoll_and_said_with_the_fix() {
    for cores in [1, 2] {
        let dir = data_dir();
        let server = Launch::serve(dir.path())
            .cores(cores)
            .limit(Resource::RLIMIT_MEMLOCK, 64 * 1024)
            .start();
        let line = server.wait_for_log("I/O driver epoll");
        for words in ["WARN", "RLIMIT_MEMLOCK", "64 KiB", "512 KiB", "ulimit -l"] {
            assert!(line.contains(words), "{words:?} is not in {line}");
        }
        assert_eq!(server.get("/health").json()["driver"], "epoll");
        assert_eq!(server.transact(1, 'c', 5, "epoll").posted().1, 5);
        server.stop();
    }
}

#[test]
fn too_little_memlock_for_uring_by_demand_is_an_error_and_touches_nothing() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let outcome = Launch::serve(&data)
        .flag("io", "uring")
        .limit(Resource::RLIMIT_MEMLOCK, 64 * 1024)
        .run();
    outcome.refused(
        1,
        &[
            "--io uring",
            "RLIMIT_MEMLOCK",
            "64 KiB",
            "512 KiB",
            "ulimit -l",
            "--io epoll",
        ],
    );
    assert!(!data.exists(), "the probe comes before any file");
}

#[test]
fn epoll_needs_no_memlock() {
    let dir = data_dir();
    let server = Launch::serve(dir.path())
        .flag("io", "epoll")
        .limit(Resource::RLIMIT_MEMLOCK, 0)
        .start();
    assert_eq!(server.get("/health").json()["driver"], "epoll");
}
