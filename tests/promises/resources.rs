//! Limits of the system that a start meets: what it needs is known before it says that it listens, and before it has
//! made anything. A lack is one line with the limit's name and the number needed.

use std::os::unix::process::ExitStatusExt;

use nix::sys::resource::Resource;
use nix::sys::signal::Signal;

use galo_testkit::{data_dir, on_both_drivers, Launch};

/// The number behind "need".
fn needed(line: &str) -> u64 {
    let (_, rest) = line.split_once(" need ").expect("a number is told");
    let number = rest.split(' ').next().unwrap();
    number.parse().expect("a number")
}

#[test]
fn too_few_files_are_named_with_the_number_and_with_it_everything_works() {
    on_both_drivers(|driver| {
        for cores in [1, 2, 4] {
            let dir = data_dir();
            let data = dir.path().join("data");
            let launch = |files: u64| {
                Launch::driver(&data, driver)
                    .cores(cores)
                    .listen("127.0.0.1:0")
                    .limit(Resource::RLIMIT_NOFILE, files)
            };
            let line = launch(12).run().refused(
                1,
                &[
                    "RLIMIT_NOFILE is 12, ",
                    &format!("{cores} cores"),
                    "ulimit -n",
                ],
            );
            assert!(!data.exists(), "nothing was made");
            let needed = needed(&line);
            let line = launch(needed - 1).run().refused(1, &["RLIMIT_NOFILE"]);
            assert!(line.contains(&format!(" need {needed} ")), "{line}");
            // Making the directory, and starting on it.
            for round in 1..=2 {
                let server = launch(needed).start();
                for client in 1..=5 {
                    let request = galo_testkit::transaction(client, 'c', 1, "um");
                    let mut connection = server.connect();
                    assert_eq!(connection.ask(&request).posted().1, round);
                    drop(connection);
                }
                // With a snapshot, which is a file more.
                let log = server.stop();
                let worse = |line: &&String| line.contains("WARN") || line.contains("ERROR");
                let worse: Vec<&String> = log.iter().filter(worse).collect();
                assert!(worse.is_empty(), "{worse:?}");
            }
            std::fs::remove_dir_all(&data).unwrap();
        }
    });
}

/// Files that whoever started it has left open count, too.
#[test]
fn files_that_are_open_already_are_counted() {
    let dir = data_dir();
    let launch = || {
        let launch = Launch::serve(&dir.path().join("data"));
        launch.cores(1).listen("127.0.0.1:0")
    };
    let needed = |launch: Launch| {
        let outcome = launch.limit(Resource::RLIMIT_NOFILE, 12).run();
        needed(&outcome.refused(1, &["RLIMIT_NOFILE"]))
    };
    let without = needed(launch());
    let leak = || {
        for _ in 0..2 {
            // SAFETY: a system call; standard error is open.
            if unsafe { libc::dup(2) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    let with = needed(launch().before_exec(leak));
    assert_eq!(with, without + 2);
}

/// Address space for threads and rings: whatever the number, it serves, or it says why and has made nothing.
#[test]
fn too_little_address_space_is_one_line_or_enough() {
    on_both_drivers(|driver| {
        let (mut served, mut refused) = (0, 0);
        for mebibytes in [8, 12, 16, 20, 24, 32, 48, 1024] {
            let dir = data_dir();
            let data = dir.path().join("data");
            let launch = Launch::driver(&data, driver)
                .cores(2)
                .listen("127.0.0.1:0")
                .limit(Resource::RLIMIT_AS, mebibytes << 20);
            let mut server = launch.start_listening(0);
            let listens = |lines: &[String]| lines.iter().any(|line| line.contains("listening"));
            if server.wait_for_lines(listens) {
                served += 1;
                server.signal(Signal::SIGTERM);
                let status = server.wait(galo_testkit::PATIENCE);
                assert_eq!(status.code(), Some(0), "{mebibytes} MiB: {status}");
                continue;
            }
            let status = server.wait(galo_testkit::PATIENCE);
            let log = server.log();
            // Less than what the kernel and the loader need, before there is a first line, is not for us to tell.
            let is_unloaded = status.signal() == Some(Signal::SIGSEGV as i32) && log.is_empty();
            if status.code() == Some(127) || is_unloaded {
                continue;
            }
            let last = log.last().expect("a line");
            assert_eq!(status.code(), Some(1), "{mebibytes} MiB: {status} {log:?}");
            assert!(
                last.starts_with("galo: ") && last.contains("RLIMIT_AS"),
                "{log:?}"
            );
            assert!(!data.exists(), "{mebibytes} MiB: nothing was made");
            refused += 1;
        }
        assert!(served > 0 && refused > 0, "{served} {refused}");
    });
}
