//! The reports: live progress, the final tables, HTML, JUnit, maps, and the summary for GitHub.
//!
//! All are made from [`flowproof_core::outcome`] and [`crate::run::Progress`], never from the run's own state, and write
//! to what they are given. Data goes to stdout, messages to stderr.

pub mod compared;
pub mod failure;
pub mod fault_progress;
pub mod github;
mod graph;
pub mod html;
pub mod junit;
pub mod live;
pub mod map;
pub mod table;
pub mod watched;

pub use flowproof_core::tools::compare::counted;

use flowproof_core::{
    outcome::{FlowOutcome, Outcome, StepOutcome, Tally},
    scenario::flow::Family,
    verdict::Kind,
};

/// The diagnosis as a paragraph after a table; empty without one.
pub fn diagnosis_text(outcome: &Outcome) -> String {
    if outcome.diagnosis.is_empty() {
        return String::new();
    }
    let lines = outcome.diagnosis.join("\n  ");
    format!("\n{lines}\n  more: flowproof diagnose SAVED, with the file that --save wrote\n")
}

/// Flows of a step that differ only in their family and have the same result; they are shown as one.
pub struct Told<'a> {
    /// The first of them.
    pub flow: &'a FlowOutcome,
    /// All their families.
    pub families: Vec<Family>,
}

impl Told<'_> {
    /// `IPv4`, `IPv4 and IPv6`.
    pub fn families_text(&self) -> String {
        self.families.iter().map(Family::to_string).collect::<Vec<_>>().join(" and ")
    }
}

/// Joins the families of a step's flows that have the same result.
pub fn told(step: &StepOutcome) -> Vec<Told<'_>> {
    let mut all: Vec<Told<'_>> = Vec::new();
    for flow in &step.flows {
        let alike = |told: &&mut Told<'_>| {
            told.flow.flow == flow.flow
                && told.flow.reason == flow.reason
                && told.flow.deviation == flow.deviation
                && told.flow.looks_like == flow.looks_like
                && told.flow.expectation == flow.expectation
        };
        match all.iter_mut().find(alike) {
            Some(told) => told.families.push(flow.family),
            None => all.push(Told { flow, families: vec![flow.family] }),
        }
    }
    all
}

/// The sign of a verdict: legible without color.
pub fn sign(verdict: Kind, deviates: bool) -> &'static str {
    match (verdict, deviates) {
        (Kind::Matched, _) => "✔",
        (_, true) => "≈",
        (Kind::Mismatched, _) => "✘",
        (Kind::Unproven | Kind::Inconclusive, _) => "?",
        (Kind::Unspecified, _) => "○",
    }
}

/// `12 matched, 2 mismatched`; what is zero is left out.
pub fn tally_text(tally: Tally) -> String {
    let parts = [
        (tally.mismatched, "mismatched"),
        (tally.inconclusive, "inconclusive"),
        (tally.unproven, "unproven"),
        (tally.deviating, "known deviation"),
        (tally.unspecified, "unspecified"),
        (tally.matched, "matched"),
    ];
    let told: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if told.is_empty() { "nothing was tried".to_owned() } else { told.join(", ") }
}
