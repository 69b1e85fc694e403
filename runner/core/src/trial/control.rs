//! The controls: which flows work without the policies, so that a deny proves something.

use super::{
    book::{Book, Key, Window},
    limits::Limits,
};
use crate::{
    evidence::{record::Last, time::Moment},
    scenario::flow::{Family, Flow},
    verdict::Control,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How often a flow must be answered before the wait for it ends. One answer is enough for a control.
const ANSWERS: u64 = 2;

/// The flows of a scenario in the book, by family.
pub type Keys<'a> = BTreeMap<(&'a Flow, Family), Key>;

/// Which flows of a scenario were seen to work.
#[derive(Debug, Clone, Default)]
pub struct Controls<'a>(BTreeMap<(&'a Flow, Family), Control>);

/// Flows of a lane that were answered since everything was deleted there: they are the control for the next scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proven {
    flows: BTreeSet<(Flow, Family)>,
    /// Longest time that an answer took.
    slowest: Duration,
}

impl Proven {
    /// Reads them from what happened since a moment at which everything had been deleted.
    #[must_use]
    pub fn read(book: &Book, keys: &Keys<'_>, deleted: Moment) -> Self {
        let window = Window { from: deleted, to: Last::StartedBy(Moment::END) };
        let worked = keys.iter().filter(|(_, key)| book.worked(**key, window, 1));
        let flows = worked.map(|((flow, family), _)| ((*flow).clone(), *family)).collect();
        Self { flows, slowest: slowest_answer(book, keys).unwrap_or_default() }
    }

    /// The flows about which nothing is known yet.
    #[must_use]
    pub fn others<'a>(&self, keys: &Keys<'a>) -> Keys<'a> {
        let unknown = |(flow, family): &(&Flow, Family)| !self.flows.contains(&((*flow).clone(), *family));
        keys.iter().filter(|(flow, _)| unknown(flow)).map(|(flow, key)| (*flow, *key)).collect()
    }

    /// Longest time that an answer took, over these flows and those of the record.
    #[must_use]
    pub fn slowest_with(&self, book: &Book, keys: &Keys<'_>) -> Option<Duration> {
        let here = (!self.flows.is_empty()).then_some(self.slowest);
        here.max(slowest_answer(book, keys))
    }
}

/// The wait for the flows of a scenario to work before any policy exists.
#[derive(Debug)]
pub struct Trying {
    begun: Moment,
    working: usize,
    /// When one more flow was last seen to work.
    progress: Moment,
}

/// How far the controls have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// This many flows work; go on waiting.
    Wait(usize),
    /// This many flows work, and the others had their time.
    Done(usize),
}

impl Trying {
    /// Begins to wait.
    #[must_use]
    pub fn new(begun: Moment) -> Self {
        Self { begun, working: 0, progress: begun }
    }

    /// Looks at all flows. Done if all were answered; if the time to settle is over, and no further flow began to work for a
    /// third of it; or if the patience is over.
    pub fn look(&mut self, now: Moment, book: &Book, keys: &Keys<'_>, limits: &Limits) -> Stand {
        let window = Window { from: self.begun, to: Last::StartedBy(Moment::END) };
        let working = keys.values().filter(|key| book.worked(**key, window, ANSWERS)).count();
        if working > self.working {
            (self.working, self.progress) = (working, now);
        }
        let waited = now.since(self.begun);
        let stuck = now.since(self.progress) > limits.settle / 3 && waited > limits.settle;
        if working == keys.len() || stuck || waited > limits.patience.max(limits.settle) {
            Stand::Done(working)
        } else {
            Stand::Wait(working)
        }
    }
}

impl<'a> Controls<'a> {
    /// Reads them from what happened since a moment. Flows that were proven before need no other answer.
    #[must_use]
    pub fn read(book: &Book, keys: &Keys<'a>, from: Moment, proven: &Proven) -> Self {
        let window = Window { from, to: Last::StartedBy(Moment::END) };
        let others = proven.others(keys);
        let control = |(flow, key): (&(&'a Flow, Family), &Key)| {
            let works = !others.contains_key(flow) || book.worked(*key, window, 1);
            (*flow, if works { Control::Works } else { Control::NeverWorked })
        };
        Self(keys.iter().map(control).collect())
    }

    /// The control of a flow; one that was not tried counts as one that never worked.
    #[must_use]
    pub fn of(&self, flow: &Flow, family: Family) -> Control {
        self.0.get(&(flow, family)).copied().unwrap_or(Control::NeverWorked)
    }

    /// Whether a flow was tried without policies and did not work.
    #[must_use]
    pub fn never_worked(&self, flow: &Flow, family: Family) -> bool {
        self.0.get(&(flow, family)) == Some(&Control::NeverWorked)
    }
}

/// The longest time that an answer took, over all flows.
fn slowest_answer(book: &Book, keys: &Keys<'_>) -> Option<Duration> {
    keys.values().filter_map(|key| book.flow(*key).record.longest_answer()).max()
}

/// What replaces the control of a flow under policies that are never removed: each of its ends was seen to work with another one,
/// in this scenario and family. See `docs/decisions/0015-live-policies-have-two-half-controls.md`.
#[must_use]
pub fn live_control(book: &Book, keys: &Keys<'_>, key: Key, from: Moment) -> Control {
    let this = &book.flow(key).planned;
    let window = Window { from, to: Last::StartedBy(Moment::END) };
    let mut others = keys.values().filter(|other| book.flow(**other).planned.family == this.family);
    let target_reached = |other: &&Key| {
        let other_flow = &book.flow(**other).planned;
        other_flow.to == this.to
            && other_flow.flow.transport == this.flow.transport
            && other_flow.flow.source != this.flow.source
            && book.worked(**other, window, 1)
    };
    let source_works = |other: &&Key| {
        let other_flow = &book.flow(**other).planned;
        other_flow.flow.source == this.flow.source
            && other_flow.to.ip() != this.to.ip()
            && book.worked(**other, window, 1)
    };
    if !others.clone().any(|other| target_reached(&other)) {
        Control::TargetUnseen
    } else if others.any(|other| source_works(&other)) {
        Control::EndsWork
    } else {
        Control::SourceUnseen
    }
}
