//! Plays scenarios against the correct engine, and then against every fault.

use super::matrix::{Catch, Cell, Column, Matrix, Row, SCHEMA};
use crate::{
    cluster::ClusterError,
    local::{
        LocalCluster, LocalOptions,
        fault::{Category, Fault},
    },
    run::{self, Context, Live, Settings, Teller},
};
use flowproof_core::{
    outcome::{Conclusion, End, FlowOutcome, Outcome, ScenarioOutcome},
    scenario::Scenario,
    verdict::{Kind, Reason},
};
use futures::{StreamExt, future::try_join_all, stream};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// The engine enforces within milliseconds, so a flow that agrees for this long has settled.
const HOLD: Duration = Duration::from_millis(250);

/// Time from one attempt of a flow to the next.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long the correct engine may take. It takes this long only if the machine is overloaded.
const SETTLE_CORRECT: Duration = Duration::from_secs(15);

/// A play takes some seconds, and each wait in it has a limit; one that takes this long will not end.
const PLAY_WITHIN: Duration = Duration::from_secs(180);

/// Plays side by side for each processor; this many, because a play is mostly waiting.
const JOBS_PER_PROCESSOR: usize = 7;

/// How many plays side by side this machine can take.
#[must_use]
pub fn jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from) * JOBS_PER_PROCESSOR
}

/// What is played, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The faults.
    pub faults: Vec<Fault>,
    /// Plays side by side.
    pub jobs: usize,
    /// How much is played.
    pub depth: Depth,
    /// How long flows may take to settle with a fault. A flow that has not settled by then is a catch.
    pub settle: Duration,
    /// The options of every local cluster; their fault is ignored.
    pub local: LocalOptions,
}

/// How much of a matrix is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every fault with every scenario that may notice it.
    All,
    /// Every fault until a scenario catches it.
    FirstCatch,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The correct engine was judged.
    Correct {
        /// Scenarios that took part.
        scenarios: usize,
        /// How long it took.
        took: Duration,
    },
    /// All plays with a fault are done.
    Done {
        /// Which.
        fault: Fault,
        /// How many scenarios catch it.
        catches: usize,
        /// How many were played.
        played: usize,
    },
}

/// Why there is no matrix.
#[derive(Debug)]
pub enum Trouble {
    /// The correct engine does not match these scenarios, and what they did.
    Wrong(Vec<Outcome>),
    /// The local cluster does not work.
    Cluster(ClusterError),
}

impl From<ClusterError> for Trouble {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

/// Plays all scenarios against the correct engine and then against the faults.
pub async fn play(
    scenarios: &[Scenario],
    options: &Options,
    tell: mpsc::UnboundedSender<Event>,
) -> Result<Matrix, Trouble> {
    let began = Instant::now();
    let (mut rows, telling) = correct(scenarios, options).await?;
    let taking_part = rows.iter().filter(|row| row.skipped.is_none()).count();
    let _ = tell.send(Event::Correct { scenarios: taking_part, took: began.elapsed() });
    let cells = with_faults(scenarios, options, &rows, &telling, &tell).await?;
    let faults: Vec<Column> = options
        .faults
        .iter()
        .zip(cells)
        .map(|(fault, cells)| Column { fault: fault.info(), cells })
        .collect();
    for (at, _) in faults.iter().flat_map(Column::catches) {
        rows[at].catches += 1;
    }
    Ok(Matrix {
        schema: SCHEMA,
        flowproof: env!("CARGO_PKG_VERSION"),
        took_ms: began.elapsed().as_millis() as u64,
        scenarios: rows,
        faults,
    })
}

/// Plays every scenario in a correct cluster; returns for each the faults that would have made a difference.
async fn correct(scenarios: &[Scenario], options: &Options) -> Result<(Vec<Row>, Vec<Vec<Fault>>), Trouble> {
    let local = LocalOptions { fault: None, keep_states: true, ..options.local.clone() };
    let plays = scenarios.iter().map(|scenario| one(scenario.clone(), local.clone(), SETTLE_CORRECT));
    let played: Vec<_> = stream::iter(plays).buffered(options.jobs).collect().await;
    let (mut rows, mut telling, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (scenario, played) in scenarios.iter().zip(played) {
        let (outcome, faults) = played?;
        let skipped = outcome.scenarios.iter().find_map(|played| match &played.end {
            End::Skipped { why } => Some(why.clone()),
            _ => None,
        });
        if skipped.is_none() && outcome.conclusion() != Conclusion::Matched {
            wrong.push(outcome);
        }
        telling.push(faults);
        rows.push(Row { file: scenario.file.clone(), claim: scenario.claim.clone(), skipped, catches: 0 });
    }
    if wrong.is_empty() { Ok((rows, telling)) } else { Err(Trouble::Wrong(wrong)) }
}

/// Plays every fault with the scenarios that may notice it, several at the same time.
async fn with_faults(
    scenarios: &[Scenario],
    options: &Options,
    rows: &[Row],
    telling: &[Vec<Fault>],
    tell: &mpsc::UnboundedSender<Event>,
) -> Result<Vec<Vec<Cell>>, ClusterError> {
    let places = Semaphore::new(options.jobs);
    let faults = options.faults.iter().map(|fault| {
        let places = &places;
        async move {
            let plays =
                scenarios.iter().zip(rows).zip(telling).map(|((scenario, row), telling)| async move {
                    if row.skipped.is_some() {
                        return Ok(Cell::Skipped);
                    }
                    if !telling.contains(fault) {
                        return Ok(Cell::SameRules);
                    }
                    let _place = places.acquire().await.expect("nobody closes it");
                    let local =
                        LocalOptions { fault: Some(*fault), keep_states: false, ..options.local.clone() };
                    let (outcome, _) = one(scenario.clone(), local, options.settle).await?;
                    Ok(cell(&outcome, *fault))
                });
            let cells: Vec<Cell> = match options.depth {
                Depth::All => try_join_all(plays).await?,
                Depth::FirstCatch => until_caught(plays).await?,
            };
            let count = |wanted: fn(&Cell) -> bool| cells.iter().filter(|cell| wanted(cell)).count();
            let catches = count(|cell| matches!(cell, Cell::Caught { .. }));
            let played = catches + count(|cell| matches!(cell, Cell::Unnoticed | Cell::Unclear { .. }));
            // If nobody receives events any more, nobody needs them.
            let _ = tell.send(Event::Done { fault: *fault, catches, played });
            Ok::<_, ClusterError>(cells)
        }
    });
    try_join_all(faults).await
}

/// Plays scenarios in turn until one catches the fault; the others are left out.
async fn until_caught(
    plays: impl Iterator<Item = impl Future<Output = Result<Cell, ClusterError>>>,
) -> Result<Vec<Cell>, ClusterError> {
    let mut cells = Vec::new();
    let mut caught = false;
    for play in plays {
        let cell = if caught { Cell::LeftOut } else { play.await? };
        caught |= matches!(cell, Cell::Caught { .. });
        cells.push(cell);
    }
    Ok(cells)
}

/// Plays a scenario in a local cluster of its own, as a task of its own.
async fn one(
    scenario: Scenario,
    local: LocalOptions,
    settle: Duration,
) -> Result<(Outcome, Vec<Fault>), ClusterError> {
    tokio::spawn(in_own_cluster(scenario, local, settle)).await.unwrap_or_else(|error| {
        Err(ClusterError::Failed { context: "playing a scenario".to_owned(), message: error.to_string() })
    })
}

async fn in_own_cluster(
    scenario: Scenario,
    local: LocalOptions,
    settle: Duration,
) -> Result<(Outcome, Vec<Fault>), ClusterError> {
    let cluster = Arc::new(LocalCluster::start(&local).await?);
    let settings = Settings {
        settle,
        settle_labels: settle,
        hold: HOLD,
        quiet: HOLD,
        interval: INTERVAL,
        fail_fast: true,
        canary: false,
        timeout: Some(PLAY_WITHIN),
        ..Settings::local(Duration::ZERO)
    };
    // Nobody receives the run's progress, because the matrix has its own. Known deviations are about other networks: none counts here.
    let (teller, _) = mpsc::unbounded_channel();
    let context = Context::new(settings, Teller(teller), CancellationToken::new());
    let judged = run::run(Arc::clone(&cluster) as _, vec![scenario], context, Live::default()).await?;
    let outcome = judged.cleaned().await;
    let telling = if local.keep_states { cluster.telling_faults().await? } else { Vec::new() };
    Ok((outcome, telling))
}

/// Reads what became of a scenario with a fault.
fn cell(outcome: &Outcome, fault: Fault) -> Cell {
    let late_counts = fault.info().category == Category::Time;
    let caught = |flow: &FlowOutcome| {
        // If the fault delays nothing, a flow that is late means that the machine is overloaded.
        flow.verdict == Kind::Mismatched && (late_counts || flow.reason != Reason::TooLate)
    };
    let steps = outcome.scenarios.iter().flat_map(|played| played.steps.iter().chain(&played.restore));
    for step in steps {
        let by: Vec<Catch> = step
            .flows
            .iter()
            .filter(|flow| caught(flow))
            .map(|flow| Catch {
                step: step.title.clone(),
                flow: flow.flow.clone(),
                family: flow.family,
                at: flow.at.clone(),
                reason: flow.reason,
                text: flow.text.clone(),
            })
            .collect();
        if !by.is_empty() {
            return Cell::Caught { by };
        }
    }
    match outcome.conclusion() {
        Conclusion::Matched => Cell::Unnoticed,
        _ => Cell::Unclear { why: outcome.scenarios.iter().find_map(unclear).unwrap_or_default() },
    }
}

/// What keeps a scenario from matching without a mismatch.
fn unclear(scenario: &ScenarioOutcome) -> Option<String> {
    if let End::Failed { error, .. } = &scenario.end {
        return Some(error.clone());
    }
    let flows = scenario.steps.iter().chain(&scenario.restore).flat_map(|step| &step.flows);
    flows
        .filter(|flow| flow.verdict != Kind::Matched)
        .map(|flow| format!("{}: {}", flow.flow, flow.text))
        .next()
}
