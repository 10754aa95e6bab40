mod sample;
use galo_load::{measure, report};
#[test]
fn write() {
    let a = sample::open_loop(7, 420.0);
    let b = sample::open_loop(8, 560.0);
    std::fs::create_dir_all("/tmp/pagework").unwrap();
    std::fs::write("/tmp/pagework/plain.html", report::page::page(&a, None)).unwrap();
    std::fs::write("/tmp/pagework/compare.html", report::page::page(&a, Some(&b))).unwrap();
    std::fs::write("/tmp/pagework/contest.html", report::page::page(&sample::contest(), None)).unwrap();
    std::fs::write("/tmp/pagework/long.html", report::page::page(&sample::long(), None)).unwrap();
    for (i, (_, r)) in sample::awkward().iter().enumerate() {
    std::fs::write(format!("/tmp/pagework/awk{i}.html"), report::page::page(r, None)).unwrap();
    }
    let _ = measure::histogram();
}
