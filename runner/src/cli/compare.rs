//! `flowproof compare`: two saved runs, flow by flow.

use super::{
    Failure,
    args::CompareArgs,
    output::{is_stdout, read, write_to},
    say,
};
use crate::report::compared;
use flowproof_core::{compare, outcome::Exit};

/// Carries out the command; returns the exit code.
pub fn compare(args: &CompareArgs) -> Result<Exit, Failure> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let comparison = compare::compare(&before, &after, args.tolerate.unwrap_or_default());
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&comparison).expect("a comparison is valid JSON");
        write_to(path, &(json + "\n"))?;
    }
    if let Some(path) = &args.markdown {
        write_to(path, &compared::markdown(&comparison))?;
    }
    if ![&args.json, &args.markdown].into_iter().flatten().any(|path| is_stdout(path)) {
        say(&compared::text(&comparison))?;
    }
    Ok(match () {
        () if comparison.worse() => Exit::Mismatched,
        () if comparison.compared_nothing() => Exit::Nothing,
        () => Exit::Success,
    })
}
