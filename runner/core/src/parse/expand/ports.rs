//! The ports of a flow: those that are written, checked against the listeners; if none are, all listeners.

use super::{super::flow_text::Part, Line};
use crate::{
    scenario::{TargetPort, flow::PortOf, name::Qualified},
    text::port_text::PortRange,
};
use flowproof_wire::{Listener, Transport};
use std::collections::BTreeSet;

impl Line<'_, '_> {
    /// The ports at each workload. Reports a port if the workload that is written out, or every workload of a glob, does not
    /// listen on it.
    pub(super) fn ports_of(&mut self, workloads: &[Qualified], exact: bool) -> Option<Vec<Vec<Listener>>> {
        let scope = self.scope;
        let listens = |workload: &Qualified| {
            scope
                .spec(workload)
                .map(|spec| spec.listens.iter().map(|named| named.listener).collect::<Vec<_>>())
                .unwrap_or_default()
        };
        let all: Vec<Vec<Listener>> = workloads.iter().map(listens).collect();
        let unclear = workloads.iter().any(|workload| scope.declared.unclear.contains(workload));
        if unclear {
            return None;
        }
        let whom = match (exact, workloads) {
            (true, [only]) => only.to_string(),
            _ => format!("any of {} workloads", workloads.len()),
        };
        if self.text.ports.is_empty() && self.text.named.is_empty() {
            if all.iter().all(Vec::is_empty) {
                let error = if exact {
                    format!("{whom} listens on nothing")
                } else {
                    "none of these workloads listens on anything".to_owned()
                };
                self.complain(
                    &self.text.target,
                    error,
                    Some("add listens: [tcp/80] to the workload".to_owned()),
                );
                return None;
            }
            return Some(all);
        }
        let mut chosen = vec![Vec::new(); workloads.len()];
        let mut possible = true;
        for range in &self.text.ports {
            let mut unheard: Option<u16> = None;
            for port in range.first..=range.last {
                let listener = Listener { transport: range.transport, port };
                let mut heard = false;
                for (listens, chosen) in all.iter().zip(&mut chosen) {
                    if listens.contains(&listener) {
                        chosen.push(listener);
                        heard = true;
                    }
                }
                if !heard && unheard.is_none() {
                    unheard = Some(port);
                }
            }
            if let Some(port) = unheard {
                possible = false;
                self.unheard(range, port, &all, exact.then_some(whom.as_str()));
            }
        }
        for name in &self.text.named {
            let mut found = false;
            for (workload, chosen) in workloads.iter().zip(&mut chosen) {
                let named = scope.spec(workload).into_iter().flat_map(|spec| &spec.listens);
                for listens in named.filter(|listens| listens.name.as_ref() == Some(&name.value)) {
                    chosen.push(listens.listener);
                    found = true;
                }
            }
            if !found {
                possible = false;
                self.unnamed(name, workloads, &whom);
            }
        }
        possible.then_some(chosen)
    }

    /// Reports a name that no port has.
    fn unnamed(&mut self, name: &Part<String>, workloads: &[Qualified], whom: &str) {
        let specs = workloads.iter().filter_map(|workload| self.scope.spec(workload));
        let known: BTreeSet<&str> =
            specs.flat_map(|spec| &spec.listens).filter_map(|listens| listens.name.as_deref()).collect();
        let at = self.node.part(name.start, name.length);
        let problem = self.problems.add(&at, format!("no port of {whom} is named '{}'", name.value));
        if known.is_empty() {
            problem.hint("write tcp/80, or name the listener: listens: [http: tcp/80]");
        } else {
            problem.suggest(&name.value, known);
        }
    }

    /// Reports a named port if the target has no named ports.
    fn no_names(&mut self, whose: &str) -> Option<()> {
        let Some(name) = self.text.named.first() else { return Some(()) };
        let at = self.node.part(name.start, name.length);
        self.problems
            .add(&at, format!("{whose} has no named ports"))
            .hint("write tcp/80, tcp/80,443, udp/8000-8010, dns, dns/udp or dns/tcp");
        None
    }

    /// Reports a port on which nobody listens.
    fn unheard(&mut self, range: &PortRange, port: u16, all: &[Vec<Listener>], whom: Option<&str>) {
        let shown = PortOf(range.transport, port);
        let error = match whom {
            Some(whom) => format!("{whom} does not listen on {shown}"),
            None => format!("none of these workloads listens on {shown}"),
        };
        let mut listens: Vec<Listener> = all.concat();
        listens.sort_by_key(|listener| (listener.transport, listener.port));
        listens.dedup();
        let has = |transport| listens.contains(&Listener { transport, port });
        let hint = match range.transport {
            Transport::Tcp if has(Transport::DnsTcp) => {
                "a DNS server listens there: write dns/tcp".to_owned()
            }
            Transport::Udp if has(Transport::DnsUdp) => {
                "a DNS server listens there: write dns/udp".to_owned()
            }
            Transport::DnsTcp if has(Transport::Tcp) => {
                "no DNS server listens there: write tcp/53, or listens: [dns]".to_owned()
            }
            Transport::DnsUdp if has(Transport::Udp) => {
                "no DNS server listens there: write udp/53, or listens: [dns]".to_owned()
            }
            _ if listens.is_empty() => {
                "nothing listens there: without a listener, a deny proves nothing".to_owned()
            }
            _ => {
                let shown: Vec<String> =
                    listens.iter().take(8).map(|l| PortOf(l.transport, l.port).to_string()).collect();
                let more = if listens.len() > 8 { ", …" } else { "" };
                format!("listened on: {}{more}", shown.join(", "))
            }
        };
        let at = self.node.part(range.start, range.length);
        self.problems.add(&at, error).hint(hint);
    }

    pub(super) fn service_ports(&mut self, service: &Qualified) -> Option<Vec<Listener>> {
        let scope = self.scope;
        if scope.declared.unclear.contains(service) {
            return None;
        }
        let spec = scope.declared.topology.services.get(service)?;
        let own: Vec<Listener> = spec.ports.iter().map(|port| port.listener).collect();
        if self.text.ports.is_empty() && self.text.named.is_empty() {
            return Some(own);
        }
        let mut wanted = listeners(&self.text.ports);
        for name in &self.text.named {
            let target = TargetPort::Name(name.value.clone());
            let before = wanted.len();
            wanted.extend(spec.ports.iter().filter(|port| port.target == target).map(|port| port.listener));
            if wanted.len() == before {
                let at = self.node.part(name.start, name.length);
                let known = spec.ports.iter().filter_map(|port| match &port.target {
                    TargetPort::Name(name) => Some(name.as_str()),
                    TargetPort::Number(_) => None,
                });
                self.problems
                    .add(&at, format!("no port of the service {service} leads to one named '{}'", name.value))
                    .suggest(&name.value, known);
                return None;
            }
        }
        for range in &self.text.ports {
            let missing = (range.first..=range.last)
                .find(|port| !own.contains(&Listener { transport: range.transport, port: *port }));
            if let Some(port) = missing {
                let shown: Vec<String> =
                    own.iter().map(|l| PortOf(l.transport, l.port).to_string()).collect();
                let at = self.node.part(range.start, range.length);
                self.problems
                    .add(&at, format!("the service {service} has no {}", PortOf(range.transport, port)))
                    .hint(format!("it has: {}", shown.join(", ")));
                return None;
            }
        }
        Some(wanted)
    }

    /// The ports as they are written, for targets whose ports cannot be known otherwise.
    pub(super) fn written_ports(&mut self, whose: &str) -> Option<Vec<Listener>> {
        self.no_names(whose)?;
        if self.text.ports.is_empty() {
            let error = format!("a flow to {whose} needs a port");
            self.complain(&self.text.target, error, Some("add tcp/80, udp/53 or dns".to_owned()));
            return None;
        }
        Some(listeners(&self.text.ports))
    }

    /// The ports at a live Service. Only TCP is possible: a handshake alone does nothing to what is behind the Service.
    pub(super) fn handshake_ports(&mut self) -> Option<Vec<Listener>> {
        let other = self.text.ports.iter().find(|range| range.transport != Transport::Tcp);
        if let Some(range) = other {
            let at = self.node.part(range.start, range.length);
            self.problems
                .add(&at, "a live service is only connected to, over TCP")
                .hint("a UDP datagram or a DNS query would reach what runs there; write tcp/5432");
            return None;
        }
        self.written_ports("a live service")
    }

    pub(super) fn dns_ports(&mut self) -> Option<Vec<Listener>> {
        self.no_names("cluster-dns")?;
        if self.text.ports.is_empty() {
            return Some(
                [Transport::DnsUdp, Transport::DnsTcp]
                    .map(|transport| Listener { transport, port: 53 })
                    .into(),
            );
        }
        for range in &self.text.ports {
            if matches!(range.transport, Transport::Tcp | Transport::Udp) {
                let at = self.node.part(range.start, range.length);
                self.problems
                    .add(&at, "cluster-dns is asked over dns, dns/udp or dns/tcp")
                    .hint("leave the port out for both");
                return None;
            }
        }
        Some(listeners(&self.text.ports))
    }
}

/// The single ports of written ranges.
fn listeners(ranges: &[PortRange]) -> Vec<Listener> {
    let all = |range: &PortRange| {
        let transport = range.transport;
        (range.first..=range.last).map(move |port| Listener { transport, port })
    };
    ranges.iter().flat_map(all).collect()
}
