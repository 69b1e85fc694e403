//! `flowproof mutate`: which edits of their policies scenarios would not notice.

use super::{
    Failure, exits,
    outputs::JsonArgs,
    say,
    selection::{load, select},
};
use crate::report::counted;
use clap::Args;
use flowproof_core::{
    outcome::Exit,
    tools::mutate::{Mutated, mutate},
};
use serde_json::json;
use std::{fmt::Write as _, path::PathBuf};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "flowproof.mutate/1";

/// `flowproof mutate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "enough edits would be noticed"),
    (Exit::Mismatched, "fewer than --fail-under demands"),
    (Exit::Usage, Exit::Usage.meaning()),
    (Exit::Nothing, "no edit of the policies changes anything, or no scenario is selected"),
]))]
pub struct MutateArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only scenarios whose file or claim contains this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Exit with 1 if fewer than this percentage of the edits would be noticed
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub fail_under: Option<u8>,
    /// The edits as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Carries out `flowproof mutate`; returns the exit code.
pub fn run(args: &MutateArgs) -> Result<Exit, Failure> {
    let scenarios = select(load(&args.paths)?, &args.filter)?;
    let all: Vec<Mutated> = scenarios.iter().filter(|scenario| !scenario.live).map(mutate).collect();
    let (counted, noticed) = (all.iter().map(Mutated::counted).sum(), all.iter().map(Mutated::noticed).sum());
    if counted == 0 {
        return Err(Failure::nothing("no edit of these scenarios' policies changes anything")
            .hint("mutate edits the NetworkPolicies and ClusterNetworkPolicies that scenarios apply"));
    }
    let score = percent(noticed, counted);
    args.json.write(
        &json!({ "schema": SCHEMA, "score": score, "noticed": noticed, "edits": counted, "scenarios": all }),
    )?;
    if !args.json.replaces_text() {
        say(&text(&all, noticed, counted))?;
    }
    let fails = args.fail_under.is_some_and(|least| score < f64::from(least));
    Ok(if fails { Exit::Mismatched } else { Exit::Success })
}

/// Rounded down to a tenth: 100 means all.
fn percent(part: usize, whole: usize) -> f64 {
    (part as f64 * 1000.0 / whole as f64).floor() / 10.0
}

fn text(all: &[Mutated], noticed: usize, edits: usize) -> String {
    let mut text = String::new();
    for scenario in all.iter().filter(|scenario| !scenario.survivors.is_empty()) {
        let _ = writeln!(text, "{}", scenario.file);
        for survivor in &scenario.survivors {
            let _ = writeln!(text, "  {}: {}", survivor.policy, survivor.edit);
            let _ = writeln!(text, "      at     {}", survivor.at);
            let listens = survivor
                .listens
                .as_ref()
                .map_or_else(String::new, |port| format!("   # and listens: [{port}] there"));
            let _ = writeln!(text, "      catch  {}: [{}]{listens}", survivor.expect, survivor.flow);
        }
        text.push('\n');
    }
    for scenario in all {
        for policy in &scenario.policies {
            let counted = policy.noticed + policy.survived;
            if counted > 0 && policy.survived > 0 {
                let _ = writeln!(
                    text,
                    "{:>5.1} %  {} ({})",
                    percent(policy.noticed, counted),
                    policy.policy,
                    scenario.file
                );
            }
        }
    }
    let equivalent: usize =
        all.iter().flat_map(|scenario| &scenario.policies).map(|policy| policy.equivalent).sum();
    let _ = writeln!(
        text,
        "{:.1} %: {noticed} of {} would be noticed; {} left out that change nothing for any flow",
        percent(noticed, edits),
        counted(edits, "edit", "edits"),
        counted(equivalent, "edit", "edits"),
    );
    text
}
