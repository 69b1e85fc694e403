//! Policies of the cluster's administrator: `ClusterNetworkPolicy` (policy.networking.k8s.io v1alpha2, v1beta1), and the
//! v1alpha1 kinds that it replaced.
//!
//! This reads what an API server accepted. [`super::validate`](mod@super::validate) finds what an API server rejects.

use super::{
    block::Network,
    facts::Protocol,
    network_policy::{PolicyError, PortRule, elements, network, protocol},
    validate::is_valid_selector,
};
use crate::scenario::selector::Selector;
use serde_json::Value;

/// A policy of the cluster's administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Its kind.
    pub kind: ClusterKind,
    /// Its name.
    pub name: String,
    /// Before or after the policies of namespaces.
    pub tier: Tier,
    /// From 0 to 1000; the lowest has precedence.
    pub priority: u32,
    /// The namespaces of the pods that it applies to.
    pub namespaces: Selector,
    /// Which of their pods it applies to.
    pub pods: Selector,
    /// Rules for ingress, in order; without any, it does not affect ingress.
    pub ingress: Vec<TierRule>,
    /// Rules for egress, in order; without any, it does not affect egress.
    pub egress: Vec<TierRule>,
}

/// The kinds of the API group `policy.networking.k8s.io`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterKind {
    /// `ClusterNetworkPolicy`.
    ClusterNetworkPolicy,
    /// `AdminNetworkPolicy` (v1alpha1): the tier before.
    AdminNetworkPolicy,
    /// `BaselineAdminNetworkPolicy` (v1alpha1): the tier after.
    BaselineAdminNetworkPolicy,
}

/// When a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Before the policies of namespaces.
    Admin,
    /// After them, for pods that none of them selects.
    Baseline,
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is allowed in this direction, whatever follows.
    Accept,
    /// It is denied, whatever follows.
    Deny,
    /// The rest of the tier is skipped.
    Pass,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierRule {
    /// `name`, if it has one.
    pub name: Option<String>,
    /// What it does.
    pub action: Action,
    /// Whom it is about; never empty.
    pub peers: Vec<TierPeer>,
    /// Empty for everything.
    pub ports: Vec<PortRule>,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierPeer {
    /// Pods of namespaces: the first selects the namespaces, the second selects pods in them.
    Pods(Selector, Selector),
    /// Addresses, including those of pods.
    Networks(Vec<Network>),
    /// The addresses of nodes with these labels.
    Nodes(Selector),
    /// The addresses of domain names.
    Domains(Vec<String>),
    /// A field that this API version does not know: `Accept` matches nothing, every other action denies everything.
    Unknown,
    /// A selector that is not valid, which the API server accepted without looking into it.
    Unclear,
}

impl ClusterKind {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::AdminNetworkPolicy => "AdminNetworkPolicy",
            Self::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::ClusterNetworkPolicy, Self::AdminNetworkPolicy, Self::BaselineAdminNetworkPolicy]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl Action {
    /// As `ClusterNetworkPolicy` writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "Accept",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        }
    }
}

impl ClusterPolicy {
    /// Reads a manifest of one of the kinds of the group.
    pub fn from_json(manifest: &Value) -> Result<Self, PolicyError> {
        let manifest = &without_nulls(manifest);
        let kind =
            manifest["kind"].as_str().and_then(ClusterKind::named).ok_or(PolicyError::Field("kind"))?;
        let spec = &manifest["spec"];
        let tier = match (kind, spec["tier"].as_str()) {
            (ClusterKind::AdminNetworkPolicy, _) | (ClusterKind::ClusterNetworkPolicy, Some("Admin")) => {
                Tier::Admin
            }
            (ClusterKind::BaselineAdminNetworkPolicy, _) | (_, Some("Baseline")) => Tier::Baseline,
            _ => return Err(PolicyError::Field("tier")),
        };
        let priority = match (&spec["priority"], kind) {
            (_, ClusterKind::BaselineAdminNetworkPolicy) => 0,
            (value, _) => value
                .as_u64()
                .and_then(|value| u32::try_from(value).ok())
                .filter(|value| *value <= 1000)
                .ok_or(PolicyError::Field("priority"))?,
        };
        let subject = match pods_of(&spec["subject"]) {
            Chosen::Pods(namespaces, pods) => Some((namespaces, pods)),
            Chosen::Unclear => None,
            Chosen::Nothing => return Err(PolicyError::Field("subject")),
        };
        let rules = |direction: &str, peers: &str| -> Result<Vec<TierRule>, PolicyError> {
            elements(&spec[direction], "ingress or egress")?
                .iter()
                .map(|rule| {
                    let mut rule = TierRule::from_json(rule, peers)?;
                    if subject.is_none() {
                        // Nobody knows which pods the policy is about, so each of its rules may be about any pod.
                        rule.peers = vec![TierPeer::Unclear];
                    }
                    Ok(rule)
                })
                .collect()
        };
        let (ingress, egress) = (rules("ingress", "from")?, rules("egress", "to")?);
        let (namespaces, pods) = subject.unwrap_or_default();
        Ok(Self {
            kind,
            name: manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            tier,
            priority,
            namespaces,
            pods,
            ingress,
            egress,
        })
    }
}

impl TierRule {
    fn from_json(rule: &Value, peers: &str) -> Result<Self, PolicyError> {
        let action = match rule["action"].as_str() {
            Some("Accept" | "Allow") => Action::Accept,
            Some("Deny") => Action::Deny,
            Some("Pass") => Action::Pass,
            _ => return Err(PolicyError::Field("action")),
        };
        let peers = elements(&rule[peers], "from or to")?
            .iter()
            .map(TierPeer::from_json)
            .collect::<Result<Vec<_>, _>>()?;
        if peers.is_empty() {
            return Err(PolicyError::Field("from or to"));
        }
        let protocols = elements(&rule["protocols"], "protocols")?.iter().map(protocol_entry);
        let ports = elements(&rule["ports"], "ports")?.iter().map(admin_port);
        Ok(Self {
            name: rule["name"].as_str().map(str::to_owned),
            action,
            peers,
            ports: protocols.chain(ports).collect::<Result<_, _>>()?,
        })
    }
}

impl TierPeer {
    fn from_json(peer: &Value) -> Result<Self, PolicyError> {
        match pods_of(peer) {
            Chosen::Pods(namespaces, pods) => return Ok(Self::Pods(namespaces, pods)),
            Chosen::Unclear => return Ok(Self::Unclear),
            Chosen::Nothing => {}
        }
        if !peer["networks"].is_null() {
            let blocks = elements(&peer["networks"], "networks")?;
            return Ok(Self::Networks(blocks.iter().map(network).collect::<Result<_, _>>()?));
        }
        if !peer["nodes"].is_null() {
            return Ok(selector(&peer["nodes"]).map_or(Self::Unclear, Self::Nodes));
        }
        if !peer["domainNames"].is_null() {
            let names = elements(&peer["domainNames"], "domainNames")?;
            return Ok(Self::Domains(names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect()));
        }
        Ok(Self::Unknown)
    }
}

/// Pods of a subject or a peer.
enum Chosen {
    /// Namespaces, and pods in them.
    Pods(Selector, Selector),
    /// By a selector that is not valid.
    Unclear,
    /// It is not about pods.
    Nothing,
}

/// The pods of `namespaces` or `pods`, if one of them is there.
fn pods_of(value: &Value) -> Chosen {
    let pods = &value["pods"];
    let chosen = match (value["namespaces"].is_null(), pods.is_null()) {
        (false, _) => selector(&value["namespaces"]).zip(Some(Selector::default())),
        (true, false) => selector(&pods["namespaceSelector"]).zip(selector(&pods["podSelector"])),
        (true, true) => return Chosen::Nothing,
    };
    chosen.map_or(Chosen::Unclear, |(namespaces, pods)| Chosen::Pods(namespaces, pods))
}

/// A selector of a custom resource, which no API server has checked; `None` if it is not valid.
fn selector(value: &Value) -> Option<Selector> {
    if is_valid_selector(value) { Selector::from_json(value).ok() } else { None }
}

/// A custom resource without its null fields: the API server drops them (`PruneNonNullableNullsWithoutDefaults`).
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// An entry of `protocols` of a `ClusterNetworkPolicy`.
fn protocol_entry(entry: &Value) -> Result<PortRule, PolicyError> {
    if let Some(name) = entry["destinationNamedPort"].as_str() {
        return Ok(PortRule::Name(name.to_owned()));
    }
    for (field, protocol) in [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)] {
        if entry[field].is_null() {
            continue;
        }
        let port = &entry[field]["destinationPort"];
        return if port.is_null() {
            Ok(PortRule::All(protocol))
        } else if port["range"].is_null() {
            let number = number(&port["number"])?;
            Ok(PortRule::Range(protocol, number, number))
        } else {
            Ok(PortRule::Range(protocol, number(&port["range"]["start"])?, number(&port["range"]["end"])?))
        };
    }
    Err(PolicyError::Field("protocols"))
}

/// An entry of `ports` of the v1alpha1 kinds.
fn admin_port(entry: &Value) -> Result<PortRule, PolicyError> {
    if let Some(name) = entry["namedPort"].as_str() {
        return Ok(PortRule::Name(name.to_owned()));
    }
    let (one, range) = (&entry["portNumber"], &entry["portRange"]);
    match (one.is_null(), range.is_null()) {
        (false, _) => {
            let number = number(&one["port"])?;
            Ok(PortRule::Range(protocol(&one["protocol"])?, number, number))
        }
        (true, false) => Ok(PortRule::Range(
            protocol(&range["protocol"])?,
            number(&range["start"])?,
            number(&range["end"])?,
        )),
        (true, true) => Err(PolicyError::Field("ports")),
    }
}

fn number(value: &Value) -> Result<u16, PolicyError> {
    value.as_u64().and_then(|number| u16::try_from(number).ok()).ok_or(PolicyError::Field("ports"))
}
