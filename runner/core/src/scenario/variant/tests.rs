use super::*;
use crate::parse;

fn scenario(workloads: &str, expect: &str) -> Scenario {
    let text = format!(
        "scenario: x\nnamespaces: {{ a: }}\nworkloads: {{ {workloads} }}\nexpect: {{ allow: [{expect}] }}\n"
    );
    parse::scenario("x.yaml", text.as_bytes(), &mut |_| Err("no files".to_owned()))
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn placements(scenario: &Scenario) -> Vec<String> {
    let place = |(workload, spec): (&Workload, &crate::scenario::WorkloadSpec)| match &spec.placement {
        Placement::Any => workload.name.clone(),
        Placement::Node(node) => format!("{} on {node}", workload.name),
        Placement::SameAs(other) => format!("{} with {}", workload.name, other.name),
        Placement::OtherThan(other) => format!("{} not {}", workload.name, other.name),
    };
    scenario.topology.workloads.iter().map(place).collect()
}

#[test]
fn one_node_takes_all_that_are_free() {
    let one = scenario("a/x: , a/y: { listens: [tcp/1] }, a/z: { node: other-than a/y }", "any -> a/y");
    let placed = placed(vec![one], Where::SameNode);
    assert_eq!(placements(&placed[0]), ["x", "y with x", "z not y"]);
}

#[test]
fn two_nodes_part_the_ends_of_flows() {
    let client = "a/c1: , a/c2: , a/s1: { listens: [tcp/1] }, a/s2: { listens: [tcp/1] }";
    let star = scenario(client, "a/c1 -> a/s1, a/c2 -> a/s1, a/c1 -> a/s2");
    let apart = placed(vec![star.clone()], Where::CrossNode);
    assert_eq!(placements(&apart[0]), ["c1", "c2 with c1", "s1 not c1", "s2 not c1"]);
    // Scenarios with the same topology are placed in the same way, by the flows of all of them.
    let other = scenario(client, "a/s1 -> a/s2");
    let both = placed(vec![star, other], Where::CrossNode);
    assert_eq!(both[0].topology, both[1].topology);
}

#[test]
fn who_follows_another_counts_for_it() {
    let tied = "a/c: { node: same-as a/s }, a/far: { listens: [tcp/1] }, a/s: { listens: [tcp/1] }";
    let apart = placed(vec![scenario(tied, "a/c -> a/far, a/s -> a/far")], Where::CrossNode);
    assert_eq!(placements(&apart[0]), ["c with s", "far", "s not far"]);
}

#[test]
fn flows_go_through_a_service_and_lead_back_to_what_is_written() {
    let one = scenario(
        "a/c: , a/h: { listens: [tcp/2], hostNetwork: true }, a/s: { listens: [tcp/1] }",
        "a/c -> a/s, a/s -> self, a/c -> a/h",
    );
    let flows = |scenario: &Scenario| {
        scenario.steps[0].expectations.iter().map(|e| e.flow.to_string()).collect::<BTreeSet<_>>()
    };
    let through = via(one.clone(), Via::Service);
    let expected = ["a/c -> service a/via-s tcp/1", "a/s -> a/s tcp/1", "a/c -> a/h tcp/2"];
    assert_eq!(flows(&through), expected.map(str::to_owned).into());
    let both = via(one.clone(), Via::Both);
    assert_eq!(flows(&both), flows(&one).union(&flows(&through)).cloned().collect());
    let back: BTreeSet<String> = through.steps[0]
        .expectations
        .iter()
        .map(|e| written(&e.flow).unwrap_or_else(|| e.flow.clone()).to_string())
        .collect();
    assert_eq!(back, flows(&one));
    assert_eq!(via(one.clone(), Via::Pod), one);
}
