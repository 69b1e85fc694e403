//! What `mutate` says about an edit is what the local cluster shows: with an edit that would be noticed, at least one written expectation
//! does not match; with any other edit, all of them do.
//!
//! `FLOWPROOF_EDITS` sets how many edits of the shipped scenarios' policies are played, spread evenly over all of them.

use anyhow::{Result, ensure};
use flowproof::{
    local::{LocalCluster, LocalOptions},
    run::{self, Context, Jobs, Live, Settings, Teller},
    scenarios,
};
use flowproof_core::{
    outcome::{End, FlowOutcome, ScenarioOutcome},
    scenario::Scenario,
    tools::mutate::{Trial, trials},
    verdict::Kind,
};
use std::{env, path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Edits in the ordinary tests.
const EDITS: usize = 40;

/// How long to wait for a flow that does not match; one that matches takes some hundred milliseconds.
const SETTLE: Duration = Duration::from_secs(3);

/// Scenarios side by side: fewer than usual, because many flows of an edit are tried until they are given up.
const LANES: usize = 6;

/// How often an edit is played that shows nothing because an end got too little CPU.
const ROUNDS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn what_mutate_says_of_an_edit_is_what_playing_it_shows() -> Result<()> {
    let wanted = env::var("FLOWPROOF_EDITS").ok().and_then(|text| text.parse().ok()).unwrap_or(EDITS);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let suite = scenarios::load(&[folder]).map_err(|problems| anyhow::anyhow!("{}", problems[0]))?;
    // An established connection may outlive a policy that denies it, so it does not depend on the policies alone.
    let judged_by_policies = |scenario: &&Scenario| {
        !scenario.live
            && scenario.steps.iter().flat_map(|step| &step.expectations).all(|one| !one.flow.established)
    };
    let all: Vec<Trial> = suite.iter().filter(judged_by_policies).flat_map(trials).collect();
    let step = (all.len() / wanted).max(1);
    let sample: Vec<Trial> = all.into_iter().step_by(step).take(wanted).collect();
    let noticed = sample.iter().filter(|trial| trial.noticed).count();
    ensure!(noticed > sample.len() / 4 && noticed < sample.len(), "{noticed} of {}", sample.len());

    let (mut waiting, mut wrong) = (sample, Vec::new());
    let played = waiting.len();
    for _ in 0..ROUNDS {
        let outcomes = play(&waiting).await?;
        ensure!(outcomes.len() == waiting.len(), "{} came out", outcomes.len());
        let mut again = Vec::new();
        for (trial, outcome) in waiting.drain(..).zip(outcomes) {
            match shown(&trial, &outcome) {
                Shown::AsSaid => {}
                Shown::Otherwise(text) => wrong.push(text),
                Shown::Nothing => again.push(trial),
            }
        }
        waiting = again;
        if waiting.is_empty() {
            break;
        }
    }
    ensure!(wrong.is_empty(), "{} of {played} edits:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(waiting.is_empty(), "this machine is too busy: {} of {played} edits show nothing", waiting.len());
    Ok(())
}

/// Plays each edit's scenario.
async fn play(trials: &[Trial]) -> Result<Vec<ScenarioOutcome>> {
    let options =
        LocalOptions { program: Some(env!("CARGO_BIN_EXE_flowproof").into()), ..LocalOptions::default() };
    let cluster = Arc::new(LocalCluster::start(&options).await?);
    let settings = Settings {
        settle: SETTLE,
        settle_labels: SETTLE,
        canary: false,
        jobs: Jobs::Fixed(LANES),
        ..Settings::local(Duration::ZERO)
    };
    let (teller, _) = mpsc::unbounded_channel();
    let context = Context::new(settings, Teller(teller), CancellationToken::new());
    let scenarios = trials.iter().map(|trial| trial.scenario.clone()).collect();
    let judged = run::run(Arc::clone(&cluster) as _, scenarios, context, Live::default()).await?;
    Ok(judged.cleaned().await.scenarios)
}

/// Whether playing an edit confirms what `mutate` says.
enum Shown {
    AsSaid,
    Otherwise(String),
    /// An end got too little CPU, or the like.
    Nothing,
}

fn shown(trial: &Trial, played: &ScenarioOutcome) -> Shown {
    let about = format!("{} ({})", trial.edit, trial.scenario.file);
    if played.end != End::Played {
        return Shown::Otherwise(format!("{about}: not played: {:?}", played.end));
    }
    let written = || played.steps.iter().flat_map(|step| &step.flows).filter(|flow| !flow.by_policy);
    let against: Option<&FlowOutcome> = written().find(|flow| flow.verdict == Kind::Mismatched);
    let unclear = written().any(|flow| matches!(flow.verdict, Kind::Unproven | Kind::Inconclusive));
    match (trial.noticed, against) {
        (false, Some(flow)) => Shown::Otherwise(format!(
            "{about}: said to go unnoticed, and {} {} {}: {}",
            flow.expectation, flow.flow, flow.family, flow.text
        )),
        (_, None) if unclear => Shown::Nothing,
        (true, None) => Shown::Otherwise(format!("{about}: said to be noticed, and everything matched")),
        (true, Some(_)) | (false, None) => Shown::AsSaid,
    }
}
