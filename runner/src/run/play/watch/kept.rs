//! Connections that are kept open during a watch: what becomes of them when the network changes under them.
//!
//! Each attempt of a flow is a connection of its own. In addition, one long-lived connection is kept for each pair of pods,
//! protocol and family that may talk. The API does not say that it survives anything, so it is reported and not judged.

use super::{Followed, follow, go_over, told};
use crate::run::lane::Lane;
use flowproof_core::{
    evidence::time::Moment,
    outcome::WatchedFlow,
    scenario::{
        flow::{Expectation, Family, Flow, Target},
        name::Workload,
    },
    trial::{
        book::Key,
        chronicle::{Chronicle, episodes_each},
    },
};
use flowproof_wire::Transport;
use std::{collections::BTreeSet, time::Duration};

/// The most connections that one lane keeps.
const MOST: usize = 200;

/// The kept connections of a watch.
pub(super) struct Kept(Vec<Line>);

struct Line {
    flow: Flow,
    at: String,
    family: Family,
    key: Key,
    chronicle: Chronicle,
}

impl Kept {
    /// Chooses the connections to keep for these flows. `scenarios` is the number of watched scenarios, which share a limit of episodes.
    pub(super) fn of(
        lane: &mut Lane,
        followed: &[Followed<'_>],
        (from, interval): (Moment, Duration),
        scenarios: usize,
    ) -> Self {
        let mut pairs = BTreeSet::new();
        let mut chosen: Vec<(Flow, String, Family)> = Vec::new();
        for one in followed.iter().filter(|one| can_be_kept(one)) {
            let flow = &one.expected.flow;
            if pairs.insert((&flow.source, &flow.target, flow.transport, one.family)) && chosen.len() < MOST {
                let kept = Flow { established: true, ..flow.clone() };
                chosen.push((kept, one.expected.at.to_string(), one.family));
            }
        }
        let most = episodes_each(chosen.len() * scenarios);
        let around = lane.surroundings();
        let mut keep = |(flow, at, family): (Flow, String, Family)| {
            let key = lane.track(&flow, &[family].into(), &around).pop()?;
            lane.book_mut().reopen(key);
            let chronicle = Chronicle::new(Expectation::Allow, interval, from, most).of_one_connection();
            Some(Line { flow, at, family, key, chronicle })
        };
        Self(chosen.into_iter().filter_map(&mut keep).collect())
    }

    /// The keys of what their probers have to try.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.0.iter().map(|line| line.key)
    }

    /// Takes in what is judged by now.
    pub(super) fn follow(&mut self, lane: &mut Lane, until: Moment) {
        for line in &mut self.0 {
            follow(lane, (&line.flow, line.key), &mut line.chronicle, until);
        }
    }

    /// Plans those again that lead to or from these workloads, which now have other pods.
    pub(super) fn take_up(&mut self, lane: &mut Lane, changed: &[&Workload]) {
        let around = lane.surroundings();
        for line in self.0.iter_mut().filter(|line| touches(&line.flow, changed)) {
            if let Some(key) = lane.track(&line.flow, &[line.family].into(), &around).pop() {
                lane.book_mut().reopen(key);
                go_over(lane, &line.flow, (&mut line.key, &mut line.chronicle), key);
            }
        }
    }

    /// What became of them.
    pub(super) fn told(self, lane: &mut Lane, until: Moment) -> Vec<WatchedFlow> {
        let told = |Line { flow, at, family, key, chronicle }: Line| {
            told(lane, (&flow, family, key), (Expectation::Allow, at), chronicle, until)
        };
        self.0.into_iter().map(told).collect()
    }
}

/// Whether a flow leads to or from one of these workloads.
pub(super) fn touches(flow: &Flow, changed: &[&Workload]) -> bool {
    changed.contains(&&flow.source) || matches!(&flow.target, Target::Workload(to) if changed.contains(&to))
}

/// Only a prober answers a connection more than once.
fn can_be_kept(one: &Followed<'_>) -> bool {
    let flow = &one.expected.flow;
    one.expectation == Expectation::Allow
        && !flow.established
        && matches!(flow.target, Target::Workload(_) | Target::Service(_))
        && matches!(flow.transport, Transport::Tcp | Transport::Udp)
}
