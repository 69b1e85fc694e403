//! Spans of the attempts of one flow, as its source saw them.

use super::{Continuity, Kept, MAX_SPANS, Outcome, Progress};
use flowproof_wire::{Attempt, FlowId, Revision, SourceSpan};
use std::collections::VecDeque;

/// The spans of one flow in the order of their attempts; only the last one is open.
#[derive(Debug, Default)]
pub(super) struct SourceSpans {
    spans: VecDeque<Kept<SourceSpan>>,
}

impl SourceSpans {
    /// Adds the next attempt; returns how many spans had to be dropped before they were acknowledged.
    pub(super) fn add(
        &mut self,
        flow: FlowId,
        attempt: Attempt,
        outcome: Outcome,
        progress: Progress,
    ) -> u64 {
        let Progress { revision, acknowledged } = progress;
        if let Some(open) = self.spans.back_mut()
            && outcome.continuity == Continuity::Steady
            && open.span.last.0.checked_add(1) == Some(attempt.0)
            && open.span.observation == outcome.observation
        {
            open.span.last = attempt;
            open.span.last_us = outcome.started_us;
            open.span.min_us = open.span.min_us.min(outcome.took_us);
            open.span.max_us = open.span.max_us.max(outcome.took_us);
            open.revision = revision;
            return 0;
        }
        let dropped = if self.spans.len() >= MAX_SPANS { self.spans.pop_front() } else { None };
        self.spans.push_back(Kept {
            span: SourceSpan {
                flow,
                first: attempt,
                last: attempt,
                first_us: outcome.started_us,
                last_us: outcome.started_us,
                min_us: outcome.took_us,
                max_us: outcome.took_us,
                observation: outcome.observation,
            },
            revision,
        });
        u64::from(dropped.is_some_and(|kept| kept.revision > acknowledged))
    }

    /// Forgets the spans that are closed and acknowledged.
    pub(super) fn acknowledge(&mut self, have: Revision) {
        while self.spans.len() > 1 && self.spans.front().is_some_and(|kept| kept.revision <= have) {
            self.spans.pop_front();
        }
    }

    /// Returns the spans that changed after `since`; newer spans changed later, so the search starts at the end.
    pub(super) fn changed(&self, since: Revision) -> impl Iterator<Item = &Kept<SourceSpan>> {
        self.spans.iter().rev().take_while(move |kept| kept.revision > since)
    }
}
