//! The arguments, with the texts of `--help`.

use super::exits;
use crate::{report::live, run::Jobs};
use clap::{Args, Parser, Subcommand, ValueEnum};
use flowproof_core::{
    compare::Tolerance,
    outcome::Exit,
    policy::{ApiServer, Channel, Version},
};
use std::{path::PathBuf, time::Duration};

/// Proves that a Kubernetes network does what its policies say.
#[derive(Debug, Parser)]
#[command(name = "flowproof", version, max_term_width = 110, after_help = exits::all())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play scenarios in a cluster, and compare what happens with what they expect
    Run(Box<RunArgs>),
    /// Check whether every node enforces policies, and which features the network plugin supports
    Check(Box<CheckArgs>),
    /// Probe continuously during a change such as an upgrade; report every leak and every gap
    Watch(Box<WatchArgs>),
    /// Show a saved run again, as tables, HTML or JUnit
    Report(ReportArgs),
    /// Compare two saved runs, flow by flow
    Compare(CompareArgs),
    /// Measure what scenarios catch, by playing them against faults seen in real network plugins
    Faults(FaultsArgs),
    /// Check scenarios and policies without a cluster: what an API server rejects, contradictions, likely mistakes
    Lint(LintArgs),
    /// Explain why the policies allow or deny a flow
    Explain(ExplainArgs),
    /// Find the known network plugin fault that a failed run looks like
    Diagnose(DiagnoseArgs),
    /// Generate scenarios that test the policies of manifests or of a cluster
    Generate(GenerateArgs),
    /// Edit the policies of scenarios, and list the edits that no expectation would notice
    Mutate(MutateArgs),
    /// Show who may reach whom according to the policies, and what a change opens and closes
    Map(MapArgs),
    /// Remove what earlier runs left behind
    Clean(CleanArgs),
    /// Save the prober's image (or flowproof's own) as an archive, load it into kind, k3s or containerd, or push it to a registry
    Image(super::image::ImageArgs),
    /// Print manifests that run flowproof inside a cluster, for kubectl apply -f -
    Manifest(ManifestArgs),
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print a shell completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterKind {
    /// A Kubernetes cluster, chosen the way kubectl does
    Kube,
    /// A local cluster made of network namespaces on this machine
    Local,
}

/// Which address families to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FamilyChoice {
    /// IPv4 only
    #[value(name = "4")]
    V4,
    /// IPv6 only
    #[value(name = "6")]
    V6,
    /// Whatever both ends have
    Both,
}

/// Where pods run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlacementChoice {
    /// All pods of a scenario on one node
    SameNode,
    /// On two nodes, so that as many flows as possible cross nodes
    CrossNode,
    /// Play every scenario twice, once each way
    Both,
}

/// How flows reach pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ViaChoice {
    /// At the pod's address
    Pod,
    /// Through a ClusterIP Service in front of each pod
    Service,
    /// Both
    Both,
}

/// Which cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubeArgs {
    /// The kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or in-cluster, like kubectl]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// How the prober gets into its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliverChoice {
    /// The image if all nodes have it or --image names one, otherwise a ConfigMap
    Auto,
    /// In an image
    Image,
    /// In a ConfigMap
    #[value(name = "configmap")]
    ConfigMap,
}

/// How the prober's pods are made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Prober pods")]
pub struct PodArgs {
    /// The prober's image in a registry [default: the one that `flowproof image load` loads]
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// How the prober gets into its pods. A ConfigMap needs nothing loaded or pushed; auto uses the image if all nodes have
    /// it or --image names one, otherwise a ConfigMap
    #[arg(long, value_name = "HOW", default_value = "auto", value_enum)]
    pub deliver: DeliverChoice,
    /// The image of pods that get the prober in a ConfigMap; nothing in it runs [default: one that the nodes already have]
    #[arg(long, value_name = "REF")]
    pub base_image: Option<String>,
    /// imagePullPolicy of the pods
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub pull_policy: String,
    /// A pull secret to copy into the namespaces of the run; may be repeated
    #[arg(long = "pull-secret", value_name = "NAMESPACE/NAME")]
    pub pull_secrets: Vec<String>,
    /// A toleration for every pod, as KEY[=VALUE][:EFFECT] or "*"; may be repeated
    #[arg(long = "toleration", value_name = "TOLERATION")]
    pub tolerations: Vec<String>,
    /// Use only nodes with this label; may be repeated
    #[arg(long = "node-selector", value_name = "KEY=VALUE")]
    pub node_selector: Vec<String>,
    /// A label for every pod; may be repeated
    #[arg(long = "pod-label", value_name = "KEY=VALUE")]
    pub pod_labels: Vec<String>,
    /// An annotation for every pod; may be repeated
    #[arg(long = "pod-annotation", value_name = "KEY=VALUE")]
    pub pod_annotations: Vec<String>,
    /// A label for every namespace that the run creates; may be repeated
    #[arg(long = "namespace-label", value_name = "KEY=VALUE")]
    pub namespace_labels: Vec<String>,
    /// An annotation for every namespace that the run creates; may be repeated
    #[arg(long = "namespace-annotation", value_name = "KEY=VALUE")]
    pub namespace_annotations: Vec<String>,
    /// The priority class of the pods
    #[arg(long, value_name = "NAME")]
    pub priority_class: Option<String>,
    /// The runtime class of the pods
    #[arg(long, value_name = "NAME")]
    pub runtime_class: Option<String>,
    /// CPU request of each pod
    #[arg(long, value_name = "QUANTITY", default_value = "10m")]
    pub cpu: String,
    /// CPU limit of each pod, for clusters that require one [default: none]
    #[arg(long, value_name = "QUANTITY")]
    pub cpu_limit: Option<String>,
    /// Memory request of each pod
    #[arg(long, value_name = "QUANTITY", default_value = "16Mi")]
    pub memory: String,
}

/// Where an outcome goes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct OutputArgs {
    /// Save the results as JSON, for `compare`, `report`, `diagnose` and other programs; - writes to stdout instead of the tables
    #[arg(long, visible_alias = "json", value_name = "FILE")]
    pub save: Vec<PathBuf>,
    /// Write a report as a single HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Show only what did not match
    #[arg(long, short)]
    pub quiet: bool,
}

/// `flowproof report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::all())]
pub struct ReportArgs {
    /// The saved results of a run, check or watch
    #[arg(value_name = "SAVED")]
    pub saved: PathBuf,
    /// Write a report as a single HTML file; - writes to stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a JUnit report; - writes to stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Show only what did not match
    #[arg(long, short)]
    pub quiet: bool,
}

/// `flowproof compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "nothing got worse"),
    (Exit::Mismatched, "something that matched no longer does"),
    (Exit::Usage, "usage, or a file that is not a saved run"),
    (Exit::Nothing, "no flow was tried in both runs"),
]))]
pub struct CompareArgs {
    /// The saved results of the earlier run
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The saved results of the later run
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// How much slower enforcement may get before the comparison fails: slower=2x allows twice as long
    /// [default: times are reported, but never fail]
    #[arg(long, value_name = "slower=FACTORx", value_parser = tolerance)]
    pub tolerate: Option<Tolerance>,
    /// Write the comparison as JSON; - writes to stdout instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the comparison as Markdown; - writes to stdout instead of the table
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// What is played, where and how.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct PlayArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Play the workloads of manifests, such as the output of helm template, and a stranger; expect what their policies say.
    /// A file, a directory, or - for stdin; may be repeated
    #[arg(short = 'f', long = "manifests", value_name = "FILE")]
    pub manifests: Vec<PathBuf>,
    /// The namespace of manifests that do not name one [default: default]
    #[arg(long, value_name = "NAME", requires = "manifests")]
    pub namespace: Option<String>,
    /// Where to play [default: kube if there is a kubeconfig, otherwise local]
    #[arg(long, value_enum)]
    pub cluster: Option<ClusterKind>,
    /// How long flows may take to settle after a change [default: 15s; 10s for check; 45s after a label change]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub settle: Option<Duration>,
    /// How much longer than --settle to wait for a network that is slow right now, as measured by other changes [default: 2m;
    /// 0s in the local cluster]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub patience: Option<Duration>,
    /// How long a flow must behave as expected before it counts as settled [default: 1s; 300ms in the local cluster]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub hold: Option<Duration>,
    /// Interval between attempts of a flow; stretched when more than 100 flows run together
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub interval: Duration,
    /// Number of nodes of the local cluster [default: 2]
    #[arg(long, value_name = "N")]
    pub nodes: Option<u8>,
    /// Delay before the local cluster enforces a change
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub enforce_delay: Option<Duration>,
    /// Give the local cluster this fault of a real network plugin; `flowproof faults --list` lists them
    #[arg(long, value_name = "NAME")]
    pub fault: Option<String>,
    /// Address families to try
    #[arg(long, value_enum, default_value = "both")]
    pub family: FamilyChoice,
    /// Where to run pods that the scenario does not place [default: spread over all nodes]
    #[arg(long, value_enum)]
    pub placement: Option<PlacementChoice>,
    /// How flows reach pods
    #[arg(long, value_enum, default_value = "pod")]
    pub via: ViaChoice,
    /// Play only scenarios whose file or claim contains this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Count known deviations of the network plugin as mismatches
    #[arg(long)]
    pub strict: bool,
    /// Allow flows to the cluster's own Services (a TCP handshake without payload)
    #[arg(long)]
    pub touch_live: bool,
    /// Capture packet headers at both ends, to show where failing flows are lost. In Kubernetes the probers then run as root
    /// with `NET_RAW`, which only the Pod Security level privileged allows
    #[arg(long)]
    pub capture: bool,
    /// Skip the canary, which first checks whether the cluster enforces anything at all
    #[arg(long)]
    pub no_canary: bool,
    /// How to show progress on stderr
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: live::Style,
    #[command(flatten)]
    /// Which Kubernetes cluster.
    pub kube: KubeArgs,
    #[command(flatten)]
    /// How pods are made.
    pub pods: PodArgs,
    /// Where the outcome goes.
    #[command(flatten)]
    pub outputs: OutputArgs,
}

/// `flowproof run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::all())]
pub struct RunArgs {
    /// Fail flows that are enforced later than this after a change [default: only --settle limits it]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub budget: Option<Duration>,
    /// Number of deployments side by side; auto for as many as the cluster can take [default: auto; 16 in the local cluster]
    #[arg(long, short, value_name = "N|auto", value_parser = jobs)]
    pub jobs: Option<Jobs>,
    /// Stop at the first mismatch
    #[arg(long)]
    pub fail_fast: bool,
    /// After a mismatch, say which known fault it looks like; `flowproof diagnose` says more
    #[arg(long)]
    pub diagnose: bool,
    /// Keep the pods, and say how to enter them
    #[arg(long)]
    pub keep: bool,
    /// Time limit for the whole run
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// What is played, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// `flowproof check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "every node enforces policies, and every capability holds or deviates as known"),
    (Exit::Mismatched, "a node does not, or a capability does not hold"),
    (Exit::Usage, Exit::Usage.meaning()),
    (Exit::Unclear, "neither, but something is unclear"),
    (Exit::SetUpFailed, "the cluster is unreachable, forbids what is needed, or a node could not be tried"),
    (Exit::NothingEnforced, "no node enforces anything"),
    (Exit::Interrupted, Exit::Interrupted.meaning()),
]))]
pub struct CheckArgs {
    /// Check the nodes only, and skip the capabilities
    #[arg(long)]
    pub nodes_only: bool,
    /// After a mismatch, say which known fault it looks like; `flowproof diagnose` says more
    #[arg(long)]
    pub diagnose: bool,
    /// Write the capabilities as a Markdown table; - writes to stdout instead of the report
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the findings as JSON; - writes to stdout instead of the report
    #[arg(long, value_name = "FILE")]
    pub found: Option<PathBuf>,
    /// What is played for the capabilities, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
}

/// `flowproof watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = watch_help())]
pub struct WatchArgs {
    /// What is watched, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Watch for at least this long
    #[arg(long = "for", help_heading = "Watch", value_name = "DURATION", value_parser = duration)]
    pub at_least: Option<Duration>,
    /// Watch until nothing has happened for this long, counted from the end of CMD
    #[arg(
        long,
        help_heading = "Watch",
        value_name = "DURATION",
        value_parser = duration,
        num_args = 0..=1,
        default_missing_value = "30s"
    )]
    pub until_stable: Option<Duration>,
    /// A command to run meanwhile; its output goes to stderr
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// How a watch ends, and its exit codes.
fn watch_help() -> String {
    let codes = exits::of(&[
        (Exit::Success, Exit::Success.meaning()),
        (Exit::Mismatched, "at least one mismatch, leak or gap"),
        (Exit::Usage, Exit::Usage.meaning()),
        (Exit::Unclear, "no mismatch, but something unproven, inconclusive or not observed"),
        (
            Exit::SetUpFailed,
            "the cluster is unreachable, forbids what is needed, the set-up failed, or CMD failed",
        ),
        (Exit::Nothing, Exit::Nothing.meaning()),
        (Exit::NothingEnforced, Exit::NothingEnforced.meaning()),
        (Exit::Interrupted, Exit::Interrupted.meaning()),
    ]);
    format!(
        "A watch ends once every condition that you gave is met: --for has elapsed, CMD has exited, --until-stable is reached. \
         With CMD alone it ends 10 s after CMD; without any condition it lasts until Ctrl-C. The first Ctrl-C ends the watch and \
         prints the report; the second cleans up at once, without a report.\n\n{codes}"
    )
}

/// `flowproof faults`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "every fault is caught"),
    (Exit::Mismatched, "a fault survives, or a scenario fails without any fault"),
    (Exit::Usage, Exit::Usage.meaning()),
    (Exit::Unclear, "something is unproven or inconclusive without any fault"),
    (Exit::SetUpFailed, "the local cluster does not work on this machine"),
    (Exit::Nothing, "nothing to play: no scenario selected"),
]))]
pub struct FaultsArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// List the faults, and play nothing
    #[arg(long)]
    pub list: bool,
    /// Stop playing a fault once a scenario catches it
    #[arg(long)]
    pub first: bool,
    /// Play only this fault; may be repeated [default: all]
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Play only scenarios whose file or claim contains this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// How long flows may take to settle with a fault; a slow or busy machine needs more
    #[arg(long, value_name = "DURATION", default_value = "1500ms", value_parser = duration)]
    pub settle: Duration,
    /// Number of nodes of each local cluster [default: 2]
    #[arg(long, value_name = "N")]
    pub nodes: Option<u8>,
    /// Number of local clusters side by side [default: 7 for each CPU]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Write the matrix or the list as JSON; - writes to stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `flowproof lint`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "no errors"),
    (Exit::Usage, "usage, or an error was found"),
    (Exit::SetUpFailed, "the cluster that should report its version is unreachable"),
    (Exit::Nothing, "no policy or scenario to check"),
]))]
pub struct LintArgs {
    /// Scenarios or plain manifests: files, directories, - for stdin [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The Kubernetes version they are meant for, such as 1.36; what only other versions reject is a warning
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["context", "kubeconfig"])]
    pub kubernetes: Option<Version>,
    /// The release channel of the definition of cluster policies
    #[arg(long, value_enum, default_value = "standard")]
    pub channel: ChannelChoice,
    /// The network plugin they are meant for, such as cilium: warn where it is known to differ from the API
    #[arg(long, value_name = "NAME")]
    pub cni: Option<String>,
    /// Write the problems as JSON to stdout
    #[arg(long)]
    pub json: bool,
    /// The cluster whose API server is asked for its version, when --context or --kubeconfig is given; nothing else is read.
    #[command(flatten)]
    pub kube: KubeArgs,
}

impl LintArgs {
    /// What is known of the API server, without asking it.
    pub fn api_server(&self) -> ApiServer {
        let channel = match self.channel {
            ChannelChoice::Standard => Channel::Standard,
            ChannelChoice::Experimental => Channel::Experimental,
        };
        ApiServer { version: self.kubernetes, channel }
    }
}

/// A channel of the definition of `ClusterNetworkPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChannelChoice {
    /// Stable fields only
    Standard,
    /// With nodes and domainNames as peers
    Experimental,
}

/// `flowproof explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "explained, whatever the answer"),
    (Exit::Usage, "usage, or files or a flow that cannot be read"),
    (Exit::SetUpFailed, "the cluster is unreachable or forbids what is needed"),
]))]
pub struct ExplainArgs {
    /// The flow: 'app/api -> data/postgres tcp/5432'; ends are namespace/pod, namespace/deploy/name, service namespace/name,
    /// node NAME, ip ADDRESS, cluster-dns
    #[arg(value_name = "FLOW")]
    pub flow: String,
    /// Use the state after this step of the scenario [default: the last step]
    #[arg(long, value_name = "N", requires = "files")]
    pub step: Option<usize>,
    /// The namespace of names without one
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Write the answer as JSON to stdout
    #[arg(long)]
    pub json: bool,
    /// Where namespaces, pods and policies are read.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// Where namespaces, pods and policies are read.
#[derive(Debug, Clone, Args)]
pub struct GivenArgs {
    /// Read manifests (files, directories, - for stdin) instead of a cluster; explain also reads a scenario
    #[arg(short, long = "file", value_name = "PATH", num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Read a live cluster, which is the default without --file; nothing in it is changed
    #[arg(long, value_name = "CLUSTER", value_parser = ["kube"], conflicts_with = "files")]
    pub cluster: Option<String>,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// `flowproof diagnose`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "whatever the run looks like"),
    (Exit::Usage, "usage, or a file that is not a saved run"),
    (Exit::SetUpFailed, "--refine: the cluster is unreachable, forbids what is needed, or the set-up failed"),
    (Exit::Nothing, "no scenario of the run can be compared"),
    (Exit::Interrupted, "--refine: interrupted; cleaned up"),
]))]
pub struct DiagnoseArgs {
    /// The saved results of a run or check
    #[arg(value_name = "SAVED")]
    pub saved: PathBuf,
    /// The scenario files and directories that were played [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Do not consider this fault; may be repeated
    #[arg(long, value_name = "FAULT")]
    pub without: Vec<String>,
    /// Play the scenario that tells the likeliest faults apart, with the cluster and options of the saved run, and diagnose again
    #[arg(long)]
    pub refine: bool,
    /// Write everything as JSON; - writes to stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `flowproof mutate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "enough edits would be noticed"),
    (Exit::Mismatched, "fewer than --fail-under demands"),
    (Exit::Usage, Exit::Usage.meaning()),
    (Exit::Nothing, "no edit of the policies changes anything, or no scenario is selected"),
]))]
pub struct MutateArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only scenarios whose file or claim contains this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Exit with 1 if fewer than this percentage of the edits would be noticed
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub fail_under: Option<u8>,
    /// Write everything as JSON; - writes to stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `flowproof map`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "nothing that --fail-on or --check looks for"),
    (Exit::Mismatched, "the change is one that --fail-on names, or --check found a difference"),
    (Exit::Usage, "usage, or files that cannot be read"),
    (Exit::SetUpFailed, "the cluster is unreachable or forbids what is needed"),
]))]
pub struct MapArgs {
    /// Manifests (files, directories, - for stdin), a scenario, a saved map, or git:REVISION:PATH [default: the cluster, which is
    /// only read]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    pub format: MapFormat,
    /// Show what changes from this map to that of PATH
    #[arg(long, value_name = "OLD", conflicts_with = "check")]
    pub diff: Option<PathBuf>,
    /// Exit with 1 if the change opens something, closes something, or either
    #[arg(long, value_enum, requires = "diff")]
    pub fail_on: Option<MapFailOn>,
    /// Compare with a reviewed file, one connection per line; exit with 1 if they differ
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// Write the file of --check instead of comparing
    #[arg(long, requires = "check")]
    pub write: bool,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// A table, or a list if it would be too wide
    Text,
    /// A table in Markdown
    Markdown,
    /// JSON, for --diff and other programs
    Json,
    /// One connection per line, sorted
    Lines,
    /// A graph in Mermaid, which GitHub draws
    Mermaid,
    /// A graph in Graphviz' language
    Dot,
    /// An SVG picture
    Svg,
}

/// What makes `map --diff` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapFailOn {
    /// Something is allowed that was not
    Opens,
    /// Something was allowed that is not
    Closes,
    /// Either
    Any,
}

/// `flowproof generate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "scenarios were written"),
    (Exit::Usage, "usage, files that cannot be read, or a file that exists already"),
    (Exit::SetUpFailed, "the cluster is unreachable or forbids what is needed, or a file cannot be written"),
    (Exit::Nothing, "no policies to generate scenarios from"),
]))]
pub struct GenerateArgs {
    /// Generate scenarios with shadows of the workloads that run in the cluster, under its own policies
    #[arg(long, conflicts_with = "files")]
    pub from_cluster: bool,
    /// Where to write the scenarios: one file per policy, or per namespace with --from-cluster; created if missing
    #[arg(short, long, value_name = "DIRECTORY")]
    pub out: PathBuf,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
    /// Where namespaces, pods and policies are read.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// `flowproof clean`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "listed, or removed"),
    (Exit::Usage, "usage, or a run that left nothing behind"),
    (Exit::SetUpFailed, "the cluster is unreachable or forbids what is needed"),
]))]
pub struct CleanArgs {
    /// IDs of the runs to remove
    #[arg(value_name = "RUN", conflicts_with_all = ["all", "older_than"])]
    pub runs: Vec<String>,
    /// Remove everything that any run left behind, including runs still in progress
    #[arg(long, conflicts_with = "older_than")]
    pub all: bool,
    /// Remove runs that started longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// `flowproof manifest`.
#[derive(Debug, Clone, Args)]
pub struct ManifestArgs {
    /// What to print.
    #[command(subcommand)]
    pub command: ManifestCommand,
    /// The namespace of the service account and the Job
    #[arg(short, long, value_name = "NAME", default_value = "flowproof", global = true)]
    pub namespace: String,
}

/// Manifests that run flowproof inside a cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum ManifestCommand {
    /// A service account with the ClusterRole that flowproof needs
    Rbac,
    /// The same, and a Job that runs flowproof once
    Job(ManifestJobArgs),
}

/// `flowproof manifest job`.
#[derive(Debug, Clone, Args)]
pub struct ManifestJobArgs {
    /// The image of flowproof itself: a released one, or what `flowproof image save --runner` writes
    #[arg(long, value_name = "REF", default_value = concat!("ghcr.io/flowproof/flowproof:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// imagePullPolicy of its pod
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub pull_policy: String,
    /// A pull secret in that namespace
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Option<String>,
    /// The flowproof command to run and its options, after --
    #[arg(last = true, value_name = "ARGUMENT", default_value = "check")]
    pub arguments: Vec<String>,
}

/// Reads `250ms`, `15s`, `2m`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("'{text}' is not a duration; write 250ms, 15s, 2m or 1h30m"))?;
    Duration::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Reads a number of deployments, or `auto`.
fn jobs(text: &str) -> Result<Jobs, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(Jobs::Auto),
        (_, Ok(jobs)) if jobs > 0 => Ok(Jobs::Fixed(jobs)),
        _ => Err(format!("'{text}' is not a number of deployments; write auto, or a number from 1")),
    }
}

/// Reads `slower=2x`.
fn tolerance(text: &str) -> Result<Tolerance, String> {
    let factor =
        text.strip_prefix("slower=").and_then(|factor| factor.trim_end_matches('x').parse::<f64>().ok());
    match factor {
        Some(factor) if factor.is_finite() && factor >= 1.0 => Ok(Tolerance { slower: Some(factor) }),
        _ => Err(format!("'{text}' is not a tolerance; write slower=2x, with a factor of 1 or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert!(duration("15").is_err());
        assert!(duration("-3s").is_err());
    }

    #[test]
    fn jobs_are_a_number_or_auto() {
        assert_eq!((jobs("auto"), jobs("3")), (Ok(Jobs::Auto), Ok(Jobs::Fixed(3))));
        for wrong in ["0", "-1", "many", ""] {
            assert!(jobs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tolerance_is_a_factor() {
        assert_eq!(tolerance("slower=2x"), Ok(Tolerance { slower: Some(2.0) }));
        assert_eq!(tolerance("slower=1.5"), Ok(Tolerance { slower: Some(1.5) }));
        for wrong in ["slower", "slower=0.5x", "slower=NaN", "slower=inf", "faster=2x", "2x"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }
}
