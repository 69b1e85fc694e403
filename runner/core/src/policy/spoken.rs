//! What policies mention: address blocks and ports, wherever in the policies they are.

use super::{block::Network, facts::Protocol};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks and ports that policies mention.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spoken {
    /// Blocks and exceptions, by the text that they are written as.
    pub(crate) blocks: BTreeMap<String, Network>,
    /// Ports by their numbers; of ranges, both ends.
    pub(crate) ports: BTreeSet<(Protocol, u16)>,
}

impl Spoken {
    /// Reads the manifests of policies.
    pub(crate) fn of<'m>(manifests: impl IntoIterator<Item = &'m Value>) -> Self {
        let mut spoken = Self::default();
        manifests.into_iter().for_each(|manifest| spoken.read(&manifest["spec"]));
        spoken
    }

    fn read(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.read(item)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match key.as_str() {
                        "cidr" | "except" | "networks" => self.blocks(value),
                        "ports" | "protocols" => {
                            value.as_array().into_iter().flatten().for_each(|port| self.port(port));
                        }
                        _ => self.read(value),
                    }
                }
            }
            _ => {}
        }
    }

    fn blocks(&mut self, value: &Value) {
        let listed = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for text in listed.iter().filter_map(Value::as_str) {
            if let Ok(block) = text.parse() {
                self.blocks.insert(text.to_owned(), block);
            }
        }
    }

    /// A port of a NetworkPolicy (`port`, `endPort`), or of a cluster policy, in whatever form it has.
    fn port(&mut self, entry: &Value) {
        let protocol =
            |value: &Value| if value == "UDP" || value == "udp" { Protocol::Udp } else { Protocol::Tcp };
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let mut add =
            |protocol, value: &Value| self.ports.extend(number(value).map(|number| (protocol, number)));
        let own = protocol(&entry["protocol"]);
        for field in ["port", "endPort"] {
            add(own, &entry[field]);
        }
        for (key, value) in entry.as_object().into_iter().flatten() {
            let of = if value["protocol"].is_null() {
                protocol(&Value::from(key.as_str()))
            } else {
                protocol(&value["protocol"])
            };
            for at in [value, &value["destinationPort"]] {
                add(of, &at["port"]);
                add(of, &at["number"]);
                add(of, &at["start"]);
                add(of, &at["end"]);
                add(of, &at["range"]["start"]);
                add(of, &at["range"]["end"]);
            }
        }
    }
}
