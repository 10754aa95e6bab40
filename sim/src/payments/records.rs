//! What journals say of payments, and whether they may.

use galo::payments::{PaymentId, Processor};
use galo::shard::journal::PaymentEvent;

use super::book::State;
use super::Book;
use crate::trace::Checked;
use crate::{require, violation};

/// What a record of a journal says of payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Accepted {
        id: u128,
        cents: u64,
    },
    Bound {
        id: u128,
        to: Processor,
        requested_us: u64,
    },
    Settled {
        id: u128,
        number: u64,
        cents: u64,
        by: Processor,
        requested_us: u64,
    },
    /// All of the shard; by a reset, too.
    Purged,
}

impl From<PaymentEvent> for Entry {
    fn from(event: PaymentEvent) -> Entry {
        match event {
            PaymentEvent::Accepted { id, cents } => Entry::Accepted { id: id.0, cents },
            PaymentEvent::Bound {
                id,
                to,
                requested_us,
            } => Entry::Bound {
                id: id.0,
                to,
                requested_us,
            },
            PaymentEvent::Settled { number, settled } => Entry::Settled {
                id: settled.id.0,
                number,
                cents: settled.cents,
                by: settled.by,
                requested_us: settled.requested_us,
            },
            PaymentEvent::Purged { .. } => Entry::Purged,
        }
    }
}

impl Entry {
    fn id(&self) -> Option<u128> {
        match *self {
            Entry::Accepted { id, .. } | Entry::Bound { id, .. } | Entry::Settled { id, .. } => {
                Some(id)
            }
            Entry::Purged => None,
        }
    }
}

impl Book {
    /// Whether a record that nobody has seen before may be there.
    pub fn check(&mut self, shard: usize, entry: &Entry) -> Checked {
        let Some(id) = entry.id() else {
            return Ok(());
        };
        let tag = match (self.by_id.get(&id), entry) {
            (Some(tag), _) => *tag,
            (None, Entry::Accepted { cents, .. }) => {
                let Some(tag) = self.by_cents.get(cents).copied() else {
                    violation!("accepted, and nobody asked for it: {entry:?}");
                };
                let known = &mut self.known[tag];
                require!(
                    known.id.is_none(),
                    "asked for once, accepted twice: {known:?}, {entry:?}"
                );
                known.id = Some(id);
                self.by_id.insert(id, tag);
                tag
            }
            (None, _) => violation!("nobody asked for it: {entry:?}"),
        };
        let shards = self.shards();
        require!(
            PaymentId(id).shard(shards) == shard,
            "shard {shard} has another's payment: {entry:?}"
        );
        let known = &self.known[tag];
        match *entry {
            Entry::Accepted { cents, .. } => {
                require!(
                    known.possible > 0 && known.amounts.contains(&cents),
                    "accepted, and nobody asks for it: {known:?}, {cents} cents"
                );
                require!(
                    matches!(known.state, State::None | State::Purged),
                    "accepted twice: {known:?}"
                );
            }
            Entry::Bound { to, .. } => {
                self.is_late(shard, known)?;
                require!(
                    matches!(known.state, State::Free | State::Bound { .. }),
                    "bound, and not open: {known:?}, {entry:?}"
                );
                let holder = Processor::ALL
                    .into_iter()
                    .find(|by| self.stored[*by as usize].contains_key(&id));
                if let (Some(holder), false) = (holder, known.doubtful) {
                    violation!("{entry:?}, and {holder:?} has it: {known:?}");
                }
                if to == Processor::Fallback {
                    self.is_dear(known)?;
                }
            }
            Entry::Settled {
                cents,
                by,
                requested_us,
                number,
                ..
            } => {
                require!(
                    number == self.settled[shard],
                    "settled as number {number}, and {} are: {entry:?}",
                    self.settled[shard]
                );
                require!(
                    matches!(known.state, State::Bound { to, .. } if to == by),
                    "settled with {by:?}, and not bound to it: {known:?}"
                );
                let Some(stored) = self.stored[by as usize].get(&id) else {
                    violation!("settled, and {by:?} does not have it: {known:?}");
                };
                let same = stored.requested_us == requested_us || known.doubtful;
                require!(
                    cents == known.cents && same,
                    "settled as {entry:?}, and {by:?} has {stored:?}"
                );
            }
            Entry::Purged => {}
        }
        Ok(())
    }

    /// A record of a shard's journal, which was checked.
    pub fn apply(&mut self, shard: usize, sequence: u64, entry: &Entry) {
        let Some(id) = entry.id() else {
            for known in self.of_shard_mut(shard) {
                if known.state != State::None {
                    known.state = State::Purged;
                }
            }
            return;
        };
        let known = &mut self.known[self.by_id[&id]];
        match *entry {
            Entry::Accepted { cents, .. } => {
                known.doubtful |= known.state == State::Purged;
                known.state = State::Free;
                known.cents = cents;
                // Or it is only entered again.
                if known.accepted != sequence {
                    known.accepted_ns = self.now_ns;
                    known.ageless = false;
                }
                known.accepted = sequence;
            }
            Entry::Bound {
                to, requested_us, ..
            } => {
                known.state = State::Bound { to, requested_us };
                if known.bound != sequence {
                    known.bound_ns = self.now_ns;
                }
                known.bound = sequence;
            }
            Entry::Settled {
                by, requested_us, ..
            } => {
                known.state = State::Settled { by, requested_us };
                self.watched[by as usize].took(known.bound_ns, self.now_ns, self.plan.as_ref());
                self.settles += 1;
                known.settled = self.settles;
                self.settled[shard] += 1;
            }
            Entry::Purged => {}
        }
    }

    /// A shard's journal is entered again from its beginning.
    pub fn clear(&mut self, shard: usize) {
        self.settled[shard] = 0;
        for known in self.of_shard_mut(shard) {
            known.state = State::None;
            known.settled = 0;
        }
    }

    /// A crash took this record. Only losses of power and failed syncs take any; with durability `disk`
    /// none on which something rests that left the machine (see [`arrived`](Self::arrived)). With
    /// durability `process` what is lost may be that a payment went to a processor: it may then be paid
    /// twice.
    pub fn lost(&mut self, entry: &Entry) {
        if let Some(known) = entry.id().and_then(|id| self.by_id.get(&id)) {
            let known = &mut self.known[*known];
            known.doubtful |= !matches!(entry, Entry::Settled { .. });
        }
    }

    /// What must survive a loss of power.
    pub fn set_floor(&mut self, shard: usize, floor: u64) {
        self.floors[shard] = floor;
    }
}
