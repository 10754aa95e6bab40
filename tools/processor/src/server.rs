//! The processor over HTTP/1.1.

mod routes;
mod stream;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, Notify};

use crate::fault::{Fault, Plan};
use crate::model::{Config, Model, Payment, Reply};
use stream::{Spoil, Stream};

/// Until the next try when a connection cannot be accepted (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bound, and not serving yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    processor: Arc<Processor>,
}

impl Server {
    /// Listens. The error is the system's.
    pub async fn bind(address: SocketAddr, config: Config, plan: Plan) -> io::Result<Server> {
        Ok(Server {
            listener: TcpListener::bind(address).await?,
            processor: Arc::new(Processor {
                start: Instant::now(),
                state: Mutex::new(State {
                    model: Model::new(config),
                    plan,
                    ..State::default()
                }),
                earlier: Notify::new(),
            }),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever.
    pub async fn run(self) {
        tokio::spawn(clock(self.processor.clone()));
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) => {
                    tokio::spawn(connection(self.processor.clone(), socket));
                }
                Err(error) => {
                    let text = format!("galo-processor: a connection is not accepted: {error}");
                    // Nobody may be there to read it.
                    let _ = writeln!(io::stderr(), "{text}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(processor: Arc<Processor>, socket: TcpStream) {
    let spoil = Spoil::default();
    let stream = Stream::new(socket, spoil.clone());
    let service = service_fn(|request| routes::answer(&processor, &spoil, request));
    let served = http1::Builder::new().serve_connection(stream, service);
    // An error is the client's, or a fault of ours: the connection is closed, and that is all there is to do.
    let _ = served.await;
}

/// Finishes what is due by itself.
async fn clock(processor: Arc<Processor>) {
    loop {
        let deadline_ns = processor.state().sleep_until(processor.now_ns());
        let earlier = processor.earlier.notified();
        match deadline_ns {
            Some(deadline_ns) => {
                let deadline = processor.start + Duration::from_nanos(deadline_ns);
                // Whether woken early or late: what is due then is looked up.
                let _ = tokio::time::timeout_at(deadline.into(), earlier).await;
            }
            None => earlier.await,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Processor {
    start: Instant,
    state: Mutex<State>,
    /// The clock sleeps for too long.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct State {
    model: Model,
    plan: Plan,
    /// Payment requests since the plan was set.
    payments: u64,
    /// Replies since then.
    replies: u64,
    /// Requests so far: the next one's token.
    tokens: u64,
    callers: HashMap<u64, oneshot::Sender<Reply>>,
    /// Until when the clock sleeps; none: until it is woken.
    sleeps_until_ns: Option<u64>,
}

impl State {
    /// Tells everyone whose reply is due, but returns the one to `token`.
    fn finish(&mut self, now_ns: u64, token: Option<u64>) -> Option<Reply> {
        let mut own = None;
        while let Some((done, reply)) = self.model.take_done(now_ns) {
            if Some(done) == token {
                own = Some(reply);
            } else if let Some(caller) = self.callers.remove(&done) {
                // It may have gone in this moment.
                let _ = caller.send(reply);
            }
        }
        own
    }

    fn sleep_until(&mut self, now_ns: u64) -> Option<u64> {
        self.finish(now_ns, None);
        self.sleeps_until_ns = self.model.deadline_ns();
        self.sleeps_until_ns
    }
}

impl Processor {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Must be read with the state locked: the model's time does not go back.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).expect("it does not run for centuries")
    }

    /// The fault of the next payment request.
    fn next_fault(&self) -> Option<Fault> {
        let mut state = self.state();
        state.payments += 1;
        state.plan.fault(state.payments)
    }

    /// Whether the next reply is chunked.
    fn next_chunked(&self) -> bool {
        let mut state = self.state();
        state.replies += 1;
        state.plan.chunked(state.replies)
    }

    async fn pay(&self, payment: Payment) -> Reply {
        self.ask(|model, now_ns, token| model.pay(now_ns, token, payment))
            .await
    }

    async fn health(&self) -> Reply {
        self.ask(|model, now_ns, token| model.health(now_ns, token))
            .await
    }

    /// Hands a payment over that nobody waits for.
    fn pay_unheard(&self, payment: Payment) {
        self.begin(|model, now_ns, token| model.pay(now_ns, token, payment));
    }

    /// A request of the model, and its reply as soon as it is due. Who drops this gives up.
    async fn ask(&self, request: impl FnOnce(&mut Model, u64, u64)) -> Reply {
        let (token, receiver) = match self.begin(request) {
            Begun::Done(reply) => return reply,
            Begun::Waits(token, receiver) => (token, receiver),
        };
        let _caller = Caller {
            processor: self,
            token,
        };
        receiver.await.expect("everyone in the table is told")
    }

    fn begin(&self, request: impl FnOnce(&mut Model, u64, u64)) -> Begun {
        let mut state = self.state();
        let now_ns = self.now_ns();
        let token = state.tokens;
        state.tokens += 1;
        request(&mut state.model, now_ns, token);
        if let Some(reply) = state.finish(now_ns, Some(token)) {
            return Begun::Done(reply);
        }
        let (sender, receiver) = oneshot::channel();
        state.callers.insert(token, sender);
        let deadline_ns = state.model.deadline_ns().expect("something is to come");
        let sleeps_until_ns = state.sleeps_until_ns;
        if sleeps_until_ns.is_none_or(|until_ns| deadline_ns < until_ns) {
            state.sleeps_until_ns = Some(deadline_ns);
            self.earlier.notify_one();
        }
        Begun::Waits(token, receiver)
    }

    /// At this moment, with all that is due by now done.
    fn now<T>(&self, look: impl FnOnce(&mut Model, u64) -> T) -> T {
        let mut state = self.state();
        let now_ns = self.now_ns();
        look(&mut state.model, now_ns)
    }

    /// Follows another plan from now on, and counts from its beginning.
    fn set_plan(&self, plan: Plan) {
        let mut state = self.state();
        state.plan = plan;
        state.payments = 0;
        state.replies = 0;
    }
}

enum Begun {
    Done(Reply),
    Waits(u64, oneshot::Receiver<Reply>),
}

/// Somebody who waits for a reply; dropped when the reply is there, or when the connection is gone.
struct Caller<'a> {
    processor: &'a Processor,
    token: u64,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut state = self.processor.state();
        if state.callers.remove(&self.token).is_some() {
            let now_ns = self.processor.now_ns();
            state.model.gave_up(now_ns, self.token);
        }
    }
}
