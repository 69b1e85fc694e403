//! The kinds of policy.networking.k8s.io: `ClusterNetworkPolicy`, and `AdminNetworkPolicy`, `BaselineAdminNetworkPolicy`.

use super::{
    Channel, Only, Violation,
    field::Field,
    label,
    network::{loose, port_name, protocol},
};
use crate::policy::{
    block::{Loose, Network},
    cluster_policy::ClusterKind,
};
use std::collections::BTreeSet;

/// Most entries of a list of a `ClusterNetworkPolicy`.
const MOST: usize = 25;
/// The longest name of a rule.
const LONGEST_NAME: usize = 100;
/// The longest address block.
const LONGEST_BLOCK: usize = 43;
/// The lowest precedence.
const LAST_PRIORITY: u64 = 1000;
const EGRESS_PEERS: &[&str] = &["namespaces", "pods", "nodes", "networks", "domainNames"];
const INGRESS_PEERS: &[&str] = &["namespaces", "pods"];

/// Checks `spec` of a `ClusterNetworkPolicy`.
pub(super) fn spec(field: &Field<'_>, found: &mut Vec<Violation>) {
    let known = ["tier", "priority", "subject", "ingress", "egress"];
    let Some(spec) = field.object(&known, found) else { return };
    spec.get("tier").one_of(&["Admin", "Baseline"], found);
    priority(&spec.get("priority"), found);
    subject(&spec.get("subject"), found);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = spec.get(direction);
        let items = rules.items(found);
        at_most(&rules, items.len(), MOST, found);
        for item in items {
            if item.is_there("a mapping", found) {
                rule(&item, peers, found);
            }
        }
    }
}

/// Checks `spec` of the v1alpha1 kinds.
pub(super) fn admin_spec(field: &Field<'_>, kind: ClusterKind, found: &mut Vec<Violation>) {
    let admin = kind == ClusterKind::AdminNetworkPolicy;
    let known: &[&str] =
        if admin { &["priority", "subject", "ingress", "egress"] } else { &["subject", "ingress", "egress"] };
    let actions: &[&'static str] = if admin { &["Allow", "Deny", "Pass"] } else { &["Allow", "Deny"] };
    let Some(spec) = field.object(known, found) else { return };
    if admin {
        priority(&spec.get("priority"), found);
    }
    subject(&spec.get("subject"), found);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = spec.get(direction);
        let items = rules.items(found);
        at_most(&rules, items.len(), 4 * MOST, found);
        for item in items {
            let Some(rule) = item.object(&["name", "action", peers, "ports"], found) else { continue };
            name(&rule.get("name"), found);
            rule.get("action").one_of(actions, found);
            self::peers(&rule.get(peers), peers, 4 * MOST, found);
            for port in rule.get("ports").items(found) {
                admin_port(&port, found);
            }
        }
    }
}

fn rule(field: &Field<'_>, peers: &str, found: &mut Vec<Violation>) {
    let Some(rule) = field.object(&["name", "action", peers, "protocols"], found) else { return };
    name(&rule.get("name"), found);
    rule.get("action").one_of(&["Accept", "Deny", "Pass"], found);
    let kinds = self::peers(&rule.get(peers), peers, MOST, found);
    let protocols = rule.get("protocols");
    let items = protocols.items(found);
    if items.is_empty() && !protocols.is_null() {
        protocols.wrong("must have at least one entry; leave it out for every protocol", found);
    }
    at_most(&protocols, items.len(), MOST, found);
    let mut named = false;
    for item in items {
        named |= protocol_entry(&item, found);
    }
    if named && kinds.iter().any(|kind| matches!(*kind, "networks" | "nodes" | "domainNames")) {
        let message = "networks, nodes and domainNames have no named ports";
        field.wrong_for(Only::With(Channel::Experimental), message, found);
    }
    if kinds.contains(&"domainNames") && rule.get("action").value != "Accept" {
        let message = "domainNames go with the action Accept only";
        rule.get("action").wrong_for(Only::Nobody, message, found);
    }
}

/// Checks the peers of a rule; returns their kinds.
fn peers(field: &Field<'_>, direction: &str, most: usize, found: &mut Vec<Violation>) -> Vec<&'static str> {
    let items = field.items(found);
    if items.is_empty() {
        field.wrong("required: at least one peer", found);
    }
    at_most(field, items.len(), most, found);
    let known = if direction == "from" { INGRESS_PEERS } else { EGRESS_PEERS };
    let mut kinds = Vec::new();
    for item in items {
        if !item.is_there("a mapping", found) {
            continue;
        }
        let Some(peer) = item.object(known, found) else { continue };
        for (kind, value) in peer.chosen(known, &item, found) {
            kinds.extend(EGRESS_PEERS.iter().copied().find(|known| *known == kind));
            match kind {
                "pods" => pods(&value, found),
                "networks" => {
                    let blocks = value.items(found);
                    if blocks.is_empty() {
                        value.wrong("must have at least one entry", found);
                    }
                    at_most(&value, blocks.len(), MOST, found);
                    set(&blocks, found);
                    for block in blocks {
                        network(&block, found);
                    }
                }
                "domainNames" => {
                    let names = value.items(found);
                    if names.is_empty() {
                        value.wrong("must have at least one entry", found);
                    }
                    at_most(&value, names.len(), MOST, found);
                    set(&names, found);
                    for name in names {
                        if name.is_there("text", found)
                            && let Some(text) = name.text(found).filter(|text| !is_domain(text))
                        {
                            name.wrong(format!("'{text}' is not a valid domain name"), found);
                        }
                    }
                    in_one_channel(&value, found);
                }
                "nodes" => {
                    selector(&value, found);
                    in_one_channel(&value, found);
                }
                _ => selector(&value, found),
            }
        }
    }
    kinds
}

/// Reports a field that only the experimental channel knows.
fn in_one_channel(field: &Field<'_>, found: &mut Vec<Violation>) {
    let message = "unknown field: only the experimental channel of ClusterNetworkPolicy has it";
    field.wrong_for(Only::With(Channel::Standard), message, found);
}

/// Checks a selector. An API server checks only its types; what makes no sense is left to the implementation.
fn selector(field: &Field<'_>, found: &mut Vec<Violation>) {
    let before = found.len();
    label::typed_selector(field, found);
    if found.len() == before {
        label::selector(field, found);
        for violation in &mut found[before..] {
            violation.only = Some(Only::Nobody);
        }
    }
}

/// Checks that no entry of a list occurs twice (`x-kubernetes-list-type: set`).
fn set(items: &[Field<'_>], found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for item in items {
        if let Some(text) = item.value.as_str().filter(|text| !seen.insert(*text)) {
            item.wrong(format!("'{text}' is listed twice"), found);
        }
    }
}

/// Checks an address block as CEL's `isCIDR` does: bits beyond the mask are accepted, other loose forms are not.
fn network(field: &Field<'_>, found: &mut Vec<Violation>) {
    if !field.is_there("text", found) {
        return;
    }
    let Some(text) = field.text(found) else { return };
    if text.len() > LONGEST_BLOCK {
        field.wrong(format!("has more than {LONGEST_BLOCK} characters"), found);
    }
    match text.parse::<Network>().map(|network| (network, network.loose())) {
        Ok((_, None)) => {}
        Ok((network, Some(Loose::HostBits))) => {
            field.wrong_for(Only::Nobody, loose(text, network, Loose::HostBits), found);
        }
        Ok((network, Some(form))) => field.wrong(loose(text, network, form), found),
        Err(()) => field.wrong(format!("'{text}' is not a valid address block (CIDR)"), found),
    }
}

/// Whether a text is a domain name, with or without `*.` before it, according to the definition's pattern.
fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let parts: Vec<&str> = name.split('.').collect();
    // The pattern has `A-z`, which is also `[`, `\`, `]`, `^`, `_` and the backtick.
    let starts = |c: u8| c.is_ascii_digit() || (b'A'..=b'z').contains(&c);
    parts.len() > 1
        && parts.iter().all(|part| {
            let bytes = part.as_bytes();
            match bytes {
                [] => false,
                [only] => starts(*only),
                [first, inner @ .., last] => {
                    starts(*first)
                        && last.is_ascii_alphanumeric()
                        && inner.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
                }
            }
        })
}

fn subject(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(subject) = field.object(INGRESS_PEERS, found) else { return };
    for (kind, value) in subject.chosen(INGRESS_PEERS, field, found) {
        if kind == "pods" { pods(&value, found) } else { selector(&value, found) }
    }
}

fn pods(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(pods) = field.object(&["namespaceSelector", "podSelector"], found) else { return };
    selector(&pods.get("namespaceSelector"), found);
    let of_pods = pods.get("podSelector");
    if of_pods.is_null() {
        of_pods.wrong("required", found);
    }
    selector(&of_pods, found);
}

/// Checks an entry of `protocols`; returns whether it names a port.
fn protocol_entry(field: &Field<'_>, found: &mut Vec<Violation>) -> bool {
    let known = ["tcp", "udp", "sctp", "destinationNamedPort"];
    if !field.is_there("a mapping", found) {
        return false;
    }
    let Some(entry) = field.object(&known, found) else { return false };
    let mut named = false;
    for (kind, value) in entry.chosen(&known, field, found) {
        if kind == "destinationNamedPort" {
            named_port(&value, found);
            named = true;
        } else {
            attributes(&value, found);
        }
    }
    named
}

/// Checks what is said about one protocol.
fn attributes(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(attributes) = field.object(&["destinationPort"], found) else { return };
    let port = attributes.get("destinationPort");
    if port.is_null() {
        field.wrong("must have destinationPort: an empty one is rejected (minProperties: 1)", found);
        return;
    }
    let keys = ["number", "range"];
    let Some(ports) = port.object(&keys, found) else { return };
    for (kind, value) in ports.chosen(&keys, &port, found) {
        if kind == "number" {
            value.port(found);
        } else {
            range(&value, &["start", "end"], found);
        }
    }
}

fn range(field: &Field<'_>, known: &[&str], found: &mut Vec<Violation>) {
    let Some(range) = field.object(known, found) else { return };
    let [start, end] = ["start", "end"].map(|key| {
        let at = range.get(key);
        if at.is_null() {
            at.wrong("required", found);
        }
        at.port(found)
    });
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        field.wrong("start must be less than end", found);
    }
}

fn admin_port(field: &Field<'_>, found: &mut Vec<Violation>) {
    let known = ["portNumber", "portRange", "namedPort"];
    let Some(entry) = field.object(&known, found) else { return };
    for (kind, value) in entry.chosen(&known, field, found) {
        match kind {
            "namedPort" => named_port(&value, found),
            "portRange" => {
                range(&value, &["start", "end", "protocol"], found);
                if let Some(range) = value.mapping(found) {
                    protocol(&range.get("protocol"), found);
                }
            }
            _ => {
                let Some(number) = value.object(&["protocol", "port"], found) else { continue };
                protocol(&number.get("protocol"), found);
                let port = number.get("port");
                if port.is_null() {
                    port.wrong("required", found);
                }
                port.port(found);
            }
        }
    }
}

/// Checks the name of a port. The definition requires only text; what cannot be a port's name is left to the implementation.
fn named_port(field: &Field<'_>, found: &mut Vec<Violation>) {
    if let Some(name) = field.text(found)
        && let Some(why) = port_name(name)
    {
        field.wrong_for(Only::Nobody, format!("'{name}' is not a valid name of a port: {why}"), found);
    }
}

fn name(field: &Field<'_>, found: &mut Vec<Violation>) {
    if field.text(found).is_some_and(|name| name.chars().count() > LONGEST_NAME) {
        field.wrong(format!("has more than {LONGEST_NAME} characters"), found);
    }
}

fn priority(field: &Field<'_>, found: &mut Vec<Violation>) {
    if field.is_null() {
        field.wrong("required: from 0, which goes first, to 1000", found);
    } else if field.value.as_u64().is_none_or(|priority| priority > LAST_PRIORITY) {
        field.wrong("must be a number from 0 to 1000", found);
    }
}

fn at_most(field: &Field<'_>, entries: usize, most: usize, found: &mut Vec<Violation>) {
    if entries > most {
        field.wrong(format!("has {entries} entries; at most {most} are possible"), found);
    }
}
