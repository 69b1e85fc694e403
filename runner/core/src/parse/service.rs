//! Services of a scenario: selector and ports, and the workloads behind them.

use super::{
    fields::{Fields, items, labels, text, text_problem, wrong_type},
    topology::Declared,
};
use crate::{
    policy::validate::is_port_name,
    scenario::{
        Labels, NamedListener, ServicePort, ServiceSpec, TargetPort, flow::PortOf, name::Qualified,
        selector::Selector,
    },
    text::{
        port_text::{Word, port_number, port_ranges, words},
        problem::Problems,
        tree::{Content, Mark, Node},
    },
};
use flowproof_wire::Listener;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of a service.
pub(super) const SERVICE_FIELDS: &[&str] = &["selector", "ports"];

/// Reads a service; the second value is whether all of it could be read.
pub(super) fn read(node: &Node, problems: &mut Problems) -> (ServiceSpec, bool) {
    let mut spec = ServiceSpec::default();
    let Some(fields) = Fields::open(node, "a service", SERVICE_FIELDS, problems) else {
        return (spec, false);
    };
    let mut clear = true;
    if let Some(node) = fields.get("selector") {
        spec.selector = labels(node, "'selector'", problems);
    }
    if spec.selector.is_empty() {
        clear = false;
    }
    if fields.lacks("selector") || fields.get("selector").is_some_and(is_empty) {
        problems
            .add(&node.at, "a service has no selector")
            .hint("a service needs the labels of its workloads: selector: { app: postgres }");
    }
    if let Some(node) = fields.get("ports") {
        for item in items(node, "'ports'", problems).unwrap_or_default() {
            clear &= read_port(item, &mut spec, problems);
        }
    }
    if spec.ports.is_empty() {
        clear = false;
    }
    if fields.lacks("ports") || fields.get("ports").is_some_and(is_empty) {
        problems.add(&node.at, "a service has no ports").hint("write ports: [tcp/80 -> 8080]");
    }
    spec.ports.sort();
    (spec, clear)
}

/// Whether a collection is empty.
fn is_empty(node: &Node) -> bool {
    match &node.value {
        Content::List(items) => items.is_empty(),
        Content::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Reads `tcp/80`, `tcp/80 -> 8080`, `tcp/80 -> http` or `dns`.
fn read_port(item: &Node, spec: &mut ServiceSpec, problems: &mut Problems) -> bool {
    if let Content::Number(number) = &item.value {
        wrong_type(item, "a port of a service", "text", problems).hint(format!("write tcp/{number}"));
        return false;
    }
    let Some(text) = text(item, "a port of a service", problems) else {
        return false;
    };
    let (port, target) = match text.split_once("->") {
        Some((port, target)) => (port, Some((target, port.chars().count() + 2))),
        None => (text, None),
    };
    let mut port_words = words(port, 0);
    let (Some(word), None) = (port_words.pop(), port_words.pop()) else {
        problems
            .add(&item.at, "a port of a service is one port")
            .hint("write tcp/80, tcp/80 -> 8080 or tcp/80 -> http");
        return false;
    };
    let ranges = match port_ranges(word) {
        Ok(ranges) => ranges,
        Err(error) => {
            text_problem(item, error, problems);
            return false;
        }
    };
    let target = match target.map(|(target, offset)| read_target(&words(target, offset))).transpose() {
        Ok(target) => target,
        Err(error) => {
            text_problem(item, error, problems);
            return false;
        }
    };
    let mut clear = true;
    for range in ranges {
        let at = item.part(range.start, range.length);
        if range.first != range.last {
            problems.add(&at, "a service has no ranges of ports").hint("write one item per port");
            return false;
        }
        let listener = Listener { transport: range.transport, port: range.first };
        let number = TargetPort::Number(range.first);
        let target = target.clone().unwrap_or(number);
        let same_socket = |port: &ServicePort| {
            port.listener.port == listener.port && protocol(port.listener) == protocol(listener)
        };
        if spec.ports.iter().any(same_socket) {
            let shown = PortOf(listener.transport, listener.port);
            problems.add(&at, format!("the service has {shown} twice"));
            clear = false;
        } else {
            spec.ports.push(ServicePort { listener, target });
        }
    }
    clear
}

/// `TCP` or `UDP`, as the Kubernetes API names the protocol of a port.
fn protocol(listener: Listener) -> &'static str {
    use flowproof_wire::Transport;
    match listener.transport {
        Transport::Tcp | Transport::DnsTcp => "TCP",
        Transport::Udp | Transport::DnsUdp => "UDP",
    }
}

fn read_target(words: &[Word<'_>]) -> Result<TargetPort, crate::text::port_text::TextError> {
    match words {
        [word] if word.text.bytes().all(|b| b.is_ascii_digit()) => {
            port_number(word.text, *word).map(TargetPort::Number)
        }
        [word] if is_port_name(word.text) => Ok(TargetPort::Name(word.text.to_owned())),
        [word, ..] => Err(word
            .error(format!("'{}' is not a target port", word.text))
            .with_hint("write the number or the name of a port of the workload: tcp/80 -> 8080")),
        [] => Err(crate::text::port_text::TextError::new(0, 1, "a target port is missing after '->'")),
    }
}

/// Reports a name that Kubernetes does not accept for a Service (RFC 1035: a letter first).
pub(super) fn check_name(name: &Qualified, at: &Mark, problems: &mut Problems) {
    if !name.name.starts_with(|c: char| c.is_ascii_lowercase()) {
        problems
            .add(at, format!("'{}' is not a valid Service name", name.name))
            .hint("the name of a service starts with a letter (RFC 1035)");
    }
}

/// The workloads that each service selects at some time; `history` has the labels of each workload over time.
///
/// Reports services that select no workload, and ports on which none of the selected workloads listens.
pub(super) fn backends(
    declared: &Declared,
    history: &BTreeMap<Qualified, Vec<Labels>>,
    problems: &mut Problems,
) -> BTreeMap<Qualified, BTreeSet<Qualified>> {
    let mut all = BTreeMap::new();
    for (name, spec) in &declared.topology.services {
        let selector = Selector::from_labels(&spec.selector);
        let selected: BTreeSet<Qualified> = history
            .iter()
            .filter(|(workload, _)| workload.namespace == name.namespace)
            .filter(|(_, labels)| {
                !selector.is_everything() && labels.iter().any(|labels| selector.matches(labels))
            })
            .map(|(workload, _)| workload.clone())
            .collect();
        if !declared.unclear.contains(name) && !selected.iter().any(|w| declared.unclear.contains(w)) {
            check(name, spec, &selected, declared, problems);
        }
        all.insert(name.clone(), selected);
    }
    all
}

fn check(
    name: &Qualified,
    spec: &ServiceSpec,
    selected: &BTreeSet<Qualified>,
    declared: &Declared,
    problems: &mut Problems,
) {
    let at = &declared.services[name];
    if selected.is_empty() {
        problems.add(at, format!("the service {name} selects no workload")).hint(format!(
            "its selector must match the labels of a workload in namespace {}",
            name.namespace
        ));
        return;
    }
    for port in &spec.ports {
        let served = selected
            .iter()
            .filter_map(|workload| declared.topology.workloads.get(workload))
            .any(|workload| workload.listens.iter().any(|named| serves(named, port)));
        if !served {
            let shown = PortOf(port.listener.transport, port.listener.port);
            let target = match &port.target {
                TargetPort::Number(number) => number.to_string(),
                TargetPort::Name(name) => name.clone(),
            };
            let behind: Vec<String> = selected.iter().map(ToString::to_string).collect();
            problems
                .add(at, format!("nothing behind the service {name} listens where {shown} leads ({target})"))
                .hint(format!("behind it: {}", behind.join(", ")));
        }
    }
}

/// Whether a port of a service leads to this listener.
fn serves(named: &NamedListener, port: &ServicePort) -> bool {
    named.listener.transport == port.listener.transport
        && match &port.target {
            TargetPort::Number(number) => named.listener.port == *number,
            TargetPort::Name(name) => named.name.as_ref() == Some(name),
        }
}
