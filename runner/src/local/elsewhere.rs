//! What a local cluster is on a system without network namespaces: one that does not start, and says where it would.

use super::{fault::Fault, options::LocalOptions};
use crate::cluster::{
    Accepted, Cluster, ClusterError, ClusterInfo, Deployed, LabelChange, Lane, Pod, PodName, PodSpec, Stream,
    Wait,
};
use async_trait::async_trait;
use flowproof_core::scenario::ObjectRef;
use serde_json::Value;
use std::process::ExitCode;

/// A local cluster. There cannot be one on this system.
pub enum LocalCluster {}

impl LocalCluster {
    /// Fails with [`ClusterError::Unreachable`].
    #[expect(clippy::unused_async, reason = "it starts one on Linux")]
    pub async fn start(_options: &LocalOptions) -> Result<Self, ClusterError> {
        Err(ClusterError::Unreachable {
            what: format!(
                "the local cluster is made of Linux network namespaces, and this is {}",
                std::env::consts::OS
            ),
            hint: "use a Kubernetes cluster, for example one of kind (flowproof run --context kind-kind), or run flowproof \
                   in a Linux container or virtual machine"
                .to_owned(),
        })
    }

    /// Cannot be called.
    #[expect(clippy::unused_async, reason = "it asks the engine on Linux")]
    pub async fn telling_faults(&self) -> Result<Vec<Fault>, ClusterError> {
        match *self {}
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    async fn describe(&self) -> Result<ClusterInfo, ClusterError> {
        match *self {}
    }

    async fn deploy(&self, _: &Lane) -> Result<Deployed, ClusterError> {
        match *self {}
    }

    async fn attach(&self, _: &PodName) -> Result<Box<dyn Stream>, ClusterError> {
        match *self {}
    }

    async fn apply(&self, _: &Value) -> Result<Accepted, ClusterError> {
        match *self {}
    }

    async fn delete(&self, _: &ObjectRef) -> Result<Accepted, ClusterError> {
        match *self {}
    }

    async fn label_pod(&self, _: &PodName, _: &LabelChange) -> Result<Accepted, ClusterError> {
        match *self {}
    }

    async fn label_namespace(&self, _: &str, _: &LabelChange) -> Result<Accepted, ClusterError> {
        match *self {}
    }

    async fn restart(&self, _: &PodSpec) -> Result<Pod, ClusterError> {
        match *self {}
    }

    async fn start(&self, _: &PodSpec) -> Result<Pod, ClusterError> {
        match *self {}
    }

    async fn serves(&self, _: &str, _: &str) -> Result<(), ClusterError> {
        match *self {}
    }

    async fn remove(&self, _: &Lane, _: Wait) -> Result<(), ClusterError> {
        match *self {}
    }
}

/// Returns `None`: no process can become a world here.
pub fn become_world_if_asked() -> Option<ExitCode> {
    None
}
