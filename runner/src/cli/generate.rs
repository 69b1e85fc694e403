//! `flowproof generate`: scenarios that test given policies, or a cluster's own policies with shadows of its workloads.

use super::{
    Failure, console, exits,
    given::{GivenArgs, live, read},
    outputs::JsonArgs,
    say,
};
use crate::report::counted;
use clap::Args;
use flowproof_core::{
    outcome::Exit,
    tools::generate::{Generated, scenarios, shadows},
};
use serde_json::{Value, json};
use std::{fmt::Write as _, fs, path::PathBuf};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.generate/1";

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
    /// The list of what was written as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
    /// Where namespaces, pods and policies are read.
    #[command(flatten)]
    pub given: GivenArgs,
}

/// Carries out `flowproof generate`; returns the exit code.
pub async fn generate(args: &GenerateArgs) -> Result<Exit, Failure> {
    let snapshot = match read(&args.given.files)? {
        None => live(&args.given.kube).await?,
        Some(sources) => sources.snapshot.ok_or_else(|| {
            Failure::usage("these files are scenarios, and scenarios are generated from policies")
                .hint("name manifests of policies")
        })?,
    };
    let (made, left_out) = if args.from_cluster { shadows(&snapshot) } else { scenarios(&snapshot) };
    // Under policies that cannot be read, a run tries flows without an expectation.
    let unread = if args.from_cluster { &[][..] } else { &snapshot.left_out };
    let left_out: Vec<&String> = left_out.iter().chain(unread).collect();
    for why in &left_out {
        console::note(format_args!("no scenario for {why}"));
    }
    if made.is_empty() {
        return Err(Failure::nothing("there are no policies to generate scenarios from"));
    }
    let failed = |what: &std::path::Path, error: std::io::Error| {
        Failure::set_up(format!("{} cannot be written: {error}", what.display()))
    };
    let path = |made: &Generated| args.out.join(&made.file);
    if let Some(there) = made.iter().map(path).find(|path| path.exists()).filter(|_| !args.force) {
        return Err(
            Failure::usage(format!("{} exists already", there.display())).hint("--force overwrites it")
        );
    }
    fs::create_dir_all(&args.out).map_err(|error| failed(&args.out, error))?;
    let (mut text, mut written) = (String::new(), Vec::<Value>::new());
    for scenario in &made {
        let path = path(scenario);
        fs::write(&path, &scenario.text).map_err(|error| failed(&path, error))?;
        let _ = writeln!(text, "{}: {}", path.display(), counted(scenario.flows, "flow", "flows"));
        written.push(json!({ "file": path, "flows": scenario.flows }));
    }
    args.json.write(&json!({ "schema": SCHEMA, "scenarios": written, "left_out": left_out }))?;
    if args.json.replaces_text() { Ok(Exit::Success) } else { say(&text) }
}
