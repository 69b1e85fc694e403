//! What this prober remembers: spans of its own attempts and of arrivals, each with the revision of its last change.
//!
//! Pure: no sockets, no clock. Memory is bounded by [`MAX_SPANS`] per flow and end and by [`MAX_ARRIVAL_FLOWS`].

mod arrival;
mod order;
mod source;

pub(crate) use order::Window;

use arrival::ArrivalSpans;
use flowproof_wire::{ArrivalSpan, Attempt, FlowId, MAX_SPANS, Observation, Revision, SourceSpan};
use source::SourceSpans;
use std::{collections::BTreeMap, net::SocketAddr};

/// The most flows whose arrivals are remembered; further ones count as dropped spans.
const MAX_ARRIVAL_FLOWS: usize = 65_536;

/// How one attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) started_us: u64,
    pub(crate) took_us: u64,
    pub(crate) continuity: Continuity,
    pub(crate) observation: Observation,
}

/// Whether an attempt carries on from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It came one interval after the previous attempt.
    Steady,
    /// Trying was resumed or changed before it. It starts a span, so that no span covers a time without attempts.
    Resumed,
}

/// A nonce of this run that arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) flow: FlowId,
    pub(crate) attempt: Attempt,
    pub(crate) at_us: u64,
    pub(crate) peer: SocketAddr,
}

/// The revisions of a record.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// The latest change.
    revision: Revision,
    /// The runner has everything up to this one.
    acknowledged: Revision,
}

/// A span and the revision at which it last changed.
#[derive(Debug)]
struct Kept<T> {
    span: T,
    revision: Revision,
}

/// Everything that changed after a revision, or the oldest part of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// All changes up to this revision are included.
    pub(crate) revision: Revision,
    pub(crate) completeness: Completeness,
    pub(crate) source: Vec<SourceSpan>,
    pub(crate) arrivals: Vec<ArrivalSpan>,
}

/// Whether all changes are included.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    #[default]
    Complete,
    /// There are newer ones.
    Partial,
}

/// The record of one run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    progress: Progress,
    source: BTreeMap<FlowId, SourceSpans>,
    arrivals: BTreeMap<FlowId, ArrivalSpans>,
    dropped: u64,
}

impl Record {
    /// Forgets all spans. Revisions continue, so that none is used twice.
    pub(crate) fn forget(&mut self) {
        let revision = self.progress.revision;
        *self = Self { progress: Progress { revision, acknowledged: revision }, ..Self::default() };
    }

    /// Adds the outcome of an attempt; attempts of a flow must come in order.
    pub(crate) fn attempted(&mut self, flow: FlowId, attempt: Attempt, outcome: Outcome) {
        self.progress.revision.0 += 1;
        let spans = self.source.entry(flow).or_default();
        self.dropped += spans.add(flow, attempt, outcome, self.progress);
    }

    /// Adds an arrival; they may come in any order and more than once.
    pub(crate) fn arrived(&mut self, arrival: &Arrival) {
        if self.arrivals.len() >= MAX_ARRIVAL_FLOWS && !self.arrivals.contains_key(&arrival.flow) {
            self.dropped += 1;
            return;
        }
        self.progress.revision.0 += 1;
        let spans = self.arrivals.entry(arrival.flow).or_default();
        self.dropped += spans.add(arrival, self.progress);
    }

    /// Records that the runner has everything up to `have`, and forgets what can no longer change.
    pub(crate) fn acknowledge(&mut self, have: Revision) {
        if have <= self.progress.acknowledged || have > self.progress.revision {
            return;
        }
        self.progress.acknowledged = have;
        self.source.values_mut().for_each(|spans| spans.acknowledge(have));
        self.arrivals.values_mut().for_each(|spans| spans.acknowledge(have));
    }

    /// Collects what changed after `since`, at most `limit` spans: the ones that changed first.
    pub(crate) fn changes(&self, since: Revision, limit: usize) -> Changes {
        let mut changes = Changes { revision: self.progress.revision, ..Changes::default() };
        let count = self.source.values().map(|spans| spans.changed(since).count()).sum::<usize>()
            + self.arrivals.values().map(|spans| spans.changed(since).count()).sum::<usize>();
        if count > limit {
            // Every change has a revision of its own, so the limit-th smallest one separates them exactly.
            let source =
                self.source.values().flat_map(|spans| spans.changed(since)).map(|kept| kept.revision);
            let arrivals =
                self.arrivals.values().flat_map(|spans| spans.changed(since)).map(|kept| kept.revision);
            let mut revisions: Vec<_> = source.chain(arrivals).collect();
            changes.revision = *revisions.select_nth_unstable(limit.saturating_sub(1)).1;
            changes.completeness = Completeness::Partial;
        }
        let upto = changes.revision;
        for spans in self.source.values() {
            let spans = spans.changed(since).filter(|kept| kept.revision <= upto);
            changes.source.extend(spans.map(|kept| kept.span.clone()));
        }
        for spans in self.arrivals.values() {
            let spans = spans.changed(since).filter(|kept| kept.revision <= upto);
            changes.arrivals.extend(spans.map(|kept| kept.span.clone()));
        }
        changes
    }

    /// Returns how many spans were dropped before the runner had them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the revision to start from for a runner that says it has everything up to `have`: zero if that is impossible.
    pub(crate) fn known(&self, have: Revision) -> Revision {
        if have > self.progress.revision { Revision(0) } else { have }
    }
}

#[cfg(test)]
mod tests;
