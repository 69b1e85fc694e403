//! Starts pods anew all through a watch, under policies that exist: how long denied flows are open before a pod is policed.
//!
//! Such a pod tries its flows from the start of its own process, and does not wait for the runner; its own clock tells the
//! window.

use super::Followed;
use crate::{
    cluster::{ClusterError, Pod},
    run::{
        board::Key,
        lane::{Lane, start_anew},
    },
};
use flowproof_core::{
    assess::assess,
    flow::{Expectation, Family, Target},
    name::Workload,
    outcome::{Start, StartedFlow},
    record::Segment,
    time::Moment,
};
use flowproof_wire::Pace;
use futures::FutureExt;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// From one attempt of a fresh pod's flow to the next: this well the window is known.
const INTERVAL_MS: u64 = 5;

/// How long the flows of a fresh pod are tried: network plugins that are late are late by less.
const TRIED_FOR: Duration = Duration::from_secs(5);

/// Most flows of a fresh pod: it tries them often.
const MOST_FLOWS: usize = 10;

/// Most fresh pods that are told of.
const MOST_STARTS: usize = 500;

/// Pause before another pod is started when one could not be.
const AGAIN: Duration = Duration::from_secs(5);

/// The fresh pods of a watch, one at a time.
pub(super) struct Fresh {
    candidates: Vec<Candidate>,
    next: usize,
    now: State,
    starts: Vec<Start>,
}

/// A workload that fresh pods can be like.
struct Candidate {
    like: Workload,
    flows: Vec<(Key, String, Family, Expectation)>,
}

enum State {
    Idle { until: Instant },
    Starting { workload: Workload, keys: Vec<Key>, pod: JoinHandle<Result<Pod, ClusterError>> },
    Trying { keys: Vec<Key>, node: String, until: Instant },
}

impl Fresh {
    /// Finds the workloads with denied flows that no Service leads to: a fresh pod must not take part in a Service.
    pub(super) fn of(lane: &Lane, followed: &[Followed<'_>]) -> Self {
        let topology = lane.topology();
        let served = |workload: &Workload| {
            topology.services.iter().any(|(name, service)| {
                let labels = &topology.workloads[workload].labels;
                name.namespace == workload.namespace
                    && service.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            })
        };
        let usable = |workload: &&Workload| !topology.workloads[*workload].host_network && !served(workload);
        let candidates = topology.workloads.keys().filter(usable).filter_map(|workload| {
            let own = |one: &&Followed<'_>| {
                one.expected.flow.source == *workload
                    && !one.expected.flow.established
                    && matches!(&one.expected.flow.target, Target::Workload(to) if to != workload)
            };
            let mut flows: Vec<_> = followed.iter().filter(own).collect();
            flows.sort_by_key(|one| !one.expectation.denies());
            let denied = flows.first().is_some_and(|one| one.expectation.denies());
            let flow =
                |one: &&Followed<'_>| (one.key, one.expected.flow.to_string(), one.family, one.expectation);
            denied.then(|| Candidate {
                like: workload.clone(),
                flows: flows.iter().take(MOST_FLOWS).map(flow).collect(),
            })
        });
        Self {
            candidates: candidates.collect(),
            next: 0,
            now: State::Idle { until: Instant::now() },
            starts: Vec::new(),
        }
    }

    /// Goes on with what is to be done by now; never waits.
    pub(super) fn go_on(&mut self, lane: &mut Lane, timeout_ms: u64) {
        if self.candidates.is_empty() || self.starts.len() >= MOST_STARTS {
            return;
        }
        let idle = State::Idle { until: Instant::now() + AGAIN };
        self.now = match std::mem::replace(&mut self.now, idle) {
            State::Idle { until } if Instant::now() >= until => self.start(lane, timeout_ms),
            State::Starting { workload, keys, pod } if pod.is_finished() => match pod.now_or_never() {
                Some(Ok(Ok(pod))) => {
                    lane.link_fresh(&workload);
                    State::Trying { keys, node: pod.node, until: Instant::now() + TRIED_FOR }
                }
                _ => State::Idle { until: Instant::now() + AGAIN },
            },
            State::Trying { keys, node, until } if Instant::now() >= until => {
                self.harvest(lane, &keys, node, timeout_ms);
                self.next = (self.next + 1) % self.candidates.len();
                State::Idle { until: Instant::now() }
            }
            waiting => waiting,
        };
    }

    fn start(&mut self, lane: &mut Lane, timeout_ms: u64) -> State {
        let candidate = &self.candidates[self.next];
        let keys: Vec<Key> = candidate.flows.iter().map(|(key, ..)| *key).collect();
        let pace = Pace { interval_ms: INTERVAL_MS, timeout_ms };
        let Some((workload, keys, spec)) = lane.plan_fresh(&candidate.like, &keys, pace) else {
            return State::Idle { until: Instant::now() + AGAIN };
        };
        let cluster = lane.cluster();
        let pod = tokio::spawn(async move { start_anew(&*cluster, &spec).await });
        State::Starting { workload, keys, pod }
    }

    fn harvest(&mut self, lane: &mut Lane, keys: &[Key], node: String, timeout_ms: u64) {
        // Attempts that are younger than this may still be under way.
        let until = lane.now() - Duration::from_millis(timeout_ms) - Duration::from_millis(500);
        let candidate = &self.candidates[self.next];
        let records: Vec<Vec<Segment>> =
            keys.iter().map(|key| lane.board_mut().harvest(*key, until)).collect();
        let Some(from) = records.iter().filter_map(|record| Some(record.first()?.first_at)).min() else {
            return;
        };
        let tried = records.iter().zip(&candidate.flows).filter(|(record, _)| !record.is_empty());
        let flows = tried
            .map(|(record, (_, flow, family, expectation))| {
                started(flow.clone(), *family, *expectation, record, from)
            })
            .collect();
        let from_ms = from.since(Moment(0)).as_millis() as u64;
        self.starts.push(Start { like: candidate.like.to_string(), node, from_ms, flows });
    }

    /// All pods whose flows were tried long enough.
    pub(super) fn told(self) -> Vec<Start> {
        self.starts
    }
}

/// What became of a flow, of a pod whose first attempt of any flow was at this moment.
fn started(
    flow: String,
    family: Family,
    expectation: Expectation,
    record: &[Segment],
    first: Moment,
) -> StartedFlow {
    let assessment = assess(expectation, record, Moment(i64::MIN), TRIED_FOR);
    let against = assessment.contradictions.map_or(0, |contradictions| contradictions.count);
    let window = |since: Moment| if against == 0 { Duration::ZERO } else { since.since(first) };
    StartedFlow {
        flow,
        family,
        expectation,
        attempts: assessment.attempts,
        against,
        window_ms: assessment.good_since.map(|since| window(since).as_micros() as f64 / 1000.0),
    }
}
