//! One container: the engine's API says which process is its first, and the kernel which cgroup that one is in.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use super::cgroup::Cgroup;
use super::process::Process;
use super::{Ended, Usage};
use crate::exchange::exchange;
use crate::measure::FailureKind;
use crate::target::Target;

/// Where Docker listens.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// For the engine's answer.
const ENGINE_MAX: Duration = Duration::from_secs(10);

/// A container that runs, until it ends or is started again.
#[derive(Debug)]
pub struct Container {
    name: String,
    /// With it, the container ends.
    first: Process,
    cgroup: Cgroup,
}

/// What the engine says of a container (`GET /containers/{id}/json`).
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Description {
    id: String,
    state: State,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct State {
    /// 0 unless it runs.
    pid: u32,
    status: String,
}

impl Container {
    /// # Errors
    /// No engine answers; it knows no such container; it does not run; its cgroup may not be read.
    pub fn find(name: &str) -> Result<Container> {
        let host = std::env::var("DOCKER_HOST").ok();
        let host = host.filter(|host| !host.is_empty());
        Container::ask(host.as_deref().unwrap_or(SOCKET), name)
            .with_context(|| format!("container {name}"))
    }

    fn ask(host: &str, name: &str) -> Result<Container> {
        let description = describe(host, name)?;
        let first = Process::find(description.state.pid).context("its first process")?;
        let cgroup = Cgroup::of(description.state.pid, &description.id)?;
        let container = Container {
            name: format!("container {name}"),
            first,
            cgroup,
        };
        match container.usage() {
            Ok(_) => Ok(container),
            Err(Ended::Gone) => bail!("it has just ended"),
            Err(Ended::Unreadable(why)) => bail!("{why}"),
        }
    }

    /// As it stands in reports.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    pub fn usage(&self) -> Result<Usage, Ended> {
        self.first.is_there()?;
        self.cgroup.usage()
    }
}

/// Asks the engine.
fn describe(host: &str, name: &str) -> Result<Description> {
    // The engine's rule for names; an id is one, too.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        bail!("names are of letters, digits, '_', '.' and '-'");
    }
    if !host.starts_with("unix:") {
        bail!("DOCKER_HOST is {host}: only an engine on this machine can say what to watch, unix:///var/run/docker.sock for one");
    }
    let target = Target::from_str(host).context("DOCKER_HOST")?;
    let request = target.request("GET", &format!("/containers/{name}/json"), b"");
    let reply = match exchange(&target, &request, ENGINE_MAX) {
        Ok(reply) => reply,
        Err(failure) => {
            let cause = match failure.kind {
                FailureKind::Refused => {
                    "is the container engine running? DOCKER_HOST can name another socket"
                }
                FailureKind::Connect => "root, or a member of the group docker, may ask it",
                _ => "the container engine does not answer as it should",
            };
            bail!("{host}: {}: {cause}", failure.what);
        }
    };
    let text = || String::from_utf8_lossy(&reply.body).into_owned();
    match reply.status {
        200 => {}
        404 => bail!("the engine at {host} knows no such container"),
        status => bail!("{host} answers {status}: {}", text()),
    }
    let description: Description = serde_json::from_slice(&reply.body)
        .with_context(|| format!("{host} describes it in an unknown way"))?;
    if description.id.is_empty() {
        bail!("{host} gives it no id");
    }
    if description.state.pid == 0 {
        bail!("it is {}, and must be running", description.state.status);
    }
    Ok(description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;

    /// Answers one request; gives back what it was asked.
    fn engine(path: &Path, reply: String) -> thread::JoinHandle<String> {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut part = [0; 256];
                let count = socket.read(&mut part).unwrap();
                assert!(count > 0);
                request.extend_from_slice(&part[..count]);
            }
            socket.write_all(reply.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        })
    }

    fn answered(status: &str, body: &str) -> (Result<Description>, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let length = body.len();
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        let engine = engine(&path, reply);
        let found = describe(&format!("unix://{}", path.display()), "api01");
        (found, engine.join().unwrap())
    }

    #[test]
    fn the_engine_is_asked() {
        let body = r#"{"Id":"88012bb3","Name":"/api01","State":{"Status":"running","Running":true,"Pid":4711}}"#;
        let (found, request) = answered("200 OK", body);
        let expected = "GET /containers/api01/json HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(request, expected);
        let state = State {
            pid: 4_711,
            status: "running".to_owned(),
        };
        let id = "88012bb3".to_owned();
        assert_eq!(found.unwrap(), Description { id, state });
    }

    #[test]
    fn what_it_cannot_say_is_an_error_that_says_why() {
        let stopped = r#"{"Id":"88012bb3","State":{"Status":"exited","Pid":0}}"#;
        for (status, body, part) in [
            (
                "404 Not Found",
                r#"{"message":"No such container: api01"}"#,
                "knows no such container",
            ),
            ("500 Oh", "trouble", "answers 500: trouble"),
            ("200 OK", stopped, "it is exited, and must be running"),
            ("200 OK", "[]", "in an unknown way"),
        ] {
            let error = format!("{:#}", answered(status, body).0.unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let host = format!("unix://{}/none", dir.path().display());
        for (host, name, part) in [
            (&*host, "api01", "is the container engine running?"),
            (
                "tcp://127.0.0.1:2375",
                "api01",
                "only an engine on this machine",
            ),
            (&*host, "api/01", "names are of"),
            (&*host, "", "names are of"),
        ] {
            let error = format!("{:#}", describe(host, name).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
