//! How far the clients have come.

use std::sync::atomic::{AtomicU64, Ordering};

use galo_testkit::wait_until;

/// What each client has had acknowledged, by number from 0 on.
pub struct Progress(Vec<AtomicU64>);

impl Progress {
    pub fn new(clients: usize) -> Progress {
        Progress((0..clients).map(|_| AtomicU64::new(0)).collect())
    }

    pub fn acknowledged(&self, client: usize) {
        self.0[client].fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until each client has had so many more acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let counts = || self.0.iter().map(|it| it.load(Ordering::Relaxed));
        let before: Vec<u64> = counts().collect();
        let what = format!("each client has had {more} more acknowledged than {before:?}");
        wait_until(&what, || {
            counts()
                .zip(&before)
                .all(|(now, before)| now >= before + more)
        });
    }
}
