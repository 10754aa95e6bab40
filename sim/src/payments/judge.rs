//! Whether replies about payments agree with the book.

use galo::limits::PAY_NOW_NS_MAX;
use galo::payments::Processor;

use super::book::State;
use super::{wire, Book, Tag};
use crate::reply::Reply;
use crate::trace::{Checked, Violation};
use crate::{require, violation};

fn json(reply: &Reply) -> Checked<serde_json::Value> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| Violation(format!("a body that is no JSON: {error}")))
}

impl Book {
    /// A payment with an id was answered. Its shard and record, if it must be there.
    pub fn answered(
        &mut self,
        tag: Tag,
        cents: u64,
        reply: &Reply,
    ) -> Checked<Option<(usize, u64)>> {
        self.checked += 1;
        let known = &mut self.known[tag];
        // Its acceptance may have been forgotten since, but was there.
        let there = known.state != State::None || known.doubtful;
        match reply.status {
            200 | 202 => {
                require!(there, "acknowledged, and not in the journal: {known:?}");
                require!(
                    known.cents == cents || known.doubtful,
                    "acknowledged with {cents} cents: {known:?}"
                );
                known.acknowledged = true;
                Ok(self.place(tag))
            }
            422 => {
                require!(
                    known.amounts.len() > 1 && there,
                    "refused, and asked for with one amount only: {known:?}"
                );
                require!(
                    known.cents != cents || known.doubtful,
                    "refused for its amount, which is right: {known:?}"
                );
                self.refused(tag)?;
                Ok(self.place(tag))
            }
            _ => violation!("a wrong status"),
        }
    }

    /// One without an id was; `waited_ns` after it had reached a server, which stops, if it is `closing`.
    pub fn answered_now(
        &mut self,
        tag: Tag,
        reply: &Reply,
        waited_ns: u64,
        closing: bool,
    ) -> Checked<Option<(usize, u64)>> {
        self.checked += 1;
        let body = json(reply)?;
        let known = &self.known[tag];
        let id = body["id"].as_str().and_then(galo_testkit::parse_id);
        let status = body["status"].as_str().unwrap_or_default();
        require!(
            id.is_some() && (id == known.id || known.doubtful),
            "answered with another id: {known:?}"
        );
        let text = String::from_utf8_lossy(&reply.body);
        let cents = wire::decimal_member(&text, "\"amount\":")?;
        require!(
            cents == u128::from(known.amounts[0]),
            "answered with another amount: {known:?}"
        );
        match reply.status {
            200 => {
                require!(status == "processed", "200, and not processed");
                let by = processor(&body["processor"])?;
                let id = id.expect("just seen");
                require!(
                    self.stored[by as usize].contains_key(&id),
                    "called processed by {by:?}, which does not have it: {known:?}"
                );
            }
            202 => {
                require!(status == "pending", "202, and not pending");
                require!(
                    waited_ns >= PAY_NOW_NS_MAX || closing,
                    "called pending after {waited_ns} ns"
                );
            }
            _ => violation!("a wrong status"),
        }
        self.known[tag].acknowledged = true;
        Ok(self.place(tag))
    }

    /// Somebody was told where a payment stands; `since`: where it stood when he asked.
    pub fn shown(&mut self, tag: Tag, since: State, reply: &Reply) -> Checked {
        self.checked += 1;
        let known = &self.known[tag];
        if known.doubtful {
            return Ok(());
        }
        if reply.status == 404 {
            let may_be = |state| matches!(state, State::None | State::Purged);
            require!(
                may_be(since) || may_be(known.state),
                "called unknown, and was {since:?}: {known:?}"
            );
            return Ok(());
        }
        require!(reply.status == 200, "a wrong status");
        let body = json(reply)?;
        require!(known.state != State::None, "shown, and unknown: {known:?}");
        let id = known.id.expect("it is asked for by it");
        let processed = body["status"].as_str() == Some("processed");
        if let State::Settled { .. } = since {
            require!(
                processed || known.state == State::Purged,
                "called {body}, and was {since:?}"
            );
        }
        if processed {
            let by = processor(&body["processor"])?;
            let Some(stored) = self.stored[by as usize].get(&id) else {
                violation!("called processed by {by:?}, which does not have it: {known:?}");
            };
            let at = body["requested_at"]
                .as_str()
                .and_then(galo_testkit::parse_time);
            require!(
                at == Some(stored.requested_us),
                "called processed as {body}, and stored as {stored:?}"
            );
        }
        Ok(())
    }

    /// The shard and the record of its acceptance.
    fn place(&self, tag: Tag) -> Option<(usize, u64)> {
        let known = &self.known[tag];
        let id = known.id.filter(|_| !known.doubtful)?;
        let open = !matches!(known.state, State::None | State::Purged);
        let shard = galo::payments::PaymentId(id).shard(self.shards());
        open.then_some((shard, known.accepted))
    }
}

fn processor(value: &serde_json::Value) -> Checked<Processor> {
    let name = value.as_str().unwrap_or_default();
    let found = Processor::ALL.into_iter().find(|it| it.name() == name);
    found.ok_or_else(|| Violation(format!("no processor is called {value}")))
}
