//! What is in `dist/` as those read it whom it is for: `man`, shells on a terminal, systemd.
//! `cargo test -p galo-dist --features dist-tests`, on Debian with its packages man-db, bash-completion, zsh, fish and systemd.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{channel, Receiver};

use galo_testkit::PATIENCE;

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../dist")
        .join(name)
}

/// Runs a program of this Debian package.
fn run(package: &str, command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.env("LC_ALL", "C.UTF-8").output();
    output.unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {package}"))
}

/// A page as it is shown, and what its reader complains of.
fn rendered(page: &Path) -> (String, String) {
    let mut command = Command::new("man");
    command
        .args(["--local-file", "--warnings"])
        .arg(page)
        .env("MANWIDTH", "80");
    let output = run("man-db", &mut command);
    assert!(output.status.success(), "{output:?}");
    let [page, complaints] =
        [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    (page, complaints)
}

#[test]
fn manual_pages_render_without_a_warning() {
    for (name, words) in [
        (
            "galo.1",
            [
                "--listen",
                "GALO_LISTEN",
                "healthcheck",
                "EXIT STATUS",
                "NOTIFY_SOCKET",
            ],
        ),
        (
            "galo-load.1",
            [
                "--connections",
                "rinha-2024",
                "rinha-2025",
                "--fail-on",
                "--settle",
            ],
        ),
        (
            "galo-top.1",
            [
                "--interval",
                "--count",
                "[URL]",
                "status:",
                "localhost:9999",
            ],
        ),
    ] {
        let (page, complaints) = rendered(&dist(name));
        assert_eq!(complaints, "", "{name}");
        for word in words {
            assert!(page.contains(word), "{word} is not in {page}");
        }
        assert!(!page.contains("\\-") && !page.contains("\\f"), "{page}");
    }
    // It would have complained.
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.1");
    std::fs::write(&bad, ".TH BAD 1\n.SH NAME\nbad \\- bad\n.NOSUCHMACRO\n").unwrap();
    let (_, complaints) = rendered(&bad);
    assert!(complaints.contains("NOSUCHMACRO"), "{complaints}");
}

/// A shell on a terminal, to which somebody types.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Receiver<Vec<u8>>,
    screen: String,
}

const PROMPT: &str = "what-now> ";

impl Terminal {
    /// `setup` ends with the prompt set to [`PROMPT`], which it must not spell out.
    fn open(package: &str, shell: &str, setup: &str) -> Terminal {
        // Of util-linux, which every Debian has: it gives a pipe's reader a terminal.
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--echo",
                "never",
                "--return",
                "--command",
                shell,
                "/dev/null",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of the package bsdutils");
        let mut from = child.stdout.take().unwrap();
        let (to, shown) = channel();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut part) {
                let _ = to.send(part[..count].to_vec());
            }
        });
        let keys = child.stdin.take().unwrap();
        let mut terminal = Terminal {
            child,
            keys,
            shown,
            screen: String::new(),
        };
        terminal.type_keys(&format!("{setup}\n"));
        terminal.expect(PROMPT, package);
        terminal
    }

    fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
        self.keys.flush().expect("it reads");
    }

    /// Waits until this is shown, and forgets it and what was before.
    fn expect(&mut self, words: &str, package: &str) {
        while !self.screen.contains(words) {
            let part = self.shown.recv_timeout(PATIENCE);
            let part = part.unwrap_or_else(|_| {
                let screen = &self.screen;
                panic!("{words:?} is not on the screen (is {package} installed?): {screen}")
            });
            self.screen += &String::from_utf8_lossy(&part);
        }
        let end = self.screen.find(words).expect("it is there") + words.len();
        self.screen.drain(..end);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PROGRAMS: [&str; 3] = ["galo", "galo-load", "galo-top"];

/// What is typed, up to the key that completes; and the words of the command that comes of it.
const TYPED: [(&str, &str); 9] = [
    ("galo --lis", "galo --listen"),
    ("galo serve --durability d", "galo serve --durability disk"),
    ("galo healthc", "galo healthcheck"),
    ("galo check --da", "galo check --data"),
    ("galo cluster st", "galo cluster status"),
    (
        "galo cluster status --replicate-c",
        "galo cluster status --replicate-creds",
    ),
    ("galo-load --conn", "galo-load --connections"),
    (
        "galo-load rinha-2025 --sett",
        "galo-load rinha-2025 --settle",
    ),
    ("galo-top --inter", "galo-top --interval"),
];

/// Commands of these names say what they were called with.
fn completes(package: &str, shell: &str, setup: &str) {
    let functions = PROGRAMS.map(|name| format!("{name}() {{ echo \"[{name} $*]\"; }}; "));
    let functions = functions.concat();
    let mut terminal = Terminal::open(
        package,
        shell,
        &format!("{functions}{setup}; P=what-now; PS1=\"$P> \""),
    );
    for (typed, expected) in TYPED {
        terminal.type_keys(&format!("{typed}\t\n"));
        terminal.expect(&format!("[{expected}"), package);
        terminal.expect(PROMPT, package);
    }
}

#[test]
fn bash_completes() {
    let file = |name: &str| dist(&format!("{name}.bash"));
    let plain = PROGRAMS.map(|name| format!("source {}", file(name).display()));
    let plain = plain.join("; ");
    completes("bash", "bash --norc --noprofile -i", &plain);
    // As a package is loaded: by the name of its file.
    let home = tempfile::tempdir().unwrap();
    let completions = home.path().join("bash-completion/completions");
    std::fs::create_dir_all(&completions).unwrap();
    for name in PROGRAMS {
        std::fs::copy(file(name), completions.join(name)).unwrap();
    }
    let by_package = format!(
        "export XDG_DATA_HOME={}; source /usr/share/bash-completion/bash_completion",
        home.path().display()
    );
    completes("bash-completion", "bash --norc --noprofile -i", &by_package);
}

#[test]
fn zsh_completes() {
    let setup = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D",
        dist("").display()
    );
    completes("zsh", "zsh -f -i", &setup);
}

#[test]
fn fish_completes() {
    for (typed, expected) in TYPED {
        let name = typed.split(' ').next().unwrap();
        let file = dist(&format!("{name}.fish"));
        let script = format!(
            "source {}; complete --do-complete '{typed}'",
            file.display()
        );
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("fish");
        command
            .args(["--no-config", "--command", &script])
            .env("HOME", home.path());
        let output = run("fish", &mut command);
        let offered = String::from_utf8(output.stdout).unwrap();
        // A word, and what it means.
        let words: Vec<&str> = offered
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        let expected = expected.rsplit(' ').next().unwrap();
        assert_eq!(words, [expected], "{typed}");
    }
}

#[test]
fn the_unit_is_hardened() {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager"])
        .arg(dist("galo.service"));
    let output = run("systemd", &mut command);
    let report = String::from_utf8(output.stdout).unwrap();
    let line = report
        .lines()
        .find(|line| line.contains("Overall exposure level"));
    let line = line.unwrap_or_else(|| {
        panic!(
            "no verdict in {report}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let (_, level) = line.split_once(": ").unwrap();
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= 2.0, "{line}");
}
