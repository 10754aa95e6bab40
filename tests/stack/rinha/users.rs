//! Users, more and more of them, each of whom pays and then waits a second. All in one thread: it is to
//! take as little as possible from what it measures.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::totals::ms_since;
use super::Plan;
use galo_testkit::{new_id, payment, Address, PaymentLedger, Random, Reply};

/// Each payment's.
const AMOUNT: &str = "19.90";
/// From a reply to the user's next payment.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at who is to begin.
const LOOK: Duration = Duration::from_millis(1);

/// What came of it.
pub struct Users {
    pub book: PaymentLedger,
    /// Of calls that succeeded.
    pub times_ms: Vec<f64>,
    /// What the other ones were told.
    pub failed: Vec<String>,
}

struct User {
    /// Kept from payment to payment.
    socket: Option<TcpStream>,
    doing: Doing,
    input: Vec<u8>,
}

enum Doing {
    /// Until then.
    Pause(Instant),
    /// Since then, for a reply to this payment.
    Wait(Instant, String),
}

/// From one user at the beginning to `most` at the end.
pub fn pay(address: &Address, most: usize, begin: Instant, plan: Plan) -> Users {
    let mut random = Random::from_time();
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let mut seen = Users {
        book: PaymentLedger::default(),
        times_ms: Vec::new(),
        failed: Vec::new(),
    };
    let mut users: Vec<User> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    loop {
        let now = Instant::now();
        let part = now.duration_since(begin).as_secs_f64() / plan.length.as_secs_f64();
        let is_over = part >= 1.0;
        let wanted = 1 + ((most - 1) as f64 * part.min(1.0)) as usize;
        while users.len() < wanted && !is_over {
            users.push(User::new(now));
        }
        for (number, user) in users.iter_mut().enumerate() {
            match &user.doing {
                Doing::Pause(until) if *until <= now && !is_over => {
                    let id = new_id(&mut random);
                    seen.book.sends(&id, AMOUNT);
                    user.begin(id, address, &epoll, number as u64, &mut seen);
                }
                Doing::Wait(since, _) if now.duration_since(*since) > plan.reply_max => {
                    user.fail("time-out".to_owned(), &mut seen);
                }
                _ => {}
            }
        }
        let waits = |user: &User| matches!(user.doing, Doing::Wait(..));
        if is_over && !users.iter().any(waits) {
            return seen;
        }
        let timeout = EpollTimeout::try_from(LOOK).expect("a short time");
        let ready = epoll.wait(&mut events, timeout).expect("epoll");
        for event in &events[..ready] {
            users[event.data() as usize].receive(&mut seen);
        }
    }
}

impl User {
    fn new(now: Instant) -> User {
        User {
            socket: None,
            doing: Doing::Pause(now),
            input: Vec::new(),
        }
    }

    fn begin(
        &mut self,
        id: String,
        address: &Address,
        epoll: &Epoll,
        number: u64,
        seen: &mut Users,
    ) {
        let request = payment(&id, AMOUNT);
        let connect = || -> std::io::Result<TcpStream> {
            let socket = TcpStream::connect(address.tcp())?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
            Ok(socket)
        };
        let socket = match self.socket.take() {
            Some(socket) => Ok(socket),
            None => connect(),
        };
        self.doing = Doing::Wait(Instant::now(), id);
        // A request is shorter than any socket's buffer.
        let sent = socket.and_then(|mut socket| socket.write_all(&request).map(|()| socket));
        match sent {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => self.fail(error.to_string(), seen),
        }
    }

    /// The connection has something to say.
    fn receive(&mut self, seen: &mut Users) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let mut bytes = [0; 4096];
        match socket.read(&mut bytes) {
            Ok(0) => self.fail("the end of the stream".to_owned(), seen),
            Ok(count) => {
                self.input.extend_from_slice(&bytes[..count]);
                self.reply(seen);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.fail(error.to_string(), seen),
        }
    }

    fn reply(&mut self, seen: &mut Users) {
        let reply = match Reply::read(&self.input, false) {
            Ok(Some(reply)) => reply,
            Ok(None) => return,
            Err(error) => panic!("{error}"),
        };
        self.input.clear();
        let doing = std::mem::replace(&mut self.doing, Doing::Pause(Instant::now() + PAUSE));
        let Doing::Wait(since, id) = doing else {
            panic!("a reply that nobody waits for: {reply:?}");
        };
        if (200..300).contains(&reply.status) {
            seen.times_ms.push(ms_since(since));
            seen.book.acknowledged(&id);
        } else {
            seen.failed
                .push(format!("{} {}", reply.status, reply.text()));
        }
    }

    /// The connection is of no use any more; a payment that waited has no reply.
    fn fail(&mut self, why: String, seen: &mut Users) {
        // Closing it takes it from the epoll set.
        self.socket = None;
        self.input.clear();
        if matches!(self.doing, Doing::Wait(..)) {
            self.doing = Doing::Pause(Instant::now() + PAUSE);
            seen.failed.push(why);
        }
    }
}
