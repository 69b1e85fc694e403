//! The effects as a table, and what is reported first.

use super::*;
use crate::outcome::read;

fn run() -> Outcome {
    read(include_str!("../../outcome/read/version-1.json")).expect("it is readable")
}

fn flow(outcome: &mut Outcome, index: usize) -> &mut crate::outcome::FlowOutcome {
    &mut outcome.scenarios[0].steps[0].flows[index]
}

/// Compares a run with one in which the flow with this index is changed: 0 is allowed, 1 is denied.
fn changed(index: usize, change: impl Fn(&mut crate::outcome::FlowOutcome)) -> Comparison {
    let mut after = run();
    change(flow(&mut after, index));
    compare(&run(), &after, Tolerance::default())
}

#[test]
fn the_example_has_an_allowed_and_a_denied_flow() {
    let mut run = run();
    assert!(!flow(&mut run, 0).expectation.denies() && flow(&mut run, 1).expectation.denies());
}

#[test]
fn equal_runs_have_no_changes() {
    let same = compare(&run(), &run(), Tolerance::default());
    assert_eq!((same.changes.len(), same.unchanged, same.worse()), (0, 2, false));
    assert!(same.headline.starts_with("nothing changed"), "{}", same.headline);
}

#[test]
fn every_effect_is_told_with_its_weight() {
    use Kind::{Inconclusive, Matched, Mismatched, Unproven};
    let cases = [
        (1, Mismatched, Reason::NotEnforced, Effect::Leaks, true),
        (1, Mismatched, Reason::Unstable, Effect::Leaks, true),
        (0, Mismatched, Reason::Blocked, Effect::Blocked, true),
        (0, Mismatched, Reason::AnswerLost, Effect::Blocked, true),
        (1, Mismatched, Reason::TooLate, Effect::Broken, true),
        (1, Unproven, Reason::ControlNeverWorked, Effect::Unclear, true),
        (0, Inconclusive, Reason::EndNotAlive, Effect::Unclear, true),
        (1, Matched, Reason::Rejected, Effect::OtherDenial, false),
    ];
    for (index, verdict, reason, effect, regression) in cases {
        let found = changed(index, |flow| (flow.verdict, flow.reason) = (verdict, reason));
        let told: Vec<_> = found.changes.iter().map(|c| (c.effect, c.regression)).collect();
        assert_eq!(told, [(effect, regression)], "{verdict} {reason:?}");
        assert_eq!(found.worse(), regression);
    }
}

#[test]
fn a_known_deviation_is_no_regression() {
    let found = changed(1, |flow| {
        (flow.verdict, flow.reason) = (Kind::Mismatched, Reason::NotEnforced);
        flow.deviation = Some("known".to_owned());
    });
    assert!(!found.worse() && found.changes[0].effect == Effect::Leaks);
}

#[test]
fn what_is_no_longer_tried_is_a_regression_and_what_is_new_is_not() {
    let mut fewer = run();
    fewer.scenarios[0].steps[0].flows.pop();
    let lost = compare(&run(), &fewer, Tolerance::default());
    assert_eq!((lost.changes[0].effect, lost.worse()), (Effect::NotTried, true));
    let gained = compare(&fewer, &run(), Tolerance::default());
    assert_eq!((gained.changes[0].effect, gained.worse()), (Effect::New, false));
    let mut none = run();
    none.scenarios.clear();
    assert!(compare(&run(), &none, Tolerance::default()).worse());
    let nothing = compare(&none, &none, Tolerance::default());
    assert!(nothing.compared_nothing() && nothing.headline.contains("compares nothing"));
}

#[test]
fn what_was_broken_may_be_fixed_or_broken_otherwise() {
    let mut before = run();
    let broken = flow(&mut before, 1);
    (broken.verdict, broken.reason) = (Kind::Mismatched, Reason::NotEnforced);
    let fixed = compare(&before, &run(), Tolerance::default());
    assert_eq!((fixed.changes[0].effect, fixed.worse()), (Effect::Fixed, false));
    let mut after = before.clone();
    flow(&mut after, 1).reason = Reason::OnlyAnswerBlocked;
    let otherwise = compare(&before, &after, Tolerance::default());
    assert_eq!((otherwise.changes[0].effect, otherwise.worse()), (Effect::OtherReason, false));
}

#[test]
fn time_fails_only_beyond_a_tolerance_that_was_asked_for() {
    let with = |old: u64, new: u64, slower: Option<f64>| {
        let (mut before, mut after) = (run(), run());
        flow(&mut before, 1).evidence.enforced_after_ms = Some(old);
        flow(&mut after, 1).evidence.enforced_after_ms = Some(new);
        let found = compare(&before, &after, Tolerance { slower });
        (found.changes.first().map(|change| change.effect), found.worse())
    };
    assert_eq!(with(400, 4000, None), (Some(Effect::Slower), false));
    assert_eq!(with(400, 4000, Some(2.0)), (Some(Effect::Slower), true));
    assert_eq!(with(400, 4000, Some(20.0)), (None, false));
    assert_eq!(with(4000, 400, Some(2.0)), (Some(Effect::Sooner), false));
    assert_eq!(with(10, 400, Some(2.0)), (None, false), "within the noise");
}

#[test]
fn families_that_changed_alike_are_one_change_and_leaks_come_first() {
    let mut before = run();
    let mut twin = flow(&mut before, 1).clone();
    twin.family = Family::V6;
    before.scenarios[0].steps[0].flows.push(twin);
    let mut after = before.clone();
    flow(&mut after, 0).verdict = Kind::Mismatched;
    flow(&mut after, 0).reason = Reason::Blocked;
    for index in [1, 2] {
        (flow(&mut after, index).verdict, flow(&mut after, index).reason) =
            (Kind::Mismatched, Reason::NotEnforced);
    }
    flow(&mut before, 1).family = Family::V4;
    flow(&mut after, 1).family = Family::V4;
    let found = compare(&before, &after, Tolerance::default());
    let told: Vec<_> = found.changes.iter().map(|c| (c.effect, c.families.len())).collect();
    assert_eq!(told, [(Effect::Leaks, 2), (Effect::Blocked, 1)]);
    assert_eq!(found.headline, "WORSE: 2 denied flows get through, 1 allowed blocked");
}

#[test]
fn a_network_that_stopped_enforcing_is_told_in_the_headline() {
    let mut after = run();
    let canary = after.canary.as_mut().expect("it has one");
    for pair in &mut canary.pairs {
        (pair.verdict, pair.reason) = (Kind::Mismatched, Reason::NotEnforced);
    }
    (flow(&mut after, 1).verdict, flow(&mut after, 1).reason) = (Kind::Mismatched, Reason::NotEnforced);
    let found = compare(&run(), &after, Tolerance::default());
    assert!(found.worse() && found.headline.contains("enforcement is gone"), "{}", found.headline);
    assert!(found.changes.iter().any(|change| change.flow.starts_with("canary ")));
}

#[test]
fn the_surroundings_that_differ_are_told_and_what_an_old_file_does_not_know_is_not() {
    let mut after = run();
    after.cluster.cni = "calico v3.31.0".to_owned();
    after.cluster.nodes[0].os_image = "Debian 13".to_owned();
    after.cluster.nodes.remove(1);
    after.arguments = ["run", "--json", "b.json"].map(str::to_owned).to_vec();
    let found = compare(&run(), &after, Tolerance::default());
    let told: Vec<&str> = found.surroundings.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(told, ["network plugin", "node node2"]);
}
