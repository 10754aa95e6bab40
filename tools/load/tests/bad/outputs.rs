//! Where what is said goes: what is for programs never stands among what is for people.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use galo_load::report::Report;

use crate::server::{Bad, Server};
use crate::support::run;

/// Of the summary only: lines of a run that goes on are on standard error anyhow.
const SUMMARY: &str = "\nLatency   with connecting";

fn galo_load(server: &Server, arguments: &str) -> Command {
    let mut command = run::galo_load();
    command.args([&server.url(), "-n", "50"]);
    command.args(arguments.split_whitespace());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[track_caller]
fn expect_report(json: &[u8]) {
    let report: Report = serde_json::from_slice(json).unwrap_or_else(|_| panic!("{}", text(json)));
    assert_eq!(report.requests, 50);
}

#[track_caller]
fn good(output: Output) -> Output {
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

#[test]
fn an_output_on_standard_output_has_it_alone() {
    let server = Server::start(Bad::default());
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let output = good(
            galo_load(&server, &format!("--json {name}"))
                .output()
                .unwrap(),
        );
        expect_report(&output.stdout);
        assert!(text(&output.stderr).contains(SUMMARY), "{name}");
    }
    let csv = good(galo_load(&server, "--csv -").output().unwrap());
    let lines: Vec<usize> = text(&csv.stdout)
        .lines()
        .map(|line| line.split(',').count())
        .collect();
    assert!(
        lines.len() > 1 && lines.iter().all(|fields| *fields == 10),
        "{lines:?}"
    );
    let html = good(galo_load(&server, "--html /dev/stdout").output().unwrap());
    let page = text(&html.stdout);
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"),
        "{page}"
    );
    // Otherwise it has the summary, also where nobody reads what is written.
    let plain = good(galo_load(&server, "--json /dev/null").output().unwrap());
    assert!(text(&plain.stdout).contains(SUMMARY));
    assert!(!text(&plain.stderr).contains(SUMMARY));
}

#[test]
fn it_is_known_by_what_it_is_and_not_by_its_name() {
    let server = Server::start(Bad::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let named = format!("--json {}", path.display());
    let mut command = galo_load(&server, &named);
    let output = good(
        command
            .stdout(File::create(&path).unwrap())
            .output()
            .unwrap(),
    );
    expect_report(&fs::read(&path).unwrap());
    assert!(text(&output.stderr).contains(SUMMARY));

    // Both streams in one file: what is for people has no place.
    for arguments in ["--json -", &named] {
        let both = File::create(&path).unwrap();
        let mut command = galo_load(&server, arguments);
        command.stderr(both.try_clone().unwrap()).stdout(both);
        assert!(command.status().unwrap().success());
        expect_report(&fs::read(&path).unwrap());
    }
    let mut command = galo_load(&server, &named);
    command.stderr(File::create(&path).unwrap());
    let output = good(command.output().unwrap());
    expect_report(&fs::read(&path).unwrap());
    assert!(text(&output.stdout).contains(SUMMARY));

    // A socket cannot be opened by its name.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = galo_load(&server, "--json /dev/stdout");
    command.stdout(OwnedFd::from(theirs));
    let output = good(command.output().unwrap());
    drop(command); // It has their end, too.
    let mut json = Vec::new();
    ours.read_to_end(&mut json).unwrap();
    expect_report(&json);
    assert!(text(&output.stderr).contains(SUMMARY));
}

#[test]
fn two_outputs_in_one_file_are_refused() {
    let server = Server::start(Bad::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let path = path.display();
    for (arguments, flags) in [
        ("--json - --csv /dev/stdout".to_owned(), ["--json", "--csv"]),
        (format!("--csv {path} --html {path}"), ["--csv", "--html"]),
    ] {
        let output = galo_load(&server, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let words = format!("{} and {} are the same file", flags[0], flags[1]);
        assert!(
            text(&output.stderr).contains(&words),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!(
        server.seen(|seen| seen.connections),
        0,
        "before anything is sent"
    );
}
