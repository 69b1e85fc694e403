//! `flowproof report`: shows a saved run again.

use super::{
    Failure, exits,
    outputs::{OutputArgs, is_stdout, read},
};
use clap::Args;
use flowproof_core::outcome::Exit;
use std::path::PathBuf;

/// `flowproof report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::all())]
pub struct ReportArgs {
    /// The saved outcome of a run, check or watch
    #[arg(value_name = "SAVED")]
    pub saved: PathBuf,
    /// Where the outcome goes.
    #[command(flatten)]
    pub outputs: OutputArgs,
}

/// Carries out `flowproof report`; the exit code is that of the run.
pub fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let outcome = read(&args.saved)?;
    let outputs = args.outputs.outputs();
    outputs.check()?;
    outputs.files(&outcome, Vec::new())?;
    if outputs.paths().any(is_stdout) {
        outputs.finish(&outcome, super::session::Changed::No)?;
    } else {
        outputs.tables(&outcome, "")?;
    }
    Ok(outcome.conclusion().exit())
}
