//! What a check found, as suites of a `JUnit` report: one case per node and per capability.

use super::{
    Report,
    lines::{Line, Status},
    node::{NodeReport, State},
    table,
};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

/// The suites.
pub fn suites(report: &Report) -> Vec<TestSuite> {
    let mut nodes = TestSuite::new("nodes");
    nodes.add_test_cases(report.nodes.iter().map(node));
    let mut capabilities = TestSuite::new("capabilities");
    capabilities.add_test_cases(report.capabilities.iter().map(capability));
    vec![nodes, capabilities].into_iter().filter(|suite| !suite.test_cases.is_empty()).collect()
}

fn node(report: &NodeReport) -> TestCase {
    let (kind, message) = match report.state {
        State::Enforces => return TestCase::new(report.node.as_str(), TestCaseStatus::success()),
        State::Open => (NonSuccessKind::Failure, "lets everything through"),
        State::Partly => (NonSuccessKind::Failure, "does not enforce all of it"),
        State::CutOff => (NonSuccessKind::Failure, "its pods reach nobody, even without a policy"),
        State::Unclear => (NonSuccessKind::Error, "unclear"),
        State::Failed => (NonSuccessKind::Error, "could not be tried"),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_description(report.because.join("\n"));
    TestCase::new(report.node.as_str(), status)
}

fn capability(line: &Line) -> TestCase {
    let note = line.note.clone().unwrap_or_default();
    let mut status = match line.status {
        Status::Enforced => TestCaseStatus::success(),
        Status::Deviates | Status::NotSupported => TestCaseStatus::skipped(),
        Status::NotEnforced => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Unclear => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if line.status != Status::Enforced {
        status.set_message(format!("{}: {note}", table::words(line.status)));
        status.set_description(line.flows.join("\n"));
    }
    let mut case = TestCase::new(line.title.as_str(), status);
    case.set_classname(line.capability.map_or_else(|| line.shown_by.join(", "), |word| word.to_string()));
    case
}
