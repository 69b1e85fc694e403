//! `flowproof lint`: what is wrong with scenarios and with policies; a cluster is asked for its version at most.

use super::{Failure, args::LintArgs, run::connection, say};
use crate::{
    diagnose::known,
    kube::Kube,
    problems::FileProblems,
    report::counted,
    scenarios::{self, KNOWN_DEVIATIONS},
    sources::{Sources, has_errors},
};
use flowproof_core::{
    lint,
    outcome::Exit,
    parse::{Deviation, Problem, Severity},
    plan,
    policy::ApiServer,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _, io::Write as _};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.lint/1";

/// Carries out `flowproof lint`; returns the exit code.
pub async fn lint(args: &LintArgs) -> Result<Exit, Failure> {
    let sources = match Sources::read(&args.paths) {
        Ok(sources) => sources,
        Err(files) => return told(&files, 0, 0, args),
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
    let shown = sources.shown(&problems);
    let exit = told(&shown, sources.scenarios.len(), policies, args)?;
    if !args.json {
        let mut text = Vec::new();
        if !sources.scenarios.is_empty() {
            text.push(format!(
                "{} with {flows} flows",
                counted(sources.scenarios.len(), "scenario", "scenarios")
            ));
        }
        if policies > 0 {
            text.push(counted(policies, "policy", "policies"));
        }
        if exit == Exit::Success {
            say(&format!("{}: {}\n", text.join(", "), verdict(&problems)))?;
        }
    }
    Ok(exit)
}

/// What is known of the API server: its version from the cluster, when one is named.
async fn api_server(args: &LintArgs) -> Result<ApiServer, Failure> {
    let known = args.api_server();
    if args.kube.context.is_none() && args.kube.kubeconfig.is_none() {
        return Ok(known);
    }
    let kube = Kube::connect(connection(&args.kube)).await?;
    let written = kube.server_version().await?;
    let version = written.parse().map_err(|error| {
        Failure::set_up(format!(
            "the API server at {} reports its version as '{written}': {error}",
            kube.server()
        ))
        .hint("say it with --kubernetes")
    })?;
    let _ = writeln!(
        std::io::stderr(),
        "context {}, server {}, Kubernetes {version}",
        kube.context(),
        kube.server()
    );
    Ok(ApiServer { version: Some(version), ..known })
}

/// How a network plugin is known to differ, in whatever version.
fn known_of(cni: &str, args: &LintArgs) -> Result<Vec<Deviation>, Failure> {
    let mut all = scenarios::known_deviations(&args.paths).map_err(|wrong| super::run::problems(&wrong))?;
    all.retain(|entry| entry.fault().is_some());
    let known: BTreeSet<&str> = all.iter().map(|entry| entry.cni.as_str()).collect();
    if !known.contains(cni) {
        let known: Vec<&str> = known.into_iter().collect();
        return Err(Failure::usage(format!("no fault is known of a network plugin '{cni}'")).hint(format!(
            "faults are known of: {}; more of them can be written into {KNOWN_DEVIATIONS}",
            known.join(", ")
        )));
    }
    all.retain(|entry| entry.cni == cni);
    Ok(all)
}

/// What was passed over, on stderr.
fn notes(snapshot: &flowproof_core::snapshot::Snapshot) {
    let mut stderr = std::io::stderr().lock();
    if !snapshot.ignored.is_empty() {
        let kinds: Vec<String> =
            snapshot.ignored.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let _ = writeln!(
            stderr,
            "note: passed over, because they have nothing to do with policies: {}",
            kinds.join(", ")
        );
    }
    for object in snapshot.left_out.iter().filter(|object| !object.contains(',')) {
        let _ = writeln!(stderr, "note: {object} is of a kind that flowproof cannot check");
    }
}

fn verdict(problems: &[Problem]) -> String {
    match problems.len() {
        0 => "no problems".to_owned(),
        count => format!("no errors, {}", counted(count, "warning", "warnings")),
    }
}

/// Tells all problems; the exit code is that of usage when one of them is an error.
fn told(files: &[FileProblems], scenarios: usize, policies: usize, args: &LintArgs) -> Result<Exit, Failure> {
    let errors: usize = files.iter().map(FileProblems::errors).sum();
    let warnings = files.iter().map(FileProblems::count).sum::<usize>() - errors;
    if args.json {
        let problems: Vec<Value> = files.iter().flat_map(as_json).collect();
        let report = json!({
            "schema": SCHEMA, "errors": errors, "warnings": warnings, "scenarios": scenarios, "policies": policies,
            "problems": problems,
        });
        say(&format!("{report:#}\n"))?;
        return Ok(if errors > 0 { Exit::Usage } else { Exit::Success });
    }
    let mut text = String::new();
    for file in files {
        let _ = writeln!(text, "{file}");
    }
    let _ = write!(std::io::stderr(), "{text}");
    if errors > 0 {
        let warned = if warnings > 0 {
            format!(" and {}", counted(warnings, "warning", "warnings"))
        } else {
            String::new()
        };
        return Err(Failure::usage(format!(
            "{}{warned} in {}",
            counted(errors, "problem", "problems"),
            counted(files.len(), "file", "files")
        )));
    }
    Ok(Exit::Success)
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
