//! Reads `ClusterNetworkPolicies` and rejects what the API server rejects by the kind's schema.
//!
//! The source is the custom resource definition of `policy.networking.k8s.io` v1alpha2. Peers by nodes and by domain names are not
//! supported here: the local cluster's nodes have no labels, and nothing resolves names.

use super::{CLUSTER_GROUP, CLUSTER_KIND, Reader};
use crate::local::{
    engine::{
        policy::{Port, PortMatch},
        selector::Selector,
        tier::{ClusterPolicy, Peer, Pods, Rule, Then, Tier},
    },
    object::{Protocol, Refusal},
};
use serde_json::Value;

/// The highest number of a priority, which is the lowest priority.
const LOWEST_PRIORITY: u64 = 1000;

/// Reads a manifest of a cluster policy.
pub(crate) fn read(manifest: &Value) -> Result<ClusterPolicy, Refusal> {
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut reader = Reader { problems: Vec::new() };
    let policy = reader.cluster_policy(&name, &manifest["spec"]);
    match policy {
        Some(policy) if reader.problems.is_empty() => Ok(policy),
        _ => Err(reader.refusal(
            &format!("{CLUSTER_KIND} {name}"),
            &format!("{CLUSTER_KIND}.{CLUSTER_GROUP}"),
            &name,
        )),
    }
}

impl Reader {
    fn cluster_policy(&mut self, name: &str, spec: &Value) -> Option<ClusterPolicy> {
        self.object("spec", spec, &["tier", "priority", "subject", "ingress", "egress"]);
        let tier = match spec["tier"].as_str() {
            Some("Admin") => Some(Tier::Admin),
            Some("Baseline") => Some(Tier::Baseline),
            _ => {
                let detail = "Unsupported value: supported values: \"Admin\", \"Baseline\"";
                self.say("spec.tier", detail);
                None
            }
        };
        let priority = spec["priority"].as_u64().filter(|priority| *priority <= LOWEST_PRIORITY);
        if priority.is_none() {
            self.invalid("spec.priority", &spec["priority"], "must be between 0 and 1000, inclusive");
        }
        let subject = self.pods("spec.subject", &spec["subject"]);
        let ingress = self.tier_rules("spec.ingress", &spec["ingress"], "from");
        let egress = self.tier_rules("spec.egress", &spec["egress"], "to");
        let Some(subject) = subject else {
            self.say("spec.subject", "Required value: must specify namespaces or pods");
            return None;
        };
        Some(ClusterPolicy {
            name: name.to_owned(),
            tier: tier?,
            priority: priority?,
            subject,
            ingress,
            egress,
        })
    }

    fn tier_rules(&mut self, path: &str, value: &Value, peers: &str) -> Vec<Rule> {
        let rules = self.list(path, value);
        rules.into_iter().filter_map(|(path, rule)| self.tier_rule(&path, rule, peers)).collect()
    }

    fn tier_rule(&mut self, path: &str, rule: &Value, peers: &str) -> Option<Rule> {
        self.object(path, rule, &["name", "action", "protocols", peers]);
        let then = match rule["action"].as_str() {
            Some("Accept") => Then::Accept,
            Some("Deny") => Then::Deny,
            Some("Pass") => Then::Pass,
            _ => {
                self.invalid(&format!("{path}.action"), &rule["action"], "must be Accept, Deny or Pass");
                return None;
            }
        };
        let at_peers = format!("{path}.{peers}");
        let list = self.list(&at_peers, &rule[peers]);
        if list.is_empty() {
            self.say(&at_peers, "Required value: must have at least one peer");
        }
        let list = list.into_iter().filter_map(|(path, peer)| self.tier_peer(&path, peer)).collect();
        let protocols = self.list(&format!("{path}.protocols"), &rule["protocols"]);
        let ports = protocols.into_iter().flat_map(|(path, port)| self.tier_ports(&path, port)).collect();
        Some(Rule { then, peers: list, ports })
    }

    fn tier_peer(&mut self, path: &str, value: &Value) -> Option<Peer> {
        if let networks @ Value::Array(_) = &value["networks"] {
            let networks = self.list(&format!("{path}.networks"), networks);
            let networks = networks.into_iter().filter_map(|(path, network)| self.network(&path, network));
            return Some(Peer::Networks(networks.collect()));
        }
        let pods = self.pods(path, value);
        if pods.is_none() {
            self.say(path, "the local cluster knows the peers namespaces, pods and networks");
        }
        pods.map(Peer::Pods)
    }

    /// A subject or a peer: whole namespaces, or pods in them.
    fn pods(&mut self, path: &str, value: &Value) -> Option<Pods> {
        let (namespaces, pods) = (&value["namespaces"], &value["pods"]);
        if namespaces.is_object() {
            let namespaces = self.selector(&format!("{path}.namespaces"), namespaces);
            return Some(Pods { namespaces: Some(namespaces), pods: Selector::default() });
        }
        if !pods.is_object() {
            return None;
        }
        let mut part = |field| self.selector(&format!("{path}.pods.{field}"), &pods[field]);
        let namespaces = pods["namespaceSelector"].is_object().then(|| part("namespaceSelector"));
        Some(Pods { namespaces, pods: part("podSelector") })
    }

    /// What an entry of `protocols` matches; a name means a port of any protocol.
    fn tier_ports(&mut self, path: &str, value: &Value) -> Vec<Port> {
        const PROTOCOLS: [(&str, Protocol); 3] =
            [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];
        let port = |protocol, port| Port { protocol, protocol_given: true, port };
        if let Some(name) = value["destinationNamedPort"].as_str() {
            return PROTOCOLS.map(|(_, protocol)| port(protocol, PortMatch::Name(name.to_owned()))).to_vec();
        }
        let known = PROTOCOLS.into_iter().find(|(field, _)| value[field].is_object());
        let Some((field, protocol)) = known else {
            self.say(path, "Required value: must specify tcp, udp, sctp or destinationNamedPort");
            return Vec::new();
        };
        let path = format!("{path}.{field}.destinationPort");
        let to = &value[field]["destinationPort"];
        let matched = if to.is_null() {
            Some(PortMatch::Any)
        } else if to["range"].is_object() {
            let start = self.number(&format!("{path}.range.start"), &to["range"]["start"]);
            let end = self.number(&format!("{path}.range.end"), &to["range"]["end"]);
            start.zip(end).map(|(start, end)| PortMatch::Range(start, end))
        } else {
            self.number(&format!("{path}.number"), &to["number"]).map(PortMatch::Number)
        };
        matched.map(|matched| port(protocol, matched)).into_iter().collect()
    }
}
