//! The canary: whether this cluster enforces anything at all, on every pair of the nodes that a run uses.

use flowproof_core::{
    outcome::{Canary, CanaryPair, FlowOutcome, ScenarioOutcome},
    scenario::{
        Change, Expected, Manifest, NamedListener, ObjectRef, Placement, Scenario, Step, Topology, Wanted,
        WorkloadSpec,
        flow::{Expectation, Family, Flow, Target},
        name::Workload,
    },
    text::{Places, Position},
    verdict::Kind,
};
use flowproof_wire::{Listener, Transport};
use serde_json::json;

/// Up to this many nodes, every ordered pair is tried. With more nodes, each is tried with itself and its neighbors in a ring.
const ALL_PAIRS_UP_TO: usize = 8;
const NAMESPACE: &str = "canary";
const LISTENER: Listener = Listener { transport: Transport::Tcp, port: 80 };

/// Makes the canary's scenario: on every node a source and a destination, and a policy that denies everything.
pub fn scenario(nodes: &[String]) -> Scenario {
    let at = Position { file: "canary".into(), line: 1, column: 1 };
    let workload = |role: &str, node: usize| Workload::new(NAMESPACE, format!("{role}-{}", node + 1));
    let spec = |node: &String, listens: Vec<NamedListener>| WorkloadSpec {
        placement: Placement::Node(node.clone()),
        listens,
        ..WorkloadSpec::default()
    };
    let listens = || vec![LISTENER.into()];
    let sources = nodes.iter().enumerate().map(|(n, node)| (workload("from", n), spec(node, Vec::new())));
    let destinations = nodes.iter().enumerate().map(|(n, node)| (workload("to", n), spec(node, listens())));
    let object = ObjectRef {
        api_version: "networking.k8s.io/v1".into(),
        kind: "NetworkPolicy".into(),
        namespace: Some(NAMESPACE.into()),
        name: "deny-all".into(),
    };
    let policy = json!({
        "apiVersion": object.api_version, "kind": object.kind,
        "metadata": {"name": object.name, "namespace": NAMESPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    });
    let expected = |(from, to): (usize, usize)| Expected {
        flow: Flow {
            source: workload("from", from),
            target: Target::Workload(workload("to", to)),
            transport: LISTENER.transport,
            port: LISTENER.port,
            established: false,
        },
        wanted: Wanted::Written(Expectation::Deny),
        at: at.clone(),
    };
    Scenario {
        claim: "the cluster enforces policies".into(),
        why: String::new(),
        file: at.file.clone(),
        topology: Topology {
            namespaces: [(NAMESPACE.to_owned(), [].into())].into(),
            workloads: sources.chain(destinations).collect(),
            services: [].into(),
            ..Topology::default()
        },
        live: false,
        notes: Vec::new(),
        families: [Family::V4, Family::V6].into(),
        steps: vec![Step {
            title: "deny everything".into(),
            changes: vec![Change::Apply(Manifest {
                object,
                value: policy,
                at: at.clone(),
                places: Places::default(),
            })],
            expectations: pairs(nodes.len()).into_iter().map(expected).collect(),
            shows: Vec::new(),
        }],
    }
}

fn pairs(nodes: usize) -> Vec<(usize, usize)> {
    let near = |from: usize, to: usize| from == to || (from + 1) % nodes == to || (to + 1) % nodes == from;
    let all = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
    all.filter(|(from, to)| nodes <= ALL_PAIRS_UP_TO || near(*from, *to)).collect()
}

/// Reads the canary's outcome: one entry per pair of nodes, in which the worst family counts.
pub fn read(outcome: &ScenarioOutcome) -> Canary {
    let mut pairs: Vec<CanaryPair> = Vec::new();
    for flow in outcome.steps.iter().flat_map(|step| &step.flows) {
        let pair = pair(flow);
        match pairs.iter_mut().find(|known| known.from == pair.from && known.to == pair.to) {
            Some(known) if known.verdict < pair.verdict => *known = pair,
            Some(known) => known.enforced_after_ms = known.enforced_after_ms.max(pair.enforced_after_ms),
            None => pairs.push(pair),
        }
    }
    Canary { pairs }
}

fn pair(flow: &FlowOutcome) -> CanaryPair {
    CanaryPair {
        from: flow.evidence.source_node.clone(),
        to: flow.evidence.destination_node.clone().unwrap_or_default(),
        verdict: flow.verdict,
        reason: flow.reason,
        enforced_after_ms: flow.evidence.enforced_after_ms.filter(|_| flow.verdict == Kind::Matched),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_nodes_are_tried_in_all_pairs_and_many_in_a_ring() {
        assert_eq!(pairs(2), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(pairs(8).len(), 64);
        let ring = pairs(30);
        assert_eq!(ring.len(), 90, "each with itself and two neighbours");
        assert!((0..30).all(|node| ring.iter().filter(|(_, to)| *to == node).count() == 3));
    }

    #[test]
    fn every_node_has_a_source_and_a_destination() {
        let scenario = scenario(&["a".into(), "b".into()]);
        assert_eq!(scenario.topology.workloads.len(), 4);
        assert_eq!(scenario.steps[0].expectations.len(), 4);
    }
}
