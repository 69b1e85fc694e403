//! `flowproof check` in the local cluster: a node that does not enforce is found and named.

use super::{flowproof, stderr};
use serde_json::Value;

fn found(arguments: &[&str]) -> (Option<i32>, Value) {
    checked(&[&["--nodes-only"], arguments].concat())
}

fn checked(arguments: &[&str]) -> (Option<i32>, Value) {
    let always = ["check", "--cluster", "local", "--settle", "5s", "--json", "-"];
    let output = flowproof(&[&always, arguments].concat());
    let found = serde_json::from_slice(&output.stdout);
    (output.status.code(), found.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output))))
}

fn states(found: &Value) -> Vec<(&str, &str)> {
    let nodes = found["nodes"].as_array().expect("nodes");
    nodes
        .iter()
        .map(|node| (node["node"].as_str().expect("name"), node["state"].as_str().expect("state")))
        .collect()
}

#[test]
fn a_correct_cluster_enforces_on_every_node() {
    let (code, found) = found(&["--nodes", "3"]);
    assert_eq!(
        states(&found),
        [("node1", "enforces"), ("node2", "enforces"), ("node3", "enforces")],
        "{found:#}"
    );
    assert_eq!(code, Some(0));
}

#[test]
fn the_node_whose_agent_is_dead_is_named() {
    let (code, found) = found(&["--nodes", "3", "--fault", "node-agent-dead"]);
    assert_eq!(
        states(&found),
        [("node1", "enforces"), ("node2", "open"), ("node3", "enforces")],
        "{found:#}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn where_nothing_is_enforced_the_exit_code_says_so() {
    let (code, found) = found(&["--nodes", "1", "--fault", "nothing-enforced"]);
    assert_eq!(states(&found), [("node1", "open")], "{found:#}");
    assert_eq!(code, Some(6));
}

/// Word, status and note of the lines that have one of these words.
fn lines<'a>(found: &'a Value, words: &[&str]) -> Vec<(&'a str, &'a str, &'a str)> {
    let all = found["capabilities"].as_array().expect("capabilities");
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    all.iter()
        .map(|line| (text(&line["capability"]), text(&line["status"]), text(&line["note"])))
        .filter(|(word, ..)| words.contains(word))
        .collect()
}

const PATHS: &[&str] = &["tcp", "udp", "same-node", "cross-node", "by-address", "by-service", "ipv4", "ipv6"];

#[test]
fn the_paths_of_flows_are_capabilities() {
    let junit = tempfile::NamedTempFile::new().expect("a file");
    let path = junit.path().display().to_string();
    let (code, found) = checked(&["--filter", "both-ends-on-every-path", "--junit", &path]);
    let expected: Vec<_> = PATHS.iter().map(|word| (*word, "enforced", "")).collect();
    assert_eq!(lines(&found, PATHS), expected, "{found:#}");
    assert_eq!(
        lines(&found, &["established", "drop-or-reject", "ip-blocks"]),
        [("drop-or-reject", "enforced", "dropped: the source hears nothing")]
    );
    assert_eq!(code, Some(0));
    let xml = std::fs::read_to_string(junit.path()).expect("a report");
    assert!(xml.contains("<testsuite name=\"capabilities\"") && xml.contains("classname=\"ipv6\""), "{xml}");
}

#[test]
fn what_becomes_of_connections_is_told() {
    let (code, found) = checked(&["--filter", "established-connections", "--family", "4"]);
    let note = "TCP: outlives a policy that denies it; UDP: outlives a policy that denies it";
    assert_eq!(lines(&found, &["established"]), [("established", "enforced", note)], "{found:#}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_line_says_what_the_flows_that_failed_have_in_common() {
    let (code, found) = checked(&["--filter", "both-ends-on-every-path", "--fault", "v6-unpoliced"]);
    assert_eq!(
        lines(&found, &["ingress", "cross-node", "ipv4", "ipv6"]),
        [
            ("ingress", "not-enforced", "only: IPv6"),
            ("cross-node", "not-enforced", "only: IPv6"),
            ("ipv4", "enforced", ""),
            ("ipv6", "not-enforced", ""),
        ],
        "{found:#}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn what_a_cluster_cannot_be_asked_is_no_failure() {
    let (code, found) = checked(&["--filter", "default-deny-ingress", "--nodes", "1", "--family", "4"]);
    assert_eq!(
        lines(&found, &["default-deny", "cross-node", "ipv6"]),
        [
            ("default-deny", "enforced", ""),
            ("cross-node", "not-supported", "there is one node"),
            ("ipv6", "not-supported", "no pods have IPv6 addresses, or it was left out"),
        ],
        "{found:#}"
    );
    assert_eq!(code, Some(0));
}
