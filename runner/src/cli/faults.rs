//! `flowproof faults`: what a suite of scenarios catches.

use super::{
    Failure,
    cluster::fault,
    console, exits,
    outputs::JsonArgs,
    say,
    selection::{load, none_live, select},
    values::duration,
};
use crate::{
    faults::{
        self, Depth, Options,
        play::Trouble,
        table::{self, list},
    },
    local::{LocalOptions, fault::Fault},
    report::{self, counted, fault_progress},
};
use clap::{Args, builder::RangedU64ValueParser};
use flowproof_core::outcome::{Conclusion, Exit};
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use tokio::sync::mpsc;

/// Name and version of the schema of `--list --json`.
const LIST_SCHEMA: &str = "flowproof.fault-list/1";

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
    #[arg(long, conflicts_with_all = ["paths", "first", "filter", "settle", "nodes", "jobs"])]
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub nodes: Option<u8>,
    /// Number of local clusters side by side [default: 7 for each CPU]
    #[arg(long, short, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub jobs: Option<usize>,
    /// The matrix or the list as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Carries out `flowproof faults`; returns the exit code.
pub async fn faults(args: FaultsArgs) -> Result<Exit, Failure> {
    let faults: Vec<Fault> = if args.faults.is_empty() {
        Fault::all().collect()
    } else {
        args.faults.iter().map(|name| fault(name)).collect::<Result<_, _>>()?
    };
    if args.list {
        let entries: Vec<_> = faults.into_iter().map(Fault::info).collect();
        args.json.write(&json!({ "schema": LIST_SCHEMA, "faults": entries }))?;
        return if args.json.replaces_text() { Ok(Exit::Success) } else { say(&list(&entries)) };
    }
    let scenarios = select(load(&args.paths)?, &args.filter)?;
    none_live(&scenarios)?;
    let defaults = LocalOptions::default();
    let options = Options {
        faults,
        jobs: args.jobs.unwrap_or_else(faults::jobs),
        depth: if args.first { Depth::FirstCatch } else { Depth::All },
        settle: args.settle,
        local: LocalOptions { nodes: args.nodes.unwrap_or(defaults.nodes), ..defaults },
    };
    let (sender, events) = mpsc::unbounded_channel();
    let progress = tokio::spawn(fault_progress::show(events, options.faults.len()));
    let played = faults::play(&scenarios, &options, sender).await;
    let _ = progress.await;
    let matrix = played.map_err(failure)?;
    args.json.write(&matrix)?;
    if !args.json.replaces_text() {
        say(&table::text(&matrix))?;
    }
    Ok(matrix.exit())
}

/// Says why there is no matrix.
fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Cluster(error) => error.into(),
        Trouble::Wrong(outcomes) => {
            let mut text = Vec::new();
            for outcome in &outcomes {
                report::table::write(&mut text, outcome, report::table::Detail::Failures)
                    .expect("memory can be written");
            }
            console::show(String::from_utf8_lossy(&text));
            let wrong = outcomes.iter().any(|outcome| outcome.conclusion() == Conclusion::Mismatched);
            let fail = counted(outcomes.len(), "scenario fails", "scenarios fail");
            Failure {
                exit: if wrong { Exit::Mismatched } else { Exit::Unclear },
                message: format!("{fail} without any fault, so no fault was played"),
                hint: Some("on a busy machine, try fewer --jobs".to_owned()),
            }
        }
    }
}
