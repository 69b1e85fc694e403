//! The end of a run: what it created is removed while its reports are written.

use crate::cluster::{self, Cluster, Wait};
use flowproof_core::outcome::Outcome;
use futures::future::join_all;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::JoinHandle;

/// A run that is judged, and the removal of what it created, which is already going on.
#[must_use = "the removal has to be waited for"]
pub struct Judged {
    /// The outcome, without what remains.
    pub outcome: Outcome,
    /// The removal.
    pub clean_up: CleanUp,
}

impl Judged {
    /// Waits for the end of the removal; the outcome then says what remains.
    pub async fn cleaned(self) -> Outcome {
        let mut outcome = self.outcome;
        outcome.remains.extend(self.clean_up.end().await);
        outcome
    }
}

/// The removal of all lanes of a run.
#[must_use = "the removal has to be waited for"]
pub struct CleanUp {
    run: String,
    live: Live,
    /// `None` if nothing is to be removed.
    removal: Option<JoinHandle<Vec<String>>>,
}

impl CleanUp {
    /// Leaves the lanes of a run in place.
    pub(super) fn kept(run: &str, live: &Live) -> Self {
        Self { run: run.to_owned(), live: live.clone(), removal: None }
    }

    /// Begins to remove what is left of all lanes of a run. The removal goes on whether or not anything waits for its end.
    pub(super) fn begin(cluster: Arc<dyn Cluster>, run: &str, live: &Live) -> Self {
        let removal = tokio::spawn(remove(cluster, run.to_owned(), live.clone()));
        Self { run: run.to_owned(), live: live.clone(), removal: Some(removal) }
    }

    /// Waits until everything is gone; returns what remains although it should have been removed, with the reason.
    pub async fn end(self) -> Vec<String> {
        let Some(removal) = self.removal else { return Vec::new() };
        let ended = removal.await;
        ended.unwrap_or_else(|error| {
            vec![format!("{} ({error})", traces(&self.live.of_run(&self.run)).join(", "))]
        })
    }
}

async fn remove(cluster: Arc<dyn Cluster>, run: String, live: Live) -> Vec<String> {
    let lanes = live.of_run(&run);
    let removed = join_all(lanes.iter().map(|lane| cluster.remove(lane, Wait::UntilGone))).await;
    let remains = lanes.iter().zip(removed).filter_map(|(lane, removed)| {
        let error = removed.err()?;
        Some(format!("{} ({error})", lane.traces().join(", ")))
    });
    let remains: Vec<String> = remains.collect();
    if remains.is_empty() {
        live.lanes().retain(|lane| lane.run != run);
    }
    remains
}

/// The real namespaces that exist now because of a run, or of several: what a second Ctrl-C leaves behind.
#[derive(Clone, Default)]
pub struct Live(Arc<Mutex<Vec<cluster::Lane>>>);

impl Live {
    /// The names of the namespaces, and of the holders of shadows in live namespaces.
    pub fn traces(&self) -> Vec<String> {
        traces(&self.lanes())
    }

    /// The ids of the runs to which they belong.
    pub fn runs(&self) -> BTreeSet<String> {
        self.lanes().iter().map(|lane| lane.run.clone()).collect()
    }

    pub(super) fn of_run(&self, run: &str) -> Vec<cluster::Lane> {
        self.lanes().iter().filter(|lane| lane.run == run).cloned().collect()
    }

    /// Adds a lane that is about to be deployed.
    pub(super) fn enter(&self, lane: cluster::Lane) {
        self.lanes().push(lane);
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<cluster::Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn traces(lanes: &[cluster::Lane]) -> Vec<String> {
    lanes.iter().flat_map(cluster::Lane::traces).collect()
}
