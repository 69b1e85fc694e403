//! The flows of a scenario that a network does not treat as the API says, because it is known to have a fault.

use super::{
    observed::decided,
    script::{Script, Stage},
    suspect::{Place, Suspect},
};
use crate::local::fault::Fault;
use flowproof_core::{
    parse::{self, Deviation},
    scenario::{
        Change, Manifest, Scenario,
        flow::{Expectation, Family, Flow},
    },
    snapshot::Snapshot,
    text::Problem,
    tools::generate,
    trial::{settle::Known, site::Site},
};
use std::collections::BTreeMap;

/// Flows that differ, by step, flow and family: the entry, and what the network does.
#[derive(Debug, Default)]
pub struct Deviating<'a> {
    flows: BTreeMap<(usize, String, Family), Known<'a>>,
}

impl<'a> Deviating<'a> {
    /// Works out what the faults of these entries do to a scenario whose pods run at this site. A scenario that cannot be played on
    /// paper has no such flows.
    #[must_use]
    pub fn of(scenario: &Scenario, site: &Site, deviations: &'a [Deviation]) -> Self {
        let nodes: Vec<&str> = site.nodes.keys().map(String::as_str).collect();
        let pods = site.pods.iter().map(|(workload, pod)| (workload.clone(), pod.node.as_str()));
        Self::on(&Stage::on(&nodes, pods), scenario, deviations)
    }

    fn on(stage: &Stage, scenario: &Scenario, deviations: &'a [Deviation]) -> Self {
        let mut flows = BTreeMap::new();
        let faults = deviations.iter().filter_map(|entry| Some((entry, Fault::named(entry.fault()?).ok()?)));
        for (entry, fault) in faults.filter(|_| !scenario.live) {
            let suspect = Suspect { fault, place: Place::Everywhere };
            let Ok(script) = Script::of(scenario, stage, Some(fault)) else { continue };
            let (right, wrong) = (script.predict(None), script.predict(Some(suspect)));
            // What is left after everything was deleted is not a deviation of policies.
            for (step, (right, wrong)) in right.iter().zip(&wrong).enumerate().take(scenario.steps.len()) {
                for ((flow, family), seen) in wrong {
                    let before = right.get(&(flow.clone(), *family)).and_then(|seen| decided(seen.settled));
                    let Some(observed) = decided(seen.settled) else { continue };
                    if before.is_some_and(|before| before != observed) {
                        flows.entry((step, flow.clone(), *family)).or_insert(Known { entry, observed });
                    }
                }
            }
        }
        Self { flows }
    }

    /// What the network is known to do with a flow in a step, if that is not what the flow must do.
    #[must_use]
    pub fn known(
        &self,
        step: usize,
        flow: &Flow,
        family: Family,
        expectation: Expectation,
    ) -> Option<Known<'a>> {
        let known = self.flows.get(&(step, flow.to_string(), family)).copied()?;
        let differs =
            expectation != Expectation::Unspecified && expectation.denies() != known.observed.denies();
        differs.then_some(known)
    }
}

/// Warns about the flows of a scenario that networks with these entries are known to treat differently: one warning for each entry, at
/// the first of its flows. Nothing is played; the pods are where a run would put them on two nodes.
#[must_use]
pub fn warnings(scenario: &Scenario, deviations: &[Deviation]) -> Vec<Problem> {
    let stage = Stage::planned(&scenario.topology);
    let warning = |entry: &Deviation| {
        let differing = Deviating::on(&stage, scenario, std::slice::from_ref(entry)).flows;
        let ((step, flow, family), known) = differing.iter().next()?;
        let does = if known.observed.denies() { "denies" } else { "allows" };
        let more = match differing.len() - 1 {
            0 => String::new(),
            more => format!(", and differs in {more} more"),
        };
        let expected =
            scenario.steps[*step].expectations.iter().find(|expected| expected.flow.to_string() == *flow)?;
        let message = format!(
            "{} is known to differ from the API here: it {does} {flow} over {family}{more}",
            entry.cni
        );
        let mut problem = Problem::new(expected.at.clone(), 1, message).warning();
        problem.hint(entry.explanation());
        Some(problem)
    };
    deviations.iter().filter_map(warning).collect()
}

/// Warns in the same way about policies alone, each with the pods that [`generate`] makes for it; the warnings are at the policies.
#[must_use]
pub fn warnings_of_policies(snapshot: &Snapshot, deviations: &[Deviation]) -> Vec<Problem> {
    let load: &mut parse::Load<'_> = &mut |path| Err(format!("{path} is not written out"));
    let mut found = Vec::new();
    for made in generate::scenarios(snapshot).0 {
        let Ok(scenario) = parse::scenario(&made.file, made.text.as_bytes(), load) else { continue };
        let applied = scenario.steps.iter().flat_map(|step| &step.changes).find_map(|change| match change {
            Change::Apply(manifest) => Some(&manifest.object),
            _ => None,
        });
        let is_it = |policy: &&Manifest| {
            applied.is_some_and(|applied| {
                (&applied.kind, &applied.name) == (&policy.object.kind, &policy.object.name)
                    && (policy.object.namespace.is_none() || policy.object.namespace == applied.namespace)
            })
        };
        let Some(policy) = snapshot.policies.iter().find(is_it) else { continue };
        found.extend(
            warnings(&scenario, deviations)
                .into_iter()
                .map(|warning| Problem { at: policy.at.clone(), ..warning }),
        );
    }
    found
}
