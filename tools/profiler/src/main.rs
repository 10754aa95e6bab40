//! `tools/profile`: loads a server, looks at it with perf, strace and bpftrace, and leaves one page.
//!
//! | file | what |
//! |---|---|
//! | `subject` | what is looked at: processes that are there, or started here |
//! | `load` | galo-load beside it |
//! | `perf` | flame graphs: where time is spent, and where it is waited for |
//! | `calls` | system calls per request, beside the no-op server's |
//! | `bpf` | a tick from its probes; how long the journal's calls take |
//! | `counters` | what the kernel counts for each process |
//! | `page` | all of it as HTML |

mod bpf;
mod calls;
mod counters;
mod load;
mod page;
mod perf;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use clap::Parser;
use galo_bench::server::Programs;
use galo_output::{complain, unprinted};

use load::Load;
use subject::Subject;

/// Loads a server, looks at it from all sides, and leaves one HTML page.
///
/// Without --pid a node is started (with --stack two behind nginx) in a directory that is removed at the end. It looks five
/// times, each for --seconds: half a minute by default. As root the page has all of its parts; otherwise it has what the
/// kernel allows, and says what is missing and why.
#[derive(Parser)]
#[command(name = "tools/profile", bin_name = "tools/profile")]
struct Arguments {
    /// A server that runs already; may be repeated.
    #[arg(long, value_name = "P", conflicts_with = "stack")]
    pid: Vec<u32>,
    /// What is loaded; with --pid and without this, nothing: somebody else does that.
    #[arg(long, value_name = "U", requires = "pid")]
    url: Option<String>,
    /// Start tools/stack: two nodes behind nginx.
    #[arg(long)]
    stack: bool,
    /// How long each look takes.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections of the load.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Where the page goes.
    #[arg(long, value_name = "FILE", default_value = "profile.html")]
    html: PathBuf,
    /// Flags of the node that is started, behind --.
    #[arg(last = true, conflicts_with = "pid")]
    flags: Vec<String>,
}

const PROGRAM: &str = "tools/profile";

fn main() -> ExitCode {
    galo_output::fail_beyond_file_size();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(text) => {
            return match text.print() {
                Ok(()) => ExitCode::from(text.exit_code() as u8),
                Err(error) => unprinted(PROGRAM, &error, 2),
            }
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(PROGRAM, format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}

/// Something that the page does not have, and why.
pub(crate) type Seen<T> = std::result::Result<T, String>;

fn run(arguments: &Arguments) -> Result<()> {
    // Before the work, not behind it.
    let file = std::fs::File::create(&arguments.html)
        .with_context(|| format!("--html {}", arguments.html.display()))?;
    let scratch = tempfile::Builder::new().prefix("galo-profile-").tempdir()?;
    let programs = Programs::find()?;
    let mut subject = match &arguments.pid[..] {
        [] if arguments.stack => Subject::stack(&programs, scratch.path(), &arguments.flags)?,
        [] => Subject::node(&programs, scratch.path(), &arguments.flags)?,
        pids => Subject::running(pids, arguments.url.as_deref())?,
    };
    let load = Load {
        program: programs.load.clone(),
        connections: arguments.connections,
        seconds: arguments.seconds,
        scratch: scratch.path().to_owned(),
    };
    let say = |what: &str| eprintln!("{PROGRAM}: {what}");
    say(&format!("{}: {}", subject.title, subject.describe()));

    say("perf: where time is spent");
    let before = counters::read(&subject.processes)?;
    let (on_cpu, run) = load.during(subject.url.as_deref(), || {
        perf::on_cpu(&subject.processes, arguments.seconds, scratch.path())
    })?;
    let counters = counters::read(&subject.processes)?.since(&before);
    say("perf: where time is waited for");
    let (off_cpu, _) = load.during(subject.url.as_deref(), || {
        perf::off_cpu(&subject.processes, arguments.seconds, scratch.path())
    })?;
    say("bpftrace: a tick, and the journal's calls");
    let (traced, _) = load.during(subject.url.as_deref(), || {
        bpf::trace(&subject.processes, arguments.seconds, scratch.path())
    })?;
    say("strace: system calls per request");
    let calls = match &subject.url {
        Some(url) => calls::beside_noop(&subject, url, &load, &programs),
        None => Err("without --url nobody counts the requests".to_owned()),
    };
    subject.stop()?;

    let page = page::page(&page::Profile {
        title: &subject.title,
        processes: &subject.processes,
        run: run.as_ref(),
        seconds: arguments.seconds,
        counters: &counters,
        on_cpu: &on_cpu,
        off_cpu: &off_cpu,
        traced: &traced,
        calls: &calls,
    });
    std::io::Write::write_all(&mut &file, page.as_bytes())
        .with_context(|| format!("--html {}", arguments.html.display()))?;
    if let (Err(one), Err(_), Err(_)) = (&on_cpu, &traced, &calls) {
        bail!("nothing could be looked at: {one}");
    }
    say(&format!("wrote {}", arguments.html.display()));
    Ok(())
}
