//! Signals: a stop, or a line and nothing else; none ends or stops the process without a word. (SIGTERM and SIGINT
//! are in `stop`.)

use std::time::Instant;

use nix::sys::signal::Signal;

use galo_testkit::{data_dir, on_both_drivers, Launch, Server};

fn send(server: &Server, signal: i32) {
    // SAFETY: a system call on a process that is ours.
    let result = unsafe { libc::kill(server.pid() as libc::pid_t, signal) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn other_signals_are_logged_and_change_nothing() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let mut told = vec![
            (libc::SIGHUP, "SIGHUP".to_owned()),
            (libc::SIGUSR1, "SIGUSR1".to_owned()),
            (libc::SIGUSR2, "SIGUSR2".to_owned()),
            (libc::SIGALRM, "SIGALRM".to_owned()),
            (libc::SIGIO, "SIGIO".to_owned()),
            (libc::SIGSTKFLT, "SIGSTKFLT".to_owned()),
        ];
        let real_time = 0..=libc::SIGRTMAX() - libc::SIGRTMIN();
        told.extend(real_time.map(|n| (libc::SIGRTMIN() + n, format!("SIGRTMIN+{n}"))));
        for (signal, name) in told {
            send(&server, signal);
            let line = server.wait_for_log(&format!(" {name}: nothing to do"));
            assert!(line.contains("INFO"), "{line}");
        }
        // Those of timers, of terminals and of pipes are not even worth a line.
        let lines = server.log().len();
        for signal in [
            libc::SIGPROF,
            libc::SIGVTALRM,
            libc::SIGTTOU,
            libc::SIGTTIN,
            libc::SIGPIPE,
            libc::SIGXFSZ,
            libc::SIGWINCH,
            libc::SIGCHLD,
            libc::SIGURG,
        ] {
            send(&server, signal);
            assert_eq!(server.get("/health").status, 200);
        }
        assert_eq!(server.transact(1, 'c', 1, "um").posted().1, 1);
        let log = server.stop();
        let more: Vec<&String> = log[lines..].iter().collect();
        assert!(
            more.iter()
                .all(|line| line.contains("SIGTERM") || line.contains("stopped")),
            "{more:?}"
        );
    });
}

#[test]
fn what_asks_for_an_end_is_a_stop_like_any_other() {
    on_both_drivers(|driver| {
        for signal in [Signal::SIGQUIT, Signal::SIGPWR, Signal::SIGXCPU] {
            let dir = data_dir();
            let launch = || Launch::driver(dir.path(), driver).cores(1);
            let mut server = launch().start();
            server.transact(1, 'c', 7, "um").posted();
            send(&server, signal as i32);
            let log = server.expect_stop(Instant::now());
            let line = format!("{}: finishing what was received", signal.as_str());
            assert!(log.iter().any(|said| said.contains(&line)), "{log:?}");
            let server = launch().start();
            let line = server.wait_for_log("records replayed");
            assert!(line.contains(" 0 records replayed"), "{line}");
            assert_eq!(server.balance(1), 7);
        }
    });
}

/// One that comes while it starts waits, and is told then.
#[test]
fn a_hangup_at_the_start_is_logged_afterwards() {
    let dir = data_dir();
    let hang_up = || {
        let hang_up = nix::sys::signal::SigSet::from(Signal::SIGHUP);
        hang_up.thread_block()?;
        // For the process, not for the thread that is about to become it.
        nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGHUP)?;
        Ok(())
    };
    let server = Launch::serve(dir.path()).before_exec(hang_up).start();
    server.wait_for_log("SIGHUP: nothing to do");
    server.stop();
}
