//! Known deviations: where a network is known to differ from what a scenario expects.

use super::{
    fields::{Fields, items, text, text_problem},
    flow_text::FlowText,
};
use crate::{
    scenario::flow::{Expectation, Flow},
    text::{
        Position,
        problem::{Problem, Problems},
        tree::{Mark, Node, shortened},
        yaml,
    },
};
use std::{cmp::Ordering, sync::Arc};

/// One entry of `known-deviations.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The network plugin: `cilium`.
    pub cni: String,
    /// The versions that it applies to; all if empty.
    pub versions: Vec<Comparison>,
    /// Where it differs.
    pub subject: Subject,
    /// Why, for the report.
    pub reason: String,
    /// Where that is documented.
    pub reference: String,
    /// Where the entry is.
    pub at: Position,
}

/// Where a network is known to differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// In flows of a scenario.
    Flows {
        /// The name of the scenario's file without `.yaml`.
        scenario: String,
        /// What the scenario expects of the flows.
        expected: Expectation,
        /// What this network does instead.
        observed: Expectation,
        /// The flows.
        flows: Flows,
    },
    /// In every scenario where a network with this fault differs: the name of a fault of the local cluster.
    Fault(String),
}

/// Flows as an entry writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flows(Vec<FlowText>);

/// A condition on a version: `>=1.16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    operator: &'static str,
    version: Vec<u64>,
}

impl Deviation {
    /// Whether the entry is about this network, given as `cilium v1.18.1`. If the version of the network is unknown, the entry
    /// applies to it.
    #[must_use]
    pub fn is_about(&self, cni: &str) -> bool {
        let mut words = cni.split_whitespace();
        if !words.next().is_some_and(|name| name.eq_ignore_ascii_case(&self.cni)) {
            return false;
        }
        match words.next().map(numbers) {
            Some(version) if !version.is_empty() => self.versions.iter().all(|c| c.holds(&version)),
            _ => true,
        }
    }

    /// What this network does instead with a flow that must do this, in the scenario of this file. `None` if the entry does not
    /// name the flow.
    #[must_use]
    pub fn covers(&self, file: &str, flow: &Flow, expectation: Expectation) -> Option<Expectation> {
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        match &self.subject {
            Subject::Flows { scenario, expected, observed, flows } => {
                (stem == scenario && expectation == *expected && flows.0.iter().any(|text| text.covers(flow)))
                    .then_some(*observed)
            }
            Subject::Fault(_) => None,
        }
    }

    /// The fault that it names; `None` if it names flows.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        match &self.subject {
            Subject::Fault(name) => Some(name),
            Subject::Flows { .. } => None,
        }
    }

    /// The reason and where it is documented, for a report.
    #[must_use]
    pub fn explanation(&self) -> String {
        format!("{} ({})", self.reason, self.reference)
    }
}

impl Comparison {
    fn holds(&self, version: &[u64]) -> bool {
        let order = compare(version, &self.version);
        match self.operator {
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            "<" => order == Ordering::Less,
            _ => order == Ordering::Equal,
        }
    }
}

/// Compares versions by their numbers; a missing one counts as zero.
fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let at = |version: &[u64], index| version.get(index).copied().unwrap_or(0);
    (0..a.len().max(b.len()))
        .map(|index| at(a, index).cmp(&at(b, index)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The numbers of a version, up to the first part that is not a number: `v1.18.1-rc.0` is 1, 18, 1.
fn numbers(version: &str) -> Vec<u64> {
    let digits = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    digits.split('.').map_while(|number| number.parse().ok()).collect()
}

/// Fields of an entry.
pub(super) const DEVIATION_FIELDS: &[&str] =
    &["cni", "versions", "fault", "scenario", "flows", "expected", "observed", "reason", "reference"];

/// The fields that say where a network differs, if no fault does.
const FLOW_FIELDS: [&str; 4] = ["scenario", "flows", "expected", "observed"];

/// What can be expected and observed.
const WORDS: &[(&str, Expectation)] = &[
    ("allow", Expectation::Allow),
    ("deny", Expectation::Deny),
    ("drop", Expectation::Drop),
    ("reject", Expectation::Reject),
];

/// Reads a file of known deviations: a list of entries, possibly empty. `faults` are the names of faults that an entry may use.
/// Returns all problems at once.
pub fn deviations(file: &str, bytes: &[u8], faults: &[&str]) -> Result<Vec<Deviation>, Vec<Problem>> {
    let mut problems = Problems::default();
    let name: Arc<str> = file.into();
    let mut found = Vec::new();
    for (index, document) in yaml::read(&name, bytes, &mut problems).unwrap_or_default().iter().enumerate() {
        if index > 0 {
            problems.add(&document.at, "a second document in the file").hint("one list per file");
            break;
        }
        for item in items(document, "the file", &mut problems).unwrap_or_default() {
            found.extend(deviation(item, faults, &mut problems));
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems.into_sorted(file)) }
}

fn deviation(node: &Node, faults: &[&str], problems: &mut Problems) -> Option<Deviation> {
    let fields = Fields::open(node, "a known deviation", DEVIATION_FIELDS, problems)?;
    let cni = required(&fields, "cni", &node.at, problems);
    let versions = fields.text("versions", problems).map(|(node, text)| comparisons(node, text, problems));
    let subject = if fields.lacks("fault") {
        in_flows(&fields, node, problems)
    } else {
        of_fault(&fields, faults, problems)
    };
    let reason = required(&fields, "reason", &node.at, problems);
    let reference = required(&fields, "reference", &node.at, problems);
    Some(Deviation {
        cni: cni?,
        versions: versions.unwrap_or_default(),
        subject: subject?,
        reason: reason?,
        reference: reference?,
        at: node.at.position(),
    })
}

/// A fault that the network has in every scenario.
fn of_fault(fields: &Fields<'_>, faults: &[&str], problems: &mut Problems) -> Option<Subject> {
    for field in FLOW_FIELDS {
        if let Some(node) = fields.get(field) {
            problems
                .add(&node.at, format!("'{field}' beside 'fault': a fault says by itself which flows differ"))
                .hint("write either 'fault', or 'scenario', 'flows', 'expected' and 'observed'");
        }
    }
    let (node, name) = fields.text("fault", problems)?;
    if !faults.contains(&name) {
        problems
            .add(&node.at, format!("there is no fault named '{}'", shortened(name)))
            .hint("`flowproof faults --list` names them")
            .suggest(name, faults.iter().copied());
        return None;
    }
    Some(Subject::Fault(name.to_owned()))
}

/// Flows of one scenario in which the network differs.
fn in_flows(fields: &Fields<'_>, node: &Node, problems: &mut Problems) -> Option<Subject> {
    let scenario = required(fields, "scenario", &node.at, problems);
    if let (Some((stem, _)), Some(at)) =
        (scenario.as_deref().and_then(|s| s.rsplit_once('.')), fields.get("scenario"))
    {
        problems.add(&at.at, "a scenario is named without '.yaml' here").hint(format!("write {stem}"));
    }
    let flows = flows(fields, &node.at, problems);
    let expected = word(fields, "expected", &node.at, problems);
    let observed = word(fields, "observed", &node.at, problems);
    if let (Some(expected), Some(observed), Some(place)) = (expected, observed, fields.get("observed"))
        && (expected == observed || expected == Expectation::Deny && observed.denies())
    {
        problems.add(&place.at, format!("'{observed}' is not a deviation from '{expected}'"));
    }
    Some(Subject::Flows {
        scenario: scenario?,
        expected: expected?,
        observed: observed?,
        flows: Flows(flows),
    })
}

/// A text that an entry must have.
fn required(fields: &Fields<'_>, field: &str, at: &Mark, problems: &mut Problems) -> Option<String> {
    if fields.lacks(field) {
        problems.add(at, format!("a known deviation has no {field}"));
    }
    let (node, text) = fields.text(field, problems)?;
    if text.trim().is_empty() {
        problems.add(&node.at, format!("'{field}' is empty"));
    }
    Some(text.trim().to_owned())
}

fn word(fields: &Fields<'_>, field: &str, at: &Mark, problems: &mut Problems) -> Option<Expectation> {
    let written = required(fields, field, at, problems)?;
    let found = WORDS.iter().find(|(word, _)| *word == written).map(|(_, expectation)| *expectation);
    if found.is_none() {
        let at = fields.get(field).map_or(at, |node| &node.at);
        problems
            .add(at, format!("'{field}' cannot be '{}'", shortened(&written)))
            .suggest(&written, WORDS.iter().map(|(word, _)| *word));
    }
    found
}

fn flows(fields: &Fields<'_>, at: &Mark, problems: &mut Problems) -> Vec<FlowText> {
    let mut flows = Vec::new();
    let items = fields.get("flows").and_then(|node| items(node, "'flows'", problems)).unwrap_or_default();
    if items.is_empty() && fields.lacks("flows") {
        problems.add(at, "a known deviation has no flows").hint("write flows: [app/api -> data/postgres]");
    }
    for item in items {
        match text(item, "a flow", problems).map(FlowText::parse) {
            Some(Ok(flow)) => flows.push(flow),
            Some(Err(errors)) => {
                for error in errors {
                    text_problem(item, error, problems);
                }
            }
            None => {}
        }
    }
    flows
}

/// Reads `>=1.16, <1.19`.
fn comparisons(node: &Node, text: &str, problems: &mut Problems) -> Vec<Comparison> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        let operator = [">=", "<=", ">", "<", "="].into_iter().find(|operator| part.starts_with(operator));
        let version = operator.map(|operator| part[operator.len()..].trim());
        match (operator, version) {
            (Some(operator), Some(version)) if is_version(version) => {
                all.push(Comparison { operator, version: numbers(version) });
            }
            _ => {
                problems
                    .add(&node.at, format!("'{}' is not a version condition", shortened(part)))
                    .hint("write \">=1.16\" or \">=1.16, <1.19\"");
            }
        }
    }
    all
}

/// Whether a text consists of numbers with dots between them.
fn is_version(text: &str) -> bool {
    text.split('.').all(|number| number.parse::<u64>().is_ok() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
