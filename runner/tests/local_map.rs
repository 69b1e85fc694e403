//! The map of an application agrees with what the local cluster's kernel lets through: random small applications, every pair of their
//! workloads, every port on which they listen.
//!
//! Many applications share one cluster. A round gives each of them new labels and policies. Denied flows are rejected in this test, so
//! that every answer comes at once. `FLOWPROOF_APPLICATIONS` sets how many are tried; `FLOWPROOF_SEED` repeats a run.

#[path = "local/random.rs"]
mod random;
#[path = "local/support.rs"]
mod support;

use anyhow::{Context as _, Result, ensure};
use flowproof::{
    cluster::{Cluster as _, LabelChange, PodSpec},
    local::{LocalCluster, LocalOptions, fault::Fault},
};
use flowproof_core::{
    scenario::{NamedListener, ObjectRef},
    snapshot,
    text::Severity,
    tools::reach::Reach,
};
use flowproof_wire::{Listener, Observation, Transport};
use futures::future::try_join_all;
use proptest::{collection::vec, sample::select, test_runner::TestRunner};
use random::{APPS, NAMESPACES, TEAMS, draw, number};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use support::{Scene, lane, options, pod};

/// Applications in one cluster.
const WORLDS: usize = 8;
/// Workloads of an application: two in each namespace, one on each node.
const PODS: usize = 6;
/// Applications in the ordinary tests.
const APPLICATIONS: usize = 96;
/// The ports on which all workloads listen; the first one has a name.
const LISTENS: [(Transport, u16); 3] = [(Transport::Tcp, 80), (Transport::Tcp, 81), (Transport::Udp, 80)];
/// How often a silent attempt is tried again; silence means that this machine is overloaded.
const ASKED_AGAIN: usize = 10;
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);
/// The time over which the attempts of one pod are spread, in milliseconds.
const SPREAD_MS: u64 = 100;
const ENFORCED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_map_is_what_the_kernel_lets_through() -> Result<()> {
    let wanted = number("FLOWPROOF_APPLICATIONS").unwrap_or(APPLICATIONS);
    let seed = number("FLOWPROOF_SEED").unwrap_or(1);
    let options = LocalOptions { fault: Some(Fault::RejectsInsteadOfDrops), ..options() };
    let pods: Vec<PodSpec> = (0..WORLDS).flat_map(pods_of).collect();
    let namespaces: Vec<String> =
        (0..WORLDS).flat_map(|world| NAMESPACES.map(|short| format!("w{world}-{short}"))).collect();
    let labelled: Vec<_> = namespaces.iter().map(|name| (name.as_str(), "")).collect();
    let cluster = LocalCluster::start(&options).await?;
    let mut scene = Scene::of(cluster, &lane(&labelled, pods.clone(), vec![])).await?;
    scene.pace(ANSWERED_WITHIN, SPREAD_MS);
    let mut runner = random::runner(seed);
    let (mut tried, mut allowed) = (0, 0);
    for round in 0..wanted.div_ceil(WORLDS) {
        let mut maps = Vec::new();
        let mut applied = Vec::new();
        for world in 0..WORLDS {
            let application = application(world, &mut runner);
            enact(&scene, &application).await?;
            applied.extend(application.iter().filter_map(policy));
            maps.push(map(&application)?);
        }
        scene.cluster.enforced(ENFORCED_WITHIN).await?;
        // Both families would double the time, so they alternate.
        let flows = flows(&scene, &pods, round % 2 == 0);
        let attempts = flows.iter().map(|flow| (pods[flow.from].name.clone(), flow.transport, flow.end));
        let observations = scene.try_again(&attempts.collect::<Vec<_>>(), ASKED_AGAIN).await?;
        for (flow, observed) in flows.iter().zip(observations) {
            let map = &maps[flow.from / PODS];
            let [from, to] = [flow.from, flow.to].map(|pod| pods[pod].name.to_string());
            let known = map.between(&from, &to);
            let port = flow.port_text();
            let in_map = known.is_some_and(|connection| connection.ports.contains(&port));
            let open =
                known.is_some_and(|connection| connection.open.iter().any(|text| text.starts_with(&port)));
            let through = matches!(observed, Observation::Answered { .. } | Observation::Cut { .. });
            ensure!(
                open || in_map == through,
                "seed {seed}, round {round}: {from} -> {to} {port}: the map says {known:?}, the kernel {observed:?}"
            );
            tried += 1;
            allowed += usize::from(through);
        }
        try_join_all(applied.iter().map(|object| scene.cluster.delete(object))).await?;
    }
    ensure!(allowed > tried / 10 && allowed < tried * 9 / 10, "{allowed} of {tried} flows got through");
    Ok(())
}

fn pods_of(world: usize) -> Vec<PodSpec> {
    let pod = |index: usize| {
        let name = format!("w{world}-{}/p{index}", NAMESPACES[index / 2]);
        let listens = LISTENS.map(|(transport, port)| NamedListener {
            name: name_of(index, transport, port).map(str::to_owned),
            listener: Listener { transport, port },
            sidecar: false,
        });
        PodSpec {
            listens: listens.into(),
            ..pod(&name, "", if index.is_multiple_of(2) { "node1" } else { "node2" })
        }
    };
    (0..PODS).map(pod).collect()
}

/// The same name means another number on every other pod.
fn name_of(index: usize, transport: Transport, port: u16) -> Option<&'static str> {
    (transport == Transport::Tcp && (port == 80) == (index.is_multiple_of(2))).then_some("web")
}

/// The manifests of an application, as a chart has them.
fn application(world: usize, runner: &mut TestRunner) -> Vec<Value> {
    let state = (
        vec(select(&APPS[..]), PODS),
        vec(select(&TEAMS[..]), NAMESPACES.len()),
        random::policies(Vec::new()),
    );
    let (apps, teams, policies) = draw(&state, runner);
    let namespace = |short: &str| format!("w{world}-{short}");
    let mut manifests = Vec::new();
    for (short, team) in NAMESPACES.iter().zip(teams) {
        let mut labels = json!({ "short": short });
        if !team.is_empty() {
            labels["team"] = team.into();
        }
        manifests.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(short), "labels": labels}}));
    }
    for (index, app) in apps.into_iter().enumerate() {
        let labels = if app.is_empty() { json!({}) } else { json!({ "app": app }) };
        let ports = LISTENS.map(|(transport, port)| {
            let mut entry = json!({
                "containerPort": port, "protocol": if transport == Transport::Tcp { "TCP" } else { "UDP" },
            });
            if let Some(name) = name_of(index, transport, port) {
                entry["name"] = name.into();
            }
            entry
        });
        manifests.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": format!("p{index}"), "namespace": namespace(NAMESPACES[index / 2])},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "ports": ports}]}}},
        }));
    }
    for (index, (at, spec)) in policies.into_iter().enumerate() {
        manifests.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": format!("p{index}"), "namespace": namespace(NAMESPACES[at])}, "spec": spec,
        }));
    }
    manifests
}

fn map(application: &[Value]) -> Result<Reach> {
    let text: Vec<String> = application.iter().map(Value::to_string).collect();
    let (snapshot, problems) =
        snapshot::manifests(&[("application.yaml".to_owned(), text.join("\n---\n").into_bytes())]);
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(Reach::of(&snapshot))
}

fn policy(manifest: &Value) -> Option<ObjectRef> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (manifest["kind"] == "NetworkPolicy").then_some(ObjectRef {
        api_version: text(&manifest["apiVersion"])?,
        kind: "NetworkPolicy".to_owned(),
        namespace: text(&manifest["metadata"]["namespace"]),
        name: text(&manifest["metadata"]["name"])?,
    })
}

/// Gives the existing pods of an application its labels, and applies its policies.
async fn enact(scene: &Scene, application: &[Value]) -> Result<()> {
    let label = |labels: &Value, key: &str| (key.to_owned(), labels[key].as_str().map(str::to_owned));
    for manifest in application {
        let metadata = &manifest["metadata"];
        let name = metadata["name"].as_str().context("a name")?;
        match manifest["kind"].as_str() {
            Some("Namespace") => {
                let labels = &metadata["labels"];
                let change: LabelChange = ["short", "team"].map(|key| label(labels, key)).into();
                scene.cluster.label_namespace(name, &change).await?;
            }
            Some("Deployment") => {
                let labels = &manifest["spec"]["template"]["metadata"]["labels"];
                let pod = format!("{}/{name}", metadata["namespace"].as_str().context("a namespace")?);
                scene.cluster.label_pod(&pod.parse()?, &[label(labels, "app")].into()).await?;
            }
            _ => {
                scene.cluster.apply(manifest).await?;
            }
        }
    }
    Ok(())
}

/// A flow between two pods of one application.
struct Flow {
    from: usize,
    to: usize,
    transport: Transport,
    end: SocketAddr,
}

impl Flow {
    fn port_text(&self) -> String {
        let protocol = if self.transport == Transport::Tcp { "tcp" } else { "udp" };
        format!("{protocol}/{}", self.end.port())
    }
}

fn flows(scene: &Scene, pods: &[PodSpec], v4: bool) -> Vec<Flow> {
    let pairs = (0..pods.len()).flat_map(|from| (from / PODS * PODS..).take(PODS).map(move |to| (from, to)));
    let others = pairs.filter(|(from, to)| from != to);
    let flow = |(from, to): (usize, usize)| {
        let address = scene.address(&pods[to].name.to_string(), v4);
        LISTENS.map(|(transport, port)| Flow { from, to, transport, end: SocketAddr::new(address, port) })
    };
    others.flat_map(flow).collect()
}
