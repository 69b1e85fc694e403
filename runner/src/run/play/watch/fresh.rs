//! Starts fresh pods throughout a watch, under existing policies, to measure how long denied flows are open before a pod is policed.
//!
//! Such a pod tries its flows as soon as its process starts, and does not wait for the runner; its own clock measures the window.
//! Because it tries them often, a node has one such pod at a time, however many scenarios are watched.

use super::Followed;
use crate::{
    cluster::{ClusterError, Pod},
    run::{
        lane::{Lane, start_anew},
        watch::Watch,
    },
};
use flowproof_core::{
    evidence::{
        hindrance::Hindered,
        record::{Last, Segment},
        time::Moment,
    },
    outcome::{Start, StartedFlow},
    scenario::{Topology, flow::Target, label::contains, name::Workload},
    trial::book::{Key, Window},
    verdict::assess::assess,
};
use flowproof_wire::Pace;
use futures::{FutureExt, future::BoxFuture};
use std::time::{Duration, Instant};
use tokio::{sync::OwnedMutexGuard, task::JoinHandle};

/// Time between attempts of a fresh pod's flow at first, which is the precision of the window.
const INTERVAL_MS: u64 = 5;

/// If all go as expected after this long, they are tried only as often as all other flows, because hundreds of attempts a second
/// would fill the connection tracking of nodes.
const OFTEN_FOR: Duration = Duration::from_secs(2);

/// How long the flows of a fresh pod are tried; slow network plugins are late by less than this.
const TRIED_FOR: Duration = Duration::from_secs(8);

/// The most denied flows of a fresh pod, because it tries them often. The next pod takes the next ones.
const MOST_DENIED: usize = 3;

/// The most allowed flows of a fresh pod, which show whether its network works at all.
const MOST_ALLOWED: usize = 1;

/// Attempts that are younger than their timeout and this are not judged, because they may still be going on.
const GRACE: Duration = Duration::from_millis(500);

/// The most fresh pods that are reported.
const MOST_STARTS: usize = 500;

/// Pause before another pod is started after one could not be.
const AGAIN: Duration = Duration::from_secs(5);

/// The fresh pods of a scenario, one at a time.
pub(super) struct Fresh {
    candidates: Vec<Candidate>,
    /// How many pods were tried.
    tried: usize,
    now: State,
    starts: Vec<Start>,
}

/// A workload that fresh pods can copy, and which of the followed flows are its own.
struct Candidate {
    like: Workload,
    denied: Vec<usize>,
    allowed: Vec<usize>,
}

enum State {
    Idle { until: Instant },
    Queued { turn: BoxFuture<'static, OwnedMutexGuard<()>> },
    Starting { started: Started, workload: Workload, pod: JoinHandle<Result<Pod, ClusterError>> },
    Trying { started: Started, node: String, since: Instant, pace: Pace },
}

/// A pod that was started, and its turn on the node, which lasts as long as the pod.
struct Started {
    /// Its flows, and the followed flows to which they correspond.
    flows: Vec<(Key, usize)>,
    _turn: OwnedMutexGuard<()>,
}

impl Fresh {
    /// Finds the workloads with denied flows that are behind no Service: a fresh pod must not get a Service's traffic.
    pub(super) fn of(topology: &Topology, followed: &[Followed<'_>]) -> Self {
        let served = |workload: &Workload| {
            topology.services.iter().any(|(name, service)| {
                let labels = &topology.workloads[workload].labels;
                name.namespace == workload.namespace && contains(labels, &service.selector)
            })
        };
        let usable = |workload: &&Workload| !topology.workloads[*workload].host_network && !served(workload);
        let candidates = topology.workloads.keys().filter(usable).filter_map(|workload| {
            let own = |one: &Followed<'_>| {
                one.expected.flow.source == *workload
                    && !one.expected.flow.established
                    && matches!(&one.expected.flow.target, Target::Workload(to) if to != workload)
            };
            let own = (0..followed.len()).filter(|at| own(&followed[*at]));
            let (denied, allowed): (Vec<_>, _) = own.partition(|at| followed[*at].expectation.denies());
            (!denied.is_empty()).then(|| Candidate { like: workload.clone(), denied, allowed })
        });
        Self {
            candidates: candidates.collect(),
            tried: 0,
            now: State::Idle { until: Instant::now() },
            starts: Vec::new(),
        }
    }

    /// Does what is due now; never waits. The pace is that of all other flows.
    pub(super) fn go_on(&mut self, lane: &mut Lane, watch: &Watch, followed: &[Followed<'_>], pace: Pace) {
        if self.candidates.is_empty() || self.starts.len() >= MOST_STARTS {
            return;
        }
        let idle = |pause| State::Idle { until: Instant::now() + pause };
        self.now = match std::mem::replace(&mut self.now, idle(AGAIN)) {
            State::Idle { until } if Instant::now() >= until => {
                let node = lane.site().node(&self.candidate().like).unwrap_or_default();
                State::Queued { turn: watch.start_on(node).lock_owned().boxed() }
            }
            State::Queued { mut turn } => match (&mut turn).now_or_never() {
                None => State::Queued { turn },
                Some(turn) => self.start(lane, followed, (turn, pace)).unwrap_or_else(|| idle(AGAIN)),
            },
            State::Starting { started, workload, pod } if pod.is_finished() => match pod.now_or_never() {
                Some(Ok(Ok(pod))) => {
                    lane.link_fresh(&workload);
                    State::Trying { started, node: pod.node, since: Instant::now(), pace: often(pace) }
                }
                _ => idle(AGAIN),
            },
            State::Trying { started, node, since, .. } if since.elapsed() >= TRIED_FOR => {
                lane.try_fresh(&[], pace);
                self.harvest(lane, followed, &started.flows, node, judged_until(lane, pace));
                self.tried += 1;
                idle(Duration::ZERO)
            }
            State::Trying { started, node, since, pace: now }
                if since.elapsed() >= OFTEN_FOR
                    && now != pace
                    && as_expected(lane, followed, &started.flows, judged_until(lane, pace)) =>
            {
                let keys: Vec<Key> = started.flows.iter().map(|(key, _)| *key).collect();
                lane.try_fresh(&keys, pace);
                State::Trying { started, node, since, pace }
            }
            waiting => waiting,
        };
    }

    fn start(
        &self,
        lane: &mut Lane,
        followed: &[Followed<'_>],
        (turn, pace): (OwnedMutexGuard<()>, Pace),
    ) -> Option<State> {
        let candidate = self.candidate();
        let round = self.tried / self.candidates.len();
        let chosen = |of: &[usize], most: usize| {
            let count = most.min(of.len());
            (round * count..).take(count).map(|at| of[at % of.len()]).collect::<Vec<_>>()
        };
        let chosen =
            [chosen(&candidate.denied, MOST_DENIED), chosen(&candidate.allowed, MOST_ALLOWED)].concat();
        let keys: Vec<Key> = chosen.iter().map(|at| followed[*at].key).collect();
        let (workload, keys, spec) = lane.plan_fresh(&candidate.like, &keys, often(pace))?;
        let cluster = lane.cluster();
        let pod = tokio::spawn(async move { start_anew(&*cluster, &spec).await });
        let flows = keys.into_iter().zip(chosen).collect();
        Some(State::Starting { started: Started { flows, _turn: turn }, workload, pod })
    }

    fn harvest(
        &mut self,
        lane: &mut Lane,
        followed: &[Followed<'_>],
        flows: &[(Key, usize)],
        node: String,
        until: Moment,
    ) {
        let record = |&(key, at): &(Key, usize)| (lane.book_mut().harvest(key, until), &followed[at]);
        let mut records: Vec<(Vec<Segment>, &Followed<'_>)> = flows.iter().map(record).collect();
        records.retain(|(record, _)| !record.is_empty());
        let Some(from) = records.iter().map(|(record, _)| record[0].first_at).min() else {
            return;
        };
        let flows = records.iter().map(|(record, like)| started(like, record, from)).collect();
        let from_ms = from.since(Moment(0)).as_millis() as u64;
        self.starts.push(Start { like: self.candidate().like.to_string(), node, from_ms, flows });
    }

    fn candidate(&self) -> &Candidate {
        &self.candidates[self.tried % self.candidates.len()]
    }

    /// The results of all pods whose flows were tried long enough.
    pub(super) fn told(self) -> Vec<Start> {
        self.starts
    }
}

/// The pace of a pod's first attempts.
fn often(pace: Pace) -> Pace {
    Pace { interval_ms: INTERVAL_MS.min(pace.interval_ms), ..pace }
}

/// The moment until which attempts are decided.
fn judged_until(lane: &Lane, pace: Pace) -> Moment {
    lane.now() - Duration::from_millis(pace.timeout_ms) - GRACE
}

/// Whether the last decided attempts of all flows went as expected.
fn as_expected(lane: &Lane, followed: &[Followed<'_>], flows: &[(Key, usize)], until: Moment) -> bool {
    let window = Window { from: Moment(i64::MIN), to: Last::StartedBy(until) };
    let good = |&(key, at): &(Key, usize)| {
        lane.book().assess(key, followed[at].expectation, window, TRIED_FOR).good_since.is_some()
    };
    flows.iter().all(good)
}

/// The result of a fresh pod's flow that corresponds to `like`; `first` is the pod's first attempt of any flow.
fn started(like: &Followed<'_>, record: &[Segment], first: Moment) -> StartedFlow {
    let assessment = assess(like.expectation, record, Moment(i64::MIN), &Hindered::default(), TRIED_FOR);
    let against = assessment.contradictions.map_or(0, |contradictions| contradictions.count);
    let window = |since: Moment| if against == 0 { Duration::ZERO } else { since.since(first) };
    StartedFlow {
        flow: like.expected.flow.to_string(),
        family: like.family,
        expectation: like.expectation,
        attempts: assessment.attempts,
        against,
        window_ms: assessment.good_since.map(|since| window(since).as_micros() as f64 / 1000.0),
    }
}
