//! What `docs/openapi.yaml` says is what running nodes do, as far as schemathesis can tell: all its checks, data that fits
//! and data that does not, and requests that follow from others by links.
//! `cargo test --features schemathesis-tests --test schemathesis`; needs schemathesis (`.ci/schemathesis.txt`).

use std::path::Path;
use std::process::Command;

use galo::api::operations::OPENAPI;
use galo_testkit::{data_dir, Launch, Processor};
use serde_json::Value;

const INSTALL: &str = "pip3 install --target target/schemathesis --only-binary :all: --require-hashes --requirement .ci/schemathesis.txt";
const PROBLEM_DETAILS: [&str; 2] = ["--header", "Accept: application/problem+json"];

/// Two nodes with processors, of which the first is asked: half of what it is asked for is the other's.
#[test]
fn nothing_is_found() {
    let (data, run, processors) = (data_dir(), data_dir(), Processor::both());
    let node = |name: &str| {
        Launch::serve(data.path())
            .flag("nodes", "api01,api02")
            .flag("node", name)
            .flag("run", run.path())
            .processors_of(&processors)
            .arg("--allow-reset")
            .arg("--docs")
            .cores(1)
            .start()
    };
    let nodes = ["api01", "api02"].map(node);
    let url = format!("http://{}", nodes[0].address().tcp());
    // A run with a bound of its time cuts the second of these short: they have none, and are runs of their own.
    let systematic = ["--phases", "examples,coverage"];
    let random = ["--phases", "fuzzing,stateful", "--max-examples", "100"];
    schemathesis(&url, &systematic);
    schemathesis(&url, &[systematic, PROBLEM_DETAILS].concat());
    schemathesis(&url, &random);
    for node in nodes {
        node.stop();
    }
}

/// How many the document has.
fn operations() -> usize {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let methods = paths
        .values()
        .flat_map(|path| path.as_object().expect("methods").keys());
    methods.filter(|name| *name != "parameters").count()
}

fn schemathesis(url: &str, flags: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/schemathesis");
    assert!(
        installed.join("schemathesis").is_dir(),
        "schemathesis is not there: {INSTALL}"
    );
    let dir = data_dir(); // It leaves files where it runs.
    let modules = [installed, root.join("tests/schemathesis")];
    let output = Command::new("python3")
        .args(["-m", "schemathesis.cli", "run"])
        // From a server it would leave out what it has it from.
        .arg(root.join("docs/openapi.yaml"))
        .args(["--url", url])
        .args(["--checks", "all", "--mode", "all", "--continue-on-failure"])
        .args(["--seed", "1", "--no-color"])
        .args(flags)
        .current_dir(dir.path())
        .env("PYTHONPATH", std::env::join_paths(modules).expect("paths"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "contract")
        .output()
        .unwrap_or_else(|error| panic!("python3 (install the package of that name): {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{said}{errors}");
    assert!(output.status.success(), "{flags:?}: see above");
    // Of all endpoints, and with what the hook lets pass.
    let selected = format!("Operations:       {0} selected / {0} total", operations());
    assert!(said.contains(&selected), "{flags:?}");
    assert!(said.contains("(dropped by `filter_failure`)"), "{flags:?}");
}
