//! What a step changed, kept to find out whether the change itself let a flow through.

use super::state::State;
use crate::{
    place::plan::Surroundings,
    scenario::{
        Change, Topology,
        flow::{Family, Flow},
    },
};

/// The changes of a step, and the state before them.
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

    /// How often a flow that is denied in the end may get through after silence while the changes take effect.
    #[must_use]
    pub fn reopenings(&self, topology: &Topology, flow: &Flow, family: Family) -> usize {
        self.before.scene(topology, self.around.clone()).reopenings(self.changes, flow, family)
    }
}
