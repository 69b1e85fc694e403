//! Whole scenarios: what the model holds, and that no text makes the parser fail.

use super::*;
use crate::{
    scenario::{
        Change, Placement, Scenario, Step, TargetPort,
        flow::{Family, Target},
        name::Qualified,
    },
    text::Problem,
};
use flowproof_wire::Transport;
use proptest::prelude::*;
use std::fmt::Write as _;

const DESIGN: &str = r"
scenario: only the application namespace reaches the database
namespaces:
  app: { labels: { purpose: app } }
  data: {}
workloads:
  app/api: { labels: { role: api } }
  data/postgres: { labels: { app: postgres }, listens: [tcp/5432, udp/5432] }
  data/backup: { node: other-than data/postgres }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: postgres, namespace: data }
    spec:
      podSelector: { matchLabels: { app: postgres } }
      ingress:
        - from: [{ namespaceSelector: { matchLabels: { purpose: app } } }]
          ports: [{ protocol: TCP, port: 5432 }]
expect:
  allow:
    - app/api -> data/postgres tcp/5432
    - app/api -> cluster-dns dns/udp
  deny:
    - data/backup -> data/postgres tcp/5432
  otherwise: unchecked
";

/// Three pods that all listen on TCP 80; the last one on UDP 80, too.
const THREE: &str = "
scenario: three pods
namespaces: { a: , b: }
workloads:
  a/x: { listens: [tcp/80] }
  a/y: { listens: [tcp/80] }
  b/z: { labels: { app: z }, listens: [tcp/80, udp/80] }
services: { b/front: { selector: { app: z }, ports: [tcp/8080 -> 80] } }
";

fn no_files(_: &str) -> Result<Vec<Loaded>, String> {
    Err("there are no files in this test".to_owned())
}

fn parse(text: &str) -> Result<Scenario, Vec<Problem>> {
    scenario("test.yaml", text.as_bytes(), &mut no_files)
}

fn good(text: &str) -> Scenario {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

fn bad(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("something is wrong with it");
    problems.into_iter().map(|problem| problem.message).collect()
}

fn flows(step: &Step) -> Vec<String> {
    let shown =
        |e: &crate::scenario::Expected| format!("{} {}", e.wanted.written().expect("it is written"), e.flow);
    step.expectations.iter().map(shown).collect()
}

/// What the three pods are expected to do.
fn expected(expect: &str) -> Vec<String> {
    flows(&good(&format!("{THREE}expect: {expect}\n")).steps[0])
}

#[test]
fn the_example_of_the_design_is_read() {
    let scenario = good(DESIGN);
    assert_eq!(scenario.claim, "only the application namespace reaches the database");
    assert_eq!(scenario.families, [Family::V4, Family::V6].into());
    assert_eq!(scenario.topology.namespaces["app"]["purpose"], "app");
    let backup = &scenario.topology.workloads[&Qualified::new("data", "backup")];
    assert_eq!(backup.placement, Placement::OtherThan(Qualified::new("data", "postgres")));
    let [step] = scenario.steps.as_slice() else { panic!("{:?}", scenario.steps) };
    assert_eq!(step.title, "apply NetworkPolicy data/postgres");
    let [Change::Apply(manifest)] = step.changes.as_slice() else { panic!("{:?}", step.changes) };
    assert_eq!(manifest.value["spec"]["ingress"][0]["ports"][0]["port"], 5432);
    assert_eq!((manifest.at.line, manifest.at.column), (11, 5));
    assert_eq!(
        flows(step),
        [
            "allow app/api -> data/postgres tcp/5432",
            "allow app/api -> cluster-dns dns/udp",
            "deny data/backup -> data/postgres tcp/5432",
        ]
    );
    let at = &step.expectations[0].at;
    assert_eq!((at.file.as_str(), at.line, at.column), ("test.yaml", 21, 7));
}

#[test]
fn lines_stand_for_flows() {
    let table: &[(&str, &[&str])] = &[
        ("a/x -> b/z tcp/80", &["a/x -> b/z tcp/80"]),
        ("a/x -> b/z", &["a/x -> b/z tcp/80", "a/x -> b/z udp/80"]),
        ("a/* -> a/*", &["a/x -> a/y tcp/80", "a/y -> a/x tcp/80"]),
        ("any -> b/*", &["a/x -> b/z tcp/80", "a/x -> b/z udp/80", "a/y -> b/z tcp/80", "a/y -> b/z udp/80"]),
        ("any -> any udp/80", &["a/x -> b/z udp/80", "a/y -> b/z udp/80"]),
        ("'*/x -> */y'", &["a/x -> a/y tcp/80"]),
        ("a/* -> self", &["a/x -> a/x tcp/80", "a/y -> a/y tcp/80"]),
        ("a/x -> a/x tcp/80", &["a/x -> a/x tcp/80"]),
        ("any -> service b/front", &["a/x -> service b/front tcp/8080", "a/y -> service b/front tcp/8080"]),
        ("b/z -> service b/front", &["b/z -> service b/front tcp/8080"]),
        ("a/x -> cluster-dns", &["a/x -> cluster-dns dns/udp", "a/x -> cluster-dns dns/tcp"]),
        ("a/x -> node of b/z tcp/10250", &["a/x -> node of b/z tcp/10250"]),
        (
            "a/x -> ip 203.0.113.7 tcp/1-2 udp/9",
            &["a/x -> ip 203.0.113.7 tcp/1", "a/x -> ip 203.0.113.7 tcp/2", "a/x -> ip 203.0.113.7 udp/9"],
        ),
        ("a/x -> ip 203.0.113.7 dns", &["a/x -> ip 203.0.113.7 dns/udp", "a/x -> ip 203.0.113.7 dns/tcp"]),
    ];
    for (line, wanted) in table {
        let wanted: Vec<String> = wanted.iter().map(|flow| format!("allow {flow}")).collect();
        assert_eq!(expected(&format!("{{ allow: [{line}] }}")), wanted, "{line}");
    }
}

#[test]
fn what_is_written_out_goes_before_globs_and_otherwise_comes_last() {
    assert_eq!(
        expected("{ allow: [a/x -> b/z tcp/80], deny: [any -> b/z], otherwise: allow }"),
        [
            "allow a/x -> a/y tcp/80",
            "allow a/x -> b/z tcp/80",
            "deny a/x -> b/z udp/80",
            "allow a/y -> a/x tcp/80",
            "deny a/y -> b/z tcp/80",
            "deny a/y -> b/z udp/80",
            "allow b/z -> a/x tcp/80",
            "allow b/z -> a/y tcp/80",
        ]
    );
}

#[test]
fn unchecked_takes_away_what_globs_and_otherwise_say() {
    assert_eq!(
        expected("{ deny: [any -> b/z], unchecked: [a/* -> b/z udp/80, a/y -> a/x], otherwise: allow }"),
        [
            "allow a/x -> a/y tcp/80",
            "deny a/x -> b/z tcp/80",
            "deny a/y -> b/z tcp/80",
            "allow b/z -> a/x tcp/80",
            "allow b/z -> a/y tcp/80",
        ]
    );
    // A line that is written out takes precedence over a glob of `unchecked`.
    assert_eq!(
        expected("{ deny: [a/x -> b/z tcp/80], unchecked: [any -> any] }"),
        ["deny a/x -> b/z tcp/80"]
    );
}

#[test]
fn the_line_that_decides_is_the_one_that_is_shown() {
    let scenario = good(&format!(
        "{THREE}expect:\n  deny:\n    - any -> b/z\n    - a/x -> b/z tcp/80\n  otherwise: allow\n"
    ));
    let lines: Vec<(String, u32)> =
        scenario.steps[0].expectations.iter().map(|e| (e.flow.to_string(), e.at.line)).take(3).collect();
    assert_eq!(
        lines,
        [
            ("a/x -> a/y tcp/80".to_owned(), 13),
            ("a/x -> b/z tcp/80".to_owned(), 12),
            ("a/x -> b/z udp/80".to_owned(), 11),
        ]
    );
}

#[test]
fn equal_lines_of_equal_rank_contradict_each_other() {
    for (expect, wrong) in [
        ("{ allow: [a/x -> b/z], deny: [a/x -> b/z tcp/80] }", 1),
        ("{ allow: [any -> b/z], deny: [a/* -> b/z] }", 1),
        ("{ deny: [a/x -> b/z], drop: [a/x -> b/z] }", 1),
        ("{ deny: [a/x -> b/z], unchecked: [a/x -> b/z] }", 1),
        ("{ deny: [a/x -> b/z, a/x -> b/z] }", 0),
        ("{ deny: [any -> b/z], allow: [a/x -> b/z] }", 0),
        ("{ reject: [any -> b/z], unchecked: [any -> b/z udp/80] }", 0),
    ] {
        let found = parse(&format!("{THREE}expect: {expect}\n")).err().map_or(0, |problems| problems.len());
        assert_eq!(found, wrong, "{expect}");
    }
}

#[test]
fn steps_keep_the_order_of_their_changes() {
    let scenario = good(&format!(
        "{THREE}steps:
  - expect: {{ allow: [a/x -> b/z] }}
  - step: four changes
    restart: [a/x, a/y]
    label: {{ namespace a: {{ purpose: test }}, b/z: {{ app: null, role: z }} }}
    apply:
      - {{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: c, namespace: a }} }}
      - {{ apiVersion: example.org/v1, kind: Widget, metadata: {{ name: w }} }}
    expect: {{ allow: [a/x -> b/z] }}
  - delete: [ConfigMap a/c, Widget w]
    expect: {{ allow: [a/x -> b/z] }}
"
    ));
    let titles: Vec<&str> = scenario.steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles, ["as deployed", "four changes", "2 changes"]);
    let kinds: Vec<String> = scenario.steps[1].changes.iter().map(kind).collect();
    assert_eq!(
        kinds,
        [
            "restart a/x",
            "restart a/y",
            "label namespace a {\"purpose\": Some(\"test\")}",
            "label b/z {\"app\": None, \"role\": Some(\"z\")}",
            "apply ConfigMap a/c",
            "apply Widget w"
        ]
    );
    let kinds: Vec<String> = scenario.steps[2].changes.iter().map(kind).collect();
    assert_eq!(kinds, ["delete ConfigMap a/c", "delete Widget w"]);
}

fn kind(change: &Change) -> String {
    match change {
        Change::Apply(manifest) => format!("apply {}", manifest.object),
        Change::Delete(object) => format!("delete {object}"),
        Change::LabelPod(name, labels) => format!("label {name} {labels:?}"),
        Change::LabelNamespace(name, labels) => format!("label namespace {name} {labels:?}"),
        Change::Restart(name) => format!("restart {name}"),
    }
}

#[test]
fn an_object_can_come_back_after_it_was_deleted() {
    let policy =
        "{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: p, namespace: a } }";
    let expect = "expect: { allow: [a/x -> b/z] }";
    let text = format!(
        "{THREE}steps:\n  - apply: [{policy}]\n    {expect}\n  - delete: NetworkPolicy a/p\n    {expect}\n  - apply: [{policy}]\n    {expect}\n  - delete: NetworkPolicy a/p\n    {expect}\n"
    );
    assert_eq!(good(&text).steps.len(), 4);
}

#[test]
fn a_scenario_runs_alone_when_it_may_concern_the_pods_of_others() {
    let alone = |kind: &str, spec: &str| {
        let text = format!(
            "{THREE}policies: [{{ apiVersion: policy.networking.k8s.io/v1alpha2, kind: {kind}, metadata: {{ name: p }}, spec: {spec} }}]\nexpect: {{ allow: [a/x -> b/z] }}\n"
        );
        good(&text).must_run_alone()
    };
    let of = |name: &str| format!("{{ matchLabels: {{ kubernetes.io/metadata.name: {name} }} }}");
    let policy = "ClusterNetworkPolicy";
    assert!(!alone(policy, &format!("{{ subject: {{ namespaces: {} }} }}", of("a"))));
    assert!(!alone(
        policy,
        &format!("{{ subject: {{ pods: {{ namespaceSelector: {}, podSelector: {{}} }} }} }}", of("a"))
    ));
    assert!(alone(policy, &format!("{{ subject: {{ namespaces: {} }} }}", of("kube-system"))));
    assert!(alone(policy, "{ subject: { namespaces: {} } }"));
    assert!(alone(policy, "{ subject: { pods: { podSelector: {} } } }"));
    assert!(alone("Widget", &format!("{{ subject: {{ namespaces: {} }} }}", of("a"))));
    assert!(!good(&format!("{THREE}expect: {{ allow: [a/x -> b/z] }}\n")).must_run_alone());
}

#[test]
fn a_service_may_find_its_workload_only_after_a_label_changed() {
    let text = THREE.replace("labels: { app: z }, ", "");
    let never = format!("{text}expect: {{ allow: [a/x -> service b/front] }}\n");
    assert_eq!(bad(&never), ["the service b/front selects no workload"]);
    good(&format!(
        "{text}steps:\n  - label: {{ b/z: {{ app: z }} }}\n    expect: {{ allow: [a/x -> service b/front] }}\n"
    ));
}

#[test]
fn a_port_of_a_service_leads_to_a_listener_of_its_kind() {
    for (listens, port, served) in [
        ("tcp/80", "tcp/80", true),
        ("tcp/8080", "tcp/80 -> 8080", true),
        ("udp/80", "tcp/80", false),
        ("tcp/53", "dns/tcp", false),
        ("dns/tcp", "dns/tcp", true),
        ("dns", "udp/53", false),
        ("http: tcp/8080", "tcp/80 -> http", true),
        ("http: udp/8080", "tcp/80 -> http", false),
        ("web: tcp/8080", "tcp/80 -> http", false),
    ] {
        let text = format!(
            "scenario: one service\nnamespaces: {{ a: }}\nworkloads: {{ a/x: , a/y: {{ labels: {{ app: y }}, listens: [{listens}] }} }}\nservices: {{ a/s: {{ selector: {{ app: y }}, ports: [{port}] }} }}\nexpect: {{ allow: [a/x -> a/y] }}\n"
        );
        assert_eq!(parse(&text).is_ok(), served, "{port} to {listens}");
    }
}

#[test]
fn listeners_have_names_ranges_and_dns() {
    let scenario = good(
        "
scenario: listeners
namespaces: { a: }
workloads:
  a/x:
  a/y: { listens: [http: tcp/8080, tcp/8000-8002, udp/9 tcp/9, names: dns/udp, dns/tcp] }
services: { a/y: { selector: { app: y }, ports: [tcp/80 -> http, dns] } }
expect: { allow: [a/x -> a/y, a/x -> service a/y] }
"
        .replace("a/y: { listens", "a/y: { labels: { app: y }, listens")
        .as_str(),
    );
    let y = Qualified::new("a", "y");
    let listens: Vec<_> = scenario.topology.workloads[&y]
        .listens
        .iter()
        .map(|named| (named.listener.transport, named.listener.port, named.name.as_deref()))
        .collect();
    assert_eq!(
        listens,
        [
            (Transport::Tcp, 9, None),
            (Transport::Tcp, 8000, None),
            (Transport::Tcp, 8001, None),
            (Transport::Tcp, 8002, None),
            (Transport::Tcp, 8080, Some("http")),
            (Transport::Udp, 9, None),
            (Transport::DnsUdp, 53, Some("names")),
            (Transport::DnsTcp, 53, None),
        ]
    );
    let ports: Vec<_> = scenario.topology.services[&y]
        .ports
        .iter()
        .map(|p| (p.listener.transport, p.target.clone()))
        .collect();
    assert_eq!(
        ports,
        [
            (Transport::Tcp, TargetPort::Name("http".into())),
            (Transport::DnsUdp, TargetPort::Number(53)),
            (Transport::DnsTcp, TargetPort::Number(53)),
        ]
    );
    assert_eq!(scenario.steps[0].expectations.len(), 11);
}

#[test]
fn files_hold_several_documents_and_lists() {
    let text = format!("{THREE}policies: [{{ file: ../p.yaml }}]\nexpect: {{ allow: [a/x -> b/z] }}\n");
    let policies = "
apiVersion: v1
kind: List
items:
  - { apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: one, namespace: a } }
  - { apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: two, namespace: b } }
---
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: three }
";
    let mut asked = Vec::new();
    let mut load = |path: &str| {
        asked.push(path.to_owned());
        Ok(vec![Loaded { name: "p.yaml".to_owned(), bytes: policies.as_bytes().to_owned() }])
    };
    let scenario = scenario("s/test.yaml", text.as_bytes(), &mut load).expect("all is well");
    assert_eq!(asked, ["../p.yaml"]);
    let applied: Vec<String> = scenario.steps[0].changes.iter().map(kind).collect();
    assert_eq!(
        applied,
        ["apply NetworkPolicy a/one", "apply NetworkPolicy b/two", "apply ClusterNetworkPolicy three"]
    );
    let Change::Apply(three) = &scenario.steps[0].changes[2] else { panic!("it is applied") };
    assert_eq!((three.at.file.as_str(), three.at.line), ("p.yaml", 9));
    assert_eq!(scenario.steps[0].title, "apply 3 objects");
}

#[test]
fn anchors_and_merge_keys_work() {
    let scenario = good(
        "
scenario: anchors
namespaces: { a: }
workloads:
  a/x: &pod { labels: &labels { team: red, role: x }, listens: [tcp/80] }
  a/y: *pod
  a/z: { <<: *pod, labels: { <<: *labels, role: z } }
expect: { allow: [a/x -> a/y, a/x -> a/z] }
",
    );
    let workload = |name| &scenario.topology.workloads[&Qualified::new("a", name)];
    assert_eq!(workload("y"), workload("x"));
    assert_eq!(workload("z").listens, workload("x").listens);
    let labels: Vec<(&str, &str)> =
        workload("z").labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("role", "z"), ("team", "red")]);
}

#[test]
fn a_problem_behind_an_alias_is_told_once() {
    let text = "
scenario: anchors
namespaces: { a: }
workloads: { a/x: &pod { listens: [tcp/80], lables: {} }, a/y: *pod, a/z: *pod }
expect: { allow: [a/x -> a/y] }
";
    assert_eq!(bad(text), ["a workload has no field 'lables'"]);
}

#[test]
fn line_ends_byte_order_marks_and_comments_make_no_difference() {
    let plain = good(DESIGN);
    assert_eq!(good(&DESIGN.replace('\n', "\r\n")), plain);
    assert_eq!(good(&format!("\u{feff}{DESIGN}")).steps.len(), plain.steps.len());
    let comments = format!("{}{DESIGN}", "# a comment\n".repeat(200));
    assert_eq!(good(&comments).steps[0].expectations.len(), 3);
    assert_eq!(good(&format!("---{DESIGN}...\n")).steps[0].expectations.len(), 3);
}

#[test]
fn words_that_other_yaml_takes_for_truth_values_are_text() {
    let scenario = good(
        &THREE
            .replace("{ a: , b: }", "{ a: { labels: { spare: no, shift: on } }, b: }")
            .replace("three pods\n", "three pods\nexpect: { allow: [a/x -> b/z] }\n"),
    );
    assert_eq!(scenario.topology.namespaces["a"]["spare"], "no");
}

#[test]
fn families_can_be_chosen() {
    let text = |families: &str| {
        format!("{THREE}families: {families}\nexpect: {{ allow: [a/x -> ip 2001:db8::7 tcp/80] }}\n")
    };
    let scenario = good(&text("[6]"));
    assert_eq!(scenario.families, [Family::V6].into());
    assert_eq!(
        scenario.steps[0].expectations[0].flow.target,
        Target::Address("2001:db8::7".parse().expect("an address"))
    );
    assert_eq!(bad(&text("[4]")).len(), 1);
}

prop_compose! {
    /// A line of flows about the three pods, often a good one.
    fn a_line()(
        source in "(any|a/x|a/\\*|\\*/\\*|b/z|\\*/x|b/\\*)",
        target in "(any|self|a/y|a/\\*|b/z|cluster-dns|service b/front|service any|node of a/\\*|ip 203.0.113.7)",
        ports in "( tcp/80| udp/80| tcp/80 udp/80| dns| tcp/79-81)?",
    ) -> String {
        format!("{source} -> {target}{ports}")
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = scenario("test.yaml", &bytes, &mut no_files);
        let _ = deviations("test.yaml", &bytes, &[]);
    }

    #[test]
    fn no_damage_to_a_scenario_makes_the_parser_panic(from in 0..DESIGN.len(), length in 0..40usize, insert in "[\\x00-\\x7f]{0,5}|[*&<>:{}\\[\\]\\-\n ]{0,9}") {
        let mut text = DESIGN.to_owned();
        text.replace_range(from..(from + length).min(DESIGN.len()), &insert);
        if let Err(problems) = parse(&text) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.at.line >= 1 && problem.at.column >= 1 && problem.length >= 1, "{problem:?}");
                prop_assert!(!problem.message.is_empty());
            }
        }
    }

    #[test]
    fn a_line_covers_what_it_stands_for_and_globs_pair_nobody_with_itself(line in a_line()) {
        let text = format!("{THREE}expect:\n  allow:\n    - \"{line}\"\n");
        if let Ok(scenario) = parse(&text) {
            let written = flow_text::FlowText::parse(&line).expect("the scenario was read");
            prop_assert!(!scenario.steps[0].expectations.is_empty());
            for expected in &scenario.steps[0].expectations {
                prop_assert!(written.covers(&expected.flow), "{} by {line}", expected.flow);
                let to_itself = expected.flow.target == Target::Workload(expected.flow.source.clone());
                prop_assert!(!to_itself || line.contains("self") || written.is_exact(), "{} by {line}", expected.flow);
            }
        }
    }

    #[test]
    fn no_step_expects_two_things_of_one_flow(lines in proptest::collection::vec((a_line(), 0..5usize), 1..6)) {
        let kinds = ["allow", "deny", "drop", "reject", "unchecked"];
        let mut text = format!("{THREE}expect:\n  otherwise: deny\n");
        for (index, kind) in kinds.iter().enumerate() {
            let of_kind: Vec<String> = lines.iter().filter(|(_, k)| *k == index).map(|(line, _)| format!("\"{line}\"")).collect();
            writeln!(text, "  {kind}: [{}]", of_kind.join(", ")).expect("text can be written");
        }
        if let Ok(scenario) = parse(&text) {
            let expectations = &scenario.steps[0].expectations;
            for pair in expectations.windows(2) {
                prop_assert!(pair[0].flow < pair[1].flow, "sorted, and each flow once");
            }
        }
    }
}

const SHADOWS: &str = "
scenario: who reaches the API
workloads:
  pay/api: { like: deployment/api, in: payments, listens: [http: tcp/8080] }
  shop/web.v2: { like: pod/web }
policies: live
";

#[test]
fn a_namespace_of_shadows_stands_for_a_live_one() {
    let text = SHADOWS.replace("web.v2", "web");
    let scenario = good(&format!(
        "{text}expect: {{ deny: [shop/web -> pay/api, shop/web -> service pay/db tcp/5432, shop/web -> service other/db tcp/1-2] }}"
    ));
    assert!(scenario.live);
    assert!(scenario.topology.namespaces.is_empty());
    let live = [("pay".to_owned(), "payments".to_owned()), ("shop".to_owned(), "shop".to_owned())];
    assert_eq!(scenario.topology.live, live.into());
    let shadow = |name| scenario.topology.workloads[&Qualified::new("pay", name)].like.clone();
    assert_eq!(shadow("api").map(|like| like.to_string()).as_deref(), Some("deployment/api in payments"));
    assert_eq!(
        flows(&scenario.steps[0]),
        [
            "deny shop/web -> pay/api tcp/8080",
            "deny shop/web -> service other/db tcp/1",
            "deny shop/web -> service other/db tcp/2",
            "deny shop/web -> service payments/db tcp/5432",
        ]
    );
    assert_eq!(scenario.touched().count(), 3);
}

#[test]
fn shadows_need_live_policies() {
    let text = SHADOWS.replace("web.v2", "web").replace("policies: live\n", "");
    assert_eq!(
        bad(&format!("{text}expect: policy")),
        ["shadows are for testing the policies that are in the cluster, and 'pay' stands for its 'payments'"]
    );
}
