//! NetworkPolicies from manifests.
//!
//! This reads what an API server accepted, and does not replace the API server's validation: about an invalid manifest it says
//! only that it is invalid.

use super::{block::Network, facts::Protocol};
use crate::scenario::{
    name::Qualified,
    selector::{Selector, SelectorError},
};
use serde_json::Value;

/// A NetworkPolicy (networking.k8s.io/v1), with the API's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Namespace and name.
    pub name: Qualified,
    /// The pods of its namespace that it applies to.
    pub pods: Selector,
    /// Its rules for ingress, if it isolates for ingress.
    pub ingress: Option<Vec<Rule>>,
    /// Its rules for egress, if it isolates for egress.
    pub egress: Option<Vec<Rule>>,
}

/// One rule: who, and on which ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Empty for everybody.
    pub peers: Vec<Peer>,
    /// Empty for every port of every protocol.
    pub ports: Vec<PortRule>,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Pods of the policy's namespace.
    Here(Selector),
    /// Pods of namespaces: the first selects the namespaces, the second selects pods in them.
    In(Selector, Selector),
    /// Addresses in a block, without those in the exceptions.
    Block(Network, Vec<Network>),
}

/// Which ports of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRule {
    /// All of them.
    All(Protocol),
    /// From the first to the last.
    Range(Protocol, u16, u16),
    /// Those of this name and protocol.
    Named(Protocol, String),
    /// Those of this name, whatever their protocol.
    Name(String),
}

/// Why a manifest is not a valid NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A field has a value that the API does not allow.
    #[error("'{0}' has a value that a policy cannot have")]
    Field(&'static str),
    /// A selector is wrong.
    #[error(transparent)]
    Selector(#[from] SelectorError),
}

impl NetworkPolicy {
    /// Reads a manifest.
    pub fn from_json(manifest: &Value) -> Result<Self, PolicyError> {
        let metadata = |field: &str| manifest["metadata"][field].as_str().unwrap_or_default();
        let spec = &manifest["spec"];
        let rules = |direction: &str, peers: &str| -> Result<Vec<Rule>, PolicyError> {
            elements(&spec[direction], "ingress or egress")?
                .iter()
                .map(|rule| Rule::from_json(rule, peers))
                .collect()
        };
        let (ingress, egress) = (rules("ingress", "from")?, rules("egress", "to")?);
        let types = elements(&spec["policyTypes"], "policyTypes")?;
        // Absent or empty: Ingress always, Egress if there is a rule for it (SetDefaults_NetworkPolicy).
        let names = |wanted: &str| types.iter().any(|one| one == wanted);
        let (for_ingress, for_egress) =
            if types.is_empty() { (true, !egress.is_empty()) } else { (names("Ingress"), names("Egress")) };
        Ok(Self {
            name: Qualified::new(metadata("namespace"), metadata("name")),
            pods: Selector::from_json(&spec["podSelector"])?,
            ingress: for_ingress.then_some(ingress),
            egress: for_egress.then_some(egress),
        })
    }
}

impl Rule {
    fn from_json(rule: &Value, peers: &str) -> Result<Self, PolicyError> {
        Ok(Self {
            peers: elements(&rule[peers], "from or to")?
                .iter()
                .map(Peer::from_json)
                .collect::<Result<_, _>>()?,
            ports: elements(&rule["ports"], "ports")?
                .iter()
                .map(PortRule::from_json)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Peer {
    fn from_json(peer: &Value) -> Result<Self, PolicyError> {
        let block = &peer["ipBlock"];
        match (block.is_null(), peer["namespaceSelector"].is_null(), peer["podSelector"].is_null()) {
            (false, true, true) => {
                let except = elements(&block["except"], "except")?;
                let except = except.iter().map(network).collect::<Result<_, _>>()?;
                Ok(Self::Block(network(&block["cidr"])?, except))
            }
            (true, true, false) => Ok(Self::Here(Selector::from_json(&peer["podSelector"])?)),
            (true, false, _) => Ok(Self::In(
                Selector::from_json(&peer["namespaceSelector"])?,
                Selector::from_json(&peer["podSelector"])?,
            )),
            _ => Err(PolicyError::Field("from or to")),
        }
    }
}

impl PortRule {
    fn from_json(rule: &Value) -> Result<Self, PolicyError> {
        let protocol = protocol(&rule["protocol"])?;
        let number = |value: &Value, field| {
            value.as_u64().and_then(|number| u16::try_from(number).ok()).ok_or(PolicyError::Field(field))
        };
        Ok(match &rule["port"] {
            Value::Null => Self::All(protocol),
            Value::String(name) => Self::Named(protocol, name.clone()),
            port => {
                let first = number(port, "port")?;
                let last =
                    if rule["endPort"].is_null() { first } else { number(&rule["endPort"], "endPort")? };
                Self::Range(protocol, first, last)
            }
        })
    }
}

/// A protocol as manifests write it; TCP if there is none (`SetDefaults_NetworkPolicyPort`).
pub(super) fn protocol(value: &Value) -> Result<Protocol, PolicyError> {
    match (value, value.as_str()) {
        (Value::Null, _) | (_, Some("TCP")) => Ok(Protocol::Tcp),
        (_, Some("UDP")) => Ok(Protocol::Udp),
        (_, Some("SCTP")) => Ok(Protocol::Sctp),
        _ => Err(PolicyError::Field("protocol")),
    }
}

pub(super) fn network(value: &Value) -> Result<Network, PolicyError> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or(PolicyError::Field("ipBlock"))
}

pub(super) fn elements<'a>(value: &'a Value, field: &'static str) -> Result<&'a [Value], PolicyError> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(elements) => Ok(elements),
        _ => Err(PolicyError::Field(field)),
    }
}
