//! Links are between processes of one user: another is neither let in nor linked to, whatever the
//! modes of files and directories allow. Needs root, to be somebody else.

use galo::io::{bind_link, probe, Driver, Probe};
use galo::machine::Peer;
use std::fs::{set_permissions, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Mutex, Once};

use crate::driver_support::{Event, Server};

const NOBODY: u32 = 65534;

/// Does this as another user, in a thread that is nobody else afterwards.
fn as_nobody<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    let thread = || {
        // SAFETY: no pointers. The call itself changes its thread alone; libc's wrapper, which is
        // not used, would change all.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(changed, 0, "these tests need root (CAP_SETUID)");
        what()
    };
    std::thread::scope(|scope| scope.spawn(thread).join().unwrap())
}

fn open_to_all(path: &Path) {
    set_permissions(path, Permissions::from_mode(0o777)).unwrap();
}

fn drivers() -> impl Iterator<Item = Driver> {
    Driver::ALL.into_iter().filter(|driver| {
        let refused = *driver == Driver::Uring && matches!(probe(), Probe::Refused(_));
        if refused {
            eprintln!("io_uring is refused: not tested");
        }
        !refused
    })
}

/// What was logged.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }
    fn flush(&self) {}
}

impl Lines {
    fn gather() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&LINES).unwrap();
            log::set_max_level(log::LevelFilter::Warn);
        });
    }

    fn count(words: &str) -> usize {
        let lines = LINES.0.lock().unwrap();
        let foreign = format!("user {NOBODY}'s");
        let told = |line: &&String| line.contains(words) && line.contains(&foreign);
        lines.iter().filter(told).count()
    }
}

#[test]
fn a_foreign_user_is_refused_and_logged_once() {
    Lines::gather();
    for (before, driver) in drivers().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link");
        let (_file, listener) = bind_link(&path).unwrap();
        open_to_all(directory.path());
        let refused = as_nobody(|| UnixStream::connect(&path).map(drop));
        let kind = refused.map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::PermissionDenied), "mode 0600");
        open_to_all(&path);
        let server = Server::start_linked(driver, usize::MAX, Some(listener), Vec::new());
        for _ in 0..5 {
            let mut foreign = as_nobody(|| UnixStream::connect(&path)).unwrap();
            assert_eq!(foreign.read_to_end(&mut Vec::new()).unwrap(), 0);
        }
        let _ours = UnixStream::connect(&path).unwrap();
        let first = server.await_event(|_| true);
        assert_eq!(first, Event::Opened(Peer::Linker));
        let others = server.events.try_iter();
        assert_eq!(
            others.filter(|it| matches!(it, Event::Opened(_))).count(),
            0
        );
        server.stop();
        assert_eq!(Lines::count("our link socket"), before + 1);
    }
}

#[test]
fn a_foreign_users_socket_is_not_linked_to_and_logged_once() {
    Lines::gather();
    for driver in drivers() {
        let directory = tempfile::tempdir().unwrap();
        open_to_all(directory.path());
        let path = directory.path().join("link");
        let server = Server::start_linked(driver, usize::MAX, None, vec![path.clone()]);
        let mut client = server.connect();
        for round in 1..=2 {
            let listener = as_nobody(|| UnixListener::bind(&path)).unwrap();
            for _ in 0..5 {
                client.send(b"connect 0\n");
                server.await_event(|event| *event == Event::ConnectFailed(0));
                let (mut link, _) = listener.accept().unwrap();
                assert_eq!(link.read_to_end(&mut Vec::new()).unwrap(), 0, "not a word");
            }
            assert_eq!(Lines::count(path.to_str().unwrap()), round);
            // Once a link was made, it is news again.
            drop(listener);
            let _ours = bind_link(&path).unwrap();
            client.send(b"connect 0\n");
            server.await_event(|event| *event == Event::Opened(Peer::Member(0)));
        }
        server.stop();
    }
}
