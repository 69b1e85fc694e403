//! What is rejected, and under which path.

use super::*;
use serde_json::json;

fn paths(kind: PolicyKind, spec: Value) -> Vec<String> {
    let manifest = json!({"apiVersion": "x", "kind": "x", "metadata": {"name": "p"}, "spec": spec});
    rejected_by(ApiServer { version: None, channel: Channel::Experimental }, kind, &manifest)
}

/// The paths that an API server rejects.
fn rejected_by(server: ApiServer, kind: PolicyKind, manifest: &Value) -> Vec<String> {
    let found = violations(kind, manifest).into_iter();
    let rejected = found.filter(|violation| violation.only.is_none_or(|only| server.rejects(only)));
    rejected.map(|violation| violation.path).collect()
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
        (with("/egress/0", json!({"action": "Deny", "to": [{"domainNames": ["example.org"]}]})), &[]),
    ] {
        assert_eq!(paths(kind, spec.clone()), wanted, "{spec}");
    }
    let mut crowded = good();
    crowded["egress"] = json!(vec![good()["egress"][0].clone(); 26]);
    assert_eq!(paths(kind, crowded), ["spec.egress"]);
}

#[test]
fn domain_names_are_for_accept_alone_and_no_definition_says_so() {
    let policy = json!({"metadata": {"name": "p"}, "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
        "egress": [{"action": "Deny", "to": [{"domainNames": ["example.org"]}]}]}});
    let found = violations(PolicyKind::Cluster(ClusterKind::ClusterNetworkPolicy), &policy);
    let nobody = found.iter().find(|violation| violation.only == Some(Only::Nobody)).expect("it is told");
    assert_eq!(nobody.path, "spec.egress[0].action");
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
    let baseline = json!({"kind": "BaselineAdminNetworkPolicy", "metadata": {"name": "default"}, "spec": {"subject": {"namespaces": {}},
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

#[test]
fn versions_and_channels_differ() {
    let old = ApiServer { version: "1.35".parse().ok(), channel: Channel::Standard };
    let new = ApiServer { version: "1.36".parse().ok(), channel: Channel::Experimental };
    let cnp = PolicyKind::Cluster(ClusterKind::ClusterNetworkPolicy);
    let to = |peer: Value, protocols: Value| {
        json!({"metadata": {"name": "p"}, "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
            "egress": [{"action": "Accept", "to": [peer], "protocols": protocols}]}})
    };
    let block = |cidr: &str| json!({"metadata": {"name": "p"}, "spec": {"ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}});
    let none: &[&str] = &[];
    let cidr: &[&str] = &["spec.ingress[0].from[0].ipBlock.cidr"];
    for (kind, manifest, by_old, by_new) in [
        (PolicyKind::Namespaced, block("10.1.2.3/8"), none, cidr),
        (PolicyKind::Namespaced, block("010.0.0.0/8"), none, cidr),
        (PolicyKind::Namespaced, block("10.0.0.0/08"), none, cidr),
        (PolicyKind::Namespaced, block("::ffff:10.0.0.0/104"), none, cidr),
        (PolicyKind::Namespaced, block("10.0.0.0/8"), none, none),
        (cnp, to(json!({"networks": ["10.1.2.3/8"]}), json!(null)), none, none),
        (
            cnp,
            to(json!({"networks": ["010.0.0.0/8"]}), json!(null)),
            &["spec.egress[0].to[0].networks[0]"],
            &["spec.egress[0].to[0].networks[0]"],
        ),
        (
            cnp,
            to(json!({"networks": ["10.0.0.0/8", "10.0.0.0/8"]}), json!(null)),
            &["spec.egress[0].to[0].networks[1]"],
            &["spec.egress[0].to[0].networks[1]"],
        ),
        (cnp, to(json!({"nodes": {}}), json!(null)), &["spec.egress[0].to[0].nodes"], none),
        (
            cnp,
            to(json!({"networks": ["10.0.0.0/8"]}), json!([{"destinationNamedPort": "web"}])),
            none,
            &["spec.egress[0]"],
        ),
        (cnp, to(json!({"namespaces": {}}), json!([{"destinationNamedPort": "Not A Name"}])), none, none),
        (cnp, to(json!({"namespaces": {"matchLabels": {"k": "not a label"}}}), json!(null)), none, none),
        (
            cnp,
            to(json!({"namespaces": {"matchLabels": {"k": 5}}}), json!(null)),
            &["spec.egress[0].to[0].namespaces.matchLabels.k"],
            &["spec.egress[0].to[0].namespaces.matchLabels.k"],
        ),
        (
            cnp,
            to(json!({"namespaces": {"matchExpressions": [{"key": "k", "operator": "Like"}]}}), json!(null)),
            none,
            none,
        ),
        (
            cnp,
            to(json!({"namespaces": {"matchExpressions": [{"key": "k"}]}}), json!(null)),
            &["spec.egress[0].to[0].namespaces.matchExpressions[0].operator"],
            &["spec.egress[0].to[0].namespaces.matchExpressions[0].operator"],
        ),
    ] {
        assert_eq!(rejected_by(old, kind, &manifest), by_old, "1.35, standard: {manifest}");
        assert_eq!(rejected_by(new, kind, &manifest), by_new, "1.36, experimental: {manifest}");
    }
}

#[test]
fn nulls_are_empty_values_in_objects_of_the_api_and_absent_in_custom_ones() {
    let np = |spec: Value| paths(PolicyKind::Namespaced, spec);
    let accepted: &[&str] = &[];
    for (spec, wanted) in [
        (json!({"podSelector": {"matchLabels": {"app": null}}}), accepted),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": [null]}]}}),
            &[],
        ),
        (
            json!({"podSelector": {"matchExpressions": [null]}}),
            &["spec.podSelector.matchExpressions[0].key", "spec.podSelector.matchExpressions[0].operator"],
        ),
        (json!({"ingress": [null]}), &[]),
        (json!({"ingress": [{"ports": [null]}]}), &[]),
        (json!({"ingress": [{"from": [null]}]}), &["spec.ingress[0].from[0]"]),
        (json!({"policyTypes": [null]}), &["spec.policyTypes[0]"]),
        (
            json!({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": [null]}}]}]}),
            &["spec.ingress[0].from[0].ipBlock.except[0]"],
        ),
    ] {
        assert_eq!(np(spec.clone()), wanted, "{spec}");
    }
    let cnp = |spec: Value| paths(PolicyKind::Cluster(ClusterKind::ClusterNetworkPolicy), spec);
    let with = |rule: Value| json!({"tier": "Admin", "priority": 1, "subject": {"namespaces": {"matchLabels": {"a": null}}}, "ingress": [rule]});
    assert_eq!(
        cnp(with(json!({"action": "Deny", "from": [{"namespaces": {}}], "protocols": null}))),
        accepted
    );
    assert_eq!(cnp(with(json!(null))), ["spec.ingress[0]"]);
    assert_eq!(cnp(with(json!({"action": "Deny", "from": [null]}))), ["spec.ingress[0].from[0]"]);
    let port = json!({"action": "Deny", "from": [{"namespaces": {}}], "protocols": [{"tcp": {"destinationPort": null}}]});
    assert_eq!(cnp(with(port)), ["spec.ingress[0].protocols[0].tcp"]);
}

#[test]
fn metadata_is_checked() {
    let np = |metadata: Value| {
        let manifest = json!({"metadata": metadata, "spec": {}});
        rejected_by(ApiServer::default(), PolicyKind::Namespaced, &manifest)
    };
    let long = format!("{}.{}", "a".repeat(100), "b".repeat(100));
    let accepted: &[&str] = &[];
    for (metadata, wanted) in [
        (json!({"name": long}), accepted),
        (
            json!({"name": "a", "labels": {"a": null}, "annotations": {"a": null, "B/c": "anything at all"}}),
            &[],
        ),
        (json!({"name": "a", "namespace": ""}), &[]),
        (json!({}), &["metadata.name"]),
        (json!({"name": true}), &["metadata.name"]),
        (json!({"generateName": "A-"}), &["metadata.generateName"]),
        (json!({"name": "a", "labels": {"a": "b c"}}), &["metadata.labels.a"]),
        (json!({"name": "a", "annotations": {"a": 5}}), &["metadata.annotations.a"]),
        (json!({"name": "a", "annotations": {"a b": "c"}}), &["metadata.annotations.a b"]),
        (json!({"name": "a", "label": {}}), &["metadata.label"]),
        (json!({"name": "a", "finalizers": ["a b"]}), &["metadata.finalizers[0]"]),
        (
            json!({"name": "a", "ownerReferences": [{}]}),
            &[
                "metadata.ownerReferences[0].apiVersion",
                "metadata.ownerReferences[0].kind",
                "metadata.ownerReferences[0].name",
                "metadata.ownerReferences[0].uid",
            ],
        ),
    ] {
        assert_eq!(np(metadata.clone()), wanted, "{metadata}");
    }
}
