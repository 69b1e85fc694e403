//! The arguments, with the texts of `--help`.

use crate::{report::live, run::Jobs};
use clap::{Args, Parser, Subcommand, ValueEnum};
use flowproof_core::{
    compare::Tolerance,
    policy::{ApiServer, Channel, Version},
};
use std::{path::PathBuf, time::Duration};

/// Proves that a Kubernetes network does what its policies say.
#[derive(Debug, Parser)]
#[command(name = "flowproof", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  everything matched
    1  at least one mismatch
    2  usage, or a scenario that does not parse or check
    3  no mismatch, but something unproven or inconclusive
    4  the cluster is unreachable, forbids what is needed, or the set-up failed
    5  nothing to run: no scenario or flow selected
    6  the cluster accepts policies and enforces none of them
  130  interrupted; cleaned up";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deploy probers, play scenarios, compare what happens with what is expected
    Run(Box<RunArgs>),
    /// Tell whether the cluster enforces policies: on every node, and which parts
    Check(Box<CheckArgs>),
    /// Keep trying while something happens (an upgrade); report every leak and every gap
    Watch(Box<WatchArgs>),
    /// Show a saved run again: tables, HTML, JUnit
    Report(ReportArgs),
    /// Compare two saved runs, flow by flow
    Compare(CompareArgs),
    /// Tell what scenarios catch: play them in local clusters with the faults of real network plugins
    Faults(FaultsArgs),
    /// Check scenarios and policies without a cluster: what an API server rejects, what contradicts, what is doubtful
    Lint(LintArgs),
    /// Say why the policies allow or deny a flow
    Explain(ExplainArgs),
    /// Which fault of a network plugin a red run looks like
    Diagnose(DiagnoseArgs),
    /// Write scenarios that test policies: those of manifests, or those of a cluster
    Generate(GenerateArgs),
    /// Which edits of their own policies scenarios would not notice, and the flow that would catch each
    Mutate(MutateArgs),
    /// Who may reach whom, by the policies: of manifests, a scenario, or the cluster; what a change opens and closes
    Map(MapArgs),
    /// Remove what runs left behind
    Clean(CleanArgs),
    /// The prober's image, or flowproof's own: an archive, or into kind, k3s, containerd
    Image(ImageArgs),
    /// Print what runs flowproof inside a cluster, for kubectl apply -f -
    Manifest(ManifestArgs),
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterKind {
    /// A Kubernetes cluster, chosen as kubectl does
    Kube,
    /// The local cluster: network namespaces on this machine
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
    /// On two nodes, so that as many flows as possible cross from one to the other
    CrossNode,
    /// Every scenario twice, once so and once so
    Both,
}

/// By which way flows reach pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ViaChoice {
    /// By the pod's address
    Pod,
    /// Through a ClusterIP Service in front of each pod
    Service,
    /// Both
    Both,
}

/// Which cluster, and with whose rights.
#[derive(Debug, Clone, Args)]
pub struct KubeArgs {
    /// The kubeconfig file [default: as kubectl: $KUBECONFIG, ~/.kube/config, in-cluster]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// How the prober gets into its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliverChoice {
    /// The image where all nodes have it or --image names it, else a ConfigMap
    Auto,
    /// With an image
    Image,
    /// In a ConfigMap
    #[value(name = "configmap")]
    ConfigMap,
}

/// How the prober's pods are made.
#[derive(Debug, Clone, Args)]
pub struct PodArgs {
    /// The prober's image in a registry [default: the one that `flowproof image load` loads]
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// How the prober gets into its pods: with its image, or in a ConfigMap, for which nothing has to be loaded or pushed; auto
    /// takes the image where all nodes have it or --image names it, else the ConfigMap
    #[arg(long, value_name = "HOW", default_value = "auto", value_enum)]
    pub deliver: DeliverChoice,
    /// The image of the pods that the prober comes to in a ConfigMap; nothing of it runs [default: one that the nodes have]
    #[arg(long, value_name = "REF")]
    pub base_image: Option<String>,
    /// imagePullPolicy of the pods
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub pull_policy: String,
    /// Name of a pull secret in the prober's namespaces, as NAMESPACE/NAME of a secret to copy; may be given more than once
    #[arg(long = "pull-secret", value_name = "NAMESPACE/NAME")]
    pub pull_secrets: Vec<String>,
    /// A toleration of every pod, as KEY[=VALUE][:EFFECT] or "*"; may be given more than once
    #[arg(long = "toleration", value_name = "TOLERATION")]
    pub tolerations: Vec<String>,
    /// Use only nodes with this label, as KEY=VALUE; may be given more than once
    #[arg(long = "node-selector", value_name = "KEY=VALUE")]
    pub node_selector: Vec<String>,
    /// A label of every pod, as KEY=VALUE; may be given more than once
    #[arg(long = "pod-label", value_name = "KEY=VALUE")]
    pub pod_labels: Vec<String>,
    /// An annotation of every pod, as KEY=VALUE; may be given more than once
    #[arg(long = "pod-annotation", value_name = "KEY=VALUE")]
    pub pod_annotations: Vec<String>,
    /// A label of every namespace that a run creates, as KEY=VALUE; may be given more than once
    #[arg(long = "namespace-label", value_name = "KEY=VALUE")]
    pub namespace_labels: Vec<String>,
    /// An annotation of every namespace that a run creates, as KEY=VALUE; may be given more than once
    #[arg(long = "namespace-annotation", value_name = "KEY=VALUE")]
    pub namespace_annotations: Vec<String>,
    /// The priority class of the pods
    #[arg(long, value_name = "NAME")]
    pub priority_class: Option<String>,
    /// The runtime class of the pods
    #[arg(long, value_name = "NAME")]
    pub runtime_class: Option<String>,
    /// CPU that each pod requests
    #[arg(long, value_name = "QUANTITY", default_value = "10m")]
    pub cpu: String,
    /// CPU that no pod may exceed, where a cluster insists on a limit [default: none]
    #[arg(long, value_name = "QUANTITY")]
    pub cpu_limit: Option<String>,
    /// Memory that each pod requests
    #[arg(long, value_name = "QUANTITY", default_value = "16Mi")]
    pub memory: String,
}

/// Where an outcome goes.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Save the outcome as JSON, for `compare`, `report` and other programs; - for stdout instead of the tables
    #[arg(long, visible_alias = "json", value_name = "FILE")]
    pub save: Vec<PathBuf>,
    /// Write a report as one HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Tell only what did not match
    #[arg(long, short)]
    pub quiet: bool,
}

/// `flowproof report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The saved outcome of a run or a watch
    #[arg(value_name = "SAVED")]
    pub saved: PathBuf,
    /// Write a report as one HTML file; - for stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a JUnit report; - for stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Tell only what did not match
    #[arg(long, short)]
    pub quiet: bool,
}

/// `flowproof compare`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit codes: 0 nothing got worse, 1 something that matched no longer does, 2 usage, 5 nothing to compare"
)]
pub struct CompareArgs {
    /// The saved outcome of the earlier run
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The saved outcome of the later run
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// What may get worse: slower=2x lets enforcement take twice as long, and fails what takes longer
    /// [default: time is told, and fails nothing]
    #[arg(long, value_name = "slower=FACTORx", value_parser = tolerance)]
    pub tolerate: Option<Tolerance>,
    /// Write the comparison as JSON; - for stdout instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the comparison as Markdown; - for stdout instead of the table
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
    /// Manifests, as helm template prints them: a file, a directory, or - for stdin; plays their workloads and a stranger, and
    /// expects what their policies say; may be given more than once
    #[arg(short = 'f', long = "manifests", value_name = "FILE")]
    pub manifests: Vec<PathBuf>,
    /// The namespace of those manifests that name none [default: default]
    #[arg(long, value_name = "NAME", requires = "manifests")]
    pub namespace: Option<String>,
    /// Where to run
    #[arg(long, value_enum)]
    pub cluster: Option<ClusterKind>,
    #[command(flatten)]
    /// Which Kubernetes cluster.
    pub kube: KubeArgs,
    #[command(flatten)]
    /// How pods are made.
    pub pods: PodArgs,
    /// How long flows may take to settle after a change [default: 15s; 10s in a check; 45s for changed labels]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub settle: Option<Duration>,
    /// How long to wait beyond --settle as long as nothing shows that the network had the time that it takes just now; 0s for no
    /// longer than --settle [default: 2m; 0s in the local cluster]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub patience: Option<Duration>,
    /// How long a flow must go as expected before it counts as settled [default: 1s; 300ms in the local cluster]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub hold: Option<Duration>,
    /// From one attempt of a flow to the next; longer for all when a lane has more than 100 flows
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub interval: Duration,
    /// Nodes of the local cluster [default: 2]
    #[arg(long, value_name = "N")]
    pub nodes: Option<u8>,
    /// How long the local cluster's policy engine waits before it enforces a change
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub enforce_delay: Option<Duration>,
    /// Have the local cluster enforce policies with this fault of a real network plugin
    #[arg(long, value_name = "NAME")]
    pub fault: Option<String>,
    /// Address families to try
    #[arg(long, value_enum, default_value = "both")]
    pub family: FamilyChoice,
    /// Where the pods run that scenarios do not place themselves [default: on all nodes in turn]
    #[arg(long, value_enum)]
    pub placement: Option<PlacementChoice>,
    /// By which way flows to pods go
    #[arg(long, value_enum, default_value = "pod")]
    pub via: ViaChoice,
    /// Play only scenarios whose file or claim contains this; may be given more than once
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Count known deviations of the network plugin as mismatches
    #[arg(long)]
    pub strict: bool,
    /// Let flows go to the cluster's own Services, with bare TCP connects that carry nothing
    #[arg(long)]
    pub touch_live: bool,
    /// Capture the headers of the flows' packets at both ends, to tell where flows that fail die; in Kubernetes the probers
    /// then run as root with `NET_RAW`, which only the Pod Security level privileged allows
    #[arg(long)]
    pub capture: bool,
    /// Do not first try whether the cluster enforces anything at all
    #[arg(long)]
    pub no_canary: bool,
    /// Where the outcome goes.
    #[command(flatten)]
    pub outputs: OutputArgs,
    /// How progress is told on stderr
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: live::Style,
}

/// `flowproof run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct RunArgs {
    /// What is played, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Fail flows that are enforced later than this after the change [default: no limit but --settle]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub budget: Option<Duration>,
    /// Deployments side by side: a number, or auto for as many as the cluster bears [default: auto; 16 in the local cluster]
    #[arg(long, short, value_name = "N|auto", value_parser = jobs)]
    pub jobs: Option<Jobs>,
    /// End at the first mismatch
    #[arg(long)]
    pub fail_fast: bool,
    /// After a mismatch say which known fault it looks like; `flowproof diagnose` says more
    #[arg(long)]
    pub diagnose: bool,
    /// Leave the pods in place and say how to enter them
    #[arg(long)]
    pub keep: bool,
    /// Limit for the whole run
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `flowproof check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = CHECK_EXIT_CODES)]
pub struct CheckArgs {
    /// What is played for the capabilities, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Only try every node; leave the capabilities out
    #[arg(long)]
    pub nodes_only: bool,
    /// After a mismatch say which known fault it looks like; `flowproof diagnose` says more
    #[arg(long)]
    pub diagnose: bool,
    /// Write the capabilities as a Markdown table; - for stdout instead of the report
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write what was found as JSON; - for stdout instead of the report
    #[arg(long, value_name = "FILE")]
    pub found: Option<PathBuf>,
}

const CHECK_EXIT_CODES: &str = "\
Exit codes:
    0  every node enforces, and every capability holds or deviates as known
    1  a node or a capability does not
    3  neither, but something is unclear
    4  the cluster is unreachable, forbids what is needed, or a node could not be tried
    6  no node enforces anything
  130  interrupted; cleaned up";

/// `flowproof watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = WATCH_HELP)]
pub struct WatchArgs {
    /// What is watched, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Watch for at least this long
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub at_least: Option<Duration>,
    /// Watch until nothing has happened for this long, and since the command's end
    #[arg(long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "30s")]
    pub until_stable: Option<Duration>,
    /// A program to run meanwhile, with its arguments; what it writes goes to stderr
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

const WATCH_HELP: &str = "\
A watch lasts until all that is asked for holds: --for is over, CMD has ended, --until-stable holds. After CMD alone it goes on for
10 s; with none of them it lasts until Ctrl-C. Ctrl-C ends a watch and reports it; a second one removes everything at once.

Exit codes: as of run; a leak or a gap is a mismatch (1), what was not observed is inconclusive (3), and a command that fails is 4.";

/// `flowproof faults`.
#[derive(Debug, Clone, Args)]
#[command(after_help = FAULTS_EXIT_CODES)]
pub struct FaultsArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// List the faults and play nothing
    #[arg(long)]
    pub list: bool,
    /// Play each fault only until a scenario catches it
    #[arg(long)]
    pub first: bool,
    /// Only this fault; may be given more than once [default: all]
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Play only scenarios whose file or claim contains this; may be given more than once
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// How long flows may take to settle with a fault; a machine that is slow or busy needs more
    #[arg(long, value_name = "DURATION", default_value = "1500ms", value_parser = duration)]
    pub settle: Duration,
    /// Nodes of each local cluster [default: 2]
    #[arg(long, value_name = "N")]
    pub nodes: Option<u8>,
    /// Local clusters side by side [default: 7 for each processor]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Write the matrix, or the list, as JSON; - for stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const FAULTS_EXIT_CODES: &str = "\
Exit codes:
    0  every fault is caught
    1  a fault survives, or a scenario does not match without any fault
    2  usage, or a scenario that does not parse or check
    3  without any fault something is unproven or inconclusive
    4  the local cluster cannot work here
    5  nothing to play: no scenario selected";

/// `flowproof lint`.
#[derive(Debug, Clone, Args)]
pub struct LintArgs {
    /// Scenarios, or plain manifests: files, directories, - for stdin [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The version of the API server that they are meant for, as 1.36: what only others reject is a warning
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["context", "kubeconfig"])]
    pub kubernetes: Option<Version>,
    /// The cluster whose API server is asked for its version, when --context or --kubeconfig is given; nothing else is read.
    #[command(flatten)]
    pub kube: KubeArgs,
    /// The channel of its definition of cluster policies
    #[arg(long, value_enum, default_value = "standard")]
    pub channel: ChannelChoice,
    /// Write the problems as JSON on stdout
    #[arg(long)]
    pub json: bool,
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
    /// What is stable
    Standard,
    /// With nodes and domainNames as peers
    Experimental,
}

/// `flowproof explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The flow: 'app/api -> data/postgres tcp/5432'; ends are namespace/pod, namespace/deploy/name, service namespace/name,
    /// node NAME, ip ADDRESS, cluster-dns
    #[arg(value_name = "FLOW")]
    pub flow: String,
    /// Where namespaces, pods and policies are read.
    #[command(flatten)]
    pub given: GivenArgs,
    /// Of a scenario, the state after this step [default: after the last]
    #[arg(long, value_name = "N", requires = "files")]
    pub step: Option<usize>,
    /// The namespace of names that are written without one
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Write the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where namespaces, pods and policies are read.
#[derive(Debug, Clone, Args)]
pub struct GivenArgs {
    /// Manifests (files, directories, - for stdin), instead of a cluster; for explain also one scenario
    #[arg(short, long = "file", value_name = "PATH", num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Read a live cluster, as happens without --file; nothing in it is changed
    #[arg(long, value_name = "CLUSTER", value_parser = ["kube"], conflicts_with = "files")]
    pub cluster: Option<String>,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// `flowproof diagnose`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit codes: 0 whatever it looks like, 2 usage, 5 nothing can be compared")]
pub struct DiagnoseArgs {
    /// The saved outcome of a run or a check
    #[arg(value_name = "SAVED")]
    pub saved: PathBuf,
    /// The scenario files and directories that were played [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Write everything as JSON; - for stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `flowproof mutate`.
#[derive(Debug, Clone, Args)]
pub struct MutateArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only scenarios whose file or claim contains this; may be given more than once
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Exit with 1 when less than this part of the edits would be noticed, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub fail_under: Option<u8>,
    /// Write everything as JSON; - for stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `flowproof map`.
#[derive(Debug, Clone, Args)]
pub struct MapArgs {
    /// Manifests (files, directories, - for stdin), a scenario, a saved map, or git:REVISION:PATH [default: the cluster, of which this only
    /// reads]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How the map is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: MapFormat,
    /// What becomes different from this map to PATH's
    #[arg(long, value_name = "OLD", conflicts_with = "check")]
    pub diff: Option<PathBuf>,
    /// Exit with 1 when something opens, closes, or either
    #[arg(long, value_enum, requires = "diff")]
    pub fail_on: Option<MapFailOn>,
    /// Compare with a reviewed file, one connection a line; exit with 1 when they differ
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// Write the file of --check instead
    #[arg(long, requires = "check")]
    pub write: bool,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// A table, or a list when it would be too wide
    Text,
    /// A table in Markdown
    Markdown,
    /// JSON, for --diff and other programs
    Json,
    /// One connection a line, sorted
    Lines,
    /// A graph in Mermaid, which GitHub draws
    Mermaid,
    /// A graph in Graphviz' language
    Dot,
    /// A picture
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
pub struct GenerateArgs {
    /// Make scenarios with shadows of the workloads that run in the cluster, under the policies that it has
    #[arg(long, conflicts_with = "files")]
    pub from_cluster: bool,
    /// Where namespaces, pods and policies are read.
    #[command(flatten)]
    pub given: GivenArgs,
    /// Where to write the scenarios, one file for each policy, or for each namespace with --from-cluster; it is made if it is
    /// not there
    #[arg(short, long, value_name = "DIRECTORY")]
    pub out: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    pub force: bool,
}

/// `flowproof clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// Runs to remove, by their ids
    #[arg(value_name = "RUN", conflicts_with_all = ["all", "older_than"])]
    pub runs: Vec<String>,
    /// Remove everything that any run left behind, runs that are going on included
    #[arg(long, conflicts_with = "older_than")]
    pub all: bool,
    /// Remove runs that began longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// `flowproof image`.
#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ImageCommand,
    /// Flowproof's own image instead, with the program that runs now, to run it inside a cluster (`flowproof manifest job`)
    #[arg(long, global = true)]
    pub runner: bool,
}

/// What to do with the image.
#[derive(Debug, Clone, Subcommand)]
pub enum ImageCommand {
    /// Write an OCI archive, the same bytes every time
    Save {
        /// The file
        file: PathBuf,
    },
    /// Put it where a cluster finds it
    Load(ImageLoadArgs),
    /// Print the image's reference
    Name,
}

/// `flowproof image load`.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct ImageLoadArgs {
    /// Into all nodes of a kind cluster
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "kind")]
    pub kind: Option<String>,
    /// Into this machine's containerd
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    pub containerd: Option<String>,
    /// Into this machine's k3s
    #[arg(long)]
    pub k3s: bool,
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

/// What runs flowproof inside a cluster.
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
    /// A secret of the namespace to pull the image with
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Option<String>,
    /// What flowproof is to do: a command and its options, behind --
    #[arg(last = true, value_name = "ARGUMENT", default_value = "check")]
    pub arguments: Vec<String>,
}

/// Reads `250ms`, `15s`, `2m`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("'{text}' is no duration; write 250ms, 15s, 2m or 1h30m"))?;
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
        _ => Err(format!("'{text}' is no tolerance; write slower=2x, with a factor of 1 or more")),
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
