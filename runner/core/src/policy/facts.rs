//! What a decision depends on: namespaces, pods, nodes, policies; and the connection that is asked about.

use super::{cluster_policy::ClusterPolicy, network_policy::NetworkPolicy};
use crate::scenario::{Labels, flow::Family, name::Qualified};
use std::{collections::BTreeMap, fmt, net::IpAddr};

/// What the decision depends on.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Namespaces and their labels, including `kubernetes.io/metadata.name`.
    pub namespaces: BTreeMap<String, Labels>,
    /// All pods that run. Pods that have ended are left out: others may have their addresses by now.
    pub pods: Vec<Pod>,
    /// All policies of namespaces.
    pub policies: Vec<NetworkPolicy>,
    /// All policies of the cluster's administrator.
    pub cluster_policies: Vec<ClusterPolicy>,
    /// The addresses of every node, by name.
    pub nodes: BTreeMap<String, Vec<IpAddr>>,
    /// The labels of nodes, by name.
    pub node_labels: BTreeMap<String, Labels>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: Qualified,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, or its node's if it uses its node's network. [`stand_in`] gives one that is not known yet.
    pub addresses: Vec<IpAddr>,
    /// The ports of its containers, and of its sidecars: init containers with `restartPolicy: Always`. The maintainers decided
    /// that the names of sidecars' ports count like those of others (kubernetes/kubernetes#125285).
    pub ports: Vec<PodPort>,
    /// The ports of init containers that end. The API does not say whether their names mean anything.
    pub init_ports: Vec<PodPort>,
    /// Its node. The name starts with [`SOME_NODE`] if nobody knows which node that is.
    pub node: String,
    /// Whether it uses its node's network.
    pub host_network: bool,
}

/// The first character in the name of an unknown node.
pub const SOME_NODE: char = '?';

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// A protocol of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP, which rules cannot name.
    Icmp,
}

/// A connection as it arrives: after the translation of a Service, if there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port at the destination.
    pub port: u16,
    /// Whether the source sent it to a Service.
    pub by_service: bool,
}

/// A connection by its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Who starts it.
    pub source: End,
    /// Where it arrives: after the translation of a Service, if there was one.
    pub destination: End,
    /// The address family.
    pub family: Family,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port at the destination.
    pub port: u16,
    /// The Service that the source sent it to.
    pub service: Option<Via>,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A pod of [`Cluster::pods`], by index.
    Pod(usize),
    /// Anything else.
    Address(IpAddr),
}

/// A Service that a connection goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via {
    /// Its address, if that is known.
    pub address: Option<IpAddr>,
    /// Its port, if that is known.
    pub port: Option<u16>,
}

/// What the policies say about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It must get through.
    Allow,
    /// It must not get through; whether it is dropped or rejected is left to the implementation.
    Deny,
    /// It is left open, for this reason.
    Unspecified(Gap),
}

/// What leaves an answer open. The numbers are those of the rules in `corners.rs` and `docs/semantics.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// 35: a pod that reaches itself through a Service.
    Hairpin,
    /// 37: egress from a pod to its own node.
    OwnNode,
    /// 27: an address range for the destination of a connection through a Service.
    BlockAndService,
    /// 27: an address range for the source of a connection from outside through a Service, which may arrive with a node's
    /// address.
    BlockAndNode,
    /// 27: the port of a connection through a Service whose end is not a pod.
    PortAndService,
    /// 20: a named port at addresses of a range.
    BlockAndName,
    /// 21: a port name that a pod has twice.
    NameTwice,
    /// 21: a port name of an init container that has ended.
    InitName,
    /// 24: a block in a form that can be read in more than one way.
    LooseBlock,
    /// A selector that is not valid, in a custom resource, which no API server looks into.
    UnclearSelector,
    /// 39: pods in their node's network.
    HostNetwork,
    /// 31: ICMP.
    Icmp,
    /// 40: a connection that existed before the policies that deny it.
    Established,
    /// Cluster policies of equal priority that disagree.
    EqualPriority,
    /// The addresses of a domain name.
    DomainName,
    /// Not the API leaves it open but the question: it is about addresses that are given only when the pods run.
    AddressUnknown,
    /// Not the API leaves it open but the question: nobody knows which node a pod is on.
    NodeUnknown,
    /// The pods behind a Service are treated differently.
    BackendsDiffer,
    /// No pod is behind the Service.
    NoBackend,
    /// Not the API leaves it open but this program: a policy of a kind that it cannot read is in force.
    OtherKind,
}

impl Gap {
    /// Says in a clause what is left open.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Hairpin => {
                "the API does not say whether policies apply to a pod that reaches itself through a Service"
            }
            Self::OwnNode => "the API's texts differ on whether a pod may always reach its own node",
            Self::BlockAndService => {
                "the API does not say whether an address range is compared before or after a Service is translated"
            }
            Self::BlockAndNode => "the address that arrives from outside through a Service may be a node's",
            Self::PortAndService => {
                "the API does not say which port counts of a Service whose end is no pod: the Service's, or the one behind it"
            }
            Self::BlockAndName => "the API does not say what a named port means at the addresses of a range",
            Self::InitName => {
                "the API does not say whether a port name of an init container that has ended means anything"
            }
            Self::LooseBlock => {
                "the API does not say how an address block is read that has bits beyond its mask, leading zeros or IPv4 in IPv6"
            }
            Self::UnclearSelector => {
                "the API server takes a selector that is not valid in a custom resource, and nothing says what it selects"
            }
            Self::NameTwice => "the API does not say what a port name means that a pod has twice",
            Self::HostNetwork => {
                "the API leaves open whether policies see a hostNetwork pod as a pod or as its node"
            }
            Self::Icmp => "NetworkPolicy is not defined for ICMP",
            Self::Established => {
                "the API does not say whether a policy ends connections that it would not let be established"
            }
            Self::EqualPriority => "cluster policies of equal priority disagree, and either may win",
            Self::DomainName => "which addresses a domain name stands for is known only at run time",
            Self::AddressUnknown => "it depends on the addresses that the cluster gives",
            Self::NodeUnknown => "it depends on the nodes that the pods run on",
            Self::BackendsDiffer => "the policies treat the pods behind the Service differently",
            Self::NoBackend => "no pod is behind the Service",
            Self::OtherKind => "a policy is in force whose kind flowproof cannot read",
        }
    }
}

impl Gap {
    /// Whether the API leaves it open, and not only the question or this program.
    #[must_use]
    pub fn is_of_the_api(self) -> bool {
        !matches!(
            self,
            Self::AddressUnknown | Self::NodeUnknown | Self::NoBackend | Self::OtherKind | Self::DomainName
        )
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Answer {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Unspecified(_) => "unspecified",
        }
    }

    /// Combines two answers that must both allow.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deny, _) | (_, Self::Deny) => Self::Deny,
            (Self::Allow, other) | (other, _) => other,
        }
    }

    /// Combines two answers when either may hold: their common answer, or open for this reason.
    #[must_use]
    pub fn or_else_open(self, other: Self, gap: Gap) -> Self {
        if self == other { self } else { Self::Unspecified(gap) }
    }
}

impl Protocol {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
        }
    }
}

impl Pod {
    /// Its address of a family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

/// An address that stands for the one that a pod or node will have. The same number always gives the same address. No network
/// uses any of them (RFC 1112, section 4: `240.0.0.0/4`; RFC 6666: `100::/64`).
#[must_use]
pub fn stand_in(number: u32, family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from((0xf000_0000 | (number & 0x0fff_ffff)).to_be_bytes()),
        Family::V6 => IpAddr::from([0x100, 0, 0, 0, 0, 0, (number >> 16) as u16, (number & 0xffff) as u16]),
    }
}

/// Whether an address is one of [`stand_in`].
#[must_use]
pub fn is_stand_in(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] >= 0xf0,
        IpAddr::V6(v6) => v6.segments()[..4] == [0x100, 0, 0, 0],
    }
}
