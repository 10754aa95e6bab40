//! `galo-processor`: a payment processor to run galo against.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use galo_processor::fault::{Fault, Plan};
use galo_processor::model::{Config, DELAY_MS_MAX};
use galo_processor::server::Server;
use galo_processor::{body, decimal};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::sys::signal::{SigHandler, Signal};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{signal, SignalKind};

/// A payment processor to run galo against: it delays, fails, turns away and loses replies as it is told.
///
/// When it is ready it prints one line, `listening on ADDRESS`. SIGTERM and Ctrl-C end it at once.
///
/// Faults of payment requests, by rate (`--fault reply_lost=0.01`) or by number (`--fault drip@3`, counted from 1):
///
///   reply_lost    stored; the connection is closed without a byte
///   reset_before  not stored; the connection is reset at once
///   reset_after   stored; the connection is reset instead of a reply
///   cut_head      stored; the connection is closed within the reply's head
///   cut_body      stored; the connection is closed within the reply's body
///   hang_stored   stored; never a reply
///   hang_lost     not stored; never a reply
///   drip          stored; the reply comes byte by byte, one every 20 ms
///
/// They can be changed later: PUT /admin/configurations/faults with the admin token and, for example,
/// {"reply_lost":0.01,"drip":0.001,"nth":{"3":"cut_body"},"chunked":0.1,"seed":1}. What is not named is off, and
/// requests are counted from 1 again.
#[derive(Debug, Parser)]
#[command(name = "galo-processor", version, verbatim_doc_comment)]
struct Flags {
    /// Where to listen, an IP address and a port; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
    /// What it keeps of a payment, as a share
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = body::rate)]
    fee: u32,
    /// What opens the admin endpoints, in X-Rinha-Token
    #[arg(long, default_value = "123")]
    token: String,
    /// The delay of each payment
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=DELAY_MS_MAX))]
    delay: u64,
    /// Begin with the failure switch on
    #[arg(long)]
    failing: bool,
    /// Payments inside at once
    #[arg(long, value_name = "COUNT", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..))]
    parallel: u32,
    /// Payments that wait to be let in; more are turned away
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    waiting: u32,
    /// A fault and its rate, or which request suffers it; see above
    #[arg(long = "fault", value_name = "NAME=RATE|NAME@N", value_parser = planned)]
    faults: Vec<Planned>,
    /// The share of chunked replies
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = body::rate)]
    chunked: u32,
    /// Decides which requests the rates mean
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Threads that serve
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

#[derive(Clone, Debug)]
enum Planned {
    Rate(Fault, u32),
    Nth(u64, Fault),
}

fn planned(text: &str) -> Result<Planned, String> {
    if let Some((fault, rate)) = text.split_once('=') {
        Ok(Planned::Rate(fault.parse()?, body::rate(rate)?))
    } else if let Some((fault, n)) = text.split_once('@') {
        let n = decimal::parse(n, 0).ok_or_else(|| format!("{n} is no number"))?;
        Ok(Planned::Nth(n, fault.parse()?))
    } else {
        Err("NAME=RATE or NAME@N is expected, such as reply_lost=0.01".to_owned())
    }
}

fn main() -> ExitCode {
    // A write beyond RLIMIT_FSIZE is to fail (EFBIG), not to end the process.
    // SAFETY: no handler is installed, and nothing is done with the one before.
    let ignored = unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    ignored.expect("a signal that can be ignored");
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        // Help, the version, or what is wrong with the command line.
        Err(text) => {
            return match text.print() {
                Ok(()) => ExitCode::from(text.exit_code() as u8),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::FAILURE,
                Err(error) => complain(&format!("standard output cannot be written: {error}")),
            }
        }
    };
    match serve(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => complain(&text),
    }
}

/// Nobody may be there to read it.
fn complain(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "galo-processor: {text}");
    ExitCode::FAILURE
}

fn serve(flags: Flags) -> Result<(), String> {
    let mut plan = Plan {
        seed: flags.seed,
        chunked: flags.chunked,
        ..Plan::default()
    };
    for planned in flags.faults {
        match planned {
            Planned::Rate(fault, rate) => plan.set_rate(fault, rate),
            Planned::Nth(n, fault) => plan.nth.push((n, fault)),
        }
    }
    plan.check()?;
    let config = Config {
        delay_ms: flags.delay,
        failing: flags.failing,
        fee_ppm: flags.fee,
        token: flags.token,
        parallel_max: flags.parallel as usize,
        waiting_max: flags.waiting as usize,
    };
    raise_limits()?;
    let runtime = runtime(flags.threads).map_err(|error| format!("no threads: {error}"))?;
    runtime.block_on(async {
        let server = Server::bind(flags.listen, config, plan).await;
        let server =
            server.map_err(|error| format!("cannot listen on {}: {error}", flags.listen))?;
        let address = server.address().map_err(|error| error.to_string())?;
        let mut signals = [SignalKind::interrupt(), SignalKind::terminate()]
            .map(|kind| signal(kind).expect("a signal that can be handled"));
        let [interrupt, terminate] = &mut signals;
        // A line of its own for whoever waits for it; nobody may be there to read it.
        let _ = writeln!(std::io::stdout(), "listening on {address}");
        tokio::select! {
            () = server.run() => (),
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        Ok(())
    })
}

fn runtime(threads: u16) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(usize::from(threads));
    builder.enable_all().build()
}

/// As many open files as are allowed: each connection is one, and more than a thousand may wait here.
fn raise_limits() -> Result<(), String> {
    let limit = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(limit).and_then(|(_, hard)| setrlimit(limit, hard, hard));
    raised.map_err(|error| format!("the limit of open files cannot be raised: {error}"))
}
