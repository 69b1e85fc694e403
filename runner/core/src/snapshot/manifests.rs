//! Plain manifests, as Helm, kustomize or kubectl print them: several documents, lists, kinds of all sorts.

use crate::{
    policy::PolicyKind,
    scenario::{Manifest, ObjectRef},
    snapshot::Snapshot,
    text::{
        Places,
        problem::{Problem, Problems},
        tree::{Content, Node, shortened},
        yaml,
    },
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Reads the objects of files, given by name and content. Returns every problem; objects without a problem are in the snapshot.
///
/// A kind that has nothing to do with policies is counted and ignored. An object without a namespace is in `default`, where
/// kubectl puts it.
#[must_use]
pub fn manifests(files: &[(String, Vec<u8>)]) -> (Snapshot, Vec<Problem>) {
    let mut problems = Problems::default();
    let mut found: Vec<Manifest> = Vec::new();
    let mut places: BTreeMap<ObjectRef, usize> = BTreeMap::new();
    for (name, bytes) in files {
        let file: Arc<str> = name.as_str().into();
        let Some(documents) = yaml::read_within(&yaml::GENERATED, &file, bytes, &mut problems) else {
            continue;
        };
        for mut document in documents {
            let mut surprises = Vec::new();
            document.read_in_cluster(&mut surprises);
            for surprise in surprises {
                problems.push(surprise.into_problem());
            }
            objects(&document, &mut |node| {
                let Some(manifest) = object(node, &mut problems) else { return };
                let has_name = !manifest.object.name.is_empty();
                if let Some(first) = places.get(&manifest.object).filter(|_| has_name) {
                    let first = found[*first].at.clone();
                    problems
                        .add(&node.at, format!("{} is defined twice", manifest.object))
                        .hint("of two objects of one name, the later one would replace the earlier one")
                        .related(first, "first here");
                } else {
                    places.insert(manifest.object.clone(), found.len());
                    found.push(manifest);
                }
            });
        }
    }
    let mut snapshot = Snapshot::default();
    // Namespaces and nodes first, so that others find their labels.
    let (first, rest): (Vec<_>, Vec<_>) =
        found.iter().partition(|manifest| matches!(manifest.object.kind.as_str(), "Namespace" | "Node"));
    for manifest in first.into_iter().chain(rest) {
        snapshot.add(manifest);
    }
    let first = files.first().map_or("", |(name, _)| name.as_str());
    (snapshot, problems.into_sorted(first))
}

/// Passes on every object of a document, those of lists one by one.
pub(crate) fn objects(node: &Node, each: &mut dyn FnMut(&Node)) {
    let list = node.get("kind").and_then(Node::as_text).is_some_and(|kind| kind.ends_with("List"));
    match (list, node.get("items").map(|items| &items.value)) {
        (true, Some(Content::List(items))) => {
            for item in items {
                objects(item, each);
            }
        }
        _ => each(node),
    }
}

/// The `apiVersion` and the `kind` of an object. Reports an object without them, unless it is null or empty.
pub(crate) fn kind_of<'n>(node: &'n Node, problems: &mut Problems) -> Option<(&'n str, &'n str)> {
    if node.is_null() {
        return None;
    }
    if let Content::Map(entries) = &node.value
        && entries.is_empty()
    {
        return None;
    }
    let text = |field: &str| node.get(field).and_then(Node::as_text);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let what = if let Content::Map(_) = node.value {
            "it has no apiVersion and kind".to_owned()
        } else {
            node.describe()
        };
        problems.add(&node.at, format!("this is not a manifest: {what}"));
        return None;
    };
    Some((api_version, kind))
}

fn object(node: &Node, problems: &mut Problems) -> Option<Manifest> {
    let (api_version, kind) = kind_of(node, problems)?;
    if let Some(versions) = PolicyKind::versions(kind)
        && PolicyKind::of(api_version, kind).is_none()
        && !api_version.contains("calico")
    {
        let at = node.get("apiVersion").map_or(&node.at, |node| &node.at);
        problems
            .add(at, format!("there is no {kind} in '{}'", shortened(api_version)))
            .hint(format!("write {}", versions.join(" or ")));
        return None;
    }
    let metadata = |field: &str| node.get("metadata").and_then(|metadata| metadata.get(field)?.as_text());
    let is_policy = PolicyKind::of(api_version, kind).is_some();
    // A policy without a name, or with one that is not text, is checked like any other: the name is one problem of several.
    let no_name = is_policy.then_some("");
    let Some(name) = metadata("name").or_else(|| metadata("generateName")).or(no_name) else {
        problems.add(&node.at, format!("a {} has no name", shortened(kind)));
        return None;
    };
    let namespaced = !matches!(
        kind,
        "Namespace" | "Node" | "ClusterNetworkPolicy" | "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy"
    );
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespaced.then(|| metadata("namespace").unwrap_or("default").to_owned()),
        name: name.to_owned(),
    };
    // Only policies are asked where their fields are.
    let places = if is_policy { node.places() } else { Places::default() };
    let mut value = node.to_json();
    if let Some(namespace) = &object.namespace
        && let Some(Value::Null | Value::Object(_)) = value.get("metadata")
        && value["metadata"]["namespace"].is_null()
    {
        value["metadata"]["namespace"] = namespace.as_str().into();
    }
    Some(Manifest { object, value, at: node.at.position(), places })
}
