//! Judges the steps of a scenario with the whole record.

use super::{
    Play,
    settle::{Awaited, Done},
};
use crate::run::{
    board::{Key, Window},
    evidence::{self, Judged},
};
use flowproof_core::{
    capability::Capability,
    outcome::{FlowOutcome, StepOutcome},
    record::Last,
    time::Moment,
    verdict::{Control, Kind},
};
use std::time::Duration;

impl<'a> Play<'a> {
    /// Whether something in the last step is mismatched.
    pub(super) fn has_failed(&self) -> bool {
        let last = self.done.last().filter(|done| done.settled.is_none());
        last.is_some_and(|done| {
            self.step_outcome(done).flows.iter().any(|flow| flow.verdict == Kind::Mismatched)
        })
    }

    /// Judges every step with the record as it is now: what arrived late counts.
    pub(super) fn judge(&self) -> (Vec<StepOutcome>, Option<StepOutcome>) {
        let steps = self.scenario.steps.len();
        let judged = self.watched.as_ref().map_or(&[][..], |(steps, _)| steps);
        let rest = self.done.iter().skip(judged.len()).map(|done| self.step_outcome(done));
        let mut outcomes: Vec<StepOutcome> = judged.iter().cloned().chain(rest).collect();
        let mut restore = if outcomes.len() > steps { outcomes.pop() } else { None };
        if let Some(step) = &mut restore {
            step.flows.retain(|flow| flow.verdict != Kind::Matched);
            step.shows = vec![Capability::Deletion];
        }
        for (outcome, step) in outcomes.iter_mut().zip(&self.scenario.steps) {
            outcome.shows.clone_from(&step.shows);
        }
        (outcomes, restore.filter(|step| !step.flows.is_empty()))
    }

    /// What stands for the control of a flow under policies that are never taken away: each of its ends was seen to work with
    /// another one, in this scenario and family. See `docs/decisions/0015-live-policies-have-two-half-controls.md`.
    fn live_control(&self, key: Key) -> Control {
        let board = self.lane.board();
        let this = &board.flow(key).planned;
        let window = Window { from: self.began, to: Last::StartedBy(Moment::END) };
        let mut others = self.keys.values().filter(|other| board.flow(**other).planned.family == this.family);
        let target_reached = |other: &&Key| {
            let other_flow = &board.flow(**other).planned;
            other_flow.to == this.to
                && other_flow.flow.transport == this.flow.transport
                && other_flow.flow.source != this.flow.source
                && board.worked(**other, window, 1)
        };
        let source_works = |other: &&Key| {
            let other_flow = &board.flow(**other).planned;
            other_flow.flow.source == this.flow.source
                && other_flow.to.ip() != this.to.ip()
                && board.worked(**other, window, 1)
        };
        if !others.clone().any(|other| target_reached(&other)) {
            Control::TargetUnseen
        } else if others.any(|other| source_works(&other)) {
            Control::EndsWork
        } else {
            Control::SourceUnseen
        }
    }

    pub(super) fn step_outcome(&self, done: &Done<'a>) -> StepOutcome {
        let topology = self.lane.topology();
        let may_reopen = |flow: &_, family| {
            done.changed.as_ref().is_some_and(|changed| changed.may_reopen(topology, flow, family))
        };
        let flow = |awaited: &Awaited<'a>| -> FlowOutcome {
            let Awaited { key, expected, expectation, known, says, until, settled, captured, from_start } =
                awaited;
            let family = self.lane.board().flow(*key).planned.family;
            let control = if self.scenario.live {
                self.live_control(*key)
            } else {
                self.control.get(&(&expected.flow, family)).copied().unwrap_or(Control::NeverWorked)
            };
            let start = from_start.then(|| self.lane.board().first_attempt(*key)).flatten();
            evidence::judge(
                self.lane,
                &Judged {
                    key: *key,
                    expected,
                    expectation: *expectation,
                    says,
                    control,
                    window: Window { from: start.unwrap_or(done.accepted), to: *until },
                    ended: done.ended,
                    hold: done.hold,
                    settled: *settled,
                    budget: if start.is_some() { Some(Duration::ZERO) } else { self.context.settings.budget },
                    from_start: start.is_some(),
                    deadline: done.limit,
                    policies: &done.policies,
                    captured: captured.as_ref(),
                    may_reopen: &|| may_reopen(&expected.flow, family),
                    deviation: *known,
                },
            )
        };
        StepOutcome {
            title: done.title.clone(),
            accepted_at_ms: done.accepted.since(Moment(0)).as_millis() as u64,
            settled_after_ms: done.settled.map(|settled| settled.as_millis() as u64),
            shows: Vec::new(),
            flows: done.expected.iter().map(flow).collect(),
        }
    }
}
