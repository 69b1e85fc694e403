//! The flows of a scenario that a network does not treat as the API says, because it is known to have a fault.

use super::{
    observed::decided,
    script::{Script, Stage},
    suspect::{Place, Suspect},
};
use crate::local::fault::Fault;
use flowproof_core::{
    flow::{Expectation, Family, Flow},
    parse::{Deviation, DeviationSubject},
    scenario::Scenario,
    trial::{settle::Known, site::Site},
};
use std::collections::BTreeMap;

/// Flows that differ, by step, flow and family: the entry, and what the network does.
#[derive(Debug, Default)]
pub struct Deviating<'a> {
    flows: BTreeMap<(usize, String, Family), Known<'a>>,
}

impl<'a> Deviating<'a> {
    /// Works out what the faults of these entries do to a scenario whose pods run here. A scenario that cannot be played on paper
    /// has no such flows.
    #[must_use]
    pub fn of(scenario: &Scenario, site: &Site, deviations: &'a [Deviation]) -> Self {
        let mut flows = BTreeMap::new();
        let faults = deviations.iter().filter_map(|entry| match &entry.subject {
            DeviationSubject::Fault(name) => Some((entry, Fault::named(name).ok()?)),
            DeviationSubject::Flows { .. } => None,
        });
        let nodes: Vec<&str> = site.nodes.keys().map(String::as_str).collect();
        let pods = site.pods.iter().map(|(workload, pod)| (workload.clone(), pod.node.as_str()));
        let stage = Stage::on(&nodes, pods);
        for (entry, fault) in faults.filter(|_| !scenario.live) {
            let suspect = Suspect { fault, place: Place::Everywhere };
            let Ok(script) = Script::of(scenario, &stage, Some(fault)) else { continue };
            let (right, wrong) = (script.predict(None), script.predict(Some(suspect)));
            // What is left once everything was deleted is no deviation of policies.
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
