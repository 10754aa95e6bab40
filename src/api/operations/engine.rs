//! The engine in `/health` and `/metrics`: what the cores of this process have with it, where it keeps their journals.

use crate::stats::{EngineStats, Stats};

/// Whether something is to be done about it: it cannot be asked, a lease has ended, or something is wrong with the log.
pub(super) fn is_degraded(stats: &Stats, now_ns: u64) -> bool {
    stats.engine().is_some_and(|engine| {
        !engine.is_connected() || !engine.lease_lasts(now_ns) || engine.alarm().is_some()
    })
}

/// Appends the member `engine` of `/health`, with its comma in front.
pub(super) fn write_health(body: &mut Vec<u8>, engine: &EngineStats, now_ns: u64) {
    let (seen, last) = (engine.log_seen(), engine.log_last());
    let look_age = engine.look_age_ns(now_ns);
    let look_age = look_age.map_or_else(|| "null".to_owned(), seconds);
    let alarm = serde_json::Value::from(engine.alarm());
    let text = format!(
        concat!(
            ",\"engine\":{{\"connected\":{},\"lease\":{},\"unacknowledged\":{},",
            "\"log\":{{\"seen\":{},\"last\":{},\"lag\":{},\"look_age\":{}}},",
            "\"alarms\":{},\"alarm\":{}}}"
        ),
        engine.is_connected(),
        engine.lease_lasts(now_ns),
        seconds(engine.under_way_age_ns(now_ns)),
        seen,
        last,
        last.saturating_sub(seen),
        look_age,
        engine.sum(|core| &core.alarms),
        alarm,
    );
    body.extend_from_slice(text.as_bytes());
}

fn seconds(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;
    use crate::limits::SECOND_NS;
    use crate::members::Members;

    const NOW: u64 = 100 * SECOND_NS;

    /// Two cores that are well.
    fn well() -> Stats {
        let stats = Stats::new(2, 0, 3, 6).with_engine();
        let engine = stats.engine().unwrap();
        for core in [0, 1].map(|core| engine.core(core)) {
            core.connected.set(1);
            core.lease_until_ns.set(NOW + SECOND_NS);
            core.log_seen.set(120);
            core.appends.add(4);
            core.append_ns.add(SECOND_NS / 8);
        }
        stats
    }

    fn health(stats: Stats) -> serde_json::Value {
        let mut body = Vec::new();
        let members = Members::alone(0, 2, 6);
        let process = tests::process(stats);
        super::super::write_health(&mut body, &process, &members, false, tests::at(NOW));
        serde_json::from_slice(&body).unwrap()
    }

    fn metrics(stats: Stats) -> String {
        tests::metrics(stats, false, NOW)
    }

    #[test]
    fn a_process_without_an_engine_tells_of_none() {
        let health = health(Stats::new(2, 0, 1, 2));
        assert_eq!(health["status"], "healthy");
        assert!(health.get("engine").is_none());
        assert!(!metrics(Stats::new(2, 0, 1, 2)).contains("galo_engine"));
    }

    #[test]
    fn a_process_that_has_not_heard_of_the_engine_yet_is_degraded() {
        let health = health(Stats::new(2, 0, 1, 2).with_engine());
        assert_eq!(health["status"], "degraded");
        assert_eq!(
            health["engine"],
            serde_json::json!({
                "connected": false, "lease": false, "unacknowledged": 0.0,
                "log": {"seen": 0, "last": 0, "lag": 0, "look_age": null},
                "alarms": 0, "alarm": null
            })
        );
    }

    #[test]
    fn one_core_that_is_not_well_is_enough() {
        assert_eq!(health(well())["status"], "healthy");
        type Change = fn(&EngineStats);
        let changes: [(Change, &str); 3] = [
            (|it| it.core(1).connected.set(0), "connected"),
            (|it| it.core(1).lease_until_ns.set(NOW), "lease"),
            (|it| it.alarmed("a \"hole\"".to_owned(), NOW), "alarm"),
        ];
        for (change, what) in changes {
            let stats = well();
            change(stats.engine().unwrap());
            let health = health(stats);
            assert_eq!(health["status"], "degraded", "{what}");
            let well = serde_json::json!({"connected": true, "lease": true, "alarm": null});
            for name in ["connected", "lease", "alarm"] {
                let is_as_before = health["engine"][name] == well[name];
                assert_eq!(is_as_before, name != what, "{health}");
            }
        }
    }

    #[test]
    fn health_and_metrics_tell_how_far_it_has_come() {
        let told = || {
            let stats = well();
            let engine = stats.engine().unwrap();
            engine.looked(NOW - SECOND_NS / 2);
            engine.core(0).log_last.set(130);
            engine.core(1).log_seen.set(125);
            engine.core(1).under_way_ns.set(NOW - SECOND_NS / 4);
            engine.core(1).alarms.add(3);
            stats
        };
        let health = health(told());
        assert_eq!(
            health["engine"],
            serde_json::json!({
                "connected": true, "lease": true, "unacknowledged": 0.25,
                "log": {"seen": 120, "last": 130, "lag": 10, "look_age": 0.5},
                "alarms": 3, "alarm": null
            })
        );
        let metrics = metrics(told());
        for line in [
            "galo_engine_connected 1",
            "galo_engine_lease 1",
            "galo_engine_log_seen 120",
            "galo_engine_log_last 130",
            "galo_engine_appends_total 8",
            "galo_engine_append_seconds_total 0.25",
            "galo_engine_unacknowledged_seconds 0.25",
            "galo_engine_alarms_total 3",
        ] {
            assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
        }
    }
}
