//! Which scenarios share a lane.

use super::*;
use crate::parse;
use std::fmt::Write as _;

/// A scenario of these pods in which the first one reaches the last one, with this many steps. If asked to, the first step
/// changes a pod's labels.
fn scenario_of(namespace: &str, pods: &[&str], steps: usize, relabels: bool) -> Scenario {
    let workloads: Vec<String> =
        pods.iter().map(|pod| format!("{namespace}/{pod}: {{ listens: [tcp/1] }}")).collect();
    let (first, last) = (pods.first().expect("there is one"), pods.last().expect("there is one"));
    let mut text = format!(
        "scenario: s\nnamespaces: {{ {namespace}: }}\nworkloads: {{ {} }}\nsteps:\n",
        workloads.join(", ")
    );
    for step in 0..steps {
        let change = match (relabels, step) {
            (true, 0) => format!("label: {{ {namespace}/{first}: {{ x: y }} }}, "),
            _ => String::new(),
        };
        let expect = format!("expect: {{ allow: [{namespace}/{first} -> {namespace}/{last}] }}");
        let _ = writeln!(text, "  - {{ step: s{step}, {change}{expect} }}");
    }
    parse::scenario("s.yaml", text.as_bytes(), &mut |_| Err("there is no file".to_owned()))
        .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

/// A scenario of two pods in the namespace.
fn scenario(namespace: &str, steps: usize, relabels: bool) -> Scenario {
    scenario_of(namespace, &["a", "b"], steps, relabels)
}

fn limits(jobs: usize) -> Limits {
    Limits { jobs, lane_share: 2, urgent: 0 }
}

fn lanes(scenarios: &[Scenario], limits: Limits) -> Vec<Vec<usize>> {
    super::lanes(scenarios, limits, |_| true)
}

fn pods(topology: Option<Topology>) -> Vec<String> {
    topology.map_or_else(Vec::new, |topology| topology.workloads.keys().map(ToString::to_string).collect())
}

#[test]
fn a_lane_has_topologies_that_agree_and_the_longest_comes_first() {
    let scenarios = [scenario("a", 1, false), scenario("b", 9, false), scenario("a", 1, false)];
    assert_eq!(lanes(&scenarios, limits(1)), [vec![1], vec![0, 2]]);
}

#[test]
fn what_is_urgent_comes_before_what_is_long() {
    let scenarios = ["a", "b", "c"].map(|namespace| scenario(namespace, 1, false));
    let scenarios = [&scenarios[..], &[scenario("d", 9, false)]].concat();
    let limits = Limits { urgent: 2, ..limits(4) };
    assert_eq!(lanes(&scenarios, limits), [vec![0], vec![1], vec![3], vec![2]]);
}

#[test]
fn lanes_of_one_topology_cost_about_the_same() {
    let scenarios = [5, 1, 1, 1, 1, 1].map(|steps| scenario("a", steps, false));
    assert_eq!(lanes(&scenarios, limits(2)), [vec![0, 1], vec![2, 3, 4, 5]]);
}

#[test]
fn few_scenarios_are_not_worth_a_lane_each() {
    let scenarios = [scenario("a", 1, false), scenario("a", 1, false)];
    assert_eq!(lanes(&scenarios, limits(9)).len(), 1);
}

#[test]
fn lanes_of_one_scenario_count_as_work_for_a_place() {
    let mut scenarios = vec![scenario("a", 1, false); 9];
    scenarios.extend(["b", "c", "d", "e"].map(|namespace| scenario(namespace, 1, false)));
    let first = (0..9).collect::<Vec<_>>();
    assert_eq!(lanes(&scenarios, limits(2)), [first, vec![9], vec![10], vec![11], vec![12]]);
}

#[test]
fn what_changes_labels_comes_last_on_a_lane_of_its_own_if_there_are_enough() {
    let mut scenarios = vec![scenario("a", 1, true), scenario("a", 1, true)];
    scenarios.extend((0..6).map(|_| scenario("a", 1, false)));
    let lanes = lanes(&scenarios, limits(2));
    assert_eq!(lanes.len(), 2);
    let last: Vec<usize> = lanes.iter().filter_map(|lane| lane.last().copied()).collect();
    assert!(last.contains(&0) && last.contains(&1), "{lanes:?}");
}

#[test]
fn topologies_with_a_pod_in_common_share_a_lane_and_others_do_not() {
    let some = |pods: &[&str]| scenario_of("a", pods, 1, false);
    let together = [some(&["x", "y"]), some(&["y", "z"]), some(&["x", "z"])];
    assert_eq!(lanes(&together, limits(1)), [vec![0, 1, 2]]);
    assert_eq!(pods(deployment(&together, &[0, 1, 2])), ["a/x", "a/y", "a/z"]);
    let apart = [some(&["x", "y"]), some(&["z", "w"])];
    assert_eq!(lanes(&apart, limits(1)).len(), 2, "together they have as many pods, and keep them longer");
}

#[test]
fn what_the_nodes_cannot_take_and_what_is_urgent_stays_apart() {
    let scenarios = [&["x", "y"][..], &["y", "z"]].map(|pods| scenario_of("a", pods, 1, false));
    let two = |topology: &Topology| topology.workloads.len() == 2;
    assert_eq!(super::lanes(&scenarios, limits(1), two).len(), 2);
    assert_eq!(lanes(&scenarios, Limits { urgent: 1, ..limits(1) }).len(), 2);
    assert_eq!(lanes(&scenarios, limits(1)).len(), 1);
}

#[test]
fn no_lane_has_more_than_so_many_pods() {
    let names: Vec<String> = (0..MOST_PODS + 2).map(|number| format!("p{number}")).collect();
    let pair = |at: usize| scenario_of("a", &[&names[at], &names[at + 1]], 1, false);
    let scenarios: Vec<Scenario> = (0..=MOST_PODS).map(pair).collect();
    let lanes = lanes(&scenarios, limits(1));
    let sizes: Vec<usize> = lanes.iter().map(|lane| pods(deployment(&scenarios, lane)).len()).collect();
    assert!(sizes.iter().all(|size| *size <= MOST_PODS) && sizes.len() == 2, "{sizes:?}");
}

#[test]
fn lanes_are_dealt_so_that_they_need_few_pods() {
    let kind = |pods: &[&str]| vec![scenario_of("a", pods, 2, false); 4];
    let mut scenarios = kind(&["x", "y", "z"]);
    scenarios.extend(kind(&["u", "v", "x"]));
    let lanes = lanes(&scenarios, limits(2));
    let mut needed: Vec<_> = lanes.iter().map(|lane| pods(deployment(&scenarios, lane))).collect();
    needed.sort();
    assert_eq!(needed, [["a/u", "a/v", "a/x"], ["a/x", "a/y", "a/z"]], "{lanes:?}");
    assert!(lanes.iter().all(|lane| lane.len() == 4), "{lanes:?}");
}

#[test]
fn a_deployment_is_for_what_comes_before_the_lane_cannot_be_used_again() {
    let scenarios = [
        scenario_of("a", &["x", "y"], 1, false),
        scenario_of("a", &["y", "z"], 1, true),
        scenario_of("a", &["x", "w"], 1, true),
    ];
    assert_eq!(pods(deployment(&scenarios, &[0, 1, 2])), ["a/x", "a/y", "a/z"]);
    assert_eq!(pods(deployment(&scenarios, &[1, 2])), ["a/y", "a/z"]);
    assert_eq!(pods(deployment(&scenarios, &[2])), ["a/w", "a/x"]);
    assert_eq!(deployment(&scenarios, &[]), None);
}
