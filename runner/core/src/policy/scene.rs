//! A scenario's state as the oracle sees it: what is deployed, what was applied, and where its flows lead.
//!
//! Before a run, nothing is known about addresses and nodes. Stand-ins take their place, and what depends on them is left open.

use super::{
    answer::Holds,
    cluster_policy::ClusterPolicy,
    derive::Derivation,
    facts::{Answer, Ask, Cluster, End, Gap, Pod, PodPort, Protocol, SOME_NODE, Via, stand_in},
    network_policy::NetworkPolicy,
    oracle::Oracle,
    validate::{PolicyKind, Violation, validate},
};
use crate::{
    place::{
        plan::{Surroundings, behind},
        rewrite::{Names, namespace_labels},
    },
    scenario::{
        Change, Labels, Manifest, ObjectRef, Placement, Topology,
        flow::{Expectation, Family, Flow, Target},
        label::amend,
        name::Workload,
    },
};
use flowproof_wire::{Listener, Transport};
use std::{collections::BTreeMap, net::IpAddr};

/// Where the cluster's name servers are, and the label by which policies select them. kubeadm, kind, k3s and most distributions
/// use these names.
pub(crate) const DNS_NAMESPACE: &str = "kube-system";
pub(crate) const DNS_LABEL: (&str, &str) = ("k8s-app", "kube-dns");

/// Numbers of the stand-ins for the addresses of nodes and of the DNS pod; those of pods begin at 1.
const FIRST_NODE: u32 = 1 << 16;
const DNS_POD: u32 = 1 << 18;

/// A scenario's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene<'a> {
    topology: &'a Topology,
    around: Surroundings,
    namespaces: BTreeMap<String, Labels>,
    manifests: BTreeMap<ObjectRef, Manifest>,
}

/// A policy that an API server rejects.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// Its manifest.
    pub manifest: Manifest,
    /// What is wrong with it.
    pub violations: Vec<Violation>,
}

/// What the policies say about a flow of the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The answer; for a Service, what the answers for all pods behind it have in common.
    pub answer: Answer,
    /// The reason; for a Service, that of one pod behind it.
    pub reason: Option<Derivation>,
}

impl Finding {
    /// What holds for a flow that may lead to any of these.
    pub(crate) fn of(oracle: &Oracle<'_>, asks: &[Ask]) -> Self {
        let reasons: Vec<Derivation> = asks.iter().map(|ask| oracle.derive(ask)).collect();
        let answer = in_common(reasons.iter().map(|reason| reason.answer));
        let same = reasons.iter().position(|reason| reason.answer == answer).unwrap_or(0);
        Self { answer, reason: reasons.into_iter().nth(same) }
    }

    /// What a flow must do according to this answer.
    #[must_use]
    pub fn expectation(&self) -> Expectation {
        match self.answer {
            Answer::Allow => Expectation::Allow,
            Answer::Deny => Expectation::Deny,
            Answer::Unspecified(_) => Expectation::Unspecified,
        }
    }

    /// The reason in one clause.
    #[must_use]
    pub fn clause(&self) -> String {
        match (&self.reason, self.answer) {
            (Some(reason), Answer::Allow | Answer::Deny) => reason.clause(),
            (_, Answer::Unspecified(gap)) => gap.text().to_owned(),
            (None, answer) => answer.word().to_owned(),
        }
    }
}

impl<'a> Scene<'a> {
    /// The scenario as it is deployed, before anything is known about the cluster.
    #[must_use]
    pub fn planned(topology: &'a Topology) -> Self {
        let numbered = || topology.workloads.keys().zip(1_u32..);
        let both = |number: u32| [Family::V4, Family::V6].map(|family| stand_in(number, family)).to_vec();
        let around = Surroundings {
            pods: numbered().map(|(workload, number)| (workload.clone(), both(number))).collect(),
            nodes: numbered()
                .map(|(workload, number)| (workload.clone(), both(FIRST_NODE + number)))
                .collect(),
            ..Surroundings::default()
        };
        Self::running(topology, around, topology.namespaces.clone(), &[])
    }

    /// The scenario as it runs.
    #[must_use]
    pub fn running(
        topology: &'a Topology,
        around: Surroundings,
        namespaces: BTreeMap<String, Labels>,
        manifests: &[Manifest],
    ) -> Self {
        let manifests =
            manifests.iter().map(|manifest| (manifest.object.clone(), manifest.clone())).collect();
        Self { topology, around, namespaces, manifests }
    }

    /// Makes a change of a step.
    pub fn change(&mut self, change: &Change) {
        match change {
            Change::Apply(manifest) => {
                self.manifests.insert(manifest.object.clone(), manifest.clone());
            }
            Change::Delete(object) => {
                self.manifests.remove(object);
            }
            Change::LabelPod(workload, change) => {
                let spec = self.topology.workloads.get(workload);
                let labels = self.around.labels.entry(workload.clone());
                amend(labels.or_insert_with(|| spec.map(|s| s.labels.clone()).unwrap_or_default()), change);
            }
            Change::LabelNamespace(namespace, change) => {
                amend(self.namespaces.entry(namespace.clone()).or_default(), change);
            }
            Change::Restart(_) => {}
        }
    }

    /// The manifests that are currently applied.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }

    /// Current labels of the namespaces, including the one of the cluster's DNS.
    #[must_use]
    pub fn namespaces(&self) -> BTreeMap<String, Labels> {
        let own = self.namespaces.iter().map(|(name, labels)| (name.clone(), namespace_labels(name, labels)));
        let dns = (DNS_NAMESPACE.to_owned(), namespace_labels(DNS_NAMESPACE, &Labels::new()));
        own.chain([dns]).collect()
    }

    /// The policies that an API server rejects.
    #[must_use]
    pub fn rejected(&self) -> Vec<Rejected> {
        let check = |manifest: &Manifest| {
            let violations = validate(policy_kind(manifest)?, &self.value(manifest));
            (!violations.is_empty()).then(|| Rejected { manifest: manifest.clone(), violations })
        };
        self.manifests.values().filter_map(check).collect()
    }

    /// A manifest with its placeholders replaced.
    #[must_use]
    pub fn value(&self, manifest: &Manifest) -> serde_json::Value {
        Names::logical_manifest(manifest, &self.around.pods)
    }

    /// The cluster as the oracle needs it, without the policies that an API server rejects.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let mut cluster = Cluster { namespaces: self.namespaces(), ..Cluster::default() };
        for (workload, spec) in &self.topology.workloads {
            let node = self.node_of(workload);
            let at_node = self.around.nodes.get(workload).cloned().unwrap_or_default();
            cluster.nodes.entry(node.clone()).or_insert(at_node);
            cluster.pods.push(Pod {
                name: workload.clone(),
                labels: self.labels(workload).clone(),
                addresses: if spec.host_network { &self.around.nodes } else { &self.around.pods }
                    .get(workload)
                    .cloned()
                    .unwrap_or_default(),
                ports: spec
                    .listens
                    .iter()
                    .map(|named| pod_port(named.name.as_deref(), named.listener))
                    .collect(),
                init_ports: Vec::new(),
                node,
                host_network: spec.host_network,
            });
        }
        cluster.pods.push(dns_pod());
        for manifest in self.manifests.values() {
            let value = self.value(manifest);
            match policy_kind(manifest) {
                Some(PolicyKind::Namespaced) => cluster.policies.extend(NetworkPolicy::from_json(&value)),
                Some(PolicyKind::Cluster(_)) => {
                    cluster.cluster_policies.extend(ClusterPolicy::from_json(&value));
                }
                None => {}
            }
        }
        cluster
    }

    fn labels(&self, workload: &Workload) -> &Labels {
        self.around.labels.get(workload).unwrap_or(&self.topology.workloads[workload].labels)
    }

    /// A name for the node of a workload; pods on the same node get the same name.
    fn node_of(&self, workload: &Workload) -> String {
        let mut at = workload;
        // A placement has no circles; the limit keeps a wrong one from hanging.
        for _ in 0..self.topology.workloads.len() {
            match self.topology.workloads.get(at).map(|spec| &spec.placement) {
                Some(Placement::SameAs(other)) => at = other,
                Some(Placement::Node(name)) => return name.clone(),
                _ => break,
            }
        }
        match self.around.nodes.get(at).and_then(|addresses| addresses.first()) {
            Some(address) if !super::facts::is_stand_in(*address) => address.to_string(),
            _ => format!("{SOME_NODE}{at}"),
        }
    }

    /// Whether a policy is in force that the oracle cannot read.
    pub(super) fn has_other_kinds(&self) -> bool {
        self.manifests
            .values()
            .any(|manifest| manifest.object.kind.ends_with("Policy") && policy_kind(manifest).is_none())
    }

    /// Says what the policies mean for a flow in a family. `oracle` must be one of [`cluster`](Self::cluster).
    #[must_use]
    pub fn find(&self, oracle: &Oracle<'_>, flow: &Flow, family: Family) -> Finding {
        if self.has_other_kinds() {
            return Finding { answer: Answer::Unspecified(Gap::OtherKind), reason: None };
        }
        let found = Finding::of(oracle, &self.asks(flow, family));
        Finding { answer: of_connection(flow, found.answer), ..found }
    }

    /// What [`find`](Self::find) answers, without the reason: this is many times faster.
    #[must_use]
    pub fn answer(&self, oracle: &Oracle<'_>, flow: &Flow, family: Family) -> Answer {
        if self.has_other_kinds() {
            return Answer::Unspecified(Gap::OtherKind);
        }
        of_connection(flow, in_common(self.asks(flow, family).iter().map(|ask| oracle.judge(ask))))
    }

    /// The connections that a flow may lead to: several for a Service.
    pub(super) fn asks(&self, flow: &Flow, family: Family) -> Vec<Ask> {
        let index = |workload: &Workload| {
            self.topology.workloads.keys().position(|known| known == workload).map(End::Pod)
        };
        let Some(source) = index(&flow.source) else { return Vec::new() };
        let protocol = protocol(flow.transport);
        let ask = |destination, port, service| Ask { source, destination, family, protocol, port, service };
        let first = |addresses: Option<&Vec<IpAddr>>| {
            addresses.into_iter().flatten().copied().find(|address| Family::of(*address) == family)
        };
        match &flow.target {
            Target::Workload(workload) => {
                index(workload).map(|end| ask(end, flow.port, None)).into_iter().collect()
            }
            Target::Service(name) => {
                let Some(service) = self.topology.services.get(name) else { return Vec::new() };
                let listener = Listener { transport: flow.transport, port: flow.port };
                let via = Some(Via { address: first(self.around.services.get(name)), port: Some(flow.port) });
                behind(service, &name.namespace, listener, self.topology, &self.around)
                    .into_iter()
                    .filter_map(|(workload, listener)| Some(ask(index(&workload)?, listener.port, via)))
                    .collect()
            }
            // Only a cluster's own state knows what is behind it: see `crate::snapshot::live`.
            Target::LiveService(_) => Vec::new(),
            Target::NodeOf(workload) => first(self.around.nodes.get(workload))
                .map(|address| ask(End::Address(address), flow.port, None))
                .into_iter()
                .collect(),
            Target::Address(address) => vec![ask(End::Address(*address), flow.port, None)],
            Target::ClusterDns => {
                let address = first(self.around.name_servers.get(&flow.source));
                let via = Via { address, port: Some(flow.port) };
                vec![ask(End::Pod(self.topology.workloads.len()), flow.port, Some(via))]
            }
        }
    }
}

impl Holds {
    /// Whether it certainly holds.
    #[must_use]
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// What holds for a flow that may lead to any of several connections.
fn in_common(answers: impl Iterator<Item = Answer>) -> Answer {
    let answer = answers.reduce(|one, other| one.or_else_open(other, Gap::BackendsDiffer));
    answer.unwrap_or(Answer::Unspecified(Gap::NoBackend))
}

/// What holds for a flow whose connection may have existed before the policies.
fn of_connection(flow: &Flow, answer: Answer) -> Answer {
    if flow.established && answer == Answer::Deny { Answer::Unspecified(Gap::Established) } else { answer }
}

/// The kind of a manifest, if it is a policy.
#[must_use]
pub fn policy_kind(manifest: &Manifest) -> Option<PolicyKind> {
    PolicyKind::of(&manifest.object.api_version, &manifest.object.kind)
}

/// The protocol of a transport.
#[must_use]
pub fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Tcp | Transport::DnsTcp => Protocol::Tcp,
        Transport::Udp | Transport::DnsUdp => Protocol::Udp,
    }
}

fn pod_port(name: Option<&str>, listener: Listener) -> PodPort {
    PodPort { name: name.map(str::to_owned), protocol: protocol(listener.transport), number: listener.port }
}

fn dns_pod() -> Pod {
    let port = |name: &str, protocol| PodPort { name: Some(name.to_owned()), protocol, number: 53 };
    Pod {
        name: Workload::new(DNS_NAMESPACE, "cluster-dns"),
        labels: [(DNS_LABEL.0.to_owned(), DNS_LABEL.1.to_owned())].into(),
        addresses: [Family::V4, Family::V6].map(|family| stand_in(DNS_POD, family)).to_vec(),
        ports: vec![port("dns", Protocol::Udp), port("dns-tcp", Protocol::Tcp)],
        init_ports: Vec::new(),
        node: format!("{SOME_NODE}cluster-dns"),
        host_network: false,
    }
}
