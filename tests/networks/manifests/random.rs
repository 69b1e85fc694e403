//! Random manifests of policies: valid ones, and valid ones that are damaged in one to three places.

use std::fmt::Write as _;

/// A stream of numbers (xorshift64*): the same seed, the same manifests.
pub struct Random(u64);

/// A YAML tree that can also hold what a tree of values cannot: scalars as they are written, and duplicate keys.
#[derive(Debug, Clone)]
pub enum Tree {
    /// As it is written, without quotes.
    Raw(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits fit") % limit
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| make(self)).collect()
    }
}

fn raw(text: impl Into<String>) -> Tree {
    Tree::Raw(text.into())
}

fn map<const N: usize>(entries: [(&str, Tree); N]) -> Tree {
    Tree::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

const KEYS: &[&str] = &["app", "role", "kubernetes.io/metadata.name", "example.org/tier", "a.b_c-d"];
const VALUES: &[&str] = &["web", "api", "\"\"", "\"1.20\"", "\"yes\"", "a-b_c.d", "2024-01-01"];
const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "192.0.2.0/24",
    "198.51.100.7/32",
    "0.0.0.0/0",
    "\"::/0\"",
    "fd00::/8",
    "2001:db8::1/128",
];
/// Values for places where something else belongs, and values that are read as something else.
const ODD: &[&str] = &[
    "~",
    "null",
    "yes",
    "no",
    "y",
    "N",
    "on",
    "true",
    "\"true\"",
    "1",
    "0",
    "-1",
    "1.20",
    "80.0",
    "080",
    "0120",
    "0x50",
    "1e2",
    "8_0",
    ".5",
    ".inf",
    "65536",
    "99999999999",
    "\"80\"",
    "\"\"",
    "text",
    "\"not a label\"",
    "[]",
    "{}",
    "[{}]",
    "[~]",
    "[1]",
    "2024-01-01",
    "12:30",
    "-a",
    "A",
    "a--b",
    "!!str 5",
    "!!int \"5\"",
    "\"a/b\"",
    "abcdefghijklmnop",
];
const ODD_NETWORKS: &[&str] = &[
    "10.1.2.3/8",
    "10.0.0.0",
    "10.0.0.0/33",
    "010.0.0.0/8",
    "10.0.0.0/08",
    "\"::ffff:10.0.0.0/104\"",
    "\"::1/64\"",
    "fd00:0:0::/48",
    "\"FD00::/8\"",
    "10.0.0/8",
    "\"\"",
    "10.0.0.0/-1",
    "10.0.0.0/+8",
    "\"fe80::1%eth0/64\"",
    "1.2.3.4/0",
    "\" 10.0.0.0/8\"",
    "\"00001::/16\"",
];
const ODD_KEYS: &[&str] = &[
    "y",
    "1",
    "1.5",
    "true",
    "\"a b\"",
    "\"\"",
    "\"/a\"",
    "\"A/b\"",
    "ports",
    "from",
    "to",
    "podselector",
    "podSelectors",
    "matchlabels",
    "cidr",
    "port",
    "protocol",
    "endport",
    "namespaces",
    "labels",
    "status",
    "~",
];

/// A valid manifest of a NetworkPolicy.
pub fn network_policy(random: &mut Random, name: &str) -> Tree {
    let mut spec = Vec::new();
    if !random.one_in(8) {
        spec.push(("podSelector".to_owned(), selector(random)));
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        if random.one_in(2) {
            let rules = random.some(3, |random| rule(random, peers));
            spec.push((direction.to_owned(), Tree::List(rules)));
        }
    }
    if random.one_in(2) {
        let types = [&["Ingress"][..], &["Egress"], &["Ingress", "Egress"], &["Egress", "Ingress"], &[]];
        let types = types[random.below(types.len())];
        spec.push(("policyTypes".to_owned(), Tree::List(types.iter().map(|one| raw(*one)).collect())));
    }
    object("networking.k8s.io/v1", "NetworkPolicy", Some("default"), name, random, spec)
}

fn object(
    version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    random: &mut Random,
    spec: Vec<(String, Tree)>,
) -> Tree {
    let mut metadata = vec![("name".to_owned(), raw(name))];
    if let Some(namespace) = namespace.filter(|_| random.one_in(2)) {
        metadata.push(("namespace".to_owned(), raw(namespace)));
    }
    if random.one_in(4) {
        metadata.push(("labels".to_owned(), labels(random)));
    }
    if random.one_in(4) {
        metadata.push(("annotations".to_owned(), map([("example.org/Note", raw("\"any text: at all\""))])));
    }
    map([
        ("apiVersion", raw(version)),
        ("kind", raw(kind)),
        ("metadata", Tree::Map(metadata)),
        ("spec", Tree::Map(spec)),
    ])
}

fn labels(random: &mut Random) -> Tree {
    let mut labels: Vec<(String, Tree)> =
        random.some(2, |random| (random.pick(KEYS).to_owned(), raw(random.pick(VALUES))));
    labels.dedup_by(|one, other| one.0 == other.0);
    Tree::Map(labels)
}

fn selector(random: &mut Random) -> Tree {
    let mut selector = Vec::new();
    if random.one_in(2) {
        selector.push(("matchLabels".to_owned(), labels(random)));
    }
    if random.one_in(3) {
        let expressions = random.some(2, |random| {
            let mut expression = vec![("key".to_owned(), raw(random.pick(KEYS)))];
            if random.one_in(2) {
                expression.push(("operator".to_owned(), raw(random.pick(&["In", "NotIn"]))));
                let mut values = random.some(1, |random| raw(random.pick(VALUES)));
                values.push(raw(random.pick(VALUES)));
                expression.push(("values".to_owned(), Tree::List(values)));
            } else {
                expression.push(("operator".to_owned(), raw(random.pick(&["Exists", "DoesNotExist"]))));
            }
            Tree::Map(expression)
        });
        selector.push(("matchExpressions".to_owned(), Tree::List(expressions)));
    }
    Tree::Map(selector)
}

fn rule(random: &mut Random, peers: &str) -> Tree {
    let mut rule = Vec::new();
    if random.one_in(2) {
        rule.push((peers.to_owned(), Tree::List(random.some(3, peer))));
    }
    if random.one_in(2) {
        rule.push(("ports".to_owned(), Tree::List(random.some(3, port))));
    }
    Tree::Map(rule)
}

fn peer(random: &mut Random) -> Tree {
    match random.below(4) {
        0 => map([("podSelector", selector(random))]),
        1 => map([("namespaceSelector", selector(random))]),
        2 => map([("namespaceSelector", selector(random)), ("podSelector", selector(random))]),
        _ => {
            let (cidr, except) = match random.below(3) {
                0 => ("10.0.0.0/8", &["10.1.0.0/16", "10.2.3.4/32"][..]),
                1 => ("\"::/0\"", &["fd00::/8"][..]),
                _ => (random.pick(NETWORKS), &[][..]),
            };
            let mut block = vec![("cidr".to_owned(), raw(cidr))];
            if !except.is_empty() {
                block.push(("except".to_owned(), Tree::List(except.iter().map(|one| raw(*one)).collect())));
            }
            map([("ipBlock", Tree::Map(block))])
        }
    }
}

fn port(random: &mut Random) -> Tree {
    let mut port = Vec::new();
    if random.one_in(2) {
        port.push(("protocol".to_owned(), raw(random.pick(&["TCP", "UDP", "SCTP"]))));
    }
    match random.below(4) {
        0 => port.push(("port".to_owned(), raw(random.pick(&["80", "443", "0120", "1e2", "80.0", "65535"])))),
        1 => port.push(("port".to_owned(), raw(random.pick(&["web", "1a", "metrics-2"])))),
        2 => {
            port.push(("port".to_owned(), raw("8000")));
            port.push(("endPort".to_owned(), raw(random.pick(&["8000", "8080", "9000.0", "65535"]))));
        }
        _ => {}
    }
    Tree::Map(port)
}

/// A valid manifest of a `ClusterNetworkPolicy`.
pub fn cluster_policy(random: &mut Random, name: &str) -> Tree {
    let mut spec = vec![
        ("tier".to_owned(), raw(random.pick(&["Admin", "Baseline"]))),
        ("priority".to_owned(), raw(random.pick(&["0", "10", "1000"]))),
        ("subject".to_owned(), pods(random)),
    ];
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        if random.one_in(2) {
            let rules = random.some(3, |random| tier_rule(random, peers));
            spec.push((direction.to_owned(), Tree::List(rules)));
        }
    }
    object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", None, name, random, spec)
}

fn pods(random: &mut Random) -> Tree {
    if random.one_in(2) {
        return map([("namespaces", selector(random))]);
    }
    let mut pods = vec![("podSelector".to_owned(), selector(random))];
    if random.one_in(2) {
        pods.push(("namespaceSelector".to_owned(), selector(random)));
    }
    map([("pods", Tree::Map(pods))])
}

fn tier_rule(random: &mut Random, peers: &str) -> Tree {
    let mut list = random.some(2, |random| tier_peer(random, peers));
    list.push(tier_peer(random, peers));
    let mut rule = vec![
        ("action".to_owned(), raw(random.pick(&["Accept", "Deny", "Pass"]))),
        (peers.to_owned(), Tree::List(list)),
    ];
    if random.one_in(3) {
        rule.push(("name".to_owned(), raw("\"a rule\"")));
    }
    if random.one_in(2) {
        let mut protocols = random.some(2, protocol);
        protocols.push(protocol(random));
        rule.push(("protocols".to_owned(), Tree::List(protocols)));
    }
    Tree::Map(rule)
}

fn tier_peer(random: &mut Random, peers: &str) -> Tree {
    if peers == "to" && random.one_in(3) {
        let networks = [&["10.0.0.0/8", "fd00::/8"][..], &["0.0.0.0/0"], &["10.1.2.3/8"]];
        let networks = networks[random.below(networks.len())];
        return map([("networks", Tree::List(networks.iter().map(|one| raw(*one)).collect()))]);
    }
    pods(random)
}

fn protocol(random: &mut Random) -> Tree {
    if random.one_in(4) {
        return map([("destinationNamedPort", raw(random.pick(&["web", "Any-Text", "\"\""])))]);
    }
    let port = if random.one_in(2) {
        map([("number", raw(random.pick(&["80", "0120", "65535"])))])
    } else {
        map([("range", map([("start", raw("80")), ("end", raw(random.pick(&["81", "9000.0"])))]))])
    };
    map([(random.pick(&["tcp", "udp", "sctp"]), map([("destinationPort", port)]))])
}

/// Damages a manifest below `metadata` and `spec` in some places.
pub fn damage(random: &mut Random, manifest: &mut Tree, places: usize) {
    for _ in 0..places {
        let Tree::Map(top) = manifest else { return };
        // Nine of ten damages are in the policy itself.
        let at = if random.one_in(10) { 2 } else { 3 };
        let depth = random.below(9);
        hurt(random, &mut top[at].1, depth);
    }
}

/// Goes down at random and damages what it reaches.
fn hurt(random: &mut Random, tree: &mut Tree, depth: usize) {
    let children = match tree {
        Tree::Raw(_) => 0,
        Tree::List(items) => items.len(),
        Tree::Map(entries) => entries.len(),
    };
    if depth > 0 && children > 0 {
        let child = random.below(children);
        match tree {
            Tree::List(items) => return hurt(random, &mut items[child], depth - 1),
            Tree::Map(entries) => return hurt(random, &mut entries[child].1, depth - 1),
            Tree::Raw(_) => {}
        }
    }
    match tree {
        Tree::Raw(text) => {
            let pool = if text.contains('/') && random.one_in(2) { ODD_NETWORKS } else { ODD };
            random.pick(pool).clone_into(text);
        }
        Tree::List(items) => match random.below(5) {
            0 => items.push(raw(random.pick(ODD))),
            1 => items.push(raw("~")),
            2 if !items.is_empty() => {
                let again = items[random.below(items.len())].clone();
                items.push(again);
            }
            3 => items.extend(std::iter::repeat_n(items.first().cloned(), 25).flatten()),
            _ => *tree = raw(random.pick(ODD)),
        },
        Tree::Map(entries) if entries.is_empty() || random.one_in(6) => {
            entries.push((random.pick(ODD_KEYS).to_owned(), raw(random.pick(ODD))));
        }
        Tree::Map(entries) => {
            let at = random.below(entries.len());
            match random.below(7) {
                0 => {
                    entries.remove(at);
                }
                1 => random.pick(ODD_KEYS).clone_into(&mut entries[at].0),
                2 => {
                    let again = entries[at].clone();
                    entries.push(again);
                }
                3 => entries[at].1 = Tree::List(vec![entries[at].1.clone()]),
                4 => entries[at].1 = map([("spec", entries[at].1.clone())]),
                // Moves the content one level up.
                5 => {
                    if let Tree::Map(inner) = entries[at].1.clone() {
                        entries.remove(at);
                        entries.extend(inner);
                    }
                }
                _ => entries[at].1 = raw(random.pick(ODD)),
            }
        }
    }
}

impl Tree {
    /// As YAML: mappings and lists on one line.
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Raw(scalar) => text.push_str(scalar),
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { ", " } else { "" });
                    item.write(text);
                }
                text.push(']');
            }
            Self::Map(entries) => {
                text.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    let _ = write!(text, "{}{key}: ", if index > 0 { ", " } else { " " });
                    value.write(text);
                }
                text.push_str(" }");
            }
        }
    }
}
