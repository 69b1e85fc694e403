//! `flowproof compare` on saved runs: exit codes, the first line, tolerances, and files that cannot be read.

use super::{flowproof, stderr};
use std::path::{Path, PathBuf};

const SAVED: &str = include_str!("../../runner/core/src/outcome/read/version-1.json");

fn save(directory: &Path, name: &str, text: &str) -> String {
    let file: PathBuf = directory.join(name);
    std::fs::write(&file, text).expect("it can be written");
    file.display().to_string()
}

fn first_line(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn what_no_longer_matches_is_told_first_and_fails() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let before = save(directory.path(), "before.json", SAVED);
    let same = flowproof(&["compare", &before, &before]);
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
    assert!(first_line(&same).starts_with("nothing changed: 2 flows"), "{}", first_line(&same));

    let mut open: serde_json::Value = serde_json::from_str(SAVED).expect("it is JSON");
    let denied = &mut open["scenarios"][0]["steps"][0]["flows"][1];
    (denied["verdict"], denied["reason"]) = ("mismatched".into(), "not-enforced".into());
    let after = save(directory.path(), "after.json", &open.to_string());
    let worse = flowproof(&["compare", &before, &after]);
    assert_eq!(worse.status.code(), Some(1), "{}", stderr(&worse));
    assert_eq!(first_line(&worse), "WORSE: 1 denied flow gets through");
    let better = flowproof(&["compare", &after, &before]);
    assert_eq!(better.status.code(), Some(0), "{}", stderr(&better));

    let markdown = flowproof(&["compare", &before, &after, "--markdown", "-"]);
    assert_eq!(first_line(&markdown), "## flowproof: WORSE: 1 denied flow gets through");
    let json = flowproof(&["compare", &before, &after, "--json", "-"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!((&json["schema"], &json["regressions"]), (&"flowproof.compare/1".into(), &1.into()));
    assert_eq!(json["changes"][0]["effect"], "leaks");
}

#[test]
fn a_tolerance_makes_time_count() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut slow: serde_json::Value = serde_json::from_str(SAVED).expect("it is JSON");
    slow["scenarios"][0]["steps"][0]["flows"][1]["evidence"]["enforced_after_ms"] = 9000.into();
    let (before, after) = (
        save(directory.path(), "before.json", SAVED),
        save(directory.path(), "after.json", &slow.to_string()),
    );
    let code =
        |arguments: &[&str]| flowproof(&[&["compare", &before, &after], arguments].concat()).status.code();
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--tolerate", "slower=2x"]), Some(1));
    assert_eq!(code(&["--tolerate", "slower=1000x"]), Some(0));
    assert_eq!(code(&["--tolerate", "slower=fast"]), Some(2));
}

#[test]
fn a_file_that_is_no_saved_run_is_told_by_its_name() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let good = save(directory.path(), "good.json", SAVED);
    let newer = SAVED.replacen("flowproof.run/1", "flowproof.run/99", 1);
    for (name, text, told) in [
        ("cut.json", &SAVED[..100], "it is not JSON"),
        ("other.json", "{\"schema\": \"x\"}", "it is not a saved run"),
        ("newer.json", &newer, "a later flowproof wrote it"),
    ] {
        let bad = save(directory.path(), name, text);
        let output = flowproof(&["compare", &good, &bad]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(told) && stderr(&output).contains(name), "{}", stderr(&output));
    }
    assert_eq!(flowproof(&["compare", &good, "/nonexistent.json"]).status.code(), Some(2));
}
