//! `flowproof lint`: what is wrong with scenarios and with policies. A cluster is asked for its version only.

use super::{Failure, cluster::KubeArgs, console, exits, outputs::JsonArgs, say};
use crate::{
    diagnose::known,
    kube::Kube,
    problems::FileProblems,
    report::counted,
    scenarios::{self, KNOWN_DEVIATIONS},
    sources::{Sources, has_errors},
};
use clap::{Args, ValueEnum};
use flowproof_core::{
    outcome::Exit,
    parse::Deviation,
    place::plan,
    policy::{ApiServer, Channel, Version},
    text::{Problem, Severity},
    tools::lint,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::PathBuf};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.lint/1";

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
    /// The problems as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
    /// The cluster whose API server is asked for its version, when --context or --kubeconfig is given; nothing else is read.
    #[command(flatten)]
    pub kube: KubeArgs,
}

impl LintArgs {
    /// What is known about the API server without asking it.
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

/// Carries out `flowproof lint`; returns the exit code.
pub async fn lint(args: &LintArgs) -> Result<Exit, Failure> {
    let sources = match Sources::read(&args.paths) {
        Ok(sources) => sources,
        Err(files) => return show(&files, 0, 0, &args.json),
    };
    let mut problems = sources.problems.clone();
    let server = api_server(args).await?;
    problems.extend(sources.scenarios.iter().flat_map(|scenario| lint::scenario(scenario, &server)));
    problems.extend(sources.snapshot.iter().flat_map(|snapshot| lint::snapshot(snapshot, &server)));
    if let Some(cni) = &args.cni {
        let known = known_of(cni, args)?;
        problems.extend(sources.scenarios.iter().flat_map(|scenario| known::warnings(scenario, &known)));
        let of_policies =
            sources.snapshot.iter().flat_map(|snapshot| known::warnings_of_policies(snapshot, &known));
        problems.extend(of_policies);
    }
    let policies = sources.snapshot.as_ref().map_or(0, |snapshot| snapshot.policies.len());
    if let Some(snapshot) = &sources.snapshot {
        notes(snapshot);
        if policies == 0 && !has_errors(&problems) {
            return Err(Failure::nothing("there is no policy in these manifests")
                .hint("NetworkPolicy, ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy are checked"));
        }
    }
    let flows: usize = sources.scenarios.iter().map(|scenario| plan::flows(scenario).len()).sum();
    let exit = show(&sources.shown(&problems), sources.scenarios.len(), policies, &args.json)?;
    if exit == Exit::Success && !args.json.replaces_text() {
        let mut text = Vec::new();
        if !sources.scenarios.is_empty() {
            let scenarios = counted(sources.scenarios.len(), "scenario", "scenarios");
            text.push(format!("{scenarios} with {}", counted(flows, "flow", "flows")));
        }
        if policies > 0 {
            text.push(counted(policies, "policy", "policies"));
        }
        say(&format!("{}: {}\n", text.join(", "), verdict(&problems)))?;
    }
    Ok(exit)
}

/// What is known about the API server; its version comes from the cluster, if one is named.
async fn api_server(args: &LintArgs) -> Result<ApiServer, Failure> {
    let known = args.api_server();
    if args.kube.context.is_none() && args.kube.kubeconfig.is_none() {
        return Ok(known);
    }
    let kube = Kube::connect(args.kube.connection()).await?;
    let written = kube.server_version().await?;
    let version = written.parse().map_err(|error| {
        Failure::set_up(format!(
            "the API server at {} reports its version as '{written}': {error}",
            kube.server()
        ))
        .hint("name the version with --kubernetes")
    })?;
    console::note(format_args!("context {}, server {}, Kubernetes {version}", kube.context(), kube.server()));
    Ok(ApiServer { version: Some(version), ..known })
}

/// How a network plugin is known to differ, in any version.
fn known_of(cni: &str, args: &LintArgs) -> Result<Vec<Deviation>, Failure> {
    let mut all = scenarios::known_deviations(&args.paths).map_err(|wrong| Failure::problems(&wrong))?;
    all.retain(|entry| entry.fault().is_some());
    let known: BTreeSet<&str> = all.iter().map(|entry| entry.cni.as_str()).collect();
    if !known.contains(cni) {
        let known: Vec<&str> = known.into_iter().collect();
        return Err(Failure::usage(format!("no faults of a network plugin '{cni}' are known")).hint(
            format!("faults are known of: {}; more can be listed in {KNOWN_DEVIATIONS}", known.join(", ")),
        ));
    }
    all.retain(|entry| entry.cni == cni);
    Ok(all)
}

/// Prints what was ignored.
fn notes(snapshot: &flowproof_core::snapshot::Snapshot) {
    if !snapshot.ignored.is_empty() {
        let kinds: Vec<String> =
            snapshot.ignored.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        console::note(format_args!(
            "passed over, because they have nothing to do with policies: {}",
            kinds.join(", ")
        ));
    }
    for object in snapshot.left_out.iter().filter(|object| !object.contains(',')) {
        console::note(format_args!("{object} is of a kind that flowproof cannot check"));
    }
}

fn verdict(problems: &[Problem]) -> String {
    match problems.len() {
        0 => "no problems".to_owned(),
        count => format!("no errors, {}", counted(count, "warning", "warnings")),
    }
}

/// Shows all problems; the exit code is that of usage if one of them is an error.
fn show(files: &[FileProblems], scenarios: usize, policies: usize, json: &JsonArgs) -> Result<Exit, Failure> {
    let errors: usize = files.iter().map(FileProblems::errors).sum();
    let warnings = files.iter().map(FileProblems::count).sum::<usize>() - errors;
    let problems: Vec<Value> = files.iter().flat_map(as_json).collect();
    json.write(&json!({
        "schema": SCHEMA, "errors": errors, "warnings": warnings, "scenarios": scenarios, "policies": policies,
        "problems": problems,
    }))?;
    match (json.replaces_text(), errors) {
        (true, 0) => Ok(Exit::Success),
        (true, _) => Ok(Exit::Usage),
        (false, 0) => {
            for file in files {
                console::show(format_args!("{file}\n"));
            }
            Ok(Exit::Success)
        }
        (false, _) => Err(Failure::problems(files)),
    }
}

fn as_json(file: &FileProblems) -> Vec<Value> {
    match file {
        FileProblems::Unreadable { path, why, hint } => {
            vec![json!({ "severity": "error", "message": why, "file": path, "hint": hint })]
        }
        FileProblems::Wrong { problems, .. } => problems.iter().map(problem_json).collect(),
    }
}

fn problem_json(problem: &Problem) -> Value {
    let related = problem
        .related
        .iter()
        .map(|(at, what)| json!({ "file": at.file, "line": at.line, "column": at.column, "message": what }));
    json!({
        "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": problem.message,
        "file": problem.at.file, "line": problem.at.line, "column": problem.at.column, "length": problem.length,
        "hint": problem.hint,
        "related": related.collect::<Vec<_>>(),
    })
}
