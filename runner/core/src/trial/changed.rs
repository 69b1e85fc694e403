//! What a step changed, kept for the question whether the change itself let a flow through.

use super::state::State;
use crate::{
    flow::{Family, Flow},
    plan::Surroundings,
    scenario::{Change, Topology},
};

/// The changes of a step, and the state that they were made in.
#[derive(Debug)]
pub struct Changed<'a> {
    changes: &'a [Change],
    around: Surroundings,
    before: State,
}

impl<'a> Changed<'a> {
    /// Keeps the state in which these changes will be made.
    #[must_use]
    pub fn about_to(changes: &'a [Change], before: &State, around: Surroundings) -> Self {
        Self { changes, around, before: before.clone() }
    }

    /// Whether a flow may get through while the changes take effect, though it is denied before and after.
    #[must_use]
    pub fn may_reopen(&self, topology: &Topology, flow: &Flow, family: Family) -> bool {
        self.before.scene(topology, self.around.clone()).may_reopen(self.changes, flow, family)
    }
}
