//! `flowproof run`: plays scenarios in a cluster.

use super::{
    Failure,
    cluster::{ClusterKind, no_effect},
    diagnose, exits,
    outputs::OutputArgs,
    play::{PlayArgs, Request},
    values::{duration, jobs},
};
use crate::run::{Jobs, Settings};
use clap::Args;
use flowproof_core::{
    outcome::{Conclusion, Exit, Outcome},
    scenario::Scenario,
};
use std::time::Duration;

/// `flowproof run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::all())]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct RunArgs {
    /// Number of deployments side by side; auto for as many as the cluster can take [default: auto; 16 in the local cluster]
    #[arg(long, short, value_name = "N|auto", value_parser = jobs)]
    pub jobs: Option<Jobs>,
    /// Stop at the first mismatch
    #[arg(long)]
    pub fail_fast: bool,
    /// After a mismatch, say which known fault it looks like; `flowproof diagnose` says more
    #[arg(long)]
    pub diagnose: bool,
    /// Keep the pods, and say how to enter them
    #[arg(long)]
    pub keep: bool,
    /// Skip the canary, which first checks whether the cluster enforces anything at all
    #[arg(long)]
    pub no_canary: bool,
    /// What is played, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Fail flows that are enforced later than this after a change [default: only --settle limits it]
    #[arg(long, help_heading = "Timing", value_name = "DURATION", value_parser = duration)]
    pub budget: Option<Duration>,
    /// Time limit for the whole run
    #[arg(long, help_heading = "Timing", value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Where the outcome goes.
    #[command(flatten)]
    pub outputs: OutputArgs,
}

/// Carries out `flowproof run`; returns the exit code.
pub async fn run(args: Box<RunArgs>) -> Result<Exit, Failure> {
    let scenarios = args.play.selection.scenarios()?;
    let kind = args.play.choose()?;
    if args.keep && kind == ClusterKind::Local {
        return Err(no_effect("--keep", kind));
    }
    let defaults = args.play.settings(kind)?;
    let settings = Settings {
        budget: args.budget,
        jobs: args.jobs.unwrap_or(defaults.jobs),
        fail_fast: args.fail_fast,
        keep: args.keep,
        timeout: args.timeout,
        canary: !args.no_canary,
        ..defaults
    };
    let after = |outcome: &mut Outcome, scenarios: &[Scenario]| {
        if args.diagnose {
            diagnose::add_to(outcome, scenarios);
        }
        let kept = args.keep && outcome.conclusion() != Conclusion::Interrupted;
        if kept { kept_text(outcome) } else { String::new() }
    };
    let outputs = args.outputs.outputs();
    Request { args: &args.play, scenarios, kind, settings, watch: None, outputs }.carry_out(after).await
}

/// How to look at what `--keep` left in place.
fn kept_text(outcome: &Outcome) -> String {
    let namespaces = outcome.remains.join("\n  ");
    format!(
        "kept as asked:\n  {namespaces}\nlook at one:  kubectl -n NAMESPACE get pods,networkpolicies -o wide\n\
         enter a pod:  kubectl -n NAMESPACE debug POD -it --image=nicolaka/netshoot --target=prober\n"
    )
}
