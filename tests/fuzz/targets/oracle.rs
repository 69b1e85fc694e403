//! The oracle on any policies and pods that can be read: for every pair of pods, in both families, the decision and its derivation
//! agree, and the derivation can be put into words.

#![no_main]

#[path = "../keys.rs"]
mod keys;

use flowproof_core::{
    policy::{Ask, End, Oracle, Protocol},
    scenario::flow::Family,
    snapshot::manifests,
};
use libfuzzer_sys::fuzz_target;

/// How many pods are used; the time of a run grows with the square.
const PODS: usize = 6;

fuzz_target!(|bytes: &[u8]| {
    let (snapshot, _) = manifests(&[("fuzzed.yaml".to_owned(), bytes.to_vec())]);
    let cluster = &snapshot.cluster;
    let oracle = Oracle::new(cluster);
    let mut ends: Vec<End> = (0..cluster.pods.len().min(PODS)).map(End::Pod).collect();
    ends.push(End::Address([192, 0, 2, 1].into()));
    let ports =
        cluster.pods.iter().take(PODS).flat_map(|pod| &pod.ports).map(|port| (port.protocol, port.number));
    let mut ports: Vec<(Protocol, u16)> = ports.take(PODS).collect();
    ports.push((Protocol::Udp, 53));
    for (source, destination) in
        ends.iter().flat_map(|source| ends.iter().map(move |destination| (*source, *destination)))
    {
        for (protocol, port) in &ports {
            for family in [Family::V4, Family::V6] {
                let ask =
                    Ask { source, destination, family, protocol: *protocol, port: *port, service: None };
                let derivation = oracle.derive(&ask);
                assert_eq!(oracle.judge(&ask), derivation.answer, "{ask:?}\n{derivation:#?}");
                assert!(!derivation.clause().is_empty());
            }
        }
    }
});
