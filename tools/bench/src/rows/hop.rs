//! What a hop adds to a request that waits for nothing else: one connection, which asks for accounts of its own core and for
//! those of the other in turn.

use std::time::Instant;

use anyhow::Result;

use super::{spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::median;
use galo_bench::client::{self, Connection, BODY};
use galo_bench::hop::Clients;
use galo_bench::server::Server;

/// Of each kind in each round, for each second of the scale.
const REQUESTS_PER_S: usize = 2_000;

impl Bench {
    pub(super) fn hop(&self) -> Result<Vec<Figure>> {
        let cores = self.galo_two_cores()?;
        let mut figures = self.hop_at(&cores, "cores")?;
        drop(cores);
        let pair = self.galo_pair()?;
        figures.extend(self.hop_at(&pair.servers[0], "nodes")?);
        Ok(figures)
    }

    /// `two`: what the two shards are at.
    fn hop_at(&self, server: &Server, two: &str) -> Result<Vec<Figure>> {
        let row = Row::Hop;
        let mut connection = Connection::open(server.address)?;
        let clients = Clients::of(server.address, |client| connection.post(client).map(drop))?;
        let mut p50_us = |client: u32| -> Result<f64> {
            let request = client::request("POST", &client::path(client), BODY);
            let times = (0..REQUESTS_PER_S * self.scale.seconds as usize).map(|_| {
                let began = Instant::now();
                connection.ask(&request)?;
                Ok(began.elapsed().as_secs_f64() * 1e6)
            });
            Ok(median(&times.collect::<Result<Vec<f64>>>()?))
        };
        p50_us(clients.own)?;
        p50_us(clients.other)?;
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for round in 0..self.scale.rounds {
            // Neither always comes first.
            if round % 2 == 0 {
                own.push(p50_us(clients.own)?);
                other.push(p50_us(clients.other)?);
            } else {
                other.push(p50_us(clients.other)?);
                own.push(p50_us(clients.own)?);
            }
        }
        let pairs = other.iter().zip(&own);
        let ratios: Vec<f64> = pairs.map(|(other, own)| other / own).collect();
        let p50 = |what: &str| format!("p50 of one connection to two {two}, {what}");
        let mut figures =
            vec![
                Figure::new(row, p50("hopping / not hopping"), median(&ratios), "×")
                    .lower_is_better()
                    .must(1.5)
                    .aim(1.2)
                    .note(spread(&ratios))
                    .samples([&other, &own]),
            ];
        for (what, p50_us) in [("hopping", &other), ("not hopping", &own)] {
            figures.push(
                Figure::new(row, p50(what), median(p50_us), "µs")
                    .lower_is_better()
                    .note(spread(p50_us)),
            );
        }
        Ok(figures)
    }
}
