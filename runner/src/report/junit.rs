//! `JUnit` XML: one suite per scenario, one case per flow, family and step; the failure text carries the evidence.
//!
//! Mismatches are failures; unproven and inconclusive flows and failed set-ups are errors: neither is ever a pass. Scenarios
//! that cannot be played on this cluster are skipped cases with the reason.

use super::failure;
use flowproof_core::{
    outcome::{End, FlowOutcome, Outcome, ScenarioOutcome, StepOutcome},
    verdict::Kind,
};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Makes the XML text; `first` are suites to put before those of the scenarios.
pub fn xml(outcome: &Outcome, first: Vec<TestSuite>) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new(format!("flowproof {}", outcome.run));
    report.set_time(Duration::from_millis(outcome.took_ms));
    report.add_test_suites(first);
    report.add_test_suites(outcome.scenarios.iter().map(suite));
    report.to_string()
}

fn suite(scenario: &ScenarioOutcome) -> TestSuite {
    let mut suite = TestSuite::new(&scenario.claim);
    suite.set_time(Duration::from_millis(scenario.took_ms));
    suite.add_property(("file", scenario.file.as_str()));
    suite.add_test_cases(scenario.flows().map(|(step, flow)| case(step, flow)));
    let whole = |status| TestCase::new(scenario.claim.as_str(), status);
    match &scenario.end {
        End::Played => {}
        End::Skipped { why } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why);
            suite.add_test_case(whole(status));
        }
        End::Failed { error, hint, .. } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(error).set_type("set-up-failed");
            if let Some(hint) = hint {
                status.set_description(hint);
            }
            suite.add_test_case(whole(status));
        }
        End::Interrupted => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message("ended early: the run was interrupted or out of time").set_type("interrupted");
            suite.add_test_case(whole(status));
        }
    }
    suite
}

fn case(step: &StepOutcome, flow: &FlowOutcome) -> TestCase {
    let status = match (flow.verdict, &flow.deviation) {
        (Kind::Matched, _) => TestCaseStatus::success(),
        (Kind::Unspecified, _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("the policies leave it open; seen: {}", flow.text));
            status
        }
        (_, Some(deviation)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("known deviation: {deviation}"));
            status
        }
        (kind, None) => {
            let failed =
                if kind == Kind::Mismatched { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(failed);
            let evidence: Vec<String> =
                failure::lines(flow).iter().map(|(label, text)| format!("{label}: {text}")).collect();
            status.set_message(&flow.text).set_type(kind.to_string()).set_description(evidence.join("\n"));
            status
        }
    };
    let name = format!("{} · {} {} {}", step.title, flow.expectation, flow.flow, flow.family);
    let mut case = TestCase::new(name, status);
    case.set_classname(flow.at.as_str());
    if let Some(ms) = flow.evidence.enforced_after_ms {
        case.set_time(Duration::from_millis(ms));
    }
    case
}
