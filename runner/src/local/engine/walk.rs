//! What becomes of a connection under the rules of all nodes, without a kernel.
//!
//! The order of lookups is that of [`nft`](crate::local::world), which loads the same rules: a packet passes the chains of its
//! source's node, then those of its destination's node, and so does the answer. `tests/local_paper.rs` in this crate plays scenarios
//! in the kernel and compares the results.

use super::{
    ruleset::{Action, Chain, Key, Match, Rule, Ruleset, Side, Table},
    services::kind_of,
    view::{Pod, View},
};
use crate::local::{fault::Fault, object::Protocol};
use std::net::IpAddr;

/// A source port that no policy names.
const EPHEMERAL: u16 = 61_111;

/// A cluster whose nodes hold these rules.
pub(crate) struct Paths<'a> {
    pub(crate) view: &'a View,
    /// Addresses of the nodes, in the order of their numbers.
    pub(crate) addresses: &'a [Vec<IpAddr>],
    /// The rules and the fault of each node.
    pub(crate) nodes: &'a [(Ruleset, Option<Fault>)],
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is dropped, and the source receives nothing.
    Dropped,
    /// It is rejected, and the source receives a refusal.
    Refused,
    /// It depends on which pod of a Service is chosen.
    Depends,
}

/// The properties of a packet that rules match.
#[derive(Debug, Clone, Copy)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    source_port: u16,
    port: u16,
    /// Whether its connection was to a Service and was translated on this node.
    translated: bool,
    /// Whether it begins a connection.
    new: bool,
}

/// Where a packet comes from, or goes to, as its node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Pod,
    Wire,
}

/// What rules decide about a packet on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Nothing: the packet goes on with the next lookup.
    Next,
    /// It passes this node.
    Pass,
    End(Fate),
}

impl Paths<'_> {
    /// Follows a connection of a pod to an address.
    pub(crate) fn connect(&self, from: &Pod, to: IpAddr, protocol: Protocol, port: u16) -> Fate {
        let Some(source) = from.addresses.iter().copied().find(|own| own.is_ipv4() == to.is_ipv4()) else {
            return Fate::Depends;
        };
        let packet = Packet {
            source,
            destination: to,
            protocol,
            source_port: EPHEMERAL,
            port,
            translated: false,
            new: true,
        };
        let key = Key::Port(to, protocol, port);
        let (rules, _) = self.node(from.node);
        if rules.entries.contains_key(&(Table::DeadService(kind_of(to)), key)) {
            return Fate::Refused;
        }
        let Some(service) = rules.entries.get(&(Table::Service(kind_of(to)), key)) else {
            return self.there_and_back(from, packet);
        };
        let ends = service.0.iter().find_map(|rule| match &rule.then {
            Action::ToOneOf(ends) => Some(ends),
            _ => None,
        });
        let fates = ends.into_iter().flatten().map(|(address, port)| {
            let translated = Packet { destination: *address, port: *port, translated: true, ..packet };
            self.there_and_back(from, translated)
        });
        fates.reduce(|one, other| if one == other { one } else { Fate::Depends }).unwrap_or(Fate::Refused)
    }

    fn node(&self, number: u8) -> &(Ruleset, Option<Fault>) {
        &self.nodes[usize::from(number - 1)]
    }

    fn has(&self, node: u8, fault: Fault) -> bool {
        self.node(node).1 == Some(fault)
    }

    /// The pod with an address of its own.
    fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        let mut pods = self.view.pods.values().filter(|pod| !pod.host_network);
        pods.find(|pod| pod.addresses.contains(&address)).map(AsRef::as_ref)
    }

    fn there_and_back(&self, from: &Pod, packet: Packet) -> Fate {
        if !from.host_network && packet.source == packet.destination && !packet.translated {
            return Fate::Answered; // it does not leave the pod
        }
        let (there, masqueraded) = self.there(from, packet);
        if let Some(fate) = there {
            return fate;
        }
        let answers = [Fault::RepliesDropped, Fault::RepliesAreNewIngress, Fault::OwnNodeBlocked];
        if self.nodes.iter().any(|(_, fault)| fault.is_some_and(|fault| answers.contains(&fault))) {
            return self.back(from, packet, masqueraded).unwrap_or(Fate::Answered);
        }
        Fate::Answered
    }

    /// Follows a first packet. Returns its fate if it does not arrive, and whether it leaves its node with the node's address.
    fn there(&self, from: &Pod, packet: Packet) -> (Option<Fate>, bool) {
        let here = from.node;
        let at = self.place_of(packet.destination);
        if from.host_network {
            let ended = match at {
                At::Pod(node) if node == here => self.output(here, packet),
                At::Pod(node) => {
                    self.forward(node, Packet { translated: false, ..packet }, Gate::Wire, Gate::Pod)
                }
                At::Node(_) | At::Outside => None,
            };
            return (ended, false);
        }
        let itself = packet.source == packet.destination;
        match at {
            At::Pod(node) if node == here => (self.forward(here, packet, Gate::Pod, Gate::Pod), itself),
            At::Node(node) if node == here => (self.input(here, packet), false),
            elsewhere => {
                if let Some(ended) = self.forward(here, packet, Gate::Pod, Gate::Wire) {
                    return (Some(ended), false);
                }
                let masqueraded = self.has(here, Fault::MasqueradedAcrossNodes);
                let source = if masqueraded { self.node_address(here, packet) } else { packet.source };
                let arriving = Packet { source, translated: false, ..packet };
                let ended = match elsewhere {
                    At::Pod(node) => self.forward(node, arriving, Gate::Wire, Gate::Pod),
                    At::Node(node) => self.input(node, arriving),
                    At::Outside => None,
                };
                (ended, masqueraded)
            }
        }
    }

    /// Follows the answer to a packet.
    fn back(&self, from: &Pod, packet: Packet, masqueraded: bool) -> Option<Fate> {
        let here = from.node;
        let answer = Packet {
            source: packet.destination,
            destination: packet.source,
            source_port: packet.port,
            port: packet.source_port,
            new: false,
            ..packet
        };
        let remote = Packet { translated: false, ..answer };
        match self.place_of(packet.destination) {
            At::Pod(node) if node == here && from.host_network => self.input(here, answer),
            At::Pod(node) if node == here => self.forward(here, answer, Gate::Pod, Gate::Pod),
            At::Pod(node) => {
                let to = if masqueraded { self.node_address(here, packet) } else { packet.source };
                let leaving = Packet { destination: to, ..remote };
                self.forward(node, leaving, Gate::Pod, Gate::Wire).or_else(|| {
                    if from.host_network {
                        self.input(here, answer)
                    } else {
                        self.forward(here, answer, Gate::Wire, Gate::Pod)
                    }
                })
            }
            At::Node(node) if node == here && !from.host_network => self.output(here, answer),
            At::Node(_) | At::Outside if from.host_network => None,
            At::Node(_) | At::Outside => self.forward(here, answer, Gate::Wire, Gate::Pod),
        }
    }

    fn place_of(&self, address: IpAddr) -> At {
        if let Some(pod) = self.pod_at(address) {
            return At::Pod(pod.node);
        }
        let node = (1..).zip(self.addresses).find(|(_, addresses)| addresses.contains(&address));
        node.map_or(At::Outside, |(number, _)| At::Node(number))
    }

    fn node_address(&self, node: u8, packet: Packet) -> IpAddr {
        let addresses = &self.addresses[usize::from(node - 1)];
        let same = |address: &&IpAddr| address.is_ipv4() == packet.source.is_ipv4();
        addresses.iter().find(same).copied().unwrap_or(packet.source)
    }

    /// The chain `forward`.
    fn forward(&self, node: u8, packet: Packet, from: Gate, to: Gate) -> Option<Fate> {
        let has = |fault| self.has(node, fault);
        if has(Fault::ForeignAcceptFirst) && node == 1 && from == Gate::Pod
            || !packet.new && !has(Fault::RepliesAreNewIngress) && !has(Fault::RepliesDropped)
        {
            return None;
        }
        let kind = kind_of(packet.destination);
        let pair = Key::Pair(packet.source, packet.destination);
        match self.look_up(node, Table::Hairpin(kind), pair, packet) {
            Decision::Next => {}
            decided => return ended(decided),
        }
        if has(Fault::SameNodeUnpoliced) && (from, to) == (Gate::Pod, Gate::Pod)
            || has(Fault::OtherNodeUnpoliced) && (from, to) == (Gate::Wire, Gate::Pod)
        {
            return None;
        }
        if packet.new || !has(Fault::RepliesAreNewIngress) {
            match self.look_up(node, Table::Egress(kind), Key::Address(packet.source), packet) {
                Decision::Next => {}
                decided => return ended(decided),
            }
        }
        ended(self.look_up(node, Table::Ingress(kind), Key::Address(packet.destination), packet))
    }

    /// The chain `input`.
    fn input(&self, node: u8, packet: Packet) -> Option<Fate> {
        let known = !packet.new && !self.has(node, Fault::RepliesDropped);
        if known || self.has(node, Fault::OwnNodeUnpoliced) {
            return None;
        }
        let kind = kind_of(packet.source);
        ended(self.look_up(node, Table::Egress(kind), Key::Address(packet.source), packet))
    }

    /// The chain `output`.
    fn output(&self, node: u8, packet: Packet) -> Option<Fate> {
        if !self.has(node, Fault::OwnNodeBlocked) {
            return None;
        }
        let kind = kind_of(packet.destination);
        ended(self.look_up(node, Table::Ingress(kind), Key::Address(packet.destination), packet))
    }

    fn look_up(&self, node: u8, table: Table, key: Key, packet: Packet) -> Decision {
        let (rules, fault) = self.node(node);
        match rules.entries.get(&(table, key)).map_or(Decision::Next, |chain| decide(chain, packet)) {
            Decision::End(Fate::Dropped) if *fault == Some(Fault::RejectsInsteadOfDrops) => {
                Decision::End(Fate::Refused)
            }
            decision => decision,
        }
    }
}

/// Who has an address, with the number of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Pod(u8),
    Node(u8),
    Outside,
}

fn ended(decision: Decision) -> Option<Fate> {
    match decision {
        Decision::Next | Decision::Pass => None,
        Decision::End(fate) => Some(fate),
    }
}

fn decide(chain: &Chain, packet: Packet) -> Decision {
    for rule in &chain.0 {
        if !matches(rule, packet) {
            continue;
        }
        return match &rule.then {
            // Translations are in tables of their own, which are looked up elsewhere.
            Action::Allow | Action::ToOneOf(_) | Action::Masquerade => Decision::Next,
            Action::Accept => Decision::Pass,
            Action::Goto(next) => decide(next, packet),
            Action::Deny => Decision::End(Fate::Dropped),
            Action::Refuse => Decision::End(Fate::Refused),
        };
    }
    Decision::Next
}

fn matches(rule: &Rule, packet: Packet) -> bool {
    rule.when.iter().all(|condition| match condition {
        Match::Peer(side, kind, ranges) => {
            let address = match side {
                Side::Source => packet.source,
                Side::Destination => packet.destination,
            };
            kind_of(address) == *kind && ranges.contain(address)
        }
        Match::Protocol(protocol) => packet.protocol == *protocol,
        Match::Translated => packet.translated,
        Match::Port(first, last) => (*first..=*last).contains(&packet.port),
        Match::SourcePort(first, last) => (*first..=*last).contains(&packet.source_port),
    })
}
