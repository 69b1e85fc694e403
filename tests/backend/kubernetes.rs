//! Tests for Kubernetes only.

use crate::{
    conversation::Conversation,
    lab::Lab,
    lanes::{lane, unique},
    suite::with_lane,
    surroundings,
};
use anyhow::{Context, Result, bail, ensure};
use flowproof::{
    cluster::{Cluster, ClusterError, Wait},
    image::{Image, Place, Prober, load},
    kube::{Kube, KubeOptions, PullPolicy},
};
use futures::future::try_join_all;
use libtest_mimic::Trial;
use serde_json::json;
use std::{
    fs,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// The cluster under test.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) kube: Arc<Kube>,
    pub(crate) options: KubeOptions,
    pub(crate) lab: Lab,
}

type Check = fn(Ground) -> Pin<Box<dyn Future<Output = Result<()>>>>;

const CHECKS: &[(&str, Check)] = &[
    ("nine pods are attached soon", |ground| Box::pin(is_quick(ground.kube))),
    ("a missing image fails early and says what to do", |ground| Box::pin(misses_the_image(ground))),
    ("pods on their node's network are attached", |ground| Box::pin(uses_the_nodes_network(ground.kube))),
    ("what a run leaves behind is found and removed", |ground| Box::pin(cleans(ground.kube))),
    ("cluster-scoped objects go with their lane", |ground| Box::pin(removes_cluster_scoped(ground))),
    ("goes on when the API server was away", |ground| Box::pin(survives_the_api_server(ground))),
    ("a deleted pod is gone", |ground| Box::pin(misses_a_deleted_pod(ground))),
    ("a pod that no node takes fails at the deadline", |ground| Box::pin(cannot_be_scheduled(ground.kube))),
    ("the image is loaded into containerd", |ground| Box::pin(loads_into_containerd(ground))),
    ("names a wrong context", |ground| Box::pin(surroundings::wrong_context(ground))),
    ("names a wrong certificate authority", |ground| Box::pin(surroundings::wrong_authority(ground))),
    ("names credentials that are refused", |ground| Box::pin(surroundings::wrong_token(ground))),
    ("names every missing permission", |ground| Box::pin(surroundings::forbidden(ground))),
    ("names what a node lacks", |ground| Box::pin(surroundings::dead_kubelet(ground))),
];

pub(crate) fn trials(ground: Option<&Ground>, runtime: &Arc<Runtime>) -> Vec<Trial> {
    let trial = |&(name, check): &(&'static str, Check)| {
        let (ground, runtime) = (ground.cloned(), Arc::clone(runtime));
        let ignored = ground.is_none();
        let run = move || {
            let ground = ground.context("there is no lab")?;
            runtime.block_on(check(ground)).map_err(|error| format!("{error:#}").into())
        };
        Trial::test(format!("kube: {name}"), run).with_ignored_flag(ignored)
    };
    CHECKS.iter().map(trial).collect()
}

/// Far more than nine pods take, even on a busy machine; but a deployment that starts pods one by one takes longer.
const SOON: Duration = Duration::from_secs(60);

async fn is_quick(kube: Arc<Kube>) -> Result<()> {
    let lane = lane(&kube.describe().await?, 3, 3);
    let begun = Instant::now();
    let deployed = kube.deploy(&lane).await.map(|_| begun.elapsed());
    let check = async {
        let deployed = deployed?;
        try_join_all(lane.pods.iter().map(|pod| Conversation::open(&*kube, &pod.name))).await?;
        let attached = begun.elapsed();
        ensure!(attached <= SOON, "deployed after {deployed:?}, attached after {attached:?}");
        Ok(())
    };
    let checked = check.await;
    kube.remove(&lane, Wait::UntilGone).await?;
    checked
}

async fn misses_the_image(Ground { kube, options, .. }: Ground) -> Result<()> {
    let lane = lane(&kube.describe().await?, 1, 1);
    for pull_policy in [PullPolicy::Never, PullPolicy::IfNotPresent] {
        let image = Some("localhost/flowproof-prober:nowhere".to_owned());
        let blind = Kube::connect(KubeOptions { image, pull_policy, ..options.clone() }).await?;
        let begun = Instant::now();
        let answer = blind.deploy(&lane).await;
        let took = begun.elapsed();
        blind.remove(&lane, Wait::UntilGone).await?;
        match answer {
            Err(error @ ClusterError::PodFailed { .. }) => {
                ensure!(error.hint().is_some_and(|hint| hint.contains("flowproof image load")), "{error:?}");
            }
            other => bail!("{other:?}"),
        }
        ensure!(took < lane.without_headway / 2, "it took {took:?}");
    }
    Ok(())
}

async fn uses_the_nodes_network(kube: Arc<Kube>) -> Result<()> {
    let info = kube.describe().await?;
    let mut lane = lane(&info, 2, 1);
    for pod in &mut lane.pods {
        // Same name, same node: only the namespace distinguishes their sockets.
        pod.node.clone_from(&info.nodes[0].name);
        pod.host_network = true;
        pod.listens.clear();
    }
    with_lane(&*kube, &lane, async || {
        let first = Conversation::open(&*kube, &lane.pods[0].name).await?;
        let second = Conversation::open(&*kube, &lane.pods[1].name).await?;
        ensure!(first.instance != second.instance, "both streams lead to one prober");
        Ok(())
    })
    .await
}

async fn cleans(kube: Arc<Kube>) -> Result<()> {
    let lane = lane(&kube.describe().await?, 2, 1);
    kube.deploy(&lane).await?;
    let found = kube.runs().await?;
    let run = found.runs.iter().find(|remains| remains.run == lane.run).context("the run is not listed")?;
    ensure!(run.namespaces.len() == 2 && run.created.is_some() && run.runner.contains('@'), "{run:?}");
    let removed = kube.remove_run(&lane.run, Wait::UntilGone).await?;
    ensure!(removed.namespaces.len() == 2, "{removed:?}");
    let again = kube.remove_run(&lane.run, Wait::UntilGone).await?;
    ensure!(again.namespaces.is_empty() && again.objects.is_empty(), "{again:?}");
    ensure!(kube.runs().await?.runs.iter().all(|remains| remains.run != lane.run), "it is still listed");
    Ok(())
}

async fn removes_cluster_scoped(Ground { kube, lab, .. }: Ground) -> Result<()> {
    const GROUP: &str = "policy.networking.k8s.io";
    // Any cluster-scoped kind of a policy group will do; nothing enforces this one.
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("testpolicies.{GROUP}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, for the tests of this project" },
        },
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": { "plural": "testpolicies", "singular": "testpolicy", "kind": "TestPolicy" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": { "type": "object", "properties": { "order": { "type": "integer" } } } },
                } },
            }],
        },
    });
    lab.apply(&definition);
    lab.run(&["kubectl", "wait", "--for=condition=Established", "crd", &format!("testpolicies.{GROUP}")]);
    kube.serves(&format!("{GROUP}/v1"), "TestPolicy").await?;
    let policy = |name: &str| {
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "TestPolicy", "metadata": { "name": name }, "spec": { "order": 1 },
        })
    };
    let objects = async |run: &str| {
        let found = kube.runs().await?;
        let remains = found.runs.into_iter().find(|remains| remains.run == run);
        anyhow::Ok(remains.map(|remains| remains.objects).unwrap_or_default())
    };
    let info = kube.describe().await?;

    // Removed with its lane.
    let first = lane(&info, 1, 1);
    let name = unique("policy");
    with_lane(&*kube, &first, async || {
        kube.apply(&policy(&name)).await?;
        let mut wrong = policy(&name);
        wrong["spec"] = json!({ "ordre": 1 });
        let answer = kube.apply(&wrong).await.map(drop);
        ensure!(
            matches!(answer, Err(ClusterError::Rejected { .. })),
            "an unknown field was answered with {answer:?}"
        );
        let found = objects(&first.run).await?;
        ensure!(found.len() == 1 && found[0].name == name, "{found:?}");
        Ok(())
    })
    .await?;
    ensure!(objects(&first.run).await?.is_empty(), "it outlived its lane");

    // Removed by the run's id, as after a crash.
    let second = lane(&info, 1, 1);
    let name = unique("policy");
    kube.deploy(&second).await?;
    kube.apply(&policy(&name)).await?;
    let removed = kube.remove_run(&second.run, Wait::UntilGone).await?;
    ensure!(removed.objects.len() == 1 && removed.objects[0].name == name, "{removed:?}");
    ensure!(objects(&second.run).await?.is_empty(), "it is still there");
    lab.run(&["kubectl", "delete", "crd", &format!("testpolicies.{GROUP}")]);
    Ok(())
}

async fn survives_the_api_server(Ground { kube, lab, .. }: Ground) -> Result<()> {
    let info = kube.describe().await?;
    let first = lane(&info, 1, 1);
    let second = lane(&info, 1, 1);
    with_lane(&*kube, &first, async || {
        let pod = &first.pods[0].name;
        let mut conversation = Conversation::open(&*kube, pod).await?;
        lab.run(&["kill", "apiserver"]);
        let away = async {
            conversation.ended().await.context("the stream")?;
            match kube.attach(pod).await.map(drop) {
                Err(ClusterError::Unreachable { .. }) => Ok(()),
                other => bail!("{other:?}"),
            }
        };
        let away = away.await;
        lab.run(&["start", "apiserver"]);
        away?;
        let again = Conversation::open(&*kube, pod).await?;
        ensure!(again.instance == conversation.instance, "it is another prober");
        Ok(())
    })
    .await?;
    with_lane(&*kube, &second, async || Ok(())).await.context("a lane after the API server came back")
}

async fn misses_a_deleted_pod(Ground { kube, lab, .. }: Ground) -> Result<()> {
    let lane = lane(&kube.describe().await?, 1, 1);
    with_lane(&*kube, &lane, async || {
        let pod = &lane.pods[0].name;
        let mut conversation = Conversation::open(&*kube, pod).await?;
        lab.run(&["kubectl", "-n", &pod.namespace, "delete", "pod", &pod.name]);
        conversation.ended().await?;
        let answer = kube.attach(pod).await.map(drop);
        ensure!(matches!(answer, Err(ClusterError::PodGone { .. })), "{answer:?}");
        let answer = kube.restart(&lane.pods[0]).await;
        ensure!(matches!(answer, Err(ClusterError::PodGone { .. })), "{answer:?}");
        Ok(())
    })
    .await
}

async fn cannot_be_scheduled(kube: Arc<Kube>) -> Result<()> {
    let mut lane = lane(&kube.describe().await?, 1, 2);
    lane.without_headway = Duration::from_secs(5);
    lane.pods[1].node = "nowhere".into();
    let answer = kube.deploy(&lane).await.map(drop);
    kube.remove(&lane, Wait::Accepted).await?;
    match answer {
        Err(ClusterError::PodFailed { pod, why, .. }) => {
            ensure!(pod == lane.pods[1].name && why.contains("Unschedulable"), "{pod}: {why}");
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}

async fn loads_into_containerd(Ground { lab, .. }: Ground) -> Result<()> {
    let image = Image::pack(&[Prober::own().program], &unique("0.0.0"))?;
    let state = lab.kubeconfig();
    let state = state.parent().context("the kubeconfig lies in the cluster's directory")?;
    let pid = fs::read_to_string(state.join("node1/pid"))?;
    let pid = pid.split_whitespace().next().context("a node has a first process")?;
    let socket = format!("/proc/{pid}/root/run/containerd/containerd.sock");
    load(&image, &Place::Containerd(Some(socket))).await?;
    let images = lab.run(&["enter", "1", "ctr", "-n", "k8s.io", "images", "ls", "-q"]);
    lab.run(&["enter", "1", "ctr", "-n", "k8s.io", "images", "rm", &image.reference]);
    ensure!(images.lines().any(|line| line == image.reference), "{} is not among {images}", image.reference);
    let nowhere = Place::Containerd(Some("/nowhere/containerd.sock".into()));
    match load(&image, &nowhere).await {
        Err(error) => ensure!(error.hint().is_some_and(|hint| hint.contains("root")), "{error}"),
        Ok(()) => bail!("it was loaded into nowhere"),
    }
    Ok(())
}
