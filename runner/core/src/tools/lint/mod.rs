//! What is wrong with a scenario or with policies although they parse: policies that an API server rejects, expectations that the
//! policies contradict, and policies that surely do not do what is meant.

mod dns;
mod doubt;
mod ports;

use crate::{
    policy::{
        Answer, Cluster, Derivation, Finding, Oracle, Scene,
        derive::{PolicyName, RuleName},
        scene::policy_kind,
        validate::{ApiServer, violations},
    },
    scenario::{
        Change, Expected, Manifest, Scenario, Step, Wanted,
        flow::{Expectation, Family, PortOf},
    },
    snapshot::Snapshot,
    text::{Position, Problem, Severity},
};
use serde_json::Value;
use std::collections::BTreeSet;

pub use doubt::{Around, doubts};

/// Finds what is wrong with a scenario that is meant for an API server, in the order of its steps: errors and warnings.
#[must_use]
pub fn scenario(scenario: &Scenario, server: &ApiServer) -> Vec<Problem> {
    let mut found = Vec::new();
    if scenario.live {
        // Which policies exist is only known in the cluster.
        return found;
    }
    let mut scene = Scene::planned(&scenario.topology);
    let mut seen = BTreeSet::new();
    for step in &scenario.steps {
        for change in &step.changes {
            scene.change(change);
            if let Change::Apply(manifest) = change {
                found.extend(rejected(manifest, &scene.value(manifest), server));
            }
        }
        let cluster = scene.cluster();
        contradictions(scenario, step, &scene, &cluster, &mut found);
        for change in &step.changes {
            if let Change::Apply(manifest) = change
                && seen.insert(manifest.at.clone())
            {
                let around = Around::of_scenario(scenario, &scene, &cluster);
                found.extend(surprises(manifest));
                found.extend(doubts(manifest, &scene.value(manifest), &around));
            }
        }
    }
    found
}

/// Finds what is wrong with the policies of plain manifests that are meant for an API server.
#[must_use]
pub fn snapshot(snapshot: &Snapshot, server: &ApiServer) -> Vec<Problem> {
    let around = Around::of_snapshot(snapshot);
    let problems = snapshot.policies.iter().flat_map(|manifest| {
        let mut found = rejected(manifest, &manifest.value, server);
        if found.iter().all(|problem| problem.severity == Severity::Warning) {
            found.extend(doubts(manifest, &manifest.value, &around));
        }
        found
    });
    problems.collect()
}

/// What an API server rejects in a manifest, if it is a policy. What only other API servers reject is a warning.
#[must_use]
pub fn rejected(manifest: &Manifest, value: &Value, server: &ApiServer) -> Vec<Problem> {
    let Some(kind) = policy_kind(manifest) else { return Vec::new() };
    let problem = |violation: crate::policy::Violation| {
        let mut problem = at(manifest, &violation.path, violation.to_string());
        let consequence = || consequence(&violation.path).map(str::to_owned);
        let unknown = violation.message.starts_with("unknown field") && violation.only.is_none();
        problem.hint = match (violation.only, violation.hint) {
            (Some(only), _) => Some(only.to_string()),
            (None, Some(hint)) if unknown => Some(match consequence() {
                Some(consequence) => format!("{hint} {consequence}"),
                None => hint,
            }),
            (None, Some(hint)) => Some(hint),
            (None, None) if unknown => consequence(),
            (None, None) => None,
        };
        problem.hint.get_or_insert_with(|| format!("the API server rejects {}", manifest.object));
        match violation.only {
            Some(only) if !server.rejects(only) => problem.warning(),
            _ => problem,
        }
    };
    violations(kind, value).into_iter().map(problem).collect()
}

/// What an object becomes if a client that does not ask for validation leaves out an unknown field.
fn consequence(path: &str) -> Option<&'static str> {
    let (holder, _) = path.rsplit_once('.').unwrap_or(("", path));
    let last = holder.rsplit('.').next().unwrap_or(holder);
    let name = last.split('[').next().unwrap_or(last);
    match name {
        "podSelector" | "namespaceSelector" | "namespaces" => Some(
            "labels stand under matchLabels; a client that asks for no validation leaves it out, and an empty selector selects all",
        ),
        "ingress" | "egress" => Some(
            "a client that asks for no validation leaves it out, and a rule without peers or ports allows them all",
        ),
        "ports" => Some(
            "a client that asks for no validation leaves it out, and an entry without a port is every port of TCP",
        ),
        "spec" => Some("a client that asks for no validation leaves it out, as if it were not written"),
        _ => None,
    }
}

/// What a cluster reads in a manifest of a scenario differently from what people mean.
fn surprises(manifest: &Manifest) -> impl Iterator<Item = Problem> + '_ {
    manifest.places.surprises().iter().map(|(at, length, message)| {
        let mut problem = Problem::new(at.clone(), *length, message.clone()).warning();
        problem.hint("put it in quotes, or write what is meant");
        problem
    })
}

/// A problem at a field of a manifest.
fn at(manifest: &Manifest, path: &str, message: impl Into<String>) -> Problem {
    match manifest.places.find(path) {
        Some((position, length)) => Problem::new(position.clone(), *length, message),
        None => Problem::new(manifest.at.clone(), 1, message),
    }
}

/// Expectations of a step that the policies contradict, one problem for each line and rule.
fn contradictions(
    scenario: &Scenario,
    step: &Step,
    scene: &Scene<'_>,
    cluster: &Cluster,
    found: &mut Vec<Problem>,
) {
    let oracle = Oracle::new(cluster);
    let mut told = BTreeSet::new();
    for expected in &step.expectations {
        let Wanted::Written(wanted) = expected.wanted else { continue };
        let wrong = |family: &Family| {
            let finding = scene.find(&oracle, &expected.flow, *family);
            contradicts(wanted, finding.answer).then_some((*family, finding))
        };
        let wrong: Vec<(Family, Finding)> = scenario.families.iter().filter_map(wrong).collect();
        let Some((family, finding)) = wrong.first() else { continue };
        let families = if wrong.len() == scenario.families.len() { None } else { Some(*family) };
        let problem = contradiction(expected, wanted, finding, families, scene);
        // A line with globs, or `otherwise`, is reported once for each rule that contradicts it.
        if told.insert((expected.at.clone(), problem.related.clone())) {
            found.push(problem);
        }
    }
}

fn contradicts(wanted: Expectation, answer: Answer) -> bool {
    match answer {
        Answer::Allow => wanted.denies(),
        Answer::Deny => wanted == Expectation::Allow,
        Answer::Unspecified(_) => false,
    }
}

fn contradiction(
    expected: &Expected,
    wanted: Expectation,
    finding: &Finding,
    family: Option<Family>,
    scene: &Scene<'_>,
) -> Problem {
    let over = family.map_or(String::new(), |family| format!(" over {family}"));
    let flow = &expected.flow;
    let length = flow.to_string().chars().count() as u32;
    let message = format!(
        "{flow} is expected to be '{wanted}', and the policies say '{}'{over}: {}",
        finding.answer.word(),
        finding.clause()
    );
    let mut problem = Problem::new(expected.at.clone(), length, message);
    if let Some(reason) = &finding.reason {
        for rule in reason.deciding_rules() {
            if let Some((place, manifest)) = rule_place(scene, rule) {
                problem.related(place, format!("{} of {}", rule_words(rule), manifest.object));
            }
        }
        for policy in reason.isolating() {
            if let Some(manifest) = manifest_of(scene, policy) {
                problem.related(manifest.at.clone(), format!("{policy} isolates, and has no rule for it"));
            }
        }
        problem.hint = nearest(reason).or_else(|| {
            let port = PortOf(flow.transport, flow.port);
            (finding.answer == Answer::Allow && problem.related.is_empty())
                .then(|| format!("no policy keeps {} from {port} of {}", flow.source, flow.target))
        });
    }
    problem
}

/// What the nearest rule lacks.
fn nearest(reason: &Derivation) -> Option<String> {
    let nearest = reason.nearest()?;
    Some(format!("nearest is {}: {}", nearest.name, nearest.lacks.join("; ")))
}

fn rule_words(rule: &RuleName) -> String {
    format!("{} rule {}", rule.direction.as_str(), rule.index + 1)
}

fn rule_place<'a>(scene: &'a Scene<'_>, rule: &RuleName) -> Option<(Position, &'a Manifest)> {
    let manifest = manifest_of(scene, &rule.policy)?;
    let place = manifest.places.find(&rule.path()).map_or(&manifest.at, |(place, _)| place);
    Some((place.clone(), manifest))
}

fn manifest_of<'a>(scene: &'a Scene<'_>, policy: &PolicyName) -> Option<&'a Manifest> {
    scene.manifests().find(|manifest| {
        manifest.object.kind == policy.kind
            && manifest.object.namespace == policy.namespace
            && manifest.object.name == policy.name
    })
}

#[cfg(test)]
mod tests;
