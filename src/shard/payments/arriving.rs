//! Queued payments that recovery has read, and not yet looked for among the others.
//!
//! Each id must be looked up, and put into an index of megabytes at a place that is as good as random: one by one,
//! each costs a cache miss or two. So recovery collects many and handles them in the order of their places, which
//! walks the memory from one end to the other. Until then they are in the queue, but not in its index.
//!
//! No duplicate is missed by that. Only records of other kinds make payments leave memory, and before such a record
//! is applied, all collected payments are looked up. There is one exception: the first payment of the queue may be
//! bound meanwhile, unless a settled payment has its id. It moves to the table of payments in flight, where the
//! look-up finds it, and no other payment with its id can be bound before it is settled.

use super::queue::{QueuedPayment, TOGETHER};
use super::Payments;
use crate::limits::{PAYMENTS_ARRIVING_MAX, PAYMENTS_OPEN_MAX};
use crate::payments::PaymentId;

/// Queued payments that are not looked for yet.
#[derive(Default)]
pub struct Arriving {
    list: Vec<Arrival>,
    /// The origin of the first one that was there already.
    twice: Option<u64>,
    /// About where the last one comes from; 0: that is not known.
    end: u64,
}

struct Arrival {
    hash: u64,
    /// Where it comes from, for whoever asks which one it was; ascending.
    origin: u64,
    /// How many positions behind the first one of the list.
    behind: u32,
    /// In the index, as of when the list is sorted.
    place: u32,
}

const _: () = assert!(size_of::<Arrival>() == 24);

impl Payments {
    /// Queues a payment that recovery has read. `Err`: as [`arrived`](Self::arrived).
    pub(super) fn arrive(&mut self, entry: QueuedPayment, origin: u64) -> Result<(), u64> {
        let hash = self.hasher.hash(entry.id);
        let behind = self.queue.push_unindexed(entry);
        self.arriving.list.push(Arrival {
            hash,
            origin,
            behind,
            place: 0,
        });
        match self.arriving.list.len() {
            PAYMENTS_ARRIVING_MAX => self.arrived(),
            _ => Ok(()),
        }
    }

    /// Some will arrive, the last one from about there.
    pub(in crate::shard) fn will_arrive(&mut self, end: u64) {
        self.arriving.end = end;
    }

    /// Looks for all that have arrived, and puts them into the index. `Err`: some were there already, queued or
    /// not; the origin of the first.
    pub(in crate::shard) fn arrived(&mut self) -> Result<(), u64> {
        if self.arriving.list.is_empty() {
            return self.arriving.twice.map_or(Ok(()), Err);
        }
        let Arriving {
            mut list,
            twice,
            end,
        } = std::mem::take(&mut self.arriving);
        // How many lists like this one may be on their way: the index grows once for all of them.
        let ahead = match (list.first(), list.last()) {
            (Some(first), Some(last)) if list.len() == PAYMENTS_ARRIVING_MAX => {
                end.saturating_sub(last.origin) / (last.origin - first.origin + 1)
            }
            _ => 0,
        };
        let lists = (PAYMENTS_OPEN_MAX / PAYMENTS_ARRIVING_MAX).min(1 + ahead as usize);
        let begin = self.queue.indexed();
        let position = |arrival: &Arrival| begin + u64::from(arrival.behind);
        list.retain(|arrival| !self.queue.has_left(position(arrival)));
        let hashes = list.iter().map(|arrival| arrival.hash);
        self.queue.reserve(hashes, lists);
        for arrival in &mut list {
            arrival.place = self.queue.place(arrival.hash);
        }
        list.sort_unstable_by_key(|arrival| (arrival.place, arrival.behind));
        let mut first = twice;
        for some in list.chunks(TOGETHER) {
            // In this order the ids lie anywhere in memory.
            let mut ids = [PaymentId(0); TOGETHER];
            for (id, arrival) in ids.iter_mut().zip(some) {
                *id = self.queue.get(position(arrival)).id;
            }
            for (id, arrival) in ids.into_iter().zip(some) {
                let hash = arrival.hash;
                let is_there = self.queue.find_hashed(id, hash).is_some();
                match is_there || self.is_in_flight_or_settled(id, hash) {
                    false => self.queue.index(position(arrival), hash),
                    true => first = Some(first.unwrap_or(u64::MAX).min(arrival.origin)),
                }
            }
        }
        self.queue.set_indexed();
        list.clear();
        self.arriving = Arriving {
            list,
            twice: first,
            end,
        };
        first.map_or(Ok(()), Err)
    }

    /// [`arrived`](Self::arrived) for the last time: nothing more will arrive.
    pub(in crate::shard) fn all_arrived(&mut self) -> Result<(), u64> {
        self.arrived()?;
        self.arriving = Arriving::default();
        Ok(())
    }
}
