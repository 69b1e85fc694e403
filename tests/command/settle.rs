//! How long a step waits for its flows.

use super::{flowproof, stderr};

/// The change is enforced well within the time to settle, but the hold ends after it.
#[test]
fn a_series_that_begins_in_time_is_held_to_its_end() {
    let output = flowproof(&[
        "run",
        "--cluster",
        "local",
        "--no-canary",
        "--filter",
        "basics/default-deny-ingress",
        "--settle",
        "5s",
        "--enforce-delay",
        "2s",
        "--hold",
        "4s",
    ]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        stderr(&output)
    );
}
