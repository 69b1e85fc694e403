//! What a scenario takes from manifests (`manifests:`) instead of repeating it: namespaces, workloads, Services, policies.
//!
//! They are put into the tree of the scenario as if they had been written there, each with its place in the manifest's file. So
//! all checks apply to them, and problems point to where they come from. What the scenario itself writes takes precedence.

mod merge;

use super::{
    Load,
    fields::{Fields, items},
    manifest::CLUSTER_SCOPED,
};
use crate::{
    policy::PolicyKind,
    scenario::{Labels, selector::Selector},
    snapshot::{
        TEMPLATES,
        manifests::{kind_of, objects},
    },
    text::{
        problem::Problems,
        tree::{Content, Mark, Node, shortened},
        yaml,
    },
};
use merge::set_namespace;
use std::{collections::BTreeMap, sync::Arc};

/// Fields of an item of `manifests`.
pub(super) const MANIFEST_FIELDS: &[&str] = &["file", "namespace"];

/// A scenario with everything that it takes, and notes about what it does not take.
pub(super) struct Merged {
    pub(super) node: Node,
    pub(super) notes: Vec<String>,
}

/// Adds to a scenario what it takes from manifests; `None` if it takes nothing.
pub(super) fn merged(node: &Node, load: &mut Load<'_>, problems: &mut Problems) -> Option<Merged> {
    let listed = node.get("manifests").filter(|listed| !listed.is_null())?;
    let mut application = Application::default();
    for item in items(listed, "'manifests'", problems).unwrap_or_default() {
        let Some(fields) = Fields::open(item, "an item of 'manifests'", MANIFEST_FIELDS, problems) else {
            continue;
        };
        let namespace = fields.text("namespace", problems).map_or("default", |(_, text)| text);
        let Some((at, path)) = fields.text("file", problems) else {
            if fields.lacks("file") {
                problems
                    .add(&item.at, "an item of 'manifests' names no file")
                    .hint("write - file: rendered.yaml");
            }
            continue;
        };
        match load(path) {
            Ok(files) => {
                for loaded in files {
                    application.read(&loaded.name.as_str().into(), &loaded.bytes, namespace, problems);
                }
            }
            Err(why) => {
                problems
                    .add(&at.at, format!("cannot read '{}': {why}", shortened(path)))
                    .hint("the path is relative to the scenario's file; - is standard input of `flowproof run -f -`");
            }
        }
    }
    if application.workloads.is_empty() && problems.is_empty() {
        problems.add(&listed.at, "these manifests have no workloads").hint(
            "Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs and Pods become workloads",
        );
    }
    application.add_target_ports();
    let notes = application.notes();
    Some(Merged { node: application.merge(node, problems), notes })
}

/// What manifests say.
#[derive(Default)]
struct Application {
    /// Labels of namespaces; `None` for a namespace that is only used.
    namespaces: BTreeMap<String, (Mark, Option<Node>)>,
    workloads: BTreeMap<String, Workload>,
    services: BTreeMap<String, Service>,
    policies: Vec<Node>,
    /// Kinds that mean nothing to a scenario, and how many objects of each there were.
    passed_over: BTreeMap<String, usize>,
    notes: Vec<String>,
}

struct Workload {
    at: Mark,
    labels: Option<Node>,
    host_network: bool,
    ports: Vec<Port>,
}

/// A port of a container, or one that a Service leads to.
struct Port {
    at: Mark,
    protocol: &'static str,
    number: u16,
    name: Option<String>,
    /// Whether a native sidecar declares it, and no other container.
    sidecar: bool,
}

struct Service {
    at: Mark,
    selector: Node,
    ports: Vec<ServicePort>,
}

struct ServicePort {
    at: Mark,
    protocol: &'static str,
    number: u16,
    target: Target,
}

enum Target {
    Number(u16),
    Name(String),
}

impl Application {
    fn read(&mut self, file: &Arc<str>, bytes: &[u8], namespace: &str, problems: &mut Problems) {
        let Some(documents) = yaml::read_within(&yaml::GENERATED, file, bytes, problems) else {
            if let Some(line) =
                bytes.split(|byte| *byte == b'\n').position(|line| line.windows(2).any(|two| two == b"{{"))
            {
                let at = Mark { line: line as u32 + 1, ..Mark::start_of(file) };
                problems
                    .add(&at, "this is a template, and not what it renders to")
                    .hint("render it first: helm template CHART > rendered.yaml");
            }
            return;
        };
        for mut document in documents {
            let mut surprises = Vec::new();
            document.read_in_cluster(&mut surprises);
            for surprise in surprises.into_iter().filter(|surprise| surprise.is_refused) {
                problems.push(surprise.into_problem());
            }
            objects(&document, &mut |object| self.object(object, namespace, problems));
        }
    }

    fn object(&mut self, node: &Node, default_namespace: &str, problems: &mut Problems) {
        let Some((api_version, kind)) = kind_of(node, problems) else { return };
        let metadata = node.get("metadata");
        let of_metadata = |field: &str| metadata.and_then(|metadata| metadata.get(field)?.as_text());
        let namespace = of_metadata("namespace").unwrap_or(default_namespace);
        if PolicyKind::of(api_version, kind).is_some() || kind.ends_with("NetworkPolicy") {
            self.policy(node, kind, namespace);
            return;
        }
        let template = TEMPLATES.iter().find(|(templated, _)| *templated == kind).map(|(_, at)| *at);
        if template.is_none() && !matches!(kind, "Namespace" | "Pod" | "Service") {
            *self.passed_over.entry(kind.to_owned()).or_default() += 1;
            return;
        }
        let given = of_metadata("name").or_else(|| of_metadata("generateName"));
        let Some(name) = given.map(|name| name.trim_end_matches('-').replace('.', "-")) else {
            problems.add(&node.at, format!("a {} has no name", shortened(kind)));
            return;
        };
        let at = metadata
            .and_then(|metadata| metadata.get("name"))
            .map_or_else(|| node.at.clone(), |name| name.at.clone());
        if kind == "Namespace" {
            let labels = metadata.and_then(|metadata| metadata.get("labels")).cloned();
            if Self::is_own(&name) {
                self.namespaces.insert(name, (at, labels));
            }
            return;
        }
        if !Self::is_own(namespace) {
            *self.passed_over.entry(format!("{kind} in {namespace}")).or_default() += 1;
            return;
        }
        if kind == "Service" {
            self.service(node, format!("{namespace}/{name}"), at);
        } else {
            self.workload(node, kind, template.unwrap_or_default(), (namespace, &name), at);
        }
        self.namespaces.entry(namespace.to_owned()).or_insert_with(|| (node.at.clone(), None));
    }

    /// Whether a run may create a namespace under another name: not those of Kubernetes itself.
    fn is_own(namespace: &str) -> bool {
        !namespace.starts_with("kube-")
    }

    fn policy(&mut self, node: &Node, kind: &str, namespace: &str) {
        if CLUSTER_SCOPED.contains(&kind) {
            self.policies.push(node.clone());
        } else if Self::is_own(namespace) {
            let mut policy = node.clone();
            set_namespace(&mut policy, namespace);
            self.policies.push(policy);
            self.namespaces.entry(namespace.to_owned()).or_insert_with(|| (node.at.clone(), None));
        } else {
            *self.passed_over.entry(format!("{kind} in {namespace}")).or_default() += 1;
        }
    }

    fn workload(
        &mut self,
        node: &Node,
        kind: &str,
        template: &str,
        (namespace, name): (&str, &str),
        at: Mark,
    ) {
        let mut pod = node;
        for step in template.split('/').filter(|step| !step.is_empty()) {
            match pod.get(step) {
                Some(next) => pod = next,
                None => return,
            }
        }
        let spec = pod.get("spec");
        let containers = |field: &str| match spec.and_then(|spec| spec.get(field)).map(|list| &list.value) {
            Some(Content::List(list)) => list.as_slice(),
            _ => &[],
        };
        let is_sidecar =
            |container: &&Node| container.get("restartPolicy").and_then(Node::as_text) == Some("Always");
        let running = containers("containers")
            .iter()
            .map(|container| (container, false))
            .chain(containers("initContainers").iter().filter(is_sidecar).map(|container| (container, true)));
        let mut ports: Vec<Port> = Vec::new();
        let own_name = format!("{namespace}/{name}");
        for (container, sidecar) in running {
            let Some(Content::List(list)) = container.get("ports").map(|list| &list.value) else { continue };
            for port in list {
                if port.get("hostPort").is_some_and(|host| !host.is_null()) {
                    self.notes.push(format!("{own_name}: a hostPort is the node's, and no prober has it"));
                }
                let name = port.get("name").and_then(Node::as_text).map(str::to_owned);
                match (protocol(port), port.get("containerPort").and_then(number)) {
                    (Some(protocol), Some(number)) => {
                        add_port(&mut ports, Port { at: port.at.clone(), protocol, number, name, sidecar });
                    }
                    (None, _) => self.notes.push(format!(
                        "{own_name}: probers speak TCP and UDP, and one of its ports is another"
                    )),
                    (_, None) => {}
                }
            }
        }
        let labels = pod.get("metadata").and_then(|metadata| metadata.get("labels")).cloned();
        let host_network = matches!(
            spec.and_then(|spec| spec.get("hostNetwork")).map(|node| &node.value),
            Some(Content::Bool(true))
        );
        // Two workloads of different kinds may have the same name.
        let key = if self.workloads.contains_key(&own_name) {
            format!("{own_name}-{}", kind.to_lowercase())
        } else {
            own_name
        };
        self.workloads.insert(key, Workload { at, labels, host_network, ports });
    }

    fn service(&mut self, node: &Node, name: String, at: Mark) {
        let spec = node.get("spec");
        let of_spec = |field: &str| spec.and_then(|spec| spec.get(field));
        let selector = of_spec("selector")
            .filter(|selector| matches!(&selector.value, Content::Map(entries) if !entries.is_empty()));
        let is = |field: &str, value: &str| of_spec(field).and_then(Node::as_text) == Some(value);
        let why = if is("type", "ExternalName") {
            "ExternalName is a name in DNS, and no address"
        } else if is("clusterIP", "None") {
            "a headless Service has no address of its own"
        } else {
            "a Service without a selector leads to no pods"
        };
        let (Some(selector), false) = (selector, is("type", "ExternalName") || is("clusterIP", "None"))
        else {
            self.notes.push(format!("Service {name} is passed over: {why}"));
            return;
        };
        let mut ports = Vec::new();
        if let Some(Content::List(list)) = of_spec("ports").map(|list| &list.value) {
            for port in list {
                let (Some(protocol), Some(own)) = (protocol(port), port.get("port").and_then(number)) else {
                    continue;
                };
                let target = match port.get("targetPort") {
                    Some(target) => match (number(target), target.as_text()) {
                        (Some(number), _) => Target::Number(number),
                        (None, Some(name)) => Target::Name(name.to_owned()),
                        (None, None) => Target::Number(own),
                    },
                    None => Target::Number(own),
                };
                ports.push(ServicePort { at: port.at.clone(), protocol, number: own, target });
            }
        }
        self.services.insert(name, Service { at, selector: selector.clone(), ports });
    }

    /// Adds the ports that Services lead to: containers need not declare their ports, but where a Service leads, something
    /// listens. A Service that leads to no workload is left out.
    fn add_target_ports(&mut self) {
        let Self { services, workloads, notes, .. } = self;
        services.retain(|name, service| {
            let namespace = name.split('/').next().unwrap_or_default();
            let selector = Selector::from_labels(&labels_of(Some(&service.selector)));
            let prefix = format!("{namespace}/");
            let mut behind: Vec<&mut Workload> = workloads
                .iter_mut()
                .filter(|(name, workload)| {
                    name.starts_with(&prefix) && selector.matches(&labels_of(workload.labels.as_ref()))
                })
                .map(|(_, workload)| workload)
                .collect();
            service.ports.retain(|port| match &port.target {
                Target::Number(number) => {
                    for workload in &mut behind {
                        add_port(
                            &mut workload.ports,
                            Port {
                                at: port.at.clone(),
                                protocol: port.protocol,
                                number: *number,
                                name: None,
                                sidecar: false,
                            },
                        );
                    }
                    true
                }
                Target::Name(name) => behind.iter().any(|workload| {
                    workload
                        .ports
                        .iter()
                        .any(|known| known.name.as_ref() == Some(name) && known.protocol == port.protocol)
                }),
            });
            let is_used = !behind.is_empty() && !service.ports.is_empty();
            if !is_used {
                notes.push(format!("Service {name} is passed over: it leads to none of these workloads"));
            }
            is_used
        });
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        // Two ports of a pod may cause the same note.
        notes.dedup();
        if !self.passed_over.is_empty() {
            let kinds: Vec<String> =
                self.passed_over.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            notes.push(format!("passed over: {}", kinds.join(", ")));
        }
        let silent: Vec<&str> = self
            .workloads
            .iter()
            .filter(|(_, workload)| workload.ports.is_empty())
            .map(|(name, _)| name.as_str())
            .collect();
        if !silent.is_empty() {
            notes.push(format!("no port is declared, so that no flow can go there: {}", silent.join(", ")));
        }
        if self.policies.is_empty() {
            notes.push("the manifests have no policies: everything may talk to everything".to_owned());
        }
        notes
    }
}

/// Adds a port, once for each protocol and number. If only one of two equal ports has a name, the name is kept.
fn add_port(ports: &mut Vec<Port>, port: Port) {
    match ports.iter_mut().find(|known| (known.protocol, known.number) == (port.protocol, port.number)) {
        Some(known) => known.name = known.name.take().or(port.name),
        None => ports.push(port),
    }
}

/// `tcp` or `udp`; `None` for protocols that probers do not speak.
fn protocol(port: &Node) -> Option<&'static str> {
    match port.get("protocol").and_then(Node::as_text) {
        None | Some("TCP") => Some("tcp"),
        Some("UDP") => Some("udp"),
        Some(_) => None,
    }
}

fn number(node: &Node) -> Option<u16> {
    match &node.value {
        Content::Number(number) => {
            number.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
        }
        _ => None,
    }
}

fn labels_of(node: Option<&Node>) -> Labels {
    let Some(Content::Map(entries)) = node.map(|node| &node.value) else { return Labels::new() };
    entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.as_text().unwrap_or_default().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests;
