//! What became of every flow, and of every pair of the canary.

use super::{
    Change, Effect, NOISE, NOTABLY_SLOWER, Seen, Tolerance,
    pair::{self, Pair},
};
use crate::{
    outcome::{CanaryPair, End, FlowOutcome, Outcome, ScenarioOutcome},
    scenario::flow::Expectation,
    verdict::Kind,
};

/// Everything that changed, and how many flows did not.
pub(super) fn changes(before: &Outcome, after: &Outcome, tolerance: Tolerance) -> (Vec<Change>, usize) {
    let mut found = Found { tolerance, changes: Vec::new(), unchanged: 0 };
    found.canary(before, after);
    for pair in pair::scenarios(before, after) {
        found.scenario(pair);
    }
    (found.changes, found.unchanged)
}

struct Found {
    tolerance: Tolerance,
    changes: Vec<Change>,
    unchanged: usize,
}

impl Found {
    fn scenario(&mut self, pair: Pair<'_, ScenarioOutcome>) {
        let Some(either) = pair.1.or(pair.0) else { return };
        for steps in pair::steps(pair) {
            let title = steps.1.or(steps.0).map_or("", |step| &step.title);
            for flows in pair::flows(steps) {
                self.flow(&either.claim, title, flows);
            }
        }
        // The restoration lists only what did not work again. What is missing there did work, if it was tried.
        let restored = |scenario: Option<&ScenarioOutcome>| scenario.is_some_and(|s| s.end == End::Played);
        let both = pair.0.and_then(|s| s.restore.as_ref()).zip(pair.1.and_then(|s| s.restore.as_ref()));
        if restored(pair.0) && restored(pair.1) || both.is_some() {
            let halves = (pair.0.and_then(|s| s.restore.as_ref()), pair.1.and_then(|s| s.restore.as_ref()));
            let title = halves.1.or(halves.0).map_or("", |step| &step.title);
            for flows in pair::flows(halves) {
                match flows {
                    (None, Some(after)) => {
                        let effect =
                            if after.verdict == Kind::Mismatched { Effect::Blocked } else { Effect::Unclear };
                        self.add(effect, true, &either.claim, title, flows);
                    }
                    (Some(_), None) => self.add(Effect::Fixed, false, &either.claim, title, flows),
                    flows => self.flow(&either.claim, title, flows),
                }
            }
        }
    }

    fn flow(&mut self, claim: &str, step: &str, flows: Pair<'_, FlowOutcome>) {
        match effect(flows, self.tolerance) {
            Some((effect, regression)) => self.add(effect, regression, claim, step, flows),
            None => self.unchanged += 1,
        }
    }

    /// Adds a change; families of a flow that changed in the same way become one change.
    fn add(
        &mut self,
        effect: Effect,
        regression: bool,
        claim: &str,
        step: &str,
        (before, after): Pair<'_, FlowOutcome>,
    ) {
        let Some(flow) = after.or(before) else { return };
        let change = Change {
            effect,
            regression,
            scenario: claim.to_owned(),
            step: step.to_owned(),
            flow: flow.flow.clone(),
            families: vec![flow.family],
            before: before.map(seen),
            after: after.map(seen),
        };
        let reasons = |c: &Change| (c.before.as_ref().map(|s| s.reason), c.after.as_ref().map(|s| s.reason));
        let alike = |known: &&mut Change| {
            (known.effect, known.regression, &known.scenario, &known.step, &known.flow)
                == (change.effect, change.regression, &change.scenario, &change.step, &change.flow)
                && reasons(known) == reasons(&change)
        };
        match self.changes.iter_mut().find(alike) {
            Some(known) => known.families.extend(&change.families),
            None => self.changes.push(change),
        }
    }

    fn canary(&mut self, before: &Outcome, after: &Outcome) {
        fn keyed(pairs: &[CanaryPair]) -> Vec<((&str, &str), &CanaryPair)> {
            pairs.iter().map(|pair| ((pair.from.as_str(), pair.to.as_str()), pair)).collect()
        }
        let (Some(before), Some(after)) = (&before.canary, &after.canary) else { return };
        for halves in pair::join(keyed(&before.pairs), keyed(&after.pairs)) {
            let (Some(old), Some(new)) = halves else { continue };
            let effect = match (old.verdict, new.verdict) {
                (Kind::Matched, Kind::Mismatched) => Effect::Leaks,
                (Kind::Matched, Kind::Unproven | Kind::Inconclusive) => Effect::Unclear,
                (Kind::Mismatched | Kind::Unproven | Kind::Inconclusive, Kind::Matched) => Effect::Fixed,
                _ => continue,
            };
            self.changes.push(Change {
                effect,
                regression: effect != Effect::Fixed,
                scenario: "the canary".to_owned(),
                step: "deny everything".to_owned(),
                flow: format!("canary {} -> {}", new.from, new.to),
                families: Vec::new(),
                before: Some(seen_pair(old)),
                after: Some(seen_pair(new)),
            });
        }
    }
}

/// How a flow changed, and whether that is a regression; `None` if it did not change.
fn effect(flows: Pair<'_, FlowOutcome>, tolerance: Tolerance) -> Option<(Effect, bool)> {
    let (before, after) = match flows {
        (Some(before), Some(after)) => (before, after),
        (None, _) => return Some((Effect::New, false)),
        (Some(before), None) if before.verdict == Kind::Matched => return Some((Effect::NotTried, true)),
        (Some(_), None) => return Some((Effect::Gone, false)),
    };
    match (before.verdict, after.verdict) {
        // A known deviation of the network is reported, but it is not a regression.
        (Kind::Matched, Kind::Mismatched) => {
            Some((broken(before.expectation, after), after.deviation.is_none()))
        }
        (Kind::Matched, Kind::Unproven | Kind::Inconclusive) => {
            Some((Effect::Unclear, after.deviation.is_none()))
        }
        (Kind::Matched, Kind::Matched) => matched(before, after, tolerance),
        (_, Kind::Matched) => Some((Effect::Fixed, false)),
        _ if before.reason != after.reason => Some((Effect::OtherReason, false)),
        _ => None,
    }
}

fn broken(was: Expectation, after: &FlowOutcome) -> Effect {
    use crate::verdict::Reason as R;
    match after.reason {
        R::NotEnforced | R::OnlyAnswerBlocked | R::HandshakeLetThrough => Effect::Leaks,
        R::Unstable if was.denies() => Effect::Leaks,
        R::Blocked | R::BlockedLive | R::AnswerLost | R::NeverWorked => Effect::Blocked,
        _ => Effect::Broken,
    }
}

fn matched(before: &FlowOutcome, after: &FlowOutcome, tolerance: Tolerance) -> Option<(Effect, bool)> {
    if before.expectation != after.expectation {
        return Some((Effect::OtherExpectation, false));
    }
    let ms = |flow: &FlowOutcome| flow.evidence.enforced_after_ms;
    if let Some((old, new)) = ms(before).zip(ms(after)) {
        let longer = |short: u64, long: u64, times: f64| {
            long.saturating_sub(short) > NOISE.as_millis() as u64 && long as f64 > short as f64 * times
        };
        if longer(old, new, tolerance.slower.unwrap_or(NOTABLY_SLOWER)) {
            return Some((Effect::Slower, tolerance.slower.is_some()));
        }
        if longer(new, old, NOTABLY_SLOWER) {
            return Some((Effect::Sooner, false));
        }
    }
    if before.reason != after.reason {
        return Some((Effect::OtherDenial, false));
    }
    let nodes =
        |flow: &FlowOutcome| (flow.evidence.source_node.clone(), flow.evidence.destination_node.clone());
    (nodes(before) != nodes(after)).then_some((Effect::Moved, false))
}

fn seen(flow: &FlowOutcome) -> Seen {
    Seen {
        expectation: flow.expectation,
        verdict: flow.verdict,
        reason: flow.reason,
        text: flow.text.clone(),
        enforced_after_ms: flow.evidence.enforced_after_ms,
        source_node: flow.evidence.source_node.clone(),
        destination_node: flow.evidence.destination_node.clone(),
    }
}

fn seen_pair(pair: &CanaryPair) -> Seen {
    Seen {
        expectation: Expectation::Deny,
        verdict: pair.verdict,
        reason: pair.reason,
        text: pair.reason.text().to_owned(),
        enforced_after_ms: pair.enforced_after_ms,
        source_node: pair.from.clone(),
        destination_node: Some(pair.to.clone()),
    }
}
