//! Which scenarios share a lane, and in which order they are played on it.

use super::share;
use crate::scenario::{Change, Scenario, Topology};
use std::cmp::Reverse;

/// What a step of a scenario costs; the unit is the start of one pod.
const STEP: usize = 3;

/// What a deployment costs in addition to its pods.
const DEPLOYMENT: usize = 4 * STEP;

/// Most pods of a deployment that scenarios with different topologies share. All of them exist as long as one of the scenarios is
/// played, and all must be up before the first one begins.
pub const MOST_PODS: usize = 16;

/// What a schedule must respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lanes side by side.
    pub jobs: usize,
    /// Fewest scenarios with a common deployment that are worth another lane.
    pub lane_share: usize,
    /// How many scenarios, counted from the first, are played before the others and in their order. Their lanes have no scenarios
    /// with another topology.
    pub urgent: usize,
}

/// Scenarios whose topologies can be deployed together.
struct Group {
    topology: Topology,
    members: Vec<usize>,
    urgent: bool,
}

/// A lane that scenarios are dealt to.
#[derive(Default)]
struct Dealt {
    members: Vec<usize>,
    topology: Option<Topology>,
    pods: usize,
    /// The cost of its scenarios.
    work: usize,
    /// How many of them change labels.
    relabelling: usize,
}

/// Returns the indexes of the scenarios, lane by lane. Urgent lanes come first, then the longest, so that no long lane is left
/// for the end, when all others have finished. `fits` says whether the nodes have room for a topology.
#[must_use]
pub fn lanes(scenarios: &[Scenario], limits: Limits, fits: impl Fn(&Topology) -> bool) -> Vec<Vec<usize>> {
    let groups = groups(scenarios, limits, fits);
    let jobs = limits.jobs.max(1);
    let all: usize = scenarios.iter().map(cost).sum();
    // The work of each job if all of them do the same, without its deployment.
    let share = ((all + DEPLOYMENT * jobs.max(groups.len())) / jobs).saturating_sub(DEPLOYMENT).max(1);
    let mut lanes = Vec::new();
    for group in groups {
        let work: usize = group.members.iter().map(|index| cost(&scenarios[*index])).sum();
        let worth = group.members.len() / limits.lane_share.max(1);
        // Rounded to the nearest number: a little more work on a lane costs less than another deployment.
        lanes.extend(dealt(scenarios, group.members, ((work + share / 2) / share).min(worth).max(1)));
    }
    let first = |members: &[usize]| members.iter().min().filter(|index| **index < limits.urgent).copied();
    lanes.sort_by_key(|lane| (first(&lane.members).unwrap_or(usize::MAX), Reverse(lane.work + lane.pods)));
    lanes.into_iter().map(|lane| lane.members).collect()
}

/// What has to be deployed for the next scenarios of a lane: everything that is needed until the lane cannot be used again.
///
/// `None` if there are no more scenarios.
#[must_use]
pub fn deployment(scenarios: &[Scenario], next: &[usize]) -> Option<Topology> {
    let (first, rest) = next.split_first()?;
    let mut topology = scenarios[*first].topology.clone();
    if scenarios[*first].relabels() {
        return Some(topology);
    }
    for index in rest {
        match share::union(&topology, &scenarios[*index].topology) {
            Ok(both) => topology = both,
            Err(_) => break,
        }
        if scenarios[*index].relabels() {
            break;
        }
    }
    Some(topology)
}

/// Groups of scenarios that have pods in common and do not contradict each other. Topologies without a common pod are cheaper
/// apart: together they would have as many pods, and keep them for longer.
fn groups(scenarios: &[Scenario], limits: Limits, fits: impl Fn(&Topology) -> bool) -> Vec<Group> {
    let mut equal: Vec<Group> = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        match equal.iter_mut().find(|group| group.topology == scenario.topology) {
            Some(group) => group.members.push(index),
            None => equal.push(Group {
                topology: scenario.topology.clone(),
                members: vec![index],
                urgent: index < limits.urgent,
            }),
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for group in equal {
        let joins = |known: &Group| {
            let both = share::union(&known.topology, &group.topology).ok()?;
            let pods = both.workloads.len();
            let common = known.topology.workloads.len() + group.topology.workloads.len() > pods;
            let alone = known.urgent || group.urgent;
            (common && !alone && pods <= MOST_PODS && fits(&both)).then_some(both)
        };
        match groups.iter_mut().find_map(|known| Some((joins(known)?, known))) {
            Some((both, known)) => {
                known.topology = both;
                known.members.extend(group.members);
            }
            None => groups.push(group),
        }
    }
    groups
}

/// Deals the scenarios of a group to this many lanes of about the same cost, with as few pods as that allows.
fn dealt(scenarios: &[Scenario], mut members: Vec<usize>, lanes: usize) -> Vec<Dealt> {
    let work: usize = members.iter().map(|index| cost(&scenarios[*index])).sum();
    let fair = work.div_ceil(lanes);
    let mut lanes: Vec<Dealt> = std::iter::repeat_with(Dealt::default).take(lanes).collect();
    members.sort_by_key(|index| {
        let scenario = &scenarios[*index];
        (Reverse(cost(scenario)), Reverse(scenario.topology.workloads.len()), *index)
    });
    for index in members {
        let scenario = &scenarios[index];
        let price = |lane: &Dealt| {
            // A lane is not used again after labels were changed, so each lane gets as few such scenarios as possible.
            let renewed = if scenario.relabels() { lane.relabelling } else { 0 };
            let too_much = (lane.work + cost(scenario)).saturating_sub(fair);
            (renewed, too_much, more_pods(lane, &scenario.topology), lane.work)
        };
        if let Some(lane) = lanes.iter_mut().min_by_key(|lane| price(lane)) {
            lane.pods += more_pods(lane, &scenario.topology);
            lane.work += cost(scenario);
            lane.relabelling += usize::from(scenario.relabels());
            lane.members.push(index);
            lane.topology = match lane.topology.take() {
                Some(known) => share::union(&known, &scenario.topology).ok(),
                None => Some(scenario.topology.clone()),
            };
        }
    }
    for lane in &mut lanes {
        lane.members.sort_by_key(|index| (scenarios[*index].relabels(), *index));
    }
    lanes
}

/// How many more pods a lane needs to play scenarios of this topology as well.
fn more_pods(lane: &Dealt, topology: &Topology) -> usize {
    let known =
        |workload: &_| lane.topology.as_ref().is_some_and(|known| known.workloads.contains_key(workload));
    topology.workloads.keys().filter(|workload| !known(workload)).count()
}

/// About how long a scenario takes. Control and restoration together count as a step, and so does each restart of a pod.
fn cost(scenario: &Scenario) -> usize {
    let changes = scenario.steps.iter().flat_map(|step| &step.changes);
    let restarts = changes.filter(|change| matches!(change, Change::Restart(_))).count();
    let steps = 1 + scenario.steps.len() + restarts;
    steps * STEP + if scenario.relabels() { DEPLOYMENT } else { 0 }
}

#[cfg(test)]
mod tests;
