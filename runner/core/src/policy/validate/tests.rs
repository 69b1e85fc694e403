//! What is rejected, and under which path.

use super::*;
use serde_json::json;

fn paths(kind: PolicyKind, spec: Value) -> Vec<String> {
    let manifest = json!({"apiVersion": "x", "kind": "x", "metadata": {"name": "p"}, "spec": spec});
    validate(kind, &manifest).into_iter().map(|violation| violation.path).collect()
}

#[test]
fn network_policies_are_rejected_as_an_api_server_does() {
    let from = |peer: Value| json!({"ingress": [{"from": [peer]}]});
    let port = |port: Value| json!({"egress": [{"ports": [port]}]});
    let block = |cidr: &str, except: &[&str]| json!({"ipBlock": {"cidr": cidr, "except": except}});
    let accepted: &[&str] = &[];
    for (spec, wanted) in [
        (json!(null), accepted),
        (json!({}), &[]),
        (json!({"podSelector": null, "ingress": null, "egress": [], "policyTypes": []}), &[]),
        (from(json!({})), &["spec.ingress[0].from[0]"]),
        (from(json!({"podSelector": {}})), &[]),
        (from(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})), &["spec.ingress[0].from[0]"]),
        (from(json!({"ipBlock": {}})), &["spec.ingress[0].from[0].ipBlock.cidr"]),
        (from(block("10.0.0.0", &[])), &["spec.ingress[0].from[0].ipBlock.cidr"]),
        (from(block("10.0.0.7/8", &["10.1.0.0/16"])), &[]),
        (from(block("10.0.0.0/8", &["10.0.0.0/8"])), &["spec.ingress[0].from[0].ipBlock.except[0]"]),
        (
            from(block("10.0.0.0/8", &["10.1.0.0/16", "11.0.0.0/16"])),
            &["spec.ingress[0].from[0].ipBlock.except[1]"],
        ),
        (from(block("0.0.0.0/0", &["fd00::/8"])), &["spec.ingress[0].from[0].ipBlock.except[0]"]),
        (port(json!({})), &[]),
        (port(json!({"protocol": "tcp"})), &["spec.egress[0].ports[0].protocol"]),
        (port(json!({"protocol": "ICMP"})), &["spec.egress[0].ports[0].protocol"]),
        (port(json!({"port": 0})), &["spec.egress[0].ports[0].port"]),
        (port(json!({"port": 65536})), &["spec.egress[0].ports[0].port"]),
        (port(json!({"port": true})), &["spec.egress[0].ports[0].port"]),
        (port(json!({"port": 80, "endPort": 80})), &[]),
        (port(json!({"port": 80, "endPort": 79})), &["spec.egress[0].ports[0].endPort"]),
        (port(json!({"endPort": 79})), &["spec.egress[0].ports[0].endPort"]),
        (port(json!({"port": "web", "endPort": 79})), &["spec.egress[0].ports[0].endPort"]),
        (port(json!({"port": "a-name-of-more-than-15"})), &["spec.egress[0].ports[0].port"]),
        (port(json!({"port": "80"})), &["spec.egress[0].ports[0].port"]),
        (port(json!({"port": "Web"})), &["spec.egress[0].ports[0].port"]),
        (port(json!({"port": "a--b"})), &["spec.egress[0].ports[0].port"]),
        (json!({"policyTypes": ["ingress"]}), &["spec.policyTypes[0]"]),
        (json!({"policyTypes": ["Ingress", "Egress", "Ingress"]}), &["spec.policyTypes"]),
        (json!({"podSelector": {"matchLabels": {"a b": "c"}}}), &["spec.podSelector.matchLabels.a b"]),
        (json!({"podSelector": {"matchLabels": {"a": "c d"}}}), &["spec.podSelector.matchLabels.a"]),
        (json!({"podSelector": {"matchLabels": {"a": 5}}}), &["spec.podSelector.matchLabels.a"]),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "a", "operator": "in", "values": ["b"]}]}}),
            &[
                "spec.podSelector.matchExpressions[0].values",
                "spec.podSelector.matchExpressions[1].values",
                "spec.podSelector.matchExpressions[2].operator",
            ],
        ),
        (json!({"ingres": []}), &["spec.ingres"]),
        (json!({"ingress": [{"to": []}]}), &["spec.ingress[0].to"]),
        (json!({"ingress": {}}), &["spec.ingress"]),
        (json!([]), &["spec"]),
    ] {
        assert_eq!(paths(PolicyKind::Namespaced, spec.clone()), wanted, "{spec}");
    }
}

#[test]
fn cluster_policies_are_rejected_as_their_definitions_say() {
    let good = || {
        json!({"tier": "Admin", "priority": 0, "subject": {"namespaces": {}},
            "egress": [{"action": "Accept", "to": [{"pods": {"podSelector": {}}}],
                "protocols": [{"tcp": {"destinationPort": {"number": 80}}}]}]})
    };
    let with = |pointer: &str, value: Value| {
        let mut spec = good();
        *spec.pointer_mut(pointer).expect("it is there") = value;
        spec
    };
    let kind = PolicyKind::Cluster(ClusterKind::ClusterNetworkPolicy);
    let accepted: &[&str] = &[];
    for (spec, wanted) in [
        (good(), accepted),
        (json!({}), &["spec.tier", "spec.priority", "spec.subject"]),
        (with("/tier", json!("admin")), &["spec.tier"]),
        (with("/priority", json!(1001)), &["spec.priority"]),
        (with("/priority", json!(-1)), &["spec.priority"]),
        (with("/subject", json!({"namespaces": {}, "pods": {"podSelector": {}}})), &["spec.subject"]),
        (with("/subject", json!({"pods": {}})), &["spec.subject.pods.podSelector"]),
        (with("/egress/0/action", json!("Allow")), &["spec.egress[0].action"]),
        (with("/egress/0/to", json!([])), &["spec.egress[0].to"]),
        (
            with("/egress/0/to/0", json!({"service": {}})),
            &["spec.egress[0].to[0].service", "spec.egress[0].to[0]"],
        ),
        (with("/egress/0/protocols/0", json!({"tcp": {}})), &["spec.egress[0].protocols[0].tcp"]),
        (with("/egress/0/protocols", json!([])), &["spec.egress[0].protocols"]),
        (
            with("/egress/0/protocols/0/tcp/destinationPort", json!({"range": {"start": 80, "end": 80}})),
            &["spec.egress[0].protocols[0].tcp.destinationPort.range"],
        ),
        (
            with(
                "/egress/0",
                json!({"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}], "protocols": [{"destinationNamedPort": "web"}]}),
            ),
            &["spec.egress[0]"],
        ),
        (with("/egress/0/to/0", json!({"domainNames": ["example.org"]})), &[]),
        (
            with("/egress/0", json!({"action": "Deny", "to": [{"domainNames": ["example.org"]}]})),
            &["spec.egress[0].action"],
        ),
    ] {
        assert_eq!(paths(kind, spec.clone()), wanted, "{spec}");
    }
    let mut crowded = good();
    crowded["egress"] = json!(vec![good()["egress"][0].clone(); 26]);
    assert_eq!(paths(kind, crowded), ["spec.egress"]);
}

#[test]
fn what_was_accepted_can_be_read() {
    let admin = json!({"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy",
        "metadata": {"name": "p"}, "spec": {"priority": 5, "subject": {"namespaces": {}},
        "ingress": [{"action": "Allow", "from": [{"namespaces": {}}],
            "ports": [{"portNumber": {"protocol": "TCP", "port": 80}}, {"portRange": {"protocol": "UDP", "start": 1, "end": 2}}, {"namedPort": "web"}]}]}});
    assert_eq!(validate(PolicyKind::Cluster(ClusterKind::AdminNetworkPolicy), &admin), []);
    let read = crate::policy::ClusterPolicy::from_json(&admin).expect("it is read");
    assert_eq!((read.priority, read.ingress[0].ports.len()), (5, 3));
    let baseline = json!({"kind": "BaselineAdminNetworkPolicy", "spec": {"subject": {"namespaces": {}},
        "egress": [{"action": "Pass", "to": [{"namespaces": {}}]}]}});
    let found = validate(PolicyKind::Cluster(ClusterKind::BaselineAdminNetworkPolicy), &baseline);
    assert_eq!(found[0].to_string(), "spec.egress[0].action: 'Pass' is not supported: one of Allow, Deny");
}

#[test]
fn names_have_their_form() {
    for (metadata, wanted) in [
        (json!({"name": "a.b-c", "namespace": "d"}), None),
        (json!({"generateName": "a-"}), None),
        (json!({"name": "a/b", "namespace": "d"}), Some("metadata.name")),
        (json!({"name": "a", "namespace": "d.e"}), Some("metadata.namespace")),
    ] {
        let policy = json!({"metadata": metadata, "spec": {"podSelector": {}}});
        let found = validate(PolicyKind::Namespaced, &policy);
        assert_eq!(found.first().map(|violation| violation.path.as_str()), wanted, "{policy}");
    }
}
