//! Puts the outcomes of one flow's overlapping attempts back into the order of the attempts.

use super::Outcome;
use flowproof_wire::Attempt;
use std::collections::VecDeque;

/// The attempts of one flow that were started and not yet handed out.
#[derive(Debug)]
pub(crate) struct Window {
    /// Number of the attempt at the front.
    base: u32,
    slots: VecDeque<Option<Outcome>>,
}

impl Window {
    /// Starts before attempt 1.
    pub(crate) fn new() -> Self {
        Self { base: 1, slots: VecDeque::new() }
    }

    /// Numbers the next attempt; `None` when all 2^32 - 1 numbers are used up.
    pub(crate) fn start(&mut self) -> Option<Attempt> {
        let attempt = self.base.checked_add(self.slots.len() as u32).filter(|attempt| *attempt < u32::MAX)?;
        self.slots.push_back(None);
        Some(Attempt(attempt))
    }

    /// Records the outcome of an attempt; a second outcome of the same attempt is ignored.
    pub(crate) fn decide(&mut self, attempt: Attempt, outcome: Outcome) {
        let slot = attempt.0.checked_sub(self.base).and_then(|index| self.slots.get_mut(index as usize));
        if let Some(slot @ None) = slot {
            *slot = Some(outcome);
        }
    }

    /// Hands out the next attempt if it is decided.
    pub(crate) fn next(&mut self) -> Option<(Attempt, Outcome)> {
        let outcome = self.slots.front_mut()?.take()?;
        self.slots.pop_front();
        let attempt = Attempt(self.base);
        self.base += 1;
        Some((attempt, outcome))
    }
}
