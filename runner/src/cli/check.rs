//! `flowproof check`: every node first, then the suite; one answer.

use super::{
    Failure, diagnose, exits,
    outputs::{self, Outputs, ReportFileArgs, is_stdout, summary, write_json, write_to},
    play::{Play, PlayArgs},
    say,
    session::Session,
    values::pairs,
};
use crate::{
    check::{
        Report, junit,
        node::{self, NodeReport, State},
        table,
    },
    cluster::Cluster,
    report::{
        diagnosis_text,
        live::{Remark, Style},
    },
    run::{Progress, Settings, run_id},
};
use clap::Args;
use flowproof_core::outcome::{End, Exit, Outcome, ScenarioOutcome};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A node that has not enforced a policy within this time is reported.
const SETTLE: Duration = Duration::from_secs(10);
/// A node on which no pod has started for this long is reported instead of waited for.
const DEPLOY: Duration = Duration::from_secs(45);

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
    #[arg(
        long,
        conflicts_with_all = ["paths", "manifests", "filter", "placement", "via", "strict", "touch_live"]
    )]
    pub nodes_only: bool,
    /// Refused with the reason: every node is tried.
    #[arg(long, hide = true)]
    pub no_canary: bool,
    /// After a mismatch, say which known fault it looks like; `flowproof diagnose` says more
    #[arg(long)]
    pub diagnose: bool,
    /// What is played for the capabilities, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Where the results go.
    #[command(flatten)]
    pub outputs: CheckOutputArgs,
}

/// Where the results of a check go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct CheckOutputArgs {
    /// Write the findings as JSON; - writes to stdout instead of the tables
    #[arg(long, alias = "found", value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the capabilities as a Markdown table; - writes to stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the outcome of all flows as JSON, for `compare`, `report`, `diagnose` and other programs; - writes to stdout
    /// instead of the tables; may be repeated
    #[arg(long, value_name = "FILE")]
    pub save: Vec<PathBuf>,
    /// Other reports.
    #[command(flatten)]
    pub files: ReportFileArgs,
}

impl CheckOutputArgs {
    /// Where the outcome goes.
    fn outcome(&self) -> Outputs<'_> {
        Outputs { saved: &self.save, files: &self.files }
    }

    /// All files to write.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = self.json.iter().chain(&self.markdown).chain(&self.save);
        own.chain(&self.files.html).chain(&self.files.junit).map(PathBuf::as_path)
    }
}

/// Carries out `flowproof check`; returns the exit code.
pub async fn check(args: Box<CheckArgs>) -> Result<Exit, Failure> {
    let play = &args.play;
    if args.no_canary {
        return Err(Failure::usage(
            "--no-canary has no effect on a check, which tries every node instead of a canary",
        )
        .hint("leave it out"));
    }
    let suite = if args.nodes_only { Vec::new() } else { play.selection.scenarios()? };
    let deviations = play.selection.deviations()?;
    outputs::check(args.outputs.paths())?;
    let kind = play.choose()?;
    play.selection.may_play(kind, &suite)?;
    let cluster = play.connect(kind).await?;
    let nodes = nodes(play, &*cluster).await?;
    let defaults = play.settings(kind)?;
    let settings = Settings {
        settle: play.timing.settle.unwrap_or(SETTLE),
        urgent: nodes.len(),
        deploy: DEPLOY,
        canary: false,
        ..defaults
    };
    let scenarios: Vec<_> = node::scenarios(&nodes).chain(suite.iter().cloned()).collect();
    let whole = Play {
        cluster: Arc::clone(&cluster),
        scenarios: scenarios.clone(),
        deviations,
        settings: settings.clone(),
        watch: None,
    };
    let mut session = Session::begin(None);
    // If this fails, nothing has been created.
    let mut outcome = whole.carry_out(&mut session, play.progress, answer(&nodes)).await?;
    let again = Again { cluster, settings, nodes: &nodes, style: play.progress };
    let written = match again.play(&mut session, &mut outcome).await {
        Ok(()) => {
            if args.diagnose {
                diagnose::add_to(&mut outcome, &scenarios);
            }
            write(&args.outputs, &Report::read(&nodes, &suite, &outcome), &outcome)
        }
        Err(failure) => Err(failure),
    };
    let changed = session.end().await.amend(&mut outcome);
    written.and(args.outputs.outcome().finish(&outcome, changed))?;
    let report = Report::read(&nodes, &suite, &outcome);
    Ok(if outcome.interrupted { Exit::Interrupted } else { report.exit() })
}

/// The second round: a node that cannot take pods, or whose pods reach nobody, must not spoil the answer for its neighbor.
struct Again<'a> {
    cluster: Arc<dyn Cluster>,
    settings: Settings,
    nodes: &'a [String],
    style: Style,
}

impl Again<'_> {
    /// Plays the spoiled nodes again, and replaces their earlier outcomes. The first round is removed at the same time.
    async fn play(self, session: &mut Session, outcome: &mut Outcome) -> Result<(), Failure> {
        let nodes = self.nodes;
        let reports = node::read_all(nodes, &outcome.scenarios);
        let spoilt = spoilt(&reports, &outcome.scenarios);
        if spoilt.is_empty() || outcome.interrupted {
            return Ok(());
        }
        let sound = |from: usize| {
            let mut others = (1..nodes.len()).map(|step| (from + step) % nodes.len());
            others.find(|other| is_sound(&reports, &outcome.scenarios, *other))
        };
        let scenario =
            |index: usize| node::scenario(&nodes[index], sound(index).map(|other| nodes[other].as_str()));
        let again = Play {
            cluster: self.cluster,
            scenarios: spoilt.iter().copied().map(scenario).collect(),
            deviations: Vec::new(),
            settings: Settings { run: run_id(), ..self.settings },
            watch: None,
        };
        let again = again.carry_out(session, self.style, Box::new(|_| None)).await?;
        for (index, scenario) in spoilt.into_iter().zip(again.scenarios) {
            outcome.scenarios[index] = scenario;
        }
        outcome.interrupted |= again.interrupted;
        Ok(())
    }
}

/// The indexes of the nodes about which another neighbor may show more: a pod on the neighbor did not start, or nothing passed
/// between them and the neighbor's own pods reach nobody either. The first outcomes are those of the reports.
fn spoilt(reports: &[NodeReport], outcomes: &[ScenarioOutcome]) -> Vec<usize> {
    let by_its_neighbour = |index: usize| match &outcomes[index].end {
        End::Failed { node, .. } => node.as_ref() != Some(&reports[index].node),
        _ => {
            reports[index].state != State::CutOff
                && node::found_nobody(&outcomes[index])
                && !is_sound(reports, outcomes, (index + 1) % reports.len())
        }
    };
    let candidates = if reports.len() > 1 { 0..reports.len() } else { 0..0 };
    candidates.filter(|index| by_its_neighbour(*index)).collect()
}

/// Whether a node can be another one's neighbor: its own pods start and reach somebody, and no other node failed because of it.
fn is_sound(reports: &[NodeReport], outcomes: &[ScenarioOutcome], index: usize) -> bool {
    let NodeReport { node: name, state, .. } = &reports[index];
    let blamed = |outcome: &ScenarioOutcome| matches!(&outcome.end, End::Failed { node: Some(node), .. } if node == name);
    *state != State::CutOff && !outcomes[..reports.len()].iter().any(blamed)
}

/// The names of the nodes that can take pods.
async fn nodes(play: &PlayArgs, cluster: &dyn Cluster) -> Result<Vec<String>, Failure> {
    let info = cluster.describe().await?;
    let wanted = pairs("--node-selector", &play.pods.node_selector)?;
    let usable = info.nodes.into_iter().filter(|node| {
        node.unusable.is_none() && wanted.iter().all(|(key, value)| node.labels.get(key) == Some(value))
    });
    let nodes: Vec<String> = usable.map(|node| node.name).collect();
    if nodes.is_empty() {
        return Err(Failure::set_up("no node can take pods now".to_owned()));
    }
    Ok(nodes)
}

/// Prints the answer for the nodes as soon as the last of them is done, long before the capabilities are.
fn answer(nodes: &[String]) -> Remark {
    let nodes = nodes.to_vec();
    let mut outcomes: Vec<Option<ScenarioOutcome>> = vec![None; nodes.len()];
    Box::new(move |event| {
        let Progress::Finished(outcome) = event else { return None };
        let index = nodes.iter().position(|node| outcome.file == node::file(node))?;
        outcomes[index] = Some((**outcome).clone());
        let outcomes: Vec<ScenarioOutcome> = outcomes.iter().cloned().collect::<Option<_>>()?;
        let reports = node::read_all(&nodes, &outcomes);
        let again: Vec<&str> =
            spoilt(&reports, &outcomes).into_iter().map(|index| nodes[index].as_str()).collect();
        let mut text = table::answer(&reports);
        if !again.is_empty() {
            let _ = write!(text, "\n  retrying with another neighbour: {}", again.join(", "));
        }
        Some(text)
    })
}

/// Writes the reports that were asked for.
fn write(args: &CheckOutputArgs, report: &Report, outcome: &Outcome) -> Result<(), Failure> {
    args.outcome().files(outcome, junit::suites(report))?;
    if let Some(path) = &args.markdown {
        write_to(path, &table::markdown(report, outcome))?;
    }
    summary(&format!(
        "### flowproof check\n\n{}\n\n{}\n",
        table::answer(&report.nodes),
        table::markdown(report, outcome)
    ))?;
    if let Some(path) = &args.json {
        write_json(path, report)?;
    }
    if args.paths().any(is_stdout) {
        return Ok(());
    }
    say(&(table::text(report, args.files.detail()) + &diagnosis_text(outcome))).map(drop)
}
