//! A cluster prepared for many questions: which policies apply to which pod, and which pods each peer selects.

use super::{
    block::Network,
    cluster_policy::{ClusterPolicy, Tier, TierPeer, TierRule},
    facts::{Ask, Cluster, Connection, End, Pod, Protocol, Via},
    network_policy::{NetworkPolicy, Peer, Rule},
};
use crate::scenario::{flow::Family, selector::Selector};
use std::{collections::HashMap, net::IpAddr};

/// Answers questions about one state of a cluster; see [`judge`](Self::judge) and [`derive`](Self::derive).
///
/// Preparing it costs one comparison of every pod with every different selector; an answer then costs a few lookups.
#[derive(Debug)]
pub struct Oracle<'a> {
    pub(super) cluster: &'a Cluster,
    pods_at: HashMap<IpAddr, usize>,
    nodes_at: HashMap<IpAddr, &'a str>,
    subjects: Vec<Subject>,
    policies: Vec<[Vec<Whom>; 2]>,
    cluster_policies: Vec<[Vec<Whom>; 2]>,
}

/// The policies that apply to a pod, by index.
#[derive(Debug, Default, Clone)]
pub(super) struct Subject {
    /// Policies of its namespace that isolate it: for ingress, for egress.
    pub(super) isolating: [Vec<usize>; 2],
    /// Policies of the Admin tier, by priority.
    pub(super) admin: Vec<usize>,
    /// Policies of the Baseline tier, by priority.
    pub(super) baseline: Vec<usize>,
}

/// The pods that each peer of a rule selects; `None` for a peer that is not about pods.
type Whom = Vec<Option<PodSet>>;

/// A set of pods by index.
#[derive(Debug, Clone)]
struct PodSet(Vec<u64>);

/// The direction that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// At the destination.
    Ingress,
    /// At the source.
    Egress,
}

/// A connection with its ends looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) source: Spot,
    pub(super) destination: Spot,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) service: Option<Via>,
    /// Whether a Service leads to an address of a node, behind which a pod in the node's network may be.
    pub(super) may_be_host_pod: bool,
}

/// One end: the pod, if policies see the end as one, and the address, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) pod: Option<usize>,
    pub(super) address: Option<IpAddr>,
}

impl Direction {
    /// Both, in the order in which a connection meets them.
    pub const BOTH: [Self; 2] = [Self::Egress, Self::Ingress];

    /// The field of rules, and the word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The field of peers in a rule.
    #[must_use]
    pub fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

impl Situation {
    /// The end that policies of this direction are about.
    pub(super) fn subject(&self, direction: Direction) -> Spot {
        match direction {
            Direction::Ingress => self.destination,
            Direction::Egress => self.source,
        }
    }

    /// The end that the peers of these policies are about.
    pub(super) fn other(&self, direction: Direction) -> Spot {
        match direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        }
    }
}

impl PodSet {
    fn empty(pods: usize) -> Self {
        Self(vec![0; pods.div_ceil(64)])
    }

    fn insert(&mut self, pod: usize) {
        self.0[pod / 64] |= 1 << (pod % 64);
    }

    fn contains(&self, pod: usize) -> bool {
        self.0[pod / 64] & (1 << (pod % 64)) != 0
    }
}

impl NetworkPolicy {
    /// Its rules for a direction, if it isolates for that direction.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

impl ClusterPolicy {
    /// Its rules for a direction.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &[TierRule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// Both directions by index: that of [`Direction`] as a number.
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

impl<'a> Oracle<'a> {
    /// Prepares a cluster.
    #[must_use]
    pub fn new(cluster: &'a Cluster) -> Self {
        let mut pods_at = HashMap::new();
        let mut in_namespace: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, pod) in cluster.pods.iter().enumerate() {
            in_namespace.entry(&pod.name.namespace).or_default().push(index);
            if !pod.host_network {
                for address in &pod.addresses {
                    pods_at.entry(*address).or_insert(index);
                }
            }
        }
        let nodes_at = cluster
            .nodes
            .iter()
            .flat_map(|(name, addresses)| addresses.iter().map(|address| (*address, name.as_str())))
            .collect();
        let mut sets = Sets { cluster, in_namespace, known: Vec::new() };
        let mut subjects = vec![Subject::default(); cluster.pods.len()];
        let policies = cluster.policies.iter().enumerate().map(|(index, policy)| {
            for pod in sets.in_namespace.get(policy.name.namespace.as_str()).into_iter().flatten() {
                if policy.pods.matches(&cluster.pods[*pod].labels) {
                    for direction in DIRECTIONS {
                        if policy.rules(direction).is_some() {
                            subjects[*pod].isolating[direction as usize].push(index);
                        }
                    }
                }
            }
            DIRECTIONS.map(|direction| {
                let rules = policy.rules(direction).unwrap_or_default();
                rules.iter().map(|rule| sets.of_rule(policy, rule)).collect()
            })
        });
        let policies = policies.collect();
        let cluster_policies = cluster.cluster_policies.iter().map(|policy| {
            DIRECTIONS
                .map(|direction| policy.rules(direction).iter().map(|rule| sets.of_tier_rule(rule)).collect())
        });
        let cluster_policies = cluster_policies.collect();
        let mut by_priority: Vec<usize> = (0..cluster.cluster_policies.len()).collect();
        by_priority.sort_by_key(|index| cluster.cluster_policies[*index].priority);
        for index in by_priority {
            let policy = &cluster.cluster_policies[index];
            let about = sets.pods(&policy.namespaces, &policy.pods);
            for (pod, subject) in subjects.iter_mut().enumerate() {
                if about.contains(pod) && !cluster.pods[pod].host_network {
                    match policy.tier {
                        Tier::Admin => subject.admin.push(index),
                        Tier::Baseline => subject.baseline.push(index),
                    }
                }
            }
        }
        Self { cluster, pods_at, nodes_at, subjects, policies, cluster_policies }
    }

    /// The cluster that it was prepared from.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Looks up the addresses of a connection. A pod in its node's network counts as its node, as it does to the network.
    #[must_use]
    pub fn ask(&self, connection: &Connection) -> Ask {
        let end =
            |address: IpAddr| self.pods_at.get(&address).map_or(End::Address(address), |pod| End::Pod(*pod));
        let destination = match self.pods_at.get(&connection.destination) {
            None if connection.destination.is_loopback() => end(connection.source),
            _ => end(connection.destination),
        };
        Ask {
            source: end(connection.source),
            destination,
            family: Family::of(connection.destination),
            protocol: connection.protocol,
            port: connection.port,
            service: connection.by_service.then_some(Via { address: None, port: None }),
        }
    }

    pub(super) fn pod(&self, index: usize) -> &'a Pod {
        &self.cluster.pods[index]
    }

    pub(super) fn subject(&self, pod: usize) -> &Subject {
        &self.subjects[pod]
    }

    /// The node with an address.
    pub(super) fn node_at(&self, address: IpAddr) -> Option<&'a str> {
        self.nodes_at.get(&address).copied()
    }

    /// All addresses of nodes.
    pub(super) fn node_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.nodes_at.keys().copied()
    }

    /// Whether a peer of a rule of a namespace's policy selects a pod; `None` if the peer is not about pods.
    pub(super) fn selects(
        &self,
        direction: Direction,
        [policy, rule, peer]: [usize; 3],
        pod: Option<usize>,
    ) -> Option<bool> {
        selects(self.policies[policy][direction as usize][rule][peer].as_ref(), pod)
    }

    /// The same for a cluster policy.
    pub(super) fn tier_selects(
        &self,
        direction: Direction,
        [policy, rule, peer]: [usize; 3],
        pod: Option<usize>,
    ) -> Option<bool> {
        selects(self.cluster_policies[policy][direction as usize][rule][peer].as_ref(), pod)
    }
}

fn selects(set: Option<&PodSet>, pod: Option<usize>) -> Option<bool> {
    set.map(|set| pod.is_some_and(|pod| set.contains(pod)))
}

/// Makes sets of pods, each once.
struct Sets<'a> {
    cluster: &'a Cluster,
    in_namespace: HashMap<&'a str, Vec<usize>>,
    known: Vec<(&'a Selector, &'a Selector, PodSet)>,
}

impl<'a> Sets<'a> {
    fn of_rule(&mut self, policy: &'a NetworkPolicy, rule: &'a Rule) -> Whom {
        let set = |peer: &'a Peer| match peer {
            Peer::Here(pods) => Some(self.here(&policy.name.namespace, pods)),
            Peer::In(namespaces, pods) => Some(self.pods(namespaces, pods)),
            Peer::Block(..) => None,
        };
        rule.peers.iter().map(set).collect()
    }

    fn of_tier_rule(&mut self, rule: &'a TierRule) -> Whom {
        let set = |peer: &'a TierPeer| match peer {
            TierPeer::Pods(namespaces, pods) => Some(self.pods(namespaces, pods)),
            TierPeer::Networks(_)
            | TierPeer::Nodes(_)
            | TierPeer::Domains(_)
            | TierPeer::Unknown
            | TierPeer::Unclear => None,
        };
        rule.peers.iter().map(set).collect()
    }

    fn here(&self, namespace: &str, pods: &Selector) -> PodSet {
        let mut set = PodSet::empty(self.cluster.pods.len());
        for pod in self.in_namespace.get(namespace).into_iter().flatten() {
            if pods.matches(&self.cluster.pods[*pod].labels) {
                set.insert(*pod);
            }
        }
        set
    }

    fn pods(&mut self, namespaces: &'a Selector, pods: &'a Selector) -> PodSet {
        if let Some((.., set)) = self.known.iter().find(|(n, p, _)| *n == namespaces && *p == pods) {
            return set.clone();
        }
        let mut set = PodSet::empty(self.cluster.pods.len());
        for (namespace, inside) in &self.in_namespace {
            if self.cluster.namespaces.get(*namespace).is_some_and(|labels| namespaces.matches(labels)) {
                for pod in inside.iter().filter(|pod| pods.matches(&self.cluster.pods[**pod].labels)) {
                    set.insert(*pod);
                }
            }
        }
        self.known.push((namespaces, pods, set.clone()));
        set
    }
}

/// Whether an address is in one of several blocks, as far as that is known.
pub(super) fn within(blocks: &[Network], address: IpAddr) -> Option<bool> {
    let mut open = false;
    for block in blocks {
        match block.may_contain(address) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => open = true,
        }
    }
    (!open).then_some(false)
}
