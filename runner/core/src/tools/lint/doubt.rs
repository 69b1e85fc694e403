//! What an API server accepts in a policy although surely nobody means it.

use super::{
    at,
    ports::{self, Listeners},
};
use crate::{
    place::rewrite::namespace_labels,
    policy::{
        Cluster, ClusterPolicy, Direction, NetworkPolicy, Peer, PolicyKind, Scene, TierPeer,
        scene::{DNS_LABEL, DNS_NAMESPACE, policy_kind},
    },
    scenario::{
        Change, Labels, Manifest, Scenario,
        flow::Target,
        label::{LabelChange, amend},
        name::Qualified,
        selector::Selector,
    },
    snapshot::{Service, Snapshot, services_of},
    text::Problem,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a policy is compared with.
#[derive(Debug)]
pub struct Around<'a> {
    /// Pods and policies.
    pub cluster: &'a Cluster,
    /// Labels that namespaces have at some time; empty if nobody knows which namespaces there are.
    pub namespaces: Vec<(String, Labels)>,
    /// Labels that pods have at some time, by namespace; empty if nobody knows which pods there are.
    pub pods: Vec<(String, Labels)>,
    /// Services.
    pub services: BTreeMap<Qualified, Service>,
    /// Whether nothing is doubted about DNS, because the scenario has expectations for it.
    pub without_dns: bool,
}

/// Namespaces that every cluster has, and whose pods are seldom in manifests.
const EVERYWHERE: [&str; 2] = ["default", "kube-system"];

impl<'a> Around<'a> {
    /// What surrounds the policies of plain manifests, and what every cluster has.
    pub(super) fn of_snapshot(snapshot: &'a Snapshot) -> Self {
        let cluster = &snapshot.cluster;
        // If files have namespaces or pods, they are taken to have all that matter.
        let mut namespaces = Vec::new();
        if cluster.namespaces.len() > snapshot.guessed.len() {
            let missing = EVERYWHERE.iter().filter(|name| !cluster.namespaces.contains_key(**name));
            namespaces
                .extend(missing.map(|name| ((*name).to_owned(), namespace_labels(name, &Labels::new()))));
            namespaces.extend(cluster.namespaces.clone());
        }
        let mut pods: Vec<(String, Labels)> =
            cluster.pods.iter().map(|pod| (pod.name.namespace.clone(), pod.labels.clone())).collect();
        if !pods.is_empty() {
            let (key, value) = DNS_LABEL;
            pods.push((DNS_NAMESPACE.to_owned(), [(key.to_owned(), value.to_owned())].into()));
        }
        Self { cluster, namespaces, pods, services: snapshot.services.clone(), without_dns: false }
    }

    /// What surrounds the policies of a step.
    pub(super) fn of_scenario(scenario: &'a Scenario, scene: &Scene<'_>, cluster: &'a Cluster) -> Self {
        let mut namespaces: Vec<(String, Labels)> = scene.namespaces().into_iter().collect();
        let mut pods: Vec<(String, Labels)> =
            cluster.pods.iter().map(|pod| (pod.name.namespace.clone(), pod.labels.clone())).collect();
        // Labels that come later count, too: a step may be about a policy that selects nothing yet.
        let set = |labels: &Labels, change: &LabelChange| {
            let mut labels = labels.clone();
            amend(&mut labels, change);
            labels
        };
        for change in scenario.steps.iter().flat_map(|step| &step.changes) {
            match change {
                Change::LabelNamespace(name, change) => {
                    let before: Vec<_> =
                        namespaces.iter().filter(|(known, _)| known == name).cloned().collect();
                    namespaces
                        .extend(before.iter().map(|(name, labels)| (name.clone(), set(labels, change))));
                }
                Change::LabelPod(name, change) => {
                    let known = cluster.pods.iter().find(|pod| pod.name == *name);
                    pods.extend(known.map(|pod| (name.namespace.clone(), set(&pod.labels, change))));
                }
                _ => {}
            }
        }
        // A scenario that has expectations for DNS has thought of it.
        let asks = |expected: &crate::scenario::Expected| expected.flow.target == Target::ClusterDns;
        let without_dns = scenario.steps.iter().flat_map(|step| &step.expectations).any(asks);
        Self { cluster, namespaces, pods, services: services_of(&scenario.topology), without_dns }
    }

    fn selects_namespace(&self, selector: &Selector) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|(_, labels)| selector.matches(labels))
    }

    /// Whether a selector names a namespace that every cluster has but that is not known here.
    fn has_unlisted_pods(&self, namespaces: &Selector) -> bool {
        let named = namespaces.only_value_of("kubernetes.io/metadata.name");
        named.is_some_and(|name| EVERYWHERE.contains(&name) && !self.cluster.namespaces.contains_key(name))
    }

    fn selects_pod(&self, namespace: Option<&str>, selector: &Selector) -> bool {
        self.pods.is_empty()
            || self.pods.iter().any(|(of, labels)| {
                namespace.is_none_or(|namespace| namespace == of) && selector.matches(labels)
            })
    }

    fn have_a_common_subject(&self, one: &ClusterPolicy, other: &ClusterPolicy) -> bool {
        let both = [one, other];
        let in_namespace = |of: &str| {
            // A namespace that is not known may have any labels. One that is known has each of these at some time.
            let mut known = self.namespaces.iter().filter(|(name, _)| name == of).peekable();
            known.peek().is_none()
                || known.any(|(_, labels)| both.iter().all(|policy| policy.namespaces.matches(labels)))
        };
        self.pods.is_empty()
            || self
                .pods
                .iter()
                .any(|(of, labels)| both.iter().all(|policy| policy.pods.matches(labels)) && in_namespace(of))
    }
}

/// Finds what is doubtful in a policy that an API server accepts.
#[must_use]
pub fn doubts(manifest: &Manifest, value: &Value, around: &Around<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    match policy_kind(manifest) {
        Some(PolicyKind::Namespaced) => {
            if let Ok(policy) = NetworkPolicy::from_json(value) {
                namespaced(manifest, value, &policy, around, &mut found);
            }
        }
        Some(PolicyKind::Cluster(_)) => {
            if let Ok(policy) = ClusterPolicy::from_json(value) {
                clusterwide(manifest, &policy, around, &mut found);
            }
        }
        None => {}
    }
    found.into_iter().map(Problem::warning).collect()
}

fn namespaced(
    manifest: &Manifest,
    value: &Value,
    policy: &NetworkPolicy,
    around: &Around<'_>,
    found: &mut Vec<Problem>,
) {
    let spec = &value["spec"];
    if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        types(manifest, spec, found);
    }
    let namespace = policy.name.namespace.as_str();
    if !around.selects_pod(Some(namespace), &policy.pods) {
        let message = format!("podSelector {} selects no pod of {namespace}", policy.pods);
        found.push(hinted(at(manifest, "spec.podSelector", message), "the policy has no effect"));
    }
    for (direction, rules) in [(Direction::Ingress, &policy.ingress), (Direction::Egress, &policy.egress)] {
        for (index, rule) in rules.iter().flatten().enumerate() {
            let path = format!("spec.{}[{index}]", direction.as_str());
            let peers = format!("{path}.{}", direction.peers());
            let written = &spec[direction.as_str()][index][direction.peers()];
            if written.as_array().is_some_and(Vec::is_empty) {
                let message = format!("{}: [] allows everybody", direction.peers());
                found.push(hinted(
                    at(manifest, &peers, message),
                    "an empty list of peers restricts nothing; to allow nobody, leave the rule out",
                ));
            }
            for (number, peer) in rule.peers.iter().enumerate() {
                self::peer(manifest, &format!("{peers}[{number}]"), peer, namespace, around, found);
            }
            for (number, port) in rule.ports.iter().enumerate() {
                let whom = match direction {
                    Direction::Ingress => Listeners::Selected(namespace, &policy.pods),
                    Direction::Egress => Listeners::Anybody,
                };
                let port_path = format!("{path}.ports[{number}]");
                ports::nobody_listens(manifest, &port_path, port, &whom, around, found);
                ports::of_a_service(manifest, &port_path, port, policy, (direction, rule), around, found);
                ports::name_at_addresses(manifest, &port_path, port, (direction, rule), found);
            }
        }
    }
    if !around.without_dns {
        super::dns::doubts(manifest, policy, around, found);
    }
}

/// Reports what happens because `policyTypes` is left out.
fn types(manifest: &Manifest, spec: &Value, found: &mut Vec<Problem>) {
    let egress = spec["egress"].as_array();
    if egress.is_some_and(Vec::is_empty) && spec["ingress"].is_null() {
        found.push(hinted(
            at(manifest, "spec.egress", "egress: [] without policyTypes denies all ingress, and no egress"),
            "without policyTypes a policy is about Ingress, and about Egress only if it has rules for it; write policyTypes: [Egress]",
        ));
    } else if egress.is_some_and(Vec::is_empty) {
        found.push(hinted(
            at(manifest, "spec.egress", "egress: [] without policyTypes isolates nothing for egress"),
            "without policyTypes a policy is about Egress only if it has rules for it; write policyTypes: [Ingress, Egress]",
        ));
    } else if egress.is_some_and(|rules| !rules.is_empty()) && spec["ingress"].is_null() {
        found.push(hinted(
            at(manifest, "spec.egress", "rules for egress alone, without policyTypes, also deny all ingress"),
            "write policyTypes: [Egress], or [Ingress, Egress] if that is meant",
        ));
    }
}

fn peer(
    manifest: &Manifest,
    path: &str,
    peer: &Peer,
    namespace: &str,
    around: &Around<'_>,
    found: &mut Vec<Problem>,
) {
    match peer {
        Peer::Here(pods) if !around.selects_pod(Some(namespace), pods) => {
            let message = format!("podSelector {pods} selects no pod of {namespace}");
            let hint = "without a namespaceSelector a peer is about the policy's own namespace";
            found.push(hinted(at(manifest, &format!("{path}.podSelector"), message), hint));
        }
        Peer::In(namespaces, _) if !around.selects_namespace(namespaces) => {
            let message = format!("namespaceSelector {namespaces} matches no namespace");
            let hint = "namespaces are selected by their labels; each has kubernetes.io/metadata.name";
            found.push(hinted(at(manifest, &format!("{path}.namespaceSelector"), message), hint));
        }
        Peer::In(namespaces, _) if around.has_unlisted_pods(namespaces) => {}
        Peer::In(_, pods) if !around.selects_pod(None, pods) => {
            let message = format!("podSelector {pods} selects no pod of any namespace");
            found.push(hinted(
                at(manifest, &format!("{path}.podSelector"), message),
                "the peer matches nobody",
            ));
        }
        Peer::In(namespaces, _) => {
            by_name(manifest, &format!("{path}.namespaceSelector"), namespaces, around, found);
        }
        _ => {}
    }
}

/// Reports a selector by the label `name`, which no namespace has unless somebody sets it. If all namespaces are known, the
/// general question covers this.
fn by_name(
    manifest: &Manifest,
    path: &str,
    selector: &Selector,
    around: &Around<'_>,
    found: &mut Vec<Problem>,
) {
    if !around.namespaces.is_empty() {
        return;
    }
    let Some(wanted) = selector.only_value_of("name") else { return };
    let given = around
        .cluster
        .namespaces
        .values()
        .any(|labels| labels.get("name").is_some_and(|name| name == wanted));
    if !given {
        let message = format!("no manifest gives a namespace the label name={wanted}");
        let hint = format!(
            "no namespace has it by itself; each has kubernetes.io/metadata.name: {wanted} for the one of that name"
        );
        found.push(hinted(at(manifest, path, message), &hint));
    }
}

fn clusterwide(manifest: &Manifest, policy: &ClusterPolicy, around: &Around<'_>, found: &mut Vec<Problem>) {
    if !around.selects_namespace(&policy.namespaces) {
        let message = format!("the subject's selector {} matches no namespace", policy.namespaces);
        found.push(hinted(at(manifest, "spec.subject", message), "the policy has no effect"));
    }
    let same = around.cluster.cluster_policies.iter().find(|other| {
        other.name != policy.name
            && other.tier == policy.tier
            && other.priority == policy.priority
            && around.have_a_common_subject(policy, other)
    });
    if let Some(other) = same {
        let message =
            format!("{} has the same tier and priority: which of them wins is left open", other.name);
        found.push(hinted(
            at(manifest, "spec.priority", message),
            "give every policy of a tier a priority of its own",
        ));
    }
    for direction in Direction::BOTH {
        for (index, rule) in policy.rules(direction).iter().enumerate() {
            let path = format!("spec.{}[{index}]", direction.as_str());
            for (number, peer) in rule.peers.iter().enumerate() {
                let path = format!("{path}.{}[{number}]", direction.peers());
                match peer {
                    TierPeer::Pods(namespaces, _) if !around.selects_namespace(namespaces) => {
                        let message = format!("{namespaces} matches no namespace");
                        found.push(hinted(at(manifest, &path, message), "the peer matches nobody"));
                    }
                    TierPeer::Pods(namespaces, _) => by_name(manifest, &path, namespaces, around, found),
                    _ => {}
                }
            }
        }
    }
}

pub(super) fn hinted(mut problem: Problem, hint: &str) -> Problem {
    problem.hint(hint);
    problem
}
