//! Random policies, labels and flows in a small world, so that policies often apply to flows.

#![allow(dead_code, reason = "each test program uses a part of it")]

use proptest::{
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
    sample::{select, subsequence},
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};
use std::env;

/// Values of the label `app` of pods; the last means no label.
pub const APPS: [&str; 4] = ["x", "y", "z", ""];
/// Values of the label `team` of namespaces; the last means no label.
pub const TEAMS: [&str; 3] = ["red", "blue", ""];
/// Ports that the pods listen on, over TCP and UDP.
pub const PORTS: [u16; 3] = [80, 81, 82];
/// Names of the namespaces of a world, before its own prefix.
pub const NAMESPACES: [&str; 3] = ["a", "b", "c"];

/// The number in an environment variable.
pub fn number(variable: &str) -> Option<usize> {
    env::var(variable).ok()?.parse().ok()
}

/// The source of random values; the same for the same seed.
pub fn runner(seed: usize) -> TestRunner {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[(seed as u64).to_le_bytes(); 4].concat());
    TestRunner::new_with_rng(Config::default(), rng)
}

pub fn draw<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, runner: &mut TestRunner) -> T {
    strategy.new_tree(runner).expect("something can be drawn").current()
}

/// The policies of one world in one round, each as the index of its namespace and its `spec`. Without addresses in `blocks`, no
/// policy has a block.
pub fn policies(blocks: Vec<String>) -> impl Strategy<Value = Vec<(usize, Value)>> {
    vec((0..NAMESPACES.len(), spec(blocks)), 1..=4)
}

fn spec(blocks: Vec<String>) -> impl Strategy<Value = Value> {
    let rules = |peers| option::weighted(0.7, vec(rule(peers, blocks.clone()), 0..=3));
    let types = option::weighted(0.7, subsequence(vec!["Ingress", "Egress"], 1..=2));
    (option::of(selector("app", &APPS)), rules("from"), rules("to"), types).prop_map(
        |(pods, ingress, egress, types)| {
            let mut spec = Map::new();
            for (field, value) in [
                ("podSelector", pods),
                ("ingress", ingress.map(Value::from)),
                ("egress", egress.map(Value::from)),
                ("policyTypes", types.map(Value::from)),
            ] {
                if let Some(value) = value {
                    spec.insert(field.to_owned(), value);
                }
            }
            spec.into()
        },
    )
}

fn rule(peers: &'static str, blocks: Vec<String>) -> impl Strategy<Value = Value> {
    let peer_list = option::weighted(0.8, vec(peer(blocks), 0..=2));
    let port_list = option::weighted(0.6, vec(port(), 0..=3));
    (peer_list, port_list).prop_map(move |(list, ports)| {
        let mut rule = Map::new();
        if let Some(list) = list {
            rule.insert(peers.to_owned(), list.into());
        }
        if let Some(ports) = ports {
            rule.insert("ports".to_owned(), ports.into());
        }
        rule.into()
    })
}

fn peer(blocks: Vec<String>) -> BoxedStrategy<Value> {
    let namespace = || {
        let by_name = select(&NAMESPACES[..]).prop_map(|name| json!({"matchLabels": {"short": name}}));
        prop_oneof![3 => selector("team", &TEAMS), 1 => by_name]
    };
    let pods = prop_oneof![
        2 => selector("app", &APPS).prop_map(|pods| json!({"podSelector": pods})),
        2 => namespace().prop_map(|namespaces| json!({"namespaceSelector": namespaces})),
        2 => (namespace(), selector("app", &APPS))
            .prop_map(|(namespaces, pods)| json!({"namespaceSelector": namespaces, "podSelector": pods})),
    ];
    if blocks.is_empty() {
        return pods.boxed();
    }
    prop_oneof![6 => pods, 2 => block(blocks)].boxed()
}

/// A block around the address of a pod, and an exception around that of another one if it is inside.
fn block(addresses: Vec<String>) -> impl Strategy<Value = Value> {
    (select(addresses.clone()), 0_u8..=4, option::weighted(0.8, select(addresses))).prop_map(
        |(address, wider, hole)| {
            let full = if address.contains(':') { 128 } else { 32 };
            let length = [0, full - 12, full - 3, full - 1, full][usize::from(wider)];
            let network: ipnet::IpNet = format!("{address}/{length}").parse().expect("a block");
            let hole = hole.and_then(|hole| format!("{hole}/{full}").parse::<ipnet::IpNet>().ok());
            match hole.filter(|hole| network.contains(hole) && length < full) {
                Some(hole) => json!({"ipBlock": {"cidr": network.to_string(), "except": [hole.to_string()]}}),
                None => json!({"ipBlock": {"cidr": network.to_string()}}),
            }
        },
    )
}

fn port() -> impl Strategy<Value = Value> {
    let number = select(&PORTS[..]);
    let which = prop_oneof![
        1 => Just(json!({})),
        3 => number.clone().prop_map(|port| json!({"port": port})),
        2 => (number, 0_u16..=2).prop_map(|(port, more)| json!({"port": port, "endPort": port + more})),
        2 => select(vec!["web", "alt", "none"]).prop_map(|name| json!({"port": name})),
    ];
    (which, option::of(select(vec!["TCP", "UDP", "SCTP"]))).prop_map(|(mut port, protocol)| {
        if let Some(protocol) = protocol {
            port["protocol"] = protocol.into();
        }
        port
    })
}

pub fn selector(key: &'static str, values: &[&'static str]) -> BoxedStrategy<Value> {
    let known: Vec<_> = values.iter().copied().filter(|value| !value.is_empty()).collect();
    let some = subsequence(known.clone(), 1..=known.len());
    let expression = prop_oneof![
        some.clone().prop_map(move |values| json!({"key": key, "operator": "In", "values": values})),
        some.prop_map(move |values| json!({"key": key, "operator": "NotIn", "values": values})),
        any::<bool>().prop_map(move |there| {
            json!({"key": key, "operator": if there { "Exists" } else { "DoesNotExist" }})
        }),
    ];
    prop_oneof![
        1 => Just(json!({})),
        3 => select(known).prop_map(move |value| json!({"matchLabels": {key: value}})),
        2 => expression.clone().prop_map(|one| json!({"matchExpressions": [one]})),
        1 => (expression.clone(), expression).prop_map(|(one, two)| json!({"matchExpressions": [one, two]})),
    ]
    .boxed()
}

/// Specs of the cluster policies of a world, each with a priority of its own. The world's namespaces have its name as their label
/// `world`.
pub fn tiers(world: String) -> impl Strategy<Value = Vec<Value>> {
    let one = (
        select(vec!["Admin", "Admin", "Baseline"]),
        tier_pods(world.clone()),
        tier_rules(world.clone()),
        tier_rules(world),
    );
    vec(one, 1..=3).prop_map(|policies| {
        let spec = |(index, (tier, subject, from, to)): (usize, (&str, Value, Vec<_>, Vec<_>))| {
            json!({"tier": tier, "priority": 10 * index + 5, "subject": subject,
                "ingress": directed(from, "from"), "egress": directed(to, "to")})
        };
        policies.into_iter().enumerate().map(spec).collect()
    })
}

fn directed(rules: Vec<Value>, peers: &str) -> Vec<Value> {
    let rename = |mut rule: Value| {
        let list = rule["peers"].take();
        rule.as_object_mut().expect("a mapping").remove("peers");
        rule[peers] = list;
        rule
    };
    rules.into_iter().map(rename).collect()
}

/// A subject or a peer within a world.
fn tier_pods(world: String) -> impl Strategy<Value = Value> + Clone {
    let namespaces = move |team: Option<&'static str>| match team {
        Some(team) if !team.is_empty() => {
            json!({"matchLabels": {"world": world, "team": team}})
        }
        _ => json!({"matchLabels": {"world": world}}),
    };
    let again = namespaces.clone();
    let team = option::of(select(&TEAMS[..]));
    let whole = team.clone().prop_map(move |team| json!({"namespaces": namespaces(team)}));
    let some = (team, selector("app", &APPS)).prop_map(
        move |(team, pods)| json!({"pods": {"namespaceSelector": again(team), "podSelector": pods}}),
    );
    prop_oneof![whole, some]
}

fn tier_rules(world: String) -> impl Strategy<Value = Vec<Value>> {
    let port = prop_oneof![
        select(vec![80, 81, 82]).prop_map(|port| json!({"tcp": {"destinationPort": {"number": port}}})),
        Just(json!({"udp": {"destinationPort": {"number": 80}}})),
        Just(json!({"tcp": {"destinationPort": {"range": {"start": 80, "end": 81}}}})),
        select(vec!["web", "alt"]).prop_map(|name| json!({"destinationNamedPort": name})),
    ];
    let action = select(vec!["Accept", "Deny", "Deny", "Pass"]);
    let rule = (action, vec(tier_pods(world), 1..=2), option::of(vec(port, 1..=2)));
    let rule = rule.prop_map(|(action, peers, ports)| {
        let mut rule = json!({"action": action, "peers": peers});
        if let Some(ports) = ports {
            rule["protocols"] = ports.into();
        }
        rule
    });
    vec(rule, 0..=3)
}
