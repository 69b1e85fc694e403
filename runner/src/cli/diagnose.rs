//! `flowproof diagnose`: which known fault a red run looks like.

use super::{
    Cli, Failure,
    args::Command,
    cluster::fault,
    console, exits,
    outputs::{JsonArgs, read},
    play::Play,
    say,
    selection::load,
    session::Session,
};
use crate::{
    check::node,
    diagnose::{self, Diagnosis, Observed, suspect::Suspect, text},
    run::Settings,
};
use clap::{Args, Parser as _};
use flowproof_core::{
    outcome::{Exit, Outcome},
    scenario::Scenario,
};
use std::path::PathBuf;

/// `flowproof diagnose`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "whatever the run looks like"),
    (Exit::Usage, "usage, or a file that is not a saved run"),
    (Exit::SetUpFailed, "--refine: the cluster is unreachable, forbids what is needed, or the set-up failed"),
    (Exit::Nothing, "no scenario of the run can be compared"),
    (Exit::Interrupted, "--refine: interrupted; cleaned up"),
]))]
pub struct DiagnoseArgs {
    /// The saved outcome of a run or check
    #[arg(value_name = "SAVED")]
    pub saved: PathBuf,
    /// The scenario files and directories that were played [default: the shipped scenarios]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Do not consider this fault; may be repeated
    #[arg(long, value_name = "FAULT")]
    pub without: Vec<String>,
    /// Play the scenario that distinguishes the likeliest faults, with the cluster and options of the saved run, and diagnose again
    #[arg(long)]
    pub refine: bool,
    /// The diagnosis as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Rounds of [`refine`]: each one distinguishes two of the likeliest faults.
const MOST_ROUNDS: usize = 3;

/// Carries out `flowproof diagnose`; returns the exit code, which says nothing about the run (`report`'s does).
pub async fn run(args: &DiagnoseArgs) -> Result<Exit, Failure> {
    let mut outcome = read(&args.saved)?;
    if outcome.watch.is_some() {
        return Err(Failure::usage(
            "this is the outcome of a watch, which shows when a flow was wrong, but not why",
        )
        .hint("diagnose the outcome of `flowproof run` or `flowproof check`"));
    }
    let given = load(&args.paths)?;
    // The scenario that distinguishes two faults is looked for among these.
    let mut known = if args.paths.is_empty() { given } else { [given, load(&[])?].concat() };
    // If it was a check: what it plays on each node.
    let nodes = outcome.cluster.nodes.iter().filter(|node| node.unusable.is_none());
    known.extend(node::scenarios(&nodes.map(|node| node.name.clone()).collect::<Vec<_>>()));
    let without = args.without.iter().map(|name| fault(name)).collect::<Result<Vec<_>, _>>()?;
    let suspects: Vec<_> =
        Suspect::everywhere().filter(|suspect| !without.contains(&suspect.fault)).collect();
    let mut diagnosis = diagnosed(&outcome, &known, &suspects)?;
    for _ in 0..if args.refine { MOST_ROUNDS } else { 0 } {
        let Some(test) = text::tests(&diagnosis, &known).next() else { break };
        if outcome.scenarios.iter().any(|played| played.file == test.file) {
            break;
        }
        console::note(format_args!("playing {}: {}", test.file, test.why));
        let played = refine(&outcome, &known, &test.file).await?;
        outcome.scenarios.extend(played.scenarios);
        diagnosis = diagnosed(&outcome, &known, &suspects)?;
        if played.interrupted {
            return Ok(Exit::Interrupted);
        }
    }
    args.json.write(&diagnosis)?;
    if !args.json.replaces_text() {
        say(&text::text(&diagnosis, &known))?;
    }
    Ok(Exit::Success)
}

fn diagnosed(outcome: &Outcome, scenarios: &[Scenario], suspects: &[Suspect]) -> Result<Diagnosis, Failure> {
    let observed = Observed::of(outcome, scenarios);
    if observed.scenarios.is_empty() && !observed.left_out.is_empty() {
        let why = observed.left_out.join("\n  ");
        return Err(Failure::nothing(format!("no scenario of this run can be compared:\n  {why}")).hint(
            "name the files that were played, as they were named for the run: flowproof diagnose SAVED PATH…",
        ));
    }
    Ok(diagnose::diagnose_among(&observed, suspects))
}

/// Plays one more scenario, in the same cluster and with the same options as the saved run.
async fn refine(before: &Outcome, known: &[Scenario], file: &str) -> Result<Outcome, Failure> {
    let line = std::iter::once("flowproof").chain(before.arguments.iter().map(String::as_str));
    let play = match Cli::try_parse_from(line).map(|cli| cli.command) {
        Ok(Command::Run(args)) => args.play,
        Ok(Command::Check(args)) => args.play,
        _ => {
            return Err(Failure::usage(
                "the saved run does not say how it was started, so --refine cannot play as it did",
            )
            .hint("play the scenario that the diagnosis names, without --refine"));
        }
    };
    let kind = play.choose()?;
    let scenarios: Vec<Scenario> =
        known.iter().filter(|scenario| scenario.file == file).take(1).cloned().collect();
    let whole = Play {
        cluster: play.connect(kind).await?,
        scenarios,
        deviations: Vec::new(),
        settings: Settings { canary: false, ..play.settings(kind)? },
        watch: None,
    };
    let mut session = Session::begin(None);
    let mut outcome = whole.carry_out(&mut session, play.progress, Box::new(|_| None)).await?;
    session.end().await.amend(&mut outcome);
    Ok(outcome)
}

/// Adds the diagnosis to the outcome of a run, so that every report has it. Adds nothing if no flow is mismatched.
pub fn add_to(outcome: &mut Outcome, scenarios: &[Scenario]) {
    let observed = Observed::of(outcome, scenarios);
    if observed.counts().0 > 0 {
        let diagnosis = diagnose::diagnose(&observed);
        text::add_to(outcome, &diagnosis);
    }
}
