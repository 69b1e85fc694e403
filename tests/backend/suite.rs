//! What every backend promises.

use crate::{
    conversation::Conversation,
    lanes::{LISTENERS, lane, unique},
};
use anyhow::{Context, Result, bail, ensure};
use flowproof::cluster::{Accepted, Cluster, ClusterError, Lane, PodName, Wait};
use flowproof_core::scenario::ObjectRef;
use futures::future::try_join_all;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Instant};
use tokio::runtime::Runtime;

type Check = fn(Arc<dyn Cluster>) -> Pin<Box<dyn Future<Output = Result<()>>>>;

const CHECKS: &[(&str, Check)] = &[
    ("describes itself", |cluster| Box::pin(describes_itself(cluster))),
    ("deploys what a lane asks for", |cluster| Box::pin(deploys(cluster))),
    ("takes a lost stream up again", |cluster| Box::pin(reattaches(cluster))),
    ("applies and deletes policies", |cluster| Box::pin(changes_policies(cluster))),
    ("says what is wrong with a policy", |cluster| Box::pin(rejects(cluster))),
    ("knows the scope of kinds", |cluster| Box::pin(knows_kinds(cluster))),
    ("changes labels", |cluster| Box::pin(changes_labels(cluster))),
    ("restarts a pod", |cluster| Box::pin(restarts(cluster))),
    ("says when a pod is gone", |cluster| Box::pin(misses_pods(cluster))),
    ("deploys two lanes at once", |cluster| Box::pin(deploys_two(cluster))),
    ("leaves nothing of a lane", |cluster| Box::pin(removes(cluster))),
];

/// The suite for a backend; ignored trials if it does not take part.
pub(crate) fn trials(
    backend: &str,
    cluster: Option<&Arc<dyn Cluster>>,
    runtime: &Arc<Runtime>,
) -> Vec<Trial> {
    let trial = |&(name, check): &(&'static str, Check)| {
        let (cluster, runtime) = (cluster.cloned(), Arc::clone(runtime));
        let ignored = cluster.is_none();
        let run = move || {
            let cluster = cluster.context("the backend does not take part")?;
            runtime.block_on(check(cluster)).map_err(|error| format!("{error:#}").into())
        };
        Trial::test(format!("{backend}: {name}"), run).with_ignored_flag(ignored)
    };
    CHECKS.iter().map(trial).collect()
}

/// Deploys a lane, runs the check, and removes the lane whatever the result.
pub(crate) async fn with_lane<T>(
    cluster: &dyn Cluster,
    lane: &Lane,
    check: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let checked = match cluster.deploy(lane).await {
        Ok(_) => check().await,
        Err(error) => Err(error.into()),
    };
    cluster.remove(lane, Wait::Accepted).await?;
    checked
}

async fn describes_itself(cluster: Arc<dyn Cluster>) -> Result<()> {
    let info = cluster.describe().await?;
    ensure!(!info.version.is_empty() && !info.cni.is_empty(), "{info:?}");
    ensure!(info.nodes.len() >= 2, "the tests want two nodes: {info:?}");
    for node in &info.nodes {
        ensure!(!node.name.is_empty() && !node.addresses.is_empty() && node.unusable.is_none(), "{node:?}");
    }
    Ok(())
}

async fn deploys(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 2, 2);
    let deployed = cluster.deploy(&lane).await;
    let check = async {
        let deployed = deployed?;
        ensure!(deployed.pods.len() == lane.pods.len());
        for (pod, spec) in deployed.pods.iter().zip(&lane.pods) {
            ensure!(pod.name == spec.name && pod.node == spec.node, "{pod:?} is not {spec:?}");
            ensure!(!pod.addresses.is_empty(), "{pod:?} has no address");
        }
        ensure!(deployed.services.len() == 1 && !deployed.services[0].is_empty(), "{:?}", deployed.services);
        try_join_all(lane.pods.iter().map(|pod| async {
            let mut conversation = Conversation::open(&*cluster, &pod.name).await?;
            conversation.ping(7).await?;
            conversation.listen(&LISTENERS).await.with_context(|| format!("{}", pod.name))
        }))
        .await
    };
    let checked = check.await;
    cluster.remove(&lane, Wait::Accepted).await?;
    checked.map(drop)
}

async fn reattaches(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 1, 1);
    with_lane(&*cluster, &lane, async || {
        let pod = &lane.pods[0].name;
        let mut first = Conversation::open(&*cluster, pod).await?;
        first.listen(&LISTENERS).await?;
        let instance = first.instance;
        drop(first);
        let mut second = Conversation::open(&*cluster, pod).await?;
        ensure!(second.instance == instance, "it is another prober");
        second.listening(&LISTENERS).await.context("the prober forgot its listeners")?;
        // A runner that has lost its stream without noticing attaches again: the older stream must end.
        let mut third = Conversation::open(&*cluster, pod).await?;
        third.ping(1).await?;
        second.ended().await.context("the older stream")
    })
    .await
}

async fn changes_policies(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 1, 1);
    with_lane(&*cluster, &lane, async || {
        let namespace = &lane.pods[0].name.namespace;
        let object = policy_ref(namespace, "deny");
        within(async || cluster.apply(&deny(namespace)).await).await?;
        let mut changed = deny(namespace);
        changed["spec"]["policyTypes"] = json!(["Ingress", "Egress"]);
        within(async || cluster.apply(&changed).await).await?;
        within(async || cluster.delete(&object).await).await?;
        within(async || cluster.delete(&object).await).await.context("an object that is gone")?;
        Ok(())
    })
    .await
}

async fn rejects(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 1, 1);
    with_lane(&*cluster, &lane, async || {
        let namespace = &lane.pods[0].name.namespace;
        let mut unknown_type = deny(namespace);
        unknown_type["spec"]["policyTypes"] = json!(["Sideways"]);
        let mut unknown_field = deny(namespace);
        unknown_field["spec"]["podSelectors"] = json!({});
        let elsewhere = deny(&unique("nowhere"));
        for bad in [unknown_type, unknown_field, elsewhere] {
            match cluster.apply(&bad).await {
                Err(ClusterError::Rejected { object, message }) => {
                    ensure!(object.contains("deny") && !message.is_empty(), "{object}: {message}");
                }
                other => bail!("{bad} was answered with {other:?}"),
            }
        }
        Ok(())
    })
    .await
}

async fn knows_kinds(cluster: Arc<dyn Cluster>) -> Result<()> {
    cluster.serves("networking.k8s.io/v1", "NetworkPolicy").await?;
    match cluster.serves("nowhere.flowproof.dev/v1", "Wish").await {
        Err(ClusterError::Unsupported { what }) if what.contains("Wish") => Ok(()),
        other => bail!("{other:?}"),
    }
}

async fn changes_labels(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 1, 1);
    with_lane(&*cluster, &lane, async || {
        let pod = &lane.pods[0].name;
        let change =
            BTreeMap::from([("app".to_owned(), None), ("tier".to_owned(), Some("front".to_owned()))]);
        within(async || cluster.label_pod(pod, &change).await).await?;
        within(async || cluster.label_namespace(&pod.namespace, &change).await).await?;
        let missing = PodName::new(pod.namespace.as_str(), "missing");
        let answer = cluster.label_pod(&missing, &change).await;
        ensure!(matches!(&answer, Err(ClusterError::PodGone { pod }) if *pod == missing), "{answer:?}");
        Ok(())
    })
    .await
}

async fn restarts(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 1, 2);
    with_lane(&*cluster, &lane, async || {
        let spec = &lane.pods[1];
        let mut old = Conversation::open(&*cluster, &spec.name).await?;
        old.listen(&LISTENERS).await?;
        let pod = cluster.restart(spec).await?;
        ensure!(pod.name == spec.name && pod.node == spec.node && !pod.addresses.is_empty(), "{pod:?}");
        old.ended().await.context("the stream to the old prober")?;
        let mut new = Conversation::open(&*cluster, &spec.name).await?;
        ensure!(new.instance != old.instance, "it is the same prober");
        new.listen(&LISTENERS).await
    })
    .await
}

async fn misses_pods(cluster: Arc<dyn Cluster>) -> Result<()> {
    let pod = PodName::new(unique("nowhere"), "missing");
    match cluster.attach(&pod).await {
        Err(ClusterError::PodGone { pod: named }) if named == pod => Ok(()),
        Err(other) => bail!("{other:?}"),
        Ok(_) => bail!("it was attached"),
    }
}

async fn deploys_two(cluster: Arc<dyn Cluster>) -> Result<()> {
    let info = cluster.describe().await?;
    let mut lanes = [lane(&info, 1, 2), lane(&info, 2, 1)];
    // Two lanes of one run.
    let run = lanes[0].run.clone();
    lanes[1].run.clone_from(&run);
    lanes[1].pods.iter_mut().for_each(|pod| pod.run.clone_from(&run));
    let deployed = futures::future::join(cluster.deploy(&lanes[0]), cluster.deploy(&lanes[1])).await;
    let check = async {
        deployed.0?;
        deployed.1?;
        cluster.remove(&lanes[0], Wait::UntilGone).await?;
        for pod in &lanes[1].pods {
            Conversation::open(&*cluster, &pod.name)
                .await
                .context("the other lane must go on")?
                .ping(1)
                .await?;
        }
        Ok(())
    };
    let checked = check.await;
    for lane in &lanes {
        cluster.remove(lane, Wait::Accepted).await?;
    }
    checked
}

async fn removes(cluster: Arc<dyn Cluster>) -> Result<()> {
    let lane = lane(&cluster.describe().await?, 2, 1);
    cluster.deploy(&lane).await?;
    let mut conversation = Conversation::open(&*cluster, &lane.pods[0].name).await?;
    cluster.apply(&deny(&lane.pods[0].name.namespace)).await?;
    cluster.remove(&lane, Wait::UntilGone).await?;
    conversation.ended().await?;
    for pod in &lane.pods {
        let answer = cluster.attach(&pod.name).await.map(drop);
        ensure!(matches!(answer, Err(ClusterError::PodGone { .. })), "{answer:?}");
    }
    cluster.remove(&lane, Wait::UntilGone).await.context("a second removal")?;
    // The names can be used again.
    with_lane(&*cluster, &lane, async || Ok(())).await
}

/// Checks that the time of acceptance is between the request and the answer.
async fn within(change: impl AsyncFnOnce() -> Result<Accepted, ClusterError>) -> Result<()> {
    let before = Instant::now();
    let accepted = change().await?;
    ensure!((before..=Instant::now()).contains(&accepted.at), "accepted outside the call");
    Ok(())
}

fn policy_ref(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "networking.k8s.io/v1".into(),
        kind: "NetworkPolicy".into(),
        namespace: Some(namespace.into()),
        name: name.into(),
    }
}

/// A policy that denies all ingress.
fn deny(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "deny", "namespace": namespace },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] },
    })
}
