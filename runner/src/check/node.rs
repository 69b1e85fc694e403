//! Whether one node enforces policies: a scenario of three pods, and what its outcome says about the node.

use flowproof_core::{
    outcome::{End, FlowOutcome, ScenarioOutcome},
    parse,
    scenario::Scenario,
    verdict::{Kind, Reason},
};
use serde::Serialize;
use std::collections::BTreeSet;

const TEMPLATE: &str = include_str!("node.yaml");

/// The pod of the template that its policy isolates.
const ISOLATED: &str = "check/client";

/// What a node does with policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// The answer.
    pub state: State,
    /// Why it is not [`State::Enforces`]: one entry per direction, path, transport and family, or the failure.
    pub because: Vec<String>,
    /// Longest time from the API server's acceptance to enforcement, in milliseconds.
    pub slowest_ms: Option<u64>,
    /// How long denied flows were still seen to get through after their policy was accepted, in milliseconds.
    pub open_for_ms: Option<u64>,
    /// The cells of the table: direction, whether the other end is on the same node, and the result.
    pub parts: Vec<Part>,
}

/// One direction and path on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `egress` or `ingress`.
    pub direction: String,
    /// Whether the other end is on the same node.
    pub same_node: bool,
    /// What was not denied, as `tcp/80 IPv4`; empty if everything was.
    pub open: Vec<String>,
    /// What is neither proven nor contradicted.
    pub unclear: Vec<String>,
}

/// What a node does with policies, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Enforces everything that was tried.
    Enforces,
    /// Lets everything through.
    Open,
    /// Lets some of it through.
    Partly,
    /// Nothing contradicts it, and nothing proves it.
    Unclear,
    /// Its pods reach nobody, on no node, even without a policy.
    CutOff,
    /// It could not be tried.
    Failed,
}

/// The scenario for a node. `next` is a node to which it has a cross-node path.
pub fn scenario(node: &str, next: Option<&str>) -> Scenario {
    let quoted = |name: &str| serde_json::Value::from(name).to_string();
    let lines = TEMPLATE.lines().filter(|line| next.is_some() || !line.contains("check/far"));
    let text = lines
        .map(|line| match line.strip_prefix("scenario: ") {
            Some(claim) => format!("scenario: {}", quoted(&claim.replace("NODE", node))),
            None => line.replace("NODE", &quoted(node)).replace("NEXT", &quoted(next.unwrap_or_default())),
        })
        .collect::<Vec<_>>()
        .join("\n");
    parse::scenario(&file(node), text.as_bytes(), &mut |_| Err("there are no other files".to_owned()))
        .expect("the template is a scenario, whatever the nodes are called; a test sees to it")
}

/// The scenarios for all nodes, each with the next one as its neighbor.
pub fn scenarios(nodes: &[String]) -> impl Iterator<Item = Scenario> {
    let next = |index: usize| (nodes.len() > 1).then(|| nodes[(index + 1) % nodes.len()].as_str());
    nodes.iter().enumerate().map(move |(index, node)| scenario(node, next(index)))
}

/// What the outcome of a node's scenario has instead of a file.
pub fn file(node: &str) -> String {
    format!("check of {node}")
}

impl NodeReport {
    /// Reads the outcome of a node's scenario.
    pub fn read(node: &str, outcome: &ScenarioOutcome) -> Self {
        let direction = |flow: &FlowOutcome| if flow.source == ISOLATED { "egress" } else { "ingress" };
        let flows = outcome.steps.iter().flat_map(|step| &step.flows).map(|flow| (direction(flow), flow));
        let denied: Vec<Denied<'_>> = flows.filter(|(_, flow)| flow.expectation.denies()).collect();
        let worked: Vec<Denied<'_>> =
            denied.iter().copied().filter(|(_, flow)| !never_worked(flow)).collect();
        let others = outcome.flows().map(|(_, flow)| flow).filter(|flow| {
            !flow.expectation.denies() && flow.verdict != Kind::Matched && !never_worked(flow)
        });
        let mut because = silent_paths(outcome);
        because.extend(parts(&worked).iter().filter_map(Part::text));
        because.extend(others.map(|flow| format!("{} ({}): {}", flow.flow, flow.family, flow.text)));
        let open = |(_, flow): &&Denied<'_>| flow.reason == Reason::NotEnforced;
        let mismatched = outcome.tally().mismatched;
        let state = match &outcome.end {
            End::Failed { error, .. } => {
                because = vec![error.clone()];
                State::Failed
            }
            End::Skipped { why } => {
                because = vec![why.clone()];
                State::Failed
            }
            _ if denied.is_empty() => State::Unclear,
            _ if worked.is_empty() => State::CutOff,
            _ if denied.iter().filter(open).count() == denied.len() => State::Open,
            _ if mismatched > 0 => State::Partly,
            End::Interrupted => {
                because.push("the check ended before it".to_owned());
                State::Unclear
            }
            End::Played if because.is_empty() => State::Enforces,
            End::Played => State::Unclear,
        };
        let evidence = || denied.iter().map(|(_, flow)| &flow.evidence);
        let matched = denied.iter().filter(|(_, flow)| flow.verdict == Kind::Matched);
        Self {
            node: node.to_owned(),
            state,
            because,
            slowest_ms: matched.filter_map(|(_, flow)| flow.evidence.enforced_after_ms).max(),
            open_for_ms: evidence().filter_map(|e| Some(e.contradictions.as_ref()?.last_after_ms)).max(),
            parts: parts(&denied),
        }
    }
}

/// Reads the outcomes of the nodes' scenarios, in the order of the nodes.
pub fn read_all(nodes: &[String], outcomes: &[ScenarioOutcome]) -> Vec<NodeReport> {
    nodes.iter().zip(outcomes).map(|(node, outcome)| NodeReport::read(node, outcome)).collect()
}

/// Whether nothing ever passed between a node and its neighbor, so that another neighbor may show more.
pub fn found_nobody(outcome: &ScenarioOutcome) -> bool {
    let mut between = outcome.flows().map(|(_, flow)| flow).filter(|flow| !same_node(flow)).peekable();
    between.peek().is_some() && between.all(never_worked)
}

fn never_worked(flow: &FlowOutcome) -> bool {
    matches!(flow.reason, Reason::NeverWorked | Reason::ControlNeverWorked | Reason::AllowNeverWorked)
}

fn same_node(flow: &FlowOutcome) -> bool {
    flow.evidence.destination_node.as_ref() == Some(&flow.evidence.source_node)
}

/// On which paths something never worked, even without a policy.
fn silent_paths(outcome: &ScenarioOutcome) -> Vec<String> {
    let path = |within: bool| {
        let flows = outcome.flows().map(|(_, flow)| flow).filter(|flow| same_node(flow) == within);
        let (never, worked): (Vec<_>, Vec<_>) = flows.partition(|flow| never_worked(flow));
        let nodes: BTreeSet<&str> = never
            .iter()
            .flat_map(|flow| [Some(&flow.evidence.source_node), flow.evidence.destination_node.as_ref()])
            .flatten()
            .map(String::as_str)
            .collect();
        let nodes = nodes.into_iter().collect::<Vec<_>>().join(" and ");
        let place = if within { "within the node".to_owned() } else { format!("between {nodes}") };
        let what: BTreeSet<String> =
            never.iter().map(|flow| format!("{} {}", flow.port, flow.family)).collect();
        let what = what.into_iter().collect::<Vec<_>>().join(", ");
        match (never.is_empty(), worked.is_empty()) {
            (true, _) => None,
            (false, true) => Some(format!("nothing passes {place}, even without a policy")),
            (false, false) => Some(format!("{place} this never worked, even without a policy: {what}")),
        }
    };
    [true, false].into_iter().filter_map(path).collect()
}

/// Direction and outcome of a denied flow.
type Denied<'a> = (&'a str, &'a FlowOutcome);

/// Sorts the denied flows of a node by direction and path.
fn parts(denied: &[Denied<'_>]) -> Vec<Part> {
    let path = |(direction, flow): &Denied<'_>| ((*direction).to_owned(), same_node(flow));
    let mut paths: Vec<_> = denied.iter().map(path).collect::<BTreeSet<_>>().into_iter().collect();
    paths.sort_by(|a, b| (&a.0, !a.1).cmp(&(&b.0, !b.1)));
    let part = |(direction, same_node): (String, bool)| {
        let of = |kinds: &'static [Kind]| {
            let flows = denied.iter().filter(|flow| path(flow) == (direction.clone(), same_node));
            flows
                .filter(|(_, flow)| kinds.contains(&flow.verdict))
                .map(|(_, flow)| format!("{} {}", flow.port, flow.family))
                .collect::<Vec<_>>()
        };
        Part {
            open: of(&[Kind::Mismatched]),
            unclear: of(&[Kind::Unproven, Kind::Inconclusive]),
            direction,
            same_node,
        }
    };
    paths.into_iter().map(part).collect()
}

impl Part {
    /// What is wrong with it, if anything is.
    fn text(&self) -> Option<String> {
        let path = if self.same_node { "within the node" } else { "between nodes" };
        let list = |what: &str, flows: &[String]| {
            (!flows.is_empty()).then(|| format!("{} {path} is {what}: {}", self.direction, flows.join(", ")))
        };
        list("not denied", &self.open).or_else(|| list("not proven", &self.unclear))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_node_makes_a_scenario() {
        for name in ["node1", "ip-10-0-0-1.eu-west-1.compute.internal", "1", "true", "1e3", "1.5"] {
            let cross = scenario(name, Some("other"));
            assert_eq!((cross.topology.workloads.len(), cross.steps.len()), (3, 1), "{name}");
            assert_eq!(cross.steps[0].expectations.len(), 8, "{name}");
            let alone = scenario(name, None);
            assert_eq!(alone.topology.workloads.len(), 2, "{name}");
            assert_eq!(alone.steps[0].expectations.len(), 4, "{name}");
        }
    }
}
