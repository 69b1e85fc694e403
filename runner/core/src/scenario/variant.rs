//! Variants of scenarios: where their pods run, and how flows reach them. The claims stay the same.

use super::{
    flow::{Flow, Target},
    name::{Service, Workload},
};
use crate::scenario::{Expected, Placement, Scenario, ServicePort, ServiceSpec, TargetPort, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// Where the pods without a placement of their own run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Where {
    /// All on one node.
    SameNode,
    /// On two nodes, so that as many flows as possible cross from one to the other.
    CrossNode,
}

/// How flows reach pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// By the pod's own address, as scenarios say.
    Pod,
    /// Through a Service in front of each pod.
    Service,
    /// Both.
    Both,
}

/// The label by which the Service in front of a pod selects it.
const LABEL: &str = "flowproof.dev/behind";
/// The beginning of the names of these Services.
const PREFIX: &str = "via-";
/// The longest name of a Service.
const MAX_NAME: usize = 63;

/// Places the pods of scenarios. Equal topologies stay equal, so that scenarios can still share pods.
#[must_use]
pub fn placed(scenarios: Vec<Scenario>, place: Where) -> Vec<Scenario> {
    let mut topologies: Vec<(Topology, Topology)> = Vec::new();
    for scenario in &scenarios {
        if !topologies.iter().any(|(known, _)| *known == scenario.topology) {
            let alike = scenarios.iter().filter(|other| other.topology == scenario.topology);
            let flows: Vec<(&Workload, &Workload)> = alike.flat_map(between_pods).collect();
            let sides = match place {
                Where::SameNode => BTreeSet::new(),
                Where::CrossNode => other_side(&scenario.topology, &flows),
            };
            topologies.push((scenario.topology.clone(), on_sides(&scenario.topology, &sides)));
        }
    }
    let again = |mut scenario: Scenario| {
        if let Some((_, placed)) = topologies.iter().find(|(known, _)| *known == scenario.topology) {
            scenario.topology = placed.clone();
        }
        scenario
    };
    scenarios.into_iter().map(again).collect()
}

fn between_pods(scenario: &Scenario) -> impl Iterator<Item = (&Workload, &Workload)> {
    scenario.steps.iter().flat_map(|step| &step.expectations).filter_map(|expected| {
        match &expected.flow.target {
            Target::Workload(target) if *target != expected.flow.source => {
                Some((&expected.flow.source, target))
            }
            _ => None,
        }
    })
}

/// The free pod whose node decides the node of this pod, and whether this pod is on another node. `None` if the node is named.
fn leader<'a>(topology: &'a Topology, workload: &'a Workload) -> Option<(&'a Workload, bool)> {
    let (mut leader, mut other) = (workload, false);
    loop {
        (leader, other) = match &topology.workloads.get(leader)?.placement {
            Placement::Any => return Some((leader, other)),
            Placement::Node(_) => return None,
            Placement::SameAs(next) => (next, other),
            Placement::OtherThan(next) => (next, !other),
        };
    }
}

/// The free pods that go to the second node. Each gets its node in turn, the busiest first, so that more of its flows cross.
fn other_side<'a>(topology: &'a Topology, flows: &[(&'a Workload, &'a Workload)]) -> BTreeSet<Workload> {
    let led: Vec<_> = flows
        .iter()
        .filter_map(|(source, target)| Some((leader(topology, source)?, leader(topology, target)?)))
        .filter(|((source, _), (target, _))| source != target)
        .collect();
    let mut busy: BTreeMap<&Workload, usize> = BTreeMap::new();
    for ((source, _), (target, _)) in &led {
        *busy.entry(source).or_default() += 1;
        *busy.entry(target).or_default() += 1;
    }
    let mut order: Vec<&Workload> = busy.keys().copied().collect();
    order.sort_by_key(|workload| std::cmp::Reverse(busy[workload]));
    let mut sides: BTreeMap<&Workload, bool> = BTreeMap::new();
    for workload in order {
        // Of its flows with pods that already have a side: how many cross if it is on the first node, and how many do not.
        let (mut crossing, mut staying) = (0, 0);
        for ((source, away), (target, apart)) in &led {
            let other = match (*source == workload, *target == workload) {
                (true, _) => sides.get(target),
                (_, true) => sides.get(source),
                _ => None,
            };
            if let Some(side) = other {
                *(if *side == (away != apart) { &mut staying } else { &mut crossing }) += 1;
            }
        }
        sides.insert(workload, crossing < staying);
    }
    sides.into_iter().filter(|(_, second)| *second).map(|(workload, _)| workload.clone()).collect()
}

/// Places the free pods on the node of the first of them, or on another node.
fn on_sides(topology: &Topology, second: &BTreeSet<Workload>) -> Topology {
    let mut topology = topology.clone();
    let free = |(workload, spec): (&Workload, &crate::scenario::WorkloadSpec)| {
        (spec.placement == Placement::Any).then(|| workload.clone())
    };
    let mut free = topology.workloads.iter().filter_map(free).collect::<Vec<_>>().into_iter();
    let Some(first) = free.next() else { return topology };
    for workload in free {
        let same = second.contains(&workload) == second.contains(&first);
        if let Some(spec) = topology.workloads.get_mut(&workload) {
            spec.placement =
                if same { Placement::SameAs(first.clone()) } else { Placement::OtherThan(first.clone()) };
        }
    }
    topology
}

/// Sends flows to pods through a Service in front of each pod, where it can have one: not to pods on their node's network, and
/// not from a pod to itself.
#[must_use]
pub fn via(mut scenario: Scenario, via: Via) -> Scenario {
    if via == Via::Pod {
        return scenario;
    }
    let mut fronts: BTreeMap<Workload, Service> = BTreeMap::new();
    for (workload, spec) in &mut scenario.topology.workloads {
        let name = format!("{PREFIX}{}", workload.name);
        if spec.host_network || spec.listens.is_empty() || name.len() > MAX_NAME {
            continue;
        }
        spec.labels.insert(LABEL.to_owned(), workload.name.clone());
        fronts.insert(workload.clone(), Service::new(&workload.namespace, name));
    }
    for (workload, service) in &fronts {
        let ports = scenario.topology.workloads[workload].listens.iter().map(|named| ServicePort {
            listener: named.listener,
            target: TargetPort::Number(named.listener.port),
        });
        let selector = [(LABEL.to_owned(), workload.name.clone())].into();
        let spec = ServiceSpec { selector, ports: ports.collect() };
        scenario.topology.services.insert(service.clone(), spec);
    }
    let through = |expected: &Expected| {
        let Target::Workload(target) = &expected.flow.target else { return None };
        let service = fronts.get(target).filter(|_| *target != expected.flow.source)?;
        let flow = Flow { target: Target::Service(service.clone()), ..expected.flow.clone() };
        Some(Expected { flow, ..expected.clone() })
    };
    for step in &mut scenario.steps {
        let written = std::mem::take(&mut step.expectations);
        step.expectations = written
            .into_iter()
            .flat_map(|expected| match (through(&expected), via) {
                (Some(through), Via::Both) => vec![expected, through],
                (Some(through), _) => vec![through],
                (None, _) => vec![expected],
            })
            .collect();
    }
    scenario
}

/// The flow that a scenario has in place of one that [`via`] has sent through a Service. `None` for other flows.
#[must_use]
pub fn written(flow: &Flow) -> Option<Flow> {
    let Target::Service(service) = &flow.target else { return None };
    let name = service.name.strip_prefix(PREFIX)?;
    Some(Flow { target: Target::Workload(Workload::new(&service.namespace, name)), ..flow.clone() })
}

#[cfg(test)]
mod tests;
