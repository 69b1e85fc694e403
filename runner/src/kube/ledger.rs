//! What this runner has created and not yet removed: lanes that are up, cluster-scoped objects with them, holders of shadows.

use crate::cluster::{Lane, PodName};
use flowproof_core::scenario::ObjectRef;
use std::collections::{BTreeMap, BTreeSet};

/// The lanes that are up, and the cluster-scoped objects that were applied while they were.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Run by namespace, of the lanes that are up.
    namespaces: BTreeMap<String, String>,
    /// The run of the lane that was deployed last.
    latest: Option<String>,
    applied: Vec<Applied>,
    /// The `metadata.uid` of each holder of shadows in a live namespace.
    holders: BTreeMap<PodName, String>,
}

#[derive(Debug)]
struct Applied {
    object: ObjectRef,
    run: String,
    /// Namespaces that were up when it was applied. It is removed with the last of them.
    beside: BTreeSet<String>,
}

impl Ledger {
    /// Records a lane before its first object is created.
    pub(super) fn enter(&mut self, lane: &Lane) {
        self.namespaces.extend(lane.namespaces.keys().map(|name| (name.clone(), lane.run.clone())));
        self.latest = Some(lane.run.clone());
    }

    /// The run to which an object belongs: that of its namespace, or that of the latest lane.
    pub(super) fn run_of(&self, namespace: Option<&str>) -> Option<String> {
        namespace.and_then(|namespace| self.namespaces.get(namespace)).or(self.latest.as_ref()).cloned()
    }

    /// Records a holder of shadows: its name and `metadata.uid`.
    pub(super) fn held(&mut self, holder: &PodName, uid: String) {
        self.holders.insert(holder.clone(), uid);
    }

    /// The `metadata.uid` of a holder of shadows.
    pub(super) fn uid_of(&self, holder: &PodName) -> Option<String> {
        self.holders.get(holder).cloned()
    }

    /// Forgets a holder of shadows.
    pub(super) fn let_go(&mut self, holder: &PodName) {
        self.holders.remove(holder);
    }

    /// Records a cluster-scoped object.
    pub(super) fn applied(&mut self, run: &str, object: &ObjectRef) {
        self.deleted(object);
        let beside =
            self.namespaces.iter().filter(|(_, other)| *other == run).map(|(name, _)| name.clone()).collect();
        self.applied.push(Applied { object: object.clone(), run: run.to_owned(), beside });
    }

    /// Forgets a cluster-scoped object.
    pub(super) fn deleted(&mut self, object: &ObjectRef) {
        self.applied.retain(|applied| applied.object != *object);
    }

    /// Forgets a lane and returns the cluster-scoped objects to remove with it.
    pub(super) fn leave(&mut self, lane: &Lane) -> Vec<ObjectRef> {
        self.namespaces.retain(|name, _| !lane.namespaces.contains_key(name));
        let mut going = Vec::new();
        for applied in &mut self.applied {
            applied.beside.retain(|name| !lane.namespaces.contains_key(name));
            if applied.run == lane.run && applied.beside.is_empty() {
                going.push(applied.object.clone());
            }
        }
        going
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn lane(run: &str, namespace: &str) -> Lane {
        Lane {
            run: run.into(),
            namespaces: BTreeMap::from([(namespace.to_owned(), BTreeMap::new())]),
            pods: Vec::new(),
            services: Vec::new(),
            without_headway: Duration::ZERO,
        }
    }

    fn object(name: &str) -> ObjectRef {
        ObjectRef { api_version: "g/v1".into(), kind: "K".into(), namespace: None, name: name.into() }
    }

    #[test]
    fn an_object_goes_with_the_last_lane_that_was_up_when_it_was_applied() {
        let mut ledger = Ledger::default();
        let (first, second, later) = (lane("r", "a"), lane("r", "b"), lane("r", "c"));
        ledger.enter(&first);
        ledger.enter(&second);
        ledger.applied("r", &object("kept"));
        ledger.applied("r", &object("deleted"));
        ledger.deleted(&object("deleted"));
        ledger.enter(&later);
        assert!(ledger.leave(&first).is_empty(), "the second lane may still need it");
        assert!(ledger.leave(&later).is_empty(), "it was not up");
        assert_eq!(ledger.leave(&second), [object("kept")]);
    }

    #[test]
    fn an_object_belongs_to_the_run_of_its_namespace() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.run_of(None), None);
        ledger.enter(&lane("r", "a"));
        ledger.enter(&lane("s", "b"));
        assert_eq!(ledger.run_of(Some("a")).as_deref(), Some("r"));
        assert_eq!(ledger.run_of(None).as_deref(), Some("s"));
    }
}
