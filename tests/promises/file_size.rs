//! A limit on the size of files (`ulimit -f`) is a full disk: never the end of the process, which is what the system
//! does to one that does not know better (SIGXFSZ).

use std::path::Path;
use std::process::Stdio;

use nix::sys::resource::Resource;

use galo_testkit::{data_dir, on_both_drivers, transaction, Launch, Process, Server, PATIENCE};

/// Of a running process, soft; the hard one stays.
fn limit_file_size(server: &Server, bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the limit is ours, and the old one is not asked for.
    let result = unsafe {
        libc::prlimit(
            server.pid() as libc::pid_t,
            libc::RLIMIT_FSIZE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Of the largest file of the only shard that the journal writes.
fn journal_bytes(data: &Path) -> u64 {
    let files = std::fs::read_dir(data.join("shard-0000")).unwrap();
    let journals = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let bytes = journals.map(|path| path.metadata().unwrap().len());
    bytes.max().expect("a journal")
}

#[test]
fn a_file_size_limit_is_a_full_disk_that_may_get_room_again() {
    on_both_drivers(|driver| {
        for durability in ["process", "disk"] {
            let dir = data_dir();
            let launch = || {
                let launch = Launch::driver(dir.path(), driver).cores(1);
                launch.flag("durability", durability)
            };
            let server = launch().start();
            let mut connection = server.connect();
            let mut balance = 0;
            for round in 0..3 {
                // In the middle of a record: what the kernel takes of it is cut off again.
                limit_file_size(&server, journal_bytes(dir.path()) + 100);
                let mut refused = 0;
                for _ in 0..20 {
                    let reply = connection.ask(&transaction(1, 'c', 1, "limite"));
                    if reply.status == 200 {
                        balance += 1;
                        assert_eq!(reply.posted().1, balance);
                        continue;
                    }
                    assert_eq!(reply.status, 503, "{reply:?}");
                    assert_eq!(reply.json()["error"], "storage full");
                    assert_eq!(reply.header("retry-after"), Some("1"));
                    refused += 1;
                }
                assert_eq!(refused, 19, "round {round}: one record has room");
                assert_eq!(server.balance(1), balance, "reads go on");
                let line = server.wait_for_log("writes are refused until there is room");
                for words in ["WARN", "RLIMIT_FSIZE is ", "ulimit -f"] {
                    assert!(line.contains(words), "{words}: {line}");
                }
                limit_file_size(&server, libc::RLIM_INFINITY);
                let reply = connection.ask(&transaction(1, 'c', 1, "depois"));
                balance += 1;
                assert_eq!(reply.posted().1, balance);
                server.wait_for_log("there is room again");
            }
            server.kill();
            Launch::bare()
                .arg("check")
                .flag("data", dir.path())
                .run()
                .good();
            let server = launch().start();
            assert_eq!(server.balance(1), balance);
        }
    });
}

/// No room for the closing snapshot, nor for the log: the stop is as good as any.
#[test]
fn a_stop_under_a_file_size_limit_loses_nothing() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let launch = || Launch::driver(dir.path(), driver).cores(1);
        let server = launch().start();
        for _ in 0..10 {
            server.transact(1, 'c', 1, "um").posted();
        }
        limit_file_size(&server, 1);
        let log = server.stop();
        let said = log.iter().find(|line| line.contains("no snapshot"));
        let said = said.expect("it says that there is none");
        assert!(said.contains("RLIMIT_FSIZE is 1 bytes"), "{said}");
        let server = launch().start();
        assert_eq!(server.balance(1), 10);
    });
}

#[test]
fn a_directory_that_cannot_be_made_for_the_file_size_limit_is_one_line() {
    for bytes in [0, 100] {
        let dir = data_dir();
        let data = dir.path().join("data");
        let launch = Launch::serve(&data).flag("listen", "127.0.0.1:0");
        let outcome = launch.limit(Resource::RLIMIT_FSIZE, bytes).run();
        let name = data.display().to_string();
        let limit = format!("RLIMIT_FSIZE is {bytes} bytes");
        outcome.refused(1, &[&name, &limit, "ulimit -f"]);
        assert!(!data.exists(), "what was made is unmade");
    }
}

/// The log is a file, and full.
#[test]
fn a_log_file_at_its_limit_stops_nothing() {
    let dir = data_dir();
    let log = dir.path().join("log");
    let socket = dir.path().join("galo.sock");
    let mut command = Launch::serve(&dir.path().join("data"))
        .cores(1)
        .flag("listen", format!("unix:{}", socket.display()))
        .limit(Resource::RLIMIT_FSIZE, 1 << 20)
        .into_command();
    let file = std::fs::File::create(&log).unwrap();
    // Room for the data directory's files, and less than the log takes up from the start.
    std::fs::write(&log, vec![b'.'; 1 << 20]).unwrap();
    let append = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    drop(file);
    command.stdout(Stdio::null()).stderr(append);
    let mut process = Process::unlogged(command);
    let reply = crate::output::wait_for(&socket, &mut process);
    assert_eq!(reply.status, 200);
    process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(process.wait(PATIENCE).code(), Some(0));
    assert_eq!(
        log.metadata().unwrap().len(),
        1 << 20,
        "nothing was written"
    );
}
