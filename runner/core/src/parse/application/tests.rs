//! A rendered chart, and what a scenario makes of it.

use crate::{
    parse::{Loaded, scenario},
    scenario::Scenario,
    text::Problem,
};

/// What a chart renders to: three tiers, a sidecar, Services with and without declared ports, and objects that a scenario
/// ignores.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: shop } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  template:
    metadata: { labels: { app: web, version: "1.20" } }
    spec:
      containers: [{ name: web, ports: [{ name: http, containerPort: 8080 }] }]
      initContainers: [{ name: mesh, restartPolicy: Always, ports: [{ name: admin, containerPort: 15000 }] }, { name: once, ports: [{ containerPort: 1 }] }]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, namespace: shop }
spec: { template: { metadata: { labels: { app: db } }, spec: { containers: [{ name: db }] } } }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: report, namespace: shop }
spec: { jobTemplate: { spec: { template: { metadata: { labels: { app: report } }, spec: { containers: [{ name: c }] } } } } }
---
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: Service, metadata: { name: web, namespace: shop }, spec: { selector: { app: web }, ports: [{ port: 80, targetPort: http }] } }
  - { apiVersion: v1, kind: Service, metadata: { name: db, namespace: shop }, spec: { selector: { app: db }, ports: [{ port: 5432 }] } }
  - { apiVersion: v1, kind: Service, metadata: { name: db-headless, namespace: shop }, spec: { clusterIP: None, selector: { app: db }, ports: [{ port: 5432 }] } }
  - { apiVersion: v1, kind: Service, metadata: { name: bank, namespace: shop }, spec: { type: ExternalName, externalName: bank.example } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: web, namespace: shop }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: shop }
spec: { podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: dns, namespace: kube-system }
spec: { podSelector: {} }
"#;

fn read(scenario_text: &str, manifests: &str) -> Result<Scenario, Vec<Problem>> {
    let load = &mut |path: &str| match path {
        "shop.yaml" => {
            Ok(vec![Loaded { name: "shop.yaml".to_owned(), bytes: manifests.as_bytes().to_vec() }])
        }
        _ => Err("there is no such file".to_owned()),
    };
    scenario("test.yaml", scenario_text.as_bytes(), load)
}

fn shop(rest: &str) -> Scenario {
    let text = format!("scenario: the shop\nmanifests: [{{ file: shop.yaml }}]\n{rest}");
    read(&text, SHOP).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn messages(manifests: &str, rest: &str) -> Vec<String> {
    let text = format!("scenario: the shop\nmanifests: [{{ file: shop.yaml }}]\n{rest}");
    let problems = read(&text, manifests).expect_err("it is wrong");
    let shown = |p: Problem| format!("{}:{}: {}", p.at.file, p.at.line, p.message);
    problems.into_iter().map(shown).collect()
}

#[test]
fn a_scenario_takes_workloads_services_and_policies_from_manifests() {
    let shop = shop(
        "expect: { allow: [shop/web -> shop/db tcp/5432, shop/db -> shop/web http], otherwise: policy }\n",
    );
    let workloads: Vec<String> = shop
        .topology
        .workloads
        .iter()
        .map(|(name, spec)| {
            let listens = spec.listens.iter().map(|l| {
                let name = l.name.clone().map(|n| n + ":").unwrap_or_default();
                format!("{name}{}{}", l.listener.port, if l.sidecar { " of a sidecar" } else { "" })
            });
            format!("{name} {}", listens.collect::<Vec<_>>().join(","))
        })
        .collect();
    assert_eq!(workloads, ["shop/db 5432", "shop/report ", "shop/web http:8080,admin:15000 of a sidecar"]);
    let labels = &shop.topology.workloads[&"shop/web".parse().expect("a name")].labels;
    assert_eq!(labels["version"], "1.20");
    assert_eq!(shop.topology.namespaces["shop"]["team"], "shop");
    let services: Vec<String> = shop.topology.services.keys().map(ToString::to_string).collect();
    assert_eq!(services, ["shop/db", "shop/web"]);
    assert_eq!(shop.steps[0].changes.len(), 1, "the policy of kube-system is not applied");
    assert_eq!(shop.steps[0].expectations.len(), 6);
    let notes = shop.notes.join("\n");
    for part in [
        "Service shop/db-headless is passed over: a headless",
        "Service shop/bank is passed over: ExternalName",
        "passed over: 1 ConfigMap, 1 NetworkPolicy in kube-system",
        "no flow can go there: shop/report",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
}

#[test]
fn what_the_scenario_writes_itself_comes_to_it_and_wins() {
    let shop = shop(
        "namespaces: { outside: }\nworkloads:\n  outside/stranger:\n  shop/db: { labels: { app: db, tier: data }, listens: [metrics: tcp/5432, tcp/9090] }\n\
         policies: [{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: mine, namespace: shop }, spec: { podSelector: {} } }]\n\
         expect: { deny: [outside/stranger -> shop/* ] }\n",
    );
    let db = &shop.topology.workloads[&"shop/db".parse().expect("a name")];
    assert_eq!((db.labels["tier"].as_str(), db.listens.len()), ("data", 2));
    assert_eq!(db.listens[0].name.as_deref(), Some("metrics"));
    assert_eq!(shop.topology.namespaces["shop"]["team"], "shop");
    assert_eq!(shop.steps[0].changes.len(), 2);
}

#[test]
fn with_steps_the_policies_come_first() {
    let shop = shop(
        "steps: [{ step: as rendered, expect: policy }, { step: and without, delete: NetworkPolicy shop/db, expect: { allow: [shop/report -> shop/db] } }]\n",
    );
    assert_eq!(shop.steps[0].changes.len(), 1);
    assert_eq!(shop.steps[1].changes.len(), 1);
}

#[test]
fn manifests_without_a_namespace_get_the_one_that_is_named() {
    let text = "scenario: s\nmanifests: [{ file: shop.yaml, namespace: here }]\nworkloads: { here/other: }\nexpect: policy\n";
    let pod = "{ apiVersion: v1, kind: Pod, metadata: { name: p.q }, spec: { containers: [{ name: c, ports: [{ containerPort: 80 }] }] } }";
    let scenario = read(text, pod).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let names: Vec<String> = scenario.topology.workloads.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["here/other", "here/p-q"]);
    assert!(
        scenario.notes.iter().any(|note| note.starts_with("the manifests have no policies")),
        "{:?}",
        scenario.notes
    );
}

#[test]
fn problems_are_told_at_their_place_in_the_manifest() {
    let wrong = SHOP.replace("port: 80, targetPort: http", "port: 80, targetPort: htp");
    let notes = read("scenario: s\nmanifests: [{ file: shop.yaml }]\nexpect: policy\n", &wrong)
        .expect("all is well")
        .notes;
    assert!(
        notes
            .iter()
            .any(|note| note == "Service shop/web is passed over: it leads to none of these workloads"),
        "{notes:?}"
    );
    let label = SHOP.replace("{ app: web, version: \"1.20\" }", "{ app: web, version: 1.20 }");
    let told = messages(&label, "expect: policy\n");
    assert!(told[0].starts_with("shop.yaml:11: "), "{told:?}");
    let template = "metadata:\n  name: {{ include \"shop.fullname\" . }}\n  labels: {{- toYaml .x }}\n";
    let told = messages(template, "expect: policy\n");
    assert!(
        told.iter().any(|line| line == "shop.yaml:2: this is a template, and not what it renders to"),
        "{told:?}"
    );
    let told = messages("{ apiVersion: v1, kind: ConfigMap, metadata: { name: c } }", "expect: policy\n");
    assert!(told.iter().any(|line| line == "test.yaml:2: these manifests have no workloads"), "{told:?}");
    let told = messages(SHOP, "expect: { allow: [shop/db -> shop/web htp] }\n");
    assert_eq!(told, ["test.yaml:3: no port of shop/web is named 'htp'"]);
}
