//! Waiting payments that recovery has read, and not yet looked for among the others.
//!
//! Each must be looked for, and put into an index of megabytes, at a place that is as good as random: one by
//! one, that is a cache miss or two for each. So many are done together, in the order of those places, and memory is
//! gone through from one end to the other. Until then they are in the queue, and not in its index.
//!
//! Nothing is missed by that. Only records of other kinds make payments leave memory, and before one of those is
//! applied, all that have arrived are looked for. But for one: the first of the queue may be bound meanwhile, unless
//! its id is that of a settled one. It goes where they are looked for, too, and nobody else of its id can be bound
//! before it is settled.

use super::waiting::Entry;
use super::Payments;
use crate::limits::PAYMENTS_ARRIVING_MAX;

/// See the top of this file.
#[derive(Default)]
pub struct Arriving {
    list: Vec<Arrival>,
    /// The origin of the first one that was there already.
    twice: Option<u64>,
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
    /// One more that waits. `Err`: as [`arrived`](Self::arrived).
    pub(super) fn arrive(&mut self, entry: Entry, origin: u64) -> Result<(), u64> {
        let hash = self.hasher.hash(entry.id);
        let behind = self.waiting.queue(entry);
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

    /// Looks for all that have arrived, and puts them into the index. `Err`: some were there already, waiting or
    /// not; the origin of the first.
    pub(in crate::shard) fn arrived(&mut self) -> Result<(), u64> {
        if self.arriving.list.is_empty() {
            return self.arriving.twice.map_or(Ok(()), Err);
        }
        let Arriving { mut list, twice } = std::mem::take(&mut self.arriving);
        let begin = self.waiting.indexed();
        let position = |arrival: &Arrival| begin + u64::from(arrival.behind);
        list.retain(|arrival| !self.waiting.has_left(position(arrival)));
        self.waiting
            .reserve(list.iter().map(|arrival| arrival.hash));
        for arrival in &mut list {
            arrival.place = self.waiting.place(arrival.hash);
        }
        list.sort_unstable_by_key(|arrival| (arrival.place, arrival.behind));
        let mut first = twice;
        for arrival in &list {
            let (position, hash) = (position(arrival), arrival.hash);
            let is_elsewhere = || self.has_tried_or_settled(self.waiting.get(position).id, hash);
            match self.waiting.has_other(position, hash) || is_elsewhere() {
                false => self.waiting.index(position, hash),
                true => first = Some(first.unwrap_or(u64::MAX).min(arrival.origin)),
            }
        }
        self.waiting.set_indexed();
        list.clear();
        self.arriving = Arriving { list, twice: first };
        first.map_or(Ok(()), Err)
    }

    /// The same, and nothing will arrive any more.
    pub(in crate::shard) fn all_arrived(&mut self) -> Result<(), u64> {
        self.arrived()?;
        self.arriving = Arriving::default();
        Ok(())
    }
}
