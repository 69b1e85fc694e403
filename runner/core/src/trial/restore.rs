//! What must work again once everything that a scenario applied is deleted.

use super::{book::Book, control::Controls, settle::Done};
use crate::{
    scenario::{
        Expected, Scenario, Wanted,
        flow::{Expectation, Flow},
    },
    text::Position,
    verdict::Control,
};
use std::collections::BTreeMap;

/// The flows that some step denies or may deny. Each is expected to work again once everything is deleted, except for established
/// ones: a connection that has ended does not come back.
#[must_use]
pub fn restored(scenario: &Scenario) -> Vec<Expected> {
    if scenario.live {
        return Vec::new(); // nothing was applied, nothing is deleted
    }
    let may_come_back = |expected: &&Expected| expected.wanted.may_deny() && !expected.flow.established;
    let denied = scenario.steps.iter().flat_map(|step| &step.expectations).filter(may_come_back);
    let flows: BTreeMap<&Flow, &Position> = denied.map(|expected| (&expected.flow, &expected.at)).collect();
    let again = |(flow, at): (&Flow, &Position)| Expected {
        flow: flow.clone(),
        wanted: Wanted::Written(Expectation::Allow),
        at: at.clone(),
    };
    flows.into_iter().map(again).collect()
}

/// Leaves out the flows that never worked: nothing can be expected of them.
pub fn without_those_that_never_worked(done: &mut Done<'_>, book: &Book, controls: &Controls<'_>) {
    done.expected.retain(|awaited| {
        let family = book.flow(awaited.key).planned.family;
        controls.of(&awaited.expected.flow, family) == Control::Works
    });
}
