//! The engine and the rules agree: random policies, judged by the core's evaluator and by the kernel.
//!
//! Many small worlds share one cluster. A round gives each of them new labels and new policies, and tries a sample of flows.
//! Denied flows are rejected in this test, so that every answer comes at once. `FLOWPROOF_POLICY_SETS` sets how many
//! policy sets are tried; `FLOWPROOF_SEED` repeats a run.

#[path = "local/random.rs"]
mod random;
#[path = "local/support.rs"]
mod support;

use anyhow::{Result, bail, ensure};
use flowproof::{
    cluster::{Accepted, Cluster as _, ClusterError, LabelChange, PodSpec},
    local::{LocalCluster, LocalOptions, fault::Fault},
};
use flowproof_core::{
    policy::{Answer, Cluster, ClusterPolicy, Connection, NetworkPolicy, Pod, PodPort, Protocol, judge},
    scenario::{NamedListener, ObjectRef},
};
use flowproof_wire::{Listener, Observation, Transport};
use futures::{
    FutureExt,
    future::{LocalBoxFuture, try_join_all},
};
use proptest::{collection::vec, option, sample::select, strategy::Strategy, test_runner::TestRunner};
use random::{APPS, NAMESPACES, PORTS, TEAMS, draw, number};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};
use support::{Scene, lane, options, pod};

/// Clusters side by side: a round is mostly waiting, but every pod costs something all the time.
const CLUSTERS: usize = 2;
/// Worlds in one cluster.
const WORLDS: usize = 8;
/// Pods of a world: two in each namespace, one on each node.
const PODS: usize = 6;
/// Flows tried in a world and round.
const FLOWS: usize = 10;
/// Policy sets in the ordinary tests.
const POLICY_SETS: usize = 400;
/// Policy sets within which a wrong engine must be found.
const POLICY_SETS_WHEN_WRONG: usize = 100 * WORLDS;

/// The engine under test answers at once, whether it allows or rejects. A silent attempt means that this machine is overloaded.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// How often a silent flow is tried again before its silence counts.
const ASKED_AGAIN: usize = 10;

/// The time over which the attempts of one pod are spread, in milliseconds.
const SPREAD_MS: u64 = 100;

const ENFORCED_WITHIN: Duration = Duration::from_secs(30);

/// Labels and policies of one world in one round.
#[derive(Debug, Clone)]
struct State {
    /// Label `app` of each pod.
    apps: Vec<&'static str>,
    /// Label `team` of each namespace.
    teams: Vec<&'static str>,
    policies: Vec<(usize, Value)>,
    /// Cluster policies; often none.
    tiers: Vec<Value>,
}

fn state(world: usize, pods: usize, blocks: Vec<String>) -> impl Strategy<Value = State> {
    let tiers = option::weighted(0.4, random::tiers(format!("w{world}")));
    let teams = vec(select(&TEAMS[..]), NAMESPACES.len());
    (vec(select(&APPS[..]), pods), teams, random::policies(blocks), tiers).prop_map(
        |(apps, teams, policies, tiers)| State { apps, teams, policies, tiers: tiers.unwrap_or_default() },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_and_the_rules_agree() -> Result<()> {
    let wanted = number("FLOWPROOF_POLICY_SETS").unwrap_or(POLICY_SETS);
    let seed = number("FLOWPROOF_SEED").unwrap_or(1);
    let rounds = wanted.div_ceil(WORLDS * CLUSTERS);
    let clusters = (0..CLUSTERS).map(|cluster| compare(None, rounds, seed * CLUSTERS + cluster));
    let mut outcome = Outcome::default();
    for cluster in try_join_all(clusters).await? {
        outcome.add(cluster);
    }
    if !outcome.differences.is_empty() {
        bail!("{} flows were tried (seed {seed}):\n{}", outcome.tried, outcome.differences.join("\n"));
    }
    ensure!(
        outcome.allowed > outcome.tried / 10 && outcome.denied > outcome.tried / 10,
        "the flows say little: {} of {} were allowed, {} denied",
        outcome.allowed,
        outcome.tried,
        outcome.denied
    );
    Ok(())
}

/// The comparison itself works: it finds an engine that is wrong in one corner, and shows the policy that reveals it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_engine_is_found() -> Result<()> {
    let faults = [Fault::PortIgnored, Fault::NamespaceOrPod, Fault::EndPortExclusive, Fault::NotInNeedsKey];
    let rounds = POLICY_SETS_WHEN_WRONG / WORLDS;
    for fault in faults {
        let outcome = compare(Some(fault), rounds, 1).await?;
        let Some(first) = outcome.differences.first() else {
            bail!("{fault} went unnoticed in {} flows", outcome.tried);
        };
        ensure!(first.matches("policy ").count() == 1, "{fault}: one policy is enough to show it:\n{first}");
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    tried: usize,
    allowed: usize,
    denied: usize,
    differences: Vec<String>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.differences.extend(other.differences);
    }

    fn count(&mut self, answer: Answer) -> Answer {
        self.tried += 1;
        match answer {
            Answer::Allow => self.allowed += 1,
            Answer::Deny => self.denied += 1,
            Answer::Unspecified(_) => {}
        }
        answer
    }
}

/// Plays rounds in one cluster; ends with the first difference, reduced to the policies that are needed to show it.
async fn compare(fault: Option<Fault>, rounds: usize, seed: usize) -> Result<Outcome> {
    let options = LocalOptions { fault: fault.or(Some(Fault::RejectsInsteadOfDrops)), ..options() };
    let pods: Vec<PodSpec> = (0..WORLDS).flat_map(pods_of).collect();
    let namespaces: Vec<_> =
        (0..WORLDS).flat_map(|world| NAMESPACES.map(|short| namespace(world, short))).collect();
    let labelled: Vec<_> = namespaces.iter().map(|name| (name.as_str(), "")).collect();
    let mut scene =
        Scene::of(LocalCluster::start(&options).await?, &lane(&labelled, pods.clone(), vec![])).await?;
    let patience = if fault.is_some() { Duration::from_millis(250) } else { ANSWERED_WITHIN };
    scene.pace(patience, SPREAD_MS);

    let mut runner = random::runner(seed);
    let mut outcome = Outcome::default();
    for _ in 0..rounds {
        let mut cluster = Cluster { nodes: nodes(&scene).await?, ..Cluster::default() };
        let (mut changes, mut applied) = (Vec::new(), Vec::new());
        for world in 0..WORLDS {
            let specs = &pods[world * PODS..][..PODS];
            let addresses =
                specs.iter().flat_map(|pod| [true, false].map(|v4| scene.address(&pod.name.to_string(), v4)));
            let state = draw(
                &state(world, PODS, addresses.map(|address| address.to_string()).collect()),
                &mut runner,
            );
            applied.extend(enact(&scene, world, specs, &state, &mut cluster, &mut changes)?);
        }
        try_join_all(changes).await?;
        scene.cluster.enforced(ENFORCED_WITHIN).await?;
        let flows = draw_flows(&scene, &pods, &mut runner);
        let asked_again = if fault.is_none() { ASKED_AGAIN } else { 0 };
        let observations = try_flows(&mut scene, &pods, &flows, asked_again).await?;
        for (flow, observed) in flows.iter().zip(observations) {
            let answer = outcome.count(judge(&cluster, &flow.connection));
            if differs(answer, &observed) {
                let text = explain(&mut scene, &pods, &cluster, flow, applied, asked_again).await?;
                outcome.differences.push(text);
                return Ok(outcome);
            }
        }
        try_join_all(applied.iter().map(|(object, _)| scene.cluster.delete(object))).await?;
    }
    Ok(outcome)
}

/// Whether the kernel did not do what the rules say.
fn differs(answer: Answer, observed: &Observation) -> bool {
    // If the handshake completed, the connection was let through, whatever became of the answer.
    let through = matches!(observed, Observation::Answered { .. } | Observation::Cut { .. });
    match answer {
        Answer::Allow => !through,
        Answer::Deny => through,
        Answer::Unspecified(_) => false,
    }
}

/// Removes policies as long as the difference remains, and describes what is left.
async fn explain(
    scene: &mut Scene,
    pods: &[PodSpec],
    cluster: &Cluster,
    flow: &Flow,
    mut applied: Vec<(ObjectRef, Value)>,
    asked_again: usize,
) -> Result<String> {
    let world = flow.from / PODS;
    let mut cluster = cluster.clone();
    let mut at = 0;
    let mut last = None;
    while at <= applied.len() {
        let taken = (at > 0).then(|| applied.remove(at - 1));
        if let Some((object, _)) = &taken {
            scene.cluster.delete(object).await?;
        }
        let of = |cluster_wide: bool| {
            applied.iter().filter(move |(object, _)| object.namespace.is_none() == cluster_wide)
        };
        cluster.policies =
            of(false).map(|(_, manifest)| NetworkPolicy::from_json(manifest)).collect::<Result<_, _>>()?;
        cluster.cluster_policies =
            of(true).map(|(_, manifest)| ClusterPolicy::from_json(manifest)).collect::<Result<_, _>>()?;
        scene.cluster.enforced(ENFORCED_WITHIN).await?;
        let answer = judge(&cluster, &flow.connection);
        let observed = try_flows(scene, pods, std::slice::from_ref(flow), asked_again).await?.remove(0);
        if differs(answer, &observed) {
            last = Some((answer, observed));
            at = at.max(1);
        } else {
            if let Some((object, manifest)) = taken {
                scene.cluster.apply(&manifest).await?;
                applied.insert(at - 1, (object, manifest));
            }
            at += 1;
        }
    }
    let end = flow.end;
    let mut text = match last {
        Some((answer, observed)) => format!(
            "{} -> {} {:?} {end}: the rules say {answer:?}, the kernel {observed:?}\n",
            pods[flow.from].name, pods[flow.to].name, flow.transport
        ),
        None => format!("a difference that does not come again: {flow:?}\n"),
    };
    for (_, manifest) in &applied {
        writeln!(text, "  policy {} {}", manifest["metadata"], manifest["spec"])?;
    }
    for pod in &cluster.pods[world * PODS..][..PODS] {
        writeln!(text, "  pod {} {:?} {:?} on {}", pod.name, pod.labels, pod.addresses, pod.node)?;
    }
    for (name, labels) in
        cluster.namespaces.iter().filter(|(name, _)| name.starts_with(&format!("w{world}-")))
    {
        writeln!(text, "  namespace {name} {labels:?}")?;
    }
    Ok(text)
}

fn namespace(world: usize, short: &str) -> String {
    format!("w{world}-{short}")
}

fn pods_of(world: usize) -> Vec<PodSpec> {
    (0..PODS)
        .map(|index| {
            let name = format!("{}/p{index}", namespace(world, NAMESPACES[index / 2]));
            let node = if index % 2 == 0 { "node1" } else { "node2" };
            // The same name means different numbers.
            let named = |port| match (port, index % 3) {
                (80, 0) | (81, 1) | (82, 2) => Some("web".to_owned()),
                (81, 0) | (82, 1) => Some("alt".to_owned()),
                _ => None,
            };
            let listen = |transport| {
                PORTS.map(|port| NamedListener {
                    name: if transport == Transport::Tcp { named(port) } else { None },
                    listener: Listener { transport, port },
                    // A native sidecar's port, with a name in some pods.
                    sidecar: port == 81 && index >= PODS / 2,
                })
            };
            let listens = [listen(Transport::Tcp), listen(Transport::Udp)].concat();
            PodSpec { listens, ..pod(&name, "", node) }
        })
        .collect()
}

async fn nodes(scene: &Scene) -> Result<BTreeMap<String, Vec<std::net::IpAddr>>> {
    let nodes = scene.cluster.describe().await?.nodes;
    Ok(nodes.into_iter().map(|node| (node.name, node.addresses)).collect())
}

/// Gives a world its labels and policies: in the evaluator's view at once, in the cluster when the returned changes are made.
fn enact<'a>(
    scene: &'a Scene,
    world: usize,
    specs: &'a [PodSpec],
    state: &State,
    cluster: &mut Cluster,
    changes: &mut Vec<LocalBoxFuture<'a, Result<Accepted, ClusterError>>>,
) -> Result<Vec<(ObjectRef, Value)>> {
    for (short, team) in NAMESPACES.iter().zip(&state.teams) {
        let name = namespace(world, short);
        let label = (!team.is_empty()).then(|| (*team).to_owned());
        let change: LabelChange = [
            ("team".to_owned(), label),
            ("short".to_owned(), Some((*short).to_owned())),
            ("world".to_owned(), Some(format!("w{world}"))),
        ]
        .into();
        let labels = change.clone().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        cluster.namespaces.insert(name.clone(), labels);
        changes.push(async move { scene.cluster.label_namespace(&name, &change).await }.boxed_local());
    }
    for (spec, app) in specs.iter().zip(&state.apps) {
        let label = (!app.is_empty()).then(|| (*app).to_owned());
        let change: LabelChange = [("app".to_owned(), label.clone())].into();
        changes.push(async move { scene.cluster.label_pod(&spec.name, &change).await }.boxed_local());
        cluster.pods.push(Pod {
            name: spec.name.clone(),
            labels: label.map(|label| ("app".to_owned(), label)).into_iter().collect(),
            addresses: [true, false].map(|v4| scene.address(&spec.name.to_string(), v4)).into(),
            ports: spec.listens.iter().map(pod_port).collect(),
            init_ports: Vec::new(),
            node: spec.node.clone(),
            host_network: false,
        });
    }
    let mut applied = Vec::new();
    for (index, (at, spec)) in state.policies.iter().enumerate() {
        let (namespace, name) = (namespace(world, NAMESPACES[*at]), format!("p{index}"));
        let manifest = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": namespace, "name": name}, "spec": spec,
        });
        cluster.policies.push(NetworkPolicy::from_json(&manifest)?);
        let object = ObjectRef {
            api_version: "networking.k8s.io/v1".to_owned(),
            kind: "NetworkPolicy".to_owned(),
            namespace: Some(namespace),
            name,
        };
        let copy = manifest.clone();
        changes.push(async move { scene.cluster.apply(&copy).await }.boxed_local());
        applied.push((object, manifest));
    }
    for (index, spec) in state.tiers.iter().enumerate() {
        let (api_version, kind) = ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy");
        let name = format!("w{world}-c{index}");
        let manifest =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec});
        cluster.cluster_policies.push(ClusterPolicy::from_json(&manifest)?);
        let object =
            ObjectRef { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace: None, name };
        let copy = manifest.clone();
        changes.push(async move { scene.cluster.apply(&copy).await }.boxed_local());
        applied.push((object, manifest));
    }
    Ok(applied)
}

fn pod_port(listens: &NamedListener) -> PodPort {
    let protocol = if listens.listener.transport == Transport::Tcp { Protocol::Tcp } else { Protocol::Udp };
    PodPort { name: listens.name.clone(), protocol, number: listens.listener.port }
}

/// A flow between two pods of one world.
#[derive(Debug)]
struct Flow {
    from: usize,
    to: usize,
    transport: Transport,
    end: SocketAddr,
    connection: Connection,
}

/// Draws flows of every world; those of one pod are adjacent.
fn draw_flows(scene: &Scene, pods: &[PodSpec], runner: &mut TestRunner) -> Vec<Flow> {
    let choice = (0..PODS, 1..PODS, 0..PORTS.len(), proptest::bool::ANY, proptest::bool::weighted(0.7));
    let mut flows = Vec::new();
    for world in 0..WORLDS {
        for _ in 0..FLOWS {
            let (from, step, port, v4, tcp) = draw(&choice, runner);
            let (from, to) = (world * PODS + from, world * PODS + (from + step) % PODS);
            let [source, destination] = [from, to].map(|pod| scene.address(&pods[pod].name.to_string(), v4));
            let (transport, protocol) =
                if tcp { (Transport::Tcp, Protocol::Tcp) } else { (Transport::Udp, Protocol::Udp) };
            let end = SocketAddr::new(destination, PORTS[port]);
            let connection =
                Connection { source, destination, protocol, port: end.port(), by_service: false };
            flows.push(Flow { from, to, transport, end, connection });
        }
    }
    flows.sort_by_key(|flow| flow.from);
    flows
}

/// Tries all flows, and silent ones again, up to this many times.
async fn try_flows(
    scene: &mut Scene,
    pods: &[PodSpec],
    flows: &[Flow],
    asked_again: usize,
) -> Result<Vec<Observation>> {
    let attempts = flows.iter().map(|flow| (pods[flow.from].name.clone(), flow.transport, flow.end));
    scene.try_again(&attempts.collect::<Vec<_>>(), asked_again).await
}
