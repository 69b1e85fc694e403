//! Every rule of `docs/semantics.md`, one row or more each, with its number and its source. The page explains the sources.

mod documented;

use super::*;
use crate::scenario::Labels;
use Expect::{Allow, Deny, Elsewhere, Invalid, Open};
use serde_json::{Value, json};

/// What a row expects.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Allow,
    Deny,
    Open(Gap),
    /// The API server rejects it, under this path.
    Invalid(&'static str),
    /// Not about one decision: where it is handled.
    Elsewhere(&'static str),
}

/// Number, source, manifests, connection, what is expected.
type Row = (&'static str, &'static str, Vec<Value>, &'static str, Expect);

fn pod(name: &str, label: &str, number: u8, node: &str) -> Pod {
    Pod {
        name: name.parse().expect("a name"),
        labels: [("app".to_owned(), label.to_owned())].into(),
        addresses: vec![[10, 0, 0, number].into(), format!("fd00::{number}").parse().expect("an address")],
        ports: vec![
            PodPort {
                name: Some("web".to_owned()),
                protocol: Protocol::Tcp,
                number: 8000 + u16::from(number),
            },
            PodPort { name: Some("udp".to_owned()), protocol: Protocol::Udp, number: 53 },
        ],
        init_ports: Vec::new(),
        node: node.to_owned(),
        host_network: false,
    }
}

/// Pods a/one (10.0.0.1, node n1), a/two (10.0.0.2, n2), b/one (10.0.0.3, n1), b/host in the network of n2, and b/twice, which
/// has a port name twice.
fn cluster(manifests: &[Value]) -> Result<Cluster, String> {
    let own = |name: &str, team: &str| -> (String, Labels) {
        let labels = [("kubernetes.io/metadata.name", name), ("team", team)];
        (name.to_owned(), labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    };
    let mut twice = pod("b/twice", "twice", 5, "n1");
    twice.ports.push(PodPort { name: Some("web".to_owned()), protocol: Protocol::Tcp, number: 9000 });
    let nodes = [("n1", 1), ("n2", 2)];
    let mut cluster = Cluster {
        namespaces: [own("a", "red"), own("b", "blue")].into(),
        pods: vec![
            pod("a/one", "one", 1, "n1"),
            pod("a/two", "two", 2, "n2"),
            pod("b/one", "one", 3, "n1"),
            Pod {
                host_network: true,
                addresses: vec![[10, 9, 0, 2].into()],
                ..pod("b/host", "one", 4, "n2")
            },
            twice,
        ],
        nodes: nodes.map(|(name, number)| (name.to_owned(), vec![[10, 9, 0, number].into()])).into(),
        node_labels: nodes
            .map(|(name, _)| (name.to_owned(), [("node".to_owned(), name.to_owned())].into()))
            .into(),
        ..Cluster::default()
    };
    for manifest in manifests {
        let kind = match manifest["kind"].as_str() {
            Some("NetworkPolicy") => PolicyKind::Namespaced,
            Some(kind) => PolicyKind::Cluster(ClusterKind::named(kind).expect("a kind")),
            None => panic!("no kind"),
        };
        if let Some(violation) = validate(kind, manifest).first() {
            return Err(violation.path.clone());
        }
        match kind {
            PolicyKind::Namespaced => {
                cluster.policies.push(NetworkPolicy::from_json(manifest).expect("accepted"));
            }
            PolicyKind::Cluster(_) => {
                cluster.cluster_policies.push(ClusterPolicy::from_json(manifest).expect("accepted"));
            }
        }
    }
    Ok(cluster)
}

/// Reads `a/one -> a/two tcp 80`. Ends are pods or addresses; `svc` after that means through a Service, and `6` means over IPv6.
fn ask(oracle: &Oracle<'_>, text: &str) -> Ask {
    let words: Vec<&str> = text.split_whitespace().collect();
    let pod = |word: &str| {
        let at = oracle.cluster().pods.iter().position(|pod| pod.name.to_string() == word);
        End::Pod(at.unwrap_or_else(|| panic!("no pod {word}")))
    };
    let end = |word: &str| word.parse().map_or_else(|_| pod(word), End::Address);
    let destination = end(words[2]);
    Ask {
        source: end(words[0]),
        destination,
        family: match destination {
            End::Address(address) => crate::scenario::flow::Family::of(address),
            End::Pod(_) if words.contains(&"6") => crate::scenario::flow::Family::V6,
            End::Pod(_) => crate::scenario::flow::Family::V4,
        },
        protocol: match words[3] {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Icmp,
        },
        port: words[4].parse().expect("a port"),
        service: words.contains(&"svc").then_some(Via { address: None, port: None }),
    }
}

fn np(namespace: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": namespace}, "spec": spec})
}

/// A policy of namespace a with one rule for ingress.
fn ingress(rule: Value) -> Vec<Value> {
    vec![np("a", json!({"ingress": [rule]}))]
}

/// A policy of namespace a with one rule for egress, and for egress only.
fn egress(rule: Value) -> Vec<Value> {
    vec![np("a", json!({"policyTypes": ["Egress"], "egress": [rule]}))]
}

fn from(peer: Value) -> Vec<Value> {
    ingress(json!({"from": [peer]}))
}

fn ports(ports: Value) -> Vec<Value> {
    ingress(json!({"ports": ports}))
}

/// A cluster policy about namespace a: tier, priority, rules for ingress, rules for egress.
fn cnp(tier: &str, priority: u32, ingress: Value, egress: Value) -> Value {
    json!({"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": format!("{tier}-{priority}").to_lowercase()},
        "spec": {"tier": tier, "priority": priority, "subject": {"namespaces": {"matchLabels": {"team": "red"}}},
            "ingress": ingress, "egress": egress}})
}

fn tier_rule(action: &str, peers: &str, peer: Value) -> Value {
    json!([{"action": action, peers: [peer]}])
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn network_policy() -> Vec<Row> {
    let to_one = "a/two -> a/one tcp 80";
    let from_b = "b/one -> a/one tcp 80";
    let selector = |key: &str, operator: &str, values: &[&str]| json!({"namespaceSelector": {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}});
    vec![
        ("1", "T", vec![np("a", json!({}))], to_one, Deny),
        ("1", "T", vec![np("a", json!({"podSelector": {}}))], to_one, Deny),
        ("1", "T", vec![np("a", json!({"podSelector": {"matchLabels": null}}))], to_one, Deny),
        ("1", "T", vec![np("a", json!({"podSelector": {"matchLabels": {"app": "two"}}}))], to_one, Allow),
        ("2", "T", vec![np("a", json!({"ingress": null}))], to_one, Deny),
        ("2", "T", vec![np("a", json!({"ingress": []}))], to_one, Deny),
        ("3", "T", ingress(json!({})), to_one, Allow),
        ("3", "T", ingress(json!({})), "192.0.2.1 -> a/one udp 9", Allow),
        ("4", "T", ingress(json!({"from": []})), to_one, Allow),
        ("4", "T", ingress(json!({"from": null})), "192.0.2.1 -> a/one tcp 80", Allow),
        ("4", "T", egress(json!({"to": []})), "a/one -> 192.0.2.1 tcp 80", Allow),
        ("5", "T", from(json!({"podSelector": {}})), "a/two -> a/one udp 9", Allow),
        ("5", "T", ports(json!([])), "a/two -> a/one sctp 9", Allow),
        ("6", "T, E", from(json!({"podSelector": {}})), from_b, Deny),
        ("6", "T, E", from(json!({"podSelector": {}})), to_one, Allow),
        ("7", "T", from(json!({"namespaceSelector": {}})), from_b, Allow),
        ("7", "T", from(json!({"namespaceSelector": {}})), "192.0.2.1 -> a/one tcp 80", Deny),
        ("8", "T", from(json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}})), from_b, Allow),
        (
            "8",
            "T",
            from(json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}, "podSelector": {}})),
            from_b,
            Allow,
        ),
        (
            "9",
            "T, W, E",
            from(
                json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}, "podSelector": {"matchLabels": {"app": "two"}}}),
            ),
            from_b,
            Deny,
        ),
        (
            "9",
            "T, W, E",
            ingress(
                json!({"from": [{"namespaceSelector": {"matchLabels": {"team": "blue"}}}, {"podSelector": {"matchLabels": {"app": "two"}}}]}),
            ),
            from_b,
            Allow,
        ),
        ("10", "Val", from(json!({})), to_one, Invalid("spec.ingress[0].from[0]")),
        (
            "10",
            "Val",
            from(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
            to_one,
            Invalid("spec.ingress[0].from[0]"),
        ),
        ("11", "D, T, W", vec![np("a", json!({"egress": []}))], to_one, Deny),
        ("11", "D, T, W", vec![np("a", json!({"egress": []}))], "a/one -> b/one tcp 80", Allow),
        ("11", "D, T, W", vec![np("a", json!({"egress": [{}]}))], to_one, Deny),
        (
            "11",
            "D, T, W",
            vec![np("a", json!({"policyTypes": [], "egress": [{"to": [{"podSelector": {}}]}]}))],
            "a/one -> b/one tcp 80",
            Deny,
        ),
        ("12", "T", vec![np("a", json!({"policyTypes": ["Egress"]}))], from_b, Allow),
        ("12", "T", vec![np("a", json!({"policyTypes": ["Egress"]}))], "a/one -> b/one tcp 80", Deny),
        ("13", "W", vec![np("a", json!({"policyTypes": ["Egress"], "ingress": [{}]}))], from_b, Allow),
        (
            "13",
            "W",
            vec![np(
                "a",
                json!({"policyTypes": ["Ingress"], "ingress": [{}], "egress": [{"ports": [{"port": 1}]}]}),
            )],
            "a/one -> b/one tcp 80",
            Allow,
        ),
        ("14", "W, T", [from(json!({"podSelector": {}})), vec![np("a", json!({}))]].concat(), to_one, Allow),
        ("14", "W, T", [vec![np("a", json!({}))], from(json!({"podSelector": {}}))].concat(), to_one, Allow),
        (
            "15",
            "W",
            vec![np("b", json!({"ingress": [{}]})), np("a", json!({"policyTypes": ["Egress"]}))],
            "a/one -> b/one tcp 80",
            Deny,
        ),
        (
            "15",
            "W",
            vec![np("b", json!({})), np("a", json!({"policyTypes": ["Egress"], "egress": [{}]}))],
            "a/one -> b/one tcp 80",
            Deny,
        ),
        ("16", "D, T", ports(json!([{"port": 80}])), to_one, Allow),
        ("16", "D, T", ports(json!([{"port": 80}])), "a/two -> a/one udp 80", Deny),
        ("17", "T, E", ports(json!([{"protocol": "UDP"}])), "a/two -> a/one udp 80", Allow),
        ("17", "T, E", ports(json!([{"protocol": "UDP"}])), to_one, Deny),
        ("18", "T", ports(json!([{"port": 80}])), "b/one -> a/one tcp 80 svc", Allow),
        ("18", "T", ports(json!([{"port": 80}])), "b/one -> a/one tcp 8080 svc", Deny),
        ("19", "T, E", ports(json!([{"port": "web"}])), "a/two -> a/one tcp 8001", Allow),
        ("19", "T, E", ports(json!([{"port": "web"}])), "a/two -> a/one tcp 8002", Deny),
        ("19", "T, E", ports(json!([{"port": "udp"}])), "a/two -> a/one udp 53", Deny),
        ("19", "T, E", ports(json!([{"port": "none"}])), "a/two -> a/one tcp 8001", Deny),
        ("20", "E", egress(json!({"ports": [{"port": "web"}]})), "a/one -> b/one tcp 8003", Allow),
        ("20", "E", egress(json!({"ports": [{"port": "web"}]})), "a/one -> b/one tcp 8001", Deny),
        ("20", "E", egress(json!({"ports": [{"port": "web"}]})), "a/one -> 192.0.2.1 tcp 8001", Deny),
        (
            "20",
            "k/k #99256",
            egress(json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": "web"}]})),
            "a/one -> b/one tcp 8003",
            Open(Gap::BlockAndName),
        ),
        (
            "20",
            "k/k #99256",
            egress(
                json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": "web"}, {"port": 8003}]}),
            ),
            "a/one -> b/one tcp 8003",
            Allow,
        ),
        (
            "21",
            "silence",
            egress(json!({"ports": [{"port": "web"}]})),
            "a/one -> b/twice tcp 9000",
            Open(Gap::NameTwice),
        ),
        ("22", "T, K, Val", ports(json!([{"port": 80, "endPort": 82}])), "a/two -> a/one tcp 82", Allow),
        ("22", "T, K, Val", ports(json!([{"port": 80, "endPort": 82}])), "a/two -> a/one tcp 83", Deny),
        ("22", "T, K, Val", ports(json!([{"port": 80, "endPort": 80}])), to_one, Allow),
        (
            "22",
            "T, K, Val",
            ports(json!([{"port": 80, "endPort": 79}])),
            to_one,
            Invalid("spec.ingress[0].ports[0].endPort"),
        ),
        (
            "22",
            "T, K, Val",
            ports(json!([{"port": "web", "endPort": 79}])),
            to_one,
            Invalid("spec.ingress[0].ports[0].endPort"),
        ),
        (
            "23",
            "W",
            vec![],
            to_one,
            Elsewhere("a plugin without endPort is a known deviation, not a meaning"),
        ),
        ("24", "Val, KEP-4858", from(json!({"ipBlock": {"cidr": "10.0.0.2/24"}})), to_one, Allow),
        (
            "24",
            "Val, KEP-4858",
            from(json!({"ipBlock": {"cidr": "10.0.0.9/24"}})),
            to_one,
            Open(Gap::LooseBlock),
        ),
        ("24", "Val, KEP-4858", from(json!({"ipBlock": {"cidr": "10.0.1.2/24"}})), to_one, Deny),
        (
            "25",
            "T, Val",
            from(json!({"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.2/32"]}})),
            to_one,
            Deny,
        ),
        (
            "25",
            "k/k #83191",
            ingress(
                json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.2/32"]}}, {"podSelector": {}}]}),
            ),
            to_one,
            Allow,
        ),
        (
            "25",
            "Val",
            from(json!({"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/24"]}})),
            to_one,
            Invalid("spec.ingress[0].from[0].ipBlock.except[0]"),
        ),
        ("26", "W, E", from(json!({"ipBlock": {"cidr": "10.0.0.2/32"}})), to_one, Allow),
        (
            "27",
            "W",
            egress(json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]})),
            "a/one -> b/one tcp 80 svc",
            Open(Gap::BlockAndService),
        ),
        (
            "27",
            "W",
            egress(json!({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]})),
            "a/one -> b/one tcp 80 svc",
            Allow,
        ),
        ("28", "E", egress(json!({"to": [{"namespaceSelector": {}}]})), "a/one -> b/one tcp 80 svc", Allow),
        ("29", "W", ports(json!([{"protocol": "UDP", "port": 53}])), "b/one -> a/one udp 53", Allow),
        ("30", "W, E", ports(json!([{"protocol": "SCTP"}])), to_one, Deny),
        ("30", "W, E", ports(json!([{"protocol": "SCTP", "port": 80}])), "b/one -> a/one sctp 80", Allow),
        ("31", "W", vec![np("a", json!({}))], "a/two -> a/one icmp 0", Open(Gap::Icmp)),
        ("31", "W", ingress(json!({})), "a/two -> a/one icmp 0", Open(Gap::Icmp)),
        ("31", "W", vec![], "a/two -> a/one icmp 0", Allow),
        ("32", "W", vec![np("a", json!({"policyTypes": ["Egress"]}))], from_b, Allow),
        (
            "33",
            "silence",
            vec![],
            to_one,
            Elsewhere("Answer::Deny is neither drop nor reject; the verdict records which"),
        ),
        (
            "34",
            "W",
            vec![np("a", json!({"policyTypes": ["Ingress", "Egress"]}))],
            "a/one -> a/one tcp 80",
            Allow,
        ),
        (
            "34",
            "W",
            vec![np("a", json!({"policyTypes": ["Ingress", "Egress"]}))],
            "127.0.0.1 -> 127.0.0.1 tcp 80",
            Allow,
        ),
        ("35", "k/k #95879", vec![np("a", json!({}))], "a/one -> a/one tcp 80 svc", Open(Gap::Hairpin)),
        ("35", "k/k #95879", vec![], "a/one -> a/one tcp 80 svc", Allow),
        ("36", "T, W", vec![np("a", json!({}))], "10.9.0.1 -> a/one tcp 80", Allow),
        (
            "37",
            "W vs T",
            vec![np("a", json!({"policyTypes": ["Egress"]}))],
            "a/one -> 10.9.0.1 tcp 80",
            Open(Gap::OwnNode),
        ),
        (
            "37",
            "W vs T",
            egress(json!({"to": [{"ipBlock": {"cidr": "10.9.0.1/32"}}]})),
            "a/one -> 10.9.0.1 tcp 80",
            Allow,
        ),
        ("38", "W", vec![np("a", json!({}))], "10.9.0.2 -> a/one tcp 80", Deny),
        ("38", "W", from(json!({"ipBlock": {"cidr": "10.9.0.2/32"}})), "10.9.0.2 -> a/one tcp 80", Allow),
        ("39", "W", from(json!({"namespaceSelector": {}})), "b/host -> a/one tcp 80", Open(Gap::HostNetwork)),
        ("39", "W", vec![np("a", json!({}))], "b/host -> a/one tcp 80", Deny),
        ("39", "W", vec![np("b", json!({}))], "a/one -> b/host tcp 80", Open(Gap::HostNetwork)),
        (
            "40",
            "W",
            vec![],
            to_one,
            Elsewhere("the oracle is asked about new connections; attempts use a fresh source port each"),
        ),
        (
            "41",
            "W",
            vec![],
            to_one,
            Elsewhere("a run's steps: a restarted pod must be denied from its first attempt"),
        ),
        (
            "42",
            "W",
            vec![],
            to_one,
            Elsewhere("a run waits until every flow has settled, and measures the time"),
        ),
        ("43", "W", vec![], to_one, Elsewhere("a run waits until every flow has settled")),
        ("44", "E", from(json!({"namespaceSelector": {"matchLabels": {"team": "green"}}})), from_b, Deny),
        ("45", "E", vec![], to_one, Allow),
        (
            "46",
            "W",
            vec![],
            to_one,
            Elsewhere("a terminating pod is one of Cluster::pods until it has ended"),
        ),
        (
            "47",
            "inference",
            vec![],
            to_one,
            Elsewhere("a pod that has ended is none of Cluster::pods: its reader leaves it out"),
        ),
        ("48", "E", from(json!({"ipBlock": {"cidr": "0.0.0.0/0"}})), "a/two -> a/one tcp 80 6", Deny),
        ("48", "E", from(json!({"ipBlock": {"cidr": "::/0"}})), "a/two -> a/one tcp 80 6", Allow),
        ("48", "E", from(json!({"podSelector": {}})), "a/two -> a/one tcp 80 6", Allow),
        ("49", "W", vec![np("a", json!({"policyTypes": ["Egress"]}))], "a/one -> b/one udp 53", Deny),
        (
            "49",
            "W",
            egress(json!({"ports": [{"protocol": "UDP", "port": 53}]})),
            "a/one -> b/one tcp 53",
            Deny,
        ),
        (
            "50",
            "W",
            from(json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}})),
            from_b,
            Allow,
        ),
        ("51", "W", vec![], to_one, Elsewhere("every run has a control and a canary")),
        ("52", "L", from(selector("x", "NotIn", &["y"])), from_b, Allow),
        ("52", "L", from(selector("team", "NotIn", &["blue"])), from_b, Deny),
        ("52", "L", from(selector("x", "DoesNotExist", &[])), from_b, Allow),
        ("52", "L", from(selector("team", "Exists", &[])), from_b, Allow),
        ("52", "L", from(selector("team", "In", &["red", "blue"])), from_b, Allow),
        ("52", "L", from(selector("x", "In", &["y"])), from_b, Deny),
        (
            "53",
            "W",
            vec![],
            to_one,
            Elsewhere("the oracle is asked about connections: what the first packet decides"),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cluster_network_policy() -> Vec<Row> {
    let from_b = "b/one -> a/one tcp 80";
    let to_b = "a/one -> b/one tcp 80";
    let none = || json!([]);
    let any = || json!({"namespaces": {}});
    let deny = |tier: &str, priority| cnp(tier, priority, tier_rule("Deny", "from", any()), none());
    let accept = |tier: &str, priority| cnp(tier, priority, tier_rule("Accept", "from", any()), none());
    let pass = |tier: &str, priority| cnp(tier, priority, tier_rule("Pass", "from", any()), none());
    let out = |action: &str, peer: Value| vec![cnp("Admin", 1, none(), tier_rule(action, "to", peer))];
    let on = |protocols: Value| {
        vec![cnp(
            "Admin",
            1,
            json!([{"action": "Deny", "from": [{"namespaces": {}}], "protocols": protocols}]),
            none(),
        )]
    };
    vec![
        ("C1", "A", vec![deny("Admin", 1)], from_b, Deny),
        ("C1", "A", [vec![deny("Admin", 1)], ingress(json!({}))].concat(), from_b, Deny),
        ("C1", "A", vec![accept("Admin", 1), np("a", json!({}))], from_b, Allow),
        ("C2", "A", [out("Accept", any()), vec![np("b", json!({}))]].concat(), to_b, Deny),
        ("C3", "A", vec![deny("Admin", 2), accept("Admin", 1)], from_b, Allow),
        ("C3", "A", vec![deny("Admin", 1), accept("Admin", 2)], from_b, Deny),
        (
            "C4",
            "A",
            vec![cnp(
                "Admin",
                1,
                json!([{"action": "Accept", "from": [{"namespaces": {"matchLabels": {"team": "blue"}}}]}, {"action": "Deny", "from": [{"namespaces": {}}]}]),
                none(),
            )],
            from_b,
            Allow,
        ),
        (
            "C5",
            "A",
            vec![pass("Admin", 1), deny("Admin", 2), np("a", json!({"ingress": [{}]}))],
            from_b,
            Allow,
        ),
        ("C5", "A", vec![pass("Admin", 1), deny("Baseline", 2)], from_b, Deny),
        ("C6", "A", [ingress(json!({})), vec![deny("Baseline", 1)]].concat(), from_b, Allow),
        ("C6", "A", vec![np("a", json!({})), accept("Baseline", 1)], from_b, Deny),
        (
            "C6",
            "A",
            vec![np("a", json!({"policyTypes": ["Egress"], "egress": [{}]})), deny("Baseline", 1)],
            from_b,
            Deny,
        ),
        ("C7", "A", vec![deny("Baseline", 1)], from_b, Deny),
        ("C7", "A", vec![pass("Baseline", 1), deny("Baseline", 2)], from_b, Allow),
        ("C8", "A", vec![], from_b, Allow),
        ("C9", "A", vec![cnp("Admin", 1, none(), none())], from_b, Allow),
        ("C9", "A", vec![accept("Admin", 1)], to_b, Allow),
        ("C10", "A", vec![deny("Admin", 1)], "a/one -> b/one tcp 80", Allow),
        ("C11", "A", vec![deny("Admin", 1), accept("Admin", 1)], from_b, Open(Gap::EqualPriority)),
        ("C11", "A", vec![deny("Admin", 1), deny("Admin", 1)], from_b, Deny),
        (
            "C11",
            "A",
            vec![pass("Admin", 1), accept("Admin", 1), np("a", json!({"ingress": [{}]}))],
            from_b,
            Allow,
        ),
        ("C12", "A", vec![deny("Admin", 1)], "b/host -> a/one tcp 80", Allow),
        ("C13", "A", out("Deny", json!({"networks": ["0.0.0.0/0"]})), to_b, Deny),
        ("C13", "A", out("Deny", json!({"networks": ["0.0.0.0/0"]})), "a/one -> b/one tcp 80 6", Allow),
        ("C13", "A", out("Deny", json!({"networks": ["192.0.2.0/24"]})), "a/one -> 192.0.2.1 tcp 80", Deny),
        ("C13", "A", out("Deny", json!({"networks": ["0.0.0.0/0"]})), "a/one -> b/one icmp 0", Deny),
        ("C14", "A", out("Deny", any()), "a/one -> 192.0.2.1 tcp 80", Allow),
        (
            "C15",
            "A",
            out("Deny", json!({"nodes": {"matchLabels": {"node": "n2"}}})),
            "a/one -> 10.9.0.2 tcp 80",
            Deny,
        ),
        (
            "C15",
            "A",
            out("Deny", json!({"nodes": {"matchLabels": {"node": "n1"}}})),
            "a/one -> 10.9.0.2 tcp 80",
            Allow,
        ),
        (
            "C16",
            "A",
            [
                out("Accept", json!({"domainNames": ["example.org"]})),
                vec![cnp("Admin", 2, none(), tier_rule("Deny", "to", json!({"networks": ["0.0.0.0/0"]})))],
            ]
            .concat(),
            "a/one -> 192.0.2.1 tcp 80",
            Open(Gap::DomainName),
        ),
        ("C17", "A", on(json!([{"tcp": {"destinationPort": {"number": 80}}}])), from_b, Deny),
        ("C17", "A", on(json!([{"tcp": {"destinationPort": {"number": 81}}}])), from_b, Allow),
        (
            "C17",
            "A",
            on(json!([{"tcp": {"destinationPort": {"range": {"start": 79, "end": 80}}}}])),
            from_b,
            Deny,
        ),
        ("C17", "A", on(json!([{"udp": {"destinationPort": {"number": 80}}}])), from_b, Allow),
        ("C18", "A", on(json!([{"destinationNamedPort": "udp"}])), "b/one -> a/one udp 53", Deny),
        ("C18", "A", on(json!([{"destinationNamedPort": "web"}])), "b/one -> a/one tcp 8001", Deny),
        ("C18", "A", on(json!([{"destinationNamedPort": "web"}])), from_b, Allow),
        ("C19", "A", on(json!([{"tcp": {}}])), from_b, Invalid("spec.ingress[0].protocols[0].tcp")),
        (
            "C20",
            "A",
            vec![cnp(
                "Admin",
                1,
                none(),
                json!([{"action": "Deny", "to": [{"networks": ["10.0.0.0/8"]}], "protocols": [{"destinationNamedPort": "web"}]}]),
            )],
            "a/one -> b/one tcp 8003",
            Open(Gap::BlockAndName),
        ),
        ("C21", "A", vec![deny("Admin", 1)], "a/one -> a/one tcp 80", Allow),
        ("C21", "A", vec![deny("Admin", 1)], "a/one -> a/one tcp 80 svc", Deny),
        ("C22", "A", vec![deny("Admin", 1)], "10.9.0.1 -> a/one tcp 80", Allow),
    ]
}

#[test]
fn every_corner_is_a_row() {
    let mut numbers = std::collections::BTreeSet::new();
    for (number, source, manifests, text, expect) in
        network_policy().into_iter().chain(cluster_network_policy())
    {
        numbers.insert(number);
        let cluster = cluster(&manifests);
        let wanted = match expect {
            Allow => Answer::Allow,
            Deny => Answer::Deny,
            Open(gap) => Answer::Unspecified(gap),
            Invalid(path) => {
                assert_eq!(cluster.expect_err(number), path, "{number} ({source})");
                continue;
            }
            Elsewhere(where_) => {
                assert!(!where_.is_empty());
                continue;
            }
        };
        let cluster = cluster.unwrap_or_else(|path| panic!("{number}: {path} is rejected"));
        let oracle = Oracle::new(&cluster);
        let ask = ask(&oracle, text);
        let manifests: Vec<String> = manifests.iter().map(|manifest| manifest["spec"].to_string()).collect();
        let reason = oracle.derive(&ask);
        assert_eq!(
            reason.answer,
            wanted,
            "{number} ({source}): {text}\n{}\n{reason:#?}",
            manifests.join("\n")
        );
        if number.parse::<u8>().is_ok() || !matches!(wanted, Answer::Unspecified(_)) {
            let sides = reason.sides.iter().fold(Answer::Allow, |sum, side| sum.and(side.answer));
            assert!(
                sides == wanted || wanted == Answer::Unspecified(Gap::HostNetwork),
                "{number}: {reason:#?}"
            );
        }
        assert!(!reason.clause().is_empty());
    }
    let missing: Vec<String> = (1..=53)
        .map(|number: u8| number.to_string())
        .filter(|number| !numbers.contains(number.as_str()))
        .collect();
    assert!(missing.is_empty(), "corners without a row: {missing:?}");
}

#[test]
fn unknown_peers_of_cluster_policies_fail_closed() {
    // Only a newer API server accepts them. Here an older program reads what it sends.
    for (action, wanted) in [("Accept", Answer::Allow), ("Deny", Answer::Deny), ("Pass", Answer::Deny)] {
        let manifest = cnp("Admin", 1, json!([{"action": action, "from": [{"workloads": {}}]}]), json!([]));
        let mut cluster = cluster(&[]).expect("no policies");
        cluster.cluster_policies.push(ClusterPolicy::from_json(&manifest).expect("it is read"));
        let oracle = Oracle::new(&cluster);
        assert_eq!(oracle.judge(&ask(&oracle, "b/one -> a/one tcp 80")), wanted, "{action}");
    }
}

#[test]
fn the_nearest_rule_says_what_is_missing() {
    let manifests = [np(
        "a",
        json!({"podSelector": {"matchLabels": {"app": "one"}}, "ingress": [
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"team": "green"}}}], "ports": [{"port": 80}]},
        ]}),
    )];
    let cluster = cluster(&manifests).expect("accepted");
    let oracle = Oracle::new(&cluster);
    let reason = oracle.derive(&ask(&oracle, "b/one -> a/one tcp 80"));
    assert_eq!(reason.clause(), "NetworkPolicy a/p isolates a/one for ingress, and no rule of it matches");
    let nearest = reason.nearest().expect("there are rules");
    assert_eq!(
        (nearest.name.to_string().as_str(), nearest.name.path().as_str()),
        ("NetworkPolicy a/p, ingress rule 2", "spec.ingress[1]")
    );
    assert_eq!(nearest.lacks, ["it wants the namespace b to have team=green, where it has team=blue"]);
    let udp = oracle.derive(&ask(&oracle, "b/one -> a/one udp 80"));
    assert!(
        udp.nearest().expect("there are rules").lacks[0]
            .contains("it opens TCP 80, and the connection goes to UDP 80")
    );
    let open = oracle.derive(&ask(&oracle, "b/one -> a/two tcp 80"));
    assert_eq!(open.clause(), "no policy applies to either end");
}
