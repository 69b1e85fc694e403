//! Policies of the cluster's administrator: `ClusterNetworkPolicy` (policy.networking.k8s.io v1alpha2, v1beta1), and the
//! v1alpha1 kinds that it replaced.
//!
//! It reads what an API server accepted; what one rejects is found by [`super::validate`](mod@super::validate).

use super::{
    network::Network,
    read::{PolicyError, PortRule, elements, network, protocol},
    world::Protocol,
};
use crate::selector::Selector;
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
    /// From 0 to 1000; the lowest goes first.
    pub priority: u32,
    /// The namespaces of the pods that it is about.
    pub namespaces: Selector,
    /// Those of their pods that it is about.
    pub pods: Selector,
    /// Rules for ingress, in order; none leaves ingress alone.
    pub ingress: Vec<TierRule>,
    /// Rules for egress, in order; none leaves egress alone.
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

/// Where a policy stands.
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
    /// It passes this direction, whatever follows.
    Accept,
    /// It is dropped, whatever follows.
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
    /// Pods of the namespaces that the first selects; those of them that the second selects.
    Pods(Selector, Selector),
    /// Addresses, those of pods included.
    Networks(Vec<Network>),
    /// The addresses of nodes with these labels.
    Nodes(Selector),
    /// The addresses of domain names.
    Domains(Vec<String>),
    /// A field that this API version does not know: `Accept` matches nothing, everything else denies all.
    Unknown,
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
        let (namespaces, pods) = pods_of(&spec["subject"]).ok_or(PolicyError::Field("subject"))??;
        let rules = |direction: &str, peers: &str| -> Result<Vec<TierRule>, PolicyError> {
            elements(&spec[direction], "ingress or egress")?
                .iter()
                .map(|rule| TierRule::from_json(rule, peers))
                .collect()
        };
        Ok(Self {
            kind,
            name: manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            tier,
            priority,
            namespaces,
            pods,
            ingress: rules("ingress", "from")?,
            egress: rules("egress", "to")?,
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
        if let Some(pods) = pods_of(peer) {
            let (namespaces, pods) = pods?;
            return Ok(Self::Pods(namespaces, pods));
        }
        if !peer["networks"].is_null() {
            let blocks = elements(&peer["networks"], "networks")?;
            return Ok(Self::Networks(blocks.iter().map(network).collect::<Result<_, _>>()?));
        }
        if !peer["nodes"].is_null() {
            return Ok(Self::Nodes(Selector::from_json(&peer["nodes"])?));
        }
        if !peer["domainNames"].is_null() {
            let names = elements(&peer["domainNames"], "domainNames")?;
            return Ok(Self::Domains(names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect()));
        }
        Ok(Self::Unknown)
    }
}

/// The pods of `namespaces` or `pods`, if one of them is there.
fn pods_of(value: &Value) -> Option<Result<(Selector, Selector), PolicyError>> {
    let read =
        |namespaces: &Value, pods: &Value| Ok((Selector::from_json(namespaces)?, Selector::from_json(pods)?));
    let pods = &value["pods"];
    match (value["namespaces"].is_null(), pods.is_null()) {
        (false, _) => Some(read(&value["namespaces"], &Value::Null)),
        (true, false) => Some(read(&pods["namespaceSelector"], &pods["podSelector"])),
        (true, true) => None,
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
