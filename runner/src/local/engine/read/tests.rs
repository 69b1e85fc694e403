//! What the API server rejects, and its messages.

use super::*;
use serde_json::json;

fn message(spec: Value) -> String {
    let manifest = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "p", "namespace": "n"}, "spec": spec});
    match read(&manifest) {
        Ok(policy) => format!("{:?}", policy.types),
        Err(Refusal::Rejected { message, .. }) => {
            let start = message.find("invalid: ").expect("the API server's preface") + 9;
            message[start..].to_owned()
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn what_the_api_server_refuses_is_refused_in_its_words() {
    let ingress = |rule: Value| message(json!({"ingress": [rule]}));
    let port = |port: Value| ingress(json!({"ports": [port]}));
    let from = |peer: Value| ingress(json!({"from": [peer]}));
    let cases = [
        (from(json!({})), "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            from(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            from(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}})),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
        ),
        (
            from(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}})),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"fd00::/64\": must be a strict subset of `cidr`",
        ),
        (
            from(json!({"ipBlock": {"cidr": "10.0.0/8"}})),
            "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0/8\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
        (from(json!({"ipBlock": {}})), "spec.ingress[0].from[0].ipBlock.cidr: Required value"),
        (
            port(json!({"protocol": "ICMP"})),
            "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            port(json!({"port": 0})),
            "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            port(json!({"port": 80, "endPort": 79})),
            "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
        ),
        (
            port(json!({"endPort": 79})),
            "spec.ingress[0].ports[0].endPort: Forbidden: may not be specified when `port` is not specified",
        ),
        (
            port(json!({"port": "web", "endPort": 79})),
            "spec.ingress[0].ports[0].endPort: Forbidden: may not be specified when `port` is non-numeric",
        ),
        (
            message(json!({"policyTypes": ["Both"]})),
            "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Egress\", \"Ingress\"",
        ),
        (
            message(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}})),
            "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (message(json!({"ingres": []})), "spec.ingres: field not declared in schema"),
    ];
    for (got, wanted) in cases {
        assert_eq!(got, wanted);
    }
    let two = message(json!({"ingress": [{"from": [{}]}, {"ports": [{"port": 70000}]}]}));
    assert!(two.starts_with('[') && two.contains("spec.ingress[1].ports[0].port"), "{two}");
}

#[test]
fn policy_types_are_filled_in() {
    for (spec, types) in [
        (json!({}), "[Ingress]"),
        (json!({"egress": []}), "[Ingress]"),
        (json!({"egress": [{}]}), "[Ingress, Egress]"),
        (json!({"policyTypes": [], "egress": [{}]}), "[Ingress, Egress]"),
        (json!({"policyTypes": ["Egress"]}), "[Egress]"),
    ] {
        assert_eq!(message(spec), types);
    }
}
