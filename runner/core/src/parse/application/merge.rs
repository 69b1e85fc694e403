//! Puts what manifests say into the tree of a scenario, as if it had been written there.

use super::{Application, Port, Service, Target, Workload};
use crate::{
    parse::{listener_text, topology::MAX_NAMESPACE_LENGTH},
    text::{
        problem::Problems,
        tree::{Content, Entry, Mark, Node, shortened},
    },
};
use std::collections::BTreeSet;

impl Application {
    /// Puts everything into the tree of the scenario.
    pub(super) fn merge(self, scenario: &Node, problems: &mut Problems) -> Node {
        let mut node = scenario.clone();
        let Content::Map(top) = &mut node.value else { return node };
        top.retain(|entry| entry.key != "manifests");
        let at = scenario.at.clone();
        for (name, (place, labels)) in self.namespaces {
            if name.len() > MAX_NAMESPACE_LENGTH {
                // Reported here, with its place in the manifest.
                problems.add(
                    &place,
                    format!(
                        "the namespace '{}' has more than {MAX_NAMESPACE_LENGTH} characters",
                        shortened(&name)
                    ),
                );
            }
            let Some(own) = map_of(top, "namespaces", &at) else { break };
            let fields = labels.map(|labels| entry("labels", labels));
            let value = Node::collection(Content::Map(fields.into_iter().collect()), place);
            match own.iter_mut().find(|entry| entry.key == name) {
                Some(known) if known.value.is_null() => known.value = value,
                Some(_) => {}
                None => own.push(entry(name, value)),
            }
        }
        for (name, workload) in self.workloads {
            let Some(own) = map_of(top, "workloads", &at) else { break };
            let value = workload.node();
            match own.iter_mut().find(|entry| entry.key == name) {
                Some(known) => add_to_workload(&mut known.value, value),
                None => own.push(entry(name, value)),
            }
        }
        for (name, service) in self.services {
            let Some(own) = map_of(top, "services", &at) else { break };
            if !own.iter().any(|entry| entry.key == name) {
                own.push(entry(name, service.node()));
            }
        }
        if !self.policies.is_empty() {
            apply_first(top, self.policies, &at, problems);
        }
        node
    }
}

/// Adds policies to those of the short form, or to the first step's.
fn apply_first(top: &mut Vec<Entry>, policies: Vec<Node>, at: &Mark, problems: &mut Problems) {
    let steps = top.iter_mut().find(|entry| entry.key == "steps").map(|entry| &mut entry.value);
    let (fields, field) = match steps {
        None => (top, "policies"),
        Some(Node { value: Content::List(steps), .. }) => match steps.first_mut().map(|step| &mut step.value)
        {
            Some(Content::Map(fields)) => (fields, "apply"),
            _ => return,
        },
        Some(_) => return,
    };
    match fields.iter_mut().find(|entry| entry.key == field) {
        Some(Entry { value: Node { value: Content::List(own), .. }, .. }) => {
            let written = std::mem::replace(own, policies);
            own.extend(written);
        }
        Some(entry) if entry.value.as_text() == Some("live") => {
            problems
                .add(&entry.at, "the manifests have policies, and 'live' takes those that the cluster has")
                .hint("leave 'policies' out to apply the manifests', or take manifests without policies");
        }
        Some(entry) => entry.value = Node::collection(Content::List(policies), at.clone()),
        None => {
            fields.push(entry(field, Node::collection(Content::List(policies), at.clone())));
        }
    }
}

impl Workload {
    fn node(self) -> Node {
        let at = self.at;
        let mut fields = Vec::new();
        if let Some(labels) = self.labels {
            fields.push(entry("labels", labels));
        }
        let (sidecar, own): (Vec<_>, Vec<_>) = self.ports.into_iter().partition(|port| port.sidecar);
        for (field, ports) in listener_text::FIELDS.into_iter().zip([own, sidecar]) {
            let listens = ports.into_iter().map(Port::node).collect();
            fields.push(entry(field, Node::collection(Content::List(listens), at.clone())));
        }
        if self.host_network {
            fields.push(entry("hostNetwork", Node::collection(Content::Bool(true), at.clone())));
        }
        Node::collection(Content::Map(fields), at)
    }
}

impl Port {
    fn node(self) -> Node {
        let text = text_node(format!("{}/{}", self.protocol, self.number), &self.at);
        match self.name {
            None => text,
            Some(name) => Node::collection(Content::Map(vec![entry(name, text)]), self.at),
        }
    }
}

impl Service {
    fn node(self) -> Node {
        let at = self.at;
        let ports = self.ports.into_iter().map(|port| {
            let target = match port.target {
                Target::Number(number) => number.to_string(),
                Target::Name(name) => name,
            };
            text_node(format!("{}/{} -> {target}", port.protocol, port.number), &port.at)
        });
        let ports = Node::collection(Content::List(ports.collect()), at.clone());
        Node::collection(Content::Map(vec![entry("selector", self.selector), entry("ports", ports)]), at)
    }
}

/// Adds to a workload of the scenario what the manifest has in addition: labels and listeners.
fn add_to_workload(own: &mut Node, read: Node) {
    if own.is_null() {
        *own = read;
        return;
    }
    let (Content::Map(own), Content::Map(read)) = (&mut own.value, read.value) else { return };
    let lists = own.iter().filter(|entry| listener_text::FIELDS.contains(&entry.key.as_str()));
    let known: BTreeSet<String> = lists
        .filter_map(|entry| if let Content::List(list) = &entry.value.value { Some(list) } else { None })
        .flat_map(|list| list.iter().map(socket))
        .collect();
    for mut field in read {
        if let Content::List(listeners) = &mut field.value.value {
            listeners.retain(|listener| !known.contains(&socket(listener)));
        }
        match (
            own.iter_mut().find(|entry| entry.key == field.key).map(|entry| &mut entry.value.value),
            field.value.value,
        ) {
            (None, value) => own.push(Entry { value: Node { value, ..field.value }, ..field }),
            (Some(Content::Map(own)), Content::Map(labels)) => {
                for label in labels {
                    if !own.iter().any(|known| known.key == label.key) {
                        own.push(label);
                    }
                }
            }
            (Some(Content::List(own)), Content::List(listeners)) => own.extend(listeners),
            _ => {}
        }
    }
}

/// A listener as it is written, without its name.
fn socket(listener: &Node) -> String {
    match &listener.value {
        Content::Map(entries) => entries.first().map_or_else(String::new, |entry| socket(&entry.value)),
        _ => listener.as_text().unwrap_or_default().to_owned(),
    }
}

/// The entries of a field that is a mapping; the mapping is created if it is missing. `None` if the field is not a mapping, which
/// is reported elsewhere.
fn map_of<'n>(top: &'n mut Vec<Entry>, field: &str, at: &Mark) -> Option<&'n mut Vec<Entry>> {
    let index = top.iter().position(|entry| entry.key == field).unwrap_or_else(|| {
        top.push(entry(field, Node::collection(Content::Null, at.clone())));
        top.len() - 1
    });
    let value = &mut top[index].value.value;
    if let Content::Null = value {
        *value = Content::Map(Vec::new());
    }
    if let Content::Map(entries) = value { Some(entries) } else { None }
}

/// Puts a policy without a namespace into one.
pub(super) fn set_namespace(policy: &mut Node, namespace: &str) {
    let Content::Map(fields) = &mut policy.value else { return };
    let Some(metadata) = fields.iter_mut().find(|entry| entry.key == "metadata") else { return };
    let at = metadata.at.clone();
    if let Content::Map(fields) = &mut metadata.value.value
        && !fields.iter().any(|entry| entry.key == "namespace" && !entry.value.is_null())
    {
        fields.retain(|entry| entry.key != "namespace");
        fields.push(entry("namespace", text_node(namespace.to_owned(), &at)));
    }
}

/// An entry whose key is where its value is.
fn entry(key: impl Into<String>, value: Node) -> Entry {
    Entry { key: key.into(), at: value.at.clone(), value, in_cluster: None }
}

fn text_node(text: String, at: &Mark) -> Node {
    Node::collection(Content::Text(text), at.clone())
}
