//! Maps of small applications.

use super::*;
use crate::snapshot;

const SHOP: &str = r"
{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }
---
{ apiVersion: apps/v1, kind: Deployment, metadata: { name: web, namespace: shop }, spec: { template: { metadata: { labels: { app: web } }, spec: { containers: [{ ports: [{ containerPort: 8080 }] }] } } } }
---
{ apiVersion: apps/v1, kind: Deployment, metadata: { name: db, namespace: shop }, spec: { template: { metadata: { labels: { app: db } }, spec: { containers: [{ name: c }] } } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: db, namespace: shop }, spec: { selector: { app: db }, ports: [{ port: 5432, targetPort: 6000 }] } }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: shop }
spec: { podSelector: { matchLabels: { app: db } }, policyTypes: [Ingress, Egress], ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress, Egress]
  ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.9.0.0/16] } }], ports: [{ port: 8080 }] }]
  egress: [{ to: [{ podSelector: {} }] }, { to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8] } }], ports: [{ port: 443 }] }]
";

fn reach(manifests: &str) -> Reach {
    let (snapshot, problems) = snapshot::manifests(&[("m.yaml".to_owned(), manifests.as_bytes().to_vec())]);
    assert!(problems.is_empty(), "{problems:#?}");
    Reach::of(&snapshot)
}

fn lines(reach: &Reach) -> Vec<String> {
    reach.lines().iter().map(ToString::to_string).collect()
}

#[test]
fn a_map_has_workloads_the_world_and_blocks() {
    let shop = reach(SHOP);
    assert_eq!(shop.ends, ["shop/db", "shop/web", WORLD, "10.0.0.0/8", "10.9.0.0/16"]);
    assert_eq!(
        lines(&shop),
        [
            "10.0.0.0/8 -> shop/web tcp/8080",
            "shop/web -> shop/db tcp/6000",
            "shop/web -> the world tcp/443 (IPv4)"
        ]
    );
}

#[test]
fn without_policies_everybody_may_reach_everything() {
    let (pods, _) = SHOP.split_once("---\napiVersion: networking").expect("there are policies");
    let shop = reach(pods);
    assert_eq!(shop.ends.len(), 3);
    assert!(lines(&shop).contains(&"the world -> shop/db tcp/6000".to_owned()), "{shop:#?}");
    assert!(lines(&shop).contains(&"shop/db -> the world tcp/*".to_owned()), "{shop:#?}");
}

#[test]
fn a_change_opens_and_closes() {
    let before = reach(SHOP);
    let after = reach(
        &SHOP
            .replace("{ port: 443 }", "{ port: 80 }")
            .replace("matchLabels: { app: web } } }] }] }", "{ } } }] }] }")
            .replace("podSelector: { { } }", "podSelector: { }"),
    );
    let difference = before.difference(&after);
    assert_eq!(told(&difference.opens), ["shop/web -> the world tcp/80 (IPv4)"]);
    assert_eq!(told(&difference.closes), ["shop/web -> the world tcp/443 (IPv4)"]);
}

fn told(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.line.to_string()).collect()
}

/// What changes from one map to another, by the lines of both.
fn changes(before: &Reach, after: &Reach) -> [Vec<String>; 2] {
    let difference = before.difference(after);
    [told(&difference.opens), told(&difference.closes)]
}

fn map_of(ends: &[&str], lines: &[(&str, &str, &[&str])]) -> Reach {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let connection = |(from, to, ports): &(&str, &str, &[&str])| Connection {
        from: (*from).to_owned(),
        to: (*to).to_owned(),
        ports: texts(ports),
        open: Vec::new(),
    };
    Reach { ends: texts(ends), connections: lines.iter().map(connection).collect() }
}

#[test]
fn ports_are_compared_by_what_they_mean() {
    type Ports = &'static [&'static str];
    let cases: &[(Ports, Ports, Ports, Ports)] = &[
        (&["tcp/443"], &["tcp/*"], &["tcp/* but 443"], &[]),
        (&["tcp/*"], &["tcp/443"], &[], &["tcp/* but 443"]),
        (&["tcp/*"], &["tcp/* but 22,23"], &[], &["tcp/22", "tcp/23"]),
        (&["tcp/* but 22"], &["tcp/* but 23", "tcp/22"], &["tcp/22"], &["tcp/23"]),
        (&["tcp/80"], &["tcp/80 (IPv4)"], &[], &["tcp/80 (IPv6)"]),
        (&["tcp/80 (IPv4)"], &["tcp/80", "udp/53"], &["tcp/80 (IPv6)", "udp/53"], &[]),
        (&["tcp/* (IPv6)", "tcp/80"], &["tcp/*"], &["tcp/* but 80 (IPv4)"], &[]),
    ];
    for (before, after, opens, closes) in cases {
        let ends = ["a/a", "a/b"];
        let [before, after] = [before, after].map(|ports| map_of(&ends, &[("a/a", "a/b", ports)]));
        let lines =
            |ports: &[&str]| ports.iter().map(|port| format!("a/a -> a/b {port}")).collect::<Vec<_>>();
        assert_eq!(changes(&before, &after), [lines(opens), lines(closes)], "{before:?}");
    }
}

#[test]
fn a_block_that_only_one_map_names_is_part_of_what_is_around_it() {
    let open = map_of(&["a/a", WORLD], &[(WORLD, "a/a", &["tcp/80"])]);
    let ends = ["a/a", WORLD, "10.0.0.0/8", "10.1.0.0/16"];
    let limited = map_of(&ends, &[("10.0.0.0/8", "a/a", &["tcp/80"])]);
    let none: Vec<String> = Vec::new();
    let closed = ["10.1.0.0/16 -> a/a tcp/80", "the world -> a/a tcp/80"].map(str::to_owned).to_vec();
    assert_eq!(changes(&open, &limited), [none.clone(), closed.clone()]);
    assert_eq!(changes(&limited, &open), [closed, none]);
    let wider = map_of(&["a/a", WORLD, "10.0.0.0/8"], &[("10.0.0.0/8", "a/a", &["tcp/80"])]);
    assert_eq!(changes(&limited, &wider), [vec!["10.1.0.0/16 -> a/a tcp/80".to_owned()], vec![]]);
}

#[test]
fn a_denied_port_is_told_where_all_others_are_allowed() {
    let (pods, _) = SHOP.split_once("---\napiVersion: networking").expect("there are policies");
    let policy = "---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: no-ssh }
spec:
  tier: Admin
  priority: 1
  subject: { namespaces: {} }
  egress: [{ action: Deny, to: [{ networks: [0.0.0.0/0] }], protocols: [{ tcp: { destinationPort: { number: 22 } } }] }]
";
    let (before, after) = (reach(pods), reach(&format!("{pods}{policy}")));
    let [opens, closes] = changes(&before, &after);
    assert!(opens.is_empty(), "{opens:?}");
    assert_eq!(closes, ["shop/db -> the world tcp/22 (IPv4)", "shop/web -> the world tcp/22 (IPv4)"]);
    let world: Vec<String> =
        lines(&after).into_iter().filter(|line| line.starts_with("shop/db -> the")).collect();
    let tcp = ["shop/db -> the world tcp/* but 22", "shop/db -> the world tcp/22 (IPv6)"];
    assert!(tcp.iter().all(|line| world.contains(&(*line).to_owned())), "{world:#?}");
}

#[test]
fn a_change_says_which_rules_decided_before_and_after() {
    let snapshot = |text: &str| snapshot::manifests(&[("m.yaml".to_owned(), text.as_bytes().to_vec())]).0;
    let before = snapshot(SHOP);
    let opened = SHOP
        .replace("ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }]", "ingress: [{}]");
    let gone =
        SHOP.replace("ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }]", "ingress: []");
    let explained = |after: &Snapshot| {
        let mut difference = Reach::of(&before).difference(&Reach::of(after));
        difference.explain(Some(&before), Some(after));
        difference
    };
    let difference = explained(&snapshot(&opened));
    let world = difference.opens.iter().find(|change| change.line.from == WORLD).expect("the world gets in");
    let [old, new] = [&world.before, &world.after].map(|why| why.as_ref().expect("the policies are known"));
    assert_eq!((old.answer, new.answer), ("deny", "allow"));
    assert_eq!(old.reason, "NetworkPolicy shop/db isolates shop/db for ingress, and no rule of it matches");
    assert_eq!(old.rules[0].field, None);
    let rule = Cited {
        policy: "NetworkPolicy shop/db".to_owned(),
        field: Some("spec.ingress[0]".to_owned()),
        at: Some("m.yaml:13:94".to_owned()),
    };
    assert_eq!(
        (new.reason.as_str(), &new.rules[..]),
        ("NetworkPolicy shop/db, ingress rule 1 lets it in", &[rule][..])
    );
    let difference = explained(&snapshot(&gone));
    let closed = difference.closes[0].after.as_ref().expect("the policies are known");
    assert_eq!((closed.answer, closed.rules[0].at.is_some()), ("deny", true));

    let deaf = snapshot(&SHOP.replace("containerPort: 8080", "containerPort: 8081"));
    let difference = explained(&deaf);
    let told = difference.closes[0].after.as_ref().map(|why| (why.answer, why.reason.as_str()));
    assert_eq!(told, Some(("not-listening", "shop/web is known to listen on tcp/8081 only")));
    let without = snapshot(&SHOP.replace(
        "name: web, namespace: shop }, spec: { template",
        "name: front, namespace: shop }, spec: { template",
    ));
    let told: Vec<_> = explained(&without).closes.into_iter().filter_map(|change| change.after).collect();
    assert!(told.iter().all(|why| why.reason == "there is no shop/web"), "{told:#?}");
}
