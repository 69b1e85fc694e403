//! What is known about one flow: the spans of both ends, joined into segments of attempts that went the same way.

use super::time::Moment;
use flowproof_wire::{Attempt, Observation};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// How far apart the clocks of two probers may be after their offsets are corrected. An attempt counts as *not arrived* only if
/// its destination was heard from at least this much after the source had its outcome.
const CLOCK_SLACK: Duration = Duration::from_millis(10);

/// Everything that both ends reported about one flow. Adding the same span twice changes nothing.
#[derive(Debug, Clone, Default)]
pub struct FlowRecord {
    source: BTreeMap<Attempt, SourceRun>,
    arrivals: BTreeMap<(WitnessId, Attempt), ArrivalRun>,
}

/// Identifies one life of one prober as a destination: a restarted prober counts as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitnessId(pub u32);

/// What the destination saw of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// Its nonce arrived.
    Arrived,
    /// Its nonce did not arrive.
    NotArrived,
    /// No prober is there to report it (cluster DNS, a plain address): the source is the only witness.
    Absent,
}

/// A source span in the time of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRun {
    /// First attempt.
    pub first: Attempt,
    /// Last attempt, included.
    pub last: Attempt,
    /// Start of the first attempt.
    pub first_at: Moment,
    /// Start of the last attempt.
    pub last_at: Moment,
    /// Shortest time to the outcome.
    pub min: Duration,
    /// Longest time to the outcome.
    pub max: Duration,
    /// What the source saw.
    pub observation: Observation,
}

/// An arrival span in the time of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivalRun {
    /// Lowest attempt.
    pub first: Attempt,
    /// Highest attempt, included.
    pub last: Attempt,
    /// Arrival of the earliest.
    pub first_at: Moment,
    /// Arrival of the latest.
    pub last_at: Moment,
    /// Where the latest came from.
    pub peer: SocketAddr,
}

/// The end of a window of attempts.
///
/// The start of an attempt within a span is estimated from the span's ends. When the span grows, the estimate moves: an attempt
/// that was after a moment may then be before it. The number of an attempt never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// The last attempt that was started by this moment.
    StartedBy(Moment),
    /// This attempt.
    Attempt(Attempt),
}

/// Until when the destinations of a flow have been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The destination has no prober.
    NoWitness,
    /// All arrivals up to this moment are in the record.
    Until(Moment),
}

/// Consecutive attempts that looked the same to both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Number of attempts.
    pub attempts: u64,
    /// Start of the first.
    pub first_at: Moment,
    /// Start of the last.
    pub last_at: Moment,
    /// Number of the last.
    pub last: Attempt,
    /// What the source saw.
    pub observation: Observation,
    /// What the destination saw.
    pub witness: Witness,
}

impl FlowRecord {
    /// Takes in a span of the source; a longer version of a known one replaces it.
    pub fn source(&mut self, run: SourceRun) {
        self.source.insert(run.first, run);
    }

    /// Takes in a span of arrivals. Spans add up and never take anything back: a duplicate that comes late may be a short span
    /// with the same first attempt as a longer one.
    pub fn arrived(&mut self, witness: WitnessId, run: &ArrivalRun) {
        let known = self.arrivals.entry((witness, run.first)).or_insert_with(|| run.clone());
        if run.last_at >= known.last_at {
            known.peer = run.peer;
        }
        known.last = known.last.max(run.last);
        known.first_at = known.first_at.min(run.first_at);
        known.last_at = known.last_at.max(run.last_at);
    }

    /// The latest arrival's peer, as the destination saw it.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.arrivals.values().max_by_key(|run| run.last_at).map(|run| run.peer)
    }

    /// Longest time to an answer, over all answered attempts.
    #[must_use]
    pub fn longest_answer(&self) -> Option<Duration> {
        self.longest_answer_since(Moment(i64::MIN))
    }

    /// Longest time to an answer, over all spans of answered attempts that end at a moment or later.
    #[must_use]
    pub fn longest_answer_since(&self, since: Moment) -> Option<Duration> {
        self.answered().filter(|run| run.last_at >= since).map(|run| run.max).max()
    }

    /// Shortest time to an answer, over all answered attempts.
    #[must_use]
    pub fn shortest_answer(&self) -> Option<Duration> {
        self.answered().map(|run| run.min).min()
    }

    fn answered(&self) -> impl Iterator<Item = &SourceRun> {
        self.source.values().filter(|run| matches!(run.observation, Observation::Answered { .. }))
    }

    /// Forgets the attempts up to this one: nobody asks for them any more.
    pub fn forget(&mut self, upto: Attempt) {
        self.source.retain(|_, run| run.last > upto);
        self.arrivals.retain(|_, run| run.last > upto);
    }

    /// Like [`FlowRecord::segments`], but for the attempts after a given one; for all if none is given.
    #[must_use]
    pub fn segments_after(&self, cursor: Option<Attempt>, to: Last, heard: Heard) -> Vec<Segment> {
        self.joined(First::Behind(cursor), to, heard)
    }

    /// Joins both ends. Returns all decided attempts that were started at `from` or later, up to `to`, in order.
    ///
    /// An attempt that the source decided and the destination did not report is *not arrived* only once the destination was heard
    /// from after the outcome. Until then, neither it nor anything after it is decided.
    #[must_use]
    pub fn segments(&self, from: Moment, to: Last, heard: Heard) -> Vec<Segment> {
        self.joined(First::StartedFrom(from), to, heard)
    }

    fn joined(&self, from: First, to: Last, heard: Heard) -> Vec<Segment> {
        let arrived = self.arrived_ranges();
        let mut segments: Vec<Segment> = Vec::new();
        for run in self.source.values().filter(|run| run.reaches(from) && run.begins_by(to)) {
            for (first, last, witness) in split(run, &arrived, heard) {
                let Some((first, last)) = clip(run, first, last, from, to) else {
                    continue;
                };
                let last = match (witness, heard) {
                    (Witness::NotArrived, Heard::Until(until)) => match last_decided(run, first, last, until)
                    {
                        Some(last) => last,
                        None => return segments,
                    },
                    _ => last,
                };
                push(
                    &mut segments,
                    Segment {
                        attempts: u64::from(last - first) + 1,
                        first_at: run.at(first),
                        last_at: run.at(last),
                        last: Attempt(last),
                        observation: run.observation.clone(),
                        witness,
                    },
                );
            }
        }
        segments
    }

    /// The arrived attempts as sorted ranges that neither touch nor overlap, over all destinations.
    fn arrived_ranges(&self) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> =
            self.arrivals.values().map(|run| (run.first.0, run.last.0)).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        merged
    }
}

/// The start of a window of attempts.
#[derive(Debug, Clone, Copy)]
enum First {
    /// The first attempt that was started at this moment or later.
    StartedFrom(Moment),
    /// The attempt after this one; without one, the very first.
    Behind(Option<Attempt>),
}

impl SourceRun {
    fn reaches(&self, first: First) -> bool {
        match first {
            First::StartedFrom(moment) => self.last_at >= moment,
            First::Behind(cursor) => cursor.is_none_or(|cursor| self.last > cursor),
        }
    }

    fn begins_by(&self, last: Last) -> bool {
        match last {
            Last::StartedBy(moment) => self.first_at <= moment,
            Last::Attempt(attempt) => self.first <= attempt,
        }
    }

    /// When an attempt of this run was started: attempts of a flow are evenly spaced, so the ends of the run show it.
    fn at(&self, attempt: u32) -> Moment {
        let steps = i64::from(self.last.0 - self.first.0);
        if steps == 0 {
            return self.first_at;
        }
        let length = self.last_at.0 - self.first_at.0;
        Moment(self.first_at.0 + length * i64::from(attempt - self.first.0) / steps)
    }
}

/// Splits a source run where the witness changes.
fn split(run: &SourceRun, arrived: &[(u32, u32)], heard: Heard) -> Vec<(u32, u32, Witness)> {
    let (first, last) = (run.first.0, run.last.0);
    if heard == Heard::NoWitness {
        return vec![(first, last, Witness::Absent)];
    }
    let mut parts = Vec::new();
    let mut next = first;
    for &(from, to) in arrived.iter().filter(|(from, to)| *to >= first && *from <= last) {
        let (from, to) = (from.max(first), to.min(last));
        if from > next {
            parts.push((next, from - 1, Witness::NotArrived));
        }
        parts.push((from, to, Witness::Arrived));
        next = to + 1;
    }
    if next <= last {
        parts.push((next, last, Witness::NotArrived));
    }
    parts
}

/// Cuts a part of a run to the attempts that were started within the window.
fn clip(run: &SourceRun, first: u32, last: u32, from: First, to: Last) -> Option<(u32, u32)> {
    let start = partition(first, last, |attempt| match from {
        First::StartedFrom(moment) => run.at(attempt) < moment,
        First::Behind(cursor) => cursor.is_some_and(|cursor| attempt <= cursor.0),
    });
    let end = partition(first, last, |attempt| match to {
        Last::StartedBy(moment) => run.at(attempt) <= moment,
        Last::Attempt(last) => attempt <= last.0,
    });
    (start < end).then(|| (start, end - 1))
}

/// The last attempt of a part that is decided: the destination has been heard from after its outcome.
fn last_decided(run: &SourceRun, first: u32, last: u32, until: Moment) -> Option<u32> {
    let end = partition(first, last, |attempt| run.at(attempt) + run.max + CLOCK_SLACK <= until);
    (end > first).then(|| end - 1)
}

/// The first attempt in `first..=last` for which the predicate fails, or `last + 1`; the predicate is true for a prefix.
fn partition(first: u32, last: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (first, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn push(segments: &mut Vec<Segment>, segment: Segment) {
    match segments.last_mut() {
        Some(last) if last.observation == segment.observation && last.witness == segment.witness => {
            last.attempts += segment.attempts;
            last.last_at = segment.last_at;
            last.last = segment.last;
        }
        _ => segments.push(segment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Witness::{Absent, Arrived, NotArrived};

    const MS: i64 = 1000;
    const END: Last = Last::StartedBy(Moment::END);

    /// Attempts every 100 ms from attempt 1 at 0, each decided after 50 ms.
    fn run(first: u32, last: u32, observation: Observation) -> SourceRun {
        let at = |n: u32| Moment(i64::from(n - 1) * 100 * MS);
        let length = Duration::from_millis(50);
        SourceRun {
            first: Attempt(first),
            last: Attempt(last),
            first_at: at(first),
            last_at: at(last),
            min: length,
            max: length,
            observation,
        }
    }

    fn arrival(first: u32, last: u32) -> ArrivalRun {
        let peer = "192.0.2.1:40000".parse().expect("an address");
        ArrivalRun {
            first: Attempt(first),
            last: Attempt(last),
            first_at: Moment(0),
            last_at: Moment(0),
            peer,
        }
    }

    fn shape(segments: &[Segment]) -> Vec<(u64, i64, Witness)> {
        segments.iter().map(|s| (s.attempts, s.first_at.0 / MS, s.witness)).collect()
    }

    fn answered() -> Observation {
        Observation::Answered { answers: vec![] }
    }

    #[test]
    fn both_ends_are_joined_attempt_by_attempt() {
        let mut record = FlowRecord::default();
        record.source(run(1, 4, answered()));
        record.source(run(5, 20, Observation::Silent));
        record.arrived(WitnessId(0), &arrival(1, 6));
        record.arrived(WitnessId(1), &arrival(9, 9));
        let all = record.segments(Moment(0), END, Heard::Until(Moment(10_000 * MS)));
        assert_eq!(
            shape(&all),
            [
                (4, 0, Arrived),
                (2, 400, Arrived),
                (2, 600, NotArrived),
                (1, 800, Arrived),
                (11, 900, NotArrived)
            ]
        );
        let window = record.segments(
            Moment(450 * MS),
            Last::StartedBy(Moment(1000 * MS)),
            Heard::Until(Moment(10_000 * MS)),
        );
        assert_eq!(
            shape(&window),
            [(1, 500, Arrived), (2, 600, NotArrived), (1, 800, Arrived), (2, 900, NotArrived)]
        );
        let alone = record.segments(Moment(0), END, Heard::NoWitness);
        assert_eq!(shape(&alone), [(4, 0, Absent), (16, 400, Absent)]);
    }

    #[test]
    fn silence_of_the_destination_counts_only_once_it_was_heard_later() {
        let mut record = FlowRecord::default();
        record.source(run(1, 10, Observation::Silent));
        // Attempt 4 starts at 300 ms and is decided at 350 ms; 10 ms of slack.
        let heard = |ms: i64| record.segments(Moment(0), END, Heard::Until(Moment(ms * MS)));
        assert_eq!(shape(&heard(359)), [(3, 0, NotArrived)]);
        assert_eq!(shape(&heard(360)), [(4, 0, NotArrived)]);
        assert_eq!(shape(&heard(0)), []);
    }

    #[test]
    fn a_longer_version_of_a_span_replaces_it() {
        let mut record = FlowRecord::default();
        for last in [1, 3, 3, 8] {
            record.source(run(1, last, answered()));
            record.arrived(WitnessId(0), &arrival(1, last));
        }
        assert_eq!(shape(&record.segments(Moment(0), END, Heard::Until(Moment(0)))), [(8, 0, Arrived)]);
    }
}
