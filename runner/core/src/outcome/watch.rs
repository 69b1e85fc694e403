//! What a watch saw: leaks, gaps and holes per flow, with their times. Part of an outcome.

use crate::{
    evidence::record::Witness,
    scenario::flow::{Expectation, Family},
};
use flowproof_wire::Observation;
use serde::{Deserialize, Serialize};

/// The watch of a run: what happened during it. What it saw is in the [`Watched`] of each scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchOutcome {
    /// When all flows had settled and the watch began.
    pub from_ms: u64,
    /// When it ended.
    pub until_ms: u64,
    /// What ended it.
    pub ended: EndedBy,
    /// The command that ran during the watch.
    pub command: Option<CommandOutcome>,
}

/// What ended a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// Everything that was asked for: its time was over, its command had ended, it was stable.
    Conditions,
    /// The user.
    Interrupt,
    /// No scenario could be watched any more.
    NothingToWatch,
}

/// The command that ran during a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// When it was started.
    pub from_ms: u64,
    /// When it ended; `None` if it had not.
    pub until_ms: Option<u64>,
    /// Its exit code; `None` if it had not ended, or if a signal ended it.
    pub exit_code: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
}

/// What was seen of a scenario's flows during the watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// When its watch began.
    pub from_ms: u64,
    /// When it ended.
    pub until_ms: u64,
    /// Time from one attempt of a flow to the next, which is the precision of leaks and gaps.
    pub interval_ms: u64,
    /// The flows, one entry per family.
    pub flows: Vec<WatchedFlow>,
    /// Connections that were kept open all the time, and reopened after they had ended. Gaps in them are reported and not judged:
    /// the API does not say that a connection outlives a change of the network.
    #[serde(default)]
    pub kept: Vec<WatchedFlow>,
    /// Pods that were started during the watch, under policies that existed before them.
    pub starts: Vec<Start>,
    /// The probers.
    pub probers: Vec<WatchedProber>,
}

/// A pod that was started during a watch, and tried flows from the start of its process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The workload whose labels and node it has.
    pub like: String,
    /// Its node.
    pub node: String,
    /// Its first attempt.
    pub from_ms: u64,
    /// Its flows, one entry per family.
    pub flows: Vec<StartedFlow>,
}

/// A flow of a pod that was started during a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartedFlow {
    /// The flow of the workload that the pod is like.
    pub flow: String,
    /// The address family.
    pub family: Family,
    /// What was expected.
    pub expectation: Expectation,
    /// Decided attempts.
    pub attempts: u64,
    /// Attempts against the expectation.
    pub against: u64,
    /// How long a denied flow was open, or an allowed one closed: from the pod's first attempt of any flow to the start of this
    /// flow's final, unbroken series that went as expected. 0 if no attempt went against the expectation, `None` if the flow did
    /// not go as expected in the end.
    pub window_ms: Option<f64>,
}

/// A flow in one family, during the watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchedFlow {
    /// The flow, in the notation of scenarios.
    pub flow: String,
    /// The address family.
    pub family: Family,
    /// What was expected.
    pub expectation: Expectation,
    /// Where that is written: `file:line:column`.
    pub at: String,
    /// Decided attempts.
    pub attempts: u64,
    /// Lost single attempts of an allowed flow, which do not count as a gap.
    pub losses: u64,
    /// What was not as expected, or not observed, by time.
    pub episodes: Vec<Episode>,
    /// How many more episodes there were than are kept.
    pub untold: u64,
}

/// A time during which a flow was not as expected, or not observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// What it is.
    pub what: What,
    /// Start of its first attempt; for a hole, when that began.
    pub from_ms: u64,
    /// Start of the first attempt after it; the end of the watch if it went on until then.
    pub until_ms: u64,
    /// Whether it went on until the end of the watch.
    pub open: bool,
    /// Its attempts.
    pub attempts: u64,
    /// Node of the source.
    pub source_node: String,
    /// Node of the destination, if it is a pod.
    pub destination_node: Option<String>,
    /// What the source saw of the last attempt of it; of a kept connection that ended in it, that.
    pub observation: Option<Observation>,
    /// What the destination saw of it.
    pub witness: Option<Witness>,
    /// For a hole, why nothing can be said.
    pub why: Option<String>,
}

/// What an episode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A denied flow got through.
    Leak,
    /// An allowed flow did not get through.
    Gap,
    /// A hole: nobody was there to see, which is neither good nor bad.
    NotObserved,
}

/// A prober during the watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedProber {
    /// The workload that it plays.
    pub workload: String,
    /// Its node.
    pub node: String,
    /// Longest delay of its own timers, and of its listeners' answers over loopback: large if it got too little CPU.
    pub longest_lag_ms: u64,
    /// How often its stream was lost and resumed.
    pub streams_lost: u64,
    /// How often its pod was replaced or restarted.
    pub replaced: u64,
}

impl Watched {
    /// All episodes of a kind, with their flows.
    pub fn episodes(&self, what: What) -> impl Iterator<Item = (&WatchedFlow, &Episode)> {
        self.flows
            .iter()
            .flat_map(|flow| flow.episodes.iter().map(move |episode| (flow, episode)))
            .filter(move |(_, episode)| episode.what == what)
    }

    /// How often kept connections ended.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.kept.iter().flat_map(|flow| &flow.episodes).filter(|episode| episode.is_cut()).count()
    }

    /// Whether there was an episode of a kind.
    #[must_use]
    pub fn any(&self, what: What) -> bool {
        self.episodes(what).next().is_some()
    }
}

impl Episode {
    /// Whether a connection ended in it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self.observation, Some(Observation::Cut { reset: true }))
    }

    /// How long it was, in milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        self.until_ms.saturating_sub(self.from_ms)
    }
}
