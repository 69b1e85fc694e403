//! NetworkPolicy (networking.k8s.io/v1).

use super::{Only, STRICT_ADDRESSES, Violation, field::Field, label};
use crate::policy::{
    block::{Loose, Network},
    facts::is_stand_in,
};

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

/// Checks `spec`.
pub(super) fn spec(field: &Field<'_>, found: &mut Vec<Violation>) {
    let known = ["podSelector", "policyTypes", "ingress", "egress"];
    let Some(spec) = field.object(&known, found) else { return };
    label::selector(&spec.get("podSelector"), found);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for item in spec.get(direction).items(found) {
            let Some(rule) = item.object(&[peers, "ports"], found) else { continue };
            for port in rule.get("ports").items(found) {
                self::port(&port, found);
            }
            for peer in rule.get(peers).items(found) {
                self::peer(&peer, found);
            }
        }
    }
    let types = spec.get("policyTypes");
    let given = types.items(found);
    if given.len() > 2 {
        types.wrong("may not have more than two entries", found);
        return;
    }
    for item in given {
        item.one_of(&["Ingress", "Egress"], found);
    }
}

fn port(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(rule) = field.object(&["protocol", "port", "endPort"], found) else { return };
    protocol(&rule.get("protocol"), found);
    let (port, end) = (rule.get("port"), rule.get("endPort"));
    if let Some(name) = port.value.as_str() {
        if let Some(why) = port_name(name) {
            port.wrong(format!("'{name}' is not a valid name of a port: {why}"), found);
        }
        if !end.is_null() {
            end.wrong("may not be set where the port is a name", found);
        }
    } else if port.is_null() {
        if !end.is_null() {
            end.wrong("may not be set without a port", found);
        }
    } else {
        port.port(found);
        end.port(found);
        // This holds for numbers that no port can have, too.
        if let (Some(first), Some(last)) = (port.value.as_i64(), end.value.as_i64())
            && last < first
        {
            end.wrong(format!("must not be less than the port, which is {first}"), found);
        }
    }
}

/// Checks a protocol, which may be absent.
pub(super) fn protocol(field: &Field<'_>, found: &mut Vec<Violation>) {
    if !field.is_null() {
        field.one_of(PROTOCOLS, found);
    }
}

/// Why a text is not a valid name of a port (`IsValidPortName`).
pub(in crate::policy) fn port_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 15 {
        Some("it has from 1 to 15 characters")
    } else if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        Some("it has lower-case letters, digits and '-' only")
    } else if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        Some("it has at least one letter")
    } else if name.contains("--") || name.starts_with('-') || name.ends_with('-') {
        Some("'-' stands between letters or digits")
    } else {
        None
    }
}

fn peer(field: &Field<'_>, found: &mut Vec<Violation>) {
    let known = ["podSelector", "namespaceSelector", "ipBlock"];
    let Some(peer) = field.object(&known, found) else { return };
    let [pods, namespaces, block] = known.map(|key| peer.get(key));
    for selector in [&pods, &namespaces] {
        if !selector.is_null() {
            label::selector(selector, found);
        }
    }
    if !block.is_null() {
        self::block(&block, found);
        if !pods.is_null() || !namespaces.is_null() {
            field.wrong("ipBlock may not stand beside another peer", found);
        }
    } else if pods.is_null() && namespaces.is_null() {
        field.wrong("must specify a peer", found);
    }
}

fn block(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(block) = field.object(&["cidr", "except"], found) else { return };
    let cidr = block.get("cidr");
    let except = block.get("except").items(found);
    if cidr.text_or_empty(found) == Some("") {
        cidr.wrong("required", found);
        return;
    }
    let whole = network(&cidr, found);
    for item in except {
        let Some(hole) = network(&item, found) else { continue };
        let Some(whole) = whole else { continue };
        // A block with an address that is given later cannot be compared.
        let comparable = is_stand_in(whole.address()) == is_stand_in(hole.address());
        if !whole.is_strictly_wider_than(hole)
            && (comparable || whole.address().is_ipv4() != hole.address().is_ipv4())
        {
            item.wrong(format!("must be a strict subset of cidr, which is {whole}"), found);
        }
    }
}

/// An address block, in any form that some API server accepts.
fn network(field: &Field<'_>, found: &mut Vec<Violation>) -> Option<Network> {
    let text = field.text_or_empty(found)?;
    let Ok(network) = text.parse::<Network>() else {
        field.wrong(format!("'{text}' is not a valid address block (CIDR)"), found);
        return None;
    };
    if let Some(loose) = network.loose() {
        field.wrong_for(Only::Since(STRICT_ADDRESSES), self::loose(text, network, loose), found);
    }
    Some(network)
}

/// What is wrong with a loose form of a block.
pub(super) fn loose(text: &str, network: Network, loose: Loose) -> String {
    match loose {
        Loose::HostBits if is_stand_in(network.address()) => {
            "the address of a pod has bits beyond this mask".to_owned()
        }
        Loose::HostBits => {
            let alone = if network.address().is_ipv4() { 32 } else { 128 };
            format!(
                "'{text}' has bits beyond its mask: it may be taken for {} or for {}/{alone}",
                network.masked(),
                network.address()
            )
        }
        Loose::LeadingZeros(_) => format!("'{text}' has leading zeros: write {network}"),
        Loose::Mapped => format!("'{text}' is IPv4 written as IPv6: it may be taken for either"),
    }
}
