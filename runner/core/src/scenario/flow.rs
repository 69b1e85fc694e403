//! Flows: who talks to whom, how, and what is expected.

use super::name::{Service, Workload};
use flowproof_wire::Transport;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// Where a flow goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A pod of the scenario, by its own addresses.
    Workload(Workload),
    /// A Service of the scenario, by its cluster IPs.
    Service(Service),
    /// A Service of the cluster, under its real name, by its cluster IPs. Its endpoints are real, so flows only connect to them.
    LiveService(Service),
    /// The node on which a pod of the scenario runs, by its internal addresses.
    NodeOf(Workload),
    /// Any address, inside or outside the cluster.
    Address(IpAddr),
    /// The name servers that the source's pod is told to use.
    ClusterDns,
}

/// A flow as users see it: source, target, transport and port. Address families come later ([`Family`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Who starts it.
    pub source: Workload,
    /// Where it goes.
    pub target: Target,
    /// Its transport.
    pub transport: Transport,
    /// The port at the target. 53 for DNS transports.
    pub port: u16,
    /// Whether it is one connection (for UDP, one source port) that existed before the policies. Otherwise every attempt is a
    /// connection of its own.
    pub established: bool,
}

/// Marks an established flow in the notation of scenarios.
pub const ESTABLISHED: &str = "established";

/// An address family of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "4")]
    V4,
    /// IPv6.
    #[serde(rename = "6")]
    V6,
}

/// What a flow must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// It gets through, there and back.
    Allow,
    /// It does not arrive, however it is denied.
    Deny,
    /// It does not arrive, and the source receives nothing.
    Drop,
    /// It does not arrive, and the source receives a refusal: RST or ICMP.
    Reject,
    /// The policies leave it open: it is tried and reported, and fails nothing.
    Unspecified,
}

impl Expectation {
    /// Whether the flow must not arrive.
    #[must_use]
    pub fn denies(self) -> bool {
        matches!(self, Self::Deny | Self::Drop | Self::Reject)
    }
}

impl Flow {
    /// Its transport and port, and whether it is established, as scenarios write them.
    #[must_use]
    pub fn port_text(&self) -> String {
        let port = PortOf(self.transport, self.port);
        if self.established { format!("{port} {ESTABLISHED}") } else { port.to_string() }
    }
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Unspecified => "unspecified",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => write!(f, "{workload}"),
            Self::Service(service) | Self::LiveService(service) => write!(f, "service {service}"),
            Self::NodeOf(workload) => write!(f, "node of {workload}"),
            Self::Address(address) => write!(f, "ip {address}"),
            Self::ClusterDns => f.write_str("cluster-dns"),
        }
    }
}

/// Shows a transport and port as scenarios write them: `tcp/5432`, `dns/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortOf(pub Transport, pub u16);

impl fmt::Display for PortOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Transport::Tcp => write!(f, "tcp/{}", self.1),
            Transport::Udp => write!(f, "udp/{}", self.1),
            Transport::DnsUdp => f.write_str("dns/udp"),
            Transport::DnsTcp => f.write_str("dns/tcp"),
        }
    }
}

/// Shows the flow in the notation of scenarios: `app/api -> data/postgres tcp/5432`.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {}", self.source, self.target, self.port_text())
    }
}
