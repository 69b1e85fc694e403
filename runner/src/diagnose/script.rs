//! A scenario on paper: the states of the API that it leads to, and what each of its flows would do.

use super::suspect::{Place, Suspect};
use crate::local::{
    MAX_NODES,
    fault::Fault,
    paper::{Api, Engine, Fate, Refused, Rules, State},
};
use flowproof_core::{
    place::placement::{Node, place},
    scenario::{
        Change, Scenario, Topology,
        flow::{Family, Flow, Target},
        name::Workload,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How long a step lasts on paper: a network has done by then whatever it does late.
const LONG: Duration = Duration::from_secs(60);

/// Where the pods of a scenario run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The number of the node of each pod, from 1.
    pub placed: BTreeMap<Workload, u8>,
    /// How many nodes there are.
    pub nodes: u8,
}

impl Stage {
    /// Pods on nodes with these names. If a pod is named twice, the last entry counts; an entry with an unknown node is ignored.
    pub fn on<'a>(nodes: &[&str], pods: impl IntoIterator<Item = (Workload, &'a str)>) -> Self {
        let number = |name: &str| {
            let at = nodes.iter().position(|node| *node == name)?;
            u8::try_from(at + 1).ok().filter(|number| *number <= MAX_NODES)
        };
        let placed =
            pods.into_iter().filter_map(|(workload, node)| Some((workload, number(node)?))).collect();
        Self { placed, nodes: u8::try_from(nodes.len()).unwrap_or(MAX_NODES).clamp(1, MAX_NODES) }
    }

    /// Two nodes, with the pods where a run would put them.
    #[must_use]
    pub fn planned(topology: &Topology) -> Self {
        let nodes = ["node1", "node2"];
        let placed = planned(topology, &nodes);
        Self::on(&nodes, placed.iter().map(|(workload, node)| (workload.clone(), node.as_str())))
    }
}

/// Where a run would put the pods, by the names of their nodes; empty if they do not fit.
#[must_use]
pub fn planned(topology: &Topology, nodes: &[&str]) -> BTreeMap<Workload, String> {
    let node = |name: &&str| Node { name: (*name).to_owned(), ..Node::default() };
    place(topology, &nodes.iter().map(node).collect::<Vec<_>>(), 0).unwrap_or_default()
}

/// A scenario, played on paper.
pub struct Script<'a> {
    scenario: &'a Scenario,
    /// All states, and when each began.
    states: Vec<(State, Instant)>,
    steps: Vec<Played>,
}

/// A step: its flows, and its last state.
struct Played {
    flows: BTreeSet<Flow>,
    last: usize,
}

/// What a network does with the flows of a scenario: a map for each step, and a last one for after everything was deleted.
pub type Prediction = Vec<BTreeMap<(String, Family), Seen>>;

/// What would be seen of a flow in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// While the step is young.
    pub first: Fate,
    /// Once the network has done all that it will do.
    pub settled: Fate,
}

impl<'a> Script<'a> {
    /// Plays a scenario. `fault` is the network's fault: it decides how soon an address is used again.
    ///
    /// Fails if the API server would reject a policy, or if the local cluster does not know its kind.
    pub fn of(scenario: &'a Scenario, stage: &Stage, fault: Option<Fault>) -> Result<Self, Refused> {
        let mut api = Api::deployed(&scenario.topology, &stage.placed, stage.nodes, fault);
        let mut now = Instant::now();
        let mut states = vec![(api.state(), now)];
        let mut steps = Vec::new();
        let mut undo = Vec::new();
        for step in &scenario.steps {
            now += LONG;
            for change in &step.changes {
                if let Change::Apply(manifest) = change {
                    undo.retain(|object| *object != manifest.object);
                    undo.push(manifest.object.clone());
                }
                states.extend(api.change(change)?.into_iter().map(|state| (state, now)));
            }
            let flows = step.expectations.iter().map(|expected| expected.flow.clone()).collect();
            steps.push(Played { flows, last: states.len() - 1 });
        }
        // In the end everything is deleted, the newest object first. Only denied flows are tried then, so labels do not matter.
        now += LONG;
        for object in undo.into_iter().rev() {
            states.extend(api.change(&Change::Delete(object))?.into_iter().map(|state| (state, now)));
        }
        let flows = steps.iter().flat_map(|step: &Played| step.flows.clone()).collect();
        steps.push(Played { flows, last: states.len() - 1 });
        Ok(Self { scenario, states, steps })
    }

    /// What a network with this fault, or without one, does with the flows.
    #[must_use]
    pub fn predict(&self, suspect: Option<Suspect>) -> Prediction {
        let mut right = Engine::new(None);
        let mut faulty = Engine::new(suspect.map(|suspect| suspect.fault));
        let node = suspect.and_then(|suspect| match suspect.place {
            Place::Node(number) => Some(number),
            _ => None,
        });
        let (by_time, late) = suspect.map_or((false, false), |suspect| (suspect.fades(), suspect.is_late()));
        let mut enforce = |state: &State, now: Instant| -> (Rules, Rules) {
            let (rules, wrong) = (right.enforce(state, now), faulty.enforce(state, now));
            let wrong = match node {
                Some(number) => rules.clone().with_node(number, wrong),
                None => wrong,
            };
            (rules, wrong)
        };
        let mut prediction = Vec::new();
        let (state, now) = &self.states[0];
        let mut rules = enforce(state, *now);
        let mut next = 1;
        for step in &self.steps {
            let before = rules.clone();
            while next <= step.last {
                let (state, now) = &self.states[next];
                rules = enforce(state, *now);
                next += 1;
            }
            let (state, now) = &self.states[step.last];
            let first = if late { before } else { rules.clone() };
            if by_time {
                rules = enforce(state, *now + LONG / 2);
            }
            prediction.push(self.seen(step, state, &first, &rules, suspect));
        }
        prediction
    }

    fn seen(
        &self,
        step: &Played,
        state: &State,
        first: &(Rules, Rules),
        settled: &(Rules, Rules),
        suspect: Option<Suspect>,
    ) -> BTreeMap<(String, Family), Seen> {
        let mut seen = BTreeMap::new();
        for flow in &step.flows {
            for family in &self.scenario.families {
                let there = suspect.is_none_or(|suspect| is_at(state, flow, *family, suspect.place));
                let fate = |rules: &(Rules, Rules)| {
                    state.follow(if there { &rules.1 } else { &rules.0 }, flow, *family)
                };
                if let (Some(first), Some(settled)) = (fate(first), fate(settled)) {
                    seen.insert((flow.to_string(), *family), Seen { first, settled });
                }
            }
        }
        seen
    }
}

/// Whether a flow goes where a fault is.
fn is_at(state: &State, flow: &Flow, family: Family, place: Place) -> bool {
    let target = match &flow.target {
        Target::Workload(workload) | Target::NodeOf(workload) => state.node(workload),
        _ => None,
    };
    let same_node = target.map(|target| state.node(&flow.source) == Some(target));
    match place {
        Place::Everywhere | Place::AcrossScenarios | Place::Node(_) => true,
        Place::WithinNodes => same_node == Some(true),
        Place::BetweenNodes => same_node == Some(false),
        Place::Only(only) => family == only,
        Place::ThroughServices => matches!(flow.target, Target::Service(_) | Target::ClusterDns),
    }
}
