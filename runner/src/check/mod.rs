//! What a cluster enforces: on which nodes, and which parts of the API.

#[cfg(test)]
mod documented;
pub mod junit;
pub mod lines;
pub mod node;
mod path;
pub mod table;

use flowproof_core::{
    outcome::{Exit, FlowOutcome, Outcome},
    scenario::Scenario,
};
use lines::{Line, Status};
use node::{NodeReport, State};
use serde::Serialize;

/// Name and version of the schema of `--json`.
pub const SCHEMA: &str = "flowproof.check/1";

/// What `flowproof check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Every node that was tried, in the cluster's order.
    pub nodes: Vec<NodeReport>,
    /// Every capability that the suite shows.
    pub capabilities: Vec<Line>,
}

impl Report {
    /// Reads an outcome whose first scenarios are those of the nodes ([`node::scenario`]), and the others those of the suite.
    pub fn read(nodes: &[String], suite: &[Scenario], outcome: &Outcome) -> Self {
        let (first, outcomes) = outcome.scenarios.split_at(nodes.len().min(outcome.scenarios.len()));
        Self {
            schema: SCHEMA,
            nodes: node::read_all(nodes, first),
            capabilities: lines::lines(suite, outcomes, outcome),
        }
    }

    /// Whether no node enforces anything.
    pub fn nothing_enforced(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(|node| node.state == State::Open)
    }

    /// The exit code, by the same rules as that of a run.
    pub fn exit(&self) -> Exit {
        let node = |state| self.nodes.iter().any(|node| node.state == state);
        let capability = |status| self.capabilities.iter().any(|capability| capability.status == status);
        if self.nothing_enforced() {
            Exit::NothingEnforced
        } else if [State::Open, State::Partly, State::CutOff].into_iter().any(node)
            || capability(Status::NotEnforced)
        {
            Exit::Mismatched
        } else if node(State::Failed) {
            Exit::SetUpFailed
        } else if node(State::Unclear) || capability(Status::Unclear) {
            Exit::Unclear
        } else {
            Exit::Success
        }
    }
}

/// Where a flow died, if that was captured.
fn died(flow: &FlowOutcome) -> String {
    flow.evidence.captured.as_ref().map_or(String::new(), |captured| format!("; {}", captured.text))
}
