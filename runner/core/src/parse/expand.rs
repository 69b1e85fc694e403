//! Turns a flow as it is written into the flows that it stands for.

mod ports;

use super::{
    fields::text_problem,
    flow_text::{FlowText, Part, Pattern, TargetText},
    topology::Declared,
};
use crate::{
    scenario::{
        WorkloadSpec,
        flow::{Family, Flow, Target},
        name::Qualified,
    },
    text::{
        port_text::TextError,
        problem::Problems,
        tree::{Node, shortened},
    },
};
use flowproof_wire::{Listener, Transport};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

/// Most flows of a step.
pub const MAX_FLOWS: usize = 10_000;

/// What flows can refer to.
pub(super) struct Scope<'a> {
    pub(super) declared: &'a Declared,
    /// The workloads behind each service.
    pub(super) backends: &'a BTreeMap<Qualified, BTreeSet<Qualified>>,
    pub(super) families: &'a BTreeSet<Family>,
    /// Whether the policies are the cluster's own.
    pub(super) live: bool,
}

/// The flows that a line stands for, and how definite it is about them.
pub(super) struct Expansion {
    pub(super) flows: Vec<Flow>,
    /// Whether source and target are both written out.
    pub(super) exact: bool,
}

impl Scope<'_> {
    /// Reads and expands a line, and reports everything about it that is impossible.
    pub(super) fn expand(&self, node: &Node, line: &str, problems: &mut Problems) -> Option<Expansion> {
        let text = match FlowText::parse(line) {
            Ok(text) => text,
            Err(errors) => {
                for error in errors {
                    text_problem(node, error, problems);
                }
                return None;
            }
        };
        let mut line = Line { scope: self, node, text: &text, problems, flows: Vec::new() };
        line.expand()?;
        let exact = text.is_exact();
        Some(Expansion { flows: line.flows, exact })
    }

    fn spec(&self, workload: &Qualified) -> Option<&WorkloadSpec> {
        self.declared.topology.workloads.get(workload)
    }

    /// Whether a service that is written out is one of the cluster: under live policies, if its namespace is not one of the run.
    fn is_live_service(&self, name: &Qualified) -> bool {
        self.live && !self.declared.topology.namespaces.contains_key(&name.namespace)
    }

    /// Every pair of different workloads, on all listeners of the second.
    pub(super) fn all_pairs(&self) -> impl Iterator<Item = Flow> {
        let workloads = &self.declared.topology.workloads;
        workloads.keys().flat_map(move |source| {
            workloads.iter().filter(move |(target, _)| *target != source).flat_map(move |(target, spec)| {
                spec.listens.iter().map(move |named| Flow {
                    source: source.clone(),
                    target: Target::Workload(target.clone()),
                    transport: named.listener.transport,
                    port: named.listener.port,
                    established: false,
                })
            })
        })
    }
}

/// One line that is being expanded.
struct Line<'a, 'p> {
    scope: &'a Scope<'a>,
    node: &'a Node,
    text: &'a FlowText,
    problems: &'p mut Problems,
    flows: Vec<Flow>,
}

impl Line<'_, '_> {
    fn expand(&mut self) -> Option<()> {
        let topology = &self.scope.declared.topology;
        let sources =
            self.names(&self.text.source, &self.text.source.value, "workload", topology.workloads.keys());
        let target = &self.text.target;
        if let Some(word) = &self.text.established {
            self.check_established(word)?;
        }
        match &target.value {
            TargetText::Workload(pattern) => {
                let targets = self.names(target, pattern, "workload", topology.workloads.keys());
                let (sources, targets) = (sources?, targets?);
                let ports = self.ports_of(&targets, pattern.is_exact())?;
                let globs = !(self.text.source.value.is_exact() && pattern.is_exact());
                for source in &sources {
                    for (workload, ports) in targets.iter().zip(&ports) {
                        if !(globs && source == workload) {
                            self.push(source, &Target::Workload(workload.clone()), ports)?;
                        }
                    }
                }
            }
            TargetText::Itself => {
                let sources = sources?;
                let ports = self.ports_of(&sources, self.text.source.value.is_exact())?;
                for (source, ports) in sources.iter().zip(&ports) {
                    self.push(source, &Target::Workload(source.clone()), ports)?;
                }
            }
            TargetText::Service(Pattern::Exact(name)) if self.scope.is_live_service(name) => {
                let live = &topology.live;
                let real = live.get(&name.namespace).unwrap_or(&name.namespace);
                let service = Target::LiveService(Qualified::new(real, &name.name));
                let ports = self.handshake_ports();
                let (sources, ports) = (sources?, ports?);
                for source in &sources {
                    self.push(source, &service, &ports)?;
                }
            }
            TargetText::Service(pattern) => {
                let targets = self.names(target, pattern, "service", topology.services.keys());
                let (sources, targets) = (sources?, targets?);
                for service in &targets {
                    let ports = self.service_ports(service)?;
                    for source in &sources {
                        let behind = self.scope.backends.get(service).is_some_and(|b| b.contains(source));
                        if self.text.source.value.is_exact() || !behind {
                            self.push(source, &Target::Service(service.clone()), &ports)?;
                        }
                    }
                }
            }
            TargetText::NodeOf(pattern) => {
                let targets = self.names(target, pattern, "workload", topology.workloads.keys());
                let ports = self.written_ports("the node of a workload");
                let (sources, targets, ports) = (sources?, targets?, ports?);
                for source in &sources {
                    for workload in &targets {
                        self.push(source, &Target::NodeOf(workload.clone()), &ports)?;
                    }
                }
            }
            TargetText::Address(address) => {
                if let Some(why) = unreachable(*address) {
                    self.complain(target, format!("{address} {why}"), None);
                }
                let family = Family::of(*address);
                if !self.scope.families.contains(&family) {
                    let error =
                        format!("{address} is an {family} address, and this scenario is not about {family}");
                    self.complain(target, error, Some("see 'families'".to_owned()));
                }
                let ports = self.written_ports("an address");
                let (sources, ports) = (sources?, ports?);
                for source in &sources {
                    self.push(source, &Target::Address(*address), &ports)?;
                }
            }
            TargetText::ClusterDns => {
                let ports = self.dns_ports();
                let (sources, ports) = (sources?, ports?);
                for source in &sources {
                    self.push(source, &Target::ClusterDns, &ports)?;
                }
            }
        }
        if self.flows.is_empty() {
            let whole = TextError::new(0, self.text_length(), "this line matches no flow").with_hint(
                "a glob never pairs a workload with itself or with a service in front of it; write '-> self' for that",
            );
            text_problem(self.node, whole, self.problems);
            return None;
        }
        Some(())
    }

    /// Checks that the connections of a flow can exist before the policies, and can be distinguished from new ones.
    fn check_established(&mut self, word: &Part<()>) -> Option<()> {
        let (error, hint) = if self.scope.live {
            ("live policies were there before any connection of the run", None)
        } else if !matches!(
            self.text.target.value,
            TargetText::Workload(_) | TargetText::Service(_) | TargetText::Itself
        ) {
            ("only connections to pods are kept, by their address or through a Service", None)
        } else if self.text.ports.is_empty()
            || self.text.ports.iter().any(|range| !matches!(range.transport, Transport::Tcp | Transport::Udp))
        {
            (
                "only flows over tcp and udp are kept",
                Some("name their ports: tcp/8080 established".to_owned()),
            )
        } else {
            return Some(());
        };
        self.complain(word, error.to_owned(), hint);
        None
    }

    /// The names that a pattern stands for, at least one. Reports a pattern without any.
    fn names<'k, T>(
        &mut self,
        part: &Part<T>,
        pattern: &Pattern,
        what: &str,
        known: impl Iterator<Item = &'k Qualified> + Clone,
    ) -> Option<Vec<Qualified>> {
        let found: Vec<Qualified> = known.clone().filter(|name| pattern.matches(name)).cloned().collect();
        if !found.is_empty() {
            return Some(found);
        }
        let known: Vec<String> = known.map(ToString::to_string).collect();
        let written = match pattern {
            Pattern::Any => "any".to_owned(),
            Pattern::Glob(namespace, name) => format!("{namespace}/{name}"),
            Pattern::Exact(name) => name.to_string(),
        };
        let error = match pattern {
            Pattern::Exact(_) => format!("there is no {what} '{}'", shortened(&written)),
            Pattern::Glob(..) | Pattern::Any => format!("'{}' matches no {what}", shortened(&written)),
        };
        let at = self.node.part(part.start, part.length);
        let other_kind = match what {
            "workload" => self.scope.declared.services.keys().any(|name| pattern.matches(name)),
            _ => self.scope.declared.workloads.keys().any(|name| pattern.matches(name)),
        };
        let problem = self.problems.add(&at, error);
        let all = matches!(pattern, Pattern::Any);
        match (other_kind && !all, what) {
            (true, "workload") => problem.hint(format!("it is a service: write service {written}")),
            (true, _) => problem.hint(format!("it is a workload: write {written}")),
            _ if known.is_empty() => problem.hint(format!("this scenario has no {what}s")),
            _ => problem.suggest(&written, known.iter().map(String::as_str)),
        };
        None
    }

    fn push(&mut self, source: &Qualified, target: &Target, ports: &[Listener]) -> Option<()> {
        if self.flows.len() + ports.len() > MAX_FLOWS {
            let whole = TextError::new(0, self.text_length(), format!("more than {MAX_FLOWS} flows"))
                .with_hint("a step has at most that many: name fewer ports or workloads");
            text_problem(self.node, whole, self.problems);
            return None;
        }
        self.flows.extend(ports.iter().map(|listener| Flow {
            source: source.clone(),
            target: target.clone(),
            transport: listener.transport,
            port: listener.port,
            established: self.text.established.is_some(),
        }));
        Some(())
    }

    fn complain<T>(&mut self, part: &Part<T>, message: String, hint: Option<String>) {
        let at = self.node.part(part.start, part.length);
        self.problems.add(&at, message).hint = hint;
    }

    fn text_length(&self) -> usize {
        self.node.as_text().map_or(1, |text| text.trim_end().chars().count())
    }
}

/// Why nothing can ever arrive at an address; `None` if something can.
fn unreachable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("is not an address that anything can have")
    } else if address.is_loopback() {
        Some("never leaves the pod: a flow to itself is written -> self")
    } else if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("is not the address of one destination")
    } else if link_local {
        Some("means something else on every link")
    } else {
        None
    }
}
