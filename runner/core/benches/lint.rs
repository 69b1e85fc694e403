//! How fast lint is: a thousand manifests, from their text to what an API server rejects and what is doubtful.
//!
//! The promise: at most a second on one core. `cargo bench -p flowproof-core --bench lint`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flowproof_core::{
    policy::ApiServer,
    snapshot::{self, Snapshot},
    text::Problem,
    tools::lint,
};
use std::{fmt::Write as _, hint::black_box};

/// Manifests in all.
const MANIFESTS: usize = 1000;

/// A stream of documents as a chart renders them, in block style: of every twelve, ten are policies, one is their namespace and
/// one is a pod in it.
fn documents() -> Vec<u8> {
    let mut text = String::new();
    for index in 0..MANIFESTS {
        let namespace = format!("team-{}", index / 12);
        let document = match index % 12 {
            0 => format!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels:\n    team: \"{}\"\n",
                index % 5
            ),
            1 => format!(
                "apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: {namespace}
  labels:
    app: app-{}
spec:
  containers:
    - name: web
      image: example.org/web:1
      ports:
        - name: web
          containerPort: 8080
",
                index % 7
            ),
            _ => format!(
                "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p{index}
  namespace: {namespace}
spec:
  podSelector:
    matchLabels:
      app: app-{app}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              team: \"{team}\"
          podSelector:
            matchExpressions:
              - key: app
                operator: NotIn
                values: [app-1, app-2]
        - ipBlock:
            cidr: 10.0.0.0/8
            except: [10.{octet}.0.0/16]
      ports:
        - port: web
        - port: 8000
          endPort: 9000
  egress:
    - to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: kube-system
      ports:
        - port: 53
          protocol: UDP
        - port: 53
",
                app = index % 7,
                team = index % 5,
                octet = index % 256,
            ),
        };
        let _ = write!(text, "---\n{document}");
    }
    text.into_bytes()
}

/// Reads and checks everything, and counts the problems.
fn problems(files: &[(String, Vec<u8>)]) -> usize {
    let (snapshot, problems): (Snapshot, Vec<Problem>) = snapshot::manifests(files);
    problems.len() + lint::snapshot(&snapshot, &ApiServer::default()).len()
}

fn manifests(criterion: &mut Criterion) {
    let files = [("all.yaml".to_owned(), documents())];
    let (snapshot, wrong) = snapshot::manifests(&files);
    assert!(wrong.is_empty() && snapshot.policies.len() > MANIFESTS * 4 / 5, "{wrong:?}");
    let mut group = criterion.benchmark_group("lint");
    group.sample_size(10);
    group.throughput(Throughput::Elements(MANIFESTS as u64));
    group.bench_function("1000 manifests", |bencher| bencher.iter(|| black_box(problems(&files))));
    group.finish();
}

criterion_group!(benches, manifests);
criterion_main!(benches);
