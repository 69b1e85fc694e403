//! The outcome of a run: what every report is made of, and the versioned JSON that `--json` and `--save` write.
//!
//! All times are milliseconds; `*_at_ms` count from the start of the run, `*_after_ms` from the moment at which the API server
//! had accepted the step's change. Names are the scenario's own (logical) names. `docs/results.md` describes every field.

mod conclusion;
mod exit;
mod read;
mod watch;

pub use conclusion::{Conclusion, Tally};
pub use exit::Exit;
pub use read::{ReadError, read, schema};
pub use watch::{
    CommandOutcome, EndedBy, Episode, Start, StartedFlow, WatchOutcome, Watched, WatchedFlow, WatchedProber,
    What,
};

use crate::{
    evidence::{capture::Found, record::Witness},
    scenario::{
        capability::Capability,
        flow::{Expectation, Family},
    },
    verdict::{Control, Kind, Reason},
};
use flowproof_wire::Observation;
use serde::{Deserialize, Serialize};

/// Name of the schema, without its version.
pub const SCHEMA_NAME: &str = "flowproof.run";

/// Version of the schema. It grows when a field changes its meaning or is removed; new fields do not change it. [`read()`] reads
/// all versions up to this one.
pub const SCHEMA_VERSION: u32 = 2;

/// One execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`SCHEMA_NAME`], a slash, [`SCHEMA_VERSION`].
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// How long it took until everything was judged.
    pub took_ms: u64,
    /// Version of flowproof.
    pub flowproof: String,
    /// The arguments that flowproof was given.
    pub arguments: Vec<String>,
    /// Where it happened.
    pub cluster: ClusterOutcome,
    /// Whether the cluster enforces anything at all; `None` when that was not tried.
    pub canary: Option<Canary>,
    /// The scenarios, in the order in which they were given.
    pub scenarios: Vec<ScenarioOutcome>,
    /// The watch, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchOutcome>,
    /// Which known fault the mismatches look like, one line each; empty if no diagnosis was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnosis: Vec<String>,
    /// What was left behind, if anything: real names of namespaces and objects.
    pub remains: Vec<String>,
    /// Whether the run was interrupted before its end.
    pub interrupted: bool,
}

/// The cluster of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterOutcome {
    /// `kube` or `local`.
    pub kind: String,
    /// The kubeconfig's context.
    pub context: String,
    /// Address of the API server.
    pub server: String,
    /// Version of Kubernetes.
    pub version: String,
    /// Network plugin and version, as far as they are known.
    pub cni: String,
    /// All nodes.
    pub nodes: Vec<NodeOutcome>,
}

impl ClusterOutcome {
    /// The version of Kubernetes; `None` for the local cluster, which has none.
    #[must_use]
    pub fn kubernetes(&self) -> Option<&str> {
        (self.kind != "local").then_some(self.version.as_str())
    }
}

/// A node of a run's cluster. What the cluster does not report is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOutcome {
    /// Its name.
    pub name: String,
    /// Why the run did not use it; `None` when it did.
    pub unusable: Option<String>,
    /// Version of its kubelet.
    pub kubelet: String,
    /// Its operating system, which names the node image (`Debian GNU/Linux 12 (bookworm)`).
    pub os_image: String,
    /// Version of its kernel.
    pub kernel: String,
    /// Its container runtime (`containerd://2.1.4`).
    pub container_runtime: String,
}

/// What the canary found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// One entry per ordered pair of nodes.
    pub pairs: Vec<CanaryPair>,
}

/// A pair of nodes under a policy that denies everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryPair {
    /// Node of the source.
    pub from: String,
    /// Node of the destination, on which the policy has to be enforced.
    pub to: String,
    /// The verdict of the worst of its flows.
    pub verdict: Kind,
    /// Its reason.
    pub reason: Reason,
    /// How long it took until the policy was enforced.
    pub enforced_after_ms: Option<u64>,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioOutcome {
    /// The claim.
    pub claim: String,
    /// The file.
    pub file: String,
    /// When it began.
    pub started_at_ms: u64,
    /// How long it took, deployment included.
    pub took_ms: u64,
    /// How it ended.
    pub end: End,
    /// The steps that were played.
    pub steps: Vec<StepOutcome>,
    /// Denied flows that did not work again after the policies were deleted.
    pub restore: Option<StepOutcome>,
    /// What was seen of the flows of its last step during a watch, if it was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<Watched>,
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum End {
    /// All its steps were played.
    Played,
    /// It cannot be played on this cluster, which is nobody's fault.
    Skipped {
        /// Why.
        why: String,
    },
    /// The set-up or a change failed.
    Failed {
        /// What failed, and how.
        error: String,
        /// What would help.
        hint: Option<String>,
        /// The node that the failure is about, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
    },
    /// The run was interrupted or out of time before its end.
    Interrupted,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// Its title.
    pub title: String,
    /// When the API server had accepted its last change.
    pub accepted_at_ms: u64,
    /// From the change until all flows had settled; `None` if some did not in time.
    pub settled_after_ms: Option<u64>,
    /// The capabilities that its flows show, as the scenario says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<Capability>,
    /// Its flows, one entry per family.
    pub flows: Vec<FlowOutcome>,
}

/// A flow in one family, in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowOutcome {
    /// The flow, in the notation of scenarios.
    pub flow: String,
    /// The source.
    pub source: String,
    /// The target.
    pub target: String,
    /// `tcp/5432`, `dns/udp`.
    pub port: String,
    /// The address family.
    pub family: Family,
    /// What was expected.
    pub expectation: Expectation,
    /// Whether the expectation comes from the policies, because the scenario leaves it to them.
    #[serde(default)]
    pub by_policy: bool,
    /// Where the expectation is written: `file:line:column`.
    pub at: String,
    /// The verdict.
    pub verdict: Kind,
    /// Its reason.
    pub reason: Reason,
    /// The reason in words, with the particulars.
    pub text: String,
    /// The known deviation of the CNI that explains the result, which then does not fail the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<String>,
    /// The name of the known fault that explains a mismatch, if a diagnosis was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<String>,
    /// Everything the verdict rests on.
    pub evidence: Evidence,
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the source saw of the last decided attempt.
    pub observation: Option<Observation>,
    /// What the destination saw of it.
    pub witness: Witness,
    /// Whether the flow works without the policies.
    pub control: Control,
    /// Why an end counts as not alive, if it does.
    pub broken: Option<String>,
    /// From the change to the first attempt of the final, unbroken series that went as expected.
    pub enforced_after_ms: Option<u64>,
    /// Decided attempts of the step.
    pub attempts: u64,
    /// Attempts that went against the expectation.
    pub contradictions: Option<ContradictionsOutcome>,
    /// Lost single attempts of an allowed flow.
    pub losses: u64,
    /// Shortest and longest time to an answer over the whole run.
    pub answer_ms: Option<(f64, f64)>,
    /// Node of the source.
    pub source_node: String,
    /// Node of the destination, if it is a pod.
    pub destination_node: Option<String>,
    /// Address of the source, as the destination saw it.
    pub seen_from: Option<String>,
    /// Address and port that the source connects to.
    pub to: String,
    /// Policies of the scenario that select the source, in force in this step.
    pub policies_on_source: Vec<String>,
    /// Policies of the scenario that select the destination, in force in this step.
    pub policies_on_destination: Vec<String>,
    /// What the policies say about the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies_say: Option<PoliciesSay>,
    /// Where attempts that were not answered died, according to the packets that both ends captured; only with `--capture`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<Captured>,
    /// During how much of the step an end got too little CPU; `None` if both ends got what they need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindered: Option<HinderedOutcome>,
    /// For a flow that did not settle: what shows that the network had enough time, or that nothing shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// During how much of a step an end of a flow got too little CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HinderedOutcome {
    /// The part of the step, from 0 to 1.
    pub share: f64,
    /// Longest delay of an end's own timer.
    pub longest_lag_ms: u64,
}

/// What the captures of both ends show about an attempt that was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// How it ended.
    pub found: Found,
    /// The same in one sentence, with the particulars.
    pub text: String,
    /// Address that a RST or an ICMP error came from.
    pub from: Option<String>,
    /// Type of an ICMP error.
    pub icmp_type: Option<u8>,
    /// Code of an ICMP error.
    pub icmp_code: Option<u8>,
}

/// What the policies say about a flow, by the text of the API and not by what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesSay {
    /// What the flow must do according to them; `unspecified` if they leave it open.
    pub answer: Expectation,
    /// Why, in one clause.
    pub reason: String,
    /// The rules that decide, as `NetworkPolicy data/postgres, ingress rule 1`.
    pub rules: Vec<String>,
}

/// Attempts that went against the expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContradictionsOutcome {
    /// How many.
    pub count: u64,
    /// Start of the first.
    pub first_after_ms: u64,
    /// Start of the last.
    pub last_after_ms: u64,
    /// What the source saw of the last.
    pub observation: Observation,
    /// What the destination saw of the last.
    pub witness: Witness,
}

#[cfg(test)]
pub(crate) mod documented;
