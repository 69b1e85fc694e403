//! What every cluster has before the first deployment: the namespaces `default` and `kube-system`, and the cluster DNS.

use super::{
    address::{self, Families},
    engine::view::{Service, View},
    object::{ContainerPort, Name, PodOrder, Protocol, ServicePort, TargetPort},
};
use flowproof_core::{place::rewrite::namespace_labels, scenario::Labels};
use std::sync::Arc;

/// The namespace of the cluster's own pods.
const SYSTEM: &str = "kube-system";

/// The number of the node of the cluster DNS.
pub(crate) const DNS_NODE: u8 = 1;

/// Adds the namespaces, and the Services of the API server and of the cluster DNS.
pub(crate) fn add_to(view: &mut View, families: Families) {
    for name in ["default", SYSTEM] {
        view.namespaces.insert(name.to_owned(), namespace_labels(name, &Labels::new()));
    }
    let service = |name: Name, number, protocols: &[Protocol]| Service {
        name,
        selector: dns_labels(),
        ports: protocols
            .iter()
            .map(|protocol| ServicePort { protocol: *protocol, port: 53, target: TargetPort::Number(53) })
            .collect(),
        addresses: address::service(number, families),
    };
    for service in [
        service(Name::new("default", "kubernetes"), address::API_SERVICE, &[]),
        service(dns_service(), address::DNS_SERVICE, &[Protocol::Udp, Protocol::Tcp]),
    ] {
        view.services.insert(service.name.clone(), Arc::new(service));
    }
}

/// The pod of the cluster DNS; `node` is the name of its node.
pub(crate) fn dns_pod(node: String) -> PodOrder {
    let port = |name: &str, protocol| ContainerPort {
        name: Some(name.to_owned()),
        protocol,
        port: 53,
        sidecar: false,
    };
    PodOrder {
        name: Name::new(SYSTEM, "coredns"),
        labels: dns_labels(),
        ports: vec![port("dns", Protocol::Udp), port("dns-tcp", Protocol::Tcp)],
        node,
        host_network: false,
        first: None,
    }
}

/// The Service of the cluster DNS.
pub(crate) fn dns_service() -> Name {
    Name::new(SYSTEM, "kube-dns")
}

fn dns_labels() -> Labels {
    Labels::from([("k8s-app".to_owned(), "kube-dns".to_owned())])
}
