//! What `/health` and `/metrics` tell of payments: this process's cores, and the shards that they own.

use std::fmt::Write as _;

use super::header;
use crate::limits::PAYMENT_OLD_NS;
use crate::payments::answers::Anomaly;
use crate::payments::circuit::State;
use crate::payments::{amount, Processor};
use crate::stats::{Counter, PaymentStats, ProcessorStats, Stats, ANOMALIES, PROCESSORS};

const _: () = assert!(Processor::ALL.len() == PROCESSORS && Anomaly::ALL.len() == ANOMALIES);

/// One processor, as all cores see it together.
struct Seen {
    circuit: State,
    window: u64,
    under_way: u64,
    /// Of the core that waits longest.
    latency_ns: u64,
    /// As the processor said last, to whichever core.
    failing: bool,
    response_min_ms: u64,
    /// `None`: it has never said anything.
    health_age_ns: Option<u64>,
}

impl Seen {
    fn of(stats: &Stats, processor: Processor, now_ns: u64) -> Seen {
        let cores = || {
            let all = stats.cores();
            all.map(|core| &core.payments.processors[processor as usize])
        };
        let sum = |counter: fn(&ProcessorStats) -> &Counter| -> u64 {
            cores().map(|core| counter(core).get()).sum()
        };
        let all_are = |state: State| cores().all(|core| core.circuit.get() == state as u64);
        let newest = cores().max_by_key(|core| core.health_ns.get());
        let newest = newest.expect("a process has a core");
        let is_known = newest.health_ns.get() > 0;
        Seen {
            // What some cores do and others do not is done by half.
            circuit: if all_are(State::Closed) {
                State::Closed
            } else if all_are(State::Open) {
                State::Open
            } else {
                State::HalfOpen
            },
            window: sum(|core| &core.window),
            under_way: sum(|core| &core.under_way),
            latency_ns: cores().map(|it| it.latency_ns.get()).max().unwrap_or(0),
            failing: newest.failing.get() != 0,
            response_min_ms: newest.response_min_ms.get(),
            health_age_ns: is_known.then(|| newest.health_ns.age_ns(now_ns)),
        }
    }
}

/// Since the oldest open payment of all cores was accepted. Nanoseconds.
fn oldest_age_ns(stats: &Stats, now_ns: u64) -> Option<u64> {
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

/// Seconds, or `null`.
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
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half-open",
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
        let sum = |counter: fn(&ProcessorStats) -> &Counter| {
            stats.sum(|core| counter(&core.payments.processors[processor as usize]))
        };
        let mut cents = Vec::new();
        amount::write(&mut cents, sum(|it| &it.settled_cents).into());
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
            Anomaly::ALL
                .map(|anomaly| anomalies(stats, processor, anomaly))
                .iter()
                .sum::<u64>(),
        );
        body.extend_from_slice(text.as_bytes());
    }
    body.extend_from_slice(b"}}");
}

/// Answers of a processor that make no sense, of a kind.
fn anomalies(stats: &Stats, processor: Processor, anomaly: Anomaly) -> u64 {
    let of = |core: &ProcessorStats| core.anomalies[anomaly as usize].get();
    let cores = stats.cores();
    cores
        .map(|core| of(&core.payments.processors[processor as usize]))
        .sum()
}

/// Appends the metrics.
pub(super) fn describe(out: &mut String, stats: &Stats, now_ns: u64) -> std::fmt::Result {
    type Of = fn(&PaymentStats) -> &Counter;
    let sum = |counter: Of| stats.sum(|core| counter(&core.payments));
    let sums: [(&str, &str, &str, Of); 5] = [
        (
            "galo_payments_open",
            "gauge",
            "Payments without a known outcome, of this process's shards.",
            |payments| &payments.open,
        ),
        (
            "galo_payments_old",
            "gauge",
            "Of those, accepted more than a minute ago.",
            |payments| &payments.old,
        ),
        (
            "galo_payments_in_doubt",
            "gauge",
            "Of the open ones, with a processor that may have them, and not under way to it.",
            |payments| &payments.in_doubt,
        ),
        (
            "galo_payments_accepted_total",
            "counter",
            "Payments accepted.",
            |payments| &payments.accepted,
        ),
        (
            "galo_payments_queue_full_total",
            "counter",
            "Payments refused because as many were open as may be.",
            |payments| &payments.queue_full,
        ),
    ];
    for (name, kind, help, counter) in sums {
        header(out, name, kind, help)?;
        writeln!(out, "{name} {}", sum(counter))?;
    }
    let name = "galo_payments_oldest_seconds";
    header(
        out,
        name,
        "gauge",
        "Since the oldest open one was accepted; 0 for none.",
    )?;
    let oldest_ns = oldest_age_ns(stats, now_ns).unwrap_or(0);
    writeln!(out, "{name} {}", oldest_ns as f64 / 1e9)?;
    let name = "galo_payments_dearer_total";
    header(
        out,
        name,
        "counter",
        "Given to the processor that costs more, and why: the deadline, or the queue's room.",
    )?;
    let for_deadline = sum(|payments| &payments.fallback_for_deadline);
    let for_room = sum(|payments| &payments.fallback_for_room);
    writeln!(out, "{name}{{reason=\"deadline\"}} {for_deadline}")?;
    writeln!(out, "{name}{{reason=\"room\"}} {for_room}")?;

    let all = Processor::ALL.map(|processor| (processor, Seen::of(stats, processor, now_ns)));
    type Gauge = fn(&Seen) -> Option<f64>;
    let gauges: [(&str, &str, Gauge); 7] = [
        (
            "galo_processor_circuit",
            "0 closed, 1 open, 2 half-open or not the same at all cores.",
            |seen| Some(f64::from(seen.circuit as u8)),
        ),
        (
            "galo_processor_window",
            "Payments that it may have at a time now.",
            |seen| Some(seen.window as f64),
        ),
        (
            "galo_processor_under_way",
            "Payments under way to it.",
            |seen| Some(seen.under_way as f64),
        ),
        (
            "galo_processor_latency_seconds",
            "From a payment's request to its reply, as of late.",
            |seen| Some(seen.latency_ns as f64 / 1e9),
        ),
        (
            "galo_processor_failing",
            "It says that it fails: 1.",
            |seen| Some(f64::from(u8::from(seen.failing))),
        ),
        (
            "galo_processor_response_min_seconds",
            "What it says that a payment takes at least.",
            |seen| Some(seen.response_min_ms as f64 / 1e3),
        ),
        (
            "galo_processor_health_age_seconds",
            "Since it said so.",
            |seen| seen.health_age_ns.map(|ns| ns as f64 / 1e9),
        ),
    ];
    for (name, help, gauge) in gauges {
        header(out, name, "gauge", help)?;
        for (processor, seen) in &all {
            if let Some(value) = gauge(seen) {
                writeln!(out, "{name}{{processor=\"{}\"}} {value}", processor.name())?;
            }
        }
    }

    type Count = fn(&ProcessorStats) -> &Counter;
    let counters: [(&str, &str, Count); 6] = [
        (
            "galo_payments_settled_total",
            "Payments that it has confirmed.",
            |it| &it.settled,
        ),
        ("galo_payments_settled_cents_total", "Their sum.", |it| {
            &it.settled_cents
        }),
        (
            "galo_processor_failed_total",
            "Attempts that it refused for a failure.",
            |it| &it.failed,
        ),
        (
            "galo_processor_busy_total",
            "Attempts that it refused with 429.",
            |it| &it.busy,
        ),
        (
            "galo_processor_unknown_total",
            "Attempts without an outcome.",
            |it| &it.unknown,
        ),
        (
            "galo_processor_lookups_total",
            "Questions about one payment.",
            |it| &it.lookups,
        ),
    ];
    for (name, help, counter) in counters {
        header(out, name, "counter", help)?;
        for processor in Processor::ALL {
            let count = stats.sum(|core| counter(&core.payments.processors[processor as usize]));
            writeln!(out, "{name}{{processor=\"{}\"}} {count}", processor.name())?;
        }
    }
    let name = "galo_processor_anomalies_total";
    header(out, name, "counter", "Answers of it that make no sense.")?;
    for processor in Processor::ALL {
        for anomaly in Anomaly::ALL {
            let count = anomalies(stats, processor, anomaly);
            let (processor, reason) = (processor.name(), anomaly.name());
            writeln!(
                out,
                "{name}{{processor=\"{processor}\",reason=\"{reason}\"}} {count}"
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
            (&fallback.circuit, State::Open as u64),
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
        of_first.circuit.set(State::Open as u64);
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
        let mut text = String::new();
        describe(&mut text, &stats, NOW).unwrap();
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
        // Each has its type, and every value is that of a name that was declared.
        let mut declared = "";
        for line in text.lines() {
            if let Some(declaration) = line.strip_prefix("# TYPE ") {
                declared = declaration.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(name, declared, "{line}");
            }
        }
    }
}
