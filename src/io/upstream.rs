//! The addresses of an upstream, which its name stands for and which may change while the server runs.

use crate::limits::RESOLVE_NS_MIN;
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// An upstream's name and addresses. Shared by all cores; asking the resolver (getaddrinfo(3)) blocks, so a thread of its
/// own does that: [`resolve`](Self::resolve).
#[derive(Debug)]
pub struct Upstream {
    /// The name in log lines.
    kind: &'static str,
    host: String,
    port: u16,
    known: Mutex<Known>,
    /// The thread that looks the name up; an address needs none.
    resolver: OnceLock<Thread>,
}

#[derive(Debug)]
struct Known {
    /// In the resolver's order.
    addresses: Vec<SocketAddr>,
    /// Which of them is in use.
    current: usize,
    /// The name is to be looked up (again).
    stale: bool,
    /// The last logged failure to find the name, until it is found.
    lookup_logged: Option<String>,
    /// The last logged failure to connect, until a connection is made.
    connect_logged: Option<Errno>,
}

impl Upstream {
    /// `host`: a name or an address, an IPv6 one without its brackets.
    pub fn new(host: &str, port: u16) -> Upstream {
        let address = host.parse::<IpAddr>().ok();
        Upstream {
            kind: "upstream",
            host: host.to_owned(),
            port,
            known: Mutex::new(Known {
                stale: address.is_none(),
                addresses: Vec::from_iter(address.map(|address| SocketAddr::new(address, port))),
                current: 0,
                lookup_logged: None,
                connect_logged: None,
            }),
            resolver: OnceLock::new(),
        }
    }

    /// The log calls it this, and not an upstream.
    pub fn with_kind(self, kind: &'static str) -> Upstream {
        Upstream { kind, ..self }
    }

    /// Starts the thread that looks names up, if there is any to look up. Without it nobody does.
    pub fn resolve(upstreams: &[Arc<Upstream>]) -> io::Result<()> {
        let look_up = |host: &str, port| (host, port).to_socket_addrs().map(Vec::from_iter);
        Upstream::resolve_with(upstreams, look_up)
    }

    fn resolve_with(
        upstreams: &[Arc<Upstream>],
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<()> {
        let names = upstreams.iter().filter(|upstream| upstream.known().stale);
        let names: Vec<Arc<Upstream>> = names.cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let run = {
            let names = names.clone();
            move || loop {
                while !names.iter().any(|name| name.known().stale) {
                    std::thread::park();
                }
                for name in &names {
                    // Before the answer: what fails while it is looked up asks for the next.
                    if std::mem::take(&mut name.known().stale) {
                        name.found(look_up(&name.host, name.port));
                    }
                }
                std::thread::sleep(Duration::from_nanos(RESOLVE_NS_MIN));
            }
        };
        let thread = std::thread::Builder::new().name("galo-names".to_owned());
        let thread = thread.spawn(run)?;
        for name in names {
            // Whoever failed before it was there has left the name stale.
            let _ = name.resolver.set(thread.thread().clone());
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics under it")
    }

    fn found(&self, answer: io::Result<Vec<SocketAddr>>) {
        let mut known = self.known();
        let addresses = match answer {
            Ok(addresses) if !addresses.is_empty() => addresses,
            nothing => {
                // Known addresses stay: it may be the resolver that is gone.
                known.stale |= known.addresses.is_empty();
                let text = match nothing {
                    Ok(_) => "no addresses".to_owned(),
                    Err(error) => error.to_string(),
                };
                if known.lookup_logged.as_ref() != Some(&text) {
                    log::warn!("{} {self} is not found: {text}", self.kind);
                    known.lookup_logged = Some(text);
                }
                return;
            }
        };
        known.lookup_logged = None;
        let is_news = addresses
            .iter()
            .any(|address| !known.addresses.contains(address));
        if is_news {
            let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            log::info!("{} {self} is at {}", self.kind, all.join(", "));
        }
        let current = known.addresses.get(known.current);
        known.current = addresses
            .iter()
            .position(|address| Some(address) == current)
            .unwrap_or(0);
        known.addresses = addresses;
    }

    /// Where to connect; `None`: not known yet. Does not block.
    pub fn address(&self) -> Option<SocketAddr> {
        let known = self.known();
        known.addresses.get(known.current).copied()
    }

    /// A connection to this address could not be made: its next address is tried, and its name is looked
    /// up again, soon. Does not block.
    pub fn failed(&self, address: SocketAddr, errno: Errno) {
        let mut known = self.known();
        // Of many that fail together, the first moves on.
        if known.addresses.get(known.current) == Some(&address) {
            known.current = (known.current + 1) % known.addresses.len();
        }
        // It is tried again and again; the log is not to tell of each time.
        if known.connect_logged.replace(errno) != Some(errno) {
            let (kind, cause) = (self.kind, errno.desc());
            log::warn!("no connection to {kind} {self} at {address}: {cause}");
        }
        if let Some(resolver) = self.resolver.get() {
            known.stale = true;
            drop(known);
            resolver.unpark();
        }
    }

    /// A connection to one of the addresses was made.
    pub fn works(&self) {
        self.known().connect_logged = None;
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn until(is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_address_is_known_at_once_and_for_good() {
        for (host, address) in [("127.0.0.9", "127.0.0.9:80"), ("::1", "[::1]:80")] {
            let upstream = Arc::new(Upstream::new(host, 80));
            assert_eq!(upstream.address(), Some(at(address)));
            assert_eq!(upstream.to_string(), address);
            let nobody = |_: &str, _| -> io::Result<Vec<SocketAddr>> { unreachable!() };
            Upstream::resolve_with(std::slice::from_ref(&upstream), nobody).unwrap();
            upstream.failed(at(address), Errno::ECONNREFUSED);
            assert_eq!(upstream.address(), Some(at(address)));
            assert!(upstream.resolver.get().is_none(), "no thread for it");
        }
    }

    #[test]
    fn a_name_is_looked_up() {
        let upstream = Arc::new(Upstream::new("localhost", 81));
        assert_eq!(upstream.address(), None);
        assert_eq!(upstream.to_string(), "localhost:81");
        Upstream::resolve(std::slice::from_ref(&upstream)).unwrap();
        until(|| upstream.address().is_some());
        let address = upstream.address().unwrap();
        assert!(address.ip().is_loopback() && address.port() == 81);
    }

    #[test]
    fn a_name_is_looked_up_until_it_is_found_and_again_when_it_failed() {
        let [a, b, c] = ["10.0.0.1:7", "10.0.0.2:7", "10.0.0.3:7"].map(at);
        let (asked, times) = mpsc::channel();
        let (answer, answers) = mpsc::channel::<io::Result<Vec<SocketAddr>>>();
        let upstream = Arc::new(Upstream::new("server", 7));
        let look_up = move |host: &str, port| {
            assert_eq!((host, port), ("server", 7));
            asked.send(Instant::now()).unwrap();
            answers.recv().unwrap()
        };
        Upstream::resolve_with(std::slice::from_ref(&upstream), look_up).unwrap();
        let not_there = || Err(io::Error::other("nobody knows"));

        let first = times.recv_timeout(PATIENCE).unwrap();
        answer.send(not_there()).unwrap();
        let second = times.recv_timeout(PATIENCE).unwrap();
        assert!(second - first >= Duration::from_nanos(RESOLVE_NS_MIN));
        assert_eq!(upstream.address(), None);
        answer.send(Ok(vec![a, b])).unwrap();
        until(|| upstream.address() == Some(a));

        // The next address after a failure, once for all that failed at it.
        upstream.failed(a, Errno::ECONNREFUSED);
        upstream.failed(a, Errno::ECONNREFUSED);
        assert_eq!(upstream.address(), Some(b));
        let third = times.recv_timeout(PATIENCE).unwrap();
        assert!(third - second >= Duration::from_nanos(RESOLVE_NS_MIN));
        // One that is still among them stays, wherever it stands; none is forgotten for want of an answer.
        answer.send(Ok(vec![c, b])).unwrap();
        until(|| upstream.known().addresses == [c, b]);
        assert_eq!(upstream.address(), Some(b));
        upstream.failed(b, Errno::ETIMEDOUT);
        assert_eq!(upstream.address(), Some(c));
        times.recv_timeout(PATIENCE).unwrap();
        answer.send(not_there()).unwrap();
        until(|| upstream.known().lookup_logged.is_some());
        assert_eq!(upstream.address(), Some(c));
        // Nobody asks again unless it fails.
        upstream.works();
        let quiet = Duration::from_nanos(RESOLVE_NS_MIN) * 3 / 2;
        assert!(times.recv_timeout(quiet).is_err());
        upstream.failed(c, Errno::EHOSTUNREACH);
        times.recv_timeout(PATIENCE).unwrap();
        answer.send(Ok(vec![a])).unwrap();
        until(|| upstream.address() == Some(a));
    }
}
