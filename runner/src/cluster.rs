//! What a run needs from a backend: the [`Cluster`] trait, implemented by `kube` and by `local`.
//!
//! Everything here uses *real* names: the run has already given every namespace its suffix and rewritten the
//! manifests. A backend knows nothing of scenarios, flows or verdicts.

use async_trait::async_trait;
use flowproof_core::{
    scenario::{Labels, Like, NamedListener, ObjectRef, ServicePort},
    snapshot::Snapshot,
};
use flowproof_wire::First;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// A place where scenarios can be played.
///
/// Every wait inside has a deadline of its own; a method that cannot finish returns an error that says what it waited
/// for and what it saw last. All methods may be called from several tasks at once.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Describes the cluster: reads only, creates nothing. The first call of every run. It fails if the cluster cannot be
    /// reached or if a permission that a run needs is missing (the error names all missing ones).
    async fn describe(&self) -> Result<ClusterInfo, ClusterError>;

    /// Creates the namespaces, Services and pods of one lane, all at once, and returns when every prober can be attached.
    ///
    /// The pods come back in the order of `lane.pods`, the Services in that of `lane.services`.
    async fn deploy(&self, lane: &Lane) -> Result<Deployed, ClusterError>;

    /// Opens a stream to the prober of a pod: wire protocol on both halves. May be called again after a stream was lost;
    /// the prober then drops the older one.
    async fn attach(&self, pod: &PodName) -> Result<Box<dyn Stream>, ClusterError>;

    /// Creates or updates an object by server-side apply.
    async fn apply(&self, manifest: &Value) -> Result<Accepted, ClusterError>;

    /// Deletes an object and returns when the API server accepted it; an object that is gone is not an error.
    async fn delete(&self, object: &ObjectRef) -> Result<Accepted, ClusterError>;

    /// Sets labels of a pod (`None` removes one).
    async fn label_pod(&self, pod: &PodName, labels: &LabelChange) -> Result<Accepted, ClusterError>;

    /// Sets labels of a namespace (`None` removes one).
    async fn label_namespace(&self, namespace: &str, labels: &LabelChange) -> Result<Accepted, ClusterError>;

    /// Deletes a pod and creates it again from the same specification; returns when its new prober can be attached.
    async fn restart(&self, pod: &PodSpec) -> Result<Pod, ClusterError>;

    /// Starts one more pod in the namespaces of a lane that is deployed; returns when its prober can be attached.
    async fn start(&self, pod: &PodSpec) -> Result<Pod, ClusterError>;

    /// Fails with [`ClusterError::Unsupported`] when the cluster does not serve a kind.
    async fn serves(&self, api_version: &str, kind: &str) -> Result<(), ClusterError>;

    /// Reads what a shadow takes from a live workload. Creates nothing; fails if the workload does not exist or cannot have a
    /// shadow.
    async fn template(&self, of: &Like) -> Result<Template, ClusterError> {
        Err(nothing_live(&format!("there is no {of}")))
    }

    /// Reads the state of the whole cluster: namespaces, nodes, pods, Services and policies, whoever made them.
    async fn snapshot(&self) -> Result<Snapshot, ClusterError> {
        Err(nothing_live("there are no policies but those of scenarios"))
    }

    /// Removes a lane: all its namespaces with everything in them, and its shadows with their holders. Returns when the deletion of
    /// all of them was accepted or, with [`Wait::UntilGone`], when they are gone.
    async fn remove(&self, lane: &Lane, wait: Wait) -> Result<(), ClusterError>;
}

fn nothing_live(what: &str) -> ClusterError {
    ClusterError::Unsupported {
        what: format!(
            "nothing lives in this cluster but what a run brings, so {what}: shadows and live policies need --cluster kube"
        ),
    }
}

/// What a shadow takes from a live workload's pod template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// Labels of its pods, without those that name one generation or one pod.
    pub labels: Labels,
    /// The name of its service account.
    pub service_account: String,
    /// `spec.nodeSelector`.
    pub node_selector: Labels,
    /// `spec.tolerations`.
    pub tolerations: Vec<Value>,
}

/// Both halves of a prober's stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whether to wait for the end of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Return when the cluster accepted the removal.
    Accepted,
    /// Return when everything is gone.
    UntilGone,
}

pub use flowproof_core::scenario::label::LabelChange;

/// Real namespace and name of a pod.
pub type PodName = flowproof_core::scenario::name::Qualified;

/// The moment at which the API server had accepted a change, by the runner's clock.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// When the answer arrived.
    pub at: Instant,
}

/// What a cluster reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// `kube` or `local`.
    pub kind: &'static str,
    /// The kubeconfig's context; empty for `local`.
    pub context: String,
    /// Address of the API server; empty for `local`.
    pub server: String,
    /// Version of Kubernetes, or of flowproof for `local`.
    pub version: String,
    /// The network plugin, if it is recognized (`calico v3.30.1`), or "unknown".
    pub cni: String,
    /// All nodes, by name.
    pub nodes: Vec<NodeInfo>,
    /// What a user should know about how the run uses it, one line each.
    pub notes: Vec<String>,
}

/// A node of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its taints with effect `NoSchedule` or `NoExecute`, as in the Kubernetes API.
    pub taints: Vec<Value>,
    /// Internal addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether a pod can start there now; otherwise why not ("not ready for 40 s", "cordoned").
    pub unusable: Option<String>,
    /// Version of its kubelet.
    pub version: String,
    /// Its operating system, if it is reported.
    pub os_image: String,
    /// Version of its kernel.
    pub kernel: String,
    /// Its container runtime and version; empty for `local`.
    pub container_runtime: String,
}

/// One deployment: the namespaces, Services and pods of a topology under real names.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The run it belongs to; goes on every object as the label [`RUN_LABEL`].
    pub run: String,
    /// Real namespaces with their labels.
    pub namespaces: BTreeMap<String, Labels>,
    /// The pods.
    pub pods: Vec<PodSpec>,
    /// The Services.
    pub services: Vec<ServiceSpec>,
    /// How long the deployment may make no headway. As long as some pods come up, the others are waited for.
    pub without_headway: Duration,
}

/// A pod to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// Real name.
    pub name: PodName,
    /// The run, as in [`Lane::run`].
    pub run: String,
    /// Labels of the scenario; the backend adds [`RUN_LABEL`].
    pub labels: Labels,
    /// Becomes its container ports. What to listen on, the prober learns from the run, not from the backend.
    pub listens: Vec<NamedListener>,
    /// The node on which it must run, decided by the run.
    pub node: String,
    /// Tolerations, as in the Kubernetes API.
    pub tolerations: Vec<Value>,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// What its prober tries from its very start.
    pub first: Option<First>,
    /// What makes it a shadow of a live workload: it is put into a namespace that is not the run's.
    pub shadow: Option<Shadow>,
}

/// What is different about a pod in a live namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The name of the object of the run in the same namespace that the pod belongs to.
    pub holder: String,
    /// The name of its service account.
    pub service_account: String,
}

impl Lane {
    /// The namespaces of the cluster in which it has shadows, and what holds the shadows there.
    pub fn holders(&self) -> BTreeSet<PodName> {
        let holder = |pod: &PodSpec| Some(PodName::new(&pod.name.namespace, &pod.shadow.as_ref()?.holder));
        self.pods.iter().filter_map(holder).collect()
    }

    /// What it leaves in the cluster if nobody removes it, in words.
    pub fn traces(&self) -> Vec<String> {
        let holders =
            self.holders().into_iter().map(|holder| format!("deployment {holder} with its shadows"));
        self.namespaces.keys().cloned().chain(holders).collect()
    }
}

/// A Service to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Real name.
    pub name: PodName,
    /// `spec.selector`.
    pub selector: Labels,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// A lane that is up.
#[derive(Debug, Clone, Default)]
pub struct Deployed {
    /// In the order of [`Lane::pods`].
    pub pods: Vec<Pod>,
    /// Cluster IPs, in the order of [`Lane::services`].
    pub services: Vec<Vec<IpAddr>>,
}

/// A pod that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Real name.
    pub name: PodName,
    /// Its addresses, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// The node on which it runs.
    pub node: String,
}

/// Label of every object that a run creates: the run's id.
pub const RUN_LABEL: &str = "flowproof.dev/run";

/// Label of every object that a run creates: `flowproof`.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Why a cluster could not do what was asked. The variants say whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It cannot be reached: no configuration, no connection, a TLS error, a timeout.
    #[error("{what}")]
    Unreachable {
        /// What was tried and how it failed.
        what: String,
        /// What would help.
        hint: String,
    },
    /// Permissions are missing.
    #[error("the cluster forbids {}", missing.join(", "))]
    Forbidden {
        /// Each as verb and resource (`create namespaces`).
        missing: Vec<String>,
    },
    /// The API server rejected an object, with its own message.
    #[error("{object} was rejected: {message}")]
    Rejected {
        /// Kind and name.
        object: String,
        /// The API server's message.
        message: String,
    },
    /// The cluster's admission (a policy, a webhook, a quota, Pod Security) rejected an object of the run, with its own message.
    #[error("{object} was not admitted: {message}")]
    NotAdmitted {
        /// Kind and name.
        object: String,
        /// The API server's message.
        message: String,
        /// What would help.
        hint: &'static str,
    },
    /// A pod did not come up, and why, as far as the cluster reports it (image missing, node down, quota …).
    #[error("pod {pod}{} did not start: {why}", node.as_ref().map_or(String::new(), |node| format!(" on {node}")))]
    PodFailed {
        /// Real name.
        pod: PodName,
        /// Its node, once it has one.
        node: Option<String>,
        /// Reason and message of what prevents it.
        why: String,
        /// What would help.
        hint: String,
    },
    /// A pod that must exist does not (deleted, evicted).
    #[error("pod {pod} is gone")]
    PodGone {
        /// Real name.
        pod: PodName,
    },
    /// This cluster cannot do that at all.
    #[error("{what}")]
    Unsupported {
        /// What, and what would be needed.
        what: String,
    },
    /// Something else failed.
    #[error("{context}: {message}")]
    Failed {
        /// What was being done.
        context: String,
        /// How it failed.
        message: String,
    },
}

impl ClusterError {
    /// What would help, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreachable { hint, .. } | Self::PodFailed { hint, .. } if !hint.is_empty() => Some(hint),
            Self::NotAdmitted { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// The node that it is about, where that is known.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::PodFailed { node, .. } => node.as_deref(),
            _ => None,
        }
    }
}
