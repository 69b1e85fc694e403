//! What a step changed, kept for the question whether the change itself let a flow through.

use crate::run::lane::Lane;
use flowproof_core::{
    flow::{Family, Flow},
    plan::Surroundings,
    policy::Scene,
    scenario::{Change, Labels, Manifest, Topology},
};
use std::collections::BTreeMap;

/// The changes of a step, and the state that they were made in.
pub(super) struct Changed<'a> {
    changes: &'a [Change],
    around: Surroundings,
    namespaces: BTreeMap<String, Labels>,
    manifests: Vec<Manifest>,
}

impl<'a> Changed<'a> {
    /// Keeps the state of the lane, in which these changes will be made.
    pub(super) fn about_to(changes: &'a [Change], lane: &Lane) -> Self {
        Self {
            changes,
            around: lane.surroundings(),
            namespaces: lane.namespaces().clone(),
            manifests: lane.applied().to_vec(),
        }
    }

    /// Whether a flow may get through while the changes take effect, though it is denied before and after.
    pub(super) fn may_reopen(&self, topology: &Topology, flow: &Flow, family: Family) -> bool {
        let scene = Scene::running(topology, self.around.clone(), self.namespaces.clone(), &self.manifests);
        scene.may_reopen(self.changes, flow, family)
    }
}
