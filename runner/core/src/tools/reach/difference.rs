//! What changes from one map to another, port by port, and because of which rules.

use super::{
    Line, Reach, WORLD,
    ports::Ports,
    why::{Asker, Why},
};
use crate::{policy::Network, scenario::flow::Family, snapshot::Snapshot};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a change opens and closes, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Allowed after it and not before.
    pub opens: Vec<Change>,
    /// Allowed before it and not after.
    pub closes: Vec<Change>,
}

/// One line that opens or closes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which connection on which port.
    #[serde(serialize_with = "as_text")]
    pub line: Line,
    /// What decided it before; `None` if only the map is known and not its policies.
    pub before: Option<Why>,
    /// What decides it after, likewise.
    pub after: Option<Why>,
}

fn as_text<S: serde::Serializer>(line: &Line, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(line)
}

impl Reach {
    /// What changes from this map to a later one.
    ///
    /// If only one of the maps names a port, the other map's answer is that for all its other ports. If only one names a block of
    /// addresses, the other map's answer is that for the narrowest block around it, or for the world.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Difference {
        let (before, after) = (Known::of(self), Known::of(after));
        let mut difference = Difference::default();
        for (from, to) in before
            .pairs()
            .chain(after.pairs())
            .chain(blocks_and_others(&before, &after))
            .collect::<BTreeSet<_>>()
        {
            let families = families_of(&[from, to]);
            let [old, new] = [&before, &after].map(|known| known.ports(from, to));
            let changes = |lines: Vec<Line>| {
                lines.into_iter().map(|line| Change { line, before: None, after: None }).collect::<Vec<_>>()
            };
            difference.opens.extend(changes(new.lines_without(&old, &families, [from, to])));
            difference.closes.extend(changes(old.lines_without(&new, &families, [from, to])));
        }
        for changes in [&mut difference.opens, &mut difference.closes] {
            changes.sort_by(|one, two| one.line.cmp(&two.line));
        }
        difference
    }
}

impl Difference {
    /// Adds to each line what decides it, as far as the policies before and after are known.
    pub fn explain(&mut self, before: Option<&Snapshot>, after: Option<&Snapshot>) {
        let [before, after] = [before, after].map(|snapshot| snapshot.map(Asker::new));
        for change in self.opens.iter_mut().chain(&mut self.closes) {
            change.before = before.as_ref().map(|asker| asker.why(&change.line));
            change.after = after.as_ref().map(|asker| asker.why(&change.line));
        }
    }
}

/// A map in which pairs are looked up.
struct Known<'r> {
    ends: BTreeSet<&'r str>,
    blocks: Vec<(&'r str, Network)>,
    ports: BTreeMap<(&'r str, &'r str), Ports>,
}

impl<'r> Known<'r> {
    fn of(reach: &'r Reach) -> Self {
        let ends: BTreeSet<&str> = reach.ends.iter().map(String::as_str).collect();
        let ports = reach
            .connections
            .iter()
            .map(|known| ((known.from.as_str(), known.to.as_str()), Ports::of(&known.ports)));
        let ports = ports.collect();
        let blocks = ends.iter().filter_map(|end| Some((*end, end.parse().ok()?))).collect();
        Self { ends, blocks, ports }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'r str, &'r str)> {
        self.ports.keys().copied()
    }

    fn ports(&self, from: &str, to: &str) -> Ports {
        let pair = self.meant(from).zip(self.meant(to));
        pair.and_then(|pair| self.ports.get(&pair)).cloned().unwrap_or_default()
    }

    /// The end of this map that an end of the other one is part of.
    fn meant(&self, end: &str) -> Option<&'r str> {
        if let Some(same) = self.ends.get(end) {
            return Some(same);
        }
        let block: Network = end.parse().ok()?;
        let around = self.blocks.iter().filter(|(_, other)| other.is_strictly_wider_than(block));
        let narrowest = around.min_by_key(|(_, other)| other.host_bits());
        narrowest.map(|(name, _)| *name).or_else(|| self.ends.get(WORLD).copied())
    }
}

/// Every pair of a workload and a block that only one of the maps has.
fn blocks_and_others<'r>(before: &Known<'r>, after: &Known<'r>) -> impl Iterator<Item = (&'r str, &'r str)> {
    let blocks = before.blocks.iter().chain(&after.blocks).map(|(name, _)| *name);
    let lonely: BTreeSet<&str> =
        blocks.filter(|name| !(before.ends.contains(name) && after.ends.contains(name))).collect();
    let ends = before.ends.union(&after.ends).copied().filter(|end| super::is_workload(end));
    let ends: Vec<&str> = ends.collect();
    lonely
        .into_iter()
        .flat_map(move |block| ends.clone().into_iter().flat_map(move |end| [(block, end), (end, block)]))
}

/// The families that all these ends have: a block has one.
fn families_of(ends: &[&str]) -> Vec<Family> {
    let mut families = vec![Family::V4, Family::V6];
    for block in ends.iter().filter_map(|end| end.parse::<Network>().ok()) {
        families.retain(|family| *family == Family::of(block.address()));
    }
    families
}
