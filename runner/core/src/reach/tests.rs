//! Maps of small applications.

use super::*;
use crate::parse;

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
    let (snapshot, problems) = parse::manifests(&[("m.yaml".to_owned(), manifests.as_bytes().to_vec())]);
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
    let told = |lines: &[Line]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(&difference.opens), ["shop/web -> the world tcp/80 (IPv4)"]);
    assert_eq!(told(&difference.closes), ["shop/web -> the world tcp/443 (IPv4)"]);
}
