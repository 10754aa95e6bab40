//! Limits that do not bind root: a start as an ordinary user.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::resource::Resource;
use nix::unistd::{setgid, setgroups, setuid, Gid, Uid};

use galo_testkit::{data_dir, Launch};

/// A user whom nobody else is or was: such limits count all that a user has, and for a moment what a process had that is gone.
fn new_user() -> u32 {
    static USERS: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 1_000_000_000;
    const OF_EACH_PROCESS: u32 = 64;
    FIRST + std::process::id() * OF_EACH_PROCESS + USERS.fetch_add(1, Ordering::Relaxed)
}

/// The binary and a directory, where such a user gets at them.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = data_dir();
        open_to_all(dir.path(), 0o777);
        let binary = dir.path().join("galo");
        // By another process: a child that another test forks meanwhile would inherit the descriptor that
        // writes it, and a binary that somebody may write cannot be run.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_galo"))
            .arg(&binary)
            .status();
        assert!(copied.unwrap().success());
        open_to_all(&binary, 0o755);
        Place { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn launch(&self, user: u32, io: &str, cores: usize) -> Launch {
        Launch::program(&self.dir.path().join("galo"))
            .arg("serve")
            .flag("data", self.data())
            .flag("io", io)
            .cores(cores)
            .listen("127.0.0.1:0")
            .current_dir(self.dir.path())
            .before_exec(move || become_user(user))
    }
}

fn open_to_all(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn become_user(user: u32) -> io::Result<()> {
    setgroups(&[])?;
    setgid(Gid::from_raw(user))?;
    Ok(setuid(Uid::from_raw(user))?)
}

/// The kernel counts what rings lock, of all cores and all processes of the user together.
#[test]
fn memory_to_lock_for_fewer_rings_than_cores_is_epoll_and_said() {
    for (cores, kibibytes) in [(1, 64), (2, 600), (4, 1024)] {
        let place = Place::new();
        let memlock = kibibytes * 1024;
        let launch = |io| {
            let launch = place.launch(new_user(), io, cores);
            launch.limit(Resource::RLIMIT_MEMLOCK, memlock)
        };
        let server = launch("auto").start();
        let line = server.wait_for_log("I/O driver epoll");
        let limit = format!("RLIMIT_MEMLOCK is {kibibytes} KiB");
        for words in ["WARN", &limit, "ulimit -l"] {
            assert!(line.contains(words), "{words:?} is not in {line}");
        }
        assert_eq!(server.get("/health").json()["driver"], "epoll");
        for client in 1..=5 {
            server.transact(client, 'c', 1, "um").posted();
        }
        server.stop();
        std::fs::remove_dir_all(place.data()).unwrap();
        launch("uring")
            .run()
            .refused(1, &["--io uring", &limit, "ulimit -l", "--io epoll"]);
        assert!(!place.data().exists(), "nothing was made");
    }
}

/// What the refusal says is enough; and a node that was killed just now does not keep the next one from it.
#[test]
fn memory_to_lock_for_all_cores_is_uring_again_and_again() {
    let (place, user) = (Place::new(), new_user());
    let launch = |kibibytes: u64| {
        let launch = place.launch(user, "uring", 2);
        launch.limit(Resource::RLIMIT_MEMLOCK, kibibytes * 1024)
    };
    let line = launch(600).run().refused(1, &["2 cores need "]);
    let (_, number) = line.split_once("2 cores need ").unwrap();
    let kibibytes = number.split(' ').next().unwrap().parse().unwrap();
    for round in 1..=5 {
        let server = launch(kibibytes).start();
        assert_eq!(server.get("/health").json()["driver"], "uring");
        assert_eq!(server.transact(1, 'c', 1, "um").posted().1, round);
        server.kill();
    }
}

#[test]
fn too_few_threads_are_named_with_the_number_and_with_it_everything_works() {
    for (io, cores) in [("uring", 1), ("uring", 2), ("epoll", 2), ("auto", 3)] {
        let (place, user) = (Place::new(), new_user());
        let launch = |threads: u64| {
            let launch = place.launch(user, io, cores);
            launch.limit(Resource::RLIMIT_NPROC, threads)
        };
        let refused = |threads| {
            let limit = format!("RLIMIT_NPROC is {threads} ");
            let outcome = launch(threads).run();
            let line = outcome.refused(1, &[&limit, " threads are needed", "ulimit -u"]);
            assert!(!place.data().exists(), "nothing was made");
            let (before, _) = line.split_once(" threads are needed").unwrap();
            before.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let needed = refused(1);
        for threads in 2..=needed {
            assert_eq!(refused(threads), needed);
        }
        // And the one that starts them.
        let server = launch(needed + 1).start();
        for client in 1..=5 {
            server.transact(client, 'c', 1, "um").posted();
        }
        server.stop();
    }
}
