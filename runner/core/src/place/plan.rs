//! Turns a checked scenario into what the probers try: every flow in every family, with its addresses and its witnesses.

use super::rewrite::Addresses;
use crate::scenario::{
    Labels, Scenario, ServiceSpec, TargetPort, Topology,
    flow::{Family, Flow, Target},
    name::Workload,
};
use flowproof_wire::{Listener, Question, Transport};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// What the cluster gave to a topology, by logical names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Addresses of the pods.
    pub pods: Addresses,
    /// Cluster IPs of the Services.
    pub services: Addresses,
    /// Cluster IPs of the cluster's own Services, under their real names.
    pub live_services: Addresses,
    /// Internal addresses of the node of every pod.
    pub nodes: Addresses,
    /// Name servers that each pod is told to use.
    pub name_servers: Addresses,
    /// The name for which real DNS servers are asked: `kubernetes.default.svc.cluster.local.`
    pub dns_name: String,
    /// Current labels of the pods.
    pub labels: BTreeMap<Workload, Labels>,
}

/// A flow in one family, ready to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The flow.
    pub flow: Flow,
    /// The family.
    pub family: Family,
    /// Where the source connects to.
    pub to: SocketAddr,
    /// What a DNS flow asks for; `None` for TCP and UDP.
    pub question: Option<Question>,
    /// The workloads that can report whether it arrived, and at which listener; empty if no prober can.
    pub witnesses: BTreeMap<Workload, Listener>,
}

/// All flows for which some step of the scenario has an expectation, in order, each once.
#[must_use]
pub fn flows(scenario: &Scenario) -> BTreeSet<&Flow> {
    scenario.steps.iter().flat_map(|step| &step.expectations).map(|expected| &expected.flow).collect()
}

/// Plans one flow in every wanted family that both its ends have.
#[must_use]
pub fn plan(
    flow: &Flow,
    topology: &Topology,
    around: &Surroundings,
    families: &BTreeSet<Family>,
) -> Vec<Planned> {
    let sources: BTreeSet<Family> = of(&around.pods, &flow.source).iter().copied().map(Family::of).collect();
    let planned = |address: &IpAddr| Planned {
        flow: flow.clone(),
        family: Family::of(*address),
        to: SocketAddr::new(*address, flow.port),
        question: question(flow, around),
        witnesses: witnesses(flow, topology, around),
    };
    let mut seen = BTreeSet::new();
    targets(flow, around)
        .iter()
        .filter(|address| {
            sources.contains(&Family::of(**address)) && families.contains(&Family::of(**address))
        })
        .filter(|address| seen.insert(Family::of(**address)))
        .map(planned)
        .collect()
}

fn of<'a>(addresses: &'a Addresses, workload: &Workload) -> &'a [IpAddr] {
    addresses.get(workload).map_or(&[], Vec::as_slice)
}

fn targets<'a>(flow: &'a Flow, around: &'a Surroundings) -> &'a [IpAddr] {
    match &flow.target {
        Target::Workload(workload) => of(&around.pods, workload),
        Target::Service(service) => of(&around.services, service),
        Target::LiveService(service) => of(&around.live_services, service),
        Target::NodeOf(workload) => of(&around.nodes, workload),
        Target::Address(address) => std::slice::from_ref(address),
        Target::ClusterDns => of(&around.name_servers, &flow.source),
    }
}

fn question(flow: &Flow, around: &Surroundings) -> Option<Question> {
    match (flow.transport, &flow.target) {
        (Transport::Tcp | Transport::Udp, _) => None,
        (_, Target::Workload(_) | Target::Service(_)) => Some(Question::Nonce),
        _ => Some(Question::Name { name: around.dns_name.clone(), record: "A".to_owned() }),
    }
}

fn witnesses(flow: &Flow, topology: &Topology, around: &Surroundings) -> BTreeMap<Workload, Listener> {
    let listener = Listener { transport: flow.transport, port: flow.port };
    match &flow.target {
        Target::Workload(workload) => [(workload.clone(), listener)].into(),
        Target::Service(name) => topology
            .services
            .get(name)
            .map(|service| behind(service, &name.namespace, listener, topology, around))
            .unwrap_or_default(),
        Target::LiveService(_) | Target::NodeOf(_) | Target::Address(_) | Target::ClusterDns => {
            BTreeMap::new()
        }
    }
}

/// The pods that a Service selects, with the listener that its port leads to at each.
pub(crate) fn behind(
    service: &ServiceSpec,
    namespace: &str,
    listener: Listener,
    topology: &Topology,
    around: &Surroundings,
) -> BTreeMap<Workload, Listener> {
    let Some(port) = service.ports.iter().find(|port| port.listener == listener) else {
        return BTreeMap::new();
    };
    let labels =
        |workload: &Workload| around.labels.get(workload).unwrap_or(&topology.workloads[workload].labels);
    let selects = |workload: &&Workload| {
        workload.namespace == namespace
            && service.selector.iter().all(|(key, value)| labels(workload).get(key) == Some(value))
    };
    let listens = |workload: &Workload| {
        let at = match &port.target {
            TargetPort::Number(number) => Listener { port: *number, ..listener },
            TargetPort::Name(name) => {
                let named = |l: &&crate::scenario::NamedListener| {
                    l.name.as_ref() == Some(name) && l.listener.transport == listener.transport
                };
                topology.workloads[workload].listens.iter().find(named)?.listener
            }
        };
        Some((workload.clone(), at))
    };
    topology.workloads.keys().filter(selects).filter_map(listens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{NamedListener, ServicePort, WorkloadSpec, name::Qualified};

    fn tcp(port: u16) -> Listener {
        Listener { transport: Transport::Tcp, port }
    }

    fn web(port: u16, role: &str) -> WorkloadSpec {
        let listens = vec![NamedListener { name: Some("http".into()), ..tcp(port).into() }];
        WorkloadSpec { labels: [("role".into(), role.into())].into(), listens, ..WorkloadSpec::default() }
    }

    fn topology() -> Topology {
        let service = ServiceSpec {
            selector: [("role".into(), "web".into())].into(),
            ports: vec![ServicePort { listener: tcp(80), target: TargetPort::Name("http".into()) }],
        };
        Topology {
            workloads: [
                (Qualified::new("a", "one"), web(8080, "web")),
                (Qualified::new("a", "two"), web(9090, "web")),
                (Qualified::new("a", "db"), web(5432, "db")),
                (Qualified::new("b", "web"), web(8080, "web")),
            ]
            .into(),
            services: [(Qualified::new("a", "web"), service)].into(),
            ..Topology::default()
        }
    }

    fn around() -> Surroundings {
        let v46 =
            |n: u8| vec![IpAddr::from([10, 0, 0, n]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)])];
        Surroundings {
            pods: [
                (Qualified::new("a", "one"), v46(1)),
                (Qualified::new("a", "two"), v46(2)),
                (Qualified::new("b", "web"), vec![IpAddr::from([10, 0, 0, 3])]),
            ]
            .into(),
            services: [(Qualified::new("a", "web"), v46(96))].into(),
            name_servers: [(Qualified::new("a", "one"), v46(53))].into(),
            dns_name: "kubernetes.default.svc.cluster.local.".into(),
            ..Surroundings::default()
        }
    }

    fn flow(source: (&str, &str), target: Target, transport: Transport, port: u16) -> Flow {
        Flow { source: Qualified::new(source.0, source.1), target, transport, port, established: false }
    }

    fn both() -> BTreeSet<Family> {
        [Family::V4, Family::V6].into()
    }

    #[test]
    fn a_flow_is_planned_in_the_families_that_both_ends_have() {
        let to = |name: (&str, &str)| Target::Workload(Qualified::new(name.0, name.1));
        let dual = flow(("a", "one"), to(("a", "two")), Transport::Tcp, 9090);
        let single = flow(("a", "one"), to(("b", "web")), Transport::Tcp, 8080);
        let families = |flow: &Flow, wanted: &BTreeSet<Family>| {
            plan(flow, &topology(), &around(), wanted).iter().map(|p| p.to.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(families(&dual, &both()), ["10.0.0.2:9090", "[fd00::2]:9090"]);
        assert_eq!(families(&dual, &[Family::V6].into()), ["[fd00::2]:9090"]);
        assert_eq!(families(&single, &both()), ["10.0.0.3:8080"]);
    }

    #[test]
    fn the_witnesses_of_a_service_are_the_pods_behind_it_at_their_own_ports() {
        let service = flow(("b", "web"), Target::Service(Qualified::new("a", "web")), Transport::Tcp, 80);
        let planned = plan(&service, &topology(), &around(), &both());
        assert_eq!(planned.len(), 1, "the source has IPv4 only");
        let expected = [(Qualified::new("a", "one"), tcp(8080)), (Qualified::new("a", "two"), tcp(9090))];
        assert_eq!(planned[0].witnesses, expected.into());
    }

    #[test]
    fn cluster_dns_is_asked_for_a_real_name_and_has_no_witness() {
        let dns = flow(("a", "one"), Target::ClusterDns, Transport::DnsUdp, 53);
        let planned = plan(&dns, &topology(), &around(), &[Family::V4].into());
        assert_eq!(planned[0].to.to_string(), "10.0.0.53:53");
        assert!(planned[0].witnesses.is_empty());
        assert!(
            matches!(&planned[0].question, Some(Question::Name { name, .. }) if name.ends_with("cluster.local."))
        );
    }
}
