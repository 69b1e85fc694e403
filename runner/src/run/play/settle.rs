//! Listens until the flows of a step have settled; `core::trial` decides when they have.

use super::{Play, Stop};
use crate::run::progress::Phase;
use flowproof_core::{
    evidence::{record::Last, time::Moment},
    policy::{Finding, Oracle},
    scenario::{
        Expected,
        flow::{Expectation, Family, Flow},
        variant,
    },
    snapshot::LiveScene,
    trial::{
        book::Window,
        judged,
        limits::Subject,
        pulse::Chance,
        settle::{After, Around, Awaited, Done, Look, Settle, Times},
    },
};
use std::time::Duration;

/// A step whose flows are to settle.
pub(super) struct Waiting<'a> {
    pub(super) title: String,
    pub(super) accepted: Moment,
    pub(super) expectations: &'a [Expected],
    pub(super) after: After,
    pub(super) subject: Subject,
}

impl<'a> Play<'a> {
    /// Waits until all flows have settled as expected, or the network has had enough time.
    pub(super) async fn settle(&mut self, step: Waiting<'a>, phase: &Phase) -> Result<Done<'a>, Stop> {
        let Waiting { title, accepted, expectations, after, subject } = step;
        let mut expected = self.awaited(expectations, accepted);
        if after == After::Deletion {
            for awaited in &mut expected {
                awaited.known = None;
            }
        }
        let times = Times {
            began: self.began,
            accepted,
            begun: self.lane.now(),
            timeout: Duration::from_millis(self.pace.timeout_ms),
            interval: Duration::from_millis(self.pace.interval_ms),
        };
        let mut settle = Settle::new(expected, after, subject, &times, &self.context.limits());
        let settled = loop {
            self.listen().await?;
            let limits = self.context.limits();
            let pulses = self.context.pulses();
            let around = Around {
                book: self.lane.book(),
                site: self.lane.site(),
                controls: &self.controls,
                limits: &limits,
                pulses: &pulses,
            };
            let look = settle.look(self.lane.now(), &around);
            drop(pulses);
            let (Look::Wait { agree, .. } | Look::Settled { agree, .. } | Look::OutOfTime { agree }) = look;
            if agree > 0 && after != After::Deletion {
                self.context.first_verdict(self.lane.now());
            }
            self.tell(phase.clone(), agree, settle.expected.len());
            match look {
                Look::Wait { late: true, .. } => self.context.want_pulses(subject),
                Look::Wait { .. } => {}
                Look::Settled { after, measured, .. } => {
                    measured.inspect(|slowest| self.context.enforced(subject, *slowest));
                    break after;
                }
                Look::OutOfTime { .. } => break None,
            }
        };
        let Settle { mut expected, hold, .. } = settle;
        // Sightings of packets are not kept as long as the record, so they are read now.
        for awaited in &mut expected {
            let window = Window { from: accepted, to: awaited.until };
            awaited.captured =
                judged::captured(self.lane.book(), self.lane.site(), awaited.key, window, awaited.settled);
        }
        Ok(Done {
            title,
            after,
            accepted,
            ended: self.lane.now(),
            limit: self.context.limits().settle(subject),
            settled,
            hold,
            expected,
            policies: self.lane.in_force(),
            labels: self.lane.state().labels.clone(),
            changed: None,
        })
    }

    /// The flows of a step in every family, with what they must do in the lane's current state.
    pub(super) fn awaited(&self, expectations: &'a [Expected], accepted: Moment) -> Vec<Awaited<'a>> {
        let (lane, topology) = (&self.lane, self.lane.topology());
        if let Some(live) = &lane.site().snapshot {
            let scene = LiveScene::new(live, &lane.site().names, topology, lane.surroundings());
            let oracle = Oracle::new(&live.cluster);
            return self.awaited_by(expectations, accepted, |flow, family| scene.find(&oracle, flow, family));
        }
        let scene = lane.state().scene(topology, lane.surroundings());
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
        let step = self.done.len();
        let awaited = |expected: &'a Expected, family| {
            let key = *self.keys.get(&(&expected.flow, family))?;
            let finding = find(&expected.flow, family);
            // `--via service` put a Service into this flow. If that makes the API leave the answer open, the scenario did not decide it.
            let open = finding.expectation() == Expectation::Unspecified
                && variant::written(&expected.flow).is_some();
            let written = expected.wanted.written().filter(|_| !open);
            let expectation = written.unwrap_or_else(|| finding.expectation());
            Some(Awaited {
                key,
                expected,
                expectation,
                known: self
                    .context
                    .deviation(&self.scenario.file, &expected.flow, expectation)
                    .or_else(|| self.deviating.known(step, &expected.flow, family, expectation)),
                says: judged::says(&finding, self.lane.site()),
                until: Last::StartedBy(accepted),
                settled: false,
                from_start: false,
                chance: Chance::Open,
                captured: None,
            })
        };
        let families = [Family::V4, Family::V6];
        expectations.iter().flat_map(|e| families.map(|family| awaited(e, family))).flatten().collect()
    }
}
