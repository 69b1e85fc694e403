//! Scenarios with shadows of the workloads that run in a cluster, under the cluster's policies: one for each namespace.

use super::{ANY_PORT, Generated, write};
use crate::{
    parse::{MAX_FLOWS, MAX_LISTENERS, MAX_NAMESPACE_LENGTH},
    policy::{Answer, Ask, End, Oracle, PodPort, Protocol, validate::is_port_name},
    scenario::{
        Like, LikeKind, NamedListener, Topology, WorkloadSpec,
        name::{Qualified, is_label},
    },
    snapshot::Snapshot,
};
use flowproof_wire::{Listener, Transport};
use std::collections::{BTreeMap, BTreeSet};

/// Label of the namespaces that runs create, which do not count as live.
const RUN_LABEL: &str = "flowproof.dev/run";
/// The namespace of the run's own pod, with which every shadow can talk that may.
const OUTSIDE: &str = "outside";
/// Most workloads of other namespaces in one scenario; each one is a pod.
const MOST_PEERS: usize = 20;
/// With more flows than this, the workloads of other namespaces are sources only.
const MANY_FLOWS: usize = 2_000;

/// A live workload: one pod that represents all of its pods, and what identifies it.
#[derive(Debug, Clone)]
struct Found {
    like: Like,
    pod: usize,
}

/// Makes a scenario for each live namespace that policies are about. What is left out is returned with the reason.
#[must_use]
pub fn shadows(snapshot: &Snapshot) -> (Vec<Generated>, Vec<String>) {
    let mut left_out = Vec::new();
    let found = found(snapshot, &mut left_out);
    let everywhere = !snapshot.cluster.cluster_policies.is_empty()
        || snapshot.other_kinds.iter().any(|policy| policy.namespace.is_none());
    let policed: BTreeSet<&str> =
        snapshot.policies.iter().filter_map(|manifest| manifest.object.namespace.as_deref()).collect();
    let mut made = Vec::new();
    for (namespace, workloads) in &found {
        if !(everywhere || policed.contains(namespace.as_str())) {
            left_out.push(format!("namespace {namespace}: it has no policy"));
            continue;
        }
        match one(snapshot, namespace, workloads, &found) {
            Ok(generated) => made.push(generated),
            Err(why) => left_out.push(format!("namespace {namespace}: {why}")),
        }
    }
    (made, left_out)
}

/// The workloads of all live namespaces, except those of Kubernetes itself.
fn found(snapshot: &Snapshot, left_out: &mut Vec<String>) -> BTreeMap<String, Vec<Found>> {
    let cluster = &snapshot.cluster;
    let live = |namespace: &str| {
        let labels = cluster.namespaces.get(namespace);
        !namespace.starts_with("kube-") && labels.is_some_and(|labels| !labels.contains_key(RUN_LABEL))
    };
    let mut found: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    let mut spoken_for = BTreeSet::new();
    let mut add = |like: Like, pods: &[usize]| {
        let Some(pod) = pods.first().copied().filter(|_| live(&like.namespace)) else { return };
        if cluster.pods[pod].labels.contains_key(RUN_LABEL) {
            return; // a shadow of another run
        }
        if cluster.pods[pod].host_network {
            left_out.push(format!("{like}: it uses its node's network"));
        } else {
            found.entry(like.namespace.clone()).or_default().push(Found { like, pod });
        }
    };
    for ((kind, name), pods) in &snapshot.owned {
        let Some(kind) = LikeKind::ALL.into_iter().find(|known| known.as_str() == kind) else { continue };
        spoken_for.extend(pods.iter().copied());
        add(Like { kind, name: name.name.clone(), namespace: name.namespace.clone() }, pods);
    }
    for (index, pod) in cluster.pods.iter().enumerate() {
        if !spoken_for.contains(&index) {
            let (name, namespace) = (pod.name.name.clone(), pod.name.namespace.clone());
            add(Like { kind: LikeKind::Pod, name, namespace }, &[index]);
        }
    }
    found
}

fn one(
    snapshot: &Snapshot,
    namespace: &str,
    workloads: &[Found],
    all: &BTreeMap<String, Vec<Found>>,
) -> Result<Generated, String> {
    let mut topology = Topology::default();
    let own: Vec<Qualified> = workloads.iter().map(|found| put(&mut topology, snapshot, found)).collect();
    let peers: Vec<Qualified> = peers(snapshot, namespace, workloads, all)
        .into_iter()
        .map(|found| put(&mut topology, snapshot, found))
        .collect();
    let mut outside = OUTSIDE.to_owned();
    while topology.live.contains_key(&outside) {
        outside.push_str("-pod");
    }
    topology.namespaces.insert(outside.clone(), BTreeMap::new());
    let ports: BTreeSet<Listener> =
        topology.workloads.values().flat_map(|spec| &spec.listens).map(|named| named.listener).collect();
    let listens = ports.into_iter().take(MAX_LISTENERS);
    let spec =
        WorkloadSpec { listens: listens.map(NamedListener::from).collect(), ..WorkloadSpec::default() };
    topology.workloads.insert(Qualified::new(outside, "pod"), spec);
    if pairs(&topology) > MANY_FLOWS {
        for peer in &peers {
            if let Some(spec) = topology.workloads.get_mut(peer) {
                spec.listens.clear();
            }
        }
    }
    // Each workload asks the cluster's DNS, over both transports.
    let flows = pairs(&topology) + 2 * topology.workloads.len();
    if flows > MAX_FLOWS {
        return Err(format!(
            "its {} workloads make {flows} flows; a scenario has at most {MAX_FLOWS}",
            own.len()
        ));
    }
    Ok(Generated { file: format!("{namespace}.yaml"), text: write::shadows(namespace, &topology), flows })
}

/// How many flows there are between different workloads, on all listeners of the second.
fn pairs(topology: &Topology) -> usize {
    let listeners: usize = topology.workloads.values().map(|spec| spec.listens.len()).sum();
    listeners * topology.workloads.len().saturating_sub(1)
}

/// Workloads of other namespaces: of each namespace those that may reach something here or may be reached, and one that may not.
fn peers<'a>(
    snapshot: &Snapshot,
    namespace: &str,
    workloads: &[Found],
    all: &'a BTreeMap<String, Vec<Found>>,
) -> Vec<&'a Found> {
    let oracle = Oracle::new(&snapshot.cluster);
    let may = |source: usize, destination: usize| {
        let pod = &snapshot.cluster.pods[destination];
        let [source_end, end] = [source, destination].map(End::Pod);
        let family = pod.addresses.first().map(|address| crate::scenario::flow::Family::of(*address));
        family.is_some_and(|family| {
            ports(&pod.ports).iter().any(|port| {
                let (protocol, port) = (port.protocol, port.number);
                let ask = Ask { source: source_end, destination: end, family, protocol, port, service: None };
                oracle.derive(&ask).answer == Answer::Allow
            })
        })
    };
    let mut peers = Vec::new();
    for others in all.iter().filter(|(other, _)| *other != namespace).map(|(_, others)| others) {
        let (may, may_not): (Vec<&Found>, Vec<&Found>) = others.iter().partition(|other| {
            workloads.iter().any(|own| may(other.pod, own.pod) || may(own.pod, other.pod))
        });
        peers.extend(may_not.into_iter().take(1).chain(may));
    }
    peers.truncate(MOST_PEERS);
    peers
}

/// Puts a shadow into the scenario, under a name of its own.
fn put(topology: &mut Topology, snapshot: &Snapshot, found: &Found) -> Qualified {
    let like = &found.like;
    let mut wanted = like.name.replace('.', "-");
    wanted.truncate(MAX_NAMESPACE_LENGTH - 2);
    let wanted = wanted.trim_end_matches('-').to_owned();
    let wanted = if is_label(&wanted) { wanted } else { like.kind.as_str().to_owned() };
    let mut name = Qualified::new(&like.namespace, &wanted);
    let mut number = 2;
    while topology.workloads.contains_key(&name) {
        name.name = format!("{wanted}-{number}");
        number += 1;
    }
    let mut listens: Vec<NamedListener> = Vec::new();
    for port in ports(&snapshot.cluster.pods[found.pod].ports).iter().take(MAX_LISTENERS) {
        let transport = match port.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Sctp | Protocol::Icmp => continue,
        };
        let listener = Listener { transport, port: port.number };
        if listens.iter().any(|known| known.listener == listener) {
            continue;
        }
        let taken = |name: &String| listens.iter().any(|known| known.name.as_ref() == Some(name));
        let own = port.name.clone().filter(|name| is_port_name(name) && !taken(name));
        listens.push(NamedListener { name: own, ..listener.into() });
    }
    let spec = WorkloadSpec { listens, like: Some(like.clone()), ..WorkloadSpec::default() };
    topology.live.insert(like.namespace.clone(), like.namespace.clone());
    topology.workloads.insert(name.clone(), spec);
    name
}

/// The ports that a pod declares; if it declares none over TCP or UDP, one to try.
fn ports(said: &[PodPort]) -> Vec<PodPort> {
    if said.iter().any(|port| matches!(port.protocol, Protocol::Tcp | Protocol::Udp)) {
        return said.to_vec();
    }
    vec![PodPort { name: None, protocol: Protocol::Tcp, number: ANY_PORT }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, snapshot};

    const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: { name: payments }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Namespace
metadata: { name: idle }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: api, namespace: payments }
spec: { template: { metadata: { labels: { app: api } }, spec: { containers: [{ ports: [{ name: http, containerPort: 8080 }] }] } } }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent, namespace: payments }
spec: { template: { metadata: { labels: { app: agent } }, spec: { hostNetwork: true, containers: [] } } }
---
apiVersion: v1
kind: Pod
metadata: { name: web.v2, namespace: shop, labels: { app: web } }
spec: { containers: [] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: api, namespace: payments }
spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: shop } } }] }] }
";

    #[test]
    fn a_namespace_with_policies_gets_shadows_of_all_that_can_have_one() {
        let (snapshot, problems) =
            snapshot::manifests(&[("cluster.yaml".into(), CLUSTER.as_bytes().to_vec())]);
        assert!(problems.is_empty(), "{problems:?}");
        let (made, left_out) = shadows(&snapshot);
        let [one] = &made[..] else { panic!("{made:?} {left_out:?}") };
        let load: &mut parse::Load<'_> = &mut |_| Err("there are no files here".to_owned());
        let read = parse::scenario(&one.file, one.text.as_bytes(), load);
        let read = read.unwrap_or_else(|problems| panic!("{problems:?}\n{}", one.text));
        assert!(read.live);
        assert_eq!(read.steps[0].expectations.len(), one.flows, "{}", one.text);
        let names: Vec<String> = read.topology.workloads.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["outside/pod", "payments/api", "shop/web-v2"]);
        let like = |name: &str| {
            let spec = read.topology.workloads.iter().find(|(known, _)| known.to_string() == name);
            spec.and_then(|(_, spec)| spec.like.clone()).map(|like| like.to_string())
        };
        assert_eq!(like("payments/api").as_deref(), Some("deployment/api in payments"));
        assert_eq!(like("shop/web-v2").as_deref(), Some("pod/web.v2 in shop"));
        assert!(left_out.iter().any(|why| why.contains("daemonset/agent")), "{left_out:?}");
        assert!(left_out.iter().any(|why| why.contains("namespace shop")), "{left_out:?}");
    }
}
