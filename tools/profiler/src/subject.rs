//! What is looked at.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use galo_bench::server::{Guard, Launch, Programs, Server};
use nix::sys::signal::Signal;

/// For the stack to end.
const STOP_MAX: Duration = Duration::from_secs(10);

/// One process of a server.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// As it calls itself in the stack; otherwise its executable's name.
    pub name: String,
    /// The executable, as this process sees it.
    pub program: PathBuf,
}

impl Process {
    fn of(pid: u32, name: Option<&str>) -> Result<Process> {
        let link = format!("/proc/{pid}/exe");
        let target = std::fs::read_link(&link).with_context(|| format!("process {pid}"))?;
        let own = target
            .file_name()
            .unwrap_or(target.as_os_str())
            .to_string_lossy();
        Ok(Process {
            pid,
            name: name.unwrap_or(&own).to_owned(),
            // A container's files are elsewhere for us.
            program: if target.exists() { target } else { link.into() },
        })
    }
}

/// A server, and where it is loaded.
pub struct Subject {
    pub title: String,
    pub processes: Vec<Process>,
    pub url: Option<String>,
    started: Option<Started>,
}

enum Started {
    Node(Server),
    Stack(Guard),
}

impl Subject {
    /// Processes that somebody else has started.
    pub fn running(pids: &[u32], url: Option<&str>) -> Result<Subject> {
        let processes = pids.iter().map(|pid| Process::of(*pid, None));
        Ok(Subject {
            title: "a running server".to_owned(),
            processes: processes.collect::<Result<_>>()?,
            url: url.map(str::to_owned),
            started: None,
        })
    }

    /// A node of one core, in a directory of its own.
    pub fn node(programs: &Programs, scratch: &Path, flags: &[String]) -> Result<Subject> {
        let cores = flags.iter().any(|flag| flag.starts_with("--cores"));
        let arguments = ["serve", "--data"].iter().map(Into::into);
        let mut arguments: Vec<_> = arguments.chain([scratch.join("data").into()]).collect();
        if !cores {
            arguments.extend(["--cores", "1"].map(Into::into));
        }
        arguments.extend(flags.iter().map(Into::into));
        let server = Server::start(&Launch {
            program: &programs.galo,
            arguments,
            cpu: None,
            log: scratch.join("galo.log"),
        })?;
        Ok(Subject {
            title: "one node".to_owned(),
            processes: vec![Process::of(server.pid(), Some("galo"))?],
            url: Some(format!("http://{}", server.address)),
            started: Some(Started::Node(server)),
        })
    }

    /// Two nodes behind nginx, as `tools/stack` starts them.
    pub fn stack(programs: &Programs, scratch: &Path, flags: &[String]) -> Result<Subject> {
        let script = script(&programs.directory)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let child = Command::new(script)
            .args(["--port", &port.to_string(), "--bin"])
            .arg(&programs.directory)
            .arg("--dir")
            .arg(scratch.join("stack"))
            .arg("--")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("tools/stack does not start")?;
        let mut guard = Guard(child);
        let lines = BufReader::new(guard.0.stdout.take().expect("it is piped")).lines();
        let mut said = HashMap::new();
        for line in lines {
            let line = line?;
            if line == "ready" {
                break;
            }
            let (name, value) = line
                .split_once(' ')
                .context("tools/stack says something else")?;
            said.insert(name.to_owned(), value.to_owned());
        }
        let value = |name: &str| said.get(name).context("tools/stack does not get ready");
        let url = value("url")?.clone();
        let mut processes = Vec::new();
        for node in ["api01", "api02"] {
            processes.push(Process::of(value(node)?.parse()?, Some(node))?);
        }
        // It forks: its workers are the ones that work.
        processes.extend(children(value("nginx")?.parse()?)?);
        Ok(Subject {
            title: "two nodes behind nginx".to_owned(),
            processes,
            url: Some(url),
            started: Some(Started::Stack(guard)),
        })
    }

    pub fn describe(&self) -> String {
        let processes = self.processes.iter();
        let processes =
            processes.map(|process| format!("{} is process {}", process.name, process.pid));
        processes.collect::<Vec<_>>().join(", ")
    }

    /// Ends what was started here.
    pub fn stop(&mut self) -> Result<()> {
        match self.started.take() {
            None => Ok(()),
            Some(Started::Node(server)) => server.stop(),
            Some(Started::Stack(mut guard)) => {
                guard.signal(Signal::SIGTERM)?;
                match guard.wait_for(STOP_MAX)? {
                    Some(_) => Ok(()),
                    None => bail!("tools/stack does not stop"),
                }
            }
        }
    }
}

/// The script, from where the programs are: `target/PROFILE`.
fn script(programs: &Path) -> Result<PathBuf> {
    let script = programs.join("../../tools/stack");
    ensure!(script.is_file(), "{} is missing", script.display());
    Ok(script)
}

fn children(pid: u32) -> Result<Vec<Process>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(&path).context(path)?;
    let pids = children.split_ascii_whitespace().map(str::parse);
    pids.map(|pid| Process::of(pid?, Some("nginx"))).collect()
}
