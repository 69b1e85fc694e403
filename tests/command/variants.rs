//! The options that play the same scenarios on other nodes and by other paths.

use super::{flowproof, stderr};
use serde_json::Value;

/// All flows of a run of one scenario: target, and whether both ends are on one node.
fn flows(arguments: &[&str]) -> Vec<(String, bool)> {
    let always = ["run", "--cluster", "local", "--no-canary", "--json", "-", "--filter", "basics/database"];
    let output = flowproof(&[&always, arguments].concat());
    let outcome: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let scenarios = outcome["scenarios"].as_array().expect("scenarios").iter();
    let steps = scenarios.flat_map(|scenario| scenario["steps"].as_array().expect("steps"));
    let flow = |flow: &Value| {
        let evidence = &flow["evidence"];
        let target = flow["target"].as_str().expect("a target").to_owned();
        (target, evidence["source_node"] == evidence["destination_node"])
    };
    steps.flat_map(|step| step["flows"].as_array().expect("flows")).map(flow).collect()
}

#[test]
fn pods_go_on_one_node_or_on_two() {
    let same = flows(&["--placement", "same-node"]);
    assert!(!same.is_empty() && same.iter().all(|(_, same)| *same), "{same:?}");
    let cross = flows(&["--placement", "cross-node"]);
    assert!(cross.len() == same.len() && cross.iter().all(|(_, same)| !*same), "{cross:?}");
    let both = flows(&["--placement", "both"]);
    assert_eq!(both.len(), same.len() * 2);
    assert_eq!(both.iter().filter(|(_, same)| *same).count(), same.len(), "{both:?}");
}

#[test]
fn flows_go_through_services() {
    let service = flows(&["--via", "service"]);
    assert!(
        !service.is_empty() && service.iter().all(|(to, _)| to == "service data/via-postgres"),
        "{service:?}"
    );
    let both = flows(&["--via", "both"]);
    assert_eq!(both.len(), service.len() * 2);
}
