//! The end of a run: verdicts are reported before everything is gone, and what remains is named.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use flowproof::{
    cluster::{
        Accepted, Cluster, ClusterError, ClusterInfo, Deployed, LabelChange, Lane, Pod, PodName, PodSpec,
        Stream, Wait,
    },
    local::{LocalCluster, LocalOptions},
    run::{Context, Live, Settings, Teller},
    scenarios,
};
use flowproof_core::{outcome::Conclusion, scenario::ObjectRef};
use serde_json::Value;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Limit for every wait; nothing takes this long.
const LIMIT: Duration = Duration::from_secs(60);

/// A local cluster whose lanes are gone only when the test says so, or never.
struct Slow {
    cluster: LocalCluster,
    gone: Semaphore,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Late,
    Never,
}

#[async_trait]
impl Cluster for Slow {
    async fn describe(&self) -> Result<ClusterInfo, ClusterError> {
        self.cluster.describe().await
    }
    async fn deploy(&self, lane: &Lane) -> Result<Deployed, ClusterError> {
        self.cluster.deploy(lane).await
    }
    async fn attach(&self, pod: &PodName) -> Result<Box<dyn Stream>, ClusterError> {
        self.cluster.attach(pod).await
    }
    async fn apply(&self, manifest: &Value) -> Result<Accepted, ClusterError> {
        self.cluster.apply(manifest).await
    }
    async fn delete(&self, object: &ObjectRef) -> Result<Accepted, ClusterError> {
        self.cluster.delete(object).await
    }
    async fn label_pod(&self, pod: &PodName, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.cluster.label_pod(pod, labels).await
    }
    async fn label_namespace(&self, namespace: &str, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.cluster.label_namespace(namespace, labels).await
    }
    async fn restart(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        self.cluster.restart(pod).await
    }
    async fn start(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        self.cluster.start(pod).await
    }
    async fn serves(&self, api_version: &str, kind: &str) -> Result<(), ClusterError> {
        self.cluster.serves(api_version, kind).await
    }
    async fn remove(&self, lane: &Lane, wait: Wait) -> Result<(), ClusterError> {
        if wait == Wait::UntilGone {
            let permit = self.gone.acquire().await.map_err(|error| held(&error.to_string()))?;
            permit.forget();
            if self.end == End::Never {
                return Err(held("a finalizer holds them"));
            }
        }
        self.cluster.remove(lane, wait).await
    }
}

fn held(why: &str) -> ClusterError {
    ClusterError::Failed { context: "namespaces not gone".into(), message: why.into() }
}

async fn played(end: End, settings: Settings) -> Result<(Arc<Slow>, Live, flowproof::run::Judged)> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/basics/default-deny-ingress.yaml");
    let scenarios = scenarios::load(&[path]).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let program = Some(PathBuf::from(env!("CARGO_BIN_EXE_flowproof")));
    let cluster = LocalCluster::start(&LocalOptions { program, ..LocalOptions::default() }).await?;
    let cluster = Arc::new(Slow { cluster, gone: Semaphore::new(0), end });
    let (sender, _) = mpsc::unbounded_channel();
    let context = Context::new(settings, Teller(sender), CancellationToken::new());
    let live = Live::default();
    let run = flowproof::run::run(Arc::clone(&cluster) as Arc<dyn Cluster>, scenarios, context, live.clone());
    let judged = timeout(LIMIT, run).await??;
    Ok((cluster, live, judged))
}

fn settings() -> Settings {
    Settings { canary: false, ..Settings::local(Duration::ZERO) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_judged_before_its_namespaces_are_gone() -> Result<()> {
    let (cluster, live, judged) = played(End::Late, settings()).await?;
    ensure!(judged.outcome.conclusion() == Conclusion::Matched, "{:?}", judged.outcome);
    ensure!(!live.traces().is_empty(), "they are still there");
    cluster.gone.add_permits(1);
    let outcome = timeout(LIMIT, judged.cleaned()).await?;
    ensure!(outcome.remains.is_empty() && live.traces().is_empty(), "{:?}", outcome.remains);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_is_named_in_the_end() -> Result<()> {
    let (cluster, live, judged) = played(End::Never, settings()).await?;
    ensure!(judged.outcome.remains.is_empty(), "nothing is known of it yet");
    cluster.gone.add_permits(1);
    let outcome = timeout(LIMIT, judged.cleaned()).await?;
    ensure!(
        outcome.remains.len() == 1 && outcome.remains[0].contains("a finalizer"),
        "{:?}",
        outcome.remains
    );
    ensure!(live.traces().iter().all(|name| outcome.remains[0].contains(name)), "{:?}", outcome.remains);
    ensure!(outcome.conclusion() == Conclusion::Matched, "what remains changes no verdict");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_told_at_once_and_not_removed() -> Result<()> {
    let (_, live, judged) = played(End::Never, Settings { keep: true, ..settings() }).await?;
    ensure!(!judged.outcome.remains.is_empty() && judged.outcome.remains == live.traces());
    let before = judged.outcome.clone();
    ensure!(timeout(LIMIT, judged.cleaned()).await? == before, "it is told once");
    Ok(())
}
