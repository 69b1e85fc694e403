//! `flowproof check`: every node first, then the suite; one answer.

use super::{
    Failure,
    args::{CheckArgs, PlayArgs},
    diagnose,
    output::{is_stdout, summary, write_to},
    run::{Play, cluster, deviations, kind, may_play, scenarios_of, settings},
    say,
    session::Session,
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
use flowproof_core::outcome::{End, Exit, Outcome, ScenarioOutcome};
use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

/// A node that has not enforced a policy by then is worth a word.
const SETTLE: Duration = Duration::from_secs(10);
/// A node on which no pod has come on for so long is told, instead of being waited for.
const DEPLOY: Duration = Duration::from_secs(45);

/// Carries out `flowproof check`; returns the exit code.
pub async fn check(args: Box<CheckArgs>) -> Result<Exit, Failure> {
    let play = &args.play;
    let suite = if args.nodes_only { Vec::new() } else { scenarios_of(play)? };
    let deviations = deviations(play)?;
    play.outputs.check()?;
    let kind = kind(play);
    may_play(play, kind, &suite)?;
    let cluster = cluster(play, kind).await?;
    let nodes = nodes(play, &*cluster).await?;
    let defaults = settings(play, kind)?;
    let settings = Settings {
        settle: play.settle.unwrap_or(SETTLE),
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
    // What fails here has created nothing.
    let mut outcome = whole.carry_out(&mut session, play.progress, answer(&nodes)).await?;
    let again = Again { cluster, settings, nodes: &nodes, style: play.progress };
    let written = match again.play(&mut session, &mut outcome).await {
        Ok(()) => {
            if args.diagnose {
                diagnose::add_to(&mut outcome, &scenarios);
            }
            write(&args, &Report::read(&nodes, &suite, &outcome), &outcome)
        }
        Err(failure) => Err(failure),
    };
    let changed = session.end().await.amend(&mut outcome);
    written.and(play.outputs.finish(&outcome, changed))?;
    let report = Report::read(&nodes, &suite, &outcome);
    Ok(if outcome.interrupted { Exit::Interrupted } else { report.exit() })
}

/// The second round: a node that cannot take pods, or whose pods reach nobody, must not spoil the answer for its neighbour.
struct Again<'a> {
    cluster: Arc<dyn Cluster>,
    settings: Settings,
    nodes: &'a [String],
    style: Style,
}

impl Again<'_> {
    /// Plays the nodes again that were spoilt, and puts what that says in the place of what was said before. The first round is
    /// removed meanwhile.
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

/// The nodes, by their index, of which another neighbour may tell more: a pod on the neighbour did not start, or nothing passed
/// between them and the neighbour's own pods reach nobody either. The first outcomes are those of the reports.
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

/// Whether a node can be another one's neighbour: its own pods start and reach somebody, and no other node failed because of it.
fn is_sound(reports: &[NodeReport], outcomes: &[ScenarioOutcome], index: usize) -> bool {
    let NodeReport { node: name, state, .. } = &reports[index];
    let blamed = |outcome: &ScenarioOutcome| matches!(&outcome.end, End::Failed { node: Some(node), .. } if node == name);
    *state != State::CutOff && !outcomes[..reports.len()].iter().any(blamed)
}

/// The names of the nodes that can take pods.
async fn nodes(play: &PlayArgs, cluster: &dyn Cluster) -> Result<Vec<String>, Failure> {
    let info = cluster.describe().await?;
    let wanted = crate::cli::run::pairs("--node-selector", &play.pods.node_selector)?;
    let usable = info.nodes.into_iter().filter(|node| {
        node.unusable.is_none() && wanted.iter().all(|(key, value)| node.labels.get(key) == Some(value))
    });
    let nodes: Vec<String> = usable.map(|node| node.name).collect();
    if nodes.is_empty() {
        return Err(Failure::set_up("no node can take pods now".to_owned()));
    }
    Ok(nodes)
}

/// Says how the nodes do as soon as the last of them is done, long before the capabilities are.
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
fn write(args: &CheckArgs, report: &Report, outcome: &Outcome) -> Result<(), Failure> {
    args.play.outputs.files(outcome, junit::suites(report))?;
    if let Some(path) = &args.markdown {
        write_to(path, &table::markdown(report, outcome))?;
    }
    summary(&format!(
        "### flowproof check\n\n{}\n\n{}\n",
        table::answer(&report.nodes),
        table::markdown(report, outcome)
    ))?;
    if let Some(path) = &args.found {
        let json = serde_json::to_string_pretty(report).expect("a report is valid JSON");
        write_to(path, &(json + "\n"))?;
    }
    let elsewhere = |path: &&Path| is_stdout(path);
    let own = args.markdown.iter().chain(&args.found).map(std::path::PathBuf::as_path);
    if own.chain(args.play.outputs.paths().map(std::path::PathBuf::as_path)).any(|path| elsewhere(&path)) {
        return Ok(());
    }
    say(&(table::text(report) + &diagnosis_text(outcome))).map(drop)
}
