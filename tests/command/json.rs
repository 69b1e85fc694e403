//! `--json` means the same for every command: a file, or stdout instead of the text, with a schema that the documentation lists.

use super::{flowproof, stderr, stdout};
use serde_json::Value;
use std::{fs, path::Path};

const RESULTS: &str = include_str!("../../docs/results.md");
const SAVED: &str = "core/src/outcome/read/version-1.json";
const MANIFESTS: &str = "../docs/examples/three-tiers/manifests";
const LOCAL: [&str; 7] = ["--cluster", "local", "--settle", "5s", "--progress", "none", "--family=4"];
const ONE: &str = "../scenarios/basics/database-from-app-namespace.yaml";

/// The JSON that is written to a file; the command's text is on stdout.
fn to_file(arguments: &[&str], option: &str, folder: &Path) -> Value {
    let file = folder.join("result.json").display().to_string();
    let output = flowproof(&[arguments, &[option, &file]].concat());
    assert!(!output.stdout.is_empty(), "{arguments:?} {option} FILE prints its text: {}", stderr(&output));
    serde_json::from_slice(&fs::read(&file).expect("it was written")).expect("it is JSON")
}

/// The JSON that is written to stdout, which has nothing else.
fn to_stdout(arguments: &[&str], option: &str) -> Value {
    let output = flowproof(&[arguments, &[option, "-"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{arguments:?} {option} -: {error}\n{}{}", stdout(&output), stderr(&output))
    })
}

/// Commands that need no cluster, and what they write.
const OFFLINE: [(&str, &[&str]); 8] = [
    ("flowproof.run/2", &["report", SAVED]),
    ("flowproof.compare/1", &["compare", SAVED, SAVED]),
    ("flowproof.fault-list/1", &["faults", "--list"]),
    ("flowproof.mutate/1", &["mutate", ONE]),
    ("flowproof.lint/1", &["lint", ONE]),
    ("flowproof.explain/1", &["explain", "shop/web -> shop/db tcp/5432", "-f", MANIFESTS]),
    ("flowproof.map/1", &["map", MANIFESTS]),
    ("flowproof.map-difference/1", &["map", "--diff", MANIFESTS, ONE]),
];

/// Commands that play in a local cluster, and what they write; [`LOCAL`] follows.
const PLAYED: [(&str, &[&str]); 2] = [
    ("flowproof.run/2", &["watch", "--no-canary", "--for", "100ms", ONE]),
    ("flowproof.check/1", &["check", "--nodes-only"]),
];

#[test]
fn every_command_writes_its_result_to_a_file_or_to_stdout() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let out = folder.path().join("out").display().to_string();
    let generate = ["generate", "--force", "--out", &out, "-f", MANIFESTS];
    let offline = OFFLINE.into_iter().chain([("flowproof.generate/1", &generate[..])]);
    for (schema, arguments) in offline {
        assert_eq!(to_file(arguments, "--json", folder.path())["schema"], schema, "{arguments:?}");
        assert_eq!(to_stdout(arguments, "--json")["schema"], schema, "{arguments:?}");
    }
    for (schema, arguments) in PLAYED {
        assert_eq!(to_stdout(&[arguments, &LOCAL].concat(), "--json")["schema"], schema, "{arguments:?}");
    }
    let faults = ["faults", "--fault", "nothing-enforced", "--settle", "5s", ONE];
    assert_eq!(to_stdout(&faults, "--json")["schema"], "flowproof.faults/1");
}

#[test]
fn a_diagnosis_reads_what_a_run_writes() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let red = [&["run", "--no-canary", "--fault", "nothing-enforced", ONE], &LOCAL[..]].concat();
    assert_eq!(to_file(&red, "--json", folder.path())["schema"], "flowproof.run/2");
    let saved = folder.path().join("saved.json").display().to_string();
    fs::rename(folder.path().join("result.json"), &saved).expect("it can be renamed");
    let diagnosis = ["diagnose", &saved, ONE];
    assert_eq!(to_file(&diagnosis, "--json", folder.path())["schema"], "flowproof.diagnosis/1");
    assert_eq!(to_stdout(&diagnosis, "--json")["schema"], "flowproof.diagnosis/1");
}

#[test]
fn the_documentation_lists_every_schema() {
    let mut known: Vec<&str> = OFFLINE.iter().chain(&PLAYED).map(|(schema, _)| *schema).collect();
    known.extend(["flowproof.generate/1", "flowproof.faults/1", "flowproof.diagnosis/1"]);
    // The lab's trial "SIGKILL, then flowproof clean" reads it.
    known.push("flowproof.clean/1");
    known.sort_unstable();
    known.dedup();
    let section = RESULTS.split("## Schemas").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.unwrap_or_default().lines();
    let mut listed: Vec<&str> =
        rows.filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` | ")?.0)).collect();
    listed.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn older_spellings_still_work() {
    let check = [&["check", "--nodes-only"], &LOCAL[..]].concat();
    assert_eq!(to_stdout(&check, "--found")["schema"], "flowproof.check/1");
    assert_eq!(
        to_stdout(&check, "--save")["schema"],
        "flowproof.run/2",
        "--save is the outcome of all flows"
    );
    assert_eq!(to_stdout(&["report", SAVED], "--save")["schema"], "flowproof.run/2");
    let map = flowproof(&["map", MANIFESTS, "--format", "json"]);
    assert!(stdout(&map).contains("\"flowproof.map/1\""), "{}", stdout(&map));
}
