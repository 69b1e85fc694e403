//! The edits of a policy, and the ports and addresses at which they may show.

use crate::{
    policy::{Direction, Network, spoken::Spoken},
    scenario::Manifest,
    text::Position,
};
use flowproof_wire::Transport;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One edit of a policy.
pub(super) struct Edit {
    /// Where it is made.
    pub(super) at: Position,
    /// What it does, in a clause.
    pub(super) what: String,
    /// The edited policy; `None` if it is not applied.
    pub(super) value: Option<Value>,
}

/// All edits of a policy, one place at a time.
pub(super) fn edits(manifest: &Manifest) -> Vec<Edit> {
    let mut editor = Editor { manifest, edits: Vec::new() };
    editor.edits.push(Edit {
        at: manifest.at.clone(),
        what: "the policy is not applied".to_owned(),
        value: None,
    });
    if manifest.object.kind == "NetworkPolicy" {
        editor.types();
        editor.selector("/spec/podSelector", "spec.podSelector");
    }
    for direction in Direction::BOTH {
        editor.rules(direction.as_str(), direction.peers());
    }
    editor.edits
}

struct Editor<'m> {
    manifest: &'m Manifest,
    edits: Vec<Edit>,
}

impl Editor<'_> {
    fn value(&self, pointer: &str) -> Option<&Value> {
        self.manifest.value.pointer(pointer)
    }

    /// Keeps an edit that a closure makes, unless it changes nothing. `path` says where, as API servers write fields.
    fn add(&mut self, path: &str, what: impl Into<String>, edit: impl FnOnce(&mut Value)) {
        let mut value = self.manifest.value.clone();
        edit(&mut value);
        if value == self.manifest.value {
            return;
        }
        let at = self.manifest.places.find(path).map_or(&self.manifest.at, |(at, _)| at).clone();
        self.edits.push(Edit { at, what: what.into(), value: Some(value) });
    }

    /// Replaces what is at a pointer.
    fn set(&mut self, pointer: &str, path: &str, what: impl Into<String>, to: Value) {
        self.add(path, what, |value| {
            if let Some(place) = value.pointer_mut(pointer) {
                *place = to;
            }
        });
    }

    /// Removes an item from a list.
    fn drop_item(&mut self, list: &str, index: usize, path: &str, what: &str) {
        self.add(path, what, |value| {
            if let Some(Value::Array(items)) = value.pointer_mut(list) {
                items.remove(index);
            }
        });
    }

    fn length(&self, list: &str) -> usize {
        self.value(list).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Drops one of two policy types, whether they are written or follow from the sections.
    fn types(&mut self) {
        let written: Vec<String> = match self.value("/spec/policyTypes").and_then(Value::as_array) {
            Some(types) => types.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None if self.value("/spec/egress").is_some() => vec!["Ingress".to_owned(), "Egress".to_owned()],
            None => vec!["Ingress".to_owned()],
        };
        if written.len() < 2 {
            return;
        }
        for dropped in &written {
            let rest: Vec<&String> = written.iter().filter(|kept| *kept != dropped).collect();
            let rest = json!(rest);
            self.add("spec.policyTypes", format!("the policy type {dropped} is dropped"), |value| {
                value["spec"]["policyTypes"] = rest;
            });
        }
    }

    /// Empties a selector, or drops one of its conditions.
    fn selector(&mut self, pointer: &str, path: &str) {
        let Some(selector) = self.value(pointer).cloned() else { return };
        let labels: Vec<String> =
            selector["matchLabels"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        let expressions = selector["matchExpressions"].as_array().map_or(0, Vec::len);
        let conditions = labels.len() + expressions;
        if conditions == 0 {
            return;
        }
        self.set(pointer, path, "the selector is emptied", json!({}));
        if conditions < 2 {
            return;
        }
        for label in labels {
            let mut wider = selector.clone();
            wider["matchLabels"].as_object_mut().map(|labels| labels.remove(&label));
            self.set(pointer, &format!("{path}.matchLabels"), format!("the selector loses {label}"), wider);
        }
        for index in 0..expressions {
            let mut wider = selector.clone();
            wider["matchExpressions"].as_array_mut().map(|all| all.remove(index));
            let path = format!("{path}.matchExpressions[{index}]");
            self.set(pointer, &path, "the selector loses an expression", wider);
        }
    }

    fn rules(&mut self, direction: &str, peers: &str) {
        let list = format!("/spec/{direction}");
        let count = self.length(&list);
        for rule in 0..count {
            let (pointer, path) = (format!("{list}/{rule}"), format!("spec.{direction}[{rule}]"));
            self.drop_item(&list, rule, &path, "the rule is dropped");
            if rule + 1 < count {
                self.merge(&list, rule, &path, peers);
            }
            self.peers(&format!("{pointer}/{peers}"), &format!("{path}.{peers}"));
            self.ports(&format!("{pointer}/ports"), &format!("{path}.ports"));
            if let Some(action) = self.value(&format!("{pointer}/action")).and_then(Value::as_str) {
                let other = if action == "Deny" { "Accept" } else { "Deny" };
                let what = format!("{action} becomes {other}");
                self.set(&format!("{pointer}/action"), &format!("{path}.action"), what, json!(other));
            }
        }
    }

    /// Merges a rule and the next one into one rule that has the peers and the ports of both.
    fn merge(&mut self, list: &str, rule: usize, path: &str, peers: &str) {
        self.add(path, "the rule is merged with the next", |value| {
            let Some(Value::Array(rules)) = value.pointer_mut(list) else { return };
            let next = rules.remove(rule + 1);
            for field in [peers, "ports"] {
                // Without the field, a rule is about everybody, or about every port. So is the merged one.
                match (
                    rules[rule][field].as_array().filter(|l| !l.is_empty()).cloned(),
                    next[field].as_array().filter(|l| !l.is_empty()),
                ) {
                    (Some(mut own), Some(others)) => {
                        own.extend(others.iter().cloned());
                        rules[rule][field] = own.into();
                    }
                    _ => {
                        rules[rule].as_object_mut().map(|rule| rule.remove(field));
                    }
                }
            }
        });
    }

    fn peers(&mut self, list: &str, path: &str) {
        for peer in 0..self.length(list) {
            let (pointer, path) = (format!("{list}/{peer}"), format!("{path}[{peer}]"));
            self.drop_item(list, peer, &path, "the peer is dropped");
            for selector in ["podSelector", "namespaceSelector"] {
                self.selector(&format!("{pointer}/{selector}"), &format!("{path}.{selector}"));
            }
            let has =
                |field: &str| self.value(&format!("{pointer}/{field}")).is_some_and(|value| !value.is_null());
            if has("podSelector") && has("namespaceSelector") {
                self.add(&path, "namespace and pod become two peers", |value| {
                    let Some(Value::Array(peers)) = value.pointer_mut(list) else { return };
                    let pods = peers[peer]["podSelector"].take();
                    peers[peer].as_object_mut().map(|fields| fields.remove("podSelector"));
                    peers.push(json!({ "podSelector": pods }));
                });
                self.add(
                    &format!("{path}.namespaceSelector"),
                    "the namespace's selector is dropped",
                    |value| {
                        if let Some(Value::Object(fields)) = value.pointer_mut(&pointer) {
                            fields.remove("namespaceSelector");
                        }
                    },
                );
            }
            self.block(&format!("{pointer}/ipBlock"), &format!("{path}.ipBlock"));
        }
    }

    fn block(&mut self, pointer: &str, path: &str) {
        if let Some((address, length)) = self
            .value(&format!("{pointer}/cidr"))
            .and_then(Value::as_str)
            .and_then(|cidr| cidr.split_once('/'))
            && let Ok(length @ 1..) = length.parse::<u8>()
            && let Ok(wider) = format!("{address}/{}", length - 1).parse::<Network>()
        {
            let wider = wider.masked().to_string();
            self.set(
                &format!("{pointer}/cidr"),
                &format!("{path}.cidr"),
                format!("the block becomes {wider}"),
                json!(wider),
            );
        }
        let except = format!("{pointer}/except");
        for index in 0..self.length(&except) {
            self.drop_item(&except, index, &format!("{path}.except[{index}]"), "the exception is dropped");
        }
    }

    fn ports(&mut self, list: &str, path: &str) {
        for port in 0..self.length(list) {
            let (pointer, path) = (format!("{list}/{port}"), format!("{path}[{port}]"));
            self.drop_item(list, port, &path, "the port is dropped");
            let entry = self.value(&pointer).cloned().unwrap_or_default();
            for field in ["port", "endPort"] {
                let Some(number) = entry[field].as_u64() else { continue };
                // A range must not end before it begins.
                let end = entry["endPort"].as_u64();
                for next in [number.saturating_sub(1), number + 1] {
                    let valid = (1..=65535).contains(&next)
                        && (field == "port" && end.is_none_or(|end| next <= end)
                            || field == "endPort"
                                && entry["port"].as_u64().is_some_and(|first| first <= next));
                    if valid {
                        let what = format!("{field} {number} becomes {next}");
                        self.set(
                            &format!("{pointer}/{field}"),
                            &format!("{path}.{field}"),
                            what,
                            json!(next),
                        );
                    }
                }
            }
            if !entry["port"].is_null() || !entry["protocol"].is_null() {
                let (from, to) = if entry["protocol"] == "UDP" { ("UDP", "TCP") } else { ("TCP", "UDP") };
                self.add(&path, format!("{from} becomes {to}"), |value| {
                    if let Some(entry) = value.pointer_mut(&pointer) {
                        entry["protocol"] = to.into();
                    }
                });
            }
        }
    }
}

/// The ports that policies mention and those next to them, over TCP and UDP.
pub(super) fn near_ports(spoken: &Spoken) -> BTreeSet<(Transport, u16)> {
    let near = |port: u16| [port.saturating_sub(1), port, port.saturating_add(1)];
    let ports = spoken.ports.iter().flat_map(|(_, port)| near(*port)).filter(|port| *port > 0);
    ports.flat_map(|port| [(Transport::Tcp, port), (Transport::Udp, port)]).collect()
}

/// An address in each block that policies mention, and one beside the block that a mask with one bit less would include. A block
/// of everything gets addresses that belong to nobody.
pub(super) fn near_addresses(spoken: &Spoken) -> BTreeSet<IpAddr> {
    const NOBODY: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
    ];
    let near = |block: &Network| {
        if block.is_everything() {
            return NOBODY;
        }
        let (first, host_bits) = (block.masked().address(), block.host_bits());
        let last_bit = u128::from(host_bits > 0);
        let with = |bits: u128| match first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() ^ bits as u32).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() ^ bits).into(),
        };
        [with(last_bit), with(1 << host_bits | last_bit)]
    };
    spoken.blocks.values().flat_map(near).collect()
}
