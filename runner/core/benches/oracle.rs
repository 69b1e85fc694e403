//! How fast the oracle answers: single decisions, and all pairs of a large cluster.
//!
//! The promise, on one core: a million decisions a second with 50 policies; all pairs of 1,000 pods with 500 policies on one port
//! within a second, including the preparation. `cargo bench -p flowproof-core`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flowproof_core::{
    policy::{Ask, Cluster, End, NetworkPolicy, Oracle, Pod, PodPort, Protocol},
    scenario::{flow::Family, name::Qualified},
};
use serde_json::json;
use std::{hint::black_box, net::IpAddr};

/// A cluster of namespaces with ten pods each, and policies spread over them.
fn cluster(pods: usize, policies: usize) -> Cluster {
    let namespaces = pods.div_ceil(10);
    let namespace = |index: usize| format!("ns{}", index % namespaces);
    let label = |key: &str, value: String| [(key.to_owned(), value)].into();
    let pod = |index: usize| Pod {
        name: Qualified::new(namespace(index), format!("pod{index}")),
        labels: label("app", format!("app{}", index / namespaces % 5)),
        addresses: vec![IpAddr::from([10, 0, (index >> 8) as u8, index as u8])],
        ports: vec![PodPort { name: Some("web".to_owned()), protocol: Protocol::Tcp, number: 8080 }],
        init_ports: Vec::new(),
        node: format!("node{}", index % 7),
        host_network: false,
    };
    let policy = |index: usize| {
        let manifest = json!({
            "metadata": {"name": format!("p{index}"), "namespace": namespace(index)},
            "spec": {
                "podSelector": {"matchLabels": {"app": format!("app{}", index / namespaces % 5)}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
                    {"from": [{"podSelector": {"matchLabels": {"app": "app1"}}}], "ports": [{"port": "web"}]},
                    {"from": [{"namespaceSelector": {"matchLabels": {"team": format!("team{}", index % 4)}}}],
                     "ports": [{"port": 8000, "endPort": 9000}]},
                ],
                "egress": [
                    {"to": [{"namespaceSelector": {}, "podSelector": {"matchExpressions": [
                        {"key": "app", "operator": "NotIn", "values": [format!("app{}", index % 5)]}]}}],
                     "ports": [{"protocol": "UDP", "port": 53}, {"port": 8080}]},
                ],
            },
        });
        NetworkPolicy::from_json(&manifest).expect("it is valid")
    };
    Cluster {
        namespaces: (0..namespaces)
            .map(|i| (namespace(i), label("team", format!("team{}", i % 4))))
            .collect(),
        pods: (0..pods).map(pod).collect(),
        policies: (0..policies).map(policy).collect(),
        ..Cluster::default()
    }
}

fn ask(source: usize, destination: usize) -> Ask {
    Ask {
        source: End::Pod(source),
        destination: End::Pod(destination),
        family: Family::V4,
        protocol: Protocol::Tcp,
        port: 8080,
        service: None,
    }
}

/// Counts the allowed ones among all pairs.
fn all_pairs(oracle: &Oracle<'_>, pods: usize) -> usize {
    let pairs = (0..pods).flat_map(|source| (0..pods).map(move |destination| (source, destination)));
    pairs
        .filter(|(source, destination)| {
            oracle.judge(&ask(*source, *destination)) == flowproof_core::policy::Answer::Allow
        })
        .count()
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decisions");
    let cluster = cluster(100, 50);
    let oracle = Oracle::new(&cluster);
    group.throughput(Throughput::Elements(100 * 100));
    group.bench_function("50 policies", |bencher| bencher.iter(|| black_box(all_pairs(&oracle, 100))));
    group.finish();
}

fn snapshot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(10);
    let cluster = cluster(1000, 500);
    group.throughput(Throughput::Elements(1000 * 1000));
    group.bench_with_input(
        BenchmarkId::new("all pairs", "1000 pods, 500 policies"),
        &cluster,
        |bencher, cluster| {
            bencher.iter(|| black_box(all_pairs(&Oracle::new(cluster), 1000)));
        },
    );
    group.finish();
}

criterion_group!(benches, decisions, snapshot);
criterion_main!(benches);
