//! `flowproof compare`: two saved runs, flow by flow.

use super::{
    Failure, exits,
    outputs::{JsonArgs, check, is_stdout, read, write_to},
    say,
    values::tolerance,
};
use crate::report::compared;
use clap::Args;
use flowproof_core::{
    outcome::Exit,
    tools::compare::{self, Tolerance},
};
use std::path::PathBuf;

/// `flowproof compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "nothing got worse"),
    (Exit::Mismatched, "something that matched no longer does"),
    (Exit::Usage, "usage, or a file that is not a saved run"),
    (Exit::Nothing, "no flow was tried in both runs"),
]))]
pub struct CompareArgs {
    /// The saved outcome of the earlier run
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The saved outcome of the later run
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// How much slower enforcement may get before the comparison fails: slower=2x allows twice as long
    /// [default: times are reported, but never fail]
    #[arg(long, value_name = "slower=FACTORx", value_parser = tolerance)]
    pub tolerate: Option<Tolerance>,
    /// The comparison as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
    /// Write the comparison as Markdown; - writes to stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// Carries out the command; returns the exit code.
pub fn compare(args: &CompareArgs) -> Result<Exit, Failure> {
    let paths = || args.json.json.iter().chain(&args.markdown).map(PathBuf::as_path);
    check(paths())?;
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let comparison = compare::compare(&before, &after, args.tolerate.unwrap_or_default());
    args.json.write(&comparison)?;
    if let Some(path) = &args.markdown {
        write_to(path, &compared::markdown(&comparison))?;
    }
    if !paths().any(is_stdout) {
        say(&compared::text(&comparison))?;
    }
    Ok(match () {
        () if comparison.worse() => Exit::Mismatched,
        () if comparison.compared_nothing() => Exit::Nothing,
        () => Exit::Success,
    })
}
