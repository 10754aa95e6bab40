//! Whether replies are explained by the journals.

use galo::http::{iso8601, parse_iso8601, Round};
use galo::limits::CLOCK_APART_US;

use crate::payments::Entry;

use super::{after, Fate, Model, What};
use crate::reply::{self, Reply};
use crate::request::{Since, Tag};
use crate::trace::{Checked, Violation};
use crate::{require, violation};

impl Model {
    /// A transaction was answered with 200. `durable`: it must survive a loss of power.
    pub fn acknowledged(&mut self, tag: Tag, reply: &Reply, durable: bool) -> Checked<usize> {
        self.checked += 1;
        let (limit, balance) = reply::posted(&reply.body)?;
        let sent = &mut self.transactions[tag];
        let Fate::Applied { sequence, position } = sent.fate else {
            violation!("acknowledged, and not in the journal: {sent:?}");
        };
        let keyed = sent.transaction.key.is_some();
        require!(!sent.acknowledged || keyed, "acknowledged twice: {sent:?}");
        sent.acknowledged = true;
        let client = sent.transaction.client;
        let account = &self.accounts[&client];
        let expected = (account.limit, account.log[position].balance);
        require!(
            (limit, balance) == expected,
            "limit and balance are said to be {:?}, and are {expected:?} after {sent:?}",
            (limit, balance)
        );
        if durable {
            self.raise_floor(self.shard_of(client), sequence);
        }
        self.same_answer(tag, reply)?;
        Ok(position)
    }

    /// A transaction was answered with 422 for its amount: there was a moment when that was right.
    pub fn limited(
        &mut self,
        tag: Tag,
        reply: &Reply,
        since: &Since,
        durable: bool,
    ) -> Checked<usize> {
        self.checked += 1;
        self.refused(tag)?;
        let sent = &self.transactions[tag];
        let transaction = &sent.transaction;
        let shard = self.shard_of(transaction.client);
        if let Fate::Denied { sequence, position } = sent.fate {
            if durable {
                self.raise_floor(shard, sequence);
            }
            self.same_answer(tag, reply)?;
            return Ok(position);
        }
        require!(
            transaction.key.is_none(),
            "refused under its key, which is not in the journal: {sent:?}"
        );
        let account = &self.accounts[&transaction.client];
        let entries = account.log.iter().enumerate().skip(since.position);
        let mut refusing =
            entries.filter(|(_, e)| after(e.balance, account.limit, transaction).is_none());
        let Some((position, entry)) = refusing.next() else {
            violation!("refused with 422 though it never was out of bounds: {transaction:?}");
        };
        if durable {
            self.raise_floor(shard, entry.sequence);
        }
        Ok(position)
    }

    /// With a key every answer is the first one.
    fn same_answer(&mut self, tag: Tag, reply: &Reply) -> Checked {
        let sent = &mut self.transactions[tag];
        if sent.transaction.key.is_some() {
            let answer = (reply.status, reply.body.clone());
            let first = sent.answer.get_or_insert_with(|| answer.clone());
            require!(*first == answer, "first {first:?}, then {answer:?}");
        }
        Ok(())
    }

    /// A statement: there was a moment when that was right, between the request and now.
    pub fn stated(
        &mut self,
        client: u32,
        reply: &Reply,
        since: &Since,
        (written_ns, now_ns): (u64, u64),
        durable: bool,
    ) -> Checked<usize> {
        self.checked += 1;
        let json: serde_json::Value = serde_json::from_slice(&reply.body)
            .map_err(|error| Violation(format!("a statement that is no JSON: {error}")))?;
        let head = &json["saldo"];
        let (total, limit) = (head["total"].as_i64(), head["limite"].as_i64());
        let account = &self.accounts[&client];
        require!(limit == Some(account.limit), "a wrong limit: {json}");
        let said_at = head["data_extrato"].as_str().unwrap_or_default();
        let list = json["ultimas_transacoes"].as_array();
        let Some(list) = list else {
            violation!("a statement without its list: {json}");
        };
        let is_right = |position: usize| {
            let entry = &account.log[position];
            let statement = self.statement(account, position);
            total == Some(entry.balance)
                && list.len() == statement.len()
                && list
                    .iter()
                    .zip(&statement)
                    .all(|(found, (sent, moment_us))| {
                        let kind = [sent.kind.to_byte()];
                        let time = iso8601(*moment_us);
                        found["descricao"].as_str() == Some(&sent.description)
                            && found["valor"].as_i64() == Some(sent.amount)
                            && found["tipo"].as_str().map(str::as_bytes) == Some(&kind)
                            && found["realizada_em"].as_str().map(str::as_bytes) == Some(&time[..])
                    })
        };
        let Some(position) = (since.position..account.log.len()).find(|at| is_right(*at)) else {
            let now = account.log.last().expect("never empty");
            violation!(
                "client {client}: a statement that was never right since position {}: {json}; now {now:?}",
                since.position
            );
        };
        let said_us = parse_iso8601(said_at.as_bytes(), Round::Down);
        require!(
            said_us.is_some_and(|said_us| self.was_real(said_us, written_ns, now_ns)),
            "of another time than between {written_ns} and {now_ns} ns: {json}"
        );
        let sequence = account.log[position].sequence;
        if durable {
            self.raise_floor(self.shard_of(client), sequence);
        }
        Ok(position)
    }

    /// Whether the clock showed this at some moment between the two.
    fn was_real(&self, said_us: u64, from_ns: u64, to_ns: u64) -> bool {
        let ends = self.clocks.iter().skip(1).map(|(since_ns, _)| *since_ns);
        let ends = ends.chain([u64::MAX]);
        self.clocks
            .iter()
            .zip(ends)
            .any(|((since_ns, base_us), end_ns)| {
                let (from_ns, to_ns) = (from_ns.max(*since_ns), to_ns.min(end_ns));
                let real_us = |at_ns: u64| (base_us + (at_ns / 1_000) as i64).max(0) as u64;
                let late_us = real_us(to_ns) + CLOCK_APART_US;
                from_ns <= to_ns
                    && (real_us(from_ns).saturating_sub(CLOCK_APART_US)..=late_us)
                        .contains(&said_us)
            })
    }

    /// A reset was answered with 200: every shard has one since.
    pub fn was_reset(&mut self, since: &Since, durable: bool) -> Checked {
        self.every_shard_has(What::Reset, since, durable)
    }

    /// The same for a purge.
    pub fn was_purged(&mut self, since: &Since, durable: bool) -> Checked {
        self.every_shard_has(What::Payment(Entry::Purged), since, durable)
    }

    fn every_shard_has(&mut self, what: What, since: &Since, durable: bool) -> Checked {
        self.checked += 1;
        for shard in 0..self.shards.len() {
            let from = since.sequences[shard] as usize;
            let records = self.shards[shard].records.iter().enumerate().skip(from);
            let mut found = records.filter(|(_, (record, _))| *record == what);
            let Some((index, _)) = found.next() else {
                violation!("acknowledged, and there is no {what:?} in shard {shard}");
            };
            if durable {
                self.raise_floor(shard, index as u64 + 1);
            }
        }
        Ok(())
    }
}
