//! The decision about one connection: both ends, three tiers, every rule.

use super::{
    block::Network,
    cluster_policy::{Action, TierPeer, TierRule},
    facts::{Answer, Ask, Cluster, Connection, End, Gap, Pod, PodPort, Protocol, SOME_NODE, is_stand_in},
    network_policy::{Peer, PortRule, Rule},
    oracle::{Direction, Oracle, Situation, Spot, within},
};
use std::net::IpAddr;

/// Says what the policies of a cluster mean for a connection. [`Oracle`] answers many questions about one cluster.
#[must_use]
pub fn judge(cluster: &Cluster, connection: &Connection) -> Answer {
    let oracle = Oracle::new(cluster);
    oracle.judge(&oracle.ask(connection))
}

/// Whether a part of a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It is left open.
    Open(Gap),
}

impl Holds {
    fn known(holds: Option<bool>, gap: Gap) -> Self {
        holds.map_or(Self::Open(gap), yes)
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, other) | (other, _) => other,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, other) | (other, _) => other,
        }
    }

    fn any(all: impl Iterator<Item = Self>) -> Self {
        let mut sum = Self::No;
        for one in all {
            sum = sum.or(one);
            if sum == Self::Yes {
                break;
            }
        }
        sum
    }
}

/// How a pod in its node's network is seen (corner 39): the API allows both readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As its node: selectors pass it over.
    AsNode,
    /// As a pod like any other.
    AsPod,
}

/// What a tier of cluster policies may do with a connection.
#[derive(Debug, Clone, Copy, Default)]
struct Outcomes {
    accept: bool,
    deny: bool,
    fall: bool,
    gap: Option<Gap>,
}

impl Oracle<'_> {
    /// Says what the policies mean for a connection.
    #[must_use]
    pub fn judge(&self, ask: &Ask) -> Answer {
        let as_node = self.decide(&self.situation(ask, Reading::AsNode));
        if self.is_on_host(ask.source) || self.is_on_host(ask.destination) {
            let as_pod = self.decide(&self.situation(ask, Reading::AsPod));
            return as_node.or_else_open(as_pod, Gap::HostNetwork);
        }
        as_node
    }

    fn is_on_host(&self, end: End) -> bool {
        matches!(end, End::Pod(pod) if self.pod(pod).host_network)
    }

    pub(super) fn situation(&self, ask: &Ask, reading: Reading) -> Situation {
        let spot = |end: End| match end {
            End::Address(address) => Spot { pod: None, address: Some(address) },
            End::Pod(index) => {
                let pod = self.pod(index);
                let seen = !pod.host_network || reading == Reading::AsPod;
                Spot { pod: seen.then_some(index), address: pod.address(ask.family) }
            }
        };
        Situation {
            source: spot(ask.source),
            destination: spot(ask.destination),
            protocol: ask.protocol,
            port: ask.port,
            service: ask.service,
            may_be_host_pod: ask.service.is_some()
                && matches!(ask.destination, End::Address(address) if self.node_at(address).is_some()),
        }
    }

    fn decide(&self, now: &Situation) -> Answer {
        if is_loopback(now) {
            return Answer::Allow;
        }
        match self.side(Direction::Egress, now) {
            Answer::Deny => Answer::Deny,
            egress => egress.and(self.side(Direction::Ingress, now)),
        }
    }

    /// One end's part in the decision.
    pub(super) fn side(&self, direction: Direction, now: &Situation) -> Answer {
        let Some(pod) = now.subject(direction).pod else { return Answer::Allow };
        let subject = self.subject(pod);
        if subject.admin.is_empty() && subject.baseline.is_empty() {
            return self.namespaced(direction, pod, now).unwrap_or(Answer::Allow);
        }
        self.tier(&subject.admin, direction, now).then(|| {
            self.namespaced(direction, pod, now).unwrap_or_else(|| {
                self.tier(&self.subject(pod).baseline, direction, now).then(|| Answer::Allow)
            })
        })
    }

    /// What the policies of the pod's namespace say; `None` if none of them isolates the pod.
    pub(super) fn namespaced(&self, direction: Direction, pod: usize, now: &Situation) -> Option<Answer> {
        let isolating = &self.subject(pod).isolating[direction as usize];
        if isolating.is_empty() {
            return None;
        }
        if now.protocol == Protocol::Icmp {
            return Some(Answer::Unspecified(Gap::Icmp));
        }
        if now.source.pod == now.destination.pod {
            return Some(Answer::Unspecified(Gap::Hairpin));
        }
        let own_node = self.is_own_node(self.pod(pod), now.other(direction));
        if (direction, own_node) == (Direction::Ingress, Holds::Yes) {
            return Some(Answer::Allow);
        }
        let mut open = None;
        for policy in isolating {
            let rules = self.cluster.policies[*policy].rules(direction).unwrap_or_default();
            for (index, rule) in rules.iter().enumerate() {
                match self.holds(direction, [*policy, index], rule, now) {
                    Holds::Yes => return Some(Answer::Allow),
                    Holds::Open(gap) => open = Some(gap),
                    Holds::No => {}
                }
            }
        }
        Some(match (open, own_node, direction) {
            (Some(gap), ..) | (None, Holds::Open(gap), _) => Answer::Unspecified(gap),
            (None, Holds::Yes, Direction::Egress) => Answer::Unspecified(Gap::OwnNode),
            _ => Answer::Deny,
        })
    }

    /// Whether an end is the node that a pod runs on.
    pub(super) fn is_own_node(&self, pod: &Pod, other: Spot) -> Holds {
        let Some(node) = other.address.and_then(|address| self.node_at(address)) else { return Holds::No };
        if node == pod.node {
            Holds::Yes
        } else if node.starts_with(SOME_NODE) || pod.node.starts_with(SOME_NODE) {
            Holds::Open(Gap::NodeUnknown)
        } else {
            Holds::No
        }
    }

    /// Whether a rule of a namespace's policy lets a connection through.
    pub(super) fn holds(
        &self,
        direction: Direction,
        [policy, index]: [usize; 2],
        rule: &Rule,
        now: &Situation,
    ) -> Holds {
        let port = self.ports_hold(&rule.ports, now);
        if port == Holds::No && Self::names_an_address(direction, &rule.ports, now) {
            let blocks = rule.peers.iter().enumerate().filter(|(_, peer)| matches!(peer, Peer::Block(..)));
            let inside = Holds::any(
                blocks.map(|(at, peer)| self.peer_holds(direction, [policy, index, at], peer, now, false)),
            );
            return if inside == Holds::No { Holds::No } else { Holds::Open(Gap::BlockAndName) };
        }
        if port == Holds::No || rule.peers.is_empty() {
            return port;
        }
        let by_name = self.only_by_name(&rule.ports, now);
        let peers = rule
            .peers
            .iter()
            .enumerate()
            .map(|(at, peer)| self.peer_holds(direction, [policy, index, at], peer, now, by_name));
        Holds::any(peers).and(port)
    }

    /// Whether one peer of a rule is the connection's other end.
    pub(super) fn peer_holds(
        &self,
        direction: Direction,
        at: [usize; 3],
        peer: &Peer,
        now: &Situation,
        by_name: bool,
    ) -> Holds {
        let other = now.other(direction);
        if let Some(selected) = self.selects(direction, at, other.pod) {
            let open = !selected && direction == Direction::Egress && now.may_be_host_pod;
            return if open { Holds::Open(Gap::HostNetwork) } else { yes(selected) };
        }
        let Peer::Block(block, except) = peer else { return Holds::No };
        let inside = |address: IpAddr| {
            let block = Holds::known(block.may_contain(address), open_by(std::slice::from_ref(block)));
            match within(except, address) {
                Some(true) => Holds::No,
                Some(false) => block,
                None => block.and(Holds::Open(open_by(except))),
            }
        };
        let holds = self.range_holds(direction, now, &inside, block.is_everything() && except.is_empty());
        match holds {
            Holds::Yes if by_name && direction == Direction::Egress => Holds::Open(Gap::BlockAndName),
            other => other,
        }
    }

    /// Whether a rule can match the connection's port by named ports only: none of its other ports does.
    pub(super) fn only_by_name(&self, ports: &[PortRule], now: &Situation) -> bool {
        let mut numbers =
            ports.iter().filter(|port| !matches!(port, PortRule::Named(..) | PortRule::Name(_)));
        !ports.is_empty() && numbers.all(|port| self.port_holds(port, now) == Holds::No)
    }

    /// Whether a rule for egress names a port although the destination is not a pod. Only pods have named ports.
    fn names_an_address(direction: Direction, ports: &[PortRule], now: &Situation) -> bool {
        let named = |port: &PortRule| match port {
            PortRule::Named(protocol, _) => *protocol == now.protocol,
            PortRule::Name(_) => true,
            PortRule::All(_) | PortRule::Range(..) => false,
        };
        direction == Direction::Egress && now.destination.pod.is_none() && ports.iter().any(named)
    }

    fn ports_hold(&self, ports: &[PortRule], now: &Situation) -> Holds {
        if ports.is_empty() {
            return Holds::Yes;
        }
        let holds = |now: &Situation| Holds::any(ports.iter().map(|port| self.port_holds(port, now)));
        let after = holds(now);
        match now.service.and_then(|via| via.port) {
            // The port of a rule is a port of a pod (types.go). If the destination is not a pod, the Service's port may be the
            // one that counts.
            Some(port) if now.destination.pod.is_none() && holds(&Situation { port, ..*now }) != after => {
                Holds::Open(Gap::PortAndService)
            }
            _ => after,
        }
    }

    /// Whether a connection goes to a port of a rule. A name means what it means on the listening pod, for ingress and egress.
    pub(super) fn port_holds(&self, rule: &PortRule, now: &Situation) -> Holds {
        let named = |name: &str, protocol: Protocol| {
            let Some(pod) = now.destination.pod else { return Holds::No };
            let is_it = |port: &&PodPort| port.name.as_deref() == Some(name) && port.protocol == protocol;
            let pod = self.pod(pod);
            let mut found = pod.ports.iter().filter(is_it);
            let holds = match (found.next(), found.next()) {
                (None, _) => Holds::No,
                (Some(port), None) => yes(port.number == now.port),
                _ => Holds::Open(Gap::NameTwice),
            };
            if holds == Holds::No && pod.init_ports.iter().filter(is_it).any(|port| port.number == now.port) {
                return Holds::Open(Gap::InitName);
            }
            holds
        };
        match rule {
            PortRule::All(protocol) => yes(*protocol == now.protocol),
            PortRule::Range(protocol, first, last) => {
                yes(*protocol == now.protocol && (*first..=*last).contains(&now.port))
            }
            PortRule::Named(protocol, name) => yes(*protocol == now.protocol).and(named(name, now.protocol)),
            PortRule::Name(name) => named(name, now.protocol),
        }
    }

    /// Walks through the cluster policies of a tier, in order of priority.
    fn tier(&self, policies: &[usize], direction: Direction, now: &Situation) -> Outcomes {
        let priority = |policy: usize| self.cluster.cluster_policies[policy].priority;
        let mut outcomes = Outcomes::default();
        for equals in policies.chunk_by(|one, other| priority(*one) == priority(*other)) {
            let mut matching = 0;
            let mut goes_on = true;
            let mut here = Outcomes::default();
            for policy in equals {
                let (found, ends) = self.first_match(*policy, direction, now);
                if found.accept || found.deny || found.fall {
                    matching += 1;
                    here = here.or(found);
                    goes_on &= !ends;
                }
            }
            if matching > 1 && [here.accept, here.deny, here.fall].iter().filter(|one| **one).count() > 1 {
                here.gap = here.gap.or(Some(Gap::EqualPriority));
            }
            outcomes = outcomes.or(here);
            if !goes_on {
                return outcomes;
            }
        }
        outcomes.fall = true;
        outcomes
    }

    /// The outcomes of one policy's rules, and whether it surely ends the tier.
    fn first_match(&self, policy: usize, direction: Direction, now: &Situation) -> (Outcomes, bool) {
        let mut outcomes = Outcomes::default();
        for (index, rule) in self.cluster.cluster_policies[policy].rules(direction).iter().enumerate() {
            let (holds, action) = self.tier_rule_holds(direction, [policy, index], rule, now);
            let gap = match holds {
                Holds::No => continue,
                Holds::Yes => None,
                Holds::Open(gap) => Some(gap),
            };
            match action {
                Action::Accept => outcomes.accept = true,
                Action::Deny => outcomes.deny = true,
                Action::Pass => outcomes.fall = true,
            }
            outcomes.gap = outcomes.gap.or(gap);
            if gap.is_none() {
                return (outcomes, true);
            }
        }
        (outcomes, false)
    }

    /// Whether a rule of a cluster policy matches a connection, and what it then does.
    pub(super) fn tier_rule_holds(
        &self,
        direction: Direction,
        [policy, index]: [usize; 2],
        rule: &TierRule,
        now: &Situation,
    ) -> (Holds, Action) {
        if rule.peers.contains(&TierPeer::Unknown) {
            // Fails closed, as the API requires for a field that is not known.
            return match rule.action {
                Action::Accept => (Holds::No, Action::Accept),
                Action::Deny | Action::Pass => (Holds::Yes, Action::Deny),
            };
        }
        let port = self.ports_hold(&rule.ports, now);
        if port == Holds::No {
            return (Holds::No, rule.action);
        }
        let by_name = self.only_by_name(&rule.ports, now);
        let peers = rule.peers.iter().enumerate().map(|(at, peer)| {
            match (self.tier_peer_holds(direction, [policy, index, at], peer, now), peer) {
                // The experimental channel rejects this. The standard one accepts it, and nothing says what it means.
                (Holds::Yes, TierPeer::Networks(_) | TierPeer::Nodes(_)) if by_name => {
                    Holds::Open(Gap::BlockAndName)
                }
                (holds, _) => holds,
            }
        });
        (Holds::any(peers).and(port), rule.action)
    }

    /// Whether one peer of such a rule is the connection's other end. Pods in their node's network do not count as pods here.
    pub(super) fn tier_peer_holds(
        &self,
        direction: Direction,
        at: [usize; 3],
        peer: &TierPeer,
        now: &Situation,
    ) -> Holds {
        let other = now.other(direction);
        let pod = other.pod.filter(|pod| !self.pod(*pod).host_network);
        if let Some(selected) = self.tier_selects(direction, at, pod) {
            return yes(selected);
        }
        match peer {
            TierPeer::Networks(blocks) => {
                let inside = |address| Holds::known(within(blocks, address), open_by(blocks));
                let everything = other.address.is_some_and(|address| {
                    blocks.iter().any(|b| b.is_everything() && b.may_contain(address) == Some(true))
                });
                self.range_holds(direction, now, &inside, everything)
            }
            TierPeer::Nodes(selector) => {
                let node = other.address.and_then(|address| self.node_at(address));
                let labels = node.and_then(|node| self.cluster.node_labels.get(node));
                match (node, labels) {
                    (None, _) => Holds::No,
                    (Some(_), Some(labels)) => yes(selector.matches(labels)),
                    (Some(_), None) if selector.is_everything() => Holds::Yes,
                    (Some(_), None) => Holds::Open(Gap::NodeUnknown),
                }
            }
            TierPeer::Domains(_) if pod.is_none() => Holds::Open(Gap::DomainName),
            TierPeer::Unclear => Holds::Open(Gap::UnclearSelector),
            _ => Holds::No,
        }
    }

    /// Whether an address range contains the other end; for a connection through a Service, before and after translation.
    fn range_holds(
        &self,
        direction: Direction,
        now: &Situation,
        inside: &dyn Fn(IpAddr) -> Holds,
        everything: bool,
    ) -> Holds {
        let after = now.other(direction).address.map_or(Holds::Open(Gap::AddressUnknown), inside);
        match (direction, now.service) {
            (_, None) => after,
            (Direction::Ingress, Some(_)) if everything || now.source.pod.is_some() => after,
            // Through a NodePort or a load balancer, the source may arrive with the address of a node.
            (Direction::Ingress, Some(_)) => {
                let same_family = |address: &IpAddr| {
                    now.source.address.is_none_or(|source| source.is_ipv4() == address.is_ipv4())
                };
                let mut nodes = self.node_addresses().filter(same_family);
                if nodes.all(|node| inside(node) == after) { after } else { Holds::Open(Gap::BlockAndNode) }
            }
            (Direction::Egress, Some(via)) => match via.address.map(inside) {
                Some(before) if before == after => after,
                None if everything => after,
                _ => Holds::Open(Gap::BlockAndService),
            },
        }
    }
}

impl Outcomes {
    fn or(self, other: Self) -> Self {
        Self {
            accept: self.accept || other.accept,
            deny: self.deny || other.deny,
            fall: self.fall || other.fall,
            gap: self.gap.or(other.gap),
        }
    }

    /// The answer, if `next` decides about what falls through.
    fn then(self, next: impl FnOnce() -> Answer) -> Answer {
        let next = self.fall.then(next);
        let certain = [self.accept.then_some(Answer::Allow), self.deny.then_some(Answer::Deny), next];
        let mut found = certain.into_iter().flatten();
        let first = found.next().unwrap_or(Answer::Allow);
        let gap = self.gap.unwrap_or(Gap::EqualPriority);
        found.fold(first, |sum, one| sum.or_else_open(one, gap))
    }
}

/// Whether a pod connects to itself over its own address. No policy can block that (corner 34).
pub(super) fn is_loopback(now: &Situation) -> bool {
    let same = |one: Option<usize>, other: Option<usize>| one.is_some() && one == other;
    now.service.is_none()
        && (same(now.source.pod, now.destination.pod)
            || now.source.pod.is_none()
                && now.source.address.is_some()
                && now.source.address == now.destination.address)
}

/// What leaves open whether an address is in one of several blocks.
fn open_by(blocks: &[Network]) -> Gap {
    if blocks.iter().any(|block| block.loose().is_some() && !is_stand_in(block.address())) {
        Gap::LooseBlock
    } else {
        Gap::AddressUnknown
    }
}

fn yes(holds: bool) -> Holds {
    if holds { Holds::Yes } else { Holds::No }
}
