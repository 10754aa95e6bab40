//! The page of a node, and of the whole stack: `cargo test -p galo-profile --features tracing-tests --test profile`, as
//! root, with Debian's packages linux-perf, strace, bpftrace, chromium, and nginx with its stream module.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

use galo_testkit::browser::Browser;
use galo_testkit::programs::program;
use galo_testkit::{data_dir, transaction, Launch};

fn profile(flags: &[&str]) -> Command {
    // It looks for these beside itself.
    for name in ["galo", "galo-bench", "galo-load", "galo-processor"] {
        program(name);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_galo-profile"));
    command.args(flags);
    command
}

/// Runs it to its good end: the page.
#[track_caller]
fn page(html: &Path, flags: &[&str]) -> String {
    let html_flags = ["--html", html.to_str().unwrap()];
    let mut command = profile(&[&html_flags[..], flags].concat());
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains("wrote "), "{stderr}");
    std::fs::read_to_string(html).unwrap()
}

/// The flame graph of that id.
fn flames(page: &str, id: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("<iframe id=\"{id}\""))
        .expect("a frame");
    let (_, rest) = rest.split_once("data:image/svg+xml;base64,").unwrap();
    let svg = STANDARD.decode(rest.split('"').next().unwrap()).unwrap();
    String::from_utf8(svg).unwrap()
}

#[track_caller]
fn expect(text: &str, words: &[&str]) {
    for words in words {
        // Not the text: it is a quarter of a megabyte.
        assert!(text.contains(words), "{words:?} is missing");
    }
}

#[test]
fn a_node_is_seen_from_all_sides_and_the_page_is_readable() {
    let dir = data_dir();
    let html = dir.path().join("profile.html");
    let page = page(&html, &["--seconds", "2", "--", "--io", "epoll"]);
    expect(
        &flames(&page, "on-cpu"),
        &["galo::io::epoll", "galo::node", "do_syscall_64"],
    );
    expect(&flames(&page, "off-cpu"), &["galo::io::epoll", "schedule"]);
    expect(
        &page,
        &[
            "<code>epoll_wait</code>",
            "<code>pwrite64</code>: each tick",
            "<code>fdatasync</code>: every 100 ms",
            "request transacoes, shard 0",
            "command: shard 0, status 200",
            "batch: shard 0, ",
        ],
    );
    assert!(!page.contains("Not seen."));
    let browser = Browser::start();
    let widths = [1280, 320];
    let wanted = [
        "On CPU",
        "requests/s",
        "The journal's calls",
        "no-op server",
        "galo (",
    ];
    let (frames, visit) = browser.measure(&[&page], &widths, &wanted, &[]);
    for frame in &frames {
        assert!(frame.scroll_width <= frame.width, "{frame:?}");
        assert_eq!((frame.missing, frame.headings[0]), (0, 1), "{frame:?}");
    }
    assert_eq!(frames.len(), widths.len());
    assert!(visit.console.is_empty(), "{:?}", visit.console);
    let fetched = |url: &&String| !url.starts_with("data:");
    assert_eq!(visit.requests.iter().find(fetched), None);
}

#[test]
fn a_server_that_runs_already_is_not_stopped() {
    let dir = data_dir();
    let server = Launch::serve(&dir.path().join("data")).cores(1).start();
    let html = dir.path().join("profile.html");
    let (pid, url) = (server.pid().to_string(), server.address().url());
    let page = page(&html, &["--seconds", "1", "--pid", &pid, "--url", &url]);
    expect(&page, &[&format!("({pid})"), "<code>io_uring_enter</code>"]);
    assert_eq!(server.ask(&transaction(1, 'c', 1, "x")).status, 200);
}

#[test]
fn the_stack_is_seen_with_its_balancer() {
    let dir = data_dir();
    let html = dir.path().join("profile.html");
    let page = page(&html, &["--seconds", "1", "--stack"]);
    expect(&page, &["api01 (", "api02 (", "nginx ("]);
    expect(
        &flames(&page, "on-cpu"),
        &["nginx;", "galo/0;"].map(|name| name.trim_end_matches(';')),
    );
}

/// Whom the kernel does not show itself, and who may watch no probe.
#[test]
fn an_ordinary_user_gets_a_page_that_says_what_needs_root() {
    const NOBODY: u32 = 65_534;
    let dir = data_dir();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    // Where such a user gets at them.
    let programs = profile(&[]).get_program().to_owned();
    let programs = Path::new(&programs).parent().unwrap();
    let copy = |name: &str| {
        Command::new("cp")
            .arg(programs.join(name))
            .arg(dir.path())
            .status()
    };
    for name in [
        "galo",
        "galo-noop",
        "galo-load",
        "galo-processor",
        "galo-profile",
    ] {
        assert!(copy(name).unwrap().success(), "{name}");
    }
    let html = dir.path().join("profile.html");
    let output = Command::new(dir.path().join("galo-profile"))
        .args(["--seconds", "1", "--html"])
        .arg(&html)
        .env("TMPDIR", dir.path())
        .current_dir(dir.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let page = std::fs::read_to_string(&html).unwrap();
    expect(&flames(&page, "on-cpu"), &["galo::node"]);
    expect(
        &page,
        &[
            "Not seen. probes are watched by the kernel",
            "<code>pwrite64</code>",
        ],
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let dir = data_dir();
    let html: PathBuf = dir.path().join("profile.html");
    let html = html.to_str().unwrap();
    for (flags, code, words) in [
        (&["--seconds", "0"][..], 2, "0 is not in 1..=600"),
        (&["--url", "http://127.0.0.1:1"], 2, "--pid"),
        (&["--pid", "1", "--stack"], 2, "cannot be used with"),
        (&["--pid", "4194305", "--html", html], 1, "process 4194305"),
        (
            &["--html", "/proc/none/profile.html"],
            1,
            "--html /proc/none/profile.html",
        ),
        (&["--html", html, "--", "--cores", "none"], 1, "--cores"),
    ] {
        let Output { status, stderr, .. } = profile(flags).output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(code), "{flags:?}: {stderr}");
        assert!(stderr.contains(words), "{flags:?}: {stderr}");
    }
}
