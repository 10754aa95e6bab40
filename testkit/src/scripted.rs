//! A payment processor that does what a test tells it, and keeps what it was asked and when.

use std::io::{BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::http::reply;
use crate::{Request, Service, Socket, PATIENCE};

impl Request {
    pub fn is_payment(&self) -> bool {
        self.method == "POST"
    }

    pub fn is_health(&self) -> bool {
        self.path.ends_with("/payments/service-health")
    }
}

/// What it does about a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Replies: a status, more headers (each line with its end), a body.
    Reply(u16, &'static str, String),
    /// The same after a while.
    Late(Duration, u16),
    /// Ends the connection without a word.
    Close,
    /// Says nothing for as long as it lives.
    Hang,
}

impl Answer {
    /// As a processor that has carried it out.
    pub fn done() -> Answer {
        Answer::Reply(200, "", r#"{"message":"done"}"#.to_owned())
    }

    pub fn status(status: u16) -> Answer {
        Answer::Reply(status, "", String::new())
    }
}

type Script = dyn Fn(&Request, &[Request]) -> Answer + Send + Sync;

/// See the module. It ends when this is dropped.
pub struct Scripted {
    service: Service,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    more: Condvar,
}

impl Scripted {
    /// `script`: what to do about a request, given those before it. Health is answered by it, too.
    pub fn start(
        script: impl Fn(&Request, &[Request]) -> Answer + Send + Sync + 'static,
    ) -> Scripted {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: Mutex::default(),
            more: Condvar::new(),
        });
        let of_service = shared.clone();
        let service = Service::start(move |socket| of_service.serve(socket));
        Scripted { service, shared }
    }

    /// One that does nothing but its work.
    pub fn good() -> Scripted {
        Scripted::start(|asked, _| match asked.is_health() {
            true => Scripted::healthy(),
            false => Answer::done(),
        })
    }

    pub fn healthy() -> Answer {
        let body = r#"{"failing":false,"minResponseTime":0}"#;
        Answer::Reply(200, "", body.to_owned())
    }

    pub fn url(&self) -> String {
        self.service.url()
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.service.address().to_string()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The payments among its requests.
    pub fn payments(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(Request::is_payment);
        requests
    }

    /// Waits until its requests are so.
    #[track_caller]
    pub fn wait(&self, is_so: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap();
        let (requests, _) = (self.shared.more)
            .wait_timeout_while(requests, PATIENCE, |requests| !is_so(requests))
            .unwrap();
        assert!(is_so(&requests), "its requests: {requests:?}");
        requests.clone()
    }

    /// Waits for so many payments, first or again.
    #[track_caller]
    pub fn wait_for_payments(&self, count: usize) -> Vec<Request> {
        let payments = |requests: &[Request]| requests.iter().filter(|it| it.is_payment()).count();
        self.wait(|requests| payments(requests) >= count);
        self.payments()
    }
}

impl Shared {
    fn serve(&self, socket: &Socket) {
        let mut reader = BufReader::new(socket);
        while let Ok(request) = Request::read(&mut reader) {
            let answer = {
                let mut requests = self.requests.lock().unwrap();
                let answer = (self.script)(&request, &requests);
                requests.push(request);
                answer
            };
            self.more.notify_all();
            let reply = match answer {
                Answer::Reply(status, headers, body) => reply(status, headers, &body),
                Answer::Late(delay, status) => {
                    thread::sleep(delay);
                    reply(status, "", "{}")
                }
                Answer::Close => return,
                Answer::Hang => {
                    // Until the other side gives up, or ends.
                    let _ = reader.read_to_end(&mut Vec::new());
                    return;
                }
            };
            let mut socket = socket;
            if socket.write_all(&reply).is_err() {
                return;
            }
        }
    }
}
