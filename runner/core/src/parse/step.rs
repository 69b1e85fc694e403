//! Steps of a scenario: what changes, in the order in which it is written.

use super::{
    Load,
    fields::{Fields, entries, items, label_key, label_value, text},
    manifest::Manifests,
    topology::Declared,
};
use crate::{
    scenario::{Change, Labels, ObjectRef, capability::Capability, label::LabelChange, name::Qualified},
    text::{
        problem::Problems,
        tree::{Content, Mark, Node, shortened},
    },
};
use std::collections::BTreeMap;

/// Fields of a step.
pub(super) const STEP_FIELDS: &[&str] = &["step", "apply", "delete", "label", "restart", "expect", "shows"];

/// A step whose expectations have not been read yet.
pub(super) struct Draft<'n> {
    /// The text of `step:`, or a description of the change.
    pub(super) title: String,
    /// Where the step begins.
    pub(super) at: Mark,
    pub(super) changes: Vec<Change>,
    pub(super) expect: Option<&'n Node>,
    /// The capabilities that it shows, if it names them itself.
    pub(super) shows: Option<Vec<Capability>>,
    /// Whether the expectations are probably there under another name.
    pub(super) unclear: bool,
}

/// What earlier steps have left behind.
pub(super) struct Stage<'a> {
    pub(super) declared: &'a Declared,
    /// Objects that exist, and where each was last applied.
    applied: BTreeMap<ObjectRef, Mark>,
    /// Objects that were deleted, and where.
    deleted: BTreeMap<ObjectRef, Mark>,
    /// The labels of each workload over time; the last ones are the current ones.
    pub(super) history: BTreeMap<Qualified, Vec<Labels>>,
    namespaces: BTreeMap<String, Labels>,
}

/// Reads `shows`: the capabilities that flows show.
pub(super) fn shows(fields: &Fields<'_>, problems: &mut Problems) -> Option<Vec<Capability>> {
    let node = fields.get("shows")?;
    let mut found = Vec::new();
    for item in items(node, "'shows'", problems)? {
        let Some(word) = text(item, "a capability", problems) else { continue };
        match Capability::named(word) {
            Some(capability) if capability.is_read() => {
                problems
                    .add(&item.at, format!("'{capability}' is read from flows, and not written"))
                    .hint("leave it out");
            }
            Some(capability) => found.push(capability),
            None => {
                let written = Capability::ALL.iter().filter(|capability| !capability.is_read());
                problems
                    .add(&item.at, format!("'{}' is not a capability", shortened(word)))
                    .suggest(word, written.map(|capability| capability.word()));
            }
        }
    }
    Some(found)
}

impl<'a> Stage<'a> {
    /// The stage right after the deployment.
    pub(super) fn new(declared: &'a Declared) -> Self {
        let workloads = &declared.topology.workloads;
        Self {
            declared,
            applied: BTreeMap::new(),
            deleted: BTreeMap::new(),
            history: workloads.iter().map(|(name, spec)| (name.clone(), vec![spec.labels.clone()])).collect(),
            namespaces: declared.topology.namespaces.clone(),
        }
    }

    /// The only step of the short form.
    pub(super) fn short_form<'n>(
        &mut self,
        top: &Fields<'n>,
        at: &Mark,
        load: &mut Load<'_>,
        problems: &mut Problems,
    ) -> Draft<'n> {
        let mut changes = Vec::new();
        let live = top.get("policies").and_then(Node::as_text) == Some("live");
        if let Some(node) = top.get("policies").filter(|_| !live) {
            self.apply(node, "'policies'", load, &mut changes, problems);
        }
        Draft {
            title: if live { "the policies that the cluster has".to_owned() } else { describe(&changes) },
            at: top.get("expect").map_or_else(|| at.clone(), |node| node.at.clone()),
            changes,
            expect: top.get("expect"),
            shows: None,
            unclear: top.misspells("expect"),
        }
    }

    /// Reads one step of the long form.
    pub(super) fn step<'n>(
        &mut self,
        node: &'n Node,
        load: &mut Load<'_>,
        problems: &mut Problems,
    ) -> Option<Draft<'n>> {
        let fields = Fields::open(node, "a step", STEP_FIELDS, problems)?;
        let mut changes = Vec::new();
        for entry in entries(node, "a step", problems)? {
            match entry.key.as_str() {
                _ if entry.value.is_null() => {}
                "apply" => self.apply(&entry.value, "'apply'", load, &mut changes, problems),
                "delete" => self.delete(&entry.value, &mut changes, problems),
                "label" => self.label(&entry.value, &mut changes, problems),
                "restart" => self.restart(&entry.value, &mut changes, problems),
                _ => {}
            }
        }
        let title = fields
            .text("step", problems)
            .map_or_else(|| describe(&changes), |(_, title)| title.trim().to_owned());
        Some(Draft {
            title,
            at: node.at.clone(),
            changes,
            expect: fields.get("expect"),
            shows: shows(&fields, problems),
            unclear: fields.misspells("expect"),
        })
    }

    fn apply(
        &mut self,
        node: &Node,
        what: &str,
        load: &mut Load<'_>,
        changes: &mut Vec<Change>,
        problems: &mut Problems,
    ) {
        for manifest in Manifests::read(node, what, self.declared, load, problems) {
            self.deleted.remove(&manifest.object);
            self.applied.insert(manifest.object.clone(), node.at.clone());
            changes.push(Change::Apply(manifest));
        }
    }

    fn delete(&mut self, node: &Node, changes: &mut Vec<Change>, problems: &mut Problems) {
        for item in one_or_more(node, "'delete'", problems) {
            let Some(text) = text(item, "an object to delete", problems) else {
                continue;
            };
            let words: Vec<&str> = text.split_whitespace().collect();
            let [kind, name] = words[..] else {
                problems
                    .add(&item.at, format!("'{}' names no object", shortened(text)))
                    .hint("write KIND namespace/name, or KIND name: NetworkPolicy data/postgres");
                continue;
            };
            let wanted = format!("{kind} {name}");
            let find = |objects: &BTreeMap<ObjectRef, Mark>| {
                objects
                    .iter()
                    .find(|(object, _)| object.to_string() == wanted)
                    .map(|(o, at)| (o.clone(), at.clone()))
            };
            if let Some((object, _)) = find(&self.applied) {
                self.applied.remove(&object);
                self.deleted.insert(object.clone(), item.at.clone());
                changes.push(Change::Delete(object));
            } else if let Some((_, at)) = find(&self.deleted) {
                problems
                    .add(&item.at, format!("{} is deleted already", shortened(&wanted)))
                    .related(at.position(), "deleted here");
            } else {
                let known: Vec<String> = self.applied.keys().map(ToString::to_string).collect();
                problems
                    .add(&item.at, format!("no earlier step applies {}", shortened(&wanted)))
                    .suggest(&wanted, known.iter().map(String::as_str));
            }
        }
    }

    fn label(&mut self, node: &Node, changes: &mut Vec<Change>, problems: &mut Problems) {
        for entry in entries(node, "'label'", problems).unwrap_or_default() {
            let words: Vec<&str> = entry.key.split_whitespace().collect();
            let change = match words[..] {
                ["namespace", name] => {
                    let known = self.declared.check_namespace(name, &entry.at, problems);
                    let labels = self.namespaces.entry(name.to_owned()).or_default();
                    let set = relabel(labels, &entry.value, problems);
                    known.then(|| Change::LabelNamespace(name.to_owned(), set))
                }
                [name] => self.declared.workload(name, &entry.at, problems).map(|workload| {
                    let history = self.history.entry(workload.clone()).or_default();
                    let mut labels = history.last().cloned().unwrap_or_default();
                    let set = relabel(&mut labels, &entry.value, problems);
                    history.push(labels);
                    Change::LabelPod(workload, set)
                }),
                _ => {
                    problems
                        .add(&entry.at, format!("'{}' names nothing that has labels", shortened(&entry.key)))
                        .hint("write ns/workload or namespace NAME");
                    None
                }
            };
            changes.extend(change);
        }
    }

    fn restart(&mut self, node: &Node, changes: &mut Vec<Change>, problems: &mut Problems) {
        for item in one_or_more(node, "'restart'", problems) {
            if let Some(name) = text(item, "a workload to restart", problems)
                && let Some(workload) = self.declared.workload(name.trim(), &item.at, problems)
            {
                changes.push(Change::Restart(workload));
            }
        }
    }
}

/// Reads labels to set and (with null) to remove, and changes `labels` accordingly.
fn relabel(labels: &mut Labels, node: &Node, problems: &mut Problems) -> LabelChange {
    let mut set = LabelChange::new();
    let entries = entries(node, "labels", problems).unwrap_or_default();
    if entries.is_empty() {
        problems
            .add(&node.at, "no label changes here")
            .hint("write { role: web } to set one, { role: null } to remove one");
    }
    for entry in entries {
        label_key(&entry.key, &entry.at, problems);
        if entry.value.is_null() {
            if labels.remove(&entry.key).is_none() {
                problems
                    .add(&entry.at, format!("there is no label '{}' to remove", shortened(&entry.key)))
                    .suggest(&entry.key, labels.keys().map(String::as_str));
            }
            set.insert(entry.key.clone(), None);
        } else if let Some(value) = label_value(&entry.key, &entry.value, problems) {
            labels.insert(entry.key.clone(), value.to_owned());
            set.insert(entry.key.clone(), Some(value.to_owned()));
        }
    }
    set
}

/// The items of a list, or the only item if it is not in a list.
fn one_or_more<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> &'n [Node] {
    match &node.value {
        Content::Text(_) => std::slice::from_ref(node),
        _ => items(node, what, problems).unwrap_or_default(),
    }
}

/// A title for a step that has none.
fn describe(changes: &[Change]) -> String {
    match changes {
        [] => "as deployed".to_owned(),
        [Change::Apply(manifest)] => format!("apply {}", manifest.object),
        [Change::Delete(object)] => format!("delete {object}"),
        [Change::LabelPod(workload, _)] => format!("label {workload}"),
        [Change::LabelNamespace(namespace, _)] => format!("label namespace {namespace}"),
        [Change::Restart(workload)] => format!("restart {workload}"),
        changes if changes.iter().all(|change| matches!(change, Change::Apply(_))) => {
            format!("apply {} objects", changes.len())
        }
        changes => format!("{} changes", changes.len()),
    }
}
