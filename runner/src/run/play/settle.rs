//! Waits until the flows of a step have settled, and knows when silence may only be slowness.

use super::{LAST_WORDS, Play, Stop, changed::Changed};
use crate::run::{
    board::{Key, Window},
    evidence,
    progress::Phase,
};
use flowproof_core::{
    assess::{Assessment, FEWEST_ATTEMPTS},
    flow::{Expectation, Family, Flow},
    outcome::{Captured, PoliciesSay},
    parse::Deviation,
    policy::{Finding, LiveScene, Oracle, Scene},
    record::Last,
    scenario::{Expected, Manifest},
    time::Moment,
    variant,
    verdict::Control,
};
use std::time::Duration;

/// How late the last report that counts for a step may be: a stream may be slow, or have to be taken up again.
const LATE_REPORTS: Duration = Duration::from_secs(10);

/// A step that was played, waiting for judgement.
pub(super) struct Done<'a> {
    pub(super) title: String,
    pub(super) accepted: Moment,
    pub(super) ended: Moment,
    /// How long its flows had to settle.
    pub(super) limit: Duration,
    pub(super) settled: Option<Duration>,
    pub(super) hold: Duration,
    pub(super) expected: Vec<Awaited<'a>>,
    pub(super) policies: Vec<Manifest>,
    /// What it changed, if it is a step of the scenario.
    pub(super) changed: Option<Changed<'a>>,
}

/// A flow of a step and the last of its attempts that is judged.
///
/// An attempt that was under way when the next change came may owe its fate to that change. The record of those up to this
/// moment is judged again in the end, when late arrivals are known.
pub(super) struct Awaited<'a> {
    pub(super) key: Key,
    pub(super) expected: &'a Expected,
    /// What it must do: as the scenario says, or the policies.
    pub(super) expectation: Expectation,
    /// The known deviation that covers it; none once everything was deleted, for deviations are those of policies.
    pub(super) known: Option<&'a Deviation>,
    /// What the policies say.
    pub(super) says: PoliciesSay,
    pub(super) until: Last,
    pub(super) settled: bool,
    /// Its source is a pod that was started under policies that deny it: its very first attempt counts.
    pub(super) from_start: bool,
    /// What captures tell of it.
    pub(super) captured: Option<Captured>,
}

impl Awaited<'_> {
    /// What it has to do for its step to go on: what is expected, or what a known deviation does instead.
    pub(super) fn waited_for(&self) -> Expectation {
        self.known.map_or(self.expectation, |entry| entry.observed)
    }
}

/// What it means when nothing visibly changes in a step.
#[derive(Clone, Copy)]
pub(super) enum Quiet {
    /// Nothing: there was no change, or one that is not judged by its time.
    Fine,
    /// Perhaps that the change is not enforced yet.
    Odd {
        /// Labels were changed, not only policies.
        relabels: bool,
        /// Before the change was sent.
        sent: Moment,
    },
}

impl<'a> Play<'a> {
    /// Waits until all expected flows have settled as expected, or the deadline passes.
    pub(super) async fn settle(
        &mut self,
        title: String,
        accepted: Moment,
        expectations: &'a [Expected],
        quiet: Quiet,
        phase: &Phase,
    ) -> Result<Done<'a>, Stop> {
        let begun = self.lane.now();
        let mut expected = self.awaited(expectations, accepted);
        if matches!(phase, Phase::Restore) {
            for awaited in &mut expected {
                awaited.known = None;
            }
        }
        let timeout = Duration::from_millis(self.pace.timeout_ms);
        // An answer cannot be taken back: in the end a few in a row will do.
        let (mut hold, under_way) = match phase {
            Phase::Restore => (Duration::ZERO, Duration::ZERO),
            _ => (self.context.settings.hold, timeout),
        };
        let relabels = matches!(quiet, Quiet::Odd { relabels: true, .. });
        let settled = loop {
            self.listen().await?;
            let deadline = begun + self.context.settle_deadline(relabels);
            let board = self.lane.board();
            // Attempts that are not older than the deny window are still under way.
            let window = Window { from: accepted, to: Last::StartedBy(self.lane.now() - under_way) };
            let (mut agree, mut given_up) = (0, 0);
            let (mut changed, mut may_yet, mut unheard) = (false, false, false);
            let mut slowest = Duration::ZERO;
            for awaited in &mut expected {
                let assessment = board.assess(awaited.key, awaited.waited_for(), window, hold);
                awaited.until = assessment.until.map_or(window.to, |(_, attempt)| Last::Attempt(attempt));
                awaited.settled = assessment.settled(hold);
                may_yet |= assessment.in_doubt
                    || !awaited.settled && assessment.good_since.is_some_and(|since| since <= deadline);
                let looked_at = assessment.until.map_or(Duration::ZERO, |(last, _)| last.since(accepted));
                if looked_at >= hold && self.is_lost(awaited, &assessment) {
                    given_up += 1;
                    continue;
                }
                changed |= assessment.contradictions.is_some();
                unheard |= !awaited.settled && board.heard_until(awaited.key) < deadline;
                if awaited.settled {
                    agree += 1;
                    slowest = slowest
                        .max(assessment.good_since.map_or(Duration::ZERO, |since| since.since(accepted)));
                }
            }
            if agree > 0 && !matches!(phase, Phase::Restore) {
                self.context.first_verdict(self.lane.now());
            }
            self.tell(phase.clone(), agree, expected.len());
            if agree + given_up == expected.len() {
                let settled = (given_up == 0).then_some(slowest);
                let Quiet::Odd { relabels, sent } = quiet else { break settled };
                if changed || self.was_different(&expected, sent) {
                    if agree > 0 {
                        self.context.enforced(relabels, slowest);
                    }
                    break settled;
                }
                // Nothing was seen to change. That proves something only after the time that enforcement takes here.
                let wanted = self.context.quiet_hold(relabels);
                if hold >= wanted {
                    break settled;
                }
                hold = wanted;
            }
            let grace = match (unheard, may_yet) {
                (true, _) => LATE_REPORTS,
                (false, true) => hold + self.until_next_is_decided(),
                (false, false) => Duration::ZERO,
            };
            if self.lane.now() > deadline + grace || self.hopeless(&expected) {
                break None;
            }
        };
        // Packets are not kept for as long as the record is.
        for awaited in &mut expected {
            let window = Window { from: accepted, to: awaited.until };
            awaited.captured = evidence::captured(self.lane, awaited.key, window, awaited.settled);
        }
        let policies = self.lane.in_force();
        let (ended, limit) = (self.lane.now(), self.context.settle_deadline(relabels));
        Ok(Done { title, accepted, ended, limit, settled, hold, expected, policies, changed: None })
    }

    /// The flows of a step in every family, with what they must do by the state that the lane is in.
    pub(super) fn awaited(&self, expectations: &'a [Expected], accepted: Moment) -> Vec<Awaited<'a>> {
        let lane = &self.lane;
        if let Some(live) = lane.live() {
            let scene = LiveScene::new(live, lane.names(), lane.topology(), lane.surroundings());
            let oracle = Oracle::new(&live.cluster);
            return self.awaited_by(expectations, accepted, |flow, family| scene.find(&oracle, flow, family));
        }
        let scene =
            Scene::running(lane.topology(), lane.surroundings(), lane.namespaces().clone(), lane.applied());
        let cluster = scene.cluster();
        let oracle = Oracle::new(&cluster);
        self.awaited_by(expectations, accepted, |flow, family| scene.find(&oracle, flow, family))
    }

    fn awaited_by(
        &self,
        expectations: &'a [Expected],
        accepted: Moment,
        find: impl Fn(&Flow, Family) -> Finding,
    ) -> Vec<Awaited<'a>> {
        let awaited = |expected: &'a Expected, family| {
            let key = *self.keys.get(&(&expected.flow, family))?;
            let finding = find(&expected.flow, family);
            // What the API leaves open behind a Service was not meant by a scenario without one.
            let open = finding.expectation() == Expectation::Unspecified
                && variant::written(&expected.flow).is_some();
            let written = expected.wanted.written().filter(|_| !open);
            let expectation = written.unwrap_or_else(|| finding.expectation());
            Some(Awaited {
                key,
                expected,
                expectation,
                known: self.context.deviation(&self.scenario.file, &expected.flow, expectation),
                says: evidence::says(&finding, self.lane),
                until: Last::StartedBy(accepted),
                settled: false,
                from_start: false,
                captured: None,
            })
        };
        let families = [Family::V4, Family::V6];
        expectations.iter().flat_map(|e| families.map(|family| awaited(e, family))).flatten().collect()
    }

    /// Whether the last attempt of some flow before a moment went against what is waited for: a change was seen then, however
    /// quick it was.
    fn was_different(&self, expected: &[Awaited<'_>], moment: Moment) -> bool {
        let window = Window { from: self.began, to: Last::StartedBy(moment) };
        expected.iter().any(|awaited| {
            let before = self.lane.board().assess(awaited.key, awaited.waited_for(), window, Duration::ZERO);
            let last = before.until.map(|(started, _)| started);
            before.contradictions.is_some_and(|against| Some(against.last_at) == last)
        })
    }

    /// Whether there is no point in waiting for a flow: it never worked without a policy, so that its silence proves nothing,
    /// and it does not begin to work now.
    fn is_lost(&self, awaited: &Awaited<'_>, assessment: &Assessment) -> bool {
        let family = self.lane.board().flow(awaited.key).planned.family;
        let never_worked = self.control.get(&(&awaited.expected.flow, family)) == Some(&Control::NeverWorked);
        let begins_to_work = !awaited.waited_for().denies() && assessment.good_since.is_some();
        never_worked && !begins_to_work && !awaited.settled && assessment.attempts >= FEWEST_ATTEMPTS
    }

    /// Longest time until one more attempt of every flow is known, whatever becomes of it.
    fn until_next_is_decided(&self) -> Duration {
        Duration::from_millis(self.pace.interval_ms + 2 * self.pace.timeout_ms) + LAST_WORDS
    }

    /// Whether an end of some flow is gone for good, so that waiting on changes nothing.
    fn hopeless(&self, expected: &[Awaited<'_>]) -> bool {
        expected.iter().any(|awaited| self.lane.board().gone(awaited.key).is_some())
    }
}
