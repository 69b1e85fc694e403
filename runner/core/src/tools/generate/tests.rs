//! Generated scenarios parse, contradict nothing, and have both answers for every border.

use super::scenarios;
use crate::{parse, snapshot::manifests, text::Severity};

fn generated(text: &str) -> Vec<super::Generated> {
    let (snapshot, problems) = manifests(&[("p.yaml".to_owned(), text.as_bytes().to_vec())]);
    assert_eq!(problems, []);
    let (made, left_out) = scenarios(&snapshot);
    assert!(left_out.is_empty(), "{left_out:?}");
    made
}

const POLICIES: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: postgres, namespace: data, uid: x }
spec:
  podSelector: { matchLabels: { app: postgres } }
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{ namespaceSelector: { matchLabels: { purpose: app } }, podSelector: { matchLabels: { role: api } } }]
      ports: [{ port: 5432 }, { port: metrics }]
    - from: [{ podSelector: { matchExpressions: [{ key: backup, operator: Exists }] } }, { ipBlock: { cidr: 10.0.0.0/8 } }]
  egress:
    - to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: archive } } }]
      ports: [{ protocol: UDP, port: 8000, endPort: 8010 }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: deny, namespace: data }
spec: { podSelector: {} }
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: tenants }
spec:
  tier: Admin
  priority: 7
  subject: { namespaces: { matchLabels: { tenant: 'yes' } } }
  ingress:
    - { name: monitoring, action: Accept, from: [{ namespaces: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }] }
    - { action: Deny, from: [{ namespaces: { matchLabels: { tenant: 'no' } } }], protocols: [{ tcp: { destinationPort: { number: 80 } } }] }
";

#[test]
fn what_is_generated_is_a_scenario_without_problems() {
    let made = generated(POLICIES);
    assert_eq!(made.len(), 3);
    for one in &made {
        let load: &mut parse::Load<'_> = &mut |_| Err("there are no files".to_owned());
        let scenario = parse::scenario(&one.file, one.text.as_bytes(), load)
            .unwrap_or_else(|problems| panic!("{problems:#?}\n{}", one.text));
        let errors: Vec<_> = crate::tools::lint::scenario(&scenario, &crate::policy::ApiServer::default())
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error)
            .collect();
        assert_eq!(errors, [], "{}", one.text);
        let expectations = &scenario.steps[0].expectations;
        assert_eq!(expectations.len(), one.flows);
        assert!(expectations.iter().any(|expected| expected.wanted.may_deny()), "{}", one.text);
        assert!(
            expectations.iter().any(|expected| !expected.wanted.may_deny()) || one.file == "data-deny.yaml",
            "{}",
            one.text
        );
    }
}

#[test]
fn a_policy_without_a_namespace_is_one_of_default() {
    let without = generated(&POLICIES.replace(", namespace: data", ""));
    assert!(
        without[1].text.contains("default/subject") && without[1].text.contains("  deny:"),
        "{}",
        without[1].text
    );
}

#[test]
fn every_border_has_both_answers() {
    let left_to_the_run = &generated(POLICIES)[0].text;
    assert!(left_to_the_run.contains("  policy:\n"), "{left_to_the_run}");
    let text = &generated(&POLICIES.replace(", { ipBlock: { cidr: 10.0.0.0/8 } }", ""))[0].text;
    let (allowed, denied) = text.split_once("  deny:").expect("something is denied");
    let allowed = allowed.split_once("  allow:").expect("something is allowed").1;
    let line = |lines: &str, start: &str| {
        let found = lines.lines().find(|line| line.contains(start)).unwrap_or_default().to_owned();
        found.split(start).nth(1).unwrap_or_default().to_owned()
    };
    assert!(line(allowed, "peer-2 -> data/subject").contains("tcp/5432"), "{text}");
    let beside = line(denied, "peer-2 -> data/subject");
    for port in ["tcp/5431", "tcp/5433", "udp/5432"] {
        assert!(beside.contains(port), "{port}: {text}");
    }
    assert!(line(denied, "neighbour -> data/subject").contains("tcp/5432"), "{text}");
    assert!(line(denied, "elsewhere/namesake -> data/subject").contains("tcp/5432"), "{text}");
    let out = line(allowed, "data/subject -> archive/");
    assert!(out.contains("udp/8000") && out.contains("udp/8010"), "{text}");
    assert!(line(denied, "data/subject -> archive/").contains("udp/8011"), "{text}");
}

#[test]
fn a_name_that_no_port_can_have_is_given_to_none() {
    let policy = "{ apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: { name: p }, spec: {
        priority: 1, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }],
        ports: [{ namedPort: 'w%b' }, { namedPort: web }] }] } }";
    let text = &generated(policy)[0].text;
    let load: &mut parse::Load<'_> = &mut |_| Err("there are no files".to_owned());
    let scenario = parse::scenario("p.yaml", text.as_bytes(), load)
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let listeners = scenario.topology.workloads.values().flat_map(|spec| &spec.listens);
    let names: Vec<&str> = listeners.filter_map(|listener| listener.name.as_deref()).collect();
    assert_eq!(names, ["web"], "{text}");
}

#[test]
fn what_cannot_be_tested_is_said() {
    let policy = |namespace: &str, spec: &str| {
        format!(
            "{{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{ name: p, namespace: {namespace} }}, spec: {spec} }}"
        )
    };
    for (text, why) in [
        (policy("kube-system", "{}"), "begins with kube-"),
        (
            policy("data", "{ ingress: [{ ports: [{ port: 0 }] }] }"),
            "an API server rejects it: spec.ingress[0].ports[0].port",
        ),
    ] {
        let (snapshot, _) = manifests(&[("p.yaml".to_owned(), text.into_bytes())]);
        let (made, left_out) = scenarios(&snapshot);
        assert!(made.is_empty() && left_out[0].contains(why), "{left_out:?}");
    }
}
