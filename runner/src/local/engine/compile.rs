//! Compiles policies to rules, for the pods of one node.
//!
//! "semantics 17" in a comment is rule 17 of `docs/semantics.md`. Each fault is a branch in the code that does the right thing.

mod tiers;

use super::{
    policy::{Direction, NetworkPolicy, Peer, Port, PortMatch, Rule as PolicyRule},
    ranges::{Addresses, Kind},
    ruleset::{Action, Chain, Key, Match, Rule, Ruleset, Side, Table},
    selector::Selector,
    services::{add_services, kind_of},
    tier::ClusterPolicy,
    view::{Pod, View},
};
use crate::local::{
    address,
    fault::Fault,
    object::{ContainerPort, Name, Protocol},
};
use flowproof_core::scenario::Labels;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, LazyLock},
};
use tiers::CompiledCluster;

/// The state of the API as the engine sees it. Faults of the engine's memory distort it; without such a fault, only the view and
/// the policies are filled in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Perceived {
    /// The true state.
    pub(crate) view: View,
    /// Labels of namespaces as policies see them; the view's labels apply if there is no entry.
    pub(crate) namespace_labels: BTreeMap<String, Labels>,
    /// Labels of pods as peers; the view's labels apply if there is no entry.
    pub(crate) peer_labels: BTreeMap<Name, Labels>,
    /// Labels of pods as subjects of policies; the view's labels apply if there is no entry.
    pub(crate) subject_labels: BTreeMap<Name, Labels>,
    /// Policies as the engine has them.
    pub(crate) policies: Vec<Arc<NetworkPolicy>>,
    /// Cluster policies as the engine has them.
    pub(crate) cluster_policies: Vec<Arc<ClusterPolicy>>,
    /// Pods that are not policed.
    pub(crate) unpoliced: Vec<Name>,
    /// Pods that are denied everything, per direction.
    pub(crate) stuck: Vec<(Name, Direction)>,
    /// Policy and pod: pods that are left out of the sets of peers of that policy.
    pub(crate) missing_peers: Vec<(Name, Name)>,
    /// Policy and pod: pods to which that policy does not apply although it selects them.
    pub(crate) missing_subjects: Vec<(Name, Name)>,
    /// Pods that are gone but still count, as peers or as subjects, depending on the fault.
    pub(crate) ghosts: Vec<Arc<Pod>>,
    /// The order in which policies were created, as growing numbers.
    pub(crate) created: BTreeMap<Name, u64>,
}

/// Compiles the rules of the node with this number; `nodes` are the addresses of all nodes.
pub(crate) fn compile(
    perceived: &Perceived,
    node: u8,
    nodes: &[Vec<IpAddr>],
    fault: Option<Fault>,
) -> Ruleset {
    let mut rules = Ruleset::default();
    add_services(&mut rules, &perceived.view);
    let compiler = Compiler::new(perceived, nodes, fault);
    for pod in perceived.view.pods.values().filter(|pod| pod.node == node && !pod.host_network) {
        let unpoliced = fault == Some(Fault::NothingEnforced)
            || fault == Some(Fault::NodeAgentDead) && node == 2
            || perceived.unpoliced.contains(&pod.name);
        let itself = if unpoliced { None } else { compiler.to_itself(pod) };
        add_hairpin(&mut rules, pod, itself, fault);
        if unpoliced {
            continue;
        }
        for direction in [Direction::Egress, Direction::Ingress] {
            if let Some(chain) = compiler.chain(pod, direction) {
                let chain = Arc::new(chain);
                for address in &pod.addresses {
                    let kind = kind_of(*address);
                    if fault == Some(Fault::V6Unpoliced) && kind == Kind::V6 {
                        continue;
                    }
                    let table = match direction {
                        Direction::Egress => Table::Egress(kind),
                        Direction::Ingress => Table::Ingress(kind),
                    };
                    rules.set(table, Key::Address(*address), &chain);
                }
            }
        }
    }
    rules
}

fn single(then: Action) -> Arc<Chain> {
    Arc::new(Chain(vec![Rule { when: Vec::new(), then }]))
}

/// Adds the rules for a pod that reaches itself through a Service. Its answer would come from its own address, so the source is
/// translated to the node's. NetworkPolicies leave such a connection open (semantics 35), and here it passes; cluster policies do
/// apply to it, and `itself` is what they say.
fn add_hairpin(rules: &mut Ruleset, pod: &Pod, itself: Option<Chain>, fault: Option<Fault>) {
    static MASQUERADE: LazyLock<Arc<Chain>> = LazyLock::new(|| single(Action::Masquerade));
    static ACCEPT: LazyLock<Arc<Chain>> = LazyLock::new(|| single(Action::Accept));
    let passes = itself.map_or_else(|| Arc::clone(&ACCEPT), Arc::new);
    for address in &pod.addresses {
        let (kind, key) = (kind_of(*address), Key::Pair(*address, *address));
        rules.set(Table::HairpinSource(kind), key, &MASQUERADE);
        if fault != Some(Fault::HairpinBlocked) {
            rules.set(Table::Hairpin(kind), key, &passes);
        }
    }
}

struct Compiler<'a> {
    perceived: &'a Perceived,
    nodes: &'a [Vec<IpAddr>],
    fault: Option<Fault>,
    policies: Vec<Compiled<'a>>,
    /// In order of priority.
    cluster_policies: Vec<CompiledCluster<'a>>,
}

/// A policy with the peers of each of its rules. They do not depend on the pod that the policy applies to, so they are computed once.
struct Compiled<'a> {
    policy: &'a NetworkPolicy,
    ingress: Vec<Peers>,
    egress: Vec<Peers>,
}

/// The peers of a rule. `all` are their addresses. `pods` are those peers that are pods, for named ports.
#[derive(Clone)]
enum Peers {
    Everybody,
    Some { all: Addresses, pods: Vec<Arc<Pod>> },
}

/// What a rule lets through: these peers, on any of these ports. No ports means all.
struct Clause {
    peers: Peers,
    ports: Vec<Port>,
}

impl<'a> Compiler<'a> {
    fn new(perceived: &'a Perceived, nodes: &'a [Vec<IpAddr>], fault: Option<Fault>) -> Self {
        let mut compiler =
            Self { perceived, nodes, fault, policies: Vec::new(), cluster_policies: Vec::new() };
        let policies = perceived.policies.iter().map(|policy| Compiled {
            policy,
            ingress: policy.ingress.iter().map(|rule| compiler.peers(policy, rule)).collect(),
            egress: policy.egress.iter().map(|rule| compiler.peers(policy, rule)).collect(),
        });
        compiler.policies = policies.collect();
        compiler.cluster_policies = compiler.compiled_cluster_policies();
        compiler
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The labels of a pod as policies see them when they decide whether they apply to it.
    fn labels_as_subject<'b>(&'b self, pod: &'b Pod) -> &'b Labels {
        self.perceived.subject_labels.get(&pod.name).unwrap_or(&pod.labels)
    }

    /// The labels of a pod as policies see them when they decide whether it is a peer.
    fn labels_as_peer<'b>(&'b self, pod: &'b Pod) -> &'b Labels {
        self.perceived.peer_labels.get(&pod.name).unwrap_or(&pod.labels)
    }

    /// Labels of a namespace as policies see them.
    fn namespace_labels(&self, name: &str) -> &Labels {
        static NONE: Labels = Labels::new();
        let view = || self.perceived.view.namespaces.get(name);
        self.perceived.namespace_labels.get(name).or_else(view).unwrap_or(&NONE)
    }

    /// The rules from the NetworkPolicies of the pod's namespace; `None` if no policy isolates the pod in this direction.
    fn namespaced(&self, pod: &Pod, direction: Direction) -> Option<Chain> {
        let stuck = self.perceived.stuck.iter().any(|(name, stuck)| *name == pod.name && *stuck == direction);
        let mut isolating: Vec<_> =
            self.policies.iter().filter(|compiled| self.isolates(compiled.policy, pod, direction)).collect();
        if isolating.is_empty() && !stuck {
            return None;
        }
        match self.fault {
            Some(Fault::LastPolicyWins) => isolating = isolating.split_off(isolating.len().saturating_sub(1)),
            Some(Fault::FirstPolicyWins) => isolating.truncate(1),
            Some(Fault::LastCreatedWins) => {
                isolating.sort_by_key(|compiled| self.perceived.created.get(&compiled.policy.name));
                isolating = isolating.split_off(isolating.len().saturating_sub(1));
            }
            _ => {}
        }
        let mut rules = self.shortcuts(pod, direction, &isolating);
        let per_policy: Vec<Vec<Rule>> =
            isolating.iter().map(|compiled| self.rules_of(compiled, pod, direction, &isolating)).collect();
        if self.has(Fault::PoliciesIntersect) {
            rules.extend(intersection(per_policy));
        } else {
            rules.extend(per_policy.into_iter().flatten());
        }
        rules.push(Rule { when: Vec::new(), then: Action::Deny });
        Some(Chain(rules))
    }

    /// Rules that a fault puts before those of all policies.
    fn shortcuts(&self, pod: &Pod, direction: Direction, isolating: &[&Compiled<'_>]) -> Vec<Rule> {
        let translated = |then| vec![Rule { when: vec![Match::Translated], then }];
        let mut rules = Vec::new();
        let mut allow = |addresses: Addresses| {
            let peers = Peers::Some { all: addresses, pods: Vec::new() };
            self.allow(&mut rules, &peers, pod, direction, &[]);
        };
        match (self.fault, direction) {
            (Some(Fault::ExceptIsDeny), _) => rules = self.denied_exceptions(isolating, pod, direction),
            (Some(Fault::OnlyTcpPoliced), _) => rules.push(unpoliced(Protocol::Udp)),
            (Some(Fault::OnlyUdpPoliced), _) => rules.push(unpoliced(Protocol::Tcp)),
            (Some(Fault::DnsExempt), Direction::Egress) => {
                for protocol in [Protocol::Udp, Protocol::Tcp] {
                    let when = vec![Match::Protocol(protocol), Match::Port(53, 53)];
                    rules.push(Rule { when, then: Action::Allow });
                }
            }
            (Some(Fault::ServiceEgressUnpoliced), Direction::Egress)
            | (Some(Fault::ServiceIngressUnpoliced), Direction::Ingress) => rules = translated(Action::Allow),
            (Some(Fault::ServiceBeforeTranslation), Direction::Egress) => rules = translated(Action::Deny),
            (Some(Fault::OutsideUnpoliced), Direction::Egress) => {
                let mut outside = Addresses::all();
                outside.remove_all(&networks(&address::pods_and_services()));
                allow(outside);
            }
            (Some(Fault::NodesExempt), Direction::Ingress) => {
                let mut nodes = Addresses::default();
                self.nodes.iter().flatten().for_each(|address| nodes.add(*address));
                allow(nodes);
            }
            _ => {}
        }
        rules
    }

    /// Whether a policy applies to a pod and isolates it in a direction (semantics 11 to 13).
    fn isolates(&self, policy: &NetworkPolicy, pod: &Pod, direction: Direction) -> bool {
        let name = &policy.name;
        if name.namespace != pod.name.namespace && !self.has(Fault::PolicyEverywhere) {
            return false;
        }
        let labels = self.labels_as_subject(pod);
        if !policy.pods.selects(labels, self.fault) && !self.selects_ghost(policy, pod)
            || self.perceived.missing_subjects.contains(&(name.clone(), pod.name.clone()))
        {
            return false;
        }
        let isolates = match self.fault {
            Some(Fault::FirstTypeOnly) => policy.types.first() == Some(&direction),
            Some(Fault::IngressIsolatesEgress) if direction == Direction::Egress => !policy.types.is_empty(),
            Some(Fault::EgressIsolatesIngress) if direction == Direction::Ingress => !policy.types.is_empty(),
            Some(Fault::SectionsAreTypes) => {
                policy.isolates(direction) || !policy.rules(direction).is_empty()
            }
            Some(Fault::EgressIgnored) if direction == Direction::Egress => false,
            Some(Fault::IngressIgnored) if direction == Direction::Ingress => false,
            _ => policy.isolates(direction),
        };
        let rules = policy.rules(direction);
        match self.fault {
            Some(Fault::EmptyPolicyIgnored) if rules.is_empty() => false,
            Some(Fault::SctpPolicyIgnored) if rules.iter().flat_map(|rule| &rule.ports).any(is_sctp) => false,
            _ => isolates,
        }
    }

    /// Whether a policy selects a pod that is gone and whose address this one has now.
    fn selects_ghost(&self, policy: &NetworkPolicy, pod: &Pod) -> bool {
        self.has(Fault::GonePodsStaySubjects)
            && self.perceived.ghosts.iter().any(|ghost| {
                ghost.name != pod.name
                    && ghost.name.namespace == policy.name.namespace
                    && ghost.addresses == pod.addresses
                    && policy.pods.selects(&ghost.labels, None)
            })
    }

    /// The rules of one policy, without the final deny, because policies add up (semantics 14).
    fn rules_of(
        &self,
        compiled: &Compiled<'_>,
        pod: &Pod,
        direction: Direction,
        isolating: &[&Compiled<'_>],
    ) -> Vec<Rule> {
        if !compiled.policy.isolates(direction) && !self.has(Fault::SectionsAreTypes) {
            // Only a fault makes the policy isolate in this direction, so its rules for it do not count (semantics 13).
            return Vec::new();
        }
        let peers = match direction {
            Direction::Ingress => &compiled.ingress,
            Direction::Egress => &compiled.egress,
        };
        let given = compiled.policy.rules(direction);
        let mut clauses: Vec<Clause> = given
            .iter()
            .zip(peers)
            .filter(|(rule, _)| {
                !(self.has(Fault::SameBlockOverwritten) && overwritten(rule, direction, isolating))
            })
            .map(|(rule, peers)| Clause { peers: peers.clone(), ports: self.ports(rule) })
            .collect();
        match self.fault {
            Some(Fault::FirstRuleOnly) => clauses.truncate(1),
            Some(Fault::RulesMerged) => clauses = merged(clauses).into_iter().collect(),
            _ => {}
        }
        clauses.iter().flat_map(|clause| self.rules_for(clause, pod, direction)).collect()
    }

    /// The ports of a rule, except those that a fault loses.
    fn ports(&self, rule: &PolicyRule) -> Vec<Port> {
        let mut ports = rule.ports.clone();
        match self.fault {
            Some(Fault::FourPortsPerRule) => ports.truncate(4),
            Some(Fault::RangesOverwritten) => {
                let last = ports.iter().rposition(is_range);
                let mut index = 0;
                ports.retain(|port| {
                    index += 1;
                    !is_range(port) || last == Some(index - 1)
                });
            }
            _ => {}
        }
        ports
    }

    /// The rules of one clause for one pod: one for each port and protocol, and for each number of a named port.
    fn rules_for(&self, clause: &Clause, pod: &Pod, direction: Direction) -> Vec<Rule> {
        let mut rules = Vec::new();
        if clause.ports.is_empty() {
            self.allow(&mut rules, &clause.peers, pod, direction, &[]);
        }
        for port in &clause.ports {
            for protocol in self.protocols(port) {
                self.rules_for_port(&mut rules, clause, pod, direction, port, protocol);
            }
        }
        rules
    }

    /// The protocols that a port is open for; more than one, or another one, only with a fault.
    fn protocols(&self, port: &Port) -> Vec<Protocol> {
        match self.fault {
            Some(Fault::NoProtocolIsAny) if !port.protocol_given => {
                vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            }
            Some(Fault::SctpIsTcp) if port.protocol == Protocol::Sctp => vec![Protocol::Tcp],
            _ => vec![port.protocol],
        }
    }

    fn rules_for_port(
        &self,
        rules: &mut Vec<Rule>,
        clause: &Clause,
        pod: &Pod,
        direction: Direction,
        port: &Port,
        protocol: Protocol,
    ) {
        let is_protocol = Match::Protocol(protocol);
        let range = |first, last| {
            let ports = if self.has(Fault::SourcePortCompared) {
                Match::SourcePort(first, last)
            } else {
                Match::Port(first, last)
            };
            [is_protocol.clone(), ports]
        };
        match &port.port {
            PortMatch::Any if self.has(Fault::ProtocolAloneMatchesNothing) => {}
            // semantics 17: a protocol without a port is all its ports
            PortMatch::Any => self.allow(rules, &clause.peers, pod, direction, &[is_protocol]),
            _ if self.has(Fault::PortIgnored) => {
                self.allow(rules, &clause.peers, pod, direction, &[is_protocol]);
            }
            PortMatch::Number(number) => {
                self.allow(rules, &clause.peers, pod, direction, &range(*number, *number));
            }
            // semantics 22: both ends are included
            PortMatch::Range(first, last) => {
                let last = match self.fault {
                    Some(Fault::EndPortIgnored) => *first,
                    Some(Fault::EndPortExclusive) if last > first => last - 1,
                    Some(Fault::EndPortExclusive) => return,
                    Some(Fault::EndPortOpen) => u16::MAX,
                    _ => *last,
                };
                self.allow(rules, &clause.peers, pod, direction, &range(*first, last));
            }
            PortMatch::Name(_) if self.has(Fault::NamedPortOpensProtocol) => {
                self.allow(rules, &clause.peers, pod, direction, &[is_protocol]);
            }
            PortMatch::Name(name) => {
                for (peers, number) in self.named(clause, pod, direction, name, protocol) {
                    self.allow(rules, &peers, pod, direction, &range(number, number));
                }
            }
        }
    }

    /// Resolves a named port: which number it is for which peers (semantics 19 and 20).
    fn named(
        &self,
        clause: &Clause,
        pod: &Pod,
        direction: Direction,
        name: &str,
        protocol: Protocol,
    ) -> Vec<(Peers, u16)> {
        let any_protocol = self.has(Fault::NamedPortAnyProtocol);
        let no_sidecars = self.has(Fault::SidecarPortsUnnamed);
        let numbers = |pod: &Pod| -> Vec<u16> {
            let named = |p: &&ContainerPort| {
                p.name.as_deref() == Some(name)
                    && (any_protocol || p.protocol == protocol)
                    && !(no_sidecars && p.sidecar)
            };
            pod.ports.iter().filter(named).map(|p| p.port).collect()
        };
        if self.has(Fault::NamedPortFirstNumber) {
            let first = self.perceived.view.pods.values().find_map(|pod| numbers(pod).first().copied());
            return first.map(|number| (clause.peers.clone(), number)).into_iter().collect();
        }
        if self.has(Fault::NamedPortWithoutPeer) && matches!(clause.peers, Peers::Everybody) {
            return Vec::new();
        }
        let on_pod = match direction {
            Direction::Ingress => !self.has(Fault::NamedPortOnSource),
            Direction::Egress => self.has(Fault::NamedPortOnSource),
        };
        if on_pod {
            return numbers(pod).into_iter().map(|number| (clause.peers.clone(), number)).collect();
        }
        // The name is looked up on each peer, so each number is open only for the peers that have it.
        let mut by_number: BTreeMap<u16, Vec<Arc<Pod>>> = BTreeMap::new();
        let pods = match &clause.peers {
            Peers::Everybody => self.peer_pods().cloned().collect(),
            Peers::Some { pods, .. } => pods.clone(),
        };
        for pod in pods {
            for number in numbers(&pod) {
                by_number.entry(number).or_default().push(Arc::clone(&pod));
            }
        }
        by_number
            .into_iter()
            .map(|(number, pods)| {
                let mut all = Addresses::default();
                pods.iter().flat_map(|pod| &pod.addresses).for_each(|address| all.add(*address));
                (Peers::Some { all, pods }, number)
            })
            .collect()
    }

    /// Adds the rules that allow traffic from or to the peers; `ports` are the matches for protocol and port. Sets of addresses have one
    /// family, so there is a rule for each.
    fn allow(&self, rules: &mut Vec<Rule>, peers: &Peers, pod: &Pod, direction: Direction, ports: &[Match]) {
        let then = Action::Allow;
        let mut allowing = Vec::new();
        match peers {
            Peers::Everybody => allowing.push(Rule { when: ports.to_vec(), then }),
            Peers::Some { all, .. } => {
                let side = match direction {
                    Direction::Ingress => Side::Source,
                    Direction::Egress => Side::Destination,
                };
                for kind in [Kind::V4, Kind::V6] {
                    let ranges = all.of(kind);
                    let empty = self.has(Fault::V6SetsEmpty) && kind == Kind::V6;
                    if !ranges.is_empty() && !empty {
                        let mut when = vec![Match::Peer(side, kind, Arc::new(ranges.clone()))];
                        when.extend_from_slice(ports);
                        allowing.push(Rule { when, then: then.clone() });
                    }
                }
            }
        }
        if self.has(Fault::EgressAcceptIsFinal) && direction == Direction::Egress {
            rules.extend(allowing.iter().flat_map(|rule| self.final_on_node(rule, pod)));
        }
        rules.extend(allowing);
    }

    /// Resolves the peers of a rule to addresses, and to the pods among them.
    fn peers(&self, policy: &NetworkPolicy, rule: &PolicyRule) -> Peers {
        if rule.peers.is_empty() {
            // semantics 4: no peers match everybody
            return if self.has(Fault::EmptyPeersDeny) && rule.peers_given {
                Peers::Some { all: Addresses::default(), pods: Vec::new() }
            } else {
                Peers::Everybody
            };
        }
        let mut all = Addresses::default();
        let mut pods = Vec::new();
        for peer in &rule.peers {
            match peer {
                Peer::Pods { namespaces, pods: selector } => {
                    if self.has(Fault::NegatedNamespacesMatchOutside)
                        && namespaces.as_ref().is_some_and(Selector::only_excludes)
                    {
                        let mut outside = Addresses::all();
                        outside.remove_all(&networks(&address::pods_and_services()));
                        all.add_all(&outside);
                    }
                    for pod in self.peer_pods() {
                        let missing =
                            self.perceived.missing_peers.contains(&(policy.name.clone(), pod.name.clone()));
                        if !missing && self.is_peer(policy, namespaces.as_ref(), selector.as_ref(), pod) {
                            pod.addresses.iter().for_each(|address| all.add(*address));
                            pods.push(Arc::clone(pod));
                        }
                    }
                    let everywhere = namespaces.as_ref().is_some_and(Selector::is_empty)
                        && selector.as_ref().is_none_or(Selector::is_empty);
                    if self.has(Fault::SelectorsMatchOutside) && everywhere {
                        all.add_all(&Addresses::all());
                    }
                }
                Peer::Block { had_host_bits: true, .. } if self.has(Fault::HostBitsMatchNothing) => {}
                Peer::Block { network, .. } if self.has(Fault::ExceptionsSharedByNetwork) => {
                    all.add_all(&self.block(*network, &exceptions(policy, *network)));
                }
                Peer::Block { network, except, .. } => all.add_all(&self.block(*network, except)),
            }
        }
        if self.has(Fault::ExceptionsCloseTheRule) {
            for peer in &rule.peers {
                if let Peer::Block { except, .. } = peer {
                    all.remove_all(&networks(except));
                }
            }
        }
        if all.is_empty() && self.has(Fault::NobodyIsAny) {
            return Peers::Everybody;
        }
        Peers::Some { all, pods }
    }

    /// The addresses of an ipBlock.
    fn block(&self, network: ipnet::IpNet, except: &[ipnet::IpNet]) -> Addresses {
        let mut block = Addresses::default();
        block.add_network(network);
        if self.has(Fault::V4BlockOpensV6) && network.prefix_len() == 0 && except.is_empty() {
            block.add_all(&Addresses::all());
        }
        if !self.has(Fault::ExceptIgnored) {
            // semantics 25: an exception narrows the block, and denies nothing.
            block.remove_all(&networks(except));
        }
        if self.has(Fault::BlockMissesPods) {
            block.remove_all(&self.pod_addresses());
        }
        block
    }

    fn pod_addresses(&self) -> Addresses {
        let mut pods = Addresses::default();
        let addresses = self.perceived.view.pods.values().flat_map(|pod| &pod.addresses);
        addresses.for_each(|address| pods.add(*address));
        pods
    }

    /// Pods that selectors can match; pods on their node's network are not among them (semantics 39).
    fn peer_pods(&self) -> impl Iterator<Item = &'a Arc<Pod>> {
        let with_host = self.has(Fault::HostPodsInSets);
        let pods = self.perceived.view.pods.values().filter(move |pod| with_host || !pod.host_network);
        let ghosts: &[_] = if self.has(Fault::GonePodsStaySubjects) { &[] } else { &self.perceived.ghosts };
        pods.chain(ghosts)
    }

    /// Whether a pod is a peer by these selectors, of which at least one is given.
    fn is_peer(
        &self,
        policy: &NetworkPolicy,
        namespaces: Option<&Selector>,
        pods: Option<&Selector>,
        pod: &Pod,
    ) -> bool {
        let own = policy.name.namespace == pod.name.namespace;
        let of_namespace = self.namespace_labels(&pod.name.namespace);
        let of_pod = self.labels_as_peer(pod);
        let in_namespace = namespaces.map(|selector| match self.fault {
            Some(Fault::NamespacePeersOwn) if selector.is_empty() => own,
            _ => selector.selects(of_namespace, self.fault),
        });
        let is_pod = pods.map(|selector| selector.selects(of_pod, self.fault));
        match (in_namespace, is_pod) {
            (Some(in_namespace), Some(is_pod)) => match self.fault {
                Some(Fault::NamespaceOrPod) => in_namespace || is_pod,
                Some(Fault::PodHalfIgnored) => in_namespace,
                Some(Fault::NamespaceHalfIgnored) => is_pod && own,
                // semantics 9: both selectors must match
                _ => in_namespace && is_pod,
            },
            // semantics 7 and 8: a namespace selector alone selects all pods of its namespaces
            (Some(in_namespace), None) => in_namespace,
            // semantics 6: a pod selector alone selects pods of the policy's namespace
            (None, is_pod) => is_pod == Some(true) && (own || self.has(Fault::PodPeersAnywhere)),
        }
    }

    /// A copy of a rule for packets to pods of the same node, which accepts them without any further rule (for faults).
    fn final_on_node(&self, rule: &Rule, pod: &Pod) -> Vec<Rule> {
        let named = rule.when.iter().find_map(|part| match part {
            Match::Peer(_, kind, _) => Some(*kind),
            _ => None,
        });
        let kinds = [Kind::V4, Kind::V6].into_iter().filter(|kind| named.is_none_or(|named| named == *kind));
        let on_node = |kind| {
            let mut when = vec![self.to_own_node(pod, kind)?];
            when.extend_from_slice(&rule.when);
            Some(Rule { when, then: Action::Accept })
        };
        kinds.filter_map(on_node).collect()
    }

    /// Matches packets to pods of a pod's own node; `None` if these have no address of that kind.
    fn to_own_node(&self, pod: &Pod, kind: Kind) -> Option<Match> {
        let mut there = Addresses::default();
        let pods = self.perceived.view.pods.values().filter(|other| other.node == pod.node);
        pods.flat_map(|pod| &pod.addresses).for_each(|address| there.add(*address));
        let ranges = there.of(kind);
        (!ranges.is_empty()).then(|| Match::Peer(Side::Destination, kind, Arc::new(ranges.clone())))
    }

    /// For a fault: rules that deny every address in an exception.
    fn denied_exceptions(&self, isolating: &[&Compiled<'_>], pod: &Pod, direction: Direction) -> Vec<Rule> {
        let mut denied = Addresses::default();
        for rule in isolating.iter().flat_map(|compiled| compiled.policy.rules(direction)) {
            for peer in &rule.peers {
                if let Peer::Block { except, .. } = peer {
                    denied.add_all(&networks(except));
                }
            }
        }
        let mut rules = Vec::new();
        self.allow(&mut rules, &Peers::Some { all: denied, pods: Vec::new() }, pod, direction, &[]);
        for rule in &mut rules {
            rule.then = Action::Deny;
        }
        rules
    }
}

fn unpoliced(protocol: Protocol) -> Rule {
    Rule { when: vec![Match::Protocol(protocol)], then: Action::Allow }
}

fn is_sctp(port: &Port) -> bool {
    port.protocol == Protocol::Sctp
}

fn is_range(port: &Port) -> bool {
    matches!(port.port, PortMatch::Range(..))
}

fn networks(list: &[ipnet::IpNet]) -> Addresses {
    let mut addresses = Addresses::default();
    for network in list {
        addresses.add_network(*network);
    }
    addresses
}

/// All exceptions that a policy has from a network, in any of its rules.
fn exceptions(policy: &NetworkPolicy, from: ipnet::IpNet) -> Vec<ipnet::IpNet> {
    let peers = policy.ingress.iter().chain(&policy.egress).flat_map(|rule| &rule.peers);
    let of_it = peers.filter_map(|peer| match peer {
        Peer::Block { network, except, .. } if from == *network => Some(except),
        _ => None,
    });
    of_it.flatten().copied().collect()
}

/// Whether a later rule of the same direction has one of this rule's blocks.
fn overwritten(rule: &PolicyRule, direction: Direction, isolating: &[&Compiled<'_>]) -> bool {
    let blocks = |rule: &PolicyRule| -> Vec<ipnet::IpNet> {
        let blocks = rule.peers.iter().filter_map(|peer| match peer {
            Peer::Block { network, .. } => Some(*network),
            Peer::Pods { .. } => None,
        });
        blocks.collect()
    };
    let own = blocks(rule);
    let mut later = isolating.iter().flat_map(|compiled| compiled.policy.rules(direction));
    later.by_ref().find(|other| std::ptr::eq(*other, rule));
    later.any(|other| blocks(other).iter().any(|block| own.contains(block)))
}

/// One clause with all peers and all ports of the clauses.
fn merged(clauses: Vec<Clause>) -> Option<Clause> {
    let mut rest = clauses.into_iter();
    let mut sum = rest.next()?;
    for clause in rest {
        sum.peers = match (sum.peers, clause.peers) {
            (Peers::Some { mut all, mut pods }, Peers::Some { all: more, pods: others }) => {
                all.add_all(&more);
                pods.extend(others);
                Peers::Some { all, pods }
            }
            _ => Peers::Everybody,
        };
        if sum.ports.is_empty() || clause.ports.is_empty() {
            sum.ports.clear();
        } else {
            sum.ports.extend(clause.ports);
        }
    }
    Some(sum)
}

/// The rules if every policy must allow, as one fault wants it: all combinations of one rule from each policy.
fn intersection(policies: Vec<Vec<Rule>>) -> Vec<Rule> {
    policies.into_iter().fold(vec![Rule { when: Vec::new(), then: Action::Allow }], |all, next| {
        let both = |one: &Rule, other: &Rule| Rule {
            when: one.when.iter().chain(&other.when).cloned().collect(),
            then: Action::Allow,
        };
        all.iter().flat_map(|one| next.iter().map(move |other| both(one, other))).collect()
    })
}
