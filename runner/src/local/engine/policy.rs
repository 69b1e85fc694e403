//! NetworkPolicies as the engine keeps them: defaults filled in, everything checked.

use super::selector::Selector;
use crate::local::object::{Name, Protocol};
use ipnet::IpNet;

pub(crate) use super::read::{Scope, read, scope};

/// A NetworkPolicy (networking.k8s.io/v1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkPolicy {
    pub(crate) name: Name,
    pub(crate) pods: Selector,
    pub(crate) ingress: Vec<Rule>,
    pub(crate) egress: Vec<Rule>,
    pub(crate) types: Types,
    /// Whether the manifest gave `policyTypes` itself.
    pub(crate) types_given: bool,
}

/// The directions that a policy isolates, in the order in which the manifest names them.
pub(crate) type Types = Vec<Direction>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// Peers and ports; an empty list matches everything (semantics 4 and 5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) peers: Vec<Peer>,
    pub(crate) ports: Vec<Port>,
    /// Whether the manifest has a list of peers, which may be empty.
    pub(crate) peers_given: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// At least one of the two is given.
    Pods { namespaces: Option<Selector>, pods: Option<Selector> },
    /// A network with its host bits cleared (semantics 24).
    Block { network: IpNet, except: Vec<IpNet>, had_host_bits: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the API's own names")]
pub(crate) struct Port {
    pub(crate) protocol: Protocol,
    /// Whether the manifest names the protocol.
    pub(crate) protocol_given: bool,
    pub(crate) port: PortMatch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortMatch {
    Any,
    Number(u16),
    /// Both ends included.
    Range(u16, u16),
    Name(String),
}

impl NetworkPolicy {
    /// Whether it isolates pods in a direction (semantics 11 to 13).
    pub(crate) fn isolates(&self, direction: Direction) -> bool {
        self.types.contains(&direction)
    }

    pub(crate) fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// What the API server stores when this is applied over an existing policy: `policyTypes` were filled in when that one was
    /// created, and an apply that does not mention them leaves them unchanged.
    pub(crate) fn applied_over(mut self, existing: Option<&Self>) -> Self {
        if let Some(existing) = existing
            && !self.types_given
            && !existing.types_given
        {
            self.types.clone_from(&existing.types);
        }
        self
    }
}
