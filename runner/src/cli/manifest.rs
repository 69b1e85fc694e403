//! `flowproof manifest`: what runs flowproof inside a cluster.

use super::{Cli, Failure, say};
use crate::kube::{JobSpec, job_manifest, rbac_manifest};
use clap::{Args, Parser, Subcommand};
use flowproof_core::{outcome::Exit, scenario::name};

/// `flowproof manifest`.
#[derive(Debug, Clone, Args)]
pub struct ManifestArgs {
    /// What to print.
    #[command(subcommand)]
    pub command: ManifestCommand,
    /// The namespace of the service account and the Job
    #[arg(short, long, value_name = "NAME", default_value = "flowproof", global = true)]
    pub namespace: String,
}

/// Manifests that run flowproof inside a cluster.
#[derive(Debug, Clone, Subcommand)]
pub enum ManifestCommand {
    /// A service account with the ClusterRole that flowproof needs
    Rbac,
    /// The same, and a Job that runs flowproof once
    Job(ManifestJobArgs),
}

/// `flowproof manifest job`.
#[derive(Debug, Clone, Args)]
pub struct ManifestJobArgs {
    /// The image of flowproof itself: a released one, or what `flowproof image save --runner` writes
    #[arg(long, value_name = "REF", default_value = concat!("ghcr.io/flowproof/flowproof:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// imagePullPolicy of its pod
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub pull_policy: String,
    /// A pull secret in that namespace
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Option<String>,
    /// The flowproof command to run and its options, after --
    #[arg(last = true, value_name = "ARGUMENT", default_value = "check")]
    pub arguments: Vec<String>,
}

/// Carries out the command.
pub fn manifest(args: ManifestArgs) -> Result<Exit, Failure> {
    if !name::is_label(&args.namespace) {
        let hint =
            "a namespace is up to 63 lower-case letters, digits and '-', with a letter or digit at both ends";
        return Err(Failure::usage(format!("'{}' is not a valid namespace name", args.namespace)).hint(hint));
    }
    match args.command {
        ManifestCommand::Rbac => say(&rbac_manifest(&args.namespace)),
        ManifestCommand::Job(job) => say(&job_manifest(&args.namespace, &spec(job)?)),
    }
}

fn spec(args: ManifestJobArgs) -> Result<JobSpec, Failure> {
    if args.image.is_empty() || args.image.contains(char::is_whitespace) {
        let hint = "write it as registry.example/flowproof:1.2.3";
        return Err(Failure::usage(format!("'{}' is not a valid image name", args.image)).hint(hint));
    }
    // Check the arguments here: a typo would show only later, in a Job that fails.
    let line = std::iter::once("flowproof").chain(args.arguments.iter().map(String::as_str));
    if let Err(error) = Cli::try_parse_from(line) {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let problem = format!("flowproof in the Job would refuse its arguments: {first}");
        return Err(Failure::usage(problem).hint("what follows -- is a command of flowproof and its options"));
    }
    let ManifestJobArgs { image, pull_policy, pull_secret, arguments } = args;
    Ok(JobSpec { image, pull_policy, pull_secret, arguments })
}
