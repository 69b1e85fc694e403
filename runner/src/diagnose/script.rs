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
    sync::OnceLock,
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
    /// The rules of a network without a fault, once they were asked for.
    right: OnceLock<Vec<InForce>>,
}

/// The rules of all nodes in a step.
struct InForce {
    /// While it is young.
    young: Rules,
    /// Once the network has done all that it will do.
    settled: Rules,
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
        Ok(Self { scenario, states, steps, right: OnceLock::new() })
    }

    /// What a network with this fault, or without one, does with the flows.
    #[must_use]
    pub fn predict(&self, suspect: Option<Suspect>) -> Prediction {
        let wrong = suspect.map(|suspect| self.wrong(suspect));
        let rules = wrong.as_deref().unwrap_or_else(|| self.right());
        (0..self.steps.len()).map(|step| self.seen(step, rules, suspect)).collect()
    }

    /// The rules of a network without a fault, as [`in_force`](Self::in_force) lists them.
    fn right(&self) -> &[InForce] {
        self.right.get_or_init(|| self.in_force(None))
    }

    /// The rules of a network with a suspect's fault: on all nodes, or on the suspect's.
    fn wrong(&self, suspect: Suspect) -> Vec<InForce> {
        let everywhere = self.in_force(Some(suspect));
        match suspect.place {
            Place::Node(number) => {
                let nodes = self.right().iter().zip(everywhere);
                nodes.map(|(right, wrong)| right.with_node(number, wrong)).collect()
            }
            _ => everywhere,
        }
    }

    /// The rules of all nodes after the deployment, and then in each step, if all have the suspect's fault, or if none has one.
    fn in_force(&self, suspect: Option<Suspect>) -> Vec<InForce> {
        let mut engine = Engine::new(suspect.map(|suspect| suspect.fault));
        let (deployed, now) = &self.states[0];
        let mut rules = engine.enforce(deployed, *now);
        let mut all = vec![InForce { young: rules.clone(), settled: rules.clone() }];
        let mut next = 1;
        for step in &self.steps {
            let (last, now) = &self.states[step.last];
            if next <= step.last {
                // No flow is tried in the states between, but some faults remember them.
                for (state, now) in &self.states[next..step.last] {
                    engine.notice(state, *now);
                }
                rules = engine.enforce(last, *now);
                next = step.last + 1;
            }
            let young = rules.clone();
            if suspect.is_some_and(Suspect::fades) {
                rules = engine.enforce(last, *now + LONG / 2);
            }
            all.push(InForce { young, settled: rules.clone() });
        }
        all
    }

    /// What would be seen of the flows of a step with these rules, which hold where the suspect is.
    fn seen(
        &self,
        number: usize,
        rules: &[InForce],
        suspect: Option<Suspect>,
    ) -> BTreeMap<(String, Family), Seen> {
        let step = &self.steps[number];
        let (state, _) = &self.states[step.last];
        let late = suspect.is_some_and(Suspect::is_late);
        let mut seen = BTreeMap::new();
        for flow in &step.flows {
            for family in &self.scenario.families {
                let there = suspect.is_none_or(|suspect| is_at(state, flow, *family, suspect.place));
                let rules = if there { rules } else { self.right() };
                let (before, now) = (&rules[number], &rules[number + 1]);
                let first = if late { &before.settled } else { &now.young };
                let fate = |rules: &Rules| state.follow(rules, flow, *family);
                if let (Some(first), Some(settled)) = (fate(first), fate(&now.settled)) {
                    seen.insert((flow.to_string(), *family), Seen { first, settled });
                }
            }
        }
        seen
    }
}

impl InForce {
    /// These rules, except on one node, which has those of another network.
    fn with_node(&self, number: u8, other: Self) -> Self {
        Self {
            young: self.young.clone().with_node(number, other.young),
            settled: self.settled.clone().with_node(number, other.settled),
        }
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
