//! A watch in the local cluster, where the truth is known: enforcement is removed and restored, or nothing happens.

use anyhow::{Context as _, Result, ensure};
use flowproof::{
    cluster::Cluster,
    local::{LocalCluster, LocalOptions},
    run::{
        Context, Live, Progress, Settings, Teller,
        watch::{Watch, WatchOptions},
    },
    scenarios,
};
use flowproof_core::{
    outcome::{Conclusion, EndedBy, Outcome, Watched, What},
    scenario::{Change, ObjectRef, Scenario, flow::Expectation},
};
use serde_json::Value;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Limit for a watch; none takes this long.
const LIMIT: Duration = Duration::from_secs(120);

/// Attempts are half of this apart; on a busy machine, the lag of the probers' timers is added.
const RESOLUTION_MS: u64 = 200;

const RUN: &str = "watched";

fn scenario() -> Result<Scenario> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios/basics/database-from-app-namespace.yaml");
    let mut scenarios = scenarios::load(&[path]).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    scenarios.pop().context("there is one")
}

/// Watches the scenario while `meanwhile` happens, from the moment when everything has settled.
async fn watched<F>(meanwhile: impl FnOnce(Arc<LocalCluster>, Live) -> F) -> Result<(Outcome, F::Output)>
where
    F: Future,
{
    let program = Some(PathBuf::from(env!("CARGO_BIN_EXE_flowproof")));
    let cluster = Arc::new(LocalCluster::start(&LocalOptions { program, ..LocalOptions::default() }).await?);
    let (sender, mut progress) = mpsc::unbounded_channel();
    let settings = Settings { run: RUN.to_owned(), canary: false, ..Settings::default() };
    let end = CancellationToken::new();
    let mut context = Context::new(settings, Teller(sender), CancellationToken::new());
    context.watch = Some(Arc::new(Watch::new(WatchOptions::default(), end.clone())));
    let live = Live::default();
    let run = flowproof::run::run(
        Arc::clone(&cluster) as Arc<dyn Cluster>,
        vec![scenario()?],
        context,
        live.clone(),
    );
    let during = async {
        while let Some(event) = progress.recv().await {
            if matches!(event, Progress::Watching { .. }) {
                let done = meanwhile(cluster, live).await;
                end.cancel();
                return Some(done);
            }
        }
        None
    };
    let (outcome, done) =
        timeout(LIMIT, async { tokio::join!(run, during) }).await.context("it takes too long")?;
    Ok((outcome?.cleaned().await, done.context("the watch began")?))
}

/// The scenario's policy under its real name.
fn policy(live: &Live) -> Result<(ObjectRef, Value)> {
    let scenario = scenario()?;
    let manifest = scenario.steps[0].changes.iter().find_map(|change| match change {
        Change::Apply(manifest) => Some(manifest.clone()),
        _ => None,
    });
    let mut manifest = manifest.context("it applies one")?;
    let namespace =
        live.traces().into_iter().find(|name| name.starts_with("data-")).context("it is there")?;
    manifest.value["metadata"]["namespace"] = namespace.clone().into();
    manifest.object.namespace = Some(namespace);
    Ok((manifest.object, manifest.value))
}

/// The connections that the policy allows were kept open, in each family, and nothing happened to them.
fn kept_open(watched: &Watched) -> Result<()> {
    ensure!(watched.kept.len() == 4 || watched.kept.len() == 2, "{:?}", watched.kept);
    for kept in &watched.kept {
        let allowed =
            ["app/api", "app/web"].map(|from| format!("{from} -> data/postgres tcp/5432 established"));
        ensure!(allowed.contains(&kept.flow) && kept.episodes.is_empty(), "{kept:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn enforcement_that_is_gone_for_a_while_is_a_leak_of_that_length() -> Result<()> {
    const OPEN: Duration = Duration::from_secs(2);
    let (outcome, truth) = watched(async |cluster, live| {
        let (object, manifest) = policy(&live)?;
        cluster.delete(&object).await?;
        let open = cluster.enforced(LIMIT).await?;
        tokio::time::sleep_until(Instant::from_std(open) + OPEN).await;
        cluster.apply(&manifest).await?;
        let closed = cluster.enforced(LIMIT).await?;
        // The end of a leak shows in the attempts after it.
        tokio::time::sleep_until(Instant::from_std(closed) + OPEN).await;
        Ok::<u64, anyhow::Error>((closed - open).as_millis() as u64)
    })
    .await?;
    let truth = truth?;
    ensure!(outcome.conclusion() == Conclusion::Mismatched, "{:?}", outcome.conclusion());
    let watched = outcome.scenarios[0].watched.as_ref().context("it was watched")?;
    ensure!(watched.flows.len() == 12 || watched.flows.len() == 6, "{} flows", watched.flows.len());
    kept_open(watched)?;
    ensure!(watched.kept.iter().all(|kept| kept.attempts > 0), "{:?}", watched.kept);
    let lag = watched.probers.iter().map(|prober| prober.longest_lag_ms).max().unwrap_or(0);
    let resolution = RESOLUTION_MS + lag;
    for flow in &watched.flows {
        let leaks: Vec<_> = flow.episodes.iter().collect();
        if flow.expectation == Expectation::Allow {
            ensure!(leaks.is_empty(), "{} {leaks:?}", flow.flow);
            continue;
        }
        ensure!(leaks.len() == 1 && leaks[0].what == What::Leak && !leaks[0].open, "{} {leaks:?}", flow.flow);
        let length = leaks[0].length_ms();
        ensure!(length.abs_diff(truth) <= resolution, "{}: {length} ms, in truth {truth} ms", flow.flow);
        ensure!(leaks[0].destination_node.is_some(), "{leaks:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_and_nothing_is_told() -> Result<()> {
    let (outcome, ()) = watched(async |_, _| ()).await?;
    ensure!(
        outcome.watch.as_ref().is_some_and(|watch| watch.ended == EndedBy::Interrupt),
        "{:?}",
        outcome.watch
    );
    let watched = outcome.scenarios[0].watched.as_ref().context("it was watched")?;
    ensure!(!watched.any(What::Leak) && !watched.any(What::Gap), "{:?}", watched.flows);
    kept_open(watched)?;
    ensure!(outcome.scenarios[0].restore.is_none() && outcome.remains.is_empty(), "{outcome:?}");
    Ok(())
}
