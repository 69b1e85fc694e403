//! What lies on the path of a flow, which no scenario names.

use flowproof_core::{
    outcome::FlowOutcome,
    scenario::{capability::Capability, flow::Family},
};

/// What lies on the path of a flow: its transport, its family, and, where it leads to a pod, how.
pub fn on_the_path(flow: &FlowOutcome) -> Vec<Capability> {
    let mut path = vec![match flow.family {
        Family::V4 => Capability::Ipv4,
        Family::V6 => Capability::Ipv6,
    }];
    path.extend(match flow.port.split('/').collect::<Vec<_>>()[..] {
        ["dns", "udp"] => Some(Capability::DnsUdp),
        ["dns", "tcp"] => Some(Capability::DnsTcp),
        ["udp", _] => Some(Capability::Udp),
        ["tcp", _] => Some(Capability::Tcp),
        _ => None,
    });
    let service = flow.target.starts_with("service ");
    if let Some(node) = &flow.evidence.destination_node {
        path.push(if *node == flow.evidence.source_node {
            Capability::SameNode
        } else {
            Capability::CrossNode
        });
    }
    if service {
        path.push(Capability::ByService);
    } else if flow.evidence.destination_node.is_some() {
        path.push(Capability::ByAddress);
    }
    path
}
