//! Pages of runs that are easy and hard to draw.

use super::page;
use crate::{measure, report};

#[path = "../../../tests/page/sample.rs"]
mod sample;

/// Of the largest page: it goes by mail and is opened on phones.
const PAGE_BYTES_MAX: usize = 1_500_000;

/// Values of all attributes of this name, and of all attributes of drawn elements if there is none.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    let after = page.split(&*start).skip(1);
    after.filter_map(|rest| rest.split('"').next()).collect()
}

/// Numbers in the places of a drawing, and in its paths.
fn coordinates(page: &str) -> Vec<f64> {
    let names = [
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "width",
        "height",
        "d",
        "viewBox",
        "stroke-width",
    ];
    let values = names.into_iter().flat_map(|name| attributes(page, name));
    let of_value = |value: &str| {
        let separators = |letter: char| ",MLhvzZHV %".contains(letter);
        let texts = value.split(separators).filter(|text| !text.is_empty());
        let numbers = texts.map(|text| {
            text.parse::<f64>()
                .unwrap_or_else(|_| panic!("{text:?} in {value:?}"))
        });
        numbers.collect::<Vec<_>>()
    };
    let values = values.filter(|value| *value != "device-width");
    values.flat_map(of_value).collect()
}

#[test]
fn awkward_runs_have_pages_of_finite_numbers() {
    let usual = sample::open_loop(5, 800.0);
    for (name, report) in sample::awkward() {
        for base in [None, Some(&usual)] {
            for (report, base) in [(&report, base), (&usual, base.map(|_| &report))] {
                let page = page(report, base);
                assert!(page.len() < PAGE_BYTES_MAX, "{name}: {} bytes", page.len());
                let at = ["NaN", "inf\"", ">inf"]
                    .into_iter()
                    .find_map(|text| page.find(text));
                let around = at.map(|at| {
                    String::from_utf8_lossy(&page.as_bytes()[at.saturating_sub(80)..at + 4])
                });
                assert_eq!(around, None, "{name}");
                let numbers = coordinates(&page);
                assert!(numbers.len() > 100, "{name}");
                for number in numbers {
                    assert!(number.abs() < 1e5, "{name}: {number}");
                }
            }
        }
    }
}

#[test]
fn what_targets_and_machines_say_stays_text() {
    let mut awkward = sample::awkward().into_iter();
    let (_, report) = awkward.find(|(name, _)| *name == "names").unwrap();
    let page = page(&report, Some(&report));
    assert!(!page.contains("<script"));
    assert!(page.matches("&lt;script src=").count() > 10);
}

#[test]
fn each_chart_says_what_it_shows() {
    let page = page(&sample::open_loop(5, 800.0), None);
    assert_eq!(page.matches("role=\"img\"").count(), 6);
    for id in [
        "throughput",
        "latency",
        "memory",
        "cpu",
        "buckets",
        "spectrum",
    ] {
        assert!(page.contains(&format!("<title id=\"{id}-title\">")), "{id}");
        assert!(page.contains(&format!("<desc id=\"{id}-text\">")), "{id}");
    }
    let mut ids = attributes(&page, "id");
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn a_former_run_is_in_the_charts_and_in_a_table() {
    let (this, former) = (sample::open_loop(5, 400.0), sample::open_loop(6, 800.0));
    let alone = page(&this, None);
    assert!(!alone.contains("former run") && !alone.contains("class=\"line base\""));
    let both = page(&this, Some(&former));
    assert_eq!(both.matches("class=\"line base\" d=\"M").count(), 6);
    assert!(both.contains(" better") && both.contains("Beside a former run"));
}

#[test]
fn a_stall_shows_as_a_gap_between_latency_and_service_time() {
    let page = page(&sample::open_loop(5, 400.0), None);
    assert!(page.contains("times the service time"));
}

#[test]
fn a_check_that_failed_is_open_with_request_and_reply() {
    let page = page(&sample::contest(), None);
    assert_eq!(page.matches("<details open>").count(), 1);
    for text in [
        "1 of 3 checks failed",
        "GET /payments-summary?from=",
        "269,272.42 USD",
        "−16,673.22 USD",
    ] {
        assert!(page.contains(text), "{text}");
    }
}
