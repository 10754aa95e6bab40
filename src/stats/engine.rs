//! Counters and gauges of a process whose shards' journals an engine keeps.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Counter;
use crate::limits::ENGINE_FAULT_NS;

/// An alarm is over when the log was looked at so long after it; while it lasts it is told again sooner.
const ALARM_NS: u64 = 3 * ENGINE_FAULT_NS;

/// What all cores have with the engine.
pub struct EngineStats {
    cores: Box<[EngineCoreStats]>,
    /// Cores whose lease lasts, as they have said.
    leases: AtomicUsize,
    /// When the log was last looked at by any core; monotonic. 0: it was not.
    looked_ns: AtomicU64,
    /// The last alarm, and when it was told; monotonic.
    alarm: Mutex<Option<(u64, String)>>,
}

/// What one core has, which it alone writes.
#[derive(Default)]
#[repr(align(128))]
pub struct EngineCoreStats {
    /// The engine can be asked: 1.
    pub connected: Counter,
    /// When the core's lease ends, or has ended. Monotonic.
    pub lease_until_ns: Counter,
    /// The last record of the log that the core has seen, with all before it.
    pub log_seen: Counter,
    /// The last one that there was when the core looked at the log.
    pub log_last: Counter,
    /// Batches that are in the log.
    pub appends: Counter,
    /// From sending them to knowing so, added up.
    pub append_ns: Counter,
    /// When the oldest batch was sent that is not known to be in the log; monotonic. 0: there is none.
    pub under_way_ns: Counter,
    /// What a person should know of: how often that was told.
    pub alarms: Counter,
}

impl EngineStats {
    pub(super) fn new(cores: usize) -> EngineStats {
        EngineStats {
            cores: (0..cores).map(|_| EngineCoreStats::default()).collect(),
            leases: AtomicUsize::new(0),
            looked_ns: AtomicU64::new(0),
            alarm: Mutex::new(None),
        }
    }

    /// What core `core` writes.
    pub fn core(&self, core: usize) -> &EngineCoreStats {
        &self.cores[core]
    }

    /// Whether all cores can ask.
    pub fn is_connected(&self) -> bool {
        self.cores.iter().all(|core| core.connected.get() == 1)
    }

    /// Whether the leases of all cores last.
    pub fn lease_lasts(&self, now_ns: u64) -> bool {
        let mut cores = self.cores.iter();
        cores.all(|core| now_ns < core.lease_until_ns.get())
    }

    /// A core's lease lasts from now on, or does not. Whether that changes what the process as a whole can say of all
    /// leases.
    pub fn lease_changed(&self, lasts: bool) -> bool {
        let all = self.cores.len();
        match lasts {
            true => self.leases.fetch_add(1, Relaxed) + 1 == all,
            false => self.leases.fetch_sub(1, Relaxed) == all,
        }
    }

    /// The last record of the log that all cores have seen.
    pub fn log_seen(&self) -> u64 {
        let seen = self.cores.iter().map(|core| core.log_seen.get());
        seen.min().unwrap_or(0)
    }

    /// The last record of the log, as last looked at, or seen since.
    pub fn log_last(&self) -> u64 {
        let last = |core: &EngineCoreStats| core.log_last.get().max(core.log_seen.get());
        self.cores.iter().map(last).max().unwrap_or(0)
    }

    /// A core has looked at the log.
    pub fn looked(&self, now_ns: u64) {
        self.looked_ns.fetch_max(now_ns.max(1), Relaxed);
    }

    /// How long ago the log was looked at; `None`: it was not.
    pub fn look_age_ns(&self, now_ns: u64) -> Option<u64> {
        let looked_ns = self.looked_ns.load(Relaxed);
        (looked_ns > 0).then(|| now_ns.saturating_sub(looked_ns))
    }

    /// For how long the oldest batch has been under way that is not known to be in the log; 0: there is none.
    pub fn under_way_age_ns(&self, now_ns: u64) -> u64 {
        let under_way = self.cores.iter().map(|core| &core.under_way_ns);
        let ages = under_way.filter(|it| it.get() > 0);
        ages.map(|it| it.age_ns(now_ns)).max().unwrap_or(0)
    }

    /// An alarm was told.
    pub fn alarmed(&self, text: String, now_ns: u64) {
        *self.last_alarm() = Some((now_ns, text));
    }

    /// What is wrong with the log, as far as that is known.
    pub fn alarm(&self) -> Option<String> {
        let looked_ns = self.looked_ns.load(Relaxed);
        let lasts = |(at_ns, _): &(u64, String)| looked_ns < at_ns + ALARM_NS;
        let last = self.last_alarm();
        last.as_ref().filter(|it| lasts(it)).map(|it| it.1.clone())
    }

    fn last_alarm(&self) -> MutexGuard<'_, Option<(u64, String)>> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sum of one counter over all cores.
    pub fn sum(&self, counter: impl Fn(&EngineCoreStats) -> &Counter) -> u64 {
        self.cores.iter().map(|core| counter(core).get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_changes_for_the_process_with_the_first_core_that_loses_it_and_the_last_that_has_it()
    {
        let engine = EngineStats::new(2);
        assert!(!engine.lease_changed(true));
        assert!(engine.lease_changed(true));
        assert!(engine.lease_changed(false));
        assert!(!engine.lease_changed(false));
        assert!(!engine.lease_changed(true));
        assert!(engine.lease_changed(true));
    }

    #[test]
    fn the_core_that_is_worst_off_counts() {
        let engine = EngineStats::new(2);
        let [first, second] = [0, 1].map(|core| engine.core(core));
        first.connected.set(1);
        first.lease_until_ns.set(10);
        first.log_seen.set(7);
        first.under_way_ns.set(5);
        assert!(!engine.is_connected() && !engine.lease_lasts(5));
        second.connected.set(1);
        second.lease_until_ns.set(8);
        second.log_seen.set(3);
        second.log_last.set(9);
        second.under_way_ns.set(6);
        assert!(engine.is_connected() && engine.lease_lasts(7));
        assert!(!engine.lease_lasts(8));
        assert_eq!((engine.log_seen(), engine.log_last()), (3, 9));
        assert_eq!(engine.under_way_age_ns(15), 10);
        first.under_way_ns.set(0);
        assert_eq!(engine.under_way_age_ns(15), 9);
    }

    #[test]
    fn an_alarm_lasts_until_the_log_was_looked_at_without_another() {
        let engine = EngineStats::new(1);
        assert_eq!((engine.alarm(), engine.look_age_ns(7)), (None, None));
        engine.looked(100);
        engine.alarmed("holes".to_owned(), 100);
        engine.looked(100 + ALARM_NS - 1);
        assert_eq!(engine.alarm().as_deref(), Some("holes"));
        engine.looked(100 + ALARM_NS);
        assert_eq!(engine.alarm(), None);
        assert_eq!(engine.look_age_ns(150 + ALARM_NS), Some(50));
    }
}
