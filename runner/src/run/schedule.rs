//! Which scenarios share a lane, and in which order they are played on it.

use super::{
    play::subject,
    settings::{Jobs, Settings},
};
use flowproof_core::{
    scenario::{Change, Scenario, Topology},
    trial::limits::Subject,
};
use std::cmp::Reverse;

/// For so many lanes the scenarios are dealt when their number follows the cluster.
const LANES_OF_AUTO: usize = 3;

/// What a deployment costs, in steps.
const DEPLOYMENT: usize = 4;

/// Indices of scenarios, lane by lane: each lane has one topology. After what is urgent the longest lane comes first, so that none
/// is left that keeps everybody waiting in the end.
pub fn lanes(scenarios: &[Scenario], settings: &Settings) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&Topology, Vec<usize>)> = Vec::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        match groups.iter_mut().find(|(topology, _)| **topology == scenario.topology) {
            Some((_, members)) => members.push(index),
            None => groups.push((&scenario.topology, vec![index])),
        }
    }
    let jobs = match settings.jobs {
        Jobs::Auto => LANES_OF_AUTO,
        Jobs::Fixed(jobs) => jobs.max(1),
    };
    let all: usize = scenarios.iter().map(cost).sum();
    // What one place has to do if all do the same, without its deployment.
    let share = ((all + DEPLOYMENT * jobs.max(groups.len())) / jobs).saturating_sub(DEPLOYMENT).max(1);
    let mut lanes = Vec::new();
    for (_, members) in groups {
        let work: usize = members.iter().map(|index| cost(&scenarios[*index])).sum();
        let worth = members.len() / settings.lane_share.max(1);
        // To the nearest: a place that has a little more to do costs less than another deployment.
        lanes.extend(dealt(scenarios, members, ((work + share / 2) / share).min(worth).max(1)));
    }
    let first = |members: &[usize]| members.iter().min().filter(|index| **index < settings.urgent).copied();
    lanes.sort_by_key(|(cost, members)| (first(members).unwrap_or(usize::MAX), Reverse(*cost)));
    lanes.into_iter().map(|(_, members)| members).collect()
}

/// Deals scenarios of one topology to this many lanes of about the same cost, which is told.
fn dealt(scenarios: &[Scenario], mut members: Vec<usize>, lanes: usize) -> Vec<(usize, Vec<usize>)> {
    let mut lanes = vec![(DEPLOYMENT, Vec::new()); lanes];
    members.sort_by_key(|index| Reverse(cost(&scenarios[*index])));
    for index in members {
        if let Some((load, lane)) = lanes.iter_mut().min_by_key(|(load, _)| *load) {
            *load += cost(&scenarios[index]);
            lane.push(index);
        }
    }
    for (_, lane) in &mut lanes {
        // After changed labels a lane is not used again.
        lane.sort_by_key(|index| (subject(&scenarios[*index]), *index));
    }
    lanes
}

/// About how long a scenario takes, in steps: its control and restoration are one, a pod that starts again takes longer.
fn cost(scenario: &Scenario) -> usize {
    let changes = scenario.steps.iter().flat_map(|step| &step.changes);
    let restarts = changes.filter(|change| matches!(change, Change::Restart(_))).count();
    1 + scenario.steps.len() + restarts + if subject(scenario) == Subject::Labels { DEPLOYMENT } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowproof_core::parse;
    use std::fmt::Write as _;

    /// A scenario of two pods in the namespace, with so many steps; its first one relabels a pod.
    fn scenario(namespace: &str, steps: usize, relabels: bool) -> Scenario {
        let mut text = format!(
            "scenario: s\nnamespaces: {{ {namespace}: }}\nworkloads: {{ {namespace}/a: , {namespace}/b: {{ listens: [tcp/1] }} }}\nsteps:\n"
        );
        for step in 0..steps {
            let change = match (relabels, step) {
                (true, 0) => format!("label: {{ {namespace}/a: {{ x: y }} }}, "),
                _ => String::new(),
            };
            let expect = format!("expect: {{ allow: [{namespace}/a -> {namespace}/b] }}");
            let _ = writeln!(text, "  - {{ step: s{step}, {change}{expect} }}");
        }
        parse::scenario("s.yaml", text.as_bytes(), &mut |_| Err("there is no file".to_owned()))
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }

    fn settings(jobs: usize) -> Settings {
        Settings { jobs: Jobs::Fixed(jobs), lane_share: 2, ..Settings::default() }
    }

    #[test]
    fn a_lane_has_one_topology_and_the_longest_comes_first() {
        let scenarios = [scenario("a", 1, false), scenario("b", 9, false), scenario("a", 1, false)];
        assert_eq!(lanes(&scenarios, &settings(1)), [vec![1], vec![0, 2]]);
    }

    #[test]
    fn what_is_urgent_comes_before_what_is_long() {
        let scenarios = ["a", "b", "c"].map(|namespace| scenario(namespace, 1, false));
        let scenarios = [&scenarios[..], &[scenario("d", 9, false)]].concat();
        let settings = Settings { urgent: 2, ..settings(4) };
        assert_eq!(lanes(&scenarios, &settings), [vec![0], vec![1], vec![3], vec![2]]);
    }

    #[test]
    fn lanes_of_one_topology_cost_about_the_same() {
        let scenarios = [5, 1, 1, 1, 1, 1].map(|steps| scenario("a", steps, false));
        assert_eq!(lanes(&scenarios, &settings(2)), [vec![0, 4], vec![1, 2, 3, 5]]);
    }

    #[test]
    fn few_scenarios_are_not_worth_a_lane_each() {
        let scenarios = [scenario("a", 1, false), scenario("a", 1, false)];
        assert_eq!(lanes(&scenarios, &settings(9)).len(), 1);
    }

    #[test]
    fn lanes_of_one_scenario_count_as_work_for_a_place() {
        let mut scenarios = vec![scenario("a", 1, false); 9];
        scenarios.extend(["b", "c", "d", "e"].map(|namespace| scenario(namespace, 1, false)));
        let first = (0..9).collect::<Vec<_>>();
        assert_eq!(lanes(&scenarios, &settings(2)), [first, vec![9], vec![10], vec![11], vec![12]]);
    }

    #[test]
    fn what_changes_labels_comes_last_on_a_lane_of_its_own_if_there_are_enough() {
        let mut scenarios = vec![scenario("a", 1, true), scenario("a", 1, true)];
        scenarios.extend((0..6).map(|_| scenario("a", 1, false)));
        let lanes = lanes(&scenarios, &settings(2));
        assert_eq!(lanes.len(), 2);
        let last: Vec<usize> = lanes.iter().filter_map(|lane| lane.last().copied()).collect();
        assert!(last.contains(&0) && last.contains(&1), "{lanes:?}");
    }
}
