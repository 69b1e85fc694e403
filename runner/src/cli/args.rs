//! The list of commands.

use super::{
    check::CheckArgs, clean::CleanArgs, compare::CompareArgs, diagnose::DiagnoseArgs, exits,
    explain::ExplainArgs, faults::FaultsArgs, generate::GenerateArgs, image::ImageArgs, lint::LintArgs,
    manifest::ManifestArgs, map::MapArgs, mutate::MutateArgs, report::ReportArgs, run::RunArgs,
    watch::WatchArgs,
};
use clap::{Parser, Subcommand};

/// Proves that a Kubernetes network does what its policies say.
#[derive(Debug, Parser)]
#[command(name = "flowproof", version, max_term_width = 110, after_help = exits::all())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play scenarios in a cluster, and compare what happens with what they expect
    Run(Box<RunArgs>),
    /// Check whether every node enforces policies, and which features the network plugin supports
    Check(Box<CheckArgs>),
    /// Probe continuously during a change such as an upgrade; report every leak and every gap
    Watch(Box<WatchArgs>),
    /// Show a saved run again, as tables, HTML or JUnit
    Report(ReportArgs),
    /// Compare two saved runs, flow by flow
    Compare(CompareArgs),
    /// Measure what scenarios catch, by playing them against faults seen in real network plugins
    Faults(FaultsArgs),
    /// Check scenarios and policies without a cluster: what an API server rejects, contradictions, likely mistakes
    Lint(LintArgs),
    /// Explain why the policies allow or deny a flow
    Explain(ExplainArgs),
    /// Find the known network plugin fault that a failed run looks like
    Diagnose(DiagnoseArgs),
    /// Generate scenarios that test the policies of manifests or of a cluster
    Generate(GenerateArgs),
    /// Edit the policies of scenarios, and list the edits that no expectation would notice
    Mutate(MutateArgs),
    /// Show who may reach whom according to the policies, and what a change opens and closes
    Map(MapArgs),
    /// Remove what earlier runs left behind
    Clean(CleanArgs),
    /// Save the prober's image (or flowproof's own) as an archive, load it into kind, k3s or containerd, or push it to a registry
    Image(ImageArgs),
    /// Print manifests that run flowproof inside a cluster, for kubectl apply -f -
    Manifest(ManifestArgs),
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print a shell completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
