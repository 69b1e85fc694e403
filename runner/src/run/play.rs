//! Plays one scenario on a lane: control, every step, restoration. Then judges everything with the whole record.
//!
//! This file is the sequence of events; the decisions are in `core::trial`.

mod settle;
mod watch;

use super::{
    lane::Lane,
    progress::{Phase, Progress},
    settings::Context,
};
use crate::{cluster::ClusterError, diagnose::known::Deviating};
use flowproof_core::{
    evidence::time::Moment,
    outcome::{End, ScenarioOutcome, StepOutcome, Watched},
    place::plan,
    scenario::{
        Change, Expected, Scenario, Step,
        capability::Capability,
        flow::{Family, Flow},
        name::Workload,
    },
    trial::{
        book::Key,
        changed::Changed,
        control::{Controls, Keys, Proven, Stand, Trying},
        judged::{self, Ground},
        limits::{Limits, Subject},
        restore::{restored, without_those_that_never_worked},
        settle::{After, Done, LAST_WORDS},
    },
    verdict::Kind,
};
use flowproof_wire::{Pace, REPORT_EVERY_MS};
use settle::Waiting;
use std::{collections::BTreeSet, time::Duration};

/// How often the flows of a step are looked at while they settle.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an attempt waits for an answer before the round trips are known.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// The deny window is this many times the longest round trip seen, within the limits.
const ROUND_TRIPS: u32 = 8;
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(250);
/// How many flows of a lane are tried at the full pace. If there are more, all are tried less often, so that lanes side by side
/// leave CPU to each other's pods; but the interval is never longer than [`LONGEST_INTERVAL`].
const AT_FULL_PACE: u32 = 100;
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);
/// Time between attempts of a flow while a restarted pod is new, which is the precision with which its first moments are known.
const FIRST_INTERVAL_MS: u64 = 20;

/// A scenario that was played, and whether its lane can be used again.
pub struct Played {
    /// The outcome.
    pub outcome: ScenarioOutcome,
    /// False if something of it may still be in force.
    pub clean: bool,
}

/// Why a scenario stopped early.
enum Stop {
    Interrupted,
    Failed(ClusterError),
}

struct Play<'a> {
    lane: &'a mut Lane,
    scenario: &'a Scenario,
    context: &'a Context,
    families: BTreeSet<Family>,
    keys: Keys<'a>,
    controls: Controls<'a>,
    /// The flows that deviate because the network is known to have a fault.
    deviating: Deviating<'a>,
    /// Since when its flows have been tried.
    began: Moment,
    pace: Pace,
    done: Vec<Done<'a>>,
    /// When the last change was accepted; `None` before the first.
    changed: Option<Moment>,
    /// The steps as they were judged before the watch, which discards their record; and what the watch saw.
    watched: Option<(Vec<StepOutcome>, Watched)>,
}

/// Plays a scenario on a lane whose deployment contains its topology.
pub async fn play(lane: &mut Lane, scenario: &Scenario, context: &Context) -> Played {
    lane.begin(&scenario.topology);
    let began = lane.now();
    let families = scenario.families.intersection(&context.settings.families).copied().collect();
    let mut play = Play {
        lane,
        scenario,
        context,
        families,
        keys: Keys::new(),
        controls: Controls::default(),
        deviating: Deviating::default(),
        began,
        pace: Pace {
            interval_ms: 0,
            timeout_ms: FIRST_TIMEOUT.as_millis() as u64,
            report_ms: REPORT_EVERY_MS,
        },
        done: Vec::new(),
        changed: None,
        watched: None,
    };
    play.deviating = Deviating::of(scenario, play.lane.site(), &context.deviations);
    let restored = restored(scenario);
    let mut clean = false;
    let end = match play.all(&restored, &mut clean).await {
        Ok(end) => end,
        Err(Stop::Interrupted) => End::Interrupted,
        Err(Stop::Failed(error)) => End::Failed {
            error: play.lane.site().logical(&error.to_string()),
            hint: error.hint().map(str::to_owned),
            node: error.node().map(str::to_owned),
        },
    };
    let (steps, restore) = play.judge();
    let watched = play.watched.take().map(|(_, watched)| watched);
    let took = play.lane.now().since(began);
    let outcome = ScenarioOutcome {
        claim: scenario.claim.clone(),
        file: scenario.file.clone(),
        started_at_ms: began.since(Moment(0)).as_millis() as u64,
        took_ms: took.as_millis() as u64,
        end,
        steps,
        restore,
        watched,
    };
    Played { outcome, clean }
}

impl<'a> Play<'a> {
    async fn all(&mut self, restored: &'a [Expected], clean: &mut bool) -> Result<End, Stop> {
        if self.scenario.live {
            self.lane.look_around(self.scenario).await.map_err(Stop::Failed)?;
        }
        self.track(plan::flows(self.scenario));
        if self.keys.is_empty() {
            let why = "no flow of it is possible here: its ends have no address family in common".to_owned();
            *clean = true;
            return Ok(End::Skipped { why });
        }
        if self.scenario.live {
            self.try_all(); // There is no time without policies: see `live_control`.
        } else {
            self.control().await?;
        }
        for (number, step) in self.scenario.steps.iter().enumerate() {
            self.step(number, step).await?;
            if self.context.settings.fail_fast && self.has_failed() {
                self.lane.try_flows(&[], self.pace);
                self.last_words().await?;
                return Ok(End::Interrupted);
            }
        }
        if let (Some(watch), Some(step)) = (&self.context.watch, self.scenario.steps.last()) {
            let limits = self.context.limits();
            let steps = self.done.iter().map(|done| judged::step(done, &self.ground(&limits))).collect();
            let watched = self.watch(watch, step).await?;
            self.watched = Some((steps, watched));
            self.try_all();
        }
        *clean = self.restore(restored).await?;
        self.lane.try_flows(&[], self.pace);
        self.last_words().await?;
        Ok(End::Played)
    }

    fn track(&mut self, flows: impl IntoIterator<Item = &'a Flow>) {
        let around = self.lane.surroundings();
        for flow in flows {
            for key in self.lane.track(flow, &self.families, &around) {
                let family = self.lane.book().flow(key).planned.family;
                self.keys.insert((flow, family), key);
            }
        }
        let interval = self.context.settings.interval;
        let stretched = interval.saturating_mul((self.keys.len() as u32).max(AT_FULL_PACE)) / AT_FULL_PACE;
        let interval = stretched.min(LONGEST_INTERVAL.max(interval));
        self.pace.interval_ms = (interval.as_millis() as u64).max(1);
    }

    fn try_all(&mut self) {
        let keys: Vec<Key> = self.keys.values().copied().collect();
        self.lane.try_flows(&keys, self.pace);
    }

    /// Tries every flow before any policy exists, until each was answered or has had enough time. Flows that the restoration of the
    /// previous scenario has just shown to work need not be answered again.
    async fn control(&mut self) -> Result<(), Stop> {
        let from = self.lane.now();
        let others = self.lane.proven().others(&self.keys);
        let known = self.keys.len() - others.len();
        let mut trying = Trying::new(from);
        self.try_all();
        while !others.is_empty() {
            self.listen().await?;
            let stand = trying.look(self.lane.now(), self.lane.book(), &others, &self.context.limits());
            let (Stand::Wait(working) | Stand::Done(working)) = stand;
            self.tell(Phase::Control, known + working, self.keys.len());
            if matches!(stand, Stand::Done(_)) {
                break;
            }
        }
        self.controls = Controls::read(self.lane.book(), &self.keys, from, self.lane.proven());
        let slowest = self.lane.proven().slowest_with(self.lane.book(), &self.keys);
        let timeout = slowest.map_or(FIRST_TIMEOUT, |slowest| slowest * ROUND_TRIPS);
        self.pace.timeout_ms = timeout.clamp(SHORTEST_TIMEOUT, FIRST_TIMEOUT).as_millis() as u64;
        self.try_all();
        Ok(())
    }

    async fn step(&mut self, number: usize, step: &'a Step) -> Result<(), Stop> {
        let sent = self.lane.now();
        // In a step without a change, everything counts that was seen since the last change.
        let mut accepted = self.changed.unwrap_or(sent);
        let changed = Changed::about_to(&step.changes, self.lane.state(), self.lane.surroundings());
        let mut started = BTreeSet::new();
        for change in &step.changes {
            if let Change::Restart(workload) = change {
                started.extend(self.restart(workload).await?);
                accepted = self.lane.now();
            } else {
                accepted = self.lane.change(change).await.map_err(Stop::Failed)?;
            }
        }
        if !step.changes.is_empty() {
            self.changed = Some(accepted);
        }
        let phase =
            Phase::Step { number: number + 1, of: self.scenario.steps.len(), title: step.title.clone() };
        let waiting = Waiting {
            title: step.title.clone(),
            accepted,
            expectations: &step.expectations,
            after: if step.changes.is_empty() { After::Nothing } else { After::Changes { sent } },
            subject: Subject::from(step),
        };
        let mut done = self.settle(waiting, &phase).await?;
        let policed_before = number > 0 && step.changes.iter().all(|c| matches!(c, Change::Restart(_)));
        for awaited in done.expected.iter_mut().filter(|awaited| awaited.expectation.denies()) {
            awaited.from_start = policed_before && started.contains(&awaited.key);
        }
        done.changed = Some(changed);
        self.done.push(done);
        Ok(())
    }

    /// Restarts a pod, which tries its flows from its start. Returns the new keys of these flows.
    async fn restart(&mut self, workload: &Workload) -> Result<Vec<Key>, Stop> {
        let (mut own, mut to_it) = (Vec::new(), BTreeSet::new());
        for (flow, key) in &self.keys {
            let planned = &self.lane.book().flow(*key).planned;
            if planned.witnesses.contains_key(workload) {
                to_it.insert(flow.0);
            } else if planned.flow.source == *workload {
                own.push((*flow, *key));
            }
        }
        let pace = Pace { interval_ms: self.pace.interval_ms.min(FIRST_INTERVAL_MS), ..self.pace };
        let keys: Vec<Key> = own.iter().map(|(_, key)| *key).collect();
        let started = self.lane.restart(workload, Some((&keys, pace))).await.map_err(Stop::Failed)?;
        self.keys.extend(own.iter().map(|(flow, _)| *flow).zip(started.iter().copied()));
        self.track(to_it);
        self.try_all();
        Ok(started)
    }

    /// Deletes what was applied and requires that denied flows work again.
    async fn restore(&mut self, restored: &'a [Expected]) -> Result<bool, Stop> {
        let accepted = self.lane.restore().await.map_err(Stop::Failed)?;
        let subject = Subject::from(self.scenario);
        let waiting = Waiting {
            title: "after everything was deleted".to_owned(),
            accepted,
            expectations: restored,
            after: After::Deletion,
            subject,
        };
        let mut done = self.settle(waiting, &Phase::Restore).await?;
        without_those_that_never_worked(&mut done, self.lane.book(), &self.controls);
        // While there is no policy, nothing shows whether the network plugin has noticed that a label was restored.
        let clean = subject == Subject::Policies && done.expected.iter().all(|awaited| awaited.settled);
        self.lane.prove(Proven::read(self.lane.book(), &self.keys, accepted));
        self.done.push(done);
        Ok(clean)
    }

    /// Whether any flow of the last step is mismatched.
    fn has_failed(&self) -> bool {
        let limits = self.context.limits();
        let last = self.done.last().filter(|done| done.settled.is_none());
        let ground = self.ground(&limits);
        last.is_some_and(|done| {
            judged::step(done, &ground).flows.iter().any(|flow| flow.verdict == Kind::Mismatched)
        })
    }

    /// Judges every step with the record as it is now, so that late arrivals count.
    fn judge(&self) -> (Vec<StepOutcome>, Option<StepOutcome>) {
        let limits = self.context.limits();
        let ground = self.ground(&limits);
        let judged = self.watched.as_ref().map_or(&[][..], |(steps, _)| steps);
        let rest = self.done.iter().skip(judged.len()).map(|done| judged::step(done, &ground));
        let mut outcomes: Vec<StepOutcome> = judged.iter().cloned().chain(rest).collect();
        let steps = &self.scenario.steps;
        let mut restore = if outcomes.len() > steps.len() { outcomes.pop() } else { None };
        if let Some(step) = &mut restore {
            step.flows.retain(|flow| flow.verdict != Kind::Matched);
            step.shows = vec![Capability::Deletion];
        }
        for (outcome, step) in outcomes.iter_mut().zip(steps) {
            outcome.shows.clone_from(&step.shows);
        }
        (outcomes, restore.filter(|step| !step.flows.is_empty()))
    }

    fn ground<'g>(&'g self, limits: &'g Limits) -> Ground<'g> {
        Ground {
            book: self.lane.book(),
            site: self.lane.site(),
            scenario: self.scenario,
            topology: self.lane.topology(),
            keys: &self.keys,
            controls: &self.controls,
            began: self.began,
            limits,
        }
    }

    /// Waits for the reports about the last attempts, late arrivals included.
    async fn last_words(&mut self) -> Result<(), Stop> {
        let end = self.last_judged() + Duration::from_millis(self.pace.timeout_ms);
        let enough = self.lane.now() + Duration::from_millis(self.pace.timeout_ms) + LAST_WORDS;
        while self.lane.now() < enough {
            self.listen().await?;
            let book = self.lane.book();
            if self.keys.values().all(|key| book.heard_until(*key) > end) {
                break;
            }
        }
        Ok(())
    }

    /// When the last attempt whose silence counts may have been started. Answers after a deletion count at once.
    fn last_judged(&self) -> Moment {
        match self.done.split_last() {
            Some((last, before)) if last.after == After::Deletion && last.settled.is_some() => {
                before.last().map_or(last.accepted, |done| done.ended)
            }
            _ => self.lane.now(),
        }
    }

    async fn listen(&mut self) -> Result<(), Stop> {
        tokio::select! {
            () = self.context.enough.cancelled() => Err(Stop::Interrupted),
            () = self.lane.hear(LOOK_EVERY) => Ok(()),
        }
    }

    fn tell(&self, phase: Phase, agree: usize, flows: usize) {
        let (lane, claim) = (self.lane.number(), self.scenario.claim.clone());
        self.context.teller.tell(Progress::Playing { lane, claim, phase, agree, flows });
    }
}
