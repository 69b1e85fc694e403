//! Compiles Services to translations of their addresses.

use super::{
    ranges::Kind,
    ruleset::{Action, Chain, Key, Rule, Ruleset, Table},
    view::{Pod, Service, View},
};
use crate::local::object::{ServicePort, TargetPort};
use std::{net::IpAddr, sync::Arc};

/// Adds the translations of all Services. They are the same on every node.
pub(super) fn add_services(rules: &mut Ruleset, view: &View) {
    for service in view.services.values() {
        let pods: Vec<_> = backends(service, view).collect();
        for port in &service.ports {
            for address in &service.addresses {
                let ends: Vec<_> = pods.iter().filter_map(|pod| end(pod, port, *address)).collect();
                let kind = kind_of(*address);
                let (table, then) = if ends.is_empty() {
                    (Table::DeadService(kind), Action::Refuse)
                } else {
                    (Table::Service(kind), Action::ToOneOf(ends))
                };
                let chain = Arc::new(Chain(vec![Rule { when: Vec::new(), then }]));
                rules.set(table, Key::Port(*address, port.protocol, port.port), &chain);
            }
        }
    }
}

fn backends<'a>(service: &'a Service, view: &'a View) -> impl Iterator<Item = &'a Pod> {
    view.pods.values().map(Arc::as_ref).filter(|pod| {
        pod.name.namespace == service.name.namespace
            && !service.selector.is_empty()
            && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    })
}

/// Where a Service's port leads at a pod; `None` if the pod lacks the named port or the address family.
fn end(pod: &Pod, port: &ServicePort, like: IpAddr) -> Option<(IpAddr, u16)> {
    let address = pod.addresses.iter().find(|address| address.is_ipv4() == like.is_ipv4())?;
    let number = match &port.target {
        TargetPort::Number(number) => *number,
        TargetPort::Name(name) => {
            pod.ports.iter().find(|p| p.name.as_ref() == Some(name) && p.protocol == port.protocol)?.port
        }
    };
    Some((*address, number))
}

pub(super) fn kind_of(address: IpAddr) -> Kind {
    if address.is_ipv4() { Kind::V4 } else { Kind::V6 }
}
