//! Clients whose balances tell how often each of their transactions was applied.

use std::io::{self, ErrorKind};

use crate::{get, transaction, Address, Connection, Server};

/// One of up to four writers of one client: each credits a power of two of its own, so that the
/// balance tells how often each of them was applied.
#[derive(Clone, Debug)]
pub struct Writer {
    pub client: u32,
    number: u32,
    /// Replies of 200.
    pub acknowledged: u64,
    /// One is sent, and not answered.
    pub in_flight: bool,
}

/// Bits of the balance for each writer.
const BITS: u32 = 15;
const NUMBERS: u32 = 4;

impl Writer {
    pub fn new(client: u32, number: u32) -> Writer {
        assert!(number < NUMBERS);
        Writer {
            client,
            number,
            acknowledged: 0,
            in_flight: false,
        }
    }

    /// `count` writers over clients 1 to 5.
    pub fn several(count: u32) -> Vec<Writer> {
        (0..count)
            .map(|index| Writer::new(1 + index % 5, index / 5))
            .collect()
    }

    /// Writes on one connection until `go_on` says no, which it is asked after each reply, or the
    /// connection ends. What ended it, if not `go_on`.
    pub fn run(
        &mut self,
        address: &Address,
        mut go_on: impl FnMut(&Writer) -> bool,
    ) -> io::Result<()> {
        let mut connection = Connection::open(address)?;
        loop {
            self.in_flight = true;
            connection.try_send(&self.request())?;
            let reply = connection.try_reply()?;
            assert_eq!(reply.status, 200, "{reply:?}");
            self.in_flight = false;
            self.acknowledged += 1;
            if reply.header("connection") == Some("close") {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if !go_on(self) {
                return Ok(());
            }
        }
    }

    /// Whether the balance can take another of its transactions.
    pub fn has_room(&self) -> bool {
        self.acknowledged + 2 < 1 << BITS
    }

    /// The next to be sent.
    pub fn request(&self) -> Vec<u8> {
        assert!(self.has_room(), "the balance has no room");
        let amount = 1 << (BITS * self.number);
        let description = format!("{}n{}", self.number, self.acknowledged + 1);
        transaction(self.client, 'c', amount, &description)
    }

    /// How often each writer of a client was applied: what was acknowledged, once each, and of what
    /// was in flight, the one that each may have had, or nothing. Takes it over as the truth.
    #[track_caller]
    pub fn settle(writers: &mut [Writer], server: &Server) {
        Writer::settle_at(writers, server.address());
    }

    /// The same by address.
    #[track_caller]
    pub fn settle_at(writers: &mut [Writer], address: &Address) {
        let mut connection = Connection::open(address).expect("a connection");
        for client in 1..=5 {
            let reply = connection.ask(&get(&format!("/clientes/{client}/extrato")));
            let statement = reply.statement();
            let of_client = writers.iter_mut().filter(|writer| writer.client == client);
            let mut rest = statement.total as u64;
            for writer in of_client {
                let applied = (rest >> (BITS * writer.number)) & ((1 << BITS) - 1);
                rest -= applied << (BITS * writer.number);
                let most = writer.acknowledged + u64::from(writer.in_flight);
                assert!(
                    (writer.acknowledged..=most).contains(&applied),
                    "{applied} applied of {writer:?}; {statement:?}"
                );
                writer.acknowledged = applied;
                writer.in_flight = false;
                // Its transactions in the statement, newest first: the last of all that it has.
                let prefix = format!("{}n", writer.number);
                let own = statement
                    .transactions
                    .iter()
                    .filter_map(|listed| listed.description.strip_prefix(&prefix)?.parse().ok());
                let own: Vec<u64> = own.collect();
                let expected: Vec<u64> = (1..=applied).rev().take(own.len()).collect();
                assert_eq!(own, expected, "{writer:?}; {statement:?}");
            }
            assert_eq!(rest, 0, "nobody wrote this; {statement:?}");
        }
    }
}
