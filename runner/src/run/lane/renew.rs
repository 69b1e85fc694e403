//! Pods of a lane that are started again: restarted by a scenario, replaced after they were lost, or fresh pods of a watch.

use super::{Lane, at_site};
use crate::{
    cluster::{Cluster, ClusterError, Pod, PodSpec},
    link::Wish,
};
use flowproof_core::{scenario::name::Workload, trial::book::Key};
use flowproof_wire::{First, Pace};
use std::sync::Arc;

impl Lane {
    /// Deletes the pod of a workload and starts it again. The new pod tries these of its flows from its start. Returns their new
    /// keys, in the order of the old ones.
    pub async fn restart(
        &mut self,
        workload: &Workload,
        tries: Option<(&[Key], Pace)>,
    ) -> Result<Vec<Key>, ClusterError> {
        let mut spec = self.pod_now(workload)?;
        self.wishes.remove(workload); // ends the old link
        let index = self.book.add_prober(workload.clone());
        let mut keys = Vec::new();
        if let Some((flows, pace)) = tries.filter(|(flows, _)| !flows.is_empty()) {
            let planned: Vec<_> = flows.iter().map(|key| self.book.flow(*key).planned.clone()).collect();
            keys.extend(planned.into_iter().map(|planned| self.book.track(planned)));
            let flows = self.book.specs(workload, keys.iter());
            spec.first = Some(First { run: self.nonce, flows, pace });
        }
        let pod = self.spec.cluster.restart(&spec).await?;
        self.site.pods.insert(workload.clone(), at_site(pod));
        self.link(workload.clone(), index);
        self.ready().await?;
        Ok(keys)
    }

    /// Starts the pod of a workload again, whatever is left of the old one; [`Lane::adopt`] takes it in.
    pub fn replacement(
        &self,
        workload: &Workload,
    ) -> impl Future<Output = (Workload, Result<Pod, ClusterError>)> + Send + use<> {
        let (cluster, workload) = (Arc::clone(&self.spec.cluster), workload.clone());
        let spec = self.pod_now(&workload);
        async move {
            let pod = match spec {
                Ok(spec) => start_anew(&*cluster, &spec).await,
                Err(error) => Err(error),
            };
            (workload, pod)
        }
    }

    /// Takes in a pod that was started again: its prober is attached, and tries nothing yet.
    pub fn adopt(&mut self, workload: &Workload, pod: Pod) {
        self.site.pods.insert(workload.clone(), at_site(pod));
        let index = self.book.add_prober(workload.clone());
        self.wishes.remove(workload); // ends the old link
        self.link(workload.clone(), index);
    }

    /// Plans the flows of a pod that is like a workload and will try them from its start. The pod is not started yet.
    pub fn plan_fresh(
        &mut self,
        like: &Workload,
        flows: &[Key],
        pace: Pace,
    ) -> Option<(Workload, Vec<Key>, PodSpec)> {
        let spec = self.pod_now(like).ok()?;
        let fresh = Workload::new(&like.namespace, format!("{}-fresh", like.name));
        let planned = flows.iter().map(|key| {
            let mut planned = self.book.flow(*key).planned.clone();
            planned.flow.source = fresh.clone();
            planned
        });
        let planned: Vec<_> = planned.collect();
        let keys: Vec<Key> = planned.into_iter().map(|planned| self.book.track(planned)).collect();
        let first = First { run: self.nonce, flows: self.book.specs(&fresh, keys.iter()), pace };
        let pod = PodSpec {
            name: self.site.names.qualified(&fresh),
            node: self.site.node(like).map_or(spec.node, str::to_owned),
            first: Some(first),
            ..spec
        };
        // Ends the link to the fresh pod before this one.
        self.fresh = None;
        Some((fresh, keys, pod))
    }

    /// Listens to the prober of a pod that tries flows from its start.
    pub fn link_fresh(&mut self, fresh: &Workload) {
        let index = self.book.add_prober(fresh.clone());
        self.fresh = Some((fresh.clone(), self.listen_to(fresh, index, Wish::default())));
    }

    /// Makes the pod that was linked last try only these of its flows, at this pace.
    pub fn try_fresh(&self, keys: &[Key], pace: Pace) {
        if let Some((fresh, wish)) = &self.fresh {
            let specs = Arc::new(self.book.specs(fresh, keys.iter()));
            wish.send_modify(|wish| wish.flows = Some((specs, pace)));
        }
    }

    /// The pod of a workload with the labels that it has now.
    fn pod_now(&self, workload: &Workload) -> Result<PodSpec, ClusterError> {
        let name = self.site.names.qualified(workload);
        let spec = self.real.pods.iter().find(|pod| pod.name == name).ok_or_else(|| {
            ClusterError::Unsupported { what: format!("{workload} is not a workload of this scenario") }
        })?;
        Ok(PodSpec { labels: self.state.labels[workload].clone(), ..spec.clone() })
    }
}

/// Starts a pod again, whatever is left of the old one.
pub async fn start_anew(cluster: &dyn Cluster, spec: &PodSpec) -> Result<Pod, ClusterError> {
    match cluster.restart(spec).await {
        Err(ClusterError::PodGone { .. }) => cluster.start(spec).await,
        restarted => restarted,
    }
}
