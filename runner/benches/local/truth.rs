//! A local cluster that records when its engine had enforced what was applied: the truth with which measured times are compared.

use async_trait::async_trait;
use flowproof::{
    cluster::{
        Accepted, Cluster, ClusterError, ClusterInfo, Deployed, LabelChange, Lane, Pod, PodName, PodSpec,
        Stream, Wait,
    },
    local::LocalCluster,
};
use flowproof_core::scenario::ObjectRef;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Limit for the enforcement of a change; none takes this long.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Truth {
    cluster: Arc<LocalCluster>,
    notes: Arc<Mutex<Notes>>,
    /// If set, the policy is removed before the start of a pod that tries its flows at once, and comes back this long after the start.
    away: Option<Duration>,
}

#[derive(Default)]
struct Notes {
    enforced: Vec<(Instant, Instant)>,
    /// What was applied last.
    policy: Option<Value>,
}

impl Truth {
    pub(crate) fn of(cluster: LocalCluster, away: Option<Duration>) -> Self {
        Self { cluster: Arc::new(cluster), notes: Arc::default(), away }
    }

    /// When each change was sent, and when the kernel had confirmed it, which is some milliseconds after it acts on it.
    pub(crate) fn enforced(&self) -> Vec<(Instant, Instant)> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).enforced.clone()
    }

    /// Removes the policy until some time after a pod was started.
    async fn without_policy<F: Future<Output = Result<Pod, ClusterError>>>(
        &self,
        pod: &PodSpec,
        start: impl FnOnce() -> F,
    ) -> Result<Pod, ClusterError> {
        let policy = self.notes.lock().unwrap_or_else(PoisonError::into_inner).policy.clone();
        let (Some(away), Some(manifest), true) = (self.away, policy, pod.first.is_some()) else {
            return start().await;
        };
        self.cluster.delete(&object(&manifest)).await?;
        self.cluster.enforced(LIMIT).await?;
        let pod = start().await?;
        let (cluster, notes) = (Arc::clone(&self.cluster), Arc::clone(&self.notes));
        tokio::spawn(async move {
            tokio::time::sleep(away).await;
            note(&cluster, &notes, &manifest).await
        });
        Ok(pod)
    }
}

fn object(manifest: &Value) -> ObjectRef {
    let text = |at: &str| manifest.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: Some(text("/metadata/namespace")),
        name: text("/metadata/name"),
    }
}

/// Applies a manifest and records when it was in force.
async fn note(
    cluster: &LocalCluster,
    notes: &Mutex<Notes>,
    manifest: &Value,
) -> Result<Accepted, ClusterError> {
    let sent = Instant::now();
    let accepted = cluster.apply(manifest).await?;
    let enforced = cluster.enforced(LIMIT).await?;
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.enforced.push((sent, enforced));
    notes.policy = Some(manifest.clone());
    Ok(accepted)
}

#[async_trait]
impl Cluster for Truth {
    async fn describe(&self) -> Result<ClusterInfo, ClusterError> {
        self.cluster.describe().await
    }
    async fn deploy(&self, lane: &Lane) -> Result<Deployed, ClusterError> {
        self.cluster.deploy(lane).await
    }
    async fn attach(&self, pod: &PodName) -> Result<Box<dyn Stream>, ClusterError> {
        self.cluster.attach(pod).await
    }
    async fn apply(&self, manifest: &Value) -> Result<Accepted, ClusterError> {
        note(&self.cluster, &self.notes, manifest).await
    }
    async fn delete(&self, object: &ObjectRef) -> Result<Accepted, ClusterError> {
        self.cluster.delete(object).await
    }
    async fn label_pod(&self, pod: &PodName, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.cluster.label_pod(pod, labels).await
    }
    async fn label_namespace(&self, namespace: &str, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.cluster.label_namespace(namespace, labels).await
    }
    async fn restart(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        self.without_policy(pod, || self.cluster.restart(pod)).await
    }
    async fn start(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        self.without_policy(pod, || self.cluster.start(pod)).await
    }
    async fn serves(&self, api_version: &str, kind: &str) -> Result<(), ClusterError> {
        self.cluster.serves(api_version, kind).await
    }
    async fn remove(&self, lane: &Lane, wait: Wait) -> Result<(), ClusterError> {
        self.cluster.remove(lane, wait).await
    }
}
