//! `flowproof explain`: why the policies allow or deny a flow.

use super::{
    Failure, console, exits,
    given::{GivenArgs, live, of_files},
    outputs::JsonArgs,
    say,
};
use clap::Args;
use flowproof_core::{
    outcome::Exit,
    snapshot::Snapshot,
    tools::explain::{ExplainError, Question, explain as answer},
};
use serde_json::json;

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.explain/1";

/// `flowproof explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "explained, whatever the answer"),
    (Exit::Usage, "usage, or a flow or files that cannot be read"),
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
    /// The answer as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
    /// Where namespaces, pods and policies are read.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// Carries out `flowproof explain`; returns the exit code.
pub async fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let question = Question::parse(&args.flow, &args.namespace).map_err(refused)?;
    let snapshot = known(args).await?;
    for object in &snapshot.left_out {
        console::note(format_args!("the answer does not consider {object}"));
    }
    if !snapshot.guessed.is_empty() && !args.given.files.is_empty() {
        let names: Vec<&str> = snapshot.guessed.iter().map(String::as_str).collect();
        let (namespaces, their) =
            if names.len() == 1 { ("namespace", "its") } else { ("namespaces", "their") };
        console::note(format_args!(
            "no manifest defines the {namespaces} {}: {their} only label is taken to be the name",
            names.join(", ")
        ));
    }
    let answers = answer(&snapshot, &question).map_err(refused)?;
    args.json.write(&json!({ "schema": SCHEMA, "flows": answers, "without": snapshot.left_out }))?;
    if !args.json.replaces_text() {
        let texts: Vec<String> = answers.iter().map(|answer| answer.text(&snapshot)).collect();
        say(&texts.join(""))?;
    }
    Ok(Exit::Success)
}

fn refused(error: ExplainError) -> Failure {
    Failure::usage(error.to_string())
}

/// Pods and policies, from files or from the cluster.
async fn known(args: &ExplainArgs) -> Result<Snapshot, Failure> {
    if args.given.files.is_empty() {
        return live(&args.given.kube).await;
    }
    of_files(&args.given.files, args.step)
}
