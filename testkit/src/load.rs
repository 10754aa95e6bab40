//! The load tester, as a process.

use std::process::{Command, Stdio};

use crate::programs::program;
use crate::Address;

/// The official run of 2024 on accounts that nobody has touched: its fixed sequence, its ramps in a hundredth of their time,
/// every check of it, and the balances that all replies together explain.
#[track_caller]
pub fn contest_2024(address: &Address) {
    let output = Command::new(program("galo-load"))
        .args(["rinha-2024", &address.url(), "--scale", "0.01"])
        .stdin(Stdio::null())
        .output()
        .expect("galo-load starts");
    // 1: a check failed, which the summary shows with an example.
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
