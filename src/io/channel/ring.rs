//! The indices of a bounded ring of bytes with one writer and one reader, and who has to be woken.
//!
//! Each end keeps its own index to itself and publishes it; the other's index it only reads, and believes it only as far
//! as it makes sense: an end may be another process, and that one may be broken.
//!
//! An end that is about to wait says so (`reader_turn`, `writer_turn`: odd while it waits), and then looks once more. The
//! other end publishes its index, and then looks whether somebody waits. Each thus writes one word and reads the other's:
//! without a fence between the two, both might read what was there before (x86 lets a store pass a later load, too), and
//! one would sleep on what the other has just written. The fence is sequentially consistent, and stands on both sides.
//! Each word has one that writes it, so who waits is woken once for each turn by the other remembering which turn that
//! was. `tests::model` goes through all orders.

use std::sync::atomic::{self, AtomicU32, Ordering};

/// A shared word of 32 bits: [`AtomicU32`], or the model's.
pub(super) trait Word {
    fn load(&self, ordering: Ordering) -> u32;
    fn store(&self, value: u32, ordering: Ordering);
    /// A sequentially consistent one.
    fn fence();
}

impl Word for AtomicU32 {
    fn load(&self, ordering: Ordering) -> u32 {
        self.load(ordering)
    }

    fn store(&self, value: u32, ordering: Ordering) {
        self.store(value, ordering);
    }

    fn fence() {
        atomic::fence(Ordering::SeqCst);
    }
}

/// What the ends of a ring share, beside its bytes. Indices count bytes, and wrap.
#[repr(C)]
#[derive(Default)]
pub(super) struct Indices<W> {
    written: Line<W>,
    read: Line<W>,
    reader_turn: Line<W>,
    writer_turn: Line<W>,
}

/// A word with a cache line to itself: two cores that write neighbours would take the line from each other.
#[repr(C, align(64))]
#[derive(Default)]
struct Line<W>(W);

/// The other end's index is one that it cannot have.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::io) struct Senseless;

/// The writing end of a ring of `capacity` bytes, a power of two.
#[derive(Default)]
pub(super) struct Writer {
    written: u32,
    turns: Turns,
}

/// The reading end.
#[derive(Default)]
pub(super) struct Reader {
    read: u32,
    turns: Turns,
}

/// How often an end has waited, and which of the other end's turns it has ended.
#[derive(Default)]
struct Turns {
    /// Odd: this end waits.
    own: u32,
    /// The last turn of the other end for which it was woken.
    woken: u32,
}

impl Writer {
    /// Where the next byte goes.
    pub(super) fn at(&self) -> u32 {
        self.written
    }

    /// How many bytes there is room for.
    pub(super) fn room<W: Word>(
        &self,
        shared: &Indices<W>,
        capacity: u32,
    ) -> Result<u32, Senseless> {
        // Acquire: what is written there now comes behind the reader's reading.
        let read = shared.read.0.load(Ordering::Acquire);
        capacity
            .checked_sub(self.written.wrapping_sub(read))
            .ok_or(Senseless)
    }

    /// `bytes` more are there. Whether the reader waits for them, and has to be woken.
    #[must_use]
    pub(super) fn publish<W: Word>(&mut self, shared: &Indices<W>, bytes: u32) -> bool {
        self.written = self.written.wrapping_add(bytes);
        // Release: whoever sees the index sees the bytes.
        shared.written.0.store(self.written, Ordering::Release);
        self.turns.wakes(&shared.reader_turn)
    }

    /// It is about to wait for room. A [`Word::fence`], and another look for [`room`](Self::room), have to follow.
    pub(super) fn waits<W: Word>(&mut self, shared: &Indices<W>, waits: bool) {
        self.turns.waits(&shared.writer_turn, waits);
    }
}

impl Reader {
    /// Where the next byte is.
    pub(super) fn at(&self) -> u32 {
        self.read
    }

    /// How many bytes are there.
    pub(super) fn available<W: Word>(
        &self,
        shared: &Indices<W>,
        capacity: u32,
    ) -> Result<u32, Senseless> {
        let written = shared.written.0.load(Ordering::Acquire);
        Some(written.wrapping_sub(self.read))
            .filter(|available| *available <= capacity)
            .ok_or(Senseless)
    }

    /// `bytes` of them were copied out. Whether the writer waits for room, and has to be woken.
    #[must_use]
    pub(super) fn publish<W: Word>(&mut self, shared: &Indices<W>, bytes: u32) -> bool {
        self.read = self.read.wrapping_add(bytes);
        shared.read.0.store(self.read, Ordering::Release);
        self.turns.wakes(&shared.writer_turn)
    }

    /// It is about to wait for bytes. A [`Word::fence`], and another look for what is
    /// [`available`](Self::available), have to follow.
    pub(super) fn waits<W: Word>(&mut self, shared: &Indices<W>, waits: bool) {
        self.turns.waits(&shared.reader_turn, waits);
    }
}

impl Turns {
    /// This end begins to wait, or ends that.
    fn waits<W: Word>(&mut self, turn: &Line<W>, waits: bool) {
        if waits != (self.own % 2 == 1) {
            self.own = self.own.wrapping_add(1);
            turn.0.store(self.own, Ordering::Relaxed);
        }
    }

    /// Whether the other end waits, and was not woken for that yet.
    fn wakes<W: Word>(&mut self, other: &Line<W>) -> bool {
        W::fence();
        let turn = other.0.load(Ordering::Relaxed);
        turn % 2 == 1 && std::mem::replace(&mut self.woken, turn) != turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u32 = 8;

    fn writer_at(written: u32) -> Writer {
        let turns = Turns::default();
        Writer { written, turns }
    }

    fn reader_at(read: u32) -> Reader {
        let turns = Turns::default();
        Reader { read, turns }
    }

    #[test]
    fn indices_go_round_and_wrap() {
        let shared = Indices::<AtomicU32>::default();
        let (written, read) = (u32::MAX - 20, u32::MAX - 20);
        shared.written.0.store(written, Ordering::Relaxed);
        shared.read.0.store(read, Ordering::Relaxed);
        let (mut writer, mut reader) = (writer_at(written), reader_at(read));
        for _ in 0..10 {
            assert_eq!(writer.room(&shared, CAPACITY), Ok(8));
            assert!(!writer.publish(&shared, 5));
            assert_eq!(writer.room(&shared, CAPACITY), Ok(3));
            assert!(!writer.publish(&shared, 3));
            assert_eq!(writer.room(&shared, CAPACITY), Ok(0));
            assert_eq!(reader.available(&shared, CAPACITY), Ok(8));
            assert!(!reader.publish(&shared, 8));
            assert_eq!(reader.available(&shared, CAPACITY), Ok(0));
        }
        assert_eq!(writer.at(), reader.at());
    }

    #[test]
    fn an_index_that_cannot_be_is_not_believed() {
        let shared = Indices::<AtomicU32>::default();
        let (writer, reader) = (writer_at(3), reader_at(3));
        // Read more than was written, or left more unread than there is room for.
        for read in [4, 100, u32::MAX - 5, 1 << 31] {
            shared.read.0.store(read, Ordering::Relaxed);
            assert_eq!(writer.room(&shared, CAPACITY), Err(Senseless), "{read}");
        }
        // Took back what was read, or wrote over it.
        for written in [2, 12, u32::MAX, 1 << 31] {
            shared.written.0.store(written, Ordering::Relaxed);
            let available = reader.available(&shared, CAPACITY);
            assert_eq!(available, Err(Senseless), "{written}");
        }
    }

    #[test]
    fn who_waits_is_woken_once() {
        let shared = Indices::<AtomicU32>::default();
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        reader.waits(&shared, true);
        assert!(writer.publish(&shared, 1));
        assert!(!writer.publish(&shared, 1));
        writer.waits(&shared, true);
        assert!(reader.publish(&shared, 1));
        assert!(!reader.publish(&shared, 1));
        // Once for each turn.
        reader.waits(&shared, false);
        reader.waits(&shared, true);
        assert!(writer.publish(&shared, 1));
        reader.waits(&shared, false);
        // Who came round by itself is not woken.
        reader.waits(&shared, true);
        reader.waits(&shared, false);
        assert!(!writer.publish(&shared, 1));
    }

    /// All orders in which two threads can pass, and all values that the memory model lets each of them read (loom,
    /// after "CDSChecker", Norris and Demsky 2013).
    mod model {
        use super::super::*;
        use loom::sync::{Arc, Notify};
        use loom::thread;

        #[derive(Default)]
        struct Fenced(loom::sync::atomic::AtomicU32);

        /// As it would be without the fence.
        #[derive(Default)]
        struct Unfenced(loom::sync::atomic::AtomicU32);

        macro_rules! word {
            ($name:ident, $fence:expr) => {
                impl Word for $name {
                    fn load(&self, ordering: Ordering) -> u32 {
                        self.0.load(ordering)
                    }

                    fn store(&self, value: u32, ordering: Ordering) {
                        self.0.store(value, ordering);
                    }

                    fn fence() {
                        $fence
                    }
                }
            };
        }

        word!(Fenced, loom::sync::atomic::fence(Ordering::SeqCst));
        word!(Unfenced, ());

        /// What two ends and their doorbells are made of. The ring has room for one byte, so each end waits for the
        /// other.
        struct Pair<W> {
            indices: Indices<W>,
            byte: loom::cell::UnsafeCell<u8>,
            bell_of_reader: Notify,
            bell_of_writer: Notify,
        }

        // SAFETY: the byte is what the indices guard, and loom looks whether they do.
        unsafe impl<W: Sync> Sync for Pair<W> {}
        // SAFETY: as above.
        unsafe impl<W: Send> Send for Pair<W> {}

        const BYTES: u8 = 2;

        fn write<W: Word>(pair: &Pair<W>) {
            let mut writer = Writer::default();
            for byte in 1..=BYTES {
                while writer.room(&pair.indices, 1) == Ok(0) {
                    writer.waits(&pair.indices, true);
                    W::fence();
                    if writer.room(&pair.indices, 1) == Ok(0) {
                        pair.bell_of_writer.wait();
                    }
                    writer.waits(&pair.indices, false);
                }
                // SAFETY: there is room, so the reader is through with it.
                pair.byte.with_mut(|place| unsafe { *place = byte });
                if writer.publish(&pair.indices, 1) {
                    pair.bell_of_reader.notify();
                }
            }
        }

        fn read<W: Word>(pair: &Pair<W>) {
            let mut reader = Reader::default();
            for byte in 1..=BYTES {
                while reader.available(&pair.indices, 1) == Ok(0) {
                    reader.waits(&pair.indices, true);
                    W::fence();
                    if reader.available(&pair.indices, 1) == Ok(0) {
                        pair.bell_of_reader.wait();
                    }
                    reader.waits(&pair.indices, false);
                }
                // SAFETY: it is there, so the writer leaves it alone.
                let found = pair.byte.with(|place| unsafe { *place });
                assert_eq!(found, byte);
                if reader.publish(&pair.indices, 1) {
                    pair.bell_of_writer.notify();
                }
            }
        }

        /// Ends in a panic if a byte is not what was written, or both wait for ever.
        fn check<W: Word + Default + Send + Sync + 'static>() {
            let mut model = loom::model::Builder::new();
            // All orders with so many times that a thread is interrupted; without a bound it takes hours.
            model.preemption_bound = Some(2);
            model.check(|| {
                let pair = Arc::new(Pair::<W> {
                    indices: Indices::default(),
                    byte: loom::cell::UnsafeCell::new(0),
                    bell_of_reader: Notify::new(),
                    bell_of_writer: Notify::new(),
                });
                let writer = thread::spawn({
                    let pair = pair.clone();
                    move || write(&pair)
                });
                read(&pair);
                writer.join().expect("it does not panic");
            });
        }

        #[test]
        fn no_byte_is_lost_and_nobody_sleeps_for_ever() {
            check::<Fenced>();
        }

        /// One end publishes a byte while the other is about to wait: it sees the byte, or is woken.
        fn check_one<W: Word + Default + Send + Sync + 'static>() {
            loom::model(|| {
                let indices = Arc::new(Indices::<W>::default());
                let writer = thread::spawn({
                    let indices = indices.clone();
                    move || Writer::default().publish(&indices, 1)
                });
                let mut reader = Reader::default();
                reader.waits(&indices, true);
                W::fence();
                let sleeps = reader.available(&indices, 1) == Ok(0);
                let is_woken = writer.join().expect("it does not panic");
                assert!(is_woken || !sleeps, "it sleeps, and nobody wakes it");
            });
        }

        #[test]
        fn who_is_about_to_sleep_is_woken() {
            check_one::<Fenced>();
        }

        #[test]
        #[should_panic(expected = "it sleeps, and nobody wakes it")]
        fn without_the_fence_nobody_wakes_it() {
            check_one::<Unfenced>();
        }
    }
}
