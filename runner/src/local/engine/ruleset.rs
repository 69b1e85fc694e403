//! The rules of one node, as values: what the kernel must contain, without names, handles or order of loading.
//!
//! Everything that changes is in a few tables that are looked up by address. Chains and sets have no identity of their own: equal
//! ones are the same, so a deny-all for a hundred pods is as small as for one.

use super::ranges::{Kind, Ranges};
use crate::local::object::Protocol;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// All rules of a node that follow from the API's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(crate) entries: BTreeMap<(Table, Key), Arc<Chain>>,
}

/// A table, and by what it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// By source address: what a pod may send.
    Egress(Kind),
    /// By destination address: what a pod may receive.
    Ingress(Kind),
    /// By destination address, protocol and port: where a Service goes.
    Service(Kind),
    /// By destination address, protocol and port: Services that go nowhere.
    DeadService(Kind),
    /// By source and destination address: pods that talk to themselves.
    Hairpin(Kind),
    /// As [`Table::Hairpin`], where addresses are translated.
    HairpinSource(Kind),
}

/// The key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Address(IpAddr),
    Pair(IpAddr, IpAddr),
    Port(IpAddr, Protocol, u16),
}

/// Rules that are tried in order; a packet that none of them decides goes on after the lookup.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Chain(pub(crate) Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rule {
    pub(crate) when: Vec<Match>,
    pub(crate) then: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Match {
    /// The other end's address is in a set: the source of incoming, the destination of outgoing packets.
    Peer(Side, Kind, Arc<Ranges>),
    Protocol(Protocol),
    /// The packet was sent to a Service, and its destination translated on this node.
    Translated,
    /// The destination port is in a range, both ends included. After [`Match::Protocol`] only.
    Port(u16, u16),
    /// The same for the source port; only a fault needs it.
    SourcePort(u16, u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    Source,
    Destination,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    /// Go on with what follows the lookup.
    Allow,
    /// Go on without any further rule.
    Accept,
    /// Go on with another chain instead of this one.
    Goto(Arc<Chain>),
    /// Deny. Whether the source hears of it is decided when rules are loaded.
    Deny,
    /// Reject, so that the source receives a refusal.
    Refuse,
    /// Translate the destination to one of several, at random.
    ToOneOf(Vec<(IpAddr, u16)>),
    /// Translate the source to the node's address.
    Masquerade,
}

impl Chain {
    /// A copy with another action instead of `Allow`, also in the chains that it leads to.
    pub(crate) fn with_allow(&self, then: &Action) -> Self {
        let changed = |action: &Action| match action {
            Action::Allow => then.clone(),
            Action::Goto(next) => Action::Goto(Arc::new(next.with_allow(then))),
            other => other.clone(),
        };
        let rules = self.0.iter().map(|rule| Rule { when: rule.when.clone(), then: changed(&rule.then) });
        Self(rules.collect())
    }

    /// The chains that it leads to.
    pub(crate) fn followers(&self) -> impl Iterator<Item = &Arc<Self>> {
        self.0.iter().filter_map(|rule| match &rule.then {
            Action::Goto(chain) => Some(chain),
            _ => None,
        })
    }
}

impl Ruleset {
    pub(crate) fn set(&mut self, table: Table, key: Key, chain: &Arc<Chain>) {
        self.entries.insert((table, key), Arc::clone(chain));
    }
}
