//! The payments gateway in `/health` and `/metrics`: gathered from this process's cores, for the shards that they own.

use crate::limits::PAYMENT_OLD_NS;
use crate::payments::answers::Anomaly;
use crate::payments::circuit::CircuitState;
use crate::payments::{amount, Processor};
use crate::stats::{Counter, PaymentStats, ProcessorStats, Stats, ANOMALIES, PROCESSORS};

const _: () = assert!(Processor::ALL.len() == PROCESSORS && Anomaly::ALL.len() == ANOMALIES);

/// One processor, as all cores see it together.
pub(super) struct Seen {
    pub(super) circuit: CircuitState,
    pub(super) window: u64,
    pub(super) under_way: u64,
    /// The latency of the core that waits longest.
    pub(super) latency_ns: u64,
    /// As the processor said last, to whichever core.
    pub(super) failing: bool,
    pub(super) response_min_ms: u64,
    /// `None`: it has never said anything.
    pub(super) health_age_ns: Option<u64>,
}

impl Seen {
    pub(super) fn of(stats: &Stats, processor: Processor, now_ns: u64) -> Seen {
        let cores = || {
            let all = stats.cores();
            all.map(|core| &core.payments.processors[processor as usize])
        };
        let all_are = |state: CircuitState| cores().all(|core| core.circuit.get() == state as u64);
        let newest = cores().max_by_key(|core| core.health_ns.get());
        let newest = newest.expect("a process has a core");
        let is_known = newest.health_ns.get() > 0;
        Seen {
            // What some cores do and others do not is done by half.
            circuit: if all_are(CircuitState::Closed) {
                CircuitState::Closed
            } else if all_are(CircuitState::Open) {
                CircuitState::Open
            } else {
                CircuitState::HalfOpen
            },
            window: sum_of(stats, processor, |it| &it.window),
            under_way: sum_of(stats, processor, |it| &it.under_way),
            latency_ns: cores().map(|it| it.latency_ns.get()).max().unwrap_or(0),
            failing: newest.failing.get() != 0,
            response_min_ms: newest.response_min_ms.get(),
            health_age_ns: is_known.then(|| newest.health_ns.age_ns(now_ns)),
        }
    }
}

/// Adds something of a processor up over the cores.
pub(super) fn sum_of(
    stats: &Stats,
    processor: Processor,
    counter: impl Fn(&ProcessorStats) -> &Counter,
) -> u64 {
    stats.sum(|core| counter(&core.payments.processors[processor as usize]))
}

/// Since the oldest open payment of all cores was accepted. Nanoseconds.
pub(super) fn oldest_age_ns(stats: &Stats, now_ns: u64) -> Option<u64> {
    let payments = stats.cores().map(|core| &core.payments);
    let open = payments.filter(|payments| payments.open.get() > 0);
    open.map(|payments| payments.oldest_ns.age_ns(now_ns)).max()
}

/// Whether payments wait, and none has been settled for long by any core.
pub(super) fn is_stalled(stats: &Stats, now_ns: u64) -> bool {
    let of = |counter: fn(&PaymentStats) -> &Counter| {
        stats.cores().map(move |core| counter(&core.payments).get())
    };
    let waiting = of(|payments| &payments.open_since_ns).filter(|since_ns| *since_ns > 0);
    let settled_ns = of(|payments| &payments.settled_ns).max().unwrap_or(0);
    waiting
        .min()
        .is_some_and(|since_ns| now_ns.saturating_sub(since_ns.max(settled_ns)) >= PAYMENT_OLD_NS)
}

/// Nanoseconds as JSON seconds, or `null`.
fn seconds(ns: Option<u64>) -> String {
    ns.map_or_else(|| "null".to_owned(), |ns| format!("{:.3}", ns as f64 / 1e9))
}

/// Appends the member `payments` of `/health`, with its comma in front.
pub(super) fn write_health(body: &mut Vec<u8>, stats: &Stats, now_ns: u64) {
    let sum = |counter: fn(&PaymentStats) -> &Counter| stats.sum(|core| counter(&core.payments));
    let start = format!(
        ",\"payments\":{{\"open\":{},\"oldest\":{},\"old\":{},\"in_doubt\":{},\"processors\":[",
        sum(|payments| &payments.open),
        seconds(oldest_age_ns(stats, now_ns)),
        sum(|payments| &payments.old),
        sum(|payments| &payments.in_doubt),
    );
    body.extend_from_slice(start.as_bytes());
    for (count, processor) in Processor::ALL.into_iter().enumerate() {
        let seen = Seen::of(stats, processor, now_ns);
        let circuit = match seen.circuit {
            CircuitState::Closed => "closed",
            CircuitState::Open => "open",
            CircuitState::HalfOpen => "half-open",
        };
        let text = format!(
            concat!(
                "{}{{\"name\":\"{}\",\"circuit\":\"{}\",\"window\":{},\"under_way\":{},",
                "\"latency_ms\":{:.3},\"failing\":{},\"min_response_ms\":{},\"health_age\":{}}}"
            ),
            if count > 0 { "," } else { "" },
            processor.name(),
            circuit,
            seen.window,
            seen.under_way,
            seen.latency_ns as f64 / 1e6,
            seen.failing,
            seen.response_min_ms,
            seconds(seen.health_age_ns),
        );
        body.extend_from_slice(text.as_bytes());
    }
    let totals = format!(
        concat!(
            "],\"totals\":{{\"accepted\":{},\"queue_full\":{},",
            "\"fallback_for_deadline\":{},\"fallback_for_room\":{}"
        ),
        sum(|payments| &payments.accepted),
        sum(|payments| &payments.queue_full),
        sum(|payments| &payments.fallback_for_deadline),
        sum(|payments| &payments.fallback_for_room),
    );
    body.extend_from_slice(totals.as_bytes());
    for processor in Processor::ALL {
        let sum = |counter: fn(&ProcessorStats) -> &Counter| sum_of(stats, processor, counter);
        let mut cents = Vec::new();
        amount::write(&mut cents, sum(|it| &it.settled_cents).into());
        let anomalies =
            Anomaly::ALL.map(|it| sum_of(stats, processor, |of| &of.anomalies[it as usize]));
        let text = format!(
            concat!(
                ",\"{}\":{{\"settled\":{},\"amount\":{},\"failed\":{},\"busy\":{},",
                "\"unknown\":{},\"lookups\":{},\"anomalies\":{}}}"
            ),
            processor.name(),
            sum(|it| &it.settled),
            String::from_utf8_lossy(&cents),
            sum(|it| &it.failed),
            sum(|it| &it.busy),
            sum(|it| &it.unknown),
            sum(|it| &it.lookups),
            anomalies.iter().sum::<u64>(),
        );
        body.extend_from_slice(text.as_bytes());
    }
    body.extend_from_slice(b"}}");
}

#[cfg(test)]
mod tests {
    use super::super::tests::metrics;
    use super::*;

    const NOW: u64 = 752_582_896_000_000;

    /// Of the second core only.
    fn told(stats: &Stats) {
        let payments = &stats.core(1).payments;
        for (counter, value) in [
            (&payments.open, 7),
            (&payments.in_doubt, 2),
            (&payments.old, 3),
            (&payments.oldest_ns, NOW - 1_500_000_000),
            (&payments.accepted, 100),
            (&payments.queue_full, 3),
            (&payments.fallback_for_deadline, 4),
            (&payments.fallback_for_room, 5),
        ] {
            counter.set(value);
        }
        let fallback = &payments.processors[1];
        for (counter, value) in [
            (&fallback.circuit, CircuitState::Open as u64),
            (&fallback.window, 8),
            (&fallback.under_way, 6),
            (&fallback.latency_ns, 12_345_678),
            (&fallback.failing, 1),
            (&fallback.response_min_ms, 100),
            (&fallback.health_ns, NOW - 4_000_000_000),
            (&fallback.settled, 11),
            (&fallback.settled_cents, 21_890),
            (&fallback.failed, 21),
            (&fallback.busy, 22),
            (&fallback.unknown, 23),
            (&fallback.lookups, 24),
            (&fallback.anomalies[Anomaly::Body as usize], 25),
            (&fallback.anomalies[Anomaly::Contradiction as usize], 26),
        ] {
            counter.set(value);
        }
    }

    fn health(stats: &Stats) -> serde_json::Value {
        let mut body = b"{\"x\":0".to_vec();
        write_health(&mut body, stats, NOW);
        body.push(b'}');
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        body["payments"].clone()
    }

    #[test]
    fn health_tells_of_a_process_that_has_done_nothing() {
        let nothing = serde_json::json!({
            "settled": 0, "amount": 0.0, "failed": 0, "busy": 0, "unknown": 0, "lookups": 0,
            "anomalies": 0
        });
        let processor = |name: &str| {
            serde_json::json!({
                "name": name, "circuit": "closed", "window": 0, "under_way": 0, "latency_ms": 0.0,
                "failing": false, "min_response_ms": 0, "health_age": null
            })
        };
        assert_eq!(
            health(&Stats::new(2, 0, 1, 2)),
            serde_json::json!({
                "open": 0, "oldest": null, "old": 0, "in_doubt": 0,
                "processors": [processor("default"), processor("fallback")],
                "totals": {
                    "accepted": 0, "queue_full": 0, "fallback_for_deadline": 0,
                    "fallback_for_room": 0, "default": nothing, "fallback": nothing
                }
            })
        );
    }

    #[test]
    fn health_adds_up_what_cores_know() {
        let stats = Stats::new(2, 0, 1, 2);
        told(&stats);
        let first = &stats.core(0).payments;
        first.open.set(1);
        first.oldest_ns.set(NOW - 250_000_000);
        let of_first = &first.processors[1];
        of_first.window.set(4);
        of_first.latency_ns.set(1_000_000);
        of_first.health_ns.set(NOW - 9_000_000_000); // Longer ago: not what counts.
        of_first.settled_cents.set(5);
        let payments = health(&stats);
        assert_eq!(payments["open"], 8);
        assert_eq!(payments["oldest"], 1.5);
        assert_eq!(
            (&payments["in_doubt"], &payments["old"]),
            (&2.into(), &3.into())
        );
        assert_eq!(
            payments["processors"][1],
            serde_json::json!({
                "name": "fallback", "circuit": "half-open", "window": 12, "under_way": 6,
                "latency_ms": 12.346, "failing": true, "min_response_ms": 100, "health_age": 4.0
            })
        );
        assert_eq!(
            payments["totals"],
            serde_json::json!({
                "accepted": 100, "queue_full": 3, "fallback_for_deadline": 4, "fallback_for_room": 5,
                "default": {
                    "settled": 0, "amount": 0.0, "failed": 0, "busy": 0, "unknown": 0, "lookups": 0,
                    "anomalies": 0
                },
                "fallback": {
                    "settled": 11, "amount": 218.95, "failed": 21, "busy": 22, "unknown": 23,
                    "lookups": 24, "anomalies": 51
                }
            })
        );
        of_first.circuit.set(CircuitState::Open as u64);
        assert_eq!(health(&stats)["processors"][1]["circuit"], "open");
    }

    #[test]
    fn payments_are_stalled_when_some_wait_and_none_is_settled_for_long() {
        let stats = Stats::new(2, 0, 1, 2);
        let long = PAYMENT_OLD_NS;
        assert!(!is_stalled(&stats, long));
        let [first, second] = [0, 1].map(|core| &stats.core(core).payments);
        first.open_since_ns.set(5);
        assert!(!is_stalled(&stats, long + 4));
        assert!(is_stalled(&stats, long + 5));
        // Another core's have waited for longer, or not for so long.
        second.open_since_ns.set(7);
        assert!(is_stalled(&stats, long + 5));
        second.settled_ns.set(20);
        assert!(!is_stalled(&stats, long + 19));
        assert!(is_stalled(&stats, long + 20));
        for core in [first, second] {
            core.open_since_ns.set(0);
        }
        assert!(!is_stalled(&stats, long + 20));
    }

    #[test]
    fn metrics_tell_the_same() {
        let stats = Stats::new(2, 0, 1, 2);
        told(&stats);
        let text = metrics(stats, true, NOW);
        for line in [
            "galo_payments_open 7",
            "galo_payments_in_doubt 2",
            "galo_payments_old 3",
            "galo_payments_oldest_seconds 1.5",
            "galo_payments_accepted_total 100",
            "galo_payments_queue_full_total 3",
            "galo_payments_dearer_total{reason=\"deadline\"} 4",
            "galo_payments_dearer_total{reason=\"room\"} 5",
            "galo_processor_circuit{processor=\"default\"} 0",
            "galo_processor_circuit{processor=\"fallback\"} 2",
            "galo_processor_window{processor=\"fallback\"} 8",
            "galo_processor_under_way{processor=\"fallback\"} 6",
            "galo_processor_latency_seconds{processor=\"fallback\"} 0.012345678",
            "galo_processor_failing{processor=\"default\"} 0",
            "galo_processor_failing{processor=\"fallback\"} 1",
            "galo_processor_response_min_seconds{processor=\"fallback\"} 0.1",
            "galo_processor_health_age_seconds{processor=\"fallback\"} 4",
            "galo_payments_settled_total{processor=\"default\"} 0",
            "galo_payments_settled_total{processor=\"fallback\"} 11",
            "galo_payments_settled_cents_total{processor=\"fallback\"} 21890",
            "galo_processor_failed_total{processor=\"fallback\"} 21",
            "galo_processor_busy_total{processor=\"fallback\"} 22",
            "galo_processor_unknown_total{processor=\"fallback\"} 23",
            "galo_processor_lookups_total{processor=\"fallback\"} 24",
            "galo_processor_anomalies_total{processor=\"fallback\",reason=\"body\"} 25",
            "galo_processor_anomalies_total{processor=\"fallback\",reason=\"contradiction\"} 26",
            "galo_processor_anomalies_total{processor=\"default\",reason=\"status\"} 0",
        ] {
            assert!(
                text.lines().any(|it| it == line),
                "{line} is not in\n{text}"
            );
        }
        // A health that nobody has heard of has no age.
        assert!(!text.contains("health_age_seconds{processor=\"default\"}"));
    }
}
