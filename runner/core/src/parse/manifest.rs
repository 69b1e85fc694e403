//! Manifests of a scenario: inline, from files, in lists; their names, namespaces and placeholders.

use super::{
    Load, Loaded,
    fields::{Fields, items, text},
    topology::Declared,
};
use crate::{
    scenario::{Manifest, ObjectRef, name::is_subdomain},
    text::{
        problem::Problems,
        tree::{Content, Mark, Node, Surprise, shortened},
        yaml,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Fields of an item that names a file.
pub(super) const FILE_FIELDS: &[&str] = &["file"];

/// Kinds that are known to be cluster-scoped. A manifest of an unknown kind is cluster-scoped if it names no namespace.
pub(super) const CLUSTER_SCOPED: &[&str] = &[
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "CiliumClusterwideNetworkPolicy",
    "ClusterNetworkPolicy",
    "GlobalNetworkPolicy",
    "Namespace",
];

/// Kinds that are known to be namespaced.
const NAMESPACED: &[&str] = &["NetworkPolicy", "CiliumNetworkPolicy", "ConfigMap", "Service", "Pod"];

/// Reads the manifests of one step.
pub(super) struct Manifests<'a, 'l> {
    declared: &'a Declared,
    load: &'a mut Load<'l>,
    found: Vec<Manifest>,
    /// Where each object of this step is written.
    places: BTreeMap<ObjectRef, Mark>,
}

impl<'a, 'l> Manifests<'a, 'l> {
    /// Reads the list of `policies` or `apply`.
    pub(super) fn read(
        node: &Node,
        what: &str,
        declared: &'a Declared,
        load: &'a mut Load<'l>,
        problems: &mut Problems,
    ) -> Vec<Manifest> {
        let mut manifests = Self { declared, load, found: Vec::new(), places: BTreeMap::new() };
        for item in items(node, what, problems).unwrap_or_default() {
            manifests.item(item, problems);
        }
        manifests.found
    }

    /// Reads an inline manifest or `file: PATH`.
    fn item(&mut self, item: &Node, problems: &mut Problems) {
        if item.get("file").is_none() || item.get("kind").is_some() {
            self.manifest(item, problems);
            return;
        }
        let Some(fields) = Fields::open(item, "a reference to a file", FILE_FIELDS, problems) else {
            return;
        };
        let Some((node, path)) = fields.text("file", problems) else {
            return;
        };
        let loaded = match (self.load)(path) {
            Ok(loaded) => loaded,
            Err(why) => {
                problems
                    .add(&node.at, format!("cannot read the file '{}': {why}", shortened(path)))
                    .hint("the path is relative to the scenario's file");
                return;
            }
        };
        for Loaded { name, bytes } in loaded {
            let file: Arc<str> = name.into();
            let Some(documents) = yaml::read(&file, &bytes, problems) else { continue };
            if documents.is_empty() {
                problems.add(&node.at, format!("the file '{file}' has no manifests"));
            }
            for document in &documents {
                self.manifest(document, problems);
            }
        }
    }

    /// Reads one manifest, or the manifests of a list of the API (`kind: List`).
    fn manifest(&mut self, node: &Node, problems: &mut Problems) {
        let Content::Map(_) = &node.value else {
            problems.add(&node.at, format!("a manifest must be a mapping, here it is {}", node.describe()));
            return;
        };
        let api_version = required(node, "apiVersion", problems);
        let kind = required(node, "kind", problems);
        if kind.is_some_and(|kind| kind.ends_with("List"))
            && let Some(list) = node.get("items")
        {
            for item in items(list, "'items'", problems).unwrap_or_default() {
                self.manifest(item, problems);
            }
            return;
        }
        let mut read = node.clone();
        let mut surprises = Vec::new();
        read.read_in_cluster(&mut surprises);
        let node = &read;
        let (refused, surprises): (Vec<_>, Vec<_>) =
            surprises.into_iter().partition(|surprise| surprise.is_refused);
        for surprise in refused {
            problems.push(surprise.into_problem());
        }
        let surprises =
            surprises.into_iter().map(|Surprise { at, message, .. }| (at.position(), at.length, message));
        let surprises = surprises.collect();
        let Some(metadata) = node.get("metadata").filter(|metadata| !metadata.is_null()) else {
            problems.add(&node.at, "a manifest has no metadata").hint("it needs metadata: { name: … }");
            return;
        };
        placeholders(node, self.declared, problems);
        let name = object_name(metadata, problems);
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            return;
        };
        check_kind(node, api_version, kind, problems);
        let Ok(namespace) = self.namespace(metadata, kind, problems) else {
            return;
        };
        let Some(name) = name else { return };
        let object = ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace,
            name: name.to_owned(),
        };
        if let Some(first) = self.places.get(&object) {
            problems
                .add(&node.at, format!("{object} is applied twice in one step"))
                .related(first.position(), "first here");
            return;
        }
        self.places.insert(object.clone(), node.at.clone());
        self.found.push(Manifest {
            object,
            value: node.to_json(),
            at: node.at.position(),
            places: node.places().with_surprises(surprises),
        });
    }

    /// The namespace of a manifest; `None` if it is cluster-scoped. Fails if a mistake was reported.
    fn namespace(
        &self,
        metadata: &Node,
        kind: &str,
        problems: &mut Problems,
    ) -> Result<Option<String>, Reported> {
        let Some(node) = metadata.get("namespace").filter(|node| !node.is_null()) else {
            if NAMESPACED.contains(&kind) {
                problems
                    .add(&metadata.at, format!("a {kind} needs a namespace"))
                    .suggest("", self.declared.topology.namespaces.keys().map(String::as_str));
                return Err(Reported);
            }
            return Ok(None);
        };
        let namespace = text(node, "'namespace'", problems).ok_or(Reported)?;
        if CLUSTER_SCOPED.contains(&kind) {
            problems
                .add(&node.at, format!("a {kind} is cluster-scoped: it has no namespace"))
                .hint("remove it");
            return Err(Reported);
        }
        if self.declared.check_namespace(namespace, &node.at, problems) {
            Ok(Some(namespace.to_owned()))
        } else {
            Err(Reported)
        }
    }
}

/// Says that a mistake was reported already.
struct Reported;

/// The name of a manifest's object.
fn object_name<'n>(metadata: &'n Node, problems: &mut Problems) -> Option<&'n str> {
    if let Some(node) = metadata.get("generateName") {
        problems
            .add(&node.at, "a manifest needs a name of its own, not generateName")
            .hint("a run has to find the object again");
    }
    let name = required(metadata, "name", problems)?;
    if !is_subdomain(name) {
        let at = metadata.get("name").map_or(&metadata.at, |node| &node.at);
        problems
            .add(at, format!("'{}' is not a valid object name", shortened(name)))
            .hint("lower-case letters, digits, '-' and '.' (RFC 1123)");
    }
    Some(name)
}

/// Reports a kind that the group of `NetworkPolicy` does not have.
fn check_kind(node: &Node, api_version: &str, kind: &str, problems: &mut Problems) {
    const NETWORKING: &[&str] = &["NetworkPolicy", "Ingress", "IngressClass", "IPAddress", "ServiceCIDR"];
    let at = |field: &str| node.get(field).map_or(&node.at, |node| &node.at);
    if api_version == "networking.k8s.io/v1" && !NETWORKING.contains(&kind) {
        problems
            .add(at("kind"), format!("networking.k8s.io/v1 has no kind '{}'", shortened(kind)))
            .suggest(kind, NETWORKING.iter().copied());
    }
    if kind == "NetworkPolicy" && !api_version.contains('/') {
        problems
            .add(at("apiVersion"), format!("a NetworkPolicy is not of '{}'", shortened(api_version)))
            .hint("write networking.k8s.io/v1");
    }
}

/// A text that a manifest must have.
fn required<'n>(node: &'n Node, field: &str, problems: &mut Problems) -> Option<&'n str> {
    let Some(value) = node.get(field).filter(|node| !node.is_null()) else {
        problems.add(&node.at, format!("a manifest has no {field}"));
        return None;
    };
    text(value, &format!("'{field}'"), problems)
}

/// The functions of placeholders, each with its argument.
const PLACEHOLDERS: &[&str] = &["ip4", "ip6", "namespace"];

/// Checks the placeholders in every text of a manifest: `$ip4(ns/w)`, `$ip6(ns/w)`, `$namespace(ns)`.
fn placeholders(node: &Node, declared: &Declared, problems: &mut Problems) {
    match &node.value {
        Content::Text(text) => text_placeholders(node, text, declared, problems),
        Content::List(items) => {
            for item in items {
                placeholders(item, declared, problems);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                placeholders(&entry.value, declared, problems);
            }
        }
        Content::Null | Content::Bool(_) | Content::Number(_) => {}
    }
}

fn text_placeholders(node: &Node, text: &str, declared: &Declared, problems: &mut Problems) {
    let mut from = 0;
    while let Some(dollar) = text[from..].find('$').map(|at| at + from) {
        from = dollar + 1;
        let letters = text[from..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len() - from);
        let function = &text[from..from + letters];
        if function.is_empty() || !text[from + letters..].starts_with('(') {
            continue;
        }
        let place = |start: usize, end: usize| {
            node.part(text[..start].chars().count(), text[start..end].chars().count())
        };
        let open = from + letters + 1;
        if !PLACEHOLDERS.contains(&function) {
            problems
                .add(&place(dollar, open - 1), format!("there is no placeholder '${function}'"))
                .suggest(function, PLACEHOLDERS.iter().copied());
            continue;
        }
        let Some(close) = text[open..].find(')').map(|at| at + open) else {
            problems.add(&place(dollar, open), format!("'${function}(' is never closed"));
            continue;
        };
        let argument = &text[open..close];
        let at = place(open, close);
        if function == "namespace" {
            declared.check_namespace(argument, &at, problems);
        } else {
            declared.workload(argument, &at, problems);
        }
        from = close;
    }
}
