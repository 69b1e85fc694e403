//! Plays one scenario on a lane: control, every step, restoration; then judges all of it with the whole record.

mod changed;
mod judge;
mod settle;
mod watch;

use super::{
    board::{Key, Window},
    lane::Lane,
    progress::{Phase, Progress},
    settings::Context,
};
use crate::cluster::ClusterError;
use changed::Changed;
use flowproof_core::{
    flow::{Expectation, Family, Flow},
    name::Workload,
    outcome::{End, ScenarioOutcome, StepOutcome, Watched},
    plan,
    record::Last,
    scenario::{Change, Expected, Position, Scenario, Step, Wanted},
    time::Moment,
    verdict::Control,
};
use flowproof_wire::{Pace, REPORT_EVERY_MS};
use settle::{Done, Quiet};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How often the flows of a step are looked at while they settle.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an attempt waits for an answer before the round trips are known.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// The deny window is this many times the longest round trip seen, within the limits.
const ROUND_TRIPS: u32 = 8;
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(250);
/// Flows of a lane that are tried at the full pace. More of them are tried less often, so that lanes side by side leave CPU to
/// the pods of others, but not less often than [`LONGEST_INTERVAL`].
const AT_FULL_PACE: u32 = 100;
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);
/// From one attempt of a flow to the next while a pod that was started again is new: this well its first moments are known.
const FIRST_INTERVAL_MS: u64 = 20;
/// How long the ends may take to report their last attempts.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A scenario that was played, and whether its lane can be used again.
pub struct Played {
    /// The outcome.
    pub outcome: ScenarioOutcome,
    /// False when something of it may still be in force.
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
    keys: BTreeMap<(&'a Flow, Family), Key>,
    control: BTreeMap<(&'a Flow, Family), Control>,
    /// Since when its flows are tried.
    began: Moment,
    pace: Pace,
    done: Vec<Done<'a>>,
    /// When the last change was accepted; none before the first.
    changed: Option<Moment>,
    /// The steps as they were judged before the watch, which forgets their record; and what it saw.
    watched: Option<(Vec<StepOutcome>, Watched)>,
}

/// Plays a scenario on a lane that has its topology.
pub async fn play(lane: &mut Lane, scenario: &Scenario, context: &Context) -> Played {
    let began = lane.now();
    let families = scenario.families.intersection(&context.settings.families).copied().collect();
    let mut play = Play {
        lane,
        scenario,
        context,
        families,
        keys: BTreeMap::new(),
        control: BTreeMap::new(),
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
    let restored = restored(scenario);
    let mut clean = false;
    let end = match play.all(&restored, &mut clean).await {
        Ok(end) => end,
        Err(Stop::Interrupted) => End::Interrupted,
        Err(Stop::Failed(error)) => End::Failed {
            error: play.lane.logical(&error.to_string()),
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

/// The flows that some step denies or may deny, each expected to work again once everything is deleted. A connection that was
/// ended does not come back.
fn restored(scenario: &Scenario) -> Vec<Expected> {
    if scenario.live {
        return Vec::new(); // nothing was applied, nothing is deleted
    }
    let may_come_back = |expected: &&Expected| expected.wanted.may_deny() && !expected.flow.established;
    let denied = scenario.steps.iter().flat_map(|step| &step.expectations).filter(may_come_back);
    let flows: BTreeMap<&Flow, &Position> = denied.map(|expected| (&expected.flow, &expected.at)).collect();
    let again = |(flow, at): (&Flow, &Position)| Expected {
        flow: flow.clone(),
        wanted: Wanted::Written(Expectation::Allow),
        at: at.clone(),
    };
    flows.into_iter().map(again).collect()
}

/// Whether a scenario changes labels.
pub fn relabels(scenario: &Scenario) -> bool {
    scenario.steps.iter().any(|step| changes_labels(&step.changes))
}

fn changes_labels(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change, Change::LabelPod(..) | Change::LabelNamespace(..)))
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
            let steps = self.done.iter().map(|done| self.step_outcome(done)).collect();
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
                let family = self.lane.board().flow(key).planned.family;
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

    /// Tries every flow before any policy exists, until each was answered twice or the deadline passes.
    async fn control(&mut self) -> Result<(), Stop> {
        let from = self.lane.now();
        let deadline = from + self.context.settings.settle;
        let window = Window { from, to: Last::StartedBy(Moment::END) };
        self.try_all();
        loop {
            self.listen().await?;
            let working = self.keys.values().filter(|key| self.lane.board().worked(**key, window, 2)).count();
            self.tell(Phase::Control, working, self.keys.len());
            if working == self.keys.len() || self.lane.now() > deadline {
                break;
            }
        }
        let board = self.lane.board();
        for (flow, key) in &self.keys {
            let control = if board.worked(*key, window, 1) { Control::Works } else { Control::NeverWorked };
            self.control.insert(*flow, control);
        }
        let slowest = self.keys.values().filter_map(|key| board.flow(*key).record.longest_answer()).max();
        let timeout = slowest.map_or(FIRST_TIMEOUT, |slowest| slowest * ROUND_TRIPS);
        self.pace.timeout_ms = timeout.clamp(SHORTEST_TIMEOUT, FIRST_TIMEOUT).as_millis() as u64;
        self.try_all();
        Ok(())
    }

    async fn step(&mut self, number: usize, step: &'a Step) -> Result<(), Stop> {
        let sent = self.lane.now();
        // In a step without a change counts all that was seen since the last one.
        let mut accepted = self.changed.unwrap_or(sent);
        let changed = Changed::about_to(&step.changes, self.lane);
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
        let quiet = if step.changes.is_empty() {
            Quiet::Fine
        } else {
            Quiet::Odd { relabels: changes_labels(&step.changes), sent }
        };
        let mut done = self.settle(step.title.clone(), accepted, &step.expectations, quiet, &phase).await?;
        let policed_before = number > 0 && step.changes.iter().all(|c| matches!(c, Change::Restart(_)));
        for awaited in done.expected.iter_mut().filter(|awaited| awaited.expectation.denies()) {
            awaited.from_start = policed_before && started.contains(&awaited.key);
        }
        done.changed = Some(changed);
        self.done.push(done);
        Ok(())
    }

    /// Starts a pod again, which tries its flows from its very start; returns these flows, under their new keys.
    async fn restart(&mut self, workload: &Workload) -> Result<Vec<Key>, Stop> {
        let (mut own, mut to_it) = (Vec::new(), BTreeSet::new());
        for (flow, key) in &self.keys {
            let planned = &self.lane.board().flow(*key).planned;
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
        let title = "after everything was deleted".to_owned();
        let mut done = self.settle(title, accepted, restored, Quiet::Fine, &Phase::Restore).await?;
        // A flow that never worked owes nothing.
        let control = &self.control;
        let board = self.lane.board();
        done.expected.retain(|awaited| {
            let family = board.flow(awaited.key).planned.family;
            control.get(&(&awaited.expected.flow, family)) == Some(&Control::Works)
        });
        // A network plugin that has not yet taken a label back shows nothing of that while no policy is there.
        let relabelled = relabels(self.scenario);
        let clean = !relabelled && done.expected.iter().all(|awaited| awaited.settled);
        self.done.push(done);
        Ok(clean)
    }

    /// Hears the reports on the last attempts, late arrivals included.
    async fn last_words(&mut self) -> Result<(), Stop> {
        let end = self.lane.now() + Duration::from_millis(self.pace.timeout_ms);
        while self.lane.now() < end + LAST_WORDS {
            self.listen().await?;
            let board = self.lane.board();
            if self.keys.values().all(|key| board.heard_until(*key) > end) {
                break;
            }
        }
        Ok(())
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
