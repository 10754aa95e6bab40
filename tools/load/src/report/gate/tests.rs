use super::super::example::{full_report, report};
use super::*;

fn judge(rule: &str, report: &Report, base: Option<&Report>) -> Option<String> {
    let gate: Gate = rule
        .parse()
        .unwrap_or_else(|error| panic!("{rule}: {error}"));
    gate.judge(report, base)
}

/// Rate 339.98/s; latency 8 µs to 8 ms, service 4 µs to 4 ms, statements 2 µs to 2 ms; 4 of 20,400 failed, one wrong.
#[test]
fn a_value_is_a_bound() {
    let report = full_report();
    for (rule, wrong) in [
        ("p99>5ms", Some("p99>5ms: p99 is 7.92 ms")),
        (" p99 > 5ms ", Some("p99 > 5ms: p99 is 7.92 ms")),
        ("p99>8ms", None),
        ("p99>=7900us", Some("p99>=7900us: p99 is 7.92 ms")),
        ("p99.9>0.5s", None),
        ("p50<4ms", None),
        ("p50<=4.1ms", Some("p50<=4.1ms: p50 is 4.00 ms")),
        ("max>8100µs", None),
        ("mean>4ms", Some("mean>4ms: mean is 4.00 ms")),
        ("service.p99>5ms", None),
        (
            "service.p99.99>3ms",
            Some("service.p99.99>3ms: service.p99.99 is 4.00 ms"),
        ),
        (
            "statement.p99>1ms",
            Some("statement.p99>1ms: statement.p99 is 1.98 ms"),
        ),
        ("debit.max>5ms", Some("debit.max>5ms: debit.max is 8.00 ms")),
        ("rps<340", Some("rps<340: rps is 339.98/s")),
        ("rps<0.3k", None),
        ("rps<339/s", None),
        ("errors>0", Some("errors>0: errors is 4")),
        ("errors>=4", Some("errors>=4: errors is 4")),
        ("errors>4", None),
        ("wrong>0", Some("wrong>0: wrong is 1")),
        ("error_rate>1%", None),
        (
            "error_rate>0.0001",
            Some("error_rate>0.0001: error_rate is 0.0196%"),
        ),
        ("late>0", None),
        ("unsent>0", None),
        ("rss>18MiB", None),
        ("rss>18MB", Some("rss>18MB: rss is 18.0 MiB")),
        ("rss>=18874368", Some("rss>=18874368: rss is 18.0 MiB")),
        ("cpu>0.2", Some("cpu>0.2: cpu is 0.250 CPUs")),
        ("score<100k", Some("score<100k: score is 99,196.99")),
        ("score<-5", None),
    ] {
        assert_eq!(judge(rule, &report, None).as_deref(), wrong, "{rule}");
    }
}

#[test]
fn a_change_is_against_the_former_run() {
    let former = full_report();
    let mut this = full_report();
    this.rate = 300.0;
    this.failed = 0;
    this.latency.p99_us = former.latency.p99_us * 1.2;
    this.tool.late = 1;
    for (rule, wrong) in [
        (
            "rps<-5%",
            Some("rps<-5%: rps is 300.00/s, formerly 339.98/s (-11.8%)"),
        ),
        ("rps<-12%", None),
        (
            "p99>10%",
            Some("p99>10%: p99 is 9.51 ms, formerly 7.92 ms (+20.0%)"),
        ),
        (
            "p99>+10%",
            Some("p99>+10%: p99 is 9.51 ms, formerly 7.92 ms (+20.0%)"),
        ),
        ("p99>+21%", None),
        ("p50>0%", None),
        (
            "p50>=0%",
            Some("p50>=0%: p50 is 4.00 ms, formerly 4.00 ms (0%)"),
        ),
        ("errors>0%", None),
        ("late>1000%", Some("late>1000%: late is 1, formerly 0 (+)")),
        ("late<1000%", None),
        ("unsent>0%", None),
        ("score<-1%", None),
    ] {
        let gate: Gate = rule.parse().unwrap();
        assert!(gate.is_relative(), "{rule}");
        let found = gate.judge(&this, Some(&former));
        assert_eq!(found.as_deref(), wrong, "{rule}");
    }
    assert!(!"p99>5ms".parse::<Gate>().unwrap().is_relative());
}

#[test]
fn what_cannot_be_judged_does_not_pass() {
    let mut plain = report();
    plain.latency.count = 0;
    plain.requests = 0;
    for (rule, wrong) in [
        (
            "rss>1GB",
            "this run has no rss: nothing was watched (--watch-pid, --watch-container)",
        ),
        (
            "cpu<0",
            "this run has no cpu: nothing was watched (--watch-pid, --watch-container)",
        ),
        (
            "score<0",
            "this run has no score: only the official runs have one",
        ),
        ("p99.9>1s", "this run has no p99.9: no request was answered"),
        (
            "error_rate>1%",
            "this run has no error_rate: there was no request",
        ),
        (
            "payment.p99>1s",
            "this run has no payment.p99: no request of the kind `payment` was answered",
        ),
        (
            "rps<-99%",
            "there is no former run to compare with (--compare)",
        ),
    ] {
        let found = judge(rule, &plain, None);
        assert_eq!(found, Some(format!("{rule}: {wrong}")));
    }
    let found = judge("rss>10%", &full_report(), Some(&plain)).unwrap();
    assert!(found.contains("the former run has no rss"), "{found}");
    let found = judge("rss>10%", &plain, Some(&full_report())).unwrap();
    assert!(found.contains("this run has no rss"), "{found}");
}

#[test]
fn what_is_no_rule_is_said_so() {
    for (rule, part) in [
        ("", "such as p99>5ms"),
        ("p99", "such as p99>5ms"),
        ("p99=5ms", "such as p99>5ms"),
        ("p98>5ms", "no figure is called `p98`; there are rps"),
        (">5ms", "no figure is called ``"),
        ("other.p99>5ms", "no figure is called `other.p99`"),
        ("debit.rps>5", "no figure is called `debit.rps`"),
        ("p99>5", "`5` is no value for p99: a time with its unit"),
        ("p99>", "`` is no value for p99"),
        ("p99>-5ms", "a time with its unit"),
        ("p99>>5ms", "a time with its unit"),
        ("p99>5 minutes", "a time with its unit"),
        ("p99>infs", "a time with its unit"),
        ("p99>5e3us", "a time with its unit"),
        ("rps<0.3k/s", "such as 340 or 20k"),
        ("rps<-5", "or a change, such as -5%"),
        ("errors>1ms", "such as 0 or 1k"),
        ("error_rate>+1%", "from 0% to 100%"),
        ("error_rate>101%", "from 0% to 100%"),
        ("rss>5ms", "such as 45MB"),
        ("cpu>1k", "such as 0.5"),
        ("score<1..2", "such as 100000"),
    ] {
        let error = rule.parse::<Gate>().unwrap_err();
        assert!(error.contains(part), "{rule}: {error}");
    }
}
