//! A checked scenario: every name resolves, every flow is possible, every glob is expanded.

use super::{
    capability::Capability,
    flow::{Expectation, Family, Flow, Target},
    label::{LabelChange, Labels},
    name::{Service, Workload},
};
use crate::text::{Places, Position};
use flowproof_wire::Listener;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One scenario: a claim, the pods it needs, and the steps that test it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The claim: the text of `scenario:`.
    pub claim: String,
    /// Why it matters: the text of `why:`; empty when absent.
    pub why: String,
    /// The path of the file, as it was given.
    pub file: String,
    /// What must be deployed. Scenarios whose topologies do not contradict each other can share a deployment: see
    /// [`crate::place::share`].
    pub topology: Topology,
    /// The address families that the scenario is about; both unless it says otherwise.
    pub families: BTreeSet<Family>,
    /// What happens, in order. At least one.
    pub steps: Vec<Step>,
    /// Whether it applies nothing and tests the policies that are in the cluster.
    pub live: bool,
    /// What it does not take from the manifests that it names, one line each.
    pub notes: Vec<String>,
}

impl Scenario {
    /// The Services that its flows go to and that belong to the cluster, not to the run.
    pub fn touched(&self) -> impl Iterator<Item = &Service> {
        self.steps.iter().flat_map(|step| &step.expectations).filter_map(|e| match &e.flow.target {
            Target::LiveService(service) => Some(service),
            _ => None,
        })
    }

    /// Whether it may affect pods that are not its own: it applies a cluster-scoped object, other than a cluster policy whose
    /// subject is in one of its namespaces.
    #[must_use]
    pub fn must_run_alone(&self) -> bool {
        self.applied().any(|manifest| {
            manifest.object.namespace.is_none() && !manifest.is_about_own_pods(&self.topology)
        })
    }

    /// Whether it changes labels.
    #[must_use]
    pub fn relabels(&self) -> bool {
        self.steps.iter().any(Step::relabels)
    }

    /// Everything that its steps apply.
    pub fn applied(&self) -> impl Iterator<Item = &Manifest> {
        self.steps.iter().flat_map(|step| &step.changes).filter_map(|change| match change {
            Change::Apply(manifest) => Some(manifest),
            _ => None,
        })
    }
}

/// Namespaces, pods and Services of a scenario, under their logical names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Namespaces and their labels.
    pub namespaces: BTreeMap<String, Labels>,
    /// Logical namespaces that represent namespaces of the cluster, and the names of those. They are never created, changed or
    /// deleted; all pods in them are shadows.
    pub live: BTreeMap<String, String>,
    /// Pods.
    pub workloads: BTreeMap<Workload, WorkloadSpec>,
    /// Services.
    pub services: BTreeMap<Service, ServiceSpec>,
}

/// A pod of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkloadSpec {
    /// Its labels.
    pub labels: Labels,
    /// What it answers on, and which of its containers declares it.
    pub listens: Vec<NamedListener>,
    /// On which node it runs.
    pub placement: Placement,
    /// `spec.nodeSelector` of its pod; the run respects it when it chooses a node.
    pub node_selector: Labels,
    /// `spec.tolerations` of its pod, as in the Kubernetes API.
    pub tolerations: Vec<Value>,
    /// Whether it uses its node's network (`spec.hostNetwork`).
    pub host_network: bool,
    /// The workload of the cluster whose shadow it is.
    pub like: Option<Like>,
    /// The name of its service account, if it is not the default one; a shadow has that of its workload.
    pub service_account: Option<String>,
}

/// A workload of the cluster that a shadow is like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Like {
    /// What it is.
    pub kind: LikeKind,
    /// Its name.
    pub name: String,
    /// Its namespace, by its real name.
    pub namespace: String,
}

/// The kinds of workloads that have shadows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LikeKind {
    /// A Deployment.
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
    /// A `DaemonSet`.
    DaemonSet,
    /// A Job.
    Job,
    /// A pod.
    Pod,
}

impl LikeKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Job, Self::Pod];

    /// The word for it in scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Job => "job",
            Self::Pod => "pod",
        }
    }
}

impl std::fmt::Display for Like {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} in {}", self.kind.as_str(), self.name, self.namespace)
    }
}

/// A listener and the name of its container port, which policies can refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedListener {
    /// The container port's name, if it has one.
    pub name: Option<String>,
    /// Transport and port.
    pub listener: Listener,
    /// Whether a native sidecar declares the port: an init container with `restartPolicy: Always`.
    pub sidecar: bool,
}

impl From<Listener> for NamedListener {
    /// A port without a name, of an ordinary container.
    fn from(listener: Listener) -> Self {
        Self { name: None, listener, sidecar: false }
    }
}

/// Where a pod must run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    /// Anywhere: the run spreads pods over the nodes in turn.
    #[default]
    Any,
    /// On the node of this name.
    Node(String),
    /// On the same node as another pod.
    SameAs(Workload),
    /// On another node than another pod; needs two nodes.
    OtherThan(Workload),
}

/// A Service of a scenario (type `ClusterIP`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceSpec {
    /// `spec.selector`: the pods behind it.
    pub selector: Labels,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    /// What the Service listens on.
    pub listener: Listener,
    /// The port at the pods: a number, or the name of a container port.
    pub target: TargetPort,
}

/// `targetPort` of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container port.
    Name(String),
}

/// A change and what must hold after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The text of `step:`, or a description of the change.
    pub title: String,
    /// What changes, in order; empty for a step that only expects.
    pub changes: Vec<Change>,
    /// What must hold then.
    pub expectations: Vec<Expected>,
    /// The capabilities that its flows show: those of the step, or else those of the scenario.
    pub shows: Vec<Capability>,
}

impl Step {
    /// Whether it changes labels.
    #[must_use]
    pub fn relabels(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::LabelPod(..) | Change::LabelNamespace(..)))
    }
}

/// One change of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Creates or updates an object (server-side apply).
    Apply(Manifest),
    /// Deletes an object that an earlier step applied.
    Delete(ObjectRef),
    /// Sets labels of a pod; `None` removes one.
    LabelPod(Workload, LabelChange),
    /// Sets labels of a namespace; `None` removes one.
    LabelNamespace(String, LabelChange),
    /// Deletes the pod and starts it again: it gets a new address.
    Restart(Workload),
}

/// An object to apply, under logical names.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Which object it is.
    pub object: ObjectRef,
    /// The whole of it, as JSON.
    pub value: Value,
    /// Where it is written.
    pub at: Position,
    /// Where each of its fields is written.
    pub places: Places,
}

impl Manifest {
    /// Whether it is a cluster policy whose subject selects one of the scenario's namespaces by its name.
    fn is_about_own_pods(&self, topology: &Topology) -> bool {
        const SELECTORS: [&str; 2] = ["/spec/subject/namespaces", "/spec/subject/pods/namespaceSelector"];
        let by_name = |selector: &&str| {
            let name = self.value.pointer(&format!("{selector}/matchLabels/kubernetes.io~1metadata.name"));
            name.and_then(Value::as_str).is_some_and(|name| topology.namespaces.contains_key(name))
        };
        self.object.kind == "ClusterNetworkPolicy" && SELECTORS.iter().any(by_name)
    }
}

/// Names an object of the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `networking.k8s.io/v1`.
    pub api_version: String,
    /// `NetworkPolicy`.
    pub kind: String,
    /// `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

/// A flow and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The flow.
    pub flow: Flow,
    /// What it must do.
    pub wanted: Wanted,
    /// Where that is written: the line of the flow, or of `otherwise`.
    pub at: Position,
}

/// Who says what a flow must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The scenario.
    Written(Expectation),
    /// The policies that are in force in the step: see [`crate::policy::scene`].
    Policy,
}

impl Wanted {
    /// What the scenario itself says.
    #[must_use]
    pub fn written(self) -> Option<Expectation> {
        match self {
            Self::Written(expectation) => Some(expectation),
            Self::Policy => None,
        }
    }

    /// Whether the flow may have to be denied.
    #[must_use]
    pub fn may_deny(self) -> bool {
        self.written().is_none_or(Expectation::denies)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
