//! What faults know of the clients, and want of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use galo_testkit::wait_until;

pub struct Clients {
    /// What each has had acknowledged, by number from 0 on.
    acknowledged: Vec<AtomicU64>,
    /// The node at which they only read.
    read_at: AtomicUsize,
}

const NOWHERE: usize = usize::MAX;

impl Clients {
    pub fn new(count: usize) -> Clients {
        Clients {
            acknowledged: (0..count).map(|_| AtomicU64::new(0)).collect(),
            read_at: AtomicUsize::new(NOWHERE),
        }
    }

    pub fn acknowledged(&self, client: usize) {
        self.acknowledged[client].fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until each client has had so many more acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let counts = || {
            self.acknowledged
                .iter()
                .map(|it| it.load(Ordering::Relaxed))
        };
        let before: Vec<u64> = counts().collect();
        let what = format!("each client has had {more} more acknowledged than {before:?}");
        wait_until(&what, || {
            counts()
                .zip(&before)
                .all(|(now, before)| now >= before + more)
        });
    }

    /// From now on a node is asked for statements only: none of them waits with a write that is under way there.
    pub fn only_read_at(&self, node: usize) {
        self.read_at.store(node, Ordering::Relaxed);
        // What each was doing meanwhile is done.
        self.wait_for(2);
    }

    /// They write everywhere again.
    pub fn write_everywhere(&self) {
        self.read_at.store(NOWHERE, Ordering::Relaxed);
    }

    pub fn may_write_at(&self, node: usize) -> bool {
        self.read_at.load(Ordering::Relaxed) != node
    }
}
