//! Any Kubernetes cluster: the backend `kube` behind [`Cluster`].
//!
//! | module | job |
//! |---|---|
//! | [`connect`] | options, kubeconfig, client |
//! | [`delivery`] | how the prober gets into its pods: an image, or a ConfigMap |
//! | [`failure`] | deadlines of requests; what went wrong, in words and with a hint |
//! | [`permission`] | what a run may need, and asking the API server whether it is allowed |
//! | [`describe`] | version, nodes and network plugin |
//! | [`object`] | the namespaces, pods and Services that a lane consists of |
//! | [`watched`] | the objects of a run, kept up to date by one watch |
//! | [`deploy`] | creates a lane and waits for its pods; restarts a pod |
//! | [`create`] | creates single objects, and what a pod needs before it |
//! | [`up`] | waits until pods are up; finds out why one is not |
//! | [`headway`] | whether pods make headway, node by node, and when waiting for them is over |
//! | [`progress`] | how far a pod has come, and what holds it up |
//! | [`shadow`] | shadows of live workloads, and what holds them |
//! | [`stream`] | the exec stream to a prober |
//! | [`kinds`] | which kinds the cluster serves, and their scope |
//! | [`change`] | apply, delete, label |
//! | [`manifest`] | manifests that run flowproof inside a cluster |
//! | [`ledger`] | what this runner has created and not yet removed |
//! | [`remove`] | removes lanes |
//! | [`remains`] | finds and removes what earlier runs left behind |

mod change;
mod connect;
mod create;
mod delivery;
mod deploy;
mod describe;
mod failure;
mod headway;
mod kinds;
mod ledger;
mod manifest;
mod object;
mod permission;
mod progress;
mod remains;
mod remove;
mod shadow;
pub mod snapshot;
mod stream;
mod up;
mod watched;

pub use connect::{KubeOptions, PullPolicy, configured};
pub use delivery::Deliver;
pub use manifest::{JobSpec, job as job_manifest, rbac as rbac_manifest};
pub use object::ENFORCE_LABEL;
pub use permission::CLUSTER_ROLE;
pub use remains::{Found, Remains};

use crate::cluster::{
    Accepted, Cluster, ClusterError, ClusterInfo, Deployed, LabelChange, Lane, Pod, PodName, PodSpec, Stream,
    Template, Wait,
};
use async_trait::async_trait;
use flowproof_core::{
    scenario::{Like, ObjectRef},
    snapshot::Snapshot,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

/// A Kubernetes cluster, reached as kubectl reaches it.
///
/// One value serves a whole run with all its lanes; it keeps one watch on the run's pods and a cache of the kinds that
/// the cluster serves.
pub struct Kube {
    client: kube::Client,
    options: KubeOptions,
    /// The reference of the prober's image.
    image: String,
    /// What the cluster demands of pods; found out when it is described.
    around: OnceLock<object::Around>,
    /// Name of the kubeconfig's context, or `in-cluster`.
    context: String,
    server: String,
    pods: Mutex<HashMap<String, Arc<watched::Watched<k8s_openapi::api::core::v1::Pod>>>>,
    kinds: kinds::Kinds,
    ledger: Mutex<ledger::Ledger>,
    /// Set once this user is known to have the permissions for shadows.
    may_shadow: tokio::sync::OnceCell<()>,
}

impl Kube {
    fn around(&self) -> &object::Around {
        let image = || delivery::Delivery::Image(self.image.clone());
        self.around.get_or_init(|| object::Around { delivery: image(), user: Some(object::USER) })
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, ledger::Ledger> {
        self.ledger.lock().expect("no holder of this lock panics")
    }
}

#[async_trait]
impl Cluster for Kube {
    async fn describe(&self) -> Result<ClusterInfo, ClusterError> {
        self.describe_cluster().await
    }

    async fn deploy(&self, lane: &Lane) -> Result<Deployed, ClusterError> {
        self.deploy_lane(lane).await
    }

    async fn attach(&self, pod: &PodName) -> Result<Box<dyn Stream>, ClusterError> {
        self.open_stream(pod).await
    }

    async fn apply(&self, manifest: &Value) -> Result<Accepted, ClusterError> {
        self.apply_manifest(manifest).await
    }

    async fn delete(&self, object: &ObjectRef) -> Result<Accepted, ClusterError> {
        self.delete_object(object).await
    }

    async fn label_pod(&self, pod: &PodName, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.set_pod_labels(pod, labels).await
    }

    async fn label_namespace(&self, namespace: &str, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.set_namespace_labels(namespace, labels).await
    }

    async fn restart(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        Box::pin(self.restart_pod(pod)).await
    }

    async fn start(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        Box::pin(self.start_pod(pod)).await
    }

    async fn serves(&self, api_version: &str, kind: &str) -> Result<(), ClusterError> {
        self.kinds.resolve(&self.client, api_version, kind).await.map(drop)
    }

    async fn template(&self, of: &Like) -> Result<Template, ClusterError> {
        Box::pin(self.template_of(of)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, ClusterError> {
        Box::pin(self.read_all()).await
    }

    async fn remove(&self, lane: &Lane, wait: Wait) -> Result<(), ClusterError> {
        self.remove_lane(lane, wait).await
    }
}
