//! What a workload listens on: `[tcp/5432, http: tcp/8080, dns]`, by itself and in a native sidecar.

use super::fields::{Fields, items, text, text_problem, wrong_type};
use crate::{
    policy::validate::is_port_name,
    scenario::{NamedListener, flow::PortOf},
    text::{
        port_text::{port_ranges, words},
        problem::Problems,
        tree::{Content, Mark, Node, shortened},
    },
};
use flowproof_wire::{Listener, Transport};
use std::collections::BTreeMap;

/// Most listeners of a workload.
pub const MAX_LISTENERS: usize = 100;

/// The fields for what a workload's own container and its native sidecar listen on.
pub(super) const FIELDS: [&str; 2] = ["listens", "sidecar"];

/// Reads both lists; the second value is whether all of them could be read.
pub(super) fn listeners(fields: &Fields, problems: &mut Problems) -> (Vec<NamedListener>, bool) {
    let mut reader = Reader::default();
    for field in FIELDS {
        reader.unclear |= fields.misspells(field);
        let Some(node) = fields.get(field) else { continue };
        reader.sidecar = field == "sidecar";
        match items(node, &format!("'{field}'"), problems) {
            Some(items) => {
                for item in items {
                    reader.item(item, problems);
                }
            }
            None => reader.unclear = true,
        }
        if reader.listeners.len() > MAX_LISTENERS {
            problems.add(
                &node.at,
                format!("{} listeners; a workload has at most {MAX_LISTENERS}", reader.listeners.len()),
            );
            break;
        }
    }
    reader.listeners.truncate(MAX_LISTENERS);
    reader.listeners.sort_by_key(|named| (named.listener.transport, named.listener.port));
    (reader.listeners, !reader.unclear)
}

#[derive(Default)]
struct Reader {
    listeners: Vec<NamedListener>,
    /// Where each socket is written: DNS over UDP and plain UDP share one.
    sockets: BTreeMap<(bool, u16), Mark>,
    names: BTreeMap<String, Mark>,
    unclear: bool,
    /// Whether the list that is read is the sidecar's.
    sidecar: bool,
}

impl Reader {
    fn item(&mut self, item: &Node, problems: &mut Problems) {
        let (name, node) = match &item.value {
            Content::Map(entries) if entries.len() == 1 => {
                (Some((entries[0].key.as_str(), &entries[0].at)), &entries[0].value)
            }
            Content::Map(_) => {
                problems
                    .add(&item.at, "a named listener is one name and one port")
                    .hint("write - http: tcp/8080");
                self.unclear = true;
                return;
            }
            Content::Number(number) => {
                wrong_type(item, "a listener", "text", problems).hint(format!(
                    "write tcp/{number} or udp/{number}; a list of ports within [ ] needs quotes: [\"tcp/80,443\"]"
                ));
                self.unclear = true;
                return;
            }
            _ => (None, item),
        };
        let before = self.listeners.len();
        let Some(text) = text(node, "a listener", problems) else {
            self.unclear = true;
            return;
        };
        let words = words(text, 0);
        if words.is_empty() {
            problems.add(&node.at, "a listener is missing here").hint("write tcp/80, udp/53 or dns");
        }
        for word in words {
            match port_ranges(word) {
                Ok(ranges) => {
                    for range in ranges {
                        let at = node.part(range.start, range.length);
                        for port in range.first..=range.last {
                            self.listener(Listener { transport: range.transport, port }, &at, problems);
                            // Listeners beyond the limit are not counted.
                            if self.listeners.len() > MAX_LISTENERS {
                                return;
                            }
                        }
                    }
                }
                Err(error) => {
                    self.unclear = true;
                    text_problem(node, error, problems);
                }
            }
        }
        if let Some((name, at)) = name {
            self.name(name, at, before, problems);
        }
    }

    fn listener(&mut self, listener: Listener, at: &Mark, problems: &mut Problems) {
        let udp = matches!(listener.transport, Transport::Udp | Transport::DnsUdp);
        if let Some(first) = self.sockets.get(&(udp, listener.port)) {
            let shown = PortOf(listener.transport, listener.port);
            problems
                .add(at, format!("{shown} is taken already by another listener of this workload"))
                .related(first.position(), "taken here");
            return;
        }
        self.sockets.insert((udp, listener.port), at.clone());
        self.listeners.push(NamedListener { sidecar: self.sidecar, ..listener.into() });
    }

    /// Gives a name to the only listener since `before`.
    fn name(&mut self, name: &str, at: &Mark, before: usize, problems: &mut Problems) {
        if !is_port_name(name) {
            problems
                .add(at, format!("'{}' is not a valid port name", shortened(name)))
                .hint("1 to 15 lower-case letters, digits and single '-', at least one letter (RFC 6335)");
        }
        if let Some(first) = self.names.get(name) {
            problems
                .add(at, format!("duplicate port name '{}'", shortened(name)))
                .related(first.position(), "first here");
        } else {
            self.names.insert(name.to_owned(), at.clone());
        }
        match &mut self.listeners[before..] {
            [] => {}
            [only] => only.name = Some(name.to_owned()),
            _ => {
                problems
                    .add(at, format!("the name '{}' is given to several ports", shortened(name)))
                    .hint("a name belongs to one port and one protocol; for DNS write dns/udp or dns/tcp");
            }
        }
    }
}
