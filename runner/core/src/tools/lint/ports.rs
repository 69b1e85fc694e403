//! Ports of a rule on which nobody listens.

use super::{
    at,
    doubt::{Around, hinted},
};
use crate::{
    policy::{Direction, NetworkPolicy, Peer, Pod, PortRule, Rule},
    scenario::{Manifest, TargetPort, selector::Selector},
    snapshot::Service,
    text::Problem,
};

/// Who could listen on a port of a rule.
pub(super) enum Listeners<'a> {
    /// Pods of a namespace.
    Selected(&'a str, &'a Selector),
    /// Any pod, and what is outside.
    Anybody,
}

/// Reports a port on which nobody listens, but only for pods whose ports are known.
pub(super) fn nobody_listens(
    manifest: &Manifest,
    path: &str,
    port: &PortRule,
    listeners: &Listeners<'_>,
    around: &Around<'_>,
    found: &mut Vec<Problem>,
) {
    let pods = around.cluster.pods.iter().filter(|pod| match listeners {
        Listeners::Selected(namespace, selector) => {
            pod.name.namespace == *namespace && selector.matches(&pod.labels)
        }
        Listeners::Anybody => true,
    });
    let ports: Vec<_> = pods.flat_map(|pod| pod.ports.iter().chain(&pod.init_ports)).collect();
    if ports.is_empty() {
        return;
    }
    let heard = ports.iter().any(|known| match port {
        PortRule::All(protocol) => known.protocol == *protocol,
        PortRule::Range(protocol, first, last) => {
            known.protocol == *protocol && (*first..=*last).contains(&known.number)
        }
        PortRule::Named(protocol, name) => known.protocol == *protocol && known.name.as_deref() == Some(name),
        PortRule::Name(name) => known.name.as_deref() == Some(name),
    });
    let outside =
        matches!(listeners, Listeners::Anybody) && !matches!(port, PortRule::Named(..) | PortRule::Name(_));
    if !heard && !outside {
        let whom = match listeners {
            Listeners::Selected(..) => "no pod that the policy selects",
            Listeners::Anybody => "no pod",
        };
        let message = format!("{whom} has {port}");
        found.push(hinted(
            at(manifest, path, message),
            "policies see the port of the pod, not that of a Service",
        ));
    }
}

/// Reports a port that the pods of a rule do not have, but that a Service in front of them has.
pub(super) fn of_a_service(
    manifest: &Manifest,
    path: &str,
    port: &PortRule,
    policy: &NetworkPolicy,
    (direction, rule): (Direction, &Rule),
    around: &Around<'_>,
    found: &mut Vec<Problem>,
) {
    let PortRule::Range(protocol, number, last) = port else { return };
    let pods: Vec<&Pod> = match direction {
        Direction::Ingress => around
            .cluster
            .pods
            .iter()
            .filter(|pod| pod.name.namespace == policy.name.namespace && policy.pods.matches(&pod.labels))
            .collect(),
        Direction::Egress if only_selectors(rule) => {
            around.cluster.pods.iter().filter(|pod| is_peer(rule, policy, pod, around)).collect()
        }
        Direction::Egress => return,
    };
    let mut known = pods.iter().flat_map(|pod| &pod.ports).peekable();
    // `nobody_listens` reports this for pods whose ports are known.
    let told = direction == Direction::Ingress && known.peek().is_some();
    if number != last || told || known.any(|known| (known.protocol, known.number) == (*protocol, *number)) {
        return;
    }
    for (name, service) in &around.services {
        if !pods.iter().any(|pod| pod.name.namespace == name.namespace && is_behind(service, pod)) {
            continue;
        }
        let leads_to = service.ports.iter().find(|(of, port, _)| (of, port) == (protocol, number));
        let message = match leads_to {
            Some((.., TargetPort::Number(target))) if target == number => continue,
            Some((.., TargetPort::Number(target))) => {
                format!("{port} is a port of the Service {name}, and its pods are asked on {target}")
            }
            Some((.., TargetPort::Name(target))) => {
                format!(
                    "{port} is a port of the Service {name}, and its pods are asked on their port {target}"
                )
            }
            None if service.node_ports.contains(&(*protocol, *number)) => {
                format!("{port} is a node port of the Service {name}: its pods are asked on another")
            }
            None => continue,
        };
        found.push(hinted(
            at(manifest, path, message),
            "policies see the port of the pod, not that of a Service",
        ));
        return;
    }
}

/// Reports a named port in a rule that is about addresses only: addresses have no named ports.
pub(super) fn name_at_addresses(
    manifest: &Manifest,
    path: &str,
    port: &PortRule,
    (direction, rule): (Direction, &Rule),
    found: &mut Vec<Problem>,
) {
    let only_blocks = rule.peers.iter().all(|peer| matches!(peer, Peer::Block(..)));
    if direction == Direction::Egress
        && !rule.peers.is_empty()
        && only_blocks
        && matches!(port, PortRule::Named(..) | PortRule::Name(_))
    {
        let message = format!("{port} at the addresses of an ipBlock: an address has no names of ports");
        found.push(hinted(
            at(manifest, path, message),
            "the API does not say what it means there; write the number",
        ));
    }
}

/// Whether a rule is about pods and nothing else.
pub(super) fn only_selectors(rule: &Rule) -> bool {
    !rule.peers.is_empty() && !rule.peers.iter().any(|peer| matches!(peer, Peer::Block(..)))
}

/// Whether a selector of a rule finds a pod.
pub(super) fn is_peer(rule: &Rule, policy: &NetworkPolicy, pod: &Pod, around: &Around<'_>) -> bool {
    rule.peers.iter().any(|peer| match peer {
        Peer::Here(pods) => pod.name.namespace == policy.name.namespace && pods.matches(&pod.labels),
        Peer::In(namespaces, pods) => {
            let labels = around.cluster.namespaces.get(&pod.name.namespace);
            labels.is_some_and(|labels| namespaces.matches(labels)) && pods.matches(&pod.labels)
        }
        Peer::Block(..) => false,
    })
}

/// Whether a Service leads to a pod of its namespace.
pub(super) fn is_behind(service: &Service, pod: &Pod) -> bool {
    !service.selector.is_empty()
        && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}
