//! Reads NetworkPolicies and rejects what the API server rejects, with the same messages.
//!
//! The source is the API's validation: `ValidateNetworkPolicy` and the label-selector validation of apimachinery.

use super::{
    policy::{Direction, NetworkPolicy, Peer, Port, PortMatch, Rule},
    selector::{Expression, Operator, Selector},
};
use crate::local::object::{Name, Protocol, Refusal};
use flowproof_core::scenario::name::is_subdomain;
use ipnet::IpNet;
use serde_json::Value;

pub(crate) use cluster::read as read_cluster;

mod cluster;

const GROUP: &str = "networking.k8s.io";
const API_VERSION: &str = "networking.k8s.io/v1";
const KIND: &str = "NetworkPolicy";
const CLUSTER_GROUP: &str = "policy.networking.k8s.io";
const CLUSTER_VERSIONS: [&str; 2] = ["policy.networking.k8s.io/v1alpha2", "policy.networking.k8s.io/v1beta1"];
const CLUSTER_KIND: &str = "ClusterNetworkPolicy";

/// Where objects of a kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Namespace,
    Cluster,
}

/// The scope of a kind; fails if the local cluster does not serve it.
pub(crate) fn scope(api_version: &str, kind: &str) -> Result<Scope, Refusal> {
    if (api_version, kind) == (API_VERSION, KIND) {
        return Ok(Scope::Namespace);
    }
    if CLUSTER_VERSIONS.contains(&api_version) && kind == CLUSTER_KIND {
        return Ok(Scope::Cluster);
    }
    Err(Refusal::Unsupported {
        what: format!(
            "the local cluster serves {KIND} ({API_VERSION}) and {CLUSTER_KIND} ({}), not {kind} ({api_version}); use --cluster kube with a cluster that does",
            CLUSTER_VERSIONS.join(", ")
        ),
    })
}

/// Reads the manifest of a NetworkPolicy.
pub(crate) fn read(manifest: &Value) -> Result<NetworkPolicy, Refusal> {
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = Name::new(text("/metadata/namespace"), text("/metadata/name"));
    let mut reader = Reader { problems: Vec::new() };
    let policy = reader.policy(name.clone(), manifest.get("spec"));
    if reader.problems.is_empty() {
        return Ok(policy);
    }
    Err(reader.refusal(&format!("{KIND} {name}"), &format!("{KIND}.{GROUP}"), &name.name))
}

/// Collects what is wrong, each with its path.
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    /// The rejection as an API server would word it.
    fn refusal(self, object: &str, resource: &str, name: &str) -> Refusal {
        let problems = match self.problems.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        Refusal::Rejected {
            object: object.to_owned(),
            message: format!("{resource} \"{name}\" is invalid: {problems}"),
        }
    }

    fn invalid(&mut self, path: &str, value: &Value, detail: &str) {
        self.problems.push(format!("{path}: Invalid value: {value}: {detail}"));
    }

    fn say(&mut self, path: &str, problem: &str) {
        self.problems.push(format!("{path}: {problem}"));
    }

    /// Reports fields that the schema does not have, and a value that is not an object. Null is the empty object.
    fn object(&mut self, path: &str, value: &Value, known: &[&str]) {
        match value {
            Value::Null => {}
            Value::Object(object) => {
                for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
                    self.say(&format!("{path}.{key}"), "field not declared in schema");
                }
            }
            other => self.invalid(path, other, "must be an object"),
        }
    }

    /// The elements of a list, each with its path. Null is the empty list.
    fn list<'a>(&mut self, path: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
        match value {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect()
            }
            other => {
                self.invalid(path, other, "must be a list");
                Vec::new()
            }
        }
    }

    fn policy(&mut self, name: Name, spec: Option<&Value>) -> NetworkPolicy {
        let spec = spec.unwrap_or(&Value::Null);
        if !is_subdomain(&name.name) {
            self.say("metadata.name", &format!("Invalid value: \"{}\": {SUBDOMAIN}", name.name));
        }
        self.object("spec", spec, &["podSelector", "ingress", "egress", "policyTypes"]);
        let pods = self.selector("spec.podSelector", &spec["podSelector"]);
        let ingress = self.rules("spec.ingress", &spec["ingress"], "from");
        let egress = self.rules("spec.egress", &spec["egress"], "to");
        let given = self.types(&spec["policyTypes"]);
        let types = if given.is_empty() {
            // Semantics 11.
            let egress = (!egress.is_empty()).then_some(Direction::Egress);
            [Direction::Ingress].into_iter().chain(egress).collect()
        } else {
            given.clone()
        };
        NetworkPolicy { name, pods, ingress, egress, types, types_given: !given.is_empty() }
    }

    fn types(&mut self, value: &Value) -> Vec<Direction> {
        let types = self.list("spec.policyTypes", value);
        if types.len() > 2 {
            self.invalid("spec.policyTypes", value, "may not specify more than two policyTypes");
        }
        let mut read = Vec::new();
        for (path, value) in types {
            match value.as_str() {
                Some("Ingress") => read.push(Direction::Ingress),
                Some("Egress") => read.push(Direction::Egress),
                _ => self.say(
                    &path,
                    &format!("Unsupported value: {value}: supported values: \"Egress\", \"Ingress\""),
                ),
            }
        }
        read
    }

    fn rules(&mut self, path: &str, value: &Value, peers: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (path, rule) in self.list(path, value) {
            self.object(&path, rule, &["ports", peers]);
            let ports = self.list(&format!("{path}.ports"), &rule["ports"]);
            let ports = ports.into_iter().filter_map(|(path, port)| self.port(&path, port)).collect();
            let list = self.list(&format!("{path}.{peers}"), &rule[peers]);
            let list = list.into_iter().filter_map(|(path, peer)| self.peer(&path, peer)).collect();
            rules.push(Rule { peers: list, ports, peers_given: rule[peers].is_array() });
        }
        rules
    }

    fn port(&mut self, path: &str, value: &Value) -> Option<Port> {
        self.object(path, value, &["protocol", "port", "endPort"]);
        let protocol = match value["protocol"].as_str() {
            // Semantics 16.
            None if value["protocol"].is_null() => Protocol::Tcp,
            Some("TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => {
                let detail = format!(
                    "Unsupported value: {}: supported values: \"SCTP\", \"TCP\", \"UDP\"",
                    value["protocol"]
                );
                self.say(&format!("{path}.protocol"), &detail);
                return None;
            }
        };
        let port = self.port_match(path, &value["port"], &value["endPort"])?;
        Some(Port { protocol, protocol_given: !value["protocol"].is_null(), port })
    }

    fn port_match(&mut self, path: &str, port: &Value, end: &Value) -> Option<PortMatch> {
        let (at_port, at_end) = (format!("{path}.port"), format!("{path}.endPort"));
        let start = match port {
            Value::Null => None,
            Value::String(name) => {
                if !is_port_name(name) {
                    self.invalid(&at_port, port, PORT_NAME);
                }
                Some(PortMatch::Name(name.clone()))
            }
            number => match self.number(&at_port, number) {
                Some(number) => Some(PortMatch::Number(number)),
                None => return None,
            },
        };
        if end.is_null() {
            return Some(start.unwrap_or(PortMatch::Any));
        }
        match start {
            None => self.say(&at_end, "Forbidden: may not be specified when `port` is not specified"),
            Some(PortMatch::Number(start)) => match self.number(&at_end, end) {
                Some(end) if end >= start => return Some(PortMatch::Range(start, end)),
                Some(_) => self.invalid(&at_end, end, "must be greater than or equal to `port`"),
                None => {}
            },
            Some(_) => self.say(&at_end, "Forbidden: may not be specified when `port` is non-numeric"),
        }
        None
    }

    fn number(&mut self, path: &str, value: &Value) -> Option<u16> {
        let number =
            value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        if number.is_none() {
            self.invalid(path, value, "must be between 1 and 65535, inclusive");
        }
        number
    }

    fn peer(&mut self, path: &str, value: &Value) -> Option<Peer> {
        self.object(path, value, &["podSelector", "namespaceSelector", "ipBlock"]);
        let given = |field: &str| value.get(field).filter(|value| !value.is_null());
        let pods = given("podSelector").map(|value| self.selector(&format!("{path}.podSelector"), value));
        let namespaces = given("namespaceSelector")
            .map(|value| self.selector(&format!("{path}.namespaceSelector"), value));
        match (given("ipBlock"), pods.is_some() || namespaces.is_some()) {
            (None, false) => self.say(path, "Required value: must specify a peer"),
            (Some(_), true) => self.say(path, "Forbidden: may not specify both ipBlock and another peer"),
            (Some(block), false) => return self.block(&format!("{path}.ipBlock"), block),
            (None, true) => return Some(Peer::Pods { namespaces, pods }),
        }
        None
    }

    fn block(&mut self, path: &str, value: &Value) -> Option<Peer> {
        self.object(path, value, &["cidr", "except"]);
        let at_cidr = format!("{path}.cidr");
        if value["cidr"].as_str().is_none_or(str::is_empty) {
            self.say(&at_cidr, "Required value");
            return None;
        }
        let given = self.network(&at_cidr, &value["cidr"])?;
        let mut except = Vec::new();
        for (path, value) in self.list(&format!("{path}.except"), &value["except"]) {
            let Some(inner) = self.network(&path, value) else { continue };
            // Semantics 25.
            if given.trunc().contains(&inner.trunc()) && inner.prefix_len() > given.prefix_len() {
                except.push(inner.trunc());
            } else {
                self.invalid(&path, value, "must be a strict subset of `cidr`");
            }
        }
        Some(Peer::Block { network: given.trunc(), except, had_host_bits: given != given.trunc() })
    }

    fn network(&mut self, path: &str, value: &Value) -> Option<IpNet> {
        let network = value.as_str().and_then(|text| text.parse().ok());
        if network.is_none() {
            self.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        }
        network
    }

    fn selector(&mut self, path: &str, value: &Value) -> Selector {
        self.object(path, value, &["matchLabels", "matchExpressions"]);
        let mut selector = Selector::default();
        if let Some(labels) = value["matchLabels"].as_object() {
            for (key, value) in labels {
                let at = format!("{path}.matchLabels");
                if !is_label_key(key) {
                    self.say(&at, &format!("Invalid value: \"{key}\": {LABEL_KEY}"));
                }
                match text_or_empty(value) {
                    Some(text) if is_label_value(text) => selector.equal.push((key.clone(), text.to_owned())),
                    _ => self.invalid(&at, value, LABEL_VALUE),
                }
            }
        }
        for (path, value) in self.list(&format!("{path}.matchExpressions"), &value["matchExpressions"]) {
            selector.expressions.extend(self.expression(&path, value));
        }
        selector
    }

    fn expression(&mut self, path: &str, value: &Value) -> Option<Expression> {
        self.object(path, value, &["key", "operator", "values"]);
        let key = value["key"].as_str().unwrap_or_default();
        if !is_label_key(key) {
            self.say(&format!("{path}.key"), &format!("Invalid value: \"{key}\": {LABEL_KEY}"));
        }
        let at_values = format!("{path}.values");
        let mut values = Vec::new();
        for (path, value) in self.list(&at_values, &value["values"]) {
            match text_or_empty(value) {
                Some(text) if is_label_value(text) => values.push(text.to_owned()),
                _ => self.invalid(&path, value, LABEL_VALUE),
            }
        }
        let operator = match value["operator"].as_str() {
            Some("In") => Operator::In,
            Some("NotIn") => Operator::NotIn,
            Some("Exists") => Operator::Exists,
            Some("DoesNotExist") => Operator::DoesNotExist,
            _ => {
                self.invalid(
                    &format!("{path}.operator"),
                    &value["operator"],
                    "not a valid selector operator",
                );
                return None;
            }
        };
        match (operator, values.is_empty()) {
            (Operator::In | Operator::NotIn, true) => {
                self.say(&at_values, "Required value: must be specified when `operator` is 'In' or 'NotIn'");
            }
            (Operator::Exists | Operator::DoesNotExist, false) => {
                self.say(
                    &at_values,
                    "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            _ => {}
        }
        Some(Expression { key: key.to_owned(), operator, values })
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const PORT_NAME: &str = "must contain only alphanumeric characters (a-z, 0-9), and hyphens (-), at most 15, with at least one letter, and no hyphen at either end or beside another";
const LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// RFC 6335, 5.1, in lower case.
fn is_port_name(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// A text; null is the empty text, as for the API server.
fn text_or_empty(value: &Value) -> Option<&str> {
    if value.is_null() { Some("") } else { value.as_str() }
}

fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.is_empty()
        || text.len() <= 63
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && ends(text.as_bytes().first())
            && ends(text.as_bytes().last())
}

#[cfg(test)]
mod tests;
