//! The local cluster on paper: the same API, addresses, policy engine and faults, and no kernel.
//!
//! What a network with a fault does to a flow, once it has settled, follows from the rules of its nodes, so it can be worked
//! out in microseconds. `tests/local_paper.rs` of this crate shows that the kernel does the same.

use super::{
    address::{self, Families, Numbers, Reuse},
    engine::{
        compile::compile,
        memory::Memory,
        ruleset::Ruleset,
        view::{Pod, Service, View},
        walk::Paths,
    },
    fault::Fault,
    object::{ContainerPort, Name, Protocol, Refusal, ServicePort},
    system,
};
use flowproof_core::{
    place::rewrite::{Addresses, Names, namespace_labels},
    scenario::{
        Change, Topology,
        flow::{Family, Flow, Target},
        label::amend,
        name::Workload,
    },
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Instant};

pub use super::engine::walk::Fate;

/// Why a scenario cannot be played on paper; if the API server would reject a policy, with its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// The state of the API, to which changes are made.
pub struct Api {
    state: State,
    numbers: Vec<Numbers>,
    /// The number of each pod's address on its node.
    taken: BTreeMap<Workload, u16>,
    reuse: Reuse,
}

/// The API's state at one moment. Cheap to clone.
#[derive(Clone)]
pub struct State {
    view: View,
    pods: Addresses,
    nodes: Arc<Vec<Vec<IpAddr>>>,
}

/// A policy engine, with or without a fault, and what it remembers.
pub struct Engine {
    memory: Memory,
    fault: Option<Fault>,
}

/// The rules of all nodes.
#[derive(Clone)]
pub struct Rules(Vec<(Ruleset, Option<Fault>)>);

impl Api {
    /// Deploys a topology: every workload on the node with its number, from 1. `fault` is the network's fault, which decides how soon an
    /// address is used again.
    #[must_use]
    pub fn deployed(
        topology: &Topology,
        placed: &BTreeMap<Workload, u8>,
        nodes: u8,
        fault: Option<Fault>,
    ) -> Self {
        let mut view = View::default();
        system::add_to(&mut view, Families::Dual);
        for (name, labels) in &topology.namespaces {
            view.namespaces.insert(name.clone(), namespace_labels(name, labels));
        }
        let state = State {
            view,
            pods: Addresses::new(),
            nodes: Arc::new((1..=nodes).map(|number| address::node(number, Families::Dual)).collect()),
        };
        let mut api = Self {
            state,
            numbers: (1..=nodes).map(|_| Numbers::of_pods()).collect(),
            taken: BTreeMap::new(),
            reuse: Reuse::with(fault),
        };
        let dns = system::dns_pod(String::new());
        api.start(Pod {
            name: dns.name,
            labels: dns.labels,
            ports: dns.ports,
            node: system::DNS_NODE,
            addresses: Vec::new(),
            host_network: false,
        });
        let mut numbers = Numbers::of_services();
        for (name, spec) in &topology.services {
            // Unreachable: there are more numbers than a scenario can have Services.
            let Some(number) = numbers.take() else { break };
            let service = Service {
                name: name.clone(),
                selector: spec.selector.clone(),
                ports: spec.ports.iter().map(ServicePort::from).collect(),
                addresses: address::service(number, Families::Dual),
            };
            api.state.view.services.insert(name.clone(), Arc::new(service));
        }
        for (workload, spec) in &topology.workloads {
            let node = placed.get(workload).copied().unwrap_or(1).clamp(1, nodes);
            let pod = Pod {
                name: workload.clone(),
                labels: spec.labels.clone(),
                ports: spec.listens.iter().map(ContainerPort::from).collect(),
                node,
                addresses: Vec::new(),
                host_network: spec.host_network,
            };
            api.start(pod);
        }
        api
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Starts a pod, which gets its addresses now.
    fn start(&mut self, mut pod: Pod) {
        pod.addresses = if pod.host_network {
            self.state.nodes[usize::from(pod.node - 1)].clone()
        } else {
            let number = self.numbers[usize::from(pod.node - 1)].take().unwrap_or(u16::MAX >> 6);
            self.taken.insert(pod.name.clone(), number);
            address::pod(pod.node, number, Families::Dual)
        };
        self.state.pods.insert(pod.name.clone(), pod.addresses.clone());
        self.state.view.pods.insert(pod.name.clone(), Arc::new(pod));
    }

    /// Makes a change of a step; returns the states that follow, one after the other.
    ///
    /// Fails if the API server would reject a policy, or if the local cluster does not know its kind.
    pub fn change(&mut self, change: &Change) -> Result<Vec<State>, Refused> {
        let view = &mut self.state.view;
        match change {
            Change::Apply(manifest) => {
                view.apply(&Names::logical_manifest(manifest, &self.state.pods))?;
            }
            Change::Delete(object) => view.delete(&object.into())?,
            Change::LabelPod(workload, change) => {
                if let Some(pod) = view.pods.get_mut(workload) {
                    amend(&mut Arc::make_mut(pod).labels, change);
                }
            }
            Change::LabelNamespace(namespace, change) => {
                amend(view.namespaces.entry(namespace.clone()).or_default(), change);
            }
            Change::Restart(workload) => {
                let Some(pod) = view.pods.remove(workload) else { return Ok(vec![self.state()]) };
                let without = self.state();
                if let Some(number) = self.taken.remove(workload) {
                    self.numbers[usize::from(pod.node - 1)].give_back(number, self.reuse);
                }
                self.start(Pod::clone(&pod));
                return Ok(vec![without, self.state()]);
            }
        }
        Ok(vec![self.state()])
    }
}

impl State {
    /// The number of the node of a pod of the scenario.
    #[must_use]
    pub fn node(&self, workload: &Workload) -> Option<u8> {
        self.view.pods.get(workload).map(|pod| pod.node)
    }

    /// Follows a flow through the rules of all nodes. `None` if its ends do not have the family, or if the fate is unknown (an
    /// established connection, a Service of a cluster).
    #[must_use]
    pub fn follow(&self, rules: &Rules, flow: &Flow, family: Family) -> Option<Fate> {
        if flow.established {
            return None;
        }
        let source = self.view.pods.get(&flow.source)?;
        let service = |name: &Name| self.view.services.get(name).map(|service| service.addresses.clone());
        let addresses = match &flow.target {
            Target::Workload(workload) => self.view.pods.get(workload)?.addresses.clone(),
            Target::Service(name) => service(name)?,
            Target::LiveService(_) => return None,
            Target::NodeOf(workload) => self.nodes[usize::from(self.node(workload)? - 1)].clone(),
            Target::Address(address) => vec![*address],
            Target::ClusterDns => service(&system::dns_service())?,
        };
        let to = addresses.into_iter().find(|address| Family::of(*address) == family)?;
        let paths = Paths { view: &self.view, addresses: &self.nodes, nodes: &rules.0 };
        Some(paths.connect(source, to, Protocol::from(flow.transport), flow.port))
    }
}

impl Engine {
    /// An engine with a fault, or one without.
    #[must_use]
    pub fn new(fault: Option<Fault>) -> Self {
        Self { memory: Memory::with(fault), fault }
    }

    /// Takes a state in without a look at the rules, of which another state will follow at once.
    pub fn notice(&mut self, state: &State, now: Instant) {
        self.memory.perceive(state.view.clone(), now);
    }

    /// Takes a state in, and returns the rules that the nodes then have.
    pub fn enforce(&mut self, state: &State, now: Instant) -> Rules {
        let perceived = self.memory.perceive(state.view.clone(), now);
        let nodes = 1..=state.nodes.len() as u8;
        Rules(nodes.map(|node| (compile(&perceived, node, &state.nodes, self.fault), self.fault)).collect())
    }
}

impl Rules {
    /// These rules, except on one node, which has those of another engine.
    #[must_use]
    pub fn with_node(mut self, number: u8, other: Self) -> Self {
        let at = usize::from(number.saturating_sub(1));
        if let (Some(own), Some(others)) = (self.0.get_mut(at), other.0.into_iter().nth(at)) {
            *own = others;
        }
        self
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.into_error().to_string())
    }
}
