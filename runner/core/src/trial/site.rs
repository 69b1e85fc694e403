//! Where a lane's pods, Services and nodes are, and under which names.

use super::chronicle::Ends;
use crate::{
    place::{
        plan::Surroundings,
        rewrite::{Addresses, Names},
    },
    scenario::{
        Labels, Manifest,
        flow::{Flow, Target},
        name::{Service, Workload},
    },
    snapshot::{self, Snapshot},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// A pod that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its addresses, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// The node on which it runs.
    pub node: String,
}

/// Addresses, nodes and names of what a run deployed.
#[derive(Debug, Clone)]
pub struct Site {
    /// How real names are made.
    pub names: Names,
    /// The pods.
    pub pods: BTreeMap<Workload, Pod>,
    /// Cluster IPs of the Services.
    pub services: BTreeMap<Service, Vec<IpAddr>>,
    /// Internal addresses of the nodes.
    pub nodes: BTreeMap<String, Vec<IpAddr>>,
    /// Logical namespaces that represent namespaces of the cluster ([`Topology::live`](crate::scenario::Topology::live)).
    pub live_namespaces: BTreeMap<String, String>,
    /// The state of the whole cluster, as it was last read; only for scenarios on live policies.
    pub snapshot: Option<Snapshot>,
}

impl Site {
    /// The node on which a workload runs.
    #[must_use]
    pub fn node(&self, workload: &Workload) -> Option<&str> {
        self.pods.get(workload).map(|pod| pod.node.as_str())
    }

    /// Where the ends of a flow are now.
    #[must_use]
    pub fn ends(&self, flow: &Flow) -> Ends {
        let destination = match &flow.target {
            Target::Workload(workload) => self.node(workload),
            _ => None,
        };
        Ends {
            source_node: self.node(&flow.source).unwrap_or_default().to_owned(),
            destination_node: destination.map(str::to_owned),
        }
    }

    /// Who has an address: a workload, a Service or a node.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<String> {
        let pod = self.pods.iter().find(|(_, pod)| pod.addresses.contains(&address));
        let service = || self.services.iter().find(|(_, addresses)| addresses.contains(&address));
        let node = || self.nodes.iter().find(|(_, addresses)| addresses.contains(&address));
        pod.map(|(workload, _)| workload.to_string())
            .or_else(|| service().map(|(service, _)| format!("service {service}")))
            .or_else(|| node().map(|(node, _)| format!("node {node}")))
    }

    /// Puts logical names back into a message of the cluster.
    #[must_use]
    pub fn logical(&self, text: &str) -> String {
        self.names.logical(text)
    }

    /// The policies of the cluster in the live namespaces of the lane.
    pub fn live_policies(&self) -> impl Iterator<Item = &Manifest> {
        let namespaces: BTreeSet<&String> = self.live_namespaces.values().collect();
        let here = move |manifest: &&Manifest| {
            manifest.object.namespace.as_ref().is_some_and(|n| namespaces.contains(n))
        };
        self.snapshot.iter().flat_map(|live| &live.policies).filter(here)
    }

    /// Addresses and names that flows need. `resolvers` are the name servers and the search list of each pod.
    #[must_use]
    pub fn surroundings(
        &self,
        labels: &BTreeMap<Workload, Labels>,
        resolvers: &BTreeMap<Workload, (Vec<IpAddr>, Vec<String>)>,
    ) -> Surroundings {
        let pods: Addresses = self.pods.iter().map(|(w, pod)| (w.clone(), pod.addresses.clone())).collect();
        let nodes = self
            .pods
            .iter()
            .map(|(w, pod)| (w.clone(), self.nodes.get(&pod.node).cloned().unwrap_or_default()));
        let name_servers =
            resolvers.iter().map(|(workload, (servers, _))| (workload.clone(), servers.clone()));
        let mut searched = resolvers.values().flat_map(|(_, search)| search);
        let domain = searched.find_map(|search| search.strip_prefix("svc."));
        Surroundings {
            nodes: nodes.collect(),
            name_servers: name_servers.collect(),
            dns_name: format!(
                "kubernetes.default.svc.{}.",
                domain.unwrap_or("cluster.local").trim_end_matches('.')
            ),
            services: self.services.clone(),
            live_services: self.snapshot.iter().flat_map(|live| &live.services).map(addresses_of).collect(),
            labels: labels.clone(),
            pods,
        }
    }
}

fn addresses_of((name, service): (&Service, &snapshot::Service)) -> (Service, Vec<IpAddr>) {
    (name.clone(), service.addresses.clone())
}
