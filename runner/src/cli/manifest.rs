//! `flowproof manifest`: what runs flowproof inside a cluster.

use super::{
    Cli, Failure,
    args::{ManifestArgs, ManifestCommand, ManifestJobArgs},
    say,
};
use crate::kube::{JobSpec, job_manifest, rbac_manifest};
use clap::Parser;
use flowproof_core::{name, outcome::Exit};

/// Carries out the command.
pub fn manifest(args: ManifestArgs) -> Result<Exit, Failure> {
    if !name::is_label(&args.namespace) {
        let hint =
            "a namespace is up to 63 lower-case letters, digits and '-', with a letter or digit at both ends";
        return Err(Failure::usage(format!("'{}' is not a name for a namespace", args.namespace)).hint(hint));
    }
    match args.command {
        ManifestCommand::Rbac => say(&rbac_manifest(&args.namespace)),
        ManifestCommand::Job(job) => say(&job_manifest(&args.namespace, &spec(job)?)),
    }
}

fn spec(args: ManifestJobArgs) -> Result<JobSpec, Failure> {
    if args.image.is_empty() || args.image.contains(char::is_whitespace) {
        let hint = "an image is a name in a registry, as registry.example/flowproof:1.2.3";
        return Err(Failure::usage(format!("'{}' is not the name of an image", args.image)).hint(hint));
    }
    // A Job that fails for a typing error is found out later, and far away.
    let line = std::iter::once("flowproof").chain(args.arguments.iter().map(String::as_str));
    if let Err(error) = Cli::try_parse_from(line) {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let problem = format!("flowproof in the Job would not understand its arguments: {first}");
        return Err(Failure::usage(problem).hint("what follows -- is a command of flowproof and its options"));
    }
    let ManifestJobArgs { image, pull_policy, pull_secret, arguments } = args;
    Ok(JobSpec { image, pull_policy, pull_secret, arguments })
}
