//! Which scenario distinguishes two suspects: one in which a flow is wrong with the one and right with the other.

use super::{
    observed::{Would, would},
    script::{Script, Stage},
    suspect::Suspect,
};
use flowproof_core::scenario::{Scenario, flow::Family};
use serde::Serialize;
use std::collections::BTreeMap;

/// A scenario whose outcome differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Test {
    /// Its file.
    pub file: String,
    /// A step of it.
    pub step: String,
    /// A flow of that step.
    pub flow: String,
    /// Whether the flow is wrong with the first of the two; with the second it is the opposite.
    pub wrong_with_first: bool,
}

/// What would be wrong in a scenario, by step, flow and family.
type Effects = BTreeMap<(usize, String, Family), Would>;

/// Finds the smallest of these scenarios that distinguishes two sets of suspects, on two nodes.
#[must_use]
pub fn test(scenarios: &[Scenario], one: &[Suspect], other: &[Suspect]) -> Option<Test> {
    let tests = scenarios.iter().filter(|scenario| !scenario.live).filter_map(|scenario| {
        let flows: usize = scenario.steps.iter().map(|step| step.expectations.len()).sum();
        differs(scenario, one, other).map(|test| (flows, test))
    });
    tests.min_by(|(flows, _), (others, _)| flows.cmp(others)).map(|(_, test)| test)
}

fn differs(scenario: &Scenario, one: &[Suspect], other: &[Suspect]) -> Option<Test> {
    let stage = Stage::planned(&scenario.topology);
    let (first, second) = (effects(scenario, &stage, one)?, effects(scenario, &stage, other)?);
    let ((step, flow, _), wrong) = first.iter().find(|(key, effect)| {
        let opposite = second.get(*key);
        matches!(
            (effect, opposite),
            (Would::Differ, Some(Would::Agree)) | (Would::Agree, Some(Would::Differ))
        )
    })?;
    Some(Test {
        file: scenario.file.clone(),
        step: scenario.steps.get(*step).map_or("everything is deleted", |step| &step.title).to_owned(),
        flow: flow.clone(),
        wrong_with_first: *wrong == Would::Differ,
    })
}

/// What would be wrong with any of the suspects; `None` if the scenario cannot be played on paper.
fn effects(scenario: &Scenario, stage: &Stage, suspects: &[Suspect]) -> Option<Effects> {
    let mut all = Effects::new();
    for suspect in suspects {
        let prediction = Script::of(scenario, stage, Some(suspect.fault)).ok()?.predict(Some(*suspect));
        for (at, step) in scenario.steps.iter().enumerate() {
            for expected in &step.expectations {
                let Some(expectation) = expected.wanted.written() else { continue };
                for family in &scenario.families {
                    let key = (expected.flow.to_string(), *family);
                    let effect = prediction[at].get(&key).and_then(|seen| would(expectation, *seen));
                    if let Some(effect) = effect {
                        let known = all.entry((at, key.0, key.1)).or_insert(Would::Agree);
                        *known = effect.max(*known);
                    }
                }
            }
        }
    }
    Some(all)
}
