//! Which topologies can be deployed as one, without changing what any scenario means.
//!
//! What a policy says about a flow depends on the flow's two ends, and on nothing else that runs. A scenario names only its own
//! pods (globs and `otherwise` are expanded over them when it is read), so more pods beside them change nothing. A contradiction
//! does change something: another pod under the same name, other labels of a namespace, one more pod behind a Service. See
//! `docs/decisions/0023-topologies-that-do-not-contradict-each-other-are-deployed-together.md`.

use crate::scenario::{
    Placement, ServiceSpec, Topology, WorkloadSpec,
    name::{Service, Workload},
};
use std::collections::{BTreeMap, BTreeSet};

/// Why two topologies cannot be one deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// One of them has shadows of live workloads, which are in namespaces that others use.
    #[error("shadows of live workloads stand alone")]
    Live,
    /// A pod on its node's network shares the ports there.
    #[error("{0} is on its node's network, whose ports it shares with others there")]
    HostNetwork(Workload),
    /// A namespace has different labels in the two.
    #[error("namespace {0} has different labels")]
    Namespace(String),
    /// A pod with the same name is different.
    #[error("{0} is different")]
    Workload(Workload),
    /// A Service with the same name is different.
    #[error("service {0} is different")]
    Service(Service),
    /// Another pod would be behind a Service.
    #[error("service {0} would lead to {1}")]
    Backend(Service, Workload),
}

/// The topology that contains both, and in which the scenarios of each mean the same as in their own.
///
/// A pod that may run anywhere in one of them runs where the other wants it. [`place`](super::placement::place) decides whether
/// the nodes have room for everything. Equal topologies never contradict each other.
pub fn union(one: &Topology, other: &Topology) -> Result<Topology, Contradiction> {
    if one == other {
        return Ok(one.clone());
    }
    for topology in [one, other] {
        stands_alone(topology)?;
    }
    let both = Topology {
        namespaces: merged(&one.namespaces, &other.namespaces, |name, labels, others| {
            (labels == others).then(|| labels.clone()).ok_or_else(|| Contradiction::Namespace(name.clone()))
        })?,
        live: BTreeMap::new(),
        workloads: merged(&one.workloads, &other.workloads, |name, spec, others| {
            workload(spec, others).ok_or_else(|| Contradiction::Workload(name.clone()))
        })?,
        services: merged(&one.services, &other.services, |name, spec, others| {
            (spec == others).then(|| spec.clone()).ok_or_else(|| Contradiction::Service(name.clone()))
        })?,
    };
    for part in [one, other] {
        for (name, service) in &part.services {
            let alone = backends(name, service, part);
            if let Some(more) = backends(name, service, &both).difference(&alone).next() {
                return Err(Contradiction::Backend(name.clone(), (*more).clone()));
            }
        }
    }
    Ok(both)
}

/// Whether a topology contains all of another one, so that scenarios of the smaller one can be played there.
#[must_use]
pub fn holds(larger: &Topology, smaller: &Topology) -> bool {
    union(larger, smaller).is_ok_and(|both| both == *larger)
}

fn stands_alone(topology: &Topology) -> Result<(), Contradiction> {
    if !topology.live.is_empty() || topology.workloads.values().any(|spec| spec.like.is_some()) {
        return Err(Contradiction::Live);
    }
    match topology.workloads.iter().find(|(_, spec)| spec.host_network) {
        Some((workload, _)) => Err(Contradiction::HostNetwork(workload.clone())),
        None => Ok(()),
    }
}

fn merged<K: Ord + Clone, V: Clone>(
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    both: impl Fn(&K, &V, &V) -> Result<V, Contradiction>,
) -> Result<BTreeMap<K, V>, Contradiction> {
    let mut all = one.clone();
    for (key, value) in other {
        let value = match one.get(key) {
            Some(known) => both(key, known, value)?,
            None => value.clone(),
        };
        all.insert(key.clone(), value);
    }
    Ok(all)
}

/// The pod that both describe: equal except for the node, which either of them may leave open.
fn workload(one: &WorkloadSpec, other: &WorkloadSpec) -> Option<WorkloadSpec> {
    let placement = match (&one.placement, &other.placement) {
        (Placement::Any, wanted) | (wanted, Placement::Any) => wanted.clone(),
        (wanted, same) if wanted == same => wanted.clone(),
        _ => return None,
    };
    let both = WorkloadSpec { placement, ..one.clone() };
    (both == WorkloadSpec { placement: both.placement.clone(), ..other.clone() }).then_some(both)
}

/// The pods that a Service selects, before any step changes labels. Steps only change labels of the scenario's own pods.
fn backends<'a>(name: &Service, service: &ServiceSpec, topology: &'a Topology) -> BTreeSet<&'a Workload> {
    let selected = |(workload, spec): &(&Workload, &WorkloadSpec)| {
        workload.namespace == name.namespace
            && service.selector.iter().all(|(key, value)| spec.labels.get(key) == Some(value))
    };
    topology.workloads.iter().filter(selected).map(|(workload, _)| workload).collect()
}

#[cfg(test)]
mod tests;
