//! What a run reports while it happens: a closed set of events for all live reporters.

use flowproof_core::outcome::{Canary, Outcome, ScenarioOutcome};
use std::time::Duration;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The cluster was described; the run begins.
    Started {
        /// The run's id.
        run: String,
        /// One line that says in which cluster it will run.
        cluster: String,
        /// Things that the user should know (nodes left out …).
        notes: Vec<String>,
        /// How many scenarios will be played.
        scenarios: usize,
    },
    /// A lane is being deployed.
    Deploying {
        /// The lane.
        lane: usize,
        /// How many pods.
        pods: usize,
    },
    /// A scenario is being played.
    Playing {
        /// The lane.
        lane: usize,
        /// The claim.
        claim: String,
        /// What is going on.
        phase: Phase,
        /// How many of its flows agree with their expectation.
        agree: usize,
        /// How many flows there are.
        flows: usize,
    },
    /// The first verdict of the run was given.
    FirstVerdict {
        /// Time since the run began.
        after: Duration,
    },
    /// The canary is done.
    Canary(Canary),
    /// A scenario is done.
    Finished(Box<ScenarioOutcome>),
    /// All scenarios have settled and are watched from now on.
    Watching {
        /// How many scenarios there are.
        scenarios: usize,
        /// The command that runs during the watch; empty if there is none.
        command: String,
    },
    /// The lanes are being removed.
    Cleaning {
        /// How many namespaces are left.
        namespaces: usize,
    },
    /// The run is done.
    Done(Box<Outcome>),
}

/// What a scenario is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Every flow is tried before any policy exists.
    Control,
    /// A step's change was accepted and its flows settle.
    Step {
        /// From 1.
        number: usize,
        /// How many steps there are.
        of: usize,
        /// The step's title.
        title: String,
    },
    /// The policies were deleted and the denied flows have to work again.
    Restore,
}

/// Where events go. Never blocks; a receiver that is gone is not an error.
#[derive(Clone)]
pub struct Teller(pub tokio::sync::mpsc::UnboundedSender<Progress>);

impl Teller {
    /// Sends an event.
    pub fn tell(&self, progress: Progress) {
        let _ = self.0.send(progress);
    }
}
