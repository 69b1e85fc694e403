//! Contradictions and doubts, with their places.

use super::scenario;
use crate::{parse, policy::ApiServer, snapshot::manifests, text::Severity};

/// What is wrong with a scenario: severity, line, message, related lines.
fn found(text: &str) -> Vec<(Severity, u32, String, Vec<u32>)> {
    let load: &mut parse::Load<'_> = &mut |_| Err("there are no files".to_owned());
    let read =
        parse::scenario("s.yaml", text.as_bytes(), load).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let problems = scenario(&read, &ApiServer::default()).into_iter();
    problems
        .map(|p| (p.severity, p.at.line, p.message, p.related.iter().map(|(at, _)| at.line).collect()))
        .collect()
}

const HEAD: &str = "scenario: it is denied
namespaces: { app: { labels: { purpose: app } }, data: }
workloads:
  app/api:
  data/db: { labels: { app: db }, listens: [tcp/5432, udp/5432] }
  data/backup: { listens: [tcp/1] }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: db, namespace: data }
    spec:
";

fn with(rest: &str) -> Vec<(Severity, u32, String, Vec<u32>)> {
    found(&format!("{HEAD}{rest}"))
}

#[test]
fn contradictions_name_the_rule_at_both_places() {
    let found = with(
        "      podSelector: { matchLabels: { app: db } }
      ingress:
        - from: [{ podSelector: {} }]
        - from: [{ namespaceSelector: { matchLabels: { purpose: app } } }]
          ports: [{ port: 5432 }]
expect:
  allow: [app/api -> data/db udp/5432]
  deny:
    - app/api -> data/db tcp/5432
    - data/backup -> data/db
",
    );
    let places: Vec<_> = found.iter().map(|(s, line, _, related)| (*s, *line, related.clone())).collect();
    assert_eq!(
        places,
        [(Severity::Error, 20, vec![15]), (Severity::Error, 18, vec![8]), (Severity::Error, 21, vec![14])],
        "{found:#?}"
    );
    assert!(found[0].2.contains("NetworkPolicy data/db, ingress rule 2 lets it in"), "{}", found[0].2);
    assert!(found[1].2.contains("isolates data/db for ingress, and no rule of it matches"), "{}", found[1].2);
}

#[test]
fn a_family_alone_is_named() {
    let found = with(
        "      podSelector: { matchLabels: { app: db } }
      ingress: [{ from: [{ ipBlock: { cidr: 0.0.0.0/0 } }] }]
expect: { allow: [app/api -> data/db tcp/5432] }
",
    );
    assert!(found[0].2.contains("'deny' over IPv6"), "{found:?}");
}

#[test]
fn what_depends_on_the_cluster_is_no_contradiction() {
    for expectation in ["allow", "deny"] {
        let text = format!(
            "      podSelector: {{}}
      ingress: [{{ from: [{{ ipBlock: {{ cidr: 10.0.0.0/8 }} }}] }}]
      egress: [{{ to: [{{ ipBlock: {{ cidr: fd00::/8 }} }}] }}]
families: [4]
expect: {{ {expectation}: [app/api -> data/db tcp/5432] }}
"
        );
        assert_eq!(with(&text), [], "{expectation}");
    }
}

#[test]
fn steps_labels_and_deletions_count() {
    let text = "scenario: labels
namespaces: { a: }
workloads: { a/x: , a/y: { labels: { role: y }, listens: [tcp/80] } }
steps:
  - apply:
      - apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: p, namespace: a }
        spec: { podSelector: { matchLabels: { role: \"y\" } } }
    expect: { deny: [a/x -> a/y] }
  - label: { a/y: { role: null } }
    expect: { deny: [a/x -> a/y] }
  - label: { a/y: { role: y } }
    expect: { deny: [a/x -> a/y] }
  - delete: NetworkPolicy a/p
    expect: { deny: [a/x -> a/y] }
";
    let lines: Vec<u32> = found(text).iter().map(|(_, line, ..)| *line).collect();
    assert_eq!(lines, [12, 16]);
}

#[test]
fn rejections_have_the_path_of_the_api_server() {
    let found = with(
        "      podSelector: {}
      ingress:
        - from: [{}]
          ports: [{ port: 80, endPort: 70 }]
        - form: [{ podSelector: {} }]
expect: { allow: [data/backup -> data/db] }
",
    );
    let rejected: Vec<_> =
        found.iter().map(|(_, line, message, _)| (*line, message.as_str())).take(3).collect();
    assert_eq!(
        rejected,
        [
            (15, "spec.ingress[0].ports[0].endPort: must not be less than the port, which is 80"),
            (14, "spec.ingress[0].from[0]: must specify a peer"),
            (16, "spec.ingress[1].form: unknown field 'form'"),
        ]
    );
}

#[test]
fn doubts_are_warnings() {
    let rules = "      podSelector: { matchLabels: { app: db } }\n";
    let end = "expect: { unchecked: [], otherwise: policy }\n";
    let twice = format!("{rules}      egress: []\n{end}");
    for (text, words) in [
        (twice.as_str(), "egress: [] without policyTypes denies all ingress"),
        (&format!("{rules}      egress: [{{}}]\n{end}"), "also deny all ingress"),
        (&format!("{rules}      ingress: [{{ from: [] }}]\n{end}"), "from: [] allows everybody"),
        (&format!("      podSelector: {{ matchLabels: {{ app: pg }} }}\n{end}"), "selects no pod of data"),
        (
            &format!(
                "{rules}      ingress: [{{ from: [{{ podSelector: {{ matchLabels: {{ role: api }} }} }}] }}]\n{end}"
            ),
            "selects no pod of data",
        ),
        (
            &format!(
                "{rules}      ingress: [{{ from: [{{ namespaceSelector: {{ matchLabels: {{ purpose: ap }} }} }}] }}]\n{end}"
            ),
            "matches no namespace",
        ),
        (
            &format!("{rules}      ingress: [{{ from: [{{ ipBlock: {{ cidr: 10.1.2.3/8 }} }}] }}]\n{end}"),
            "'10.1.2.3/8' has bits beyond its mask: it may be taken for 10.0.0.0/8 or for 10.1.2.3/32",
        ),
        (
            &format!("{rules}      ingress: [{{ ports: [{{ port: 5433 }}] }}]\n{end}"),
            "no pod that the policy selects has TCP 5433",
        ),
        (
            &format!("{rules}      ingress: [{{ ports: [{{ port: pg }}] }}]\n{end}"),
            "has the TCP port named pg",
        ),
    ] {
        let found = with(text);
        assert!(
            found.iter().any(|(s, _, message, _)| *s == Severity::Warning && message.contains(words)),
            "{words}: {found:#?}"
        );
    }
    let fine = format!(
        "{rules}      ingress: [{{ from: [{{ ipBlock: {{ cidr: $ip4(app/api)/32 }} }}], ports: [{{ port: 5432 }}] }}]\n{end}"
    );
    assert_eq!(with(&fine), []);
    let loose = with(&fine.replace("/32", "/24"));
    assert!(loose[0].2.contains("the address of a pod has bits beyond this mask"), "{loose:?}");
}

#[test]
fn dns_that_is_forgotten_is_said() {
    let text = |expect: &str| {
        format!(
            "{HEAD}      podSelector: {{ matchLabels: {{ app: db }} }}\n      policyTypes: [Egress]\n      egress: [{{ ports: [{{ port: 5432 }}] }}]\n{expect}"
        )
    };
    let forgotten = found(&text("expect: { allow: [data/db -> data/db tcp/5432] }\n"));
    assert!(forgotten[0].2.contains("NetworkPolicy data/db forgets DNS"), "{forgotten:?}");
    let thought_of = text("expect: { deny: [data/db -> cluster-dns] }\n");
    assert_eq!(found(&thought_of), []);
}

#[test]
fn equal_priorities_are_doubtful_for_a_common_subject_only() {
    let warned = |first: &str, second: &str, team: &str| {
        let policy = |name: &str, selector: &str| {
            format!(
                "      - apiVersion: policy.networking.k8s.io/v1alpha2
        kind: ClusterNetworkPolicy
        metadata: {{ name: {name} }}
        spec:
          tier: Admin
          priority: 5
          subject: {{ pods: {{ namespaceSelector: {{ matchLabels: {selector} }}, podSelector: {{}} }} }}
          ingress: [{{ action: Accept, from: [{{ namespaces: {{}} }}] }}]
"
            )
        };
        let (first, second) = (policy("one", first), policy("two", second));
        let text = format!(
            "scenario: equal priorities
namespaces: {{ app: {{ labels: {{ team: red, kind: app }} }}, other: {{ labels: {{ kind: other }} }} }}
workloads: {{ app/api: {{ listens: [tcp/80] }}, other/api: {{ listens: [tcp/80] }} }}
steps:
  - step: both
    apply:
{first}{second}    expect: {{ unchecked: [], otherwise: policy }}
  - step: labelled
    label: {{ namespace app: {{ team: {team} }} }}
    expect: {{ unchecked: [], otherwise: policy }}
"
        );
        let priorities =
            found(&text).into_iter().filter(|(_, _, message, _)| message.contains("same tier and priority"));
        priorities.count() > 0
    };
    assert!(warned("{ kind: app }", "{ team: red }", "red"));
    assert!(warned("{ kind: app }", "{ team: blue }", "blue"), "the namespace gets that label later");
    assert!(!warned("{ kind: app }", "{ kind: other }", "red"));
    assert!(!warned("{ team: red }", "{ team: blue }", "blue"), "it never has both labels");
}

/// The warnings of plain manifests.
fn warnings(text: &str) -> Vec<String> {
    let (snapshot, _) = manifests(&[("m.yaml".to_owned(), text.as_bytes().to_vec())]);
    super::snapshot(&snapshot, &ApiServer::default()).into_iter().map(|problem| problem.message).collect()
}

#[test]
fn every_cluster_has_namespaces_that_no_manifest_brings() {
    let with = |namespaces: &str, pods: &str| {
        let text = format!(
            "apiVersion: v1
kind: Namespace
metadata: {{ name: app }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: web, namespace: app, labels: {{ app: web }} }}
spec: {{ containers: [{{ name: web, image: web }}] }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{ name: p, namespace: app }}
spec:
  podSelector: {{}}
  policyTypes: [Egress]
  egress:
    - to: [{{ namespaceSelector: {namespaces}, podSelector: {pods} }}]
      ports: [{{ port: 53, protocol: UDP }}, {{ port: 53 }}]
"
        );
        warnings(&text).into_iter().filter(|message| message.contains(" no ")).collect::<Vec<_>>()
    };
    let named = |name: &str| format!("{{ matchLabels: {{ kubernetes.io/metadata.name: {name} }} }}");
    let dns = "{ matchLabels: { k8s-app: kube-dns } }";
    for (namespaces, pods) in [
        (named("kube-system"), dns),
        (named("kube-system"), "{ matchLabels: { k8s-app: metrics-server } }"),
        (named("default"), "{}"),
        ("{}".to_owned(), dns),
    ] {
        assert_eq!(with(&namespaces, pods), [""; 0], "{namespaces} {pods}");
    }
    assert_eq!(with(&named("kube-sistem"), dns).len(), 1);
    assert_eq!(with("{}", "{ matchLabels: { app: wep } }").len(), 1);
}

const EGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p, namespace: app }
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
";

#[test]
fn dns_on_another_port_is_known_where_no_name_server_is() {
    let with = |ports: &str| warnings(&format!("{EGRESS}    - ports: {ports}\n"));
    assert_eq!(with("[{ protocol: UDP, port: 53 }, { port: 53 }]"), [""; 0]);
    assert_eq!(with("[{ protocol: UDP, port: 5353 }, { port: 5353 }]"), [""; 0]);
    assert_eq!(with("[{ protocol: UDP, port: dns }, { port: dns-tcp }]"), [""; 0]);
    assert!(with("[{ protocol: UDP, port: 53 }]")[0].contains("opens DNS over UDP alone"));
    assert!(with("[{ port: 443 }]")[0].contains("no rule for egress opens UDP 53"));
}

#[test]
fn a_namespace_by_name_is_doubtful_also_where_no_namespace_is_known() {
    let with = |selector: &str| {
        warnings(&format!("{EGRESS}    - to: [{{ namespaceSelector: {{ matchLabels: {selector} }} }}]\n"))
    };
    assert!(
        with("{ name: kube-system }")[0].contains("no manifest gives a namespace the label name=kube-system")
    );
    assert_eq!(with("{ kubernetes.io/metadata.name: kube-system }"), [""; 0]);
    assert_eq!(with("{ team: red }"), [""; 0]);
}

#[test]
fn the_port_of_a_service_is_not_that_of_its_pods() {
    let around = |targets: &str, port: u16| {
        let text = format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{ name: db, namespace: app }}
spec: {{ template: {{ metadata: {{ labels: {{ app: db }} }}, spec: {{ containers: [{{ name: c }}] }} }} }}
---
apiVersion: v1
kind: Service
metadata: {{ name: db, namespace: app }}
spec: {{ type: NodePort, selector: {{ app: db }}, ports: [{{ port: 80, targetPort: {targets}, nodePort: 30080 }}] }}
---
{EGRESS}    - to: [{{ podSelector: {{ matchLabels: {{ app: db }} }} }}]
      ports: [{{ port: {port} }}]
    - ports: [{{ protocol: UDP, port: 53 }}, {{ port: 53 }}]
"
        );
        warnings(&text)
    };
    assert!(
        around("8080", 80)[0]
            .contains("TCP 80 is a port of the Service app/db, and its pods are asked on 8080")
    );
    assert!(around("http", 80)[0].contains("its pods are asked on their port http"));
    assert!(around("8080", 30080)[0].contains("TCP 30080 is a node port of the Service app/db"));
    assert_eq!(around("8080", 8080), [""; 0]);
    assert_eq!(around("80", 80), [""; 0]);
}

#[test]
fn the_version_of_the_api_server_decides_between_error_and_warning() {
    let text = format!("{EGRESS}    - to: [{{ ipBlock: {{ cidr: 10.1.2.3/8 }} }}]\n");
    let (snapshot, _) = manifests(&[("m.yaml".to_owned(), text.into_bytes())]);
    for (version, wanted) in [("", Severity::Warning), ("1.35", Severity::Warning), ("1.36", Severity::Error)]
    {
        let server = ApiServer { version: version.parse().ok(), ..ApiServer::default() };
        let found = super::snapshot(&snapshot, &server);
        assert_eq!(found[0].severity, wanted, "{version}: {found:?}");
        assert_eq!(found[0].hint.as_deref(), Some("Kubernetes 1.36 and later reject it"));
    }
}

#[test]
fn what_an_unknown_field_does_when_nobody_checks_is_said() {
    let text = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p, namespace: app }
spec: { podSelector: { app: web }, ingress: [{ port: 80 }] }
";
    let (snapshot, _) = manifests(&[("m.yaml".to_owned(), text.as_bytes().to_vec())]);
    let found = super::snapshot(&snapshot, &ApiServer::default());
    let hints: Vec<&str> = found.iter().filter_map(|problem| problem.hint.as_deref()).collect();
    assert!(hints[0].contains("an empty selector selects all"), "{hints:?}");
    assert!(hints[1].contains("a rule without peers or ports allows them all"), "{hints:?}");
}

#[test]
fn manifests_in_a_scenario_are_read_as_a_cluster_reads_them() {
    let found = with(
        "      podSelector: { matchLabels: { app: db } }
      ingress: [{ ports: [{ port: 012470 }] }]
expect: { allow: [app/api -> data/db tcp/5432] }
",
    );
    let warned = |words: &str| {
        found
            .iter()
            .any(|(severity, _, message, _)| *severity == Severity::Warning && message.contains(words))
    };
    assert!(warned("012470 is the number 5432 to Kubernetes"), "{found:?}");
    assert!(found.iter().all(|(severity, ..)| *severity == Severity::Warning), "{found:?}");
    let truth =
        with("      podSelector: { matchLabels: { app: yes } }\nexpect: { allow: [app/api -> data/db] }\n");
    assert!(truth[0].2.contains("must be text, here it is the boolean true"), "{truth:?}");
}
