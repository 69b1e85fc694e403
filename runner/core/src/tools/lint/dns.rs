//! DNS: a policy for egress that forgets it, or that allows it where no name server listens.

use super::{
    at,
    doubt::{Around, hinted},
    ports::{is_behind, is_peer, only_selectors},
};
use crate::{
    policy::{NetworkPolicy, Pod, PortRule, Protocol, Rule},
    scenario::{Manifest, TargetPort},
    text::Problem,
};

/// The port of DNS (RFC 1035, 4.2).
const PORT: u16 = 53;

/// What the name servers of some distributions listen on, behind a Service on port 53.
const UNPRIVILEGED: u16 = 5353;

/// A name server's port, as far as the manifests show.
struct Server<'a> {
    pod: &'a Pod,
    protocol: Protocol,
    number: u16,
}

/// Finds what is doubtful about DNS in a policy for egress.
pub(super) fn doubts(
    manifest: &Manifest,
    policy: &NetworkPolicy,
    around: &Around<'_>,
    found: &mut Vec<Problem>,
) {
    let Some(rules) = policy.egress.as_ref().filter(|rules| !rules.is_empty()) else { return };
    let servers = servers(around);
    let opened = |protocol: Protocol| {
        rules.iter().any(|rule| opens(rule, policy, protocol, &servers, around))
            || another_opens(policy, protocol, &servers, around)
    };
    let of_egress = |message: String| at(manifest, "spec.egress", message);
    let object = &manifest.object;
    if !opened(Protocol::Udp) {
        let elsewhere =
            servers.iter().find(|server| server.protocol == Protocol::Udp && server.number != PORT);
        let problem = match elsewhere {
            Some(Server { pod, number, .. }) => hinted(
                of_egress(format!(
                    "{object} forgets DNS: no rule for egress opens UDP {number}, where {} listens behind port {PORT}",
                    pod.name
                )),
                &format!("policies see the port of the pod: allow UDP and TCP {number} to it"),
            ),
            None => hinted(
                of_egress(format!("{object} forgets DNS: no rule for egress opens UDP 53")),
                "its pods cannot look names up; allow UDP and TCP 53 to the DNS pods (kube-system, k8s-app: kube-dns)",
            ),
        };
        found.push(problem);
        return;
    }
    let asked_over_tcp = servers.is_empty() || servers.iter().any(|server| server.protocol == Protocol::Tcp);
    if asked_over_tcp && !opened(Protocol::Tcp) {
        found.push(hinted(
            of_egress(format!("{object} opens DNS over UDP alone")),
            "an answer that is too long for UDP comes over TCP (RFC 7766): allow both",
        ));
    }
    // A cache on the node, or the resolver of a cloud, is not a pod to a policy.
    let on_a_node = servers.iter().find(|server| server.pod.host_network && server.protocol == Protocol::Udp);
    let opening = rules.iter().filter(|rule| opens_port(&rule.ports, Protocol::Udp, &servers));
    let by_selectors = opening.clone().all(only_selectors) && opening.count() > 0;
    if let Some(server) = on_a_node.filter(|_| by_selectors) {
        found.push(hinted(
            of_egress(format!(
                "{object} opens DNS to pods, and the name server {} is on its node's network",
                server.pod.name
            )),
            "selectors need not find it; allow the address that pods ask as an ipBlock, such as 169.254.20.10/32",
        ));
    }
}

/// The ports of name servers: of pods behind a Service on port 53, and of pods that listen on port 53 themselves.
fn servers<'a>(around: &'a Around<'_>) -> Vec<Server<'a>> {
    let mut servers: Vec<Server<'a>> = Vec::new();
    let mut add = |pod: &'a Pod, protocol, number| {
        let known = |server: &Server<'_>| {
            (&server.pod.name, server.protocol, server.number) == (&pod.name, protocol, number)
        };
        if !servers.iter().any(known) {
            servers.push(Server { pod, protocol, number });
        }
    };
    for (name, service) in &around.services {
        for (protocol, _, target) in service.ports.iter().filter(|(_, port, _)| *port == PORT) {
            let pods = around.cluster.pods.iter();
            for pod in pods.filter(|pod| pod.name.namespace == name.namespace && is_behind(service, pod)) {
                match target {
                    TargetPort::Number(number) => add(pod, *protocol, *number),
                    TargetPort::Name(name) => {
                        let port = pod
                            .ports
                            .iter()
                            .find(|port| port.name.as_ref() == Some(name) && port.protocol == *protocol);
                        if let Some(port) = port {
                            add(pod, *protocol, port.number);
                        }
                    }
                }
            }
        }
    }
    for pod in &around.cluster.pods {
        if pod.ports.iter().any(|port| (port.protocol, port.number) == (Protocol::Udp, PORT)) {
            for port in pod.ports.iter().filter(|port| port.number == PORT) {
                add(pod, port.protocol, PORT);
            }
        }
    }
    servers
}

/// Whether a rule lets pods ask a name server over a protocol.
fn opens(
    rule: &Rule,
    policy: &NetworkPolicy,
    protocol: Protocol,
    servers: &[Server<'_>],
    around: &Around<'_>,
) -> bool {
    if !opens_port(&rule.ports, protocol, servers) {
        return false;
    }
    // For rules about addresses, and if no name server is known, only the ports are checked.
    if servers.is_empty() || !only_selectors(rule) {
        return true;
    }
    let reached = servers.iter().filter(|server| is_peer(rule, policy, server.pod, around));
    let ports: Vec<Server<'_>> = reached
        .map(|Server { pod, protocol, number }| Server { pod, protocol: *protocol, number: *number })
        .collect();
    // Selectors that find none of them may be about name servers that are not in the manifests.
    if ports.is_empty() {
        rule_may_be_about_others(rule, around)
    } else {
        opens_port(&rule.ports, protocol, &ports)
    }
}

/// Whether a rule's selectors may find pods that no manifest has.
fn rule_may_be_about_others(rule: &Rule, around: &Around<'_>) -> bool {
    use crate::policy::Peer;
    rule.peers.iter().any(|peer| match peer {
        Peer::In(namespaces, _) => {
            let known = around.cluster.namespaces.values();
            !known.into_iter().any(|labels| namespaces.matches(labels))
        }
        Peer::Here(_) | Peer::Block(..) => false,
    })
}

/// Whether ports of a rule are those of name servers.
fn opens_port(ports: &[PortRule], protocol: Protocol, servers: &[Server<'_>]) -> bool {
    let mut of_protocol = servers.iter().filter(|server| server.protocol == protocol).peekable();
    let known = of_protocol.peek().is_some();
    let servers: Vec<&Server<'_>> = of_protocol.collect();
    let named = |name: &str| {
        servers.iter().any(|server| {
            let mut ports = server.pod.ports.iter();
            ports.any(|port| {
                port.name.as_deref() == Some(name)
                    && (port.protocol, port.number) == (protocol, server.number)
            })
        })
    };
    ports.is_empty()
        || ports.iter().any(|port| match port {
            PortRule::All(of) => *of == protocol,
            PortRule::Range(of, first, last) => {
                let range = *first..=*last;
                *of == protocol
                    && if known {
                        servers.iter().any(|server| range.contains(&server.number))
                    } else {
                        range.contains(&PORT) || range.contains(&UNPRIVILEGED)
                    }
            }
            PortRule::Named(of, _) if *of != protocol => false,
            PortRule::Named(_, name) | PortRule::Name(name) if known => named(name),
            PortRule::Named(_, name) | PortRule::Name(name) => name.contains("dns"),
        })
}

/// Whether another policy of the namespace allows DNS to a pod that this one selects, too.
fn another_opens(
    policy: &NetworkPolicy,
    protocol: Protocol,
    servers: &[Server<'_>],
    around: &Around<'_>,
) -> bool {
    around.cluster.policies.iter().any(|other| {
        let together = |pod: &&Pod| {
            pod.name.namespace == policy.name.namespace
                && policy.pods.matches(&pod.labels)
                && other.pods.matches(&pod.labels)
        };
        let same = other.pods == policy.pods
            || other.pods.is_everything()
            || around.cluster.pods.iter().any(|pod| together(&pod));
        other.name.namespace == policy.name.namespace
            && same
            && other.egress.iter().flatten().any(|rule| opens(rule, other, protocol, servers, around))
    })
}
