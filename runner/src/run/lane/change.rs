//! Changes of a lane's policies and labels, and their end.

use super::Lane;
use crate::cluster::{ClusterError, LabelChange};
use flowproof_core::{
    scenario::{Change, Labels, ObjectRef},
    time::Moment,
};
use std::{sync::Arc, time::Instant};

impl Lane {
    /// Carries out a change of a scenario; returns when the API server had accepted it.
    pub async fn change(&mut self, change: &Change) -> Result<Moment, ClusterError> {
        let cluster = Arc::clone(&self.spec.cluster);
        let accepted = match change {
            Change::Apply(manifest) => {
                let value = self.names.manifest(manifest, &self.surroundings().pods);
                let accepted = cluster.apply(&value).await?;
                self.applied.retain(|known| known.object != manifest.object);
                self.applied.push(manifest.clone());
                accepted.at
            }
            Change::Delete(object) => self.delete(object).await?,
            Change::LabelPod(workload, labels) => {
                let accepted = cluster.label_pod(&self.names.qualified(workload), labels).await?;
                amend(self.labels.entry(workload.clone()).or_default(), labels);
                accepted.at
            }
            Change::LabelNamespace(namespace, labels) => {
                let accepted = cluster.label_namespace(&self.names.namespace(namespace), labels).await?;
                amend(self.namespaces.entry(namespace.clone()).or_default(), labels);
                accepted.at
            }
            Change::Restart(workload) => {
                self.restart(workload, None).await?;
                Instant::now()
            }
        };
        Ok(Moment(0) + accepted.saturating_duration_since(self.spec.zero))
    }

    pub(super) async fn delete(&mut self, object: &ObjectRef) -> Result<Instant, ClusterError> {
        let accepted = self.spec.cluster.delete(&self.names.object(object)).await?;
        self.applied.retain(|known| known.object != *object);
        Ok(accepted.at)
    }

    /// Deletes what was applied, newest first, and gives pods and namespaces their labels back.
    pub async fn restore(&mut self) -> Result<Moment, ClusterError> {
        while let Some(manifest) = self.applied.last().cloned() {
            self.delete(&manifest.object).await?;
        }
        let topology = self.spec.topology.clone();
        for (workload, spec) in &topology.workloads {
            if let Some(back) = difference(&self.labels[workload], &spec.labels) {
                self.change(&Change::LabelPod(workload.clone(), back)).await?;
            }
        }
        for (namespace, labels) in &topology.namespaces {
            if let Some(back) = difference(&self.namespaces[namespace], labels) {
                self.change(&Change::LabelNamespace(namespace.clone(), back)).await?;
            }
        }
        Ok(self.now())
    }
}

fn amend(labels: &mut Labels, change: &LabelChange) {
    for (key, value) in change {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
}

/// The change that turns one set of labels into another; `None` when they are equal.
fn difference(from: &Labels, to: &Labels) -> Option<LabelChange> {
    let removed = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), None));
    let set = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
    let change: LabelChange =
        removed.chain(set.map(|(key, value)| (key.clone(), Some(value.clone())))).collect();
    (!change.is_empty()).then_some(change)
}
