//! The flows of a run that can be compared with what a fault would do.

use super::{
    script::{Prediction, Script, Seen, Stage, planned},
    suspect::Suspect,
};
use crate::local::{MAX_NODES, fault::Effect, paper::Fate};
use flowproof_core::{
    outcome::{End, FlowOutcome, Outcome, ScenarioOutcome},
    scenario::{
        Scenario,
        flow::{Expectation, Family},
    },
    verdict::{Kind, Reason},
};
use std::time::Duration;

/// A fault that delays enforcement delays it by more than this.
const LATE: Duration = Duration::from_secs(8);

/// How precisely the end of something is known: a change takes time on a busy machine, and attempts come one after the other.
const SLACK: Duration = Duration::from_secs(1);

/// A run and the scenarios that it played.
pub struct Observed<'a> {
    /// The scenarios that can be compared.
    pub scenarios: Vec<Played<'a>>,
    /// Names of the nodes, in the order of their numbers on paper.
    pub nodes: Vec<String>,
    /// What cannot be compared, one line each: scenarios that changed, kinds of policies that the local cluster does not know.
    pub left_out: Vec<String>,
    /// Flows that are neither matched nor mismatched, or about which paper and API disagree.
    pub unclear: usize,
}

/// A scenario that was played, and its flows.
pub struct Played<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Where its pods ran.
    pub stage: Stage,
    /// Its flows that are matched or mismatched.
    pub flows: Vec<Judged<'a>>,
    script: Script<'a>,
}

/// A flow and its verdict.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Number of the step, from 0; one more than the last step means after everything was deleted.
    pub step: usize,
    /// Title of the step.
    pub title: &'a str,
    /// The flow.
    pub flow: &'a FlowOutcome,
    /// Whether it was mismatched.
    pub wrong: bool,
}

/// What a suspect would do to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Would {
    /// Nothing.
    Agree,
    /// It may be wrong for a while.
    Flicker,
    /// It is wrong.
    Differ,
}

impl<'a> Observed<'a> {
    /// Joins a run with the scenarios that it played.
    #[must_use]
    pub fn of(outcome: &'a Outcome, scenarios: &'a [Scenario]) -> Self {
        let nodes: Vec<String> = outcome
            .cluster
            .nodes
            .iter()
            .filter(|node| node.unusable.is_none())
            .map(|node| node.name.clone())
            .take(usize::from(MAX_NODES))
            .collect();
        let mut observed = Self { scenarios: Vec::new(), nodes, left_out: Vec::new(), unclear: 0 };
        for played in outcome.scenarios.iter().filter(|played| !played.steps.is_empty()) {
            match observed.put_beside(played, scenarios) {
                Ok(played) => observed.scenarios.push(played),
                Err(why) => observed.left_out.push(format!("{}: {why}", played.file)),
            }
        }
        observed
    }

    /// Number of mismatched flows, and of all flows.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let all = self.scenarios.iter().flat_map(|played| &played.flows);
        (all.clone().filter(|judged| judged.wrong).count(), all.count())
    }

    fn put_beside(&mut self, played: &'a ScenarioOutcome, all: &'a [Scenario]) -> Result<Played<'a>, String> {
        let scenario = all
            .iter()
            .find(|scenario| scenario.file == played.file)
            .ok_or("the scenario is not among those that were given")?;
        if scenario.live {
            return Err("its policies are the cluster's own".to_owned());
        }
        let titles = scenario.steps.iter().zip(&played.steps);
        if played.steps.len() > scenario.steps.len()
            || titles.clone().any(|(step, seen)| step.title != seen.title)
        {
            return Err("it has changed since the run".to_owned());
        }
        if played.end == End::Played && played.steps.len() < scenario.steps.len() {
            return Err("it has changed since the run".to_owned());
        }
        let stage = self.stage(scenario, played);
        let script = Script::of(scenario, &stage, None).map_err(|refused| refused.to_string())?;
        let right = script.predict(None);
        let restored = played.restore.iter().map(|step| (scenario.steps.len(), step));
        let mut flows = Vec::new();
        for (number, step) in played.steps.iter().enumerate().chain(restored) {
            for flow in &step.flows {
                let known = right.get(number).and_then(|step| step.get(&(flow.flow.clone(), flow.family)));
                let agrees = known.is_some_and(|seen| would(flow.expectation, *seen) == Some(Would::Agree));
                let counts = agrees && flow.reason != Reason::NoLongerDeviates && !is_slow(flow);
                match flow.verdict {
                    Kind::Matched | Kind::Mismatched if counts => {
                        let wrong = flow.verdict == Kind::Mismatched;
                        flows.push(Judged { step: number, title: &step.title, flow, wrong });
                    }
                    Kind::Unspecified => {}
                    _ => self.unclear += 1,
                }
            }
        }
        Ok(Played { scenario, stage, flows, script })
    }

    /// Where the pods ran, as the evidence says. Pods that no evidence mentions are where a run would place them.
    fn stage(&self, scenario: &Scenario, outcome: &ScenarioOutcome) -> Stage {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        let planned = planned(&scenario.topology, &nodes);
        let seen = outcome.steps.iter().flat_map(|step| &step.flows).flat_map(|flow| {
            [
                (&flow.source, Some(flow.evidence.source_node.as_str())),
                (&flow.target, flow.evidence.destination_node.as_deref()),
            ]
        });
        let seen = seen.filter_map(|(name, node)| Some((name.parse().ok()?, node?)));
        let planned = planned.iter().map(|(workload, node)| (workload.clone(), node.as_str()));
        Stage::on(&nodes, planned.chain(seen))
    }
}

impl<'a> Played<'a> {
    /// What a suspect would do to each flow, in the order of [`flows`](Self::flows).
    #[must_use]
    pub fn would(&self, suspect: Suspect) -> Vec<Would> {
        let own = suspect
            .reuses_addresses()
            .then(|| Script::of(self.scenario, &self.stage, Some(suspect.fault)).ok())
            .flatten();
        let prediction: Prediction = own.as_ref().unwrap_or(&self.script).predict(Some(suspect));
        let of = |judged: &Judged<'a>| {
            let key: (String, Family) = (judged.flow.flow.clone(), judged.flow.family);
            let seen = prediction.get(judged.step).and_then(|step| step.get(&key));
            let would = seen.and_then(|seen| would(judged.flow.expectation, *seen)).unwrap_or(Would::Agree);
            match would {
                Would::Flicker if suspect.fault.lasts().is_some_and(|lasts| judged.is_wrong_after(lasts)) => {
                    Would::Agree
                }
                Would::Flicker
                    if suspect.fault.lasts().is_some_and(|lasts| judged.is_right_before(lasts)) =>
                {
                    Would::Differ
                }
                Would::Agree if judged.is_like(suspect.from_others()) => Would::Flicker,
                would => would,
            }
        };
        self.flows.iter().map(of).collect()
    }
}

impl Judged<'_> {
    /// Whether it was still wrong this long after the change, with a margin.
    fn is_wrong_after(&self, length: Duration) -> bool {
        let last = self.flow.evidence.contradictions.as_ref().map(|all| all.last_after_ms);
        let over = last.is_some_and(|last| Duration::from_millis(last) > length + SLACK);
        self.wrong && self.flow.reason != Reason::TooLate && over
    }

    /// Whether it was right sooner than this long after the change, with a margin.
    fn is_right_before(&self, length: Duration) -> bool {
        let after = self.flow.evidence.enforced_after_ms.map(Duration::from_millis);
        !self.wrong && after.is_some_and(|after| after + SLACK < length)
    }

    /// Whether it is wrong in the way in which this effect makes flows wrong.
    fn is_like(&self, effect: Option<Effect>) -> bool {
        let opened = self.flow.expectation != Expectation::Allow;
        self.wrong
            && match effect {
                Some(Effect::Opens) => opened,
                Some(Effect::Closes) => !opened,
                Some(Effect::Both) => true,
                _ => false,
            }
    }
}

/// Whether a flow was right, but late by less than a fault would make it: the machine or the network was slow.
fn is_slow(flow: &FlowOutcome) -> bool {
    let after = flow.evidence.enforced_after_ms.map(Duration::from_millis);
    flow.reason == Reason::TooLate && after.is_none_or(|after| after < LATE)
}

/// Whether a flow with this expectation is wrong if this is seen of it; `None` if either is open.
#[must_use]
pub fn would(expectation: Expectation, seen: Seen) -> Option<Would> {
    let (first, settled) = (is_wrong(expectation, seen.first)?, is_wrong(expectation, seen.settled)?);
    Some(match (first, settled) {
        (_, true) => Would::Differ,
        (true, false) => Would::Flicker,
        (false, false) => Would::Agree,
    })
}

/// Whether a fate is that of an allowed or a denied flow; `None` if it is open.
#[must_use]
pub fn decided(fate: Fate) -> Option<Expectation> {
    match fate {
        Fate::Answered => Some(Expectation::Allow),
        Fate::Dropped | Fate::Refused => Some(Expectation::Deny),
        Fate::Depends => None,
    }
}

fn is_wrong(expectation: Expectation, fate: Fate) -> Option<bool> {
    Some(match (expectation, fate) {
        (Expectation::Unspecified, _) | (_, Fate::Depends) => return None,
        (Expectation::Allow, fate) => fate != Fate::Answered,
        (Expectation::Deny, fate) => fate == Fate::Answered,
        (Expectation::Drop, fate) => fate != Fate::Dropped,
        (Expectation::Reject, fate) => fate != Fate::Refused,
    })
}
