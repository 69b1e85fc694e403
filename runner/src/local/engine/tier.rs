//! `ClusterNetworkPolicies` as the engine keeps them.

use super::{
    policy::{Direction, Port},
    selector::Selector,
};
use ipnet::IpNet;

pub(crate) use super::read::read_cluster as read;

/// A `ClusterNetworkPolicy` (policy.networking.k8s.io).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterPolicy {
    pub(crate) name: String,
    pub(crate) tier: Tier,
    /// The lowest number goes first.
    pub(crate) priority: u64,
    pub(crate) subject: Pods,
    pub(crate) ingress: Vec<Rule>,
    pub(crate) egress: Vec<Rule>,
}

/// The tier of a policy: before NetworkPolicies, or after them for pods that no NetworkPolicy isolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Admin,
    Baseline,
}

/// A rule of a cluster policy. In a tier, the first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) then: Then,
    pub(crate) peers: Vec<Peer>,
    /// Empty for everything.
    pub(crate) ports: Vec<Port>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Accept,
    Deny,
    /// The next tier decides.
    Pass,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    Pods(Pods),
    /// Networks as they are written, bits beyond their masks included.
    Networks(Vec<IpNet>),
}

/// Pods, as a subject or a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pods {
    /// Absent for pods of every namespace.
    pub(crate) namespaces: Option<Selector>,
    pub(crate) pods: Selector,
}

impl ClusterPolicy {
    pub(crate) fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}
