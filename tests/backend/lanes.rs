//! Lanes for the tests, each under names of its own.

use flowproof::cluster::{ClusterInfo, Lane, PodName, PodSpec, ServiceSpec};
use flowproof_core::scenario::{Labels, NamedListener, ServicePort, TargetPort};
use flowproof_wire::{Listener, Transport};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

/// The port that every pod of a test lane listens on.
pub(crate) const PORT: u16 = 8080;

/// The listeners of every pod of a test lane.
pub(crate) const LISTENERS: [Listener; 3] = [
    Listener { transport: Transport::Tcp, port: PORT },
    Listener { transport: Transport::Udp, port: PORT },
    Listener { transport: Transport::DnsUdp, port: 53 },
];

/// A name that no other test of this or another process uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let time =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_millis();
    format!("{prefix}-{time:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A lane with this many namespaces of this many pods each, on the usable nodes in turn, and a Service in the first namespace.
pub(crate) fn lane(info: &ClusterInfo, namespaces: usize, pods: usize) -> Lane {
    let run = unique("test");
    let nodes: Vec<&str> =
        info.nodes.iter().filter(|node| node.unusable.is_none()).map(|node| node.name.as_str()).collect();
    assert!(!nodes.is_empty(), "no node is usable");
    let spaces: Vec<String> = (0..namespaces).map(|index| format!("{run}-{index}")).collect();
    let listens = |listener: Listener| NamedListener {
        name: (listener == LISTENERS[0]).then(|| "main".into()),
        ..listener.into()
    };
    let specs = spaces.iter().flat_map(|space| (0..pods).map(move |index| (space, index))).enumerate();
    Lane {
        run: run.clone(),
        namespaces: spaces.iter().map(|space| (space.clone(), labels("space", space))).collect(),
        pods: specs
            .map(|(number, (space, index))| PodSpec {
                name: PodName::new(space.as_str(), format!("pod-{index}")),
                run: run.clone(),
                labels: labels("app", &format!("pod-{index}")),
                listens: LISTENERS.map(listens).to_vec(),
                node: nodes[number % nodes.len()].to_owned(),
                tolerations: Vec::new(),
                host_network: false,
                first: None,
                shadow: None,
            })
            .collect(),
        services: vec![ServiceSpec {
            name: PodName::new(spaces[0].as_str(), "service"),
            selector: labels("app", "pod-0"),
            ports: vec![ServicePort { listener: LISTENERS[0], target: TargetPort::Name("main".into()) }],
        }],
        without_headway: Duration::from_secs(60),
    }
}

pub(crate) fn labels(key: &str, value: &str) -> Labels {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}
