//! Chromium, without a head and without a network.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value;

/// One at a time: each takes a few hundred megabytes.
static ONE: Mutex<()> = Mutex::new(());

/// For one page, in seconds, on a busy machine.
const TIME_S_MAX: &str = "120";

/// A browser with a profile of its own.
pub struct Browser {
    directory: tempfile::TempDir,
    _one: MutexGuard<'static, ()>,
}

/// What came of opening a page.
pub struct Visit {
    /// The document as it was in the end.
    pub document: String,
    /// Messages of the console.
    pub console: Vec<String>,
    /// What the page asked for, whether it got it or not; the browser's own requests are not the page's.
    pub requests: Vec<String>,
}

/// What a frame of the probe looks like, in pixels.
#[derive(Debug, Deserialize)]
pub struct Frame {
    pub width: f64,
    pub scroll_width: f64,
    pub charts: Vec<Chart>,
    pub text_height_min: f64,
    pub text_left: f64,
    pub text_right: f64,
    /// Levels of headings, in order.
    pub headings: Vec<u32>,
    /// How many of the texts that must be there are not.
    pub missing: usize,
    pub background: String,
}

#[derive(Debug, Deserialize)]
pub struct Chart {
    pub id: String,
    pub width: f64,
    pub height: f64,
    pub line_width: f64,
    pub line_height: f64,
    pub labels: usize,
    pub labels_overlap: bool,
}

impl Browser {
    /// Waits until no other test of this process has one.
    pub fn start() -> Browser {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = Command::new("chromium").arg("--version").output() {
            panic!("this test needs Chromium as `chromium` (Debian: apt-get install chromium): {error}");
        }
        Browser {
            directory: tempfile::tempdir().unwrap(),
            _one: one,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens a page that is in a file of that name, with these flags beside the usual ones.
    pub fn open(&self, name: &str, page: &str, flags: &[String]) -> Visit {
        let (file, log) = (self.path(name), self.path("net.json"));
        std::fs::write(&file, page).unwrap();
        let flag = |name: &str, path: &Path| format!("{name}={}", path.display());
        let output = Command::new("timeout")
            .args(["--kill-after=5", TIME_S_MAX, "chromium"])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args(["--no-first-run", "--enable-logging=stderr", "--v=0"])
            // Also what the browser itself would fetch stays unfetched.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(flag("--user-data-dir", &self.path("profile")))
            .arg(flag("--log-net-log", &log))
            .args(flags)
            .arg(format!("file://{}", file.display()))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}\n{errors}", output.status);
        let console = errors.lines().filter(|line| line.contains(":CONSOLE:"));
        Visit {
            document: String::from_utf8(output.stdout).unwrap(),
            console: console.map(str::to_owned).collect(),
            requests: requests(&log),
        }
    }

    /// Opens the pages in frames of these widths, and measures each page in each.
    pub fn measure(
        &self,
        pages: &[&str],
        widths: &[u32],
        wanted: &[&str],
        flags: &[&str],
    ) -> (Vec<Frame>, Visit) {
        let mut frames = String::new();
        for page in pages {
            let page = page.replace('&', "&amp;").replace('"', "&quot;");
            for width in widths {
                let style = format!("width:{width}px;height:800px;border:0");
                frames += &format!("<iframe style=\"{style}\" srcdoc=\"{page}\"></iframe>\n");
            }
        }
        let wanted = serde_json::to_string(wanted).unwrap();
        let probe = include_str!("browser.html");
        let probe = probe.replacen("WANTED", &wanted, 1);
        let probe = probe.replacen("<!-- frames -->", &frames, 1);
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push("--dump-dom".to_owned());
        let visit = self.open("probe.html", &probe, &flags);
        let (_, seen) = visit.document.rsplit_once("<pre id=\"seen\">").unwrap();
        let (seen, _) = seen.split_once("</pre>").unwrap();
        let frames = serde_json::from_str(seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
        (frames, visit)
    }
}

/// Those in the log that were begun by a page. The browser's own have no origin.
fn requests(log: &Path) -> Vec<String> {
    let log: Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
    let start = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(start.is_number(), "the log has another form");
    let events = log["events"].as_array().expect("a list of events");
    let started = events.iter().filter(|event| &event["type"] == start);
    let params = started.map(|event| &event["params"]);
    let of_pages = params.filter(|params| params["initiator"] != "not an origin");
    // The end of a request is an event of the same type, without an address.
    let urls = of_pages.filter_map(|params| params["url"].as_str());
    urls.map(str::to_owned).collect()
}
