//! The labels and policies after the changes of a scenario.

use crate::{
    place::plan::Surroundings,
    policy::Scene,
    scenario::{
        Change, Labels, Manifest, ObjectRef, Topology,
        label::{LabelChange, amend, difference},
        name::Workload,
    },
};
use std::collections::BTreeMap;

/// The current labels and policies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Labels of the pods.
    pub labels: BTreeMap<Workload, Labels>,
    /// Labels of the namespaces, without those that the cluster adds.
    pub namespaces: BTreeMap<String, Labels>,
    /// Manifests in force, the latest last.
    pub manifests: Vec<Manifest>,
}

impl State {
    /// The state of a topology that was just deployed.
    #[must_use]
    pub fn deployed(topology: &Topology) -> Self {
        Self {
            labels: topology.workloads.iter().map(|(w, spec)| (w.clone(), spec.labels.clone())).collect(),
            namespaces: topology.namespaces.clone(),
            manifests: Vec::new(),
        }
    }

    /// Takes in a change that was accepted.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Apply(manifest) => {
                self.forget(&manifest.object);
                self.manifests.push(manifest.clone());
            }
            Change::Delete(object) => self.forget(object),
            Change::LabelPod(workload, change) => {
                amend(self.labels.entry(workload.clone()).or_default(), change);
            }
            Change::LabelNamespace(namespace, change) => {
                amend(self.namespaces.entry(namespace.clone()).or_default(), change);
            }
            Change::Restart(_) => {}
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&mut self, object: &ObjectRef) {
        self.manifests.retain(|known| known.object != *object);
    }

    /// The changes that restore what was deployed: manifests are deleted, the latest first, and then labels are reset.
    #[must_use]
    pub fn undo(&self, topology: &Topology) -> Vec<Change> {
        let deleted = self.manifests.iter().rev().map(|manifest| Change::Delete(manifest.object.clone()));
        let back = |now: Option<&Labels>, then: &Labels| -> Option<LabelChange> { difference(now?, then) };
        let pods = topology.workloads.iter().filter_map(|(workload, spec)| {
            Some(Change::LabelPod(workload.clone(), back(self.labels.get(workload), &spec.labels)?))
        });
        let namespaces = topology.namespaces.iter().filter_map(|(namespace, labels)| {
            Some(Change::LabelNamespace(namespace.clone(), back(self.namespaces.get(namespace), labels)?))
        });
        deleted.chain(pods).chain(namespaces).collect()
    }

    /// The scenario as it runs in this state.
    #[must_use]
    pub fn scene<'a>(&self, topology: &'a Topology, around: Surroundings) -> Scene<'a> {
        Scene::running(topology, around, self.namespaces.clone(), &self.manifests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, scenario::Scenario};

    const SCENARIO: &str = "
scenario: s
namespaces: { a: { labels: { team: blue } } }
workloads: { a/x: { labels: { r: x } }, a/y: { listens: [tcp/80] } }
steps:
  - { step: one, apply: [{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: p, namespace: a }, spec: { podSelector: {} } }], expect: { deny: [a/x -> a/y] } }
  - { step: two, label: { a/x: { r: null, s: y } }, expect: { deny: [a/x -> a/y] } }
  - { step: three, label: { namespace a: { team: red } }, expect: { deny: [a/x -> a/y] } }
";

    #[test]
    fn what_is_undone_is_what_was_deployed() {
        let scenario: Scenario =
            parse::scenario("s.yaml", SCENARIO.as_bytes(), &mut |_| Err(String::new())).expect("a scenario");
        let deployed = State::deployed(&scenario.topology);
        let mut state = deployed.clone();
        for change in scenario.steps.iter().flat_map(|step| &step.changes) {
            state.apply(change);
        }
        assert_eq!((state.manifests.len(), state.namespaces["a"]["team"].as_str()), (1, "red"));
        let undo = state.undo(&scenario.topology);
        assert!(matches!(undo[..], [Change::Delete(_), Change::LabelPod(..), Change::LabelNamespace(..)]));
        for change in &undo {
            state.apply(change);
        }
        assert_eq!(state, deployed);
        assert!(state.undo(&scenario.topology).is_empty());
    }
}
