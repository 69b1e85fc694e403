//! `flowproof diagnose`: which known fault a red run looks like.

use super::{
    Failure,
    args::DiagnoseArgs,
    output::{read, write_to},
    run::load,
    say,
};
use crate::{
    check::node,
    diagnose::{self, Observed, text},
};
use flowproof_core::{outcome::Outcome, scenario::Scenario};

/// Carries out `flowproof diagnose`; returns the exit code, which says nothing of the run: `report` tells that.
pub fn run(args: &DiagnoseArgs) -> Result<u8, Failure> {
    let outcome = read(&args.saved)?;
    if outcome.watch.is_some() {
        return Err(Failure::usage(
            "this is the outcome of a watch, which tells when a flow was wrong and not why",
        )
        .hint("diagnose the outcome of `flowproof run` or `flowproof check`"));
    }
    let mut scenarios = load(&args.paths)?;
    // Of a check: what it plays on each node.
    let nodes = outcome.cluster.nodes.iter().filter(|node| node.unusable.is_none());
    scenarios.extend(node::scenarios(&nodes.map(|node| node.name.clone()).collect::<Vec<_>>()));
    let observed = Observed::of(&outcome, &scenarios);
    if observed.scenarios.is_empty() && !observed.left_out.is_empty() {
        let why = observed.left_out.join("\n  ");
        return Err(Failure::nothing(format!("no scenario of this run can be compared:\n  {why}")).hint(
            "name the files that were played, as they were named for the run: flowproof diagnose SAVED PATH…",
        ));
    }
    let diagnosis = diagnose::diagnose(&observed);
    // Among these one is looked for that tells two faults apart.
    let tests = if args.paths.is_empty() { scenarios } else { [scenarios, load(&[])?].concat() };
    if let Some(path) = &args.json {
        write_to(path, &format!("{:#}\n", serde_json::json!(diagnosis)))?;
    }
    if args.json.as_ref().is_none_or(|path| path.as_os_str() != "-") {
        say(&text::text(&diagnosis, &tests))?;
    }
    Ok(0)
}

/// The diagnosis of an outcome in a few lines, for the end of a run; empty when nothing is wrong.
pub fn brief(outcome: &Outcome, scenarios: &[Scenario]) -> String {
    let observed = Observed::of(outcome, scenarios);
    if observed.counts().0 == 0 {
        return String::new();
    }
    format!("\n{}", text::brief(&diagnose::diagnose(&observed)))
}
