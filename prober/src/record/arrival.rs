//! Spans of the attempts of one flow that arrived here.

use super::{Arrival, Kept, MAX_SPANS, Progress};
use flowproof_wire::{ArrivalSpan, Attempt, Revision};

/// The spans of one flow, ascending, none touching another.
///
/// Any of them may still grow, because attempts may arrive late; but after acknowledgement, only the highest is kept. An attempt
/// that arrives late next to a forgotten span becomes a span of its own, which the runner joins.
#[derive(Debug, Default)]
pub(super) struct ArrivalSpans {
    spans: Vec<Kept<ArrivalSpan>>,
}

impl ArrivalSpans {
    /// Adds an arrival; returns how many spans had to be dropped before they were acknowledged.
    pub(super) fn add(&mut self, arrival: &Arrival, progress: Progress) -> u64 {
        let Progress { revision, acknowledged } = progress;
        let Arrival { flow, attempt, at_us, peer } = *arrival;
        let next = Attempt(attempt.0.saturating_add(1));
        let above = self.spans.partition_point(|kept| kept.span.first <= attempt);
        let joins_below = above > 0 && self.spans[above - 1].span.last.0.saturating_add(1) >= attempt.0;
        let joins_above = self.spans.get(above).is_some_and(|kept| kept.span.first == next);
        let mut dropped = 0;
        let at = match (joins_below, joins_above) {
            (true, true) => {
                let upper = self.spans.remove(above).span;
                let lower = &mut self.spans[above - 1].span;
                lower.last = upper.last;
                lower.first_us = lower.first_us.min(upper.first_us);
                if upper.last_us > lower.last_us {
                    lower.last_us = upper.last_us;
                    lower.peer = upper.peer;
                }
                above - 1
            }
            (true, false) => {
                let lower = &mut self.spans[above - 1].span;
                lower.last = lower.last.max(attempt);
                above - 1
            }
            (false, true) => {
                self.spans[above].span.first = attempt;
                above
            }
            (false, false) => {
                let span = ArrivalSpan {
                    flow,
                    first: attempt,
                    last: attempt,
                    first_us: at_us,
                    last_us: at_us,
                    peer,
                };
                self.spans.insert(above, Kept { span, revision });
                above
            }
        };
        let kept = &mut self.spans[at];
        kept.revision = revision;
        kept.span.first_us = kept.span.first_us.min(at_us);
        if at_us >= kept.span.last_us {
            kept.span.last_us = at_us;
            kept.span.peer = peer;
        }
        if self.spans.len() > MAX_SPANS {
            dropped += u64::from(self.spans.remove(0).revision > acknowledged);
        }
        dropped
    }

    /// Forgets the spans that are acknowledged, but for the highest.
    pub(super) fn acknowledge(&mut self, have: Revision) {
        if let Some(highest) = self.spans.pop() {
            self.spans.retain(|kept| kept.revision > have);
            self.spans.push(highest);
        }
    }

    /// Returns the spans that changed after `since`.
    pub(super) fn changed(&self, since: Revision) -> impl Iterator<Item = &Kept<ArrivalSpan>> {
        self.spans.iter().filter(move |kept| kept.revision > since)
    }
}
