//! What is known about a cluster's pods and policies, from manifests, from a scenario, or from the cluster itself.

pub mod live;
pub(crate) mod manifests;

pub use live::LiveScene;
pub use manifests::manifests;

use crate::{
    place::rewrite::namespace_labels,
    policy::{
        Cluster, ClusterPolicy, NetworkPolicy, Pod, PodPort, PolicyKind, Protocol, SOME_NODE, Scene,
        scene::{policy_kind, protocol},
        stand_in,
        validate::validate,
    },
    scenario::{
        Labels, Manifest, ObjectRef, Scenario, ServiceSpec, TargetPort, Topology, flow::Family,
        name::Qualified,
    },
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is known about a cluster.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Namespaces, pods, policies, nodes.
    pub cluster: Cluster,
    /// The manifests of the policies.
    pub policies: Vec<Manifest>,
    /// Services.
    pub services: BTreeMap<Qualified, Service>,
    /// Pods by what they belong to: `deployment`, namespace and name.
    pub owned: BTreeMap<(String, Qualified), Vec<usize>>,
    /// Kinds that have nothing to do with policies, and how many objects of each there were.
    pub ignored: BTreeMap<String, usize>,
    /// Policies of kinds that cannot be read, and policies that an API server rejects. Answers ignore them.
    pub left_out: Vec<String>,
    /// Those of them that are in force although their kind cannot be read. One without a namespace may be about any pod.
    pub other_kinds: Vec<ObjectRef>,
    /// Namespaces that are known by name only.
    pub guessed: BTreeSet<String>,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// Labels of the pods behind it; empty for one without a selector.
    pub selector: Labels,
    /// Its ports and where they lead.
    pub ports: Vec<(Protocol, u16, TargetPort)>,
    /// Its node ports.
    pub node_ports: Vec<(Protocol, u16)>,
    /// Its addresses, if they are known.
    pub addresses: Vec<std::net::IpAddr>,
}

/// Kinds whose pods are made from a template, and where the template is.
pub(crate) const TEMPLATES: &[(&str, &str)] = &[
    ("Deployment", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
];

/// Short names of kinds, as in kubectl.
const SHORT: &[(&str, &str)] = &[
    ("deploy", "deployment"),
    ("sts", "statefulset"),
    ("ds", "daemonset"),
    ("rs", "replicaset"),
    ("rc", "replicationcontroller"),
    ("cj", "cronjob"),
];

impl Snapshot {
    /// The state of a scenario after this many steps.
    #[must_use]
    pub fn of_scenario(scenario: &Scenario, steps: usize) -> Self {
        let mut scene = Scene::planned(&scenario.topology);
        for change in scenario.steps.iter().take(steps).flat_map(|step| &step.changes) {
            scene.change(change);
        }
        let rejected = scene.rejected();
        let left_out = scene.manifests().filter(|manifest| {
            let bad = rejected.iter().any(|rejected| rejected.manifest.object == manifest.object);
            bad || manifest.object.kind.ends_with("Policy") && policy_kind(manifest).is_none()
        });
        Self {
            services: services_of(&scenario.topology),
            left_out: left_out.map(|manifest| manifest.object.to_string()).collect(),
            policies: scene.manifests().cloned().collect(),
            cluster: scene.cluster(),
            ..Self::default()
        }
    }

    /// Adds an object; `manifest` says where it is written.
    pub fn add(&mut self, manifest: &Manifest) {
        let object = &manifest.object;
        let value = &manifest.value;
        let name =
            || Qualified::new(object.namespace.clone().unwrap_or_else(|| "default".to_owned()), &object.name);
        if let Some(kind) = policy_kind(manifest) {
            self.policy(kind, manifest);
        } else if object.kind.ends_with("Policy") && object.api_version.contains("network")
            || object.kind.ends_with("NetworkPolicy")
        {
            self.left_out.push(object.to_string());
            self.other_kinds.push(object.clone());
        } else if let Some((kind, at)) = TEMPLATES.iter().find(|(kind, _)| *kind == object.kind) {
            if let Some(template) = value.pointer(at) {
                let index = self.pod(&name(), template, &Value::Null);
                self.owned.entry((kind.to_lowercase(), name())).or_default().push(index);
            }
        } else {
            match object.kind.as_str() {
                "Namespace" => {
                    let labels = labels(&value["metadata"]["labels"]);
                    self.cluster
                        .namespaces
                        .insert(object.name.clone(), namespace_labels(&object.name, &labels));
                    self.guessed.remove(&object.name);
                }
                "Pod" => {
                    // Pods that have ended keep addresses that others may have by now.
                    if !matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
                        let index = self.pod(&name(), value, &value["status"]);
                        self.own(&name(), &value["metadata"], index);
                    }
                }
                "Service" => {
                    self.services.insert(name(), service(value));
                }
                "Node" => self.node(&object.name, value),
                other => *self.ignored.entry(other.to_owned()).or_default() += 1,
            }
        }
    }

    fn policy(&mut self, kind: PolicyKind, manifest: &Manifest) {
        self.policies.push(manifest.clone());
        if let Some(namespace) = &manifest.object.namespace {
            self.know(namespace);
        }
        let value = &manifest.value;
        let accepted = validate(kind, value).is_empty();
        let read = accepted
            && match kind {
                PolicyKind::Namespaced => {
                    NetworkPolicy::from_json(value).map(|policy| self.cluster.policies.push(policy)).is_ok()
                }
                PolicyKind::Cluster(_) => ClusterPolicy::from_json(value)
                    .map(|policy| self.cluster.cluster_policies.push(policy))
                    .is_ok(),
            };
        if !read {
            self.left_out.push(format!("{}, which an API server rejects", manifest.object));
        }
    }

    /// Adds a pod; `at` has its `metadata` and `spec`.
    fn pod(&mut self, name: &Qualified, at: &Value, status: &Value) -> usize {
        self.know(&name.namespace);
        let index = self.cluster.pods.len();
        let spec = &at["spec"];
        let host_network = spec["hostNetwork"].as_bool().unwrap_or_default();
        let given: Vec<_> = status["podIPs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["ip"].as_str()?.parse().ok())
            .collect();
        let node = spec["nodeName"].as_str().map_or_else(|| format!("{SOME_NODE}{name}"), str::to_owned);
        let number = index as u32 + 1;
        let addresses = if given.is_empty() {
            [Family::V4, Family::V6].map(|family| stand_in(number, family)).to_vec()
        } else {
            given
        };
        if host_network && spec["nodeName"].is_null() {
            self.cluster.nodes.insert(node.clone(), addresses.clone());
        }
        let listed = |field: &str| spec[field].as_array().into_iter().flatten();
        let (sidecars, init): (Vec<&Value>, Vec<&Value>) =
            listed("initContainers").partition(|container| container["restartPolicy"] == "Always");
        let ports_of = |container: &Value| {
            container["ports"].as_array().into_iter().flatten().filter_map(pod_port).collect::<Vec<_>>()
        };
        self.cluster.pods.push(Pod {
            name: name.clone(),
            labels: labels(&at["metadata"]["labels"]),
            addresses,
            ports: listed("containers").chain(sidecars).flat_map(ports_of).collect(),
            init_ports: init.into_iter().flat_map(ports_of).collect(),
            node,
            host_network,
        });
        index
    }

    /// Notes what a pod belongs to. The name of a `ReplicaSet` is its Deployment's with a hash appended.
    fn own(&mut self, name: &Qualified, metadata: &Value, index: usize) {
        for owner in metadata["ownerReferences"].as_array().into_iter().flatten() {
            let (Some(kind), Some(owner)) = (owner["kind"].as_str(), owner["name"].as_str()) else {
                continue;
            };
            let mut add = |kind: &str, owner: &str| {
                let owner = Qualified::new(&name.namespace, owner);
                self.owned.entry((kind.to_lowercase(), owner)).or_default().push(index);
            };
            add(kind, owner);
            let hash = metadata["labels"]["pod-template-hash"].as_str();
            if let (Some(hash), "ReplicaSet") = (hash, kind)
                && let Some(deployment) = owner.strip_suffix(&format!("-{hash}"))
            {
                add("Deployment", deployment);
            }
        }
    }

    fn node(&mut self, name: &str, value: &Value) {
        let addresses = value["status"]["addresses"].as_array().into_iter().flatten();
        let addresses = addresses.filter_map(|address| address["address"].as_str()?.parse().ok()).collect();
        self.cluster.nodes.insert(name.to_owned(), addresses);
        self.cluster.node_labels.insert(name.to_owned(), labels(&value["metadata"]["labels"]));
    }

    /// Adds a namespace if it is not there yet; its labels are then guessed.
    fn know(&mut self, namespace: &str) {
        if !self.cluster.namespaces.contains_key(namespace) {
            let labels = namespace_labels(namespace, &Labels::new());
            self.cluster.namespaces.insert(namespace.to_owned(), labels);
            self.guessed.insert(namespace.to_owned());
        }
    }

    /// The pods that a name stands for. It may be the name of a pod or of what pods belong to, with or without its kind.
    #[must_use]
    pub fn pods_named(&self, kind: Option<&str>, name: &Qualified) -> Vec<usize> {
        let long = kind.map(|kind| {
            let kind = kind.to_lowercase();
            SHORT.iter().find(|(short, _)| *short == kind).map_or(kind, |(_, long)| (*long).to_owned())
        });
        if long.as_deref().is_none_or(|kind| kind == "pod") {
            let found: Vec<usize> = (0..self.cluster.pods.len())
                .filter(|index| self.cluster.pods[*index].name == *name)
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        let fits = |of: &(String, Qualified)| of.1 == *name && long.as_ref().is_none_or(|kind| *kind == of.0);
        self.owned.iter().filter(|(of, _)| fits(of)).flat_map(|(_, pods)| pods.iter().copied()).collect()
    }

    /// The pods behind a Service, and the port that one of its ports leads to at each of them.
    #[must_use]
    pub fn behind(&self, name: &Qualified, protocol: Protocol, port: u16) -> Vec<(usize, u16)> {
        let Some(service) = self.services.get(name) else { return Vec::new() };
        let Some((.., target)) =
            service.ports.iter().find(|(p, number, _)| (*p, *number) == (protocol, port))
        else {
            return Vec::new();
        };
        let at = |pod: &Pod| match target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                let named = |port: &&PodPort| port.name.as_ref() == Some(name) && port.protocol == protocol;
                pod.ports.iter().find(named).map(|port| port.number)
            }
        };
        let selected = |pod: &Pod| {
            !service.selector.is_empty()
                && pod.name.namespace == name.namespace
                && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        };
        let pods = self.cluster.pods.iter().enumerate().filter(|(_, pod)| selected(pod));
        pods.filter_map(|(index, pod)| Some((index, at(pod)?))).collect()
    }
}

/// The Services of a scenario.
pub(crate) fn services_of(topology: &Topology) -> BTreeMap<Qualified, Service> {
    let service = |spec: &ServiceSpec| {
        let ports = spec
            .ports
            .iter()
            .map(|port| (protocol(port.listener.transport), port.listener.port, port.target.clone()));
        Service { selector: spec.selector.clone(), ports: ports.collect(), ..Service::default() }
    };
    topology.services.iter().map(|(name, spec)| (name.clone(), service(spec))).collect()
}

fn labels(value: &Value) -> Labels {
    let entries = value.as_object().into_iter().flatten();
    let text =
        |value: &Value| if value.is_null() { Some(String::new()) } else { value.as_str().map(str::to_owned) };
    entries.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

fn pod_port(value: &Value) -> Option<PodPort> {
    Some(PodPort {
        name: value["name"].as_str().map(str::to_owned),
        protocol: named_protocol(&value["protocol"])?,
        number: u16::try_from(value["containerPort"].as_u64()?).ok()?,
    })
}

fn named_protocol(value: &Value) -> Option<Protocol> {
    match value.as_str() {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

fn service(value: &Value) -> Service {
    let port = |entry: &Value| {
        let number = u16::try_from(entry["port"].as_u64()?).ok()?;
        let target = match &entry["targetPort"] {
            Value::String(name) => TargetPort::Name(name.clone()),
            target => {
                TargetPort::Number(target.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(number))
            }
        };
        Some((named_protocol(&entry["protocol"])?, number, target))
    };
    let node_port = |entry: &Value| {
        Some((named_protocol(&entry["protocol"])?, u16::try_from(entry["nodePort"].as_u64()?).ok()?))
    };
    let addresses = value["spec"]["clusterIPs"].as_array().into_iter().flatten();
    Service {
        selector: labels(&value["spec"]["selector"]),
        ports: value["spec"]["ports"].as_array().into_iter().flatten().filter_map(port).collect(),
        node_ports: value["spec"]["ports"].as_array().into_iter().flatten().filter_map(node_port).collect(),
        addresses: addresses.filter_map(|address| address.as_str()?.parse().ok()).collect(),
    }
}
