//! Why an answer is what it is: the policies that apply at each end, and what each of their rules lacked.

use super::{
    answer::{Holds, Reading, is_loopback},
    cluster_policy::{Action, Tier, TierPeer, TierRule},
    facts::{Answer, Ask, End, Gap, Protocol},
    network_policy::{Peer, PortRule, Rule},
    oracle::{Direction, Oracle, Situation, Spot},
};
use crate::scenario::selector::Selector;
use std::fmt;

/// The reason of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// The answer.
    pub answer: Answer,
    /// Whether it is a connection of a pod to itself, which no policy can block.
    pub itself: bool,
    /// The source, then the destination; an end that is not a pod has no policies.
    pub sides: Vec<Side>,
}

/// One end's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Which direction its policies are about.
    pub direction: Direction,
    /// The pod.
    pub pod: String,
    /// What this end says.
    pub answer: Answer,
    /// What decided it.
    pub decided: Decided,
    /// The policies that were asked, in the order in which they count, with each of their rules.
    pub asked: Vec<Asked>,
}

/// What decided at one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// No policy applies to the pod in this direction.
    Free,
    /// A rule of a policy of the namespace lets it through.
    Rule(RuleName),
    /// A rule of a cluster policy accepts or denies it.
    TierRule(RuleName, Action),
    /// Policies isolate the pod, and no rule of theirs matches.
    Isolated(Vec<PolicyName>),
    /// Traffic from the pod's own node is always let in.
    OwnNode,
    /// It is left open.
    Open(Gap),
}

/// A policy that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which one.
    pub policy: PolicyName,
    /// Its rules for the direction, as far as they were asked.
    pub rules: Vec<AskedRule>,
}

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRule {
    /// Which one.
    pub name: RuleName,
    /// Whether it holds.
    pub holds: Holds,
    /// What it then does; `None` for a rule of a namespace's policy, which allows.
    pub action: Option<Action>,
    /// Whom and what it is about.
    pub about: String,
    /// Why it does not hold, each as a clause; of several peers, what the nearest one lacks.
    pub lacks: Vec<String>,
    /// How far it is from holding, for comparison only.
    distance: usize,
}

/// Identifies a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyName {
    /// `NetworkPolicy`, `ClusterNetworkPolicy` …
    pub kind: &'static str,
    /// `None` for a cluster policy.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// Identifies a rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleName {
    /// The policy.
    pub policy: PolicyName,
    /// In which list of the policy it is.
    pub direction: Direction,
    /// Its place there, from 0.
    pub index: usize,
}

impl RuleName {
    /// The path of its field in the manifest: `spec.ingress[0]`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("spec.{}[{}]", self.direction.as_str(), self.index)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Shows it as people count: from 1.
impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} rule {}", self.policy, self.direction.as_str(), self.index + 1)
    }
}

impl Derivation {
    /// The end that denies, if one does.
    #[must_use]
    pub fn denying(&self) -> Option<&Side> {
        self.sides.iter().find(|side| side.answer == Answer::Deny)
    }

    /// The rules that decide: those that allow the connection, or the one that denies it.
    pub fn deciding_rules(&self) -> impl Iterator<Item = &RuleName> {
        let relevant = |side: &&Side| self.answer != Answer::Deny || side.answer == Answer::Deny;
        self.sides.iter().filter(relevant).filter_map(|side| match &side.decided {
            Decided::Rule(rule) | Decided::TierRule(rule, _) => Some(rule),
            _ => None,
        })
    }

    /// The policies that decide because none of their rules matches.
    pub fn isolating(&self) -> impl Iterator<Item = &PolicyName> {
        self.sides.iter().filter(|side| side.answer == Answer::Deny).flat_map(|side| match &side.decided {
            Decided::Isolated(policies) => &policies[..],
            _ => &[],
        })
    }

    /// The rule that came nearest to letting a denied flow through.
    #[must_use]
    pub fn nearest(&self) -> Option<&AskedRule> {
        let side = self.denying()?;
        let lets = |rule: &&AskedRule| rule.action.is_none_or(|action| action == Action::Accept);
        let rules = side.asked.iter().flat_map(|asked| &asked.rules).filter(lets);
        rules.filter(|rule| rule.holds == Holds::No).min_by_key(|rule| rule.distance)
    }

    /// The reason in one clause: `NetworkPolicy data/postgres, ingress rule 1 lets it in`.
    #[must_use]
    pub fn clause(&self) -> String {
        if self.itself {
            return "no policy can keep a pod from itself".to_owned();
        }
        if let Some(side) = self.denying() {
            return side.clause();
        }
        if let Answer::Unspecified(gap) = self.answer {
            return gap.text().to_owned();
        }
        let decided: Vec<String> =
            self.sides.iter().filter(|side| side.decided != Decided::Free).map(Side::clause).collect();
        if decided.is_empty() { "no policy applies to either end".to_owned() } else { decided.join("; ") }
    }
}

impl Side {
    /// This end's part in one clause.
    #[must_use]
    pub fn clause(&self) -> String {
        let (pod, direction) = (&self.pod, self.direction.as_str());
        match &self.decided {
            Decided::Free => format!("no policy applies to {pod} for {direction}"),
            Decided::Rule(rule) | Decided::TierRule(rule, Action::Accept) => {
                format!("{rule} lets it {}", if self.direction == Direction::Ingress { "in" } else { "out" })
            }
            Decided::TierRule(rule, action) => {
                format!("{rule} {}", if *action == Action::Pass { "passes it on" } else { "denies it" })
            }
            Decided::Isolated(policies) => {
                let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
                let (isolate, theirs) = if names.len() == 1 {
                    ("isolates", "no rule of it")
                } else {
                    ("isolate", "none of their rules")
                };
                format!("{} {isolate} {pod} for {direction}, and {theirs} matches", names.join(" and "))
            }
            Decided::OwnNode => format!("traffic from its own node always reaches {pod}"),
            Decided::Open(gap) => gap.text().to_owned(),
        }
    }
}

impl Oracle<'_> {
    /// Says what the policies mean for a connection, and why. The answer is that of [`judge`](Self::judge).
    #[must_use]
    pub fn derive(&self, ask: &Ask) -> Derivation {
        let answer = self.judge(ask);
        let as_node = self.situation(ask, Reading::AsNode);
        // If the readings differ, the rarer one shows what could deny the connection.
        let now = match answer {
            Answer::Unspecified(Gap::HostNetwork) => self.situation(ask, Reading::AsPod),
            _ => as_node,
        };
        if is_loopback(&now) {
            return Derivation { answer, itself: true, sides: Vec::new() };
        }
        let sides = Direction::BOTH.into_iter().filter_map(|direction| self.derive_side(direction, &now));
        Derivation { answer, itself: false, sides: sides.collect() }
    }

    fn derive_side(&self, direction: Direction, now: &Situation) -> Option<Side> {
        let index = now.subject(direction).pod?;
        let subject = self.subject(index);
        let mut asked = Vec::new();
        let answer = self.side(direction, now);
        let mut decided = self.ask_tier(&subject.admin, Tier::Admin, direction, now, &mut asked);
        if decided.is_none() {
            decided = match self.namespaced(direction, index, now) {
                Some(answer) => Some(self.ask_namespace(index, direction, answer, now, &mut asked)),
                None => self.ask_tier(&subject.baseline, Tier::Baseline, direction, now, &mut asked),
            };
        }
        let decided = match answer {
            Answer::Unspecified(gap) => Decided::Open(gap),
            _ => decided.unwrap_or(Decided::Free),
        };
        Some(Side { direction, pod: self.pod(index).name.to_string(), answer, decided, asked })
    }

    fn ask_namespace(
        &self,
        pod: usize,
        direction: Direction,
        answer: Answer,
        now: &Situation,
        asked: &mut Vec<Asked>,
    ) -> Decided {
        let mut letting = None;
        let mut isolating = Vec::new();
        for index in &self.subject(pod).isolating[direction as usize] {
            let policy = &self.cluster.policies[*index];
            let name = PolicyName {
                kind: "NetworkPolicy",
                namespace: Some(policy.name.namespace.clone()),
                name: policy.name.name.clone(),
            };
            let rules = policy.rules(direction).unwrap_or_default().iter().enumerate().map(|(at, rule)| {
                let name = RuleName { policy: name.clone(), direction, index: at };
                let holds = self.holds(direction, [*index, at], rule, now);
                if holds == Holds::Yes {
                    letting.get_or_insert_with(|| name.clone());
                }
                self.asked_rule(name, holds, [*index, at], rule, now)
            });
            let rules = rules.collect();
            isolating.push(name.clone());
            asked.push(Asked { policy: name, rules });
        }
        match (answer, letting) {
            (Answer::Allow, Some(rule)) => Decided::Rule(rule),
            (Answer::Allow, None) => Decided::OwnNode,
            (Answer::Deny, _) => Decided::Isolated(isolating),
            (Answer::Unspecified(gap), _) => Decided::Open(gap),
        }
    }

    fn asked_rule(
        &self,
        name: RuleName,
        holds: Holds,
        [policy, index]: [usize; 2],
        rule: &Rule,
        now: &Situation,
    ) -> AskedRule {
        let direction = name.direction;
        let (mut lacks, mut distance) = self.ports_lack(&rule.ports, now);
        let namespace = name.policy.namespace.clone().unwrap_or_default();
        let by_name = self.only_by_name(&rule.ports, now);
        let peers = rule.peers.iter().enumerate().map(|(at, peer)| {
            let holds = self.peer_holds(direction, [policy, index, at], peer, now, by_name);
            self.peer_lacks(&namespace, peer, holds, now.other(direction))
        });
        if let Some((clauses, away)) = peers.min_by_key(|(_, away)| *away) {
            lacks.extend(clauses);
            distance += away;
        }
        let peers: Vec<String> = rule.peers.iter().map(|peer| peer_text(peer, &namespace)).collect();
        let about = about(&peers, &rule.ports, direction);
        AskedRule { name, holds, action: None, about, lacks, distance }
    }

    /// Asks the policies of a tier; returns what decided, if anything did.
    fn ask_tier(
        &self,
        policies: &[usize],
        tier: Tier,
        direction: Direction,
        now: &Situation,
        asked: &mut Vec<Asked>,
    ) -> Option<Decided> {
        for index in policies {
            let policy = &self.cluster.cluster_policies[*index];
            debug_assert_eq!(policy.tier, tier, "policies are sorted by tier");
            let name = PolicyName { kind: policy.kind.as_str(), namespace: None, name: policy.name.clone() };
            let mut rules = Vec::new();
            let mut decided = None;
            for (at, rule) in policy.rules(direction).iter().enumerate() {
                let (holds, action) = self.tier_rule_holds(direction, [*index, at], rule, now);
                let rule_name = RuleName { policy: name.clone(), direction, index: at };
                rules.push(self.asked_tier_rule(rule_name.clone(), (holds, action), [*index, at], rule, now));
                if holds == Holds::Yes {
                    decided = Some((rule_name, action));
                    break;
                }
            }
            if !rules.is_empty() {
                asked.push(Asked { policy: name, rules });
            }
            match decided {
                Some((_, Action::Pass)) => return None,
                Some((rule, action)) => return Some(Decided::TierRule(rule, action)),
                None => {}
            }
        }
        None
    }

    fn asked_tier_rule(
        &self,
        name: RuleName,
        (holds, action): (Holds, Action),
        [policy, index]: [usize; 2],
        rule: &TierRule,
        now: &Situation,
    ) -> AskedRule {
        let direction = name.direction;
        let (mut lacks, mut distance) = self.ports_lack(&rule.ports, now);
        let other = now.other(direction);
        let peers = rule.peers.iter().enumerate().map(|(at, peer)| {
            if self.tier_peer_holds(direction, [policy, index, at], peer, now) != Holds::No {
                return (Vec::new(), 0);
            }
            match peer {
                TierPeer::Pods(namespaces, pods) => self.pods_lack(Some(namespaces), pods, other),
                other_kind => {
                    (vec![format!("{} is not {}", self.spot(other), tier_peer_text(other_kind))], 2)
                }
            }
        });
        if let Some((clauses, away)) = peers.min_by_key(|(_, away)| *away) {
            lacks.extend(clauses);
            distance += away;
        }
        let peers: Vec<String> = rule.peers.iter().map(tier_peer_text).collect();
        let about = about(&peers, &rule.ports, direction);
        AskedRule { name, holds, action: Some(action), about, lacks, distance }
    }

    fn ports_lack(&self, ports: &[PortRule], now: &Situation) -> (Vec<String>, usize) {
        if ports.is_empty() || ports.iter().any(|port| self.port_holds(port, now) != Holds::No) {
            return (Vec::new(), 0);
        }
        let same_protocol = ports.iter().any(|port| match port {
            PortRule::All(protocol) | PortRule::Range(protocol, ..) | PortRule::Named(protocol, _) => {
                *protocol == now.protocol
            }
            PortRule::Name(_) => true,
        });
        let open: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let goes = format!("{} {}", now.protocol.as_str(), now.port);
        (
            vec![format!("it opens {}, and the connection goes to {goes}", open.join(", "))],
            if same_protocol { 1 } else { 2 },
        )
    }

    fn peer_lacks(&self, namespace: &str, peer: &Peer, holds: Holds, other: Spot) -> (Vec<String>, usize) {
        if holds != Holds::No {
            return (Vec::new(), 0);
        }
        match peer {
            Peer::Here(pods) => {
                let (mut clauses, mut away) = self.pods_lack(None, pods, other);
                if let Some(pod) =
                    other.pod.map(|pod| self.pod(pod)).filter(|pod| pod.name.namespace != namespace)
                {
                    let elsewhere = format!(
                        "it is about pods of its own namespace {namespace}, and {} is in {}",
                        pod.name, pod.name.namespace
                    );
                    clauses.insert(0, elsewhere);
                    away += 2;
                }
                (clauses, away)
            }
            Peer::In(namespaces, pods) => self.pods_lack(Some(namespaces), pods, other),
            Peer::Block(block, except) => {
                let clause = match other.address {
                    Some(address) if block.contains(address) => {
                        let hole = except.iter().find(|hole| hole.contains(address));
                        let hole = hole.map_or(String::new(), |hole| format!(" {hole}"));
                        format!("{} is excepted from {block} by{hole}", self.spot(other))
                    }
                    _ => format!("{} is not in {block}", self.spot(other)),
                };
                (vec![clause], 2)
            }
        }
    }

    /// What the other end lacks to be one of the selected pods.
    fn pods_lack(&self, namespaces: Option<&Selector>, pods: &Selector, other: Spot) -> (Vec<String>, usize) {
        let Some(pod) = other.pod.map(|pod| self.pod(pod)) else {
            return (vec![format!("it selects pods, and {} is none", self.spot(other))], 4);
        };
        let nothing = crate::scenario::Labels::new();
        let labels = self.cluster.namespaces.get(&pod.name.namespace).unwrap_or(&nothing);
        let of_namespace = namespaces
            .into_iter()
            .flat_map(|selector| selector.missing(labels))
            .map(|missing| format!("it wants the namespace {} to have {missing}", pod.name.namespace));
        let of_pod =
            pods.missing(&pod.labels).map(|missing| format!("it wants {} to have {missing}", pod.name));
        let clauses: Vec<String> = of_namespace.chain(of_pod).collect();
        let away = clauses.len();
        (clauses, away)
    }

    /// A name for an end.
    fn spot(&self, spot: Spot) -> String {
        match (spot.pod, spot.address) {
            (Some(pod), _) => self.pod(pod).name.to_string(),
            (None, Some(address)) => match self.node_at(address) {
                Some(node) if !node.starts_with(super::facts::SOME_NODE) => format!("node {node}"),
                Some(_) => "a node".to_owned(),
                None => address.to_string(),
            },
            (None, None) => "an end without an address".to_owned(),
        }
    }

    /// A name for an end of a question.
    #[must_use]
    pub fn end_name(&self, end: End) -> String {
        match end {
            End::Pod(pod) => self.pod(pod).name.to_string(),
            End::Address(address) => self.spot(Spot { pod: None, address: Some(address) }),
        }
    }
}

/// What a rule is about: `from namespaces purpose=app, on TCP 5432`.
fn about(peers: &[String], ports: &[PortRule], direction: Direction) -> String {
    let whom = if peers.is_empty() { "anybody".to_owned() } else { peers.join(" or ") };
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let ports = if ports.is_empty() { "every port".to_owned() } else { ports.join(", ") };
    format!("{} {whom}, on {ports}", direction.peers())
}

fn peer_text(peer: &Peer, namespace: &str) -> String {
    match peer {
        Peer::Here(pods) if pods.is_everything() => format!("any pod of {namespace}"),
        Peer::Here(pods) => format!("pods {pods} of {namespace}"),
        Peer::In(namespaces, pods) => pods_text(namespaces, pods),
        Peer::Block(block, except) if except.is_empty() => block.to_string(),
        Peer::Block(block, except) => {
            let holes: Vec<String> = except.iter().map(ToString::to_string).collect();
            format!("{block} without {}", holes.join(", "))
        }
    }
}

fn pods_text(namespaces: &Selector, pods: &Selector) -> String {
    match (namespaces.is_everything(), pods.is_everything()) {
        (true, true) => "any pod".to_owned(),
        (true, false) => format!("pods {pods} of any namespace"),
        (false, true) => format!("any pod of namespaces {namespaces}"),
        (false, false) => format!("pods {pods} of namespaces {namespaces}"),
    }
}

fn tier_peer_text(peer: &TierPeer) -> String {
    match peer {
        TierPeer::Pods(namespaces, pods) => pods_text(namespaces, pods),
        TierPeer::Networks(blocks) => blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        TierPeer::Nodes(nodes) if nodes.is_everything() => "any node".to_owned(),
        TierPeer::Nodes(nodes) => format!("nodes {nodes}"),
        TierPeer::Domains(names) => names.join(" or "),
        TierPeer::Unknown => "a peer that this version does not know".to_owned(),
        TierPeer::Unclear => "a selector that is not valid".to_owned(),
    }
}

/// Shows it as `TCP 5432`, `UDP 8000-8010`, `TCP named web`.
impl fmt::Display for PortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(protocol) => write!(f, "every {} port", protocol.as_str()),
            Self::Range(protocol, first, last) if first == last => write!(f, "{} {first}", protocol.as_str()),
            Self::Range(protocol, first, last) => write!(f, "{} {first}-{last}", protocol.as_str()),
            Self::Named(protocol, name) => write!(f, "the {} port named {name}", protocol.as_str()),
            Self::Name(name) => write!(f, "the port named {name}"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
