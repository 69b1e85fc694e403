//! Watches the flows of one scenario, whatever happens to its probers in the meantime.

mod fresh;
mod kept;

use super::{Play, Stop};
use crate::{
    cluster::{ClusterError, Pod},
    run::{
        lane::Lane,
        watch::{Stage, Watch},
    },
};
use flowproof_core::{
    evidence::time::Moment,
    outcome::{Watched, WatchedFlow},
    scenario::{
        Expected, Step,
        flow::{Expectation, Family, Flow},
        name::Workload,
    },
    trial::{
        book::{EndsOf, Key},
        chronicle::{Chronicle, episodes_each},
        settle::Awaited,
    },
};
use flowproof_wire::Pace;
use fresh::Fresh;
use kept::{Kept, touches};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{sync::watch::Receiver, task::JoinSet};

/// How often the records are looked at. News are taken in as they come.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long an attempt may take before it counts as lost: each end may be late by a good part of a second, several times until the
/// answer comes. TCP sends a SYN again after a second (RFC 6298, 2.1), so each attempt is one SYN.
const TIMEOUT: Duration = Duration::from_millis(900);

/// Attempts are judged when both ends have reported a second after the attempt's timeout, so that late arrivals count.
const MARGIN: Duration = TIMEOUT.saturating_add(Duration::from_secs(1));

/// If nothing of a flow was taken in for this much longer, the watch is not stable.
const UNHEARD: Duration = Duration::from_secs(3);

/// How often each prober reports. A report costs more CPU in the kubelet and the API server than the attempts that it reports; and
/// times come from the attempts, not from when the report arrives.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Attempts per second that all probers of a lane make together, at most; with more flows, each is tried less often.
const ATTEMPTS_PER_SECOND: u64 = 20_000;

/// Pause before another try to replace a prober that could not be replaced.
const REPLACE_AGAIN: Duration = Duration::from_secs(2);

/// How long the ends may take to report their last attempts, including the time to resume a lost stream.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A flow that is watched.
struct Followed<'a> {
    expected: &'a Expected,
    /// What it must do, by the scenario or by the policies.
    expectation: Expectation,
    family: Family,
    key: Key,
    chronicle: Chronicle,
}

/// A prober's pod that is being replaced.
struct Replacing {
    pending: JoinSet<(Workload, Result<Pod, ClusterError>)>,
    not_before: BTreeMap<Workload, Instant>,
}

impl<'a> Play<'a> {
    /// Watches the flows of a step until the watch is over.
    pub(super) async fn watch(&mut self, watch: &Watch, step: &'a Step) -> Result<Watched, Stop> {
        let mut stage = watch.settled();
        while *stage.borrow_and_update() == Stage::Settling {
            self.listen().await?;
        }
        let from = match *stage.borrow() {
            Stage::Watching(from) => from,
            Stage::Over(_) | Stage::Settling => self.lane.now(),
        };
        let mut followed = self.followed(step, from, watch.scenarios());
        self.lane.book_mut().forget_lags();
        let interval = self.context.settings.interval;
        let mut kept = Kept::of(self.lane, &followed, (from, interval), watch.scenarios());
        let before =
            std::mem::replace(&mut self.pace, watch_pace(interval, followed.len() + kept.keys().count()));
        self.try_followed(&followed, &kept);
        let mut instances = self.lane.book().instances();
        let mut fresh = Fresh::of(self.lane.topology(), &followed);
        let mut replacing = Replacing { pending: JoinSet::new(), not_before: BTreeMap::new() };
        let until = loop {
            if let Some(over) = over(&stage) {
                break over;
            }
            self.listen_for(LOOK_EVERY).await?;
            self.replace(&mut replacing);
            fresh.go_on(self.lane, watch, &followed, self.pace);
            self.take_up(&mut instances, &mut followed, &mut kept);
            self.follow(&mut followed, &mut kept, Moment::END, watch);
        };
        self.hear_out(&mut followed, &mut kept, until, watch).await?;
        let interval_ms = std::mem::replace(&mut self.pace, before).interval_ms;
        let flows = followed.into_iter().map(|one| self.told(one, until)).collect();
        let probers = self.lane.watched_probers();
        let kept = kept.told(self.lane, until);
        let starts = fresh.told();
        let ms = |at: Moment| at.since(Moment(0)).as_millis() as u64;
        Ok(Watched { from_ms: ms(from), until_ms: ms(until), interval_ms, flows, kept, starts, probers })
    }

    fn followed(&self, step: &'a Step, from: Moment, scenarios: usize) -> Vec<Followed<'a>> {
        let interval = self.context.settings.interval;
        let followed = self.awaited(&step.expectations, from);
        let most = episodes_each(followed.len() * scenarios);
        let follow = |awaited: Awaited<'a>| {
            // A known deviation would be one long leak or gap.
            let observed = awaited.waited_for();
            let Awaited { key, expected, expectation, .. } = awaited;
            // What the policies leave open is neither a leak nor a gap.
            if expectation == Expectation::Unspecified {
                return None;
            }
            let family = self.lane.book().flow(key).planned.family;
            let chronicle = Chronicle::new(observed, interval, from, most);
            Some(Followed { expected, expectation, family, key, chronicle })
        };
        followed.into_iter().filter_map(follow).collect()
    }

    fn try_followed(&mut self, followed: &[Followed<'a>], kept: &Kept) {
        let keys: Vec<Key> = followed.iter().map(|one| one.key).chain(kept.keys()).collect();
        self.lane.try_flows(&keys, self.pace);
    }

    async fn listen_for(&mut self, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.listen().await?;
        }
        Ok(())
    }

    /// Takes in what was decided in the meantime, as far as both ends have reported whether they were hindered.
    fn follow(&mut self, followed: &mut [Followed<'a>], kept: &mut Kept, until: Moment, watch: &Watch) {
        let now = self.lane.now();
        kept.follow(self.lane, until);
        let mut disturbed = Moment(i64::MIN);
        for one in followed {
            follow(self.lane, (&one.expected.flow, one.key), &mut one.chronicle, until);
            disturbed = disturbed.max(one.chronicle.disturbed());
            if one.chronicle.seen_until() + UNHEARD < (now - MARGIN).min(until) {
                disturbed = now;
            }
        }
        watch.disturbed(disturbed);
    }

    /// Replaces pods that are gone for good, and adopts those that are up again.
    fn replace(&mut self, replacing: &mut Replacing) {
        let mut gone = self.lane.book().gone_workloads();
        // The fresh pod belongs to no workload of the topology, so it is not replaced.
        gone.retain(|workload| self.lane.topology().workloads.contains_key(workload));
        for workload in gone {
            let wait = replacing.not_before.get(&workload).is_some_and(|moment| Instant::now() < *moment);
            if !wait {
                // No other attempt until this one has ended.
                replacing.not_before.insert(workload.clone(), Instant::now() + Duration::from_hours(1));
                replacing.pending.spawn(self.lane.replacement(&workload));
            }
        }
        while let Some(Ok((workload, result))) = replacing.pending.try_join_next() {
            match result {
                Ok(pod) => {
                    replacing.not_before.remove(&workload);
                    self.lane.adopt(&workload, pod);
                }
                Err(_) => {
                    replacing.not_before.insert(workload, Instant::now() + REPLACE_AGAIN);
                }
            }
        }
    }

    /// Plans the flows of replaced or restarted probers again, because their addresses and the numbers of their attempts have
    /// changed.
    fn take_up(
        &mut self,
        instances: &mut BTreeMap<Workload, u64>,
        followed: &mut [Followed<'a>],
        kept: &mut Kept,
    ) {
        let mut now = self.lane.book().instances();
        now.retain(|workload, _| self.lane.topology().workloads.contains_key(workload));
        let changed: Vec<&Workload> = now
            .iter()
            .filter(|(workload, instance)| instances.get(*workload) != Some(*instance))
            .map(|(w, _)| w)
            .collect();
        if changed.is_empty() {
            return;
        }
        let around = self.lane.surroundings();
        for one in followed.iter_mut() {
            let flow = &one.expected.flow;
            if touches(flow, &changed)
                && let Some(key) = self.lane.track(flow, &[one.family].into(), &around).pop()
            {
                go_over(self.lane, flow, (&mut one.key, &mut one.chronicle), key);
                self.keys.insert((flow, one.family), key);
            }
        }
        kept.take_up(self.lane, &changed);
        *instances = now;
        self.try_followed(followed, kept);
    }

    /// Waits for the reports about the last attempts of the watch.
    async fn hear_out(
        &mut self,
        followed: &mut [Followed<'a>],
        kept: &mut Kept,
        until: Moment,
        watch: &Watch,
    ) -> Result<(), Stop> {
        let enough = until + MARGIN;
        while self.lane.now() < enough + LAST_WORDS {
            self.listen_for(LOOK_EVERY).await?;
            self.follow(followed, kept, until, watch);
            if followed.iter().all(|one| self.lane.book().heard_until(one.key) > enough) {
                break;
            }
        }
        Ok(())
    }

    fn told(&mut self, one: Followed<'_>, until: Moment) -> WatchedFlow {
        let written = (one.expectation, one.expected.at.to_string());
        told(self.lane, (&one.expected.flow, one.family, one.key), written, one.chronicle, until)
    }
}

/// The pace for this number of flows at this interval.
fn watch_pace(interval: Duration, flows: usize) -> Pace {
    let interval_ms = (interval.as_millis() as u64).max(flows as u64 * 1000 / ATTEMPTS_PER_SECOND).max(1);
    Pace { interval_ms, timeout_ms: TIMEOUT.as_millis() as u64, report_ms: REPORT_EVERY.as_millis() as u64 }
}

/// Takes what is judged by now of a flow into its chronicle. It is final: later reports of lag do not affect it.
fn follow(lane: &mut Lane, of: (&Flow, Key), chronicle: &mut Chronicle, until: Moment) {
    let heard = lane.book().heard_until(of.1);
    take(lane, of, chronicle, until.min(heard - MARGIN));
}

/// Switches a flow to its plan with another pod, after everything that was decided with the previous pod is taken in.
fn go_over(lane: &mut Lane, flow: &Flow, (key, chronicle): (&mut Key, &mut Chronicle), to: Key) {
    take(lane, (flow, *key), chronicle, Moment::END);
    *key = to;
    chronicle.replaced();
}

/// Takes everything that was decided about a flow until a moment into its chronicle.
fn take(lane: &mut Lane, (flow, key): (&Flow, Key), chronicle: &mut Chronicle, until: Moment) {
    let ends = lane.site().ends(flow);
    lane.book_mut().follow(key, chronicle, until, &ends);
}

/// Ends the chronicle of a flow with what is known now, and returns its content.
fn told(
    lane: &mut Lane,
    (flow, family, key): (&Flow, Family, Key),
    (expectation, at): (Expectation, String),
    mut chronicle: Chronicle,
    until: Moment,
) -> WatchedFlow {
    take(lane, (flow, key), &mut chronicle, until);
    let told = chronicle.end(until, &lane.site().ends(flow), &EndsOf { book: lane.book(), key });
    WatchedFlow {
        flow: flow.to_string(),
        family,
        expectation,
        at,
        attempts: told.attempts,
        losses: told.losses,
        episodes: told.episodes,
        untold: told.untold,
    }
}

fn over(stage: &Receiver<Stage>) -> Option<Moment> {
    match *stage.borrow() {
        Stage::Over(at) => Some(at),
        Stage::Watching(_) | Stage::Settling => None,
    }
}
