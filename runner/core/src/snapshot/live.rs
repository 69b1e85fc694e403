//! A scenario's flows in the cluster's own state: what the policies in force there mean for them.

use super::Snapshot;
use crate::{
    place::{plan::Surroundings, rewrite::Names},
    policy::{
        facts::{Answer, Ask, End, Gap, Via},
        oracle::Oracle,
        scene::{Finding, protocol},
    },
    scenario::{
        Topology,
        flow::{Family, Flow, Target},
        name::{Qualified, Workload},
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

/// A scenario in a cluster.
#[derive(Debug)]
pub struct LiveScene<'a> {
    snapshot: &'a Snapshot,
    names: &'a Names,
    around: Surroundings,
    pods: HashMap<&'a Qualified, usize>,
    /// Pods that are never behind a Service, because they are never ready.
    shadows: BTreeSet<Qualified>,
}

impl<'a> LiveScene<'a> {
    /// The scenario with this topology, deployed under these names. The state must have been read after the deployment.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, names: &'a Names, topology: &Topology, around: Surroundings) -> Self {
        let pods = snapshot.cluster.pods.iter().enumerate().map(|(index, pod)| (&pod.name, index)).collect();
        let shadows = topology.workloads.iter().filter(|(_, spec)| spec.like.is_some());
        let shadows = shadows.map(|(workload, _)| names.qualified(workload)).collect();
        Self { snapshot, names, around, pods, shadows }
    }

    /// Says what the policies mean for a flow in a family. `oracle` must be one of the snapshot's cluster.
    #[must_use]
    pub fn find(&self, oracle: &Oracle<'_>, flow: &Flow, family: Family) -> Finding {
        let asks = self.asks(flow, family);
        if self.concerned_by_others(&asks) {
            return Finding { answer: Answer::Unspecified(Gap::OtherKind), reason: None };
        }
        Finding::of(oracle, &asks)
    }

    /// Whether a policy that cannot be read may be about an end of these connections.
    fn concerned_by_others(&self, asks: &[Ask]) -> bool {
        let ends = asks.iter().flat_map(|ask| [ask.source, ask.destination]);
        let namespaces: BTreeSet<&str> = ends
            .filter_map(|end| match end {
                End::Pod(pod) => Some(self.snapshot.cluster.pods[pod].name.namespace.as_str()),
                End::Address(_) => None,
            })
            .collect();
        let about = |namespace: &String| namespaces.contains(namespace.as_str());
        self.snapshot.other_kinds.iter().any(|policy| policy.namespace.as_ref().is_none_or(about))
    }

    fn pod(&self, workload: &Workload) -> Option<End> {
        self.pods.get(&self.names.qualified(workload)).copied().map(End::Pod)
    }

    /// The connections that a flow may lead to: several for a Service.
    fn asks(&self, flow: &Flow, family: Family) -> Vec<Ask> {
        let Some(source) = self.pod(&flow.source) else { return Vec::new() };
        let protocol = protocol(flow.transport);
        let ask = |destination, port, service| Ask { source, destination, family, protocol, port, service };
        let of = |addresses: Option<&Vec<IpAddr>>| {
            addresses.into_iter().flatten().copied().find(|address| Family::of(*address) == family)
        };
        let at = |address: IpAddr| {
            let has = |pod: &crate::policy::Pod| !pod.host_network && pod.addresses.contains(&address);
            self.snapshot.cluster.pods.iter().position(has).map_or(End::Address(address), End::Pod)
        };
        let behind = |service: &Qualified, address: Option<IpAddr>| -> Vec<Ask> {
            let pods = self.snapshot.behind(service, protocol, flow.port);
            pods.into_iter()
                .filter(|(pod, _)| !self.shadows.contains(&self.snapshot.cluster.pods[*pod].name))
                .map(|(pod, port)| ask(End::Pod(pod), port, Some(Via { address, port: Some(flow.port) })))
                .collect()
        };
        match &flow.target {
            Target::Workload(workload) => {
                self.pod(workload).map(|end| ask(end, flow.port, None)).into_iter().collect()
            }
            Target::Service(service) => {
                behind(&self.names.qualified(service), of(self.around.services.get(service)))
            }
            Target::LiveService(service) => behind(service, of(self.around.live_services.get(service))),
            Target::NodeOf(workload) => of(self.around.nodes.get(workload))
                .map(|address| ask(End::Address(address), flow.port, None))
                .into_iter()
                .collect(),
            Target::Address(address) => vec![ask(at(*address), flow.port, None)],
            Target::ClusterDns => {
                let Some(address) = of(self.around.name_servers.get(&flow.source)) else { return Vec::new() };
                let mut services = self.snapshot.services.iter();
                let served = services.find(|(_, service)| service.addresses.contains(&address));
                served.map(|(name, _)| behind(name, Some(address))).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scenario::{Like, LikeKind, WorkloadSpec},
        snapshot::manifests,
    };
    use flowproof_wire::Transport;

    const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: { name: payments }
---
apiVersion: v1
kind: Pod
metadata: { name: api-k7-0, namespace: payments, labels: { app: api } }
spec: { containers: [{ ports: [{ name: http, containerPort: 8080 }] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web-k7-0, namespace: payments, labels: { app: web } }
spec: { containers: [] }
---
apiVersion: v1
kind: Pod
metadata: { name: real, namespace: payments, labels: { app: api, open: really } }
spec: { containers: [{ ports: [{ name: http, containerPort: 9090 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: api, namespace: payments }
spec: { clusterIPs: [10.96.0.7], selector: { app: api }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: payments }
spec: { podSelector: { matchExpressions: [{ key: open, operator: DoesNotExist }] }, policyTypes: [Ingress] }
";

    fn answer(cluster: &str, target: Target, port: u16) -> Answer {
        let (snapshot, problems) = manifests(&[("c.yaml".into(), cluster.as_bytes().to_vec())]);
        assert!(problems.is_empty(), "{problems:?}");
        let like = |name: &str| {
            let like =
                Like { kind: LikeKind::Deployment, name: name.to_owned(), namespace: "payments".into() };
            let spec = WorkloadSpec { like: Some(like), ..WorkloadSpec::default() };
            (Qualified::new("pay", name), spec)
        };
        let topology = Topology {
            live: [("pay".to_owned(), "payments".to_owned())].into(),
            workloads: [like("api"), like("web")].into(),
            ..Topology::default()
        };
        let names = Names::new("k7-0", []).with_live(topology.live.clone());
        let scene = LiveScene::new(&snapshot, &names, &topology, Surroundings::default());
        let oracle = Oracle::new(&snapshot.cluster);
        let source = Qualified::new("pay", "web");
        scene
            .find(
                &oracle,
                &Flow { source, target, transport: Transport::Tcp, port, established: false },
                Family::V4,
            )
            .answer
    }

    #[test]
    fn live_policies_decide_by_the_pods_that_stand_there() {
        let api = || Target::Workload(Qualified::new("pay", "api"));
        assert_eq!(answer(CLUSTER, api(), 8080), Answer::Deny);
        let open = CLUSTER.replace("labels: { app: api } }", "labels: { app: api, open: really } }");
        assert_eq!(answer(&open, api(), 8080), Answer::Allow);
    }

    #[test]
    fn no_shadow_is_behind_a_live_service() {
        // The shadow is closed and the real pod is open: with both behind it the answer would be open.
        let service = Target::LiveService(Qualified::new("payments", "api"));
        assert_eq!(answer(CLUSTER, service, 80), Answer::Allow);
    }

    #[test]
    fn a_policy_that_cannot_be_read_leaves_its_namespace_open() {
        let other = |metadata: &str| {
            format!(
                "{CLUSTER}---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {metadata}\nspec: {{}}\n"
            )
        };
        let api = || Target::Workload(Qualified::new("pay", "api"));
        let unread = Answer::Unspecified(Gap::OtherKind);
        assert_eq!(answer(&other("{ name: p, namespace: payments }"), api(), 8080), unread);
        assert_eq!(answer(&other("{ name: p, namespace: elsewhere }"), api(), 8080), Answer::Deny);
    }
}
