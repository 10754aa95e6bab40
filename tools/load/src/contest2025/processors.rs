//! The two payment processors, as the script reaches them; and two of its own, if it was given none.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use anyhow::{bail, Context, Result};
use galo_processor::fault::Plan;
use galo_processor::model::Config;
use galo_processor::server::Server;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::calls::{Calls, TIMEOUT};
use super::score::{FEES_PPM, PROCESSORS};
use super::stages::State;
use super::window::Window;
use crate::exchange::{Connection, Reply};
use crate::measure::{Failure, FailureKind, Kind};
use crate::target::Target;
use crate::traffic::totals::{parse_payment, parse_processor_summary, Totals};

/// What must be so of each call.
pub const ANSWERS: &str = "processors: 2xx, and readable";

/// The admin endpoints of a processor.
#[derive(Clone, Debug)]
pub struct Processor {
    name: &'static str,
    target: Target,
    /// With the token.
    headers: String,
}

impl Processor {
    /// Both, by number.
    ///
    /// # Errors
    /// The token cannot stand in a header.
    pub fn both(targets: [Target; 2], token: &str) -> Result<[Processor; 2]> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("--token is what stands in a header: printable characters, without spaces");
        }
        let headers = format!("\r\nX-Rinha-Token: {token}");
        let [default, fallback] = targets;
        Ok(
            [(0, default), (1, fallback)].map(|(number, target)| Processor {
                name: PROCESSORS[number],
                target,
                headers: headers.clone(),
            }),
        )
    }

    /// Forgets all payments, as the script has it at the beginning.
    ///
    /// # Errors
    /// It cannot be reached, or refuses: there is no run without it.
    pub fn purge(&self, calls: &mut Calls) -> Result<()> {
        let purged = self.ask(calls, "POST", "/admin/purge-payments", "", done);
        let about = || format!("the {} processor at {}", self.name, self.target);
        purged.map_err(|failure| failure.context(&about()))
    }

    /// From now on it does this to payments.
    pub fn set(&self, calls: &mut Calls, state: State) -> Result<(), Failure> {
        let State { delay_ms, failing } = state;
        for (what, body) in [
            ("delay", format!(r#"{{"delay":{delay_ms}}}"#)),
            ("failure", format!(r#"{{"failure":{failing}}}"#)),
        ] {
            let path = format!("/admin/configurations/{what}");
            self.ask(calls, "PUT", &path, &body, done)?;
        }
        Ok(())
    }

    /// What it has stored in the window; without one, all of it.
    pub fn totals(&self, calls: &mut Calls, window: Option<&Window>) -> Result<Totals, Failure> {
        let query = window.map(Window::query).unwrap_or_default();
        let path = format!("/admin/payments-summary{query}");
        let read = |status: u16, body: &[u8]| match status {
            200 => parse_processor_summary(status, body).map(|summary| summary.totals),
            _ => Err(refused(status)),
        };
        self.ask(calls, "GET", &path, "", read)
    }

    /// To ask for one payment after the other.
    pub fn lookups(&self) -> Lookups<'_> {
        Lookups {
            target: &self.target,
            connection: None,
        }
    }

    fn ask<T>(
        &self,
        calls: &mut Calls,
        method: &'static str,
        path: &str,
        body: &str,
        read: impl FnOnce(u16, &[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut request = Vec::new();
        self.target
            .write_request_with(&mut request, method, path, &self.headers, body.as_bytes());
        calls.ask(Kind::Processor, ANSWERS, &self.target, &request, read)
    }
}

/// Questions about payments, on one connection as long as it lasts.
pub struct Lookups<'a> {
    target: &'a Target,
    connection: Option<Connection>,
}

impl Lookups<'_> {
    /// What is stored under this id, in cents.
    ///
    /// # Errors
    /// The request, and why it has no answer, or none that tells.
    pub fn ask(&mut self, id: Uuid) -> Result<Option<u64>, (Vec<u8>, Failure)> {
        let path = format!("/payments/{id}");
        let request = self.target.request("GET", &path, b"");
        match self.reply(&request) {
            Ok(reply) => parse_payment(id, reply.status, &reply.body),
            Err(failure) => Err(failure),
        }
        .map_err(|failure| (request, failure))
    }

    fn reply(&mut self, request: &[u8]) -> Result<Reply, Failure> {
        let kept = self.connection.take().filter(Connection::is_open);
        if let Some(mut kept) = kept {
            // It may have been closed since: nothing is wrong with that.
            if let Ok(reply) = kept.ask(request, TIMEOUT) {
                self.connection = Some(kept);
                return Ok(reply);
            }
        }
        let mut fresh = Connection::open(self.target, TIMEOUT)?;
        let reply = fresh.ask(request, TIMEOUT)?;
        self.connection = Some(fresh);
        Ok(reply)
    }
}

/// Whatever its body says.
fn done(status: u16, _body: &[u8]) -> Result<(), Failure> {
    match status {
        200..300 => Ok(()),
        _ => Err(refused(status)),
    }
}

fn refused(status: u16) -> Failure {
    let what = match status {
        401 => "401: it wants another --token".to_owned(),
        _ => format!("{status} is not 2xx"),
    };
    Failure::new(FailureKind::WrongStatus, what)
}

/// Two processors in a thread of this process. They end when this is dropped.
pub struct Own {
    targets: [Target; 2],
    /// Dropping it ends the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Own {
    /// Starts them, the default one first.
    ///
    /// # Errors
    /// One of the addresses cannot be listened at.
    pub fn start(listen: [SocketAddr; 2], token: &str) -> Result<Own> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("the processors have no runtime")?;
        let mut servers = Vec::new();
        for (number, listen) in listen.into_iter().enumerate() {
            servers.push(bind(&runtime, number, listen, token)?);
        }
        let mut addresses = servers.iter().map(Server::address);
        let mut target = || -> Result<Target> {
            let address = addresses.next().expect("there are two")?;
            format!("http://{address}").parse()
        };
        let targets = [target()?, target()?];
        let (running, ended) = oneshot::channel();
        let serve = move || {
            for server in servers {
                runtime.spawn(server.run());
            }
            // The sender is only ever dropped.
            let _ = runtime.block_on(ended);
        };
        let thread = thread::Builder::new().name("processors".to_owned());
        Ok(Own {
            targets,
            running: Some(running),
            thread: Some(thread.spawn(serve).context("no thread")?),
        })
    }

    /// Where they listen.
    pub fn targets(&self) -> &[Target; 2] {
        &self.targets
    }
}

fn bind(runtime: &Runtime, number: usize, listen: SocketAddr, token: &str) -> Result<Server> {
    let config = Config {
        fee_ppm: FEES_PPM[number],
        token: token.to_owned(),
        ..Config::default()
    };
    let bound = runtime.block_on(Server::bind(listen, config, Plan::default()));
    bound.with_context(|| {
        let name = PROCESSORS[number];
        format!("its own {name} processor cannot listen at {listen} (--listen-{name}, or --default and --fallback)")
    })
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by its own thread.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: &str = "127.0.0.1:0";

    fn own(token: &str) -> (Own, [Processor; 2]) {
        let any = ANY.parse().unwrap();
        let own = Own::start([any, any], "secret").unwrap();
        let processors = Processor::both(own.targets().clone(), token).unwrap();
        (own, processors)
    }

    #[test]
    fn own_processors_do_as_the_script_says() {
        let (_own, processors) = own("secret");
        let mut calls = Calls::new(true);
        for processor in &processors {
            processor.purge(&mut calls).unwrap();
            let state = State {
                delay_ms: 20,
                failing: true,
            };
            processor.set(&mut calls, state).unwrap();
            let totals = processor.totals(&mut calls, None).unwrap();
            assert_eq!(totals, Totals::default());
        }
        let tally = calls.tally.of(Kind::Processor).unwrap();
        assert_eq!((tally.requests, tally.failed), (8, 0));
    }

    #[test]
    fn a_processor_that_wants_another_token_is_named() {
        let (_own, processors) = own("123");
        let error = processors[1].purge(&mut Calls::new(false)).unwrap_err();
        let error = error.to_string();
        for part in ["the fallback processor at http://127.0.0.1:", "--token"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_port_in_use_is_said_to_be() {
        let any: SocketAddr = ANY.parse().unwrap();
        let listener = std::net::TcpListener::bind(any).unwrap();
        let taken = listener.local_addr().unwrap();
        let error = format!("{:#}", Own::start([any, taken], "123").err().unwrap());
        for part in [&taken.to_string(), "--listen-fallback", "in use"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_token_that_is_no_header_is_refused() {
        let target: Target = "127.0.0.1:1".parse().unwrap();
        for token in ["", "1 2", "1\r\nX: 2"] {
            assert!(Processor::both([target.clone(), target.clone()], token).is_err());
        }
    }
}
