//! Namespaces, workloads and services of a scenario.

use super::{
    fields::{Fields, entries, items, label_key, labels, text, wrong_type},
    listener_text::listeners,
    placement, service, shadow,
};
use crate::{
    scenario::{
        Labels, Placement, Topology, WorkloadSpec,
        name::{Qualified, is_label, is_subdomain},
    },
    text::{
        problem::Problems,
        tree::{Content, Entry, Mark, Node, shortened},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The longest logical name of a namespace: a run appends its id, and Kubernetes allows 63 characters.
pub const MAX_NAMESPACE_LENGTH: usize = 40;

/// Most workloads of a scenario; each one is a pod.
const MAX_WORKLOADS: usize = 200;

/// Fields of a namespace.
pub(super) const NAMESPACE_FIELDS: &[&str] = &["labels"];

/// Fields of a workload.
pub(super) const WORKLOAD_FIELDS: &[&str] =
    &["labels", "listens", "sidecar", "node", "nodeSelector", "tolerations", "hostNetwork", "like", "in"];

/// What a scenario deploys, and where each part is written.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// The checked parts. A workload or service with a mistake is here, too, so that its name is known.
    pub(super) topology: Topology,
    /// Where each workload is written.
    pub(super) workloads: BTreeMap<Qualified, Mark>,
    /// Where each service is written.
    pub(super) services: BTreeMap<Qualified, Mark>,
    /// Workloads and services whose ports could not be read; nothing more is reported about these.
    pub(super) unclear: BTreeSet<Qualified>,
    /// Whether the namespaces could not be read, so that every namespace counts as declared.
    any_namespace: bool,
}

impl Declared {
    /// Reads the three parts and checks them against each other.
    pub(super) fn read(top: &Fields<'_>, at: &Mark, problems: &mut Problems) -> Self {
        let mut declared = Self::default();
        if let Some(node) = top.get("namespaces") {
            declared.read_namespaces(node, problems);
        } else {
            declared.any_namespace = true;
        }
        if let Some(node) = top.get("workloads") {
            shadow::live_namespaces(&mut declared, node, problems);
        }
        if top.lacks("namespaces") && declared.topology.live.is_empty() {
            problems.add(at, "the scenario has no namespaces").hint("add namespaces: { app: }");
        }
        if let Some(node) = top.get("workloads") {
            declared.read_workloads(node, problems);
        }
        if top.lacks("workloads") {
            problems
                .add(at, "the scenario has no workloads")
                .hint("add workloads: { app/api: { listens: [tcp/80] } }");
        }
        if let Some(node) = top.get("services") {
            for entry in entries(node, "'services'", problems).unwrap_or_default() {
                if let Some(name) = declared.qualified(entry, "service", problems) {
                    if let Some(live) = declared.topology.live.get(&name.namespace) {
                        problems
                            .add(&entry.at, format!("'{}' stands for the live namespace '{live}', in which a run makes no services", name.namespace))
                            .hint("a flow can go to one that is there: -> service namespace/name tcp/80");
                    }
                    service::check_name(&name, &entry.at, problems);
                    let (spec, clear) = service::read(&entry.value, problems);
                    let in_namespace = declared.topology.namespaces.contains_key(&name.namespace);
                    if !clear || !in_namespace {
                        declared.unclear.insert(name.clone());
                    }
                    declared.services.insert(name.clone(), entry.at.clone());
                    declared.topology.services.insert(name, spec);
                }
            }
        }
        placement::check(&declared, problems);
        declared
    }

    /// Reports a namespace that is not declared; returns whether it is.
    pub(super) fn check_namespace(&self, namespace: &str, at: &Mark, problems: &mut Problems) -> bool {
        let known = self.any_namespace
            || self.topology.namespaces.contains_key(namespace)
            || self.topology.live.contains_key(namespace);
        if !known {
            problems
                .add(at, format!("there is no namespace '{}' in this scenario", shortened(namespace)))
                .suggest(namespace, self.topology.namespaces.keys().map(String::as_str));
        }
        known
    }

    /// Reports a workload that is not declared, or whose name is not valid.
    pub(super) fn workload(&self, name: &str, at: &Mark, problems: &mut Problems) -> Option<Qualified> {
        let parsed = match name.parse::<Qualified>() {
            Ok(parsed) => parsed,
            Err(error) => {
                problems.add(at, error.to_string());
                return None;
            }
        };
        if self.workloads.contains_key(&parsed) {
            return Some(parsed);
        }
        let known: Vec<String> = self.workloads.keys().map(ToString::to_string).collect();
        problems
            .add(at, format!("there is no workload '{name}'"))
            .suggest(name, known.iter().map(String::as_str));
        None
    }

    fn read_namespaces(&mut self, node: &Node, problems: &mut Problems) {
        let Some(entries) = entries(node, "'namespaces'", problems) else {
            self.any_namespace = true;
            return;
        };
        for entry in entries {
            let what = format!("the namespace '{}'", shortened(&entry.key));
            if !is_label(&entry.key) {
                problems
                    .add(&entry.at, format!("'{}' is not a valid namespace name", shortened(&entry.key)))
                    .hint("lower-case letters, digits and '-', no '-' at either end (RFC 1123)");
            } else if entry.key.len() > MAX_NAMESPACE_LENGTH {
                problems
                    .add(&entry.at, format!("{what} has more than {MAX_NAMESPACE_LENGTH} characters"))
                    .hint("a run adds its id to the name, and Kubernetes allows 63");
            } else if entry.key.starts_with("kube-") {
                problems.add(&entry.at, format!("{what} belongs to Kubernetes")).hint(
                    "a scenario has namespaces of its own; policies can select the cluster's by their labels",
                );
            }
            let mut spec = Labels::new();
            if let Some(fields) = Fields::open(&entry.value, "a namespace", NAMESPACE_FIELDS, problems)
                && let Some(node) = fields.get("labels")
            {
                spec = labels(node, "'labels'", problems);
            }
            self.topology.namespaces.insert(entry.key.clone(), spec);
        }
    }

    fn read_workloads(&mut self, node: &Node, problems: &mut Problems) {
        let entries = entries(node, "'workloads'", problems).unwrap_or_default();
        if entries.len() > MAX_WORKLOADS {
            problems.add(
                &node.at,
                format!("{} workloads; a scenario has at most {MAX_WORKLOADS}", entries.len()),
            );
        }
        let mut named = Vec::new();
        for entry in entries {
            if let Some(name) = self.qualified(entry, "workload", problems) {
                self.workloads.insert(name.clone(), entry.at.clone());
                named.push((name, entry));
            }
        }
        // Placements refer to workloads that may come later.
        for (name, entry) in named {
            let spec = self.read_workload(&name, &entry.value, problems);
            self.topology.workloads.insert(name, spec);
        }
    }

    fn read_workload(&mut self, name: &Qualified, node: &Node, problems: &mut Problems) -> WorkloadSpec {
        let mut spec = WorkloadSpec::default();
        let Some(fields) = Fields::open(node, "a workload", WORKLOAD_FIELDS, problems) else {
            self.unclear.insert(name.clone());
            return spec;
        };
        shadow::read(&mut spec, name, &fields, node, self.topology.live.get(&name.namespace), problems);
        if let Some(node) = fields.get("labels") {
            spec.labels = labels(node, "'labels'", problems);
        }
        let (listens, clear) = listeners(&fields, problems);
        spec.listens = listens;
        if !clear {
            self.unclear.insert(name.clone());
        }
        if let Some((node, text)) = fields.text("node", problems) {
            spec.placement = self.placement(name, node, text, problems).unwrap_or_default();
        }
        if let Some(node) = fields.get("nodeSelector") {
            spec.node_selector = node_selector(node, problems);
        }
        if let Some(node) = fields.get("tolerations") {
            for item in items(node, "'tolerations'", problems).unwrap_or_default() {
                if Fields::open(item, "a toleration", TOLERATION_FIELDS, problems).is_some() {
                    spec.tolerations.push(item.to_json());
                }
            }
        }
        match fields.get("hostNetwork").map(|node| (node, &node.value)) {
            Some((_, Content::Bool(value))) => spec.host_network = *value,
            Some((node, _)) => {
                wrong_type(node, "'hostNetwork'", "true or false", problems);
            }
            None => {}
        }
        spec
    }

    /// Reads `NAME`, `same-as ns/w` or `other-than ns/w`.
    fn placement(
        &self,
        own: &Qualified,
        node: &Node,
        text: &str,
        problems: &mut Problems,
    ) -> Option<Placement> {
        let mut words = text.split_whitespace();
        let (first, second, more) = (words.next().unwrap_or_default(), words.next(), words.next());
        let relation: fn(Qualified) -> Placement = match first {
            "same-as" => Placement::SameAs,
            "other-than" => Placement::OtherThan,
            name if second.is_none() && is_subdomain(name) => return Some(Placement::Node(name.to_owned())),
            _ => {
                problems
                    .add(&node.at, format!("'{}' is not a placement", shortened(text)))
                    .hint("write the name of a node, same-as ns/workload, or other-than ns/workload");
                return None;
            }
        };
        let (Some(other), None) = (second, more) else {
            let message = format!("'{first}' takes one workload");
            problems.add(&node.at, message).hint(format!("write {first} ns/workload"));
            return None;
        };
        let at = node.part(text.find(other).unwrap_or_default(), other.chars().count());
        let other = self.workload(other, &at, problems)?;
        if other == *own {
            problems.add(&at, format!("'{first}' refers to the workload itself"));
            return None;
        }
        Some(relation(other))
    }

    /// The name of a workload or service, in a namespace that is declared.
    fn qualified(&self, entry: &Entry, what: &str, problems: &mut Problems) -> Option<Qualified> {
        match entry.key.parse::<Qualified>() {
            Ok(name) => {
                let mut at = entry.at.clone();
                at.length = at.length.min(name.namespace.len() as u32);
                self.check_namespace(&name.namespace, &at, problems);
                Some(name)
            }
            Err(error) => {
                problems
                    .add(&entry.at, format!("{error}, as a {what} has to be"))
                    .hint(format!("write {what}s: {{ app/api: … }}"));
                None
            }
        }
    }
}

/// Fields of a toleration in the Kubernetes API (`core/v1`).
const TOLERATION_FIELDS: &[&str] = &["key", "operator", "value", "effect", "tolerationSeconds"];

/// A node selector: any label, including those that the cluster sets.
fn node_selector(node: &Node, problems: &mut Problems) -> Labels {
    let mut selector = Labels::new();
    for entry in entries(node, "'nodeSelector'", problems).unwrap_or_default() {
        label_key(&entry.key, &entry.at, problems);
        if let Some(value) = text(&entry.value, &format!("the label '{}'", shortened(&entry.key)), problems) {
            selector.insert(entry.key.clone(), value.to_owned());
        }
    }
    selector
}
