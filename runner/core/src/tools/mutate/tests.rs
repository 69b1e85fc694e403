//! Edits of small scenarios, and whether they are noticed.

use super::*;
use crate::parse;

fn scenario(expect: &str, policy: &str) -> Scenario {
    let text = format!(
        "scenario: s
namespaces: {{ app: {{ labels: {{ team: app }} }}, data: }}
workloads:
  app/api: {{ labels: {{ role: api }} }}
  app/web:
  data/db: {{ labels: {{ app: db }}, listens: [tcp/80, tcp/81, udp/80] }}
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {{ name: db, namespace: data }}
    spec: {policy}
expect: {expect}
"
    );
    parse::scenario("s.yaml", text.as_bytes(), &mut |_| Err(String::new()))
        .unwrap_or_else(|p| panic!("{p:#?}"))
}

const POLICY: &str = "{ podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: app } }, podSelector: { matchLabels: { role: api } } }], ports: [{ port: 80 }] }] }";

fn survivors(expect: &str, policy: &str) -> Vec<String> {
    let mutated = mutate(&scenario(expect, policy));
    mutated.survivors.iter().map(|s| format!("{}: {} {}", s.edit, s.expect, s.flow)).collect()
}

#[test]
fn a_thorough_scenario_notices_every_edit() {
    let expect = "{ allow: [app/api -> data/db tcp/80], deny: [app/web -> data/db, app/api -> data/db tcp/81 udp/80] }";
    let mutated = mutate(&scenario(expect, POLICY));
    assert_eq!(mutated.survivors, []);
    let [score] = &mutated.policies[..] else { panic!("one policy: {mutated:#?}") };
    assert!(score.noticed >= 9, "{score:?}");
    assert!(score.equivalent >= 1, "no pod but the database is in its namespace: {score:?}");
}

#[test]
fn what_nobody_would_notice_comes_with_the_flow_that_would_catch_it() {
    let found = survivors("{ allow: [app/api -> data/db tcp/80] }", POLICY);
    for line in [
        "the policy is not applied: deny app/api -> data/db tcp/81",
        "the peer is dropped: deny app/web -> data/db tcp/80",
        "the port is dropped: deny app/api -> data/db tcp/81",
    ] {
        assert!(found.iter().any(|known| known == line), "{found:#?}");
    }
    assert!(!found.iter().any(|line| line.starts_with("the rule is dropped")), "{found:#?}");
}

#[test]
fn expectations_that_follow_the_policies_notice_nothing() {
    let all = mutate(&scenario("policy", POLICY));
    assert_eq!(all.noticed(), 0);
    assert!(all.counted() > 5);
}

#[test]
fn an_edit_has_its_place_and_a_missing_listener_is_told() {
    let policy = "{ podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: 89 }] }] }";
    let mutated = mutate(&scenario("{ allow: [app/api -> data/db tcp/80-81] }", policy));
    let end = mutated.survivors.iter().find(|s| s.edit == "endPort 89 becomes 90").expect("nobody tries 90");
    assert_eq!((end.flow.as_str(), end.listens.as_deref()), ("app/api -> data/db tcp/90", Some("tcp/90")));
    assert!(end.at.starts_with("s.yaml:11:"), "{}", end.at);
}

#[test]
fn blocks_are_widened_and_exceptions_dropped() {
    let policy = "{ podSelector: {}, policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 203.0.113.0/24, except: [203.0.113.128/25] } }] }] }";
    let found = survivors("{ deny: [data/db -> ip 198.51.100.1 tcp/80] }", policy);
    for edit in ["the block becomes 203.0.112.0/23", "the exception is dropped"] {
        assert!(found.iter().any(|line| line.starts_with(edit)), "{found:#?}");
    }
}

#[test]
fn a_port_that_is_none_is_edited_without_harm() {
    let policy = "{ podSelector: {}, ingress: [{ ports: [{ port: 0 }] }] }";
    let mutated = mutate(&scenario("{ deny: [app/api -> data/db tcp/80] }", policy));
    assert_eq!(mutated.policies.len(), 1);
}

#[test]
fn what_an_api_server_refuses_is_no_edit() {
    let policy = "{ podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] }";
    let mut scenario = scenario("{ deny: [app/api -> data/db tcp/80] }", policy);
    let Change::Apply(manifest) = &mut scenario.steps[0].changes[0] else { panic!("it applies a policy") };
    manifest.object = crate::scenario::ObjectRef {
        api_version: "policy.networking.k8s.io/v1alpha2".to_owned(),
        kind: "ClusterNetworkPolicy".to_owned(),
        namespace: None,
        name: "db".to_owned(),
    };
    manifest.value = serde_json::json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": { "name": "db" },
        "spec": { "tier": "Admin", "priority": 1, "subject": { "namespaces": {} }, "ingress": [
            { "action": "Deny", "from": [{ "namespaces": { "matchLabels": { "team": "app" } } }] },
        ] },
    });
    let edits: Vec<String> = trials(&scenario).into_iter().map(|trial| trial.edit).collect();
    assert!(edits.iter().any(|edit| edit.contains("the rule is dropped")), "{edits:#?}");
    assert!(!edits.iter().any(|edit| edit.contains("the peer is dropped")), "{edits:#?}");
}
