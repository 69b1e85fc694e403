//! `flowproof explain`: why the policies allow or deny a flow.

use super::{
    Failure,
    args::{ExplainArgs, KubeArgs},
    run::connection,
    say,
};
use crate::{
    kube::snapshot::{self, Reached},
    problems::FileProblems,
    sources::{Sources, has_errors},
};
use flowproof_core::{
    explain::{ExplainError, Question, explain as answer},
    outcome::Exit,
    snapshot::Snapshot,
};
use serde_json::json;
use std::{io::Write as _, path::PathBuf};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.explain/1";

/// Carries out `flowproof explain`; returns the exit code.
pub async fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let question = Question::parse(&args.flow, &args.namespace).map_err(refused)?;
    let snapshot = known(args).await?;
    let mut stderr = std::io::stderr().lock();
    for object in &snapshot.left_out {
        let _ = writeln!(stderr, "note: the answer is without {object}");
    }
    if !snapshot.guessed.is_empty() && !args.given.files.is_empty() {
        let names: Vec<&str> = snapshot.guessed.iter().map(String::as_str).collect();
        let _ = writeln!(
            stderr,
            "note: no manifest has the namespace{} {}: taken to have no labels but the name",
            if names.len() == 1 { "" } else { "s" },
            names.join(", ")
        );
    }
    let answers = answer(&snapshot, &question).map_err(refused)?;
    if args.json {
        return say(&format!(
            "{:#}\n",
            json!({ "schema": SCHEMA, "flows": answers, "without": snapshot.left_out })
        ));
    }
    let texts: Vec<String> = answers.iter().map(|answer| answer.text(&snapshot)).collect();
    say(&texts.join(""))
}

fn refused(error: ExplainError) -> Failure {
    Failure::usage(error.to_string())
}

/// Pods and policies: of files, or of the cluster.
async fn known(args: &ExplainArgs) -> Result<Snapshot, Failure> {
    if args.given.files.is_empty() {
        return live(&args.given.kube).await;
    }
    of_files(&args.given.files, args.step)
}

/// Pods and policies of manifests, or of one scenario after one of its steps, by default the last.
pub(super) fn of_files(files: &[PathBuf], step: Option<usize>) -> Result<Snapshot, Failure> {
    let sources = read(files)?.unwrap_or_default();
    match (&sources.scenarios[..], sources.snapshot) {
        ([], Some(snapshot)) => Ok(snapshot),
        ([scenario], None) if scenario.live => Err(Failure::usage(format!(
            "{} has no policies of its own: it is about those of a cluster",
            scenario.file
        ))
        .hint("leave the file out to ask the cluster")),
        ([scenario], None) => {
            let steps = step.unwrap_or(scenario.steps.len());
            if steps > scenario.steps.len() {
                return Err(Failure::usage(format!("the scenario has {} steps", scenario.steps.len())));
            }
            Ok(Snapshot::of_scenario(scenario, steps))
        }
        _ => Err(Failure::usage("one scenario, or manifests")
            .hint("name one scenario file, or any number of files and directories with manifests")),
    }
}

/// Reads files, if there are any.
pub(super) fn read(files: &[PathBuf]) -> Result<Option<Sources>, Failure> {
    if files.is_empty() {
        return Ok(None);
    }
    sound(Sources::read(files).map_err(|files| wrong(&files))?).map(Some)
}

/// Refuses sources in which something is wrong.
pub(super) fn sound(sources: Sources) -> Result<Sources, Failure> {
    if has_errors(&sources.problems) {
        return Err(wrong(&sources.shown(&sources.problems)));
    }
    Ok(sources)
}

/// Reads the cluster, and says which one.
pub(super) async fn live(kube: &KubeArgs) -> Result<Snapshot, Failure> {
    let Reached { snapshot, context, server } = snapshot::read(connection(kube)).await?;
    let _ = writeln!(std::io::stderr(), "context {context}, server {server}");
    Ok(snapshot)
}

fn wrong(files: &[FileProblems]) -> Failure {
    let mut stderr = std::io::stderr().lock();
    for file in files {
        let _ = writeln!(stderr, "{file}");
    }
    Failure::usage("the files cannot be read")
}
