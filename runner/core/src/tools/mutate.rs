//! Which edits of a scenario's own policies nobody would notice.
//!
//! Each edit changes one policy in one place, as people do by mistake. Somebody would notice an edit if a written expectation
//! contradicts what the oracle says about the edited policies. An edit that changes nothing for any flow between the scenario's
//! workloads, or from them to the addresses that its policies name, does not count. The others survive, each with a flow that
//! would catch it.

mod edits;

use crate::{
    policy::{Answer, Oracle, Scene, scene::policy_kind, spoken::Spoken, validate},
    scenario::{
        Change, Manifest, Scenario, Wanted, WorkloadSpec,
        flow::{Expectation, Family, Flow, Target},
    },
};
use edits::{Edit, edits};
use flowproof_wire::{Listener, Transport};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// The fate of all edits of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mutated {
    /// The scenario's file.
    pub file: String,
    /// Its policies, in the order in which they are applied.
    pub policies: Vec<PolicyScore>,
    /// Edits that nobody would notice.
    pub survivors: Vec<Survivor>,
}

/// The fate of the edits of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyScore {
    /// The policy: `NetworkPolicy data/postgres`.
    pub policy: String,
    /// Edits that some expectation contradicts.
    pub noticed: usize,
    /// Edits that no expectation contradicts although some flow would be different.
    pub survived: usize,
    /// Edits that change nothing for any flow.
    pub equivalent: usize,
}

/// An edit that nobody would notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survivor {
    /// The policy.
    pub policy: String,
    /// Where it was edited: `FILE:LINE:COLUMN`.
    pub at: String,
    /// What was done: `the peer is dropped`.
    pub edit: String,
    /// The title of the step in which the flow is different.
    pub step: String,
    /// A flow that would catch it, as a scenario writes it.
    pub flow: String,
    /// What it must do according to the unedited policies: `allow` or `deny`.
    pub expect: &'static str,
    /// What its target must listen on for that: `tcp/81`; `None` if it already does.
    pub listens: Option<String>,
}

impl Mutated {
    /// Edits that make a difference.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.policies.iter().map(|policy| policy.noticed + policy.survived).sum()
    }

    /// Those of them that somebody would notice.
    #[must_use]
    pub fn noticed(&self) -> usize {
        self.policies.iter().map(|policy| policy.noticed).sum()
    }
}

/// Edits each policy of a scenario in each place.
#[must_use]
pub fn mutate(scenario: &Scenario) -> Mutated {
    let suite = Suite::of(scenario);
    let original: Vec<State> = suite.states(None);
    let mut mutated = Mutated { file: scenario.file.clone(), policies: Vec::new(), survivors: Vec::new() };
    for (step, change, manifest) in applied(scenario) {
        let policy = manifest.object.to_string();
        let mut score = PolicyScore { policy: policy.clone(), noticed: 0, survived: 0, equivalent: 0 };
        for edit in suite.edits(manifest) {
            let edited = Edited { step, change, value: edit.value.as_ref() };
            match suite.fate(&original, &edited) {
                Fate::Noticed => score.noticed += 1,
                Fate::Equivalent => score.equivalent += 1,
                Fate::Survives { step, flow, answer } => {
                    score.survived += 1;
                    let Edit { at, what, .. } = &edit;
                    mutated.survivors.push(Survivor {
                        policy: policy.clone(),
                        at: at.to_string(),
                        edit: what.clone(),
                        step: scenario.steps[step].title.clone(),
                        listens: suite.lacks(&flow),
                        flow: flow.to_string(),
                        expect: answer.word(),
                    });
                }
            }
        }
        mutated.policies.push(score);
    }
    mutated
}

/// One edit, its predicted fate, and the scenario with the edit.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The policy and what was done to it.
    pub edit: String,
    /// Whether the prediction is that some written expectation contradicts it.
    pub noticed: bool,
    /// The scenario with the edit, to be played.
    pub scenario: Scenario,
}

/// Every edit of a scenario's policies as a scenario of its own, to compare the predictions of [`mutate`] with a network.
#[must_use]
pub fn trials(scenario: &Scenario) -> Vec<Trial> {
    let suite = Suite::of(scenario);
    let original: Vec<State> = suite.states(None);
    let mut trials = Vec::new();
    for (step, change, manifest) in applied(scenario) {
        for edit in suite.edits(manifest) {
            let edited = Edited { step, change, value: edit.value.as_ref() };
            let noticed = matches!(suite.fate(&original, &edited), Fate::Noticed);
            let edit = format!("{}: {} at {}", manifest.object, edit.what, edit.at);
            trials.push(Trial { edit, noticed, scenario: with(scenario, &edited) });
        }
    }
    trials
}

/// A scenario with an edit. What is never applied is not deleted later, either.
fn with(scenario: &Scenario, edited: &Edited<'_>) -> Scenario {
    let mut scenario = scenario.clone();
    let changes = &mut scenario.steps[edited.step].changes;
    let Change::Apply(manifest) = &mut changes[edited.change] else { return scenario };
    if let Some(value) = edited.value {
        manifest.value = value.clone();
        return scenario;
    }
    let object = manifest.object.clone();
    changes.remove(edited.change);
    let earlier = scenario.steps[..edited.step].iter().flat_map(|step| &step.changes);
    let before = earlier.chain(&scenario.steps[edited.step].changes[..edited.change]);
    let there = before.fold(false, |there, change| match change {
        Change::Apply(manifest) if manifest.object == object => true,
        Change::Delete(deleted) if *deleted == object => false,
        _ => there,
    });
    if there {
        return scenario;
    }
    for step in &mut scenario.steps[edited.step..] {
        let again = |change: &Change| matches!(change, Change::Apply(manifest) if manifest.object == object);
        let until = step.changes.iter().position(again).unwrap_or(step.changes.len());
        let mut at = 0;
        step.changes.retain(|change| {
            at += 1;
            at > until || !matches!(change, Change::Delete(deleted) if *deleted == object)
        });
        if until < step.changes.len() {
            break;
        }
    }
    scenario
}

/// The policies that can be read, with the step and the change in which they are applied.
fn applied(scenario: &Scenario) -> impl Iterator<Item = (usize, usize, &Manifest)> {
    scenario.steps.iter().enumerate().flat_map(|(step, of)| {
        of.changes.iter().enumerate().filter_map(move |(change, what)| match what {
            Change::Apply(manifest) if policy_kind(manifest).is_some() => Some((step, change, manifest)),
            _ => None,
        })
    })
}

/// One edit, in its place.
struct Edited<'e> {
    step: usize,
    change: usize,
    /// The edited policy; `None` if it is not applied.
    value: Option<&'e Value>,
}

enum Fate {
    Noticed,
    Equivalent,
    Survives { step: usize, flow: Flow, answer: Answer },
}

/// What the policies say about all flows in one step.
type State = Vec<Answer>;

struct Suite<'s> {
    scenario: &'s Scenario,
    /// All flows that are looked at, in both families where they have both.
    flows: Vec<(Flow, Family)>,
    /// What is written about flows in each step: their index, and whether they must be denied.
    written: Vec<Vec<(usize, bool)>>,
}

impl<'s> Suite<'s> {
    fn of(scenario: &'s Scenario) -> Self {
        let mut flows: BTreeSet<(Flow, Family)> = BTreeSet::new();
        for flow in possible(scenario) {
            flows.extend(families(scenario, &flow).map(|family| (flow.clone(), family)));
        }
        let mut flows: Vec<(Flow, Family)> = flows.into_iter().collect();
        let mut written = Vec::new();
        for step in &scenario.steps {
            let mut expected = Vec::new();
            for expectation in &step.expectations {
                let denies = match expectation.wanted {
                    Wanted::Written(Expectation::Allow) => false,
                    Wanted::Written(wanted) if wanted.denies() => true,
                    _ => continue,
                };
                for family in families(scenario, &expectation.flow) {
                    let one = (expectation.flow.clone(), family);
                    let index = flows.iter().position(|known| *known == one).unwrap_or_else(|| {
                        flows.push(one);
                        flows.len() - 1
                    });
                    expected.push((index, denies));
                }
            }
            written.push(expected);
        }
        Self { scenario, flows, written }
    }

    /// The edits of a policy, without those that an API server rejects: they never take effect, and the API server reports them.
    fn edits(&self, manifest: &Manifest) -> Vec<Edit> {
        let scene = Scene::planned(&self.scenario.topology);
        let accepted = |value: &Value| {
            let edited = Manifest { value: value.clone(), ..manifest.clone() };
            policy_kind(manifest).is_none_or(|kind| validate(kind, &scene.value(&edited)).is_empty())
        };
        let all = edits(manifest).into_iter();
        all.filter(|edit| edit.value.as_ref().is_none_or(accepted)).collect()
    }

    /// What the policies say after each step, with or without an edit.
    fn states(&self, edited: Option<&Edited<'_>>) -> Vec<State> {
        let mut scene = Scene::planned(&self.scenario.topology);
        let mut states = Vec::new();
        for (number, step) in self.scenario.steps.iter().enumerate() {
            for (index, change) in step.changes.iter().enumerate() {
                match (edited.filter(|edited| (edited.step, edited.change) == (number, index)), change) {
                    (Some(Edited { value: Some(value), .. }), Change::Apply(manifest)) => {
                        let manifest = Manifest { value: (*value).clone(), ..manifest.clone() };
                        scene.change(&Change::Apply(manifest));
                    }
                    (Some(_), _) => {}
                    (None, change) => scene.change(change),
                }
            }
            let cluster = scene.cluster();
            let oracle = Oracle::new(&cluster);
            let answer = |(flow, family): &(Flow, Family)| scene.answer(&oracle, flow, *family);
            states.push(self.flows.iter().map(answer).collect());
        }
        states
    }

    fn fate(&self, original: &[State], edited: &Edited<'_>) -> Fate {
        let changed = self.states(Some(edited));
        let contradicts = |state: &State, (flow, denies): &(usize, bool)| {
            state[*flow] == if *denies { Answer::Allow } else { Answer::Deny }
        };
        let noticed = changed.iter().zip(original).zip(&self.written).any(|((now, before), written)| {
            written.iter().any(|one| contradicts(now, one) && !contradicts(before, one))
        });
        if noticed {
            return Fate::Noticed;
        }
        let mut survivor = None;
        for (step, (now, before)) in changed.iter().zip(original).enumerate() {
            for (index, (now, before)) in now.iter().zip(before).enumerate() {
                let decided =
                    matches!((now, before), (Answer::Allow, Answer::Deny) | (Answer::Deny, Answer::Allow));
                if decided && survivor.as_ref().is_none_or(|(_, known, _)| self.is_better(index, *known)) {
                    survivor = Some((step, index, *before));
                }
            }
        }
        match survivor {
            Some((step, index, answer)) => Fate::Survives { step, flow: self.flows[index].0.clone(), answer },
            None => Fate::Equivalent,
        }
    }

    /// Whether a flow is a better example than the known one. A flow that needs no other listener is easier to add; one to a port
    /// on which somebody listens is easier to understand.
    fn is_better(&self, one: usize, known: usize) -> bool {
        let rank = |index: usize| {
            let flow = &self.flows[index].0;
            let somebody = self.scenario.topology.workloads.values().any(|spec| listens(spec, flow));
            (self.lacks(flow).is_some(), !somebody)
        };
        rank(one) < rank(known)
    }

    /// What the target of a flow must listen on, if it does not.
    fn lacks(&self, flow: &Flow) -> Option<String> {
        let Target::Workload(target) = &flow.target else { return None };
        let spec = self.scenario.topology.workloads.get(target)?;
        (!listens(spec, flow)).then(|| flow.port_text())
    }
}

/// Whether a workload listens where a flow goes.
fn listens(spec: &WorkloadSpec, flow: &Flow) -> bool {
    let at = Listener { transport: flow.transport, port: flow.port };
    spec.listens.iter().any(|named| named.listener == at)
}

/// The families in which a flow can be tried.
fn families(scenario: &Scenario, flow: &Flow) -> impl Iterator<Item = Family> {
    let only = match flow.target {
        Target::Address(address) => Some(Family::of(address)),
        _ => None,
    };
    scenario.families.iter().copied().filter(move |family| only.is_none_or(|only| only == *family))
}

/// All flows between the workloads of a scenario, and to the borders of the blocks that its policies name. The ports are those on
/// which somebody listens, those that its policies name, and those next to them.
fn possible(scenario: &Scenario) -> Vec<Flow> {
    let spoken = Spoken::of(applied(scenario).map(|(_, _, manifest)| &manifest.value));
    let (ports, addresses) = (edits::near_ports(&spoken), edits::near_addresses(&spoken));
    let workloads = &scenario.topology.workloads;
    let mut flows = Vec::new();
    let flow = |source: &crate::scenario::name::Workload, target: &Target, (transport, port)| Flow {
        source: source.clone(),
        target: target.clone(),
        transport,
        port,
        established: false,
    };
    for source in workloads.keys() {
        for (target, spec) in workloads.iter().filter(|(target, _)| *target != source) {
            let own = spec.listens.iter().map(|named| (named.listener.transport, named.listener.port));
            let all: BTreeSet<(Transport, u16)> = own.chain(ports.iter().copied()).collect();
            let target = Target::Workload(target.clone());
            flows.extend(all.into_iter().map(|at| flow(source, &target, at)));
        }
        for address in &addresses {
            let some = ports.is_empty().then_some((Transport::Tcp, 443));
            let target = Target::Address(*address);
            flows.extend(ports.iter().copied().chain(some).map(|at| flow(source, &target, at)));
        }
    }
    flows
}

#[cfg(test)]
mod tests;
