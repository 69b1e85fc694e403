//! Joins equal lines: those of a whole namespace, of all workloads, of everybody.

use super::{Picture, Tone};
use std::collections::{BTreeMap, BTreeSet};

/// Fewest workloads that make a group whose lines are joined.
const LEAST: usize = 3;

/// Where a line begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Seat {
    /// An end, by its index.
    End(usize),
    /// The frame of a namespace, by its index.
    Group(usize),
}

/// Ports at a destination, and all lines that lead to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Seat,
    pub(super) ports: String,
    pub(super) tone: Tone,
    /// Those that are not drawn as a line: `anybody`.
    pub(super) who: Vec<&'static str>,
    /// Where lines begin.
    pub(super) lines: Vec<Seat>,
    /// All ends that come here, drawn or not.
    pub(super) from: BTreeSet<usize>,
    /// All ends that it leads to.
    pub(super) to: BTreeSet<usize>,
}

/// Names of namespaces and their workloads.
pub(super) type Groups<'p> = Vec<(&'p str, Vec<usize>)>;

pub(super) fn groups(picture: &Picture) -> Groups<'_> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for end in 0..picture.ends.len() {
        if let Some(namespace) = picture.namespace(end) {
            groups.entry(namespace).or_default().push(end);
        }
    }
    groups.into_iter().collect()
}

/// All rows, by where they are.
pub(super) fn rows(picture: &Picture, groups: &Groups<'_>) -> Vec<Row> {
    type Key<'p> = (&'p str, Tone);
    let mut by_pair: BTreeMap<(usize, usize), Key<'_>> = picture
        .arrows
        .iter()
        .filter(|arrow| arrow.from != arrow.to)
        .map(|arrow| ((arrow.from, arrow.to), (arrow.ports.as_str(), arrow.tone)))
        .collect();
    let mut sources: BTreeMap<(Seat, Key<'_>), BTreeSet<usize>> = BTreeMap::new();
    for (group, (_, members)) in groups.iter().enumerate().filter(|(_, (_, members))| members.len() >= LEAST)
    {
        for from in 0..picture.ends.len() {
            let targets: Vec<usize> = members.iter().copied().filter(|to| *to != from).collect();
            let keys: BTreeSet<Option<Key<'_>>> =
                targets.iter().map(|to| by_pair.get(&(from, *to)).copied()).collect();
            let mut keys = keys.into_iter();
            if let (Some(Some(key)), None) = (keys.next(), keys.next()) {
                sources.entry((Seat::Group(group), key)).or_default().insert(from);
                for to in &targets {
                    by_pair.remove(&(from, *to));
                }
            }
        }
    }
    for ((from, to), key) in by_pair {
        sources.entry((Seat::End(to), key)).or_default().insert(from);
    }
    sources
        .into_iter()
        .map(|((at, (ports, tone)), from)| {
            let to = match at {
                Seat::End(end) => [end].into(),
                Seat::Group(group) => groups[group].1.iter().copied().collect(),
            };
            let (who, lines) = lines(picture, groups, at, &from);
            Row { at, ports: ports.to_owned(), tone, who, lines, from, to }
        })
        .collect()
}

fn lines(
    picture: &Picture,
    groups: &Groups<'_>,
    at: Seat,
    from: &BTreeSet<usize>,
) -> (Vec<&'static str>, Vec<Seat>) {
    let itself = |end: usize| at == Seat::End(end);
    let has_all =
        |mut ends: Box<dyn Iterator<Item = usize> + '_>| ends.all(|end| itself(end) || from.contains(&end));
    let all = 0..picture.ends.len();
    let workloads: BTreeSet<usize> = all.clone().filter(|end| picture.namespace(*end).is_some()).collect();
    if all.len() >= LEAST && has_all(Box::new(all)) {
        // In a map, nobody outside reaches anybody else outside.
        let outside = matches!(at, Seat::End(end) if picture.namespace(end).is_none());
        return (vec![if outside { "any workload" } else { "anybody" }], Vec::new());
    }
    let mut who = Vec::new();
    let mut left = from.clone();
    if workloads.len() >= LEAST && groups.len() > 1 && has_all(Box::new(workloads.iter().copied())) {
        who.push("any workload");
        left.retain(|end| !workloads.contains(end));
    }
    let mut lines = Vec::new();
    for (group, (_, members)) in groups.iter().enumerate() {
        let inside = match at {
            Seat::End(end) => members.contains(&end),
            Seat::Group(own) => own == group,
        };
        let others = members.iter().filter(|end| !itself(**end)).count();
        if others >= LEAST - 1 && members.iter().all(|end| itself(*end) || left.contains(end)) {
            if inside {
                who.push("its namespace");
            } else {
                lines.push(Seat::Group(group));
            }
            left.retain(|end| !members.contains(end));
        }
    }
    lines.extend(left.into_iter().map(Seat::End));
    (who, lines)
}
