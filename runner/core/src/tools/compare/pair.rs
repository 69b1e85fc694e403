//! Finds what belongs together in two outcomes: scenarios, steps, flows, and the facts about their clusters.

use super::Difference;
use crate::{
    outcome::{FlowOutcome, NodeOutcome, Outcome, ScenarioOutcome, StepOutcome},
    scenario::flow::Family,
};
use std::collections::{BTreeMap, BTreeSet};

/// Both halves of something; at least one of them is there.
pub(super) type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

/// Pairs scenarios by equal file and claim, otherwise by equal claim, otherwise by equal file.
pub(super) fn scenarios<'a>(before: &'a Outcome, after: &'a Outcome) -> Vec<Pair<'a, ScenarioOutcome>> {
    let same = |a: &ScenarioOutcome, b: &ScenarioOutcome| a.file == b.file && a.claim == b.claim;
    let rules: [fn(&ScenarioOutcome, &ScenarioOutcome) -> bool; 3] =
        [same, |a, b| a.claim == b.claim, |a, b| a.file == b.file];
    let mut partner: Vec<Option<usize>> = vec![None; before.scenarios.len()];
    let mut taken = BTreeSet::new();
    for rule in rules {
        for (index, scenario) in before.scenarios.iter().enumerate() {
            if partner[index].is_none()
                && let Some(other) = (0..after.scenarios.len())
                    .find(|other| !taken.contains(other) && rule(scenario, &after.scenarios[*other]))
            {
                partner[index] = Some(other);
                taken.insert(other);
            }
        }
    }
    let known = before.scenarios.iter().zip(&partner);
    let mut pairs: Vec<Pair<'a, ScenarioOutcome>> =
        known.map(|(scenario, other)| (Some(scenario), other.map(|other| &after.scenarios[other]))).collect();
    let new = after.scenarios.iter().enumerate().filter(|(index, _)| !taken.contains(index));
    pairs.extend(new.map(|(_, scenario)| (None, Some(scenario))));
    pairs
}

/// Pairs the steps of two scenarios by title, and by how many earlier steps have the same title.
pub(super) fn steps((before, after): Pair<'_, ScenarioOutcome>) -> Vec<Pair<'_, StepOutcome>> {
    join(numbered(before.map_or(&[], |s| &s.steps)), numbered(after.map_or(&[], |s| &s.steps)))
}

fn numbered(steps: &[StepOutcome]) -> Vec<((&str, usize), &StepOutcome)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut keyed = Vec::with_capacity(steps.len());
    for step in steps {
        let count = seen.entry(&step.title).or_default();
        keyed.push(((step.title.as_str(), *count), step));
        *count += 1;
    }
    keyed
}

/// Pairs the flows of two steps by flow and family.
pub(super) fn flows((before, after): Pair<'_, StepOutcome>) -> Vec<Pair<'_, FlowOutcome>> {
    fn keyed(step: Option<&StepOutcome>) -> Vec<((&str, Family), &FlowOutcome)> {
        step.map_or(&[][..], |step| &step.flows)
            .iter()
            .map(|flow| ((flow.flow.as_str(), flow.family), flow))
            .collect()
    }
    join(keyed(before), keyed(after))
}

/// Joins two lists by key: in the order of the first one, then what only the second one has.
pub(super) fn join<'a, K: Ord + Clone, T>(
    before: Vec<(K, &'a T)>,
    after: Vec<(K, &'a T)>,
) -> Vec<Pair<'a, T>> {
    let order: Vec<K> = after.iter().map(|(key, _)| key.clone()).collect();
    let mut rest: BTreeMap<K, &T> = after.into_iter().collect();
    let mut pairs: Vec<Pair<'a, T>> =
        before.into_iter().map(|(key, value)| (Some(value), rest.remove(&key))).collect();
    pairs.extend(order.iter().filter_map(|key| Some((None, Some(rest.remove(key)?)))));
    pairs
}

/// What differs in the clusters and in how they were tested.
pub(super) fn surroundings(before: &Outcome, after: &Outcome) -> Vec<Difference> {
    fn keyed(nodes: &[NodeOutcome]) -> Vec<(&str, &NodeOutcome)> {
        nodes.iter().map(|node| (node.name.as_str(), node)).collect()
    }
    let (a, b) = (&before.cluster, &after.cluster);
    let plain = [
        ("kind of cluster", a.kind.clone(), b.kind.clone()),
        ("context", a.context.clone(), b.context.clone()),
        ("API server", a.server.clone(), b.server.clone()),
        ("Kubernetes", a.version.clone(), b.version.clone()),
        ("network plugin", a.cni.clone(), b.cni.clone()),
        ("flowproof", before.flowproof.clone(), after.flowproof.clone()),
        ("arguments", tested_with(before), tested_with(after)),
    ];
    let mut differences: Vec<Difference> =
        plain.into_iter().filter_map(|(what, before, after)| difference(what, before, after)).collect();
    for pair in join(keyed(&a.nodes), keyed(&b.nodes)) {
        differences.extend(node(pair));
    }
    differences
}

/// The arguments, without those that only say where reports are written.
fn tested_with(outcome: &Outcome) -> String {
    const OUTPUTS: [&str; 7] =
        ["--json", "--save", "--found", "--markdown", "--html", "--junit", "--progress"];
    let mut kept = Vec::new();
    let mut arguments = outcome.arguments.iter();
    while let Some(argument) = arguments.next() {
        let name = argument.split_once('=').map_or(argument.as_str(), |(name, _)| name);
        if !OUTPUTS.contains(&name) {
            kept.push(argument.as_str());
        } else if name == argument {
            arguments.next();
        }
    }
    kept.join(" ")
}

fn node(pair: Pair<'_, NodeOutcome>) -> Vec<Difference> {
    let (before, after) = match pair {
        (Some(before), Some(after)) => (before, after),
        (before, after) => {
            let name = before.or(after).map_or("", |node| &node.name);
            let there =
                |node: Option<&NodeOutcome>| if node.is_some() { "there" } else { "not there" }.to_owned();
            return difference(&format!("node {name}"), there(before), there(after)).into_iter().collect();
        }
    };
    let usable = |node: &NodeOutcome| node.unusable.clone().unwrap_or_else(|| "used".to_owned());
    let name = &before.name;
    [
        (format!("node {name}"), usable(before), usable(after)),
        (format!("kubelet of {name}"), before.kubelet.clone(), after.kubelet.clone()),
        (format!("image of {name}"), before.os_image.clone(), after.os_image.clone()),
        (format!("kernel of {name}"), before.kernel.clone(), after.kernel.clone()),
        (
            format!("container runtime of {name}"),
            before.container_runtime.clone(),
            after.container_runtime.clone(),
        ),
    ]
    .into_iter()
    .filter_map(|(what, before, after)| difference(&what, before, after))
    .collect()
}

/// The difference; `None` if both are equal, or if an older file does not have one of them.
fn difference(what: &str, before: String, after: String) -> Option<Difference> {
    let told = before != after && !(before.is_empty() || after.is_empty());
    told.then(|| Difference { what: what.to_owned(), before, after })
}
