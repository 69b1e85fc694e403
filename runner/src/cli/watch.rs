//! `flowproof watch`: probes continuously during a change.

use super::{
    Failure, exits,
    outputs::OutputArgs,
    play::{PlayArgs, Request},
    values::duration,
};
use crate::run::{Settings, watch::WatchOptions};
use clap::Args;
use flowproof_core::outcome::Exit;
use std::time::Duration;

/// `flowproof watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = help())]
pub struct WatchArgs {
    /// Watch for at least this long
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub at_least: Option<Duration>,
    /// Watch until nothing has happened for this long, counted from the end of CMD [default: 30s, if given without a value]
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        num_args = 0..=1,
        default_missing_value = "30s"
    )]
    pub until_stable: Option<Duration>,
    /// Skip the canary, which first checks whether the cluster enforces anything at all
    #[arg(long)]
    pub no_canary: bool,
    /// What is watched, where and how.
    #[command(flatten)]
    pub play: PlayArgs,
    /// Where the outcome goes.
    #[command(flatten)]
    pub outputs: OutputArgs,
    /// A command to run meanwhile; its output goes to stderr
    #[arg(last = true, value_name = "CMD", help_heading = None)]
    pub command: Vec<String>,
}

/// Carries out `flowproof watch`; returns the exit code.
pub async fn watch(args: Box<WatchArgs>) -> Result<Exit, Failure> {
    let WatchArgs { play, at_least, until_stable, command, no_canary, outputs } = *args;
    let scenarios = play.selection.scenarios()?;
    let kind = play.choose()?;
    let settings = Settings { canary: !no_canary, ..play.settings(kind)? };
    let watch = Some(WatchOptions { at_least, until_stable, command });
    let outputs = outputs.outputs();
    Request { args: &play, scenarios, kind, settings, watch, outputs }.carry_out(|_, _| String::new()).await
}

/// How a watch ends, and its exit codes.
fn help() -> String {
    let codes = exits::of(&[
        (Exit::Success, Exit::Success.meaning()),
        (Exit::Mismatched, "at least one mismatch, leak or gap"),
        (Exit::Usage, Exit::Usage.meaning()),
        (Exit::Unclear, "no mismatch, but something unproven, inconclusive or not observed"),
        (
            Exit::SetUpFailed,
            "the cluster is unreachable, forbids what is needed, the set-up failed, or CMD failed",
        ),
        (Exit::Nothing, Exit::Nothing.meaning()),
        (Exit::NothingEnforced, Exit::NothingEnforced.meaning()),
        (Exit::Interrupted, Exit::Interrupted.meaning()),
    ]);
    format!(
        "A watch ends once every condition that you gave is met: --for has elapsed, CMD has exited, --until-stable is reached. \
         With CMD alone it ends 10 s after CMD; without any condition it lasts until Ctrl-C. The first Ctrl-C ends the watch and \
         prints the report; the second cleans up at once, without a report.\n\n{codes}"
    )
}
