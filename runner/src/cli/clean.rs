//! `flowproof clean`: lists and removes what runs left behind.

use super::{Failure, cluster::KubeArgs, console, exits, outputs::JsonArgs, say, values::duration};
use crate::{
    cluster::Wait,
    kube::{Found, Kube, Remains},
    report::counted,
    run::duration_text,
};
use clap::Args;
use flowproof_core::outcome::Exit;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.clean/1";

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
    /// The result as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Carries out the command.
pub async fn clean(args: CleanArgs) -> Result<Exit, Failure> {
    let cluster = Kube::connect(args.kube.connection()).await?;
    let Found { runs, unlisted } = cluster.runs().await?;
    if !unlisted.is_empty() {
        let kinds = unlisted.join(", ");
        console::warning(format_args!("this user may not list {kinds}: none of them were looked for"));
    }
    if let Some(unknown) = args.runs.iter().find(|id| !runs.iter().any(|run| run.run == **id)) {
        return Err(Failure::usage(format!(
            "run '{unknown}' left nothing behind in context {}",
            cluster.context()
        ))
        .hint("flowproof clean without arguments lists the runs that left something behind"));
    }
    let listing = args.runs.is_empty() && !args.all && args.older_than.is_none();
    let old = |run: &Remains| args.older_than.is_some_and(|limit| age(run).is_some_and(|age| age >= limit));
    let mut removed = Vec::new();
    for run in runs.iter().filter(|run| args.all || args.runs.contains(&run.run) || old(run)) {
        removed.push(cluster.remove_run(&run.run, Wait::UntilGone).await?);
    }
    let all: Vec<Value> =
        runs.iter().map(|run| described(run, removed.iter().any(|gone| gone.run == run.run))).collect();
    args.json.write(&json!({ "schema": SCHEMA, "runs": all, "unlisted": unlisted }))?;
    if args.json.replaces_text() {
        return Ok(Exit::Success);
    }
    say(&if listing { list(&runs) } else { report(&removed, runs.len()) })
}

/// A run as JSON.
fn described(run: &Remains, removed: bool) -> Value {
    json!({
        "run": run.run,
        "created": run.created,
        "runner": run.runner,
        "removed": removed,
        "namespaces": run.namespaces,
        "objects": run.objects.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "holders": run.holders.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn list(runs: &[Remains]) -> String {
    let mut text = String::new();
    for run in runs {
        let age =
            age(run).map_or_else(|| "of unknown age".to_owned(), |age| format!("{} old", duration_text(age)));
        let by = if run.runner.is_empty() { String::new() } else { format!(" by {}", run.runner) };
        let _ = writeln!(text, "{}  {age}{by}: {}", run.run, contents(run));
    }
    text += match runs.len() {
        0 => "nothing was left behind\n",
        _ => "remove them with: flowproof clean RUN… | --older-than 1h | --all\n",
    };
    text
}

fn report(removed: &[Remains], found: usize) -> String {
    let mut text = String::new();
    for run in removed {
        let _ = writeln!(text, "{}  removed: {}", run.run, contents(run));
    }
    let _ = writeln!(text, "{} of {} removed", removed.len(), counted(found, "run", "runs"));
    text
}

fn age(run: &Remains) -> Option<Duration> {
    Duration::try_from(Timestamp::now().duration_since(run.created?)).ok()
}

fn contents(run: &Remains) -> String {
    let objects = run.objects.iter().map(ToString::to_string);
    run.namespaces
        .iter()
        .map(|name| format!("namespace {name}"))
        .chain(run.holders.iter().map(|holder| format!("deployment {holder} with its shadows")))
        .chain(objects)
        .collect::<Vec<_>>()
        .join(", ")
}
