//! The HTML page in Chromium. `cargo test -p galo-load --features browser-tests --test page`; needs Chromium (Debian:
//! chromium).

mod sample;

use galo_load::{measure, report};
use galo_testkit::browser::{Browser, Frame};
use report::page::page;

/// A desk, a phone, and the narrowest that there are.
const WIDTHS: [u32; 3] = [1280, 360, 320];

/// What would fetch something, were it in the page.
const IMAGE: &str = "<img src=\"http://example.test/pixel.png\">";

/// In one frame, all that must hold for any report; `charts`: how many there are.
fn assert_sound(name: &str, frame: &Frame, charts: usize) {
    let name = format!("{name} at {}", frame.width);
    assert!(
        frame.scroll_width <= frame.width,
        "{name}: {}",
        frame.scroll_width
    );
    assert_eq!(frame.missing, 0, "{name}");
    assert_eq!(frame.charts.len(), charts, "{name}");
    for chart in &frame.charts {
        assert!(
            chart.width > 180.0 && chart.height > 100.0,
            "{name}, {}: {chart:?}",
            chart.id
        );
        assert!(
            chart.labels > 4 && !chart.labels_overlap,
            "{name}: {chart:?}"
        );
    }
    assert!(
        frame.text_height_min > 11.0,
        "{name}: {}",
        frame.text_height_min
    );
    assert!(
        frame.text_left >= 0.0 && frame.text_right <= frame.width,
        "{name}: {frame:?}"
    );
    assert_eq!(frame.headings[0], 1, "{name}");
    for pair in frame.headings.windows(2) {
        assert!(
            pair[1] <= pair[0] + 1 && pair[1] > 1,
            "{name}: {:?}",
            frame.headings
        );
    }
}

#[test]
fn figures_and_charts_are_there_on_a_desk_and_on_a_phone() {
    let browser = Browser::start();
    let (run, former) = (sample::open_loop(7, 420.0), sample::open_loop(8, 560.0));
    let contest = sample::contest();
    let pages = [
        (
            "plain",
            page(&run, None),
            vec![
                "339.86/s",
                "20,400",
                "502 Bad Gateway",
                "Connection reset by peer",
                "pid 4712 (nginx)",
            ],
        ),
        (
            "compared",
            page(&run, Some(&former)),
            vec!["better", "worse", "Beside a former run"],
        ),
        (
            "contest",
            page(&contest, None),
            vec![
                "269,272.42 USD",
                "1 of 3 checks failed",
                "GET /payments-summary?from=",
            ],
        ),
    ];
    for (name, page, wanted) in pages {
        let (frames, visit) = browser.measure(&[&page], &WIDTHS, &wanted, &[]);
        assert_eq!(frames.len(), WIDTHS.len());
        for (frame, width) in frames.iter().zip(WIDTHS) {
            assert_eq!(frame.width, f64::from(width));
            assert_sound(name, frame, 6);
            for chart in &frame.charts {
                assert!(chart.line_width > chart.width * 0.5, "{name}: {chart:?}");
                assert!(
                    chart.line_height > 1.0 && chart.line_height < chart.height,
                    "{name}: {chart:?}"
                );
            }
        }
        assert!(visit.console.is_empty(), "{name}: {:?}", visit.console);
        assert!(visit.requests.is_empty(), "{name}: {:?}", visit.requests);
    }
}

#[test]
fn runs_that_are_hard_to_draw_have_sound_pages() {
    let browser = Browser::start();
    let reports = sample::awkward();
    let pages: Vec<_> = reports
        .iter()
        .map(|(_, report)| page(report, None))
        .collect();
    let texts: Vec<_> = pages.iter().map(String::as_str).collect();
    let (frames, visit) = browser.measure(&texts, &WIDTHS, &[], &[]);
    assert_eq!(frames.len(), pages.len() * WIDTHS.len());
    for ((name, report), frames) in reports.iter().zip(frames.chunks(WIDTHS.len())) {
        let is_watched = report
            .watched
            .iter()
            .any(|subject| !subject.points.is_empty());
        for frame in frames {
            assert_sound(name, frame, if is_watched { 6 } else { 4 });
        }
    }
    assert!(visit.console.is_empty(), "{:?}", visit.console);
    assert!(visit.requests.is_empty(), "{:?}", visit.requests);
}

#[test]
fn what_the_page_would_fetch_is_seen_and_forbidden() {
    let browser = Browser::start();
    let page = page(&sample::open_loop(7, 420.0), None);
    let dump = ["--dump-dom".to_owned()];

    // Forbidden by the page itself, which the console tells.
    let with_image = page.replacen("</main>", &format!("{IMAGE}</main>"), 1);
    assert!(with_image.contains(IMAGE));
    let visit = browser.open("page.html", &with_image, &dump);
    assert!(visit.requests.is_empty(), "{:?}", visit.requests);
    assert!(
        visit
            .console
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{:?}",
        visit.console
    );

    // Without its policy, the request would be made, and be seen.
    let policy = "http-equiv=\"Content-Security-Policy\"";
    assert!(page.contains(policy));
    let visit = browser.open("page.html", &with_image.replacen(policy, "", 1), &dump);
    assert_eq!(visit.requests, ["http://example.test/pixel.png"]);
}

#[test]
fn nothing_in_the_page_refers_to_anything_outside_it() {
    let run = sample::open_loop(7, 420.0);
    for report in [&run, &sample::contest()] {
        let page = page(report, Some(&run));
        for start in [
            " src=", " srcset=", "url(", "@import", "<script", "<object", "<embed", "<iframe",
            "<form",
        ] {
            assert!(!page.contains(start), "{start}");
        }
        let links = page.split(" href=\"").skip(1);
        let links: Vec<_> = links.filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(links, ["data:,"]);
    }
}

#[test]
fn the_page_is_dark_where_all_is_dark() {
    let browser = Browser::start();
    let page = page(&sample::open_loop(7, 420.0), None);
    let background = |scheme: &str| {
        let flag = format!("--blink-settings=preferredColorScheme={scheme}");
        let (frames, _) = browser.measure(&[&page], &[1280], &[], &[&flag]);
        frames[0].background.clone()
    };
    assert_eq!(background("0"), "rgb(14, 19, 23)");
    assert_eq!(background("1"), "rgb(243, 245, 247)");
}

#[test]
fn the_page_can_be_printed_and_photographed() {
    let browser = Browser::start();
    let page = page(&sample::open_loop(7, 420.0), None);
    let pdf = browser.path("page.pdf");
    browser.open(
        "page.html",
        &page,
        &[format!("--print-to-pdf={}", pdf.display())],
    );
    let pdf = std::fs::read(pdf).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    let text = String::from_utf8_lossy(&pdf);
    let pages = text.matches("/Type /Page").count() - text.matches("/Type /Pages").count();
    assert!((2..=6).contains(&pages), "{pages} pages");

    let photograph = |name: &str, page: &str| {
        let file = browser.path(name);
        let flags = [
            format!("--screenshot={}", file.display()),
            "--window-size=1280,2400".to_owned(),
        ];
        browser.open("page.html", page, &flags);
        std::fs::read(file).unwrap()
    };
    let image = photograph("page.png", &page);
    assert!(image.starts_with(b"\x89PNG\r\n\x1a\n"));
    let size = |at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap());
    assert_eq!((size(16), size(20)), (1280, 2400));
    // What is all of one colour takes next to nothing.
    let blank = photograph("blank.png", "<!doctype html><title>blank</title>");
    assert!(
        image.len() > 10 * blank.len(),
        "{} bytes, blank {}",
        image.len(),
        blank.len()
    );
}
