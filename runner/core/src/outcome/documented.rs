//! `docs/results.md` lists exactly the fields that outcomes and comparisons have.

use super::*;
use crate::{
    tools::compare::{Tolerance, compare},
    verdict::{Kind, Reason},
};
use page::{PAGE, documented, paths};
use std::collections::BTreeSet;

pub(crate) mod page;

/// An outcome in which every optional field is set.
fn full() -> Outcome {
    let mut outcome = read(include_str!("read/version-1.json")).expect("it is readable");
    outcome.watch = Some(WatchOutcome {
        from_ms: 0,
        until_ms: 1,
        ended: EndedBy::Conditions,
        command: Some(CommandOutcome {
            arguments: vec!["true".into()],
            from_ms: 0,
            until_ms: Some(1),
            exit_code: Some(0),
            error: None,
        }),
    });
    outcome.diagnosis = vec![String::new()];
    let scenario = &mut outcome.scenarios[0];
    scenario.steps[0].shows = vec![Capability::Ingress];
    scenario.restore = scenario.steps.first().cloned();
    let flow = &mut scenario.steps[0].flows[0];
    flow.deviation = Some("known".into());
    flow.looks_like = Some("nothing-enforced".into());
    flow.by_policy = true;
    flow.evidence.policies_say = Some(PoliciesSay {
        answer: Expectation::Unspecified,
        reason: String::new(),
        rules: vec![String::new()],
    });
    flow.evidence.hindered = Some(HinderedOutcome { share: 0.0, longest_lag_ms: 1 });
    flow.evidence.network = Some(String::new());
    flow.evidence.captured = Some(Captured {
        found: Found::IcmpError,
        text: String::new(),
        from: Some(String::new()),
        icmp_type: Some(3),
        icmp_code: Some(13),
    });
    let observation = Observation::Silent;
    flow.evidence.contradictions = Some(ContradictionsOutcome {
        count: 1,
        first_after_ms: 0,
        last_after_ms: 0,
        observation: observation.clone(),
        witness: Witness::Arrived,
    });
    let episode = Episode {
        what: What::Leak,
        from_ms: 0,
        until_ms: 1,
        open: false,
        attempts: 1,
        source_node: String::new(),
        destination_node: None,
        observation: Some(observation),
        witness: None,
        why: None,
    };
    let watched = WatchedFlow {
        flow: flow.flow.clone(),
        family: flow.family,
        expectation: flow.expectation,
        at: String::new(),
        attempts: 1,
        losses: 0,
        episodes: vec![episode],
        untold: 0,
    };
    scenario.watched = Some(Watched {
        from_ms: 0,
        until_ms: 1,
        interval_ms: 1,
        flows: vec![watched],
        kept: Vec::new(),
        starts: vec![Start {
            like: String::new(),
            node: String::new(),
            from_ms: 0,
            flows: vec![StartedFlow {
                flow: String::new(),
                family: Family::V4,
                expectation: Expectation::Deny,
                attempts: 1,
                against: 0,
                window_ms: Some(0.0),
            }],
        }],
        probers: vec![WatchedProber::default()],
    });
    outcome
}

#[test]
fn every_field_of_an_outcome_is_documented_and_no_other() {
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(full()).expect("it is JSON"), "", &mut found);
    assert_eq!(documented("A saved run"), found);
}

#[test]
fn every_field_of_a_comparison_is_documented_and_no_other() {
    let before = full();
    let mut after = full();
    after.cluster.cni = "another".into();
    let flow = &mut after.scenarios[0].steps[0].flows[1];
    (flow.verdict, flow.reason) = (Kind::Mismatched, Reason::NotEnforced);
    let comparison = compare(&before, &after, Tolerance::default());
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(comparison).expect("it is JSON"), "", &mut found);
    assert_eq!(documented("A comparison"), found);
}

#[test]
fn every_word_that_a_field_may_have_is_documented() {
    fn words<T: serde::de::DeserializeOwned>() -> Vec<String> {
        // The error message for an unknown variant names all known ones.
        let Err(error) = serde_json::from_str::<T>("\"?\"") else { return Vec::new() };
        error.to_string().split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
    }
    let all = [
        words::<Kind>(),
        words::<Reason>(),
        words::<Witness>(),
        words::<Control>(),
        words::<Expectation>(),
        words::<Conclusion>(),
        words::<What>(),
        words::<Found>(),
        words::<EndedBy>(),
        words::<crate::tools::compare::Effect>(),
    ];
    assert!(all.iter().all(|words| words.len() > 1), "{all:?}");
    let missing: Vec<&String> =
        all.iter().flatten().filter(|word| !PAGE.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
