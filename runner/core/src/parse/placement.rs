//! Placements that refer to each other in a circle: none of the workloads could be placed first.

use super::topology::Declared;
use crate::{
    scenario::{Placement, name::Qualified},
    text::problem::Problems,
};
use std::collections::BTreeSet;

/// Reports every circle once, at its first workload.
pub(super) fn check(declared: &Declared, problems: &mut Problems) {
    let mut in_circles: BTreeSet<&Qualified> = BTreeSet::new();
    for (name, at) in &declared.workloads {
        if let Some(circle) = circle(declared, name) {
            if in_circles.insert(name) {
                let others: Vec<String> = circle[1..].iter().map(ToString::to_string).collect();
                problems
                    .add(
                        at,
                        format!("the placement of {name} leads back to itself, over {}", others.join(", ")),
                    )
                    .hint("one workload of the circle must have a place of its own");
            }
            in_circles.extend(circle);
        }
    }
}

/// The workload to which the placement of another one refers.
fn reference<'a>(declared: &'a Declared, name: &Qualified) -> Option<&'a Qualified> {
    match &declared.topology.workloads.get(name)?.placement {
        Placement::SameAs(other) | Placement::OtherThan(other) => Some(other),
        Placement::Any | Placement::Node(_) => None,
    }
}

/// The workloads through which references lead from a workload back to itself, which comes first.
fn circle<'a>(declared: &'a Declared, start: &'a Qualified) -> Option<Vec<&'a Qualified>> {
    let mut way = vec![start];
    while let Some(next) = reference(declared, way.last()?) {
        if next == start {
            return Some(way);
        }
        // A circle further on, which does not lead back here.
        if way.contains(&next) {
            return None;
        }
        way.push(next);
    }
    None
}
