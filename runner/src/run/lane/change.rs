//! Changes a lane's policies and labels, and undoes the changes.

use super::Lane;
use crate::cluster::ClusterError;
use flowproof_core::{
    evidence::time::Moment,
    scenario::{Change, ObjectRef},
};
use std::{sync::Arc, time::Instant};

impl Lane {
    /// Carries out a change of a scenario; returns when the API server had accepted it.
    pub async fn change(&mut self, change: &Change) -> Result<Moment, ClusterError> {
        let cluster = Arc::clone(&self.spec.cluster);
        let names = &self.site.names;
        let accepted = match change {
            Change::Apply(manifest) => {
                let value = names.manifest(manifest, &self.surroundings().pods);
                cluster.apply(&value).await?.at
            }
            Change::Delete(object) => return self.delete(object).await.map(|at| self.moment(at)),
            Change::LabelPod(workload, labels) => {
                cluster.label_pod(&names.qualified(workload), labels).await?.at
            }
            Change::LabelNamespace(namespace, labels) => {
                cluster.label_namespace(&names.namespace(namespace), labels).await?.at
            }
            Change::Restart(workload) => {
                self.restart(workload, None).await?;
                Instant::now()
            }
        };
        self.state.apply(change);
        Ok(self.moment(accepted))
    }

    pub(super) async fn delete(&mut self, object: &ObjectRef) -> Result<Instant, ClusterError> {
        let accepted = self.spec.cluster.delete(&self.site.names.object(object)).await?;
        self.state.forget(object);
        Ok(accepted.at)
    }

    /// Deletes what was applied, newest first, and restores the labels of pods and namespaces.
    pub async fn restore(&mut self) -> Result<Moment, ClusterError> {
        for change in self.state.undo(&self.spec.topology) {
            self.change(&change).await?;
        }
        Ok(self.now())
    }

    fn moment(&self, at: Instant) -> Moment {
        Moment(0) + at.saturating_duration_since(self.spec.zero)
    }
}
