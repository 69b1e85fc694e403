//! Shadows of live workloads: `like: deployment/api, in: payments`.

use super::{
    fields::Fields,
    topology::{Declared, MAX_NAMESPACE_LENGTH},
};
use crate::{
    scenario::{
        Like, LikeKind, WorkloadSpec,
        name::{Qualified, is_label, is_subdomain},
    },
    text::{
        problem::Problems,
        tree::{Content, Mark, Node, shortened},
    },
};
use std::collections::BTreeMap;

/// Fields that a shadow takes from its workload, so that a scenario cannot set them.
const TAKEN: &[&str] = &["labels", "nodeSelector", "tolerations", "hostNetwork"];

/// Finds the logical namespaces that represent live ones: those of the workloads that have `like`.
pub(super) fn live_namespaces(declared: &mut Declared, node: &Node, problems: &mut Problems) {
    let mut first: BTreeMap<String, Mark> = BTreeMap::new();
    let Content::Map(written) = &node.value else { return };
    for entry in written {
        let Ok(name) = entry.key.parse::<Qualified>() else { continue };
        if entry.value.get("like").is_none_or(Node::is_null) {
            continue;
        }
        let within = entry.value.get("in").filter(|node| !node.is_null());
        let (live, at) = match within.map(|node| (node.as_text(), node)) {
            Some((Some(text), node)) if is_label(text.trim()) => (text.trim().to_owned(), node.at.clone()),
            // None is given, or `read` reports what is wrong with it.
            _ => (name.namespace.clone(), entry.at.clone()),
        };
        let topology = &mut declared.topology;
        if topology.namespaces.contains_key(&name.namespace) {
            if !first.contains_key(&name.namespace) {
                problems
                    .add(&entry.at, format!("'{}' is a namespace of the run, and shadows stand in live ones", name.namespace))
                    .hint("leave it out of 'namespaces', or give the shadow another: a namespace of shadows stands for the one that 'in' names");
                first.insert(name.namespace.clone(), at);
            }
            continue;
        }
        if let Some((other, _)) =
            topology.live.iter().find(|(logical, real)| **logical != name.namespace && **real == live)
        {
            problems
                .add(&at, format!("the live namespace '{live}' is '{other}' already"))
                .hint(format!("put all shadows of it into '{other}'"));
        }
        match topology.live.get(&name.namespace) {
            Some(before) if *before != live => {
                let problem = problems.add(
                    &at,
                    format!("'{}' stands for the live namespace '{before}' already", name.namespace),
                );
                if let Some(first) = first.get(&name.namespace) {
                    problem.related(first.position(), "so it says here");
                }
            }
            Some(_) => {}
            None => {
                first.insert(name.namespace.clone(), at);
                topology.live.insert(name.namespace, live);
            }
        }
    }
}

/// Reads what makes a workload a shadow, and reports what is not possible for a shadow.
pub(super) fn read(
    spec: &mut WorkloadSpec,
    name: &Qualified,
    fields: &Fields<'_>,
    node: &Node,
    live: Option<&String>,
    problems: &mut Problems,
) {
    let Some((at, text)) = fields.text("like", problems) else {
        if let (Some(live), true) = (live, fields.lacks("like")) {
            problems
                .add(
                    &node.at,
                    format!(
                        "{name} is not a shadow, but '{}' is the live namespace '{live}'",
                        name.namespace
                    ),
                )
                .hint("add like: deployment/NAME, or put it into a namespace of the run");
        }
        if let (Some(at), None) = (fields.place("in"), fields.get("like")) {
            problems.add(at, "'in' without 'like'").hint("write like: deployment/NAME, in: NAMESPACE");
        }
        return;
    };
    for field in TAKEN {
        if let (Some(_), Some(at)) = (fields.get(field), fields.place(field)) {
            problems.add(at, format!("'{field}' of a shadow")).hint("a shadow has those of its workload");
        }
    }
    if name.name.len() > MAX_NAMESPACE_LENGTH {
        problems
            .add(&node.at, format!("the name of a shadow has more than {MAX_NAMESPACE_LENGTH} characters"))
            .hint("a run adds its id to the name");
    }
    if let Some((at, text)) = fields.text("in", problems)
        && !is_label(text.trim())
    {
        problems.add(&at.at, format!("'{}' is not a valid namespace name", shortened(text)));
    }
    let original = text.trim().split_once('/').and_then(|(kind, name)| {
        let kind = LikeKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        is_subdomain(name).then(|| (kind, name.to_owned()))
    });
    let Some((kind, of)) = original else {
        let kinds: Vec<&str> = LikeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        problems
            .add(&at.at, format!("'{}' names no workload", shortened(text)))
            .hint(format!("write KIND/NAME; the kinds are {}", kinds.join(", ")));
        return;
    };
    let namespace = live.unwrap_or(&name.namespace).clone();
    spec.like = Some(Like { kind, name: of, namespace });
}
