//! A processor that does what a test tells it, and writes down what it was asked and when.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(found, _)| found == name)?;
        Some(value)
    }

    /// A payment's body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn is_payment(&self) -> bool {
        self.method == "POST"
    }

    pub fn is_health(&self) -> bool {
        self.path.ends_with("/payments/service-health")
    }
}

/// What it does about it.
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

type Script = dyn Fn(&Asked, &[Asked]) -> Answer + Send + Sync;

/// See the module. It ends when this is dropped.
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    more: Condvar,
    over: AtomicBool,
}

impl Scripted {
    /// `script`: what to do about a request, told those before it. Health is answered by it, too.
    pub fn start(script: impl Fn(&Asked, &[Asked]) -> Answer + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: Mutex::default(),
            more: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.over.load(Ordering::Relaxed) {
                    break;
                }
                let of_connection = of_thread.clone();
                thread::spawn(move || of_connection.serve(&stream));
            }
        });
        Scripted { address, shared }
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
        format!("http://{}", self.address)
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The payments among it.
    pub fn payments(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(Asked::is_payment);
        asked
    }

    /// Waits until it has been asked so.
    #[track_caller]
    pub fn wait(&self, is_there: impl Fn(&[Asked]) -> bool) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap();
        let (asked, _) = (self.shared.more)
            .wait_timeout_while(asked, PATIENCE, |asked| !is_there(asked))
            .unwrap();
        assert!(is_there(&asked), "it was asked {asked:?}");
        asked.clone()
    }

    /// Waits for so many payments, first or again.
    #[track_caller]
    pub fn wait_for_payments(&self, count: usize) -> Vec<Asked> {
        let payments = |asked: &[Asked]| asked.iter().filter(|it| it.is_payment()).count();
        self.wait(|asked| payments(asked) >= count);
        self.payments()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Ok(asked) = read(&mut reader) {
            let answer = {
                let mut all = self.asked.lock().unwrap();
                let answer = (self.script)(&asked, &all);
                all.push(asked);
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
            if (&*stream).write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn reply(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Asked> {
    let mut line = || {
        let mut line = String::new();
        match reader.read_line(&mut line)? {
            0 => Err(std::io::Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let first = line()?;
    let at = Instant::now();
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ').map(str::to_owned);
    Ok(Asked {
        at,
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers,
        body: String::from_utf8(body).expect("text"),
    })
}
