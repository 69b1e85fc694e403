//! Topologies that can be deployed together, and those that contradict each other.

use super::*;
use crate::parse;

/// The topology of a scenario with these namespaces, workloads and Services.
fn topology(namespaces: &str, workloads: &str, services: &str) -> Topology {
    let first = workloads.split([':', ',']).next().unwrap_or_default().trim();
    let text = format!(
        "scenario: s\nnamespaces: {{ {namespaces} }}\nworkloads: {{ {workloads} }}\nservices: {{ {services} }}\n\
         expect: {{ allow: [{first} -> cluster-dns dns/udp] }}\n"
    );
    parse::scenario("s.yaml", text.as_bytes(), &mut |_| Err("there is no file".to_owned()))
        .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
        .topology
}

fn workload_named(name: &str) -> Workload {
    name.parse().expect("a name")
}

const API: &str = "app/api: { labels: { role: api, tier: one }, listens: [tcp/1] }";

#[test]
fn what_both_have_is_there_once() {
    let one = topology("app: , data:", &format!("{API}, data/store: {{ listens: [tcp/2] }}"), "");
    let other = topology(
        "app: , web:",
        &format!("{API}, web/front: "),
        "app/api: { selector: { role: api }, ports: [tcp/1] }",
    );
    let both = union(&one, &other).expect("they agree");
    assert_eq!(both.namespaces.keys().collect::<Vec<_>>(), ["app", "data", "web"]);
    let names: Vec<String> = both.workloads.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["app/api", "data/store", "web/front"]);
    assert_eq!(both.services.len(), 1);
    assert_eq!(union(&other, &one).expect("they agree"), both, "whichever comes first");
    assert!(holds(&both, &one) && holds(&both, &other) && holds(&both, &both));
    assert!(!holds(&one, &both) && !holds(&one, &other));
}

#[test]
fn what_would_change_the_meaning_is_a_contradiction() {
    let api = || workload_named("app/api");
    let service = |selector: &str| format!("app/s: {{ selector: {{ {selector} }}, ports: [tcp/1] }}");
    let role = service("role: api");
    let cases = [
        (
            "other labels of a namespace",
            ("app: ", API, ""),
            ("app: { labels: { a: b } }", API, ""),
            Contradiction::Namespace("app".into()),
        ),
        (
            "other labels of a pod",
            ("app: ", API, ""),
            ("app: ", "app/api: { labels: { role: api }, listens: [tcp/1] }", ""),
            Contradiction::Workload(api()),
        ),
        (
            "one more listener: what a denied flow finds there",
            ("app: ", API, ""),
            ("app: ", "app/api: { labels: { role: api, tier: one }, listens: [tcp/1, tcp/2] }", ""),
            Contradiction::Workload(api()),
        ),
        (
            "the name of a port, which policies may use",
            ("app: ", API, ""),
            ("app: ", "app/api: { labels: { role: api, tier: one }, listens: [web: tcp/1] }", ""),
            Contradiction::Workload(api()),
        ),
        (
            "two places for one pod",
            ("app: ", "app/api: { node: same-as app/b }, app/b: ", ""),
            ("app: ", "app/api: { node: other-than app/b }, app/b: ", ""),
            Contradiction::Workload(api()),
        ),
        (
            "another selector of a Service",
            ("app: ", API, &role),
            ("app: ", API, &service("tier: one")),
            Contradiction::Service("app/s".parse().expect("a name")),
        ),
        (
            "a pod more behind a Service",
            ("app: ", API, &role),
            ("app: ", "app/more: { labels: { role: api, x: y }, listens: [tcp/1] }", ""),
            Contradiction::Backend("app/s".parse().expect("a name"), workload_named("app/more")),
        ),
        (
            "a pod on its node's network",
            ("app: ", API, ""),
            ("web: ", "web/host: { hostNetwork: true }", ""),
            Contradiction::HostNetwork(workload_named("web/host")),
        ),
    ];
    for (case, one, other, expected) in cases {
        let (one, other) = (topology(one.0, one.1, one.2), topology(other.0, other.1, other.2));
        assert_eq!(union(&one, &other), Err(expected.clone()), "{case}");
        assert_eq!(union(&other, &one), Err(expected), "{case}, the other way round");
        assert_eq!(union(&one, &one).as_ref(), Ok(&one), "{case}: it agrees with itself");
    }
}

#[test]
fn shadows_stand_alone() {
    let one = topology("app: ", API, "");
    let mut shadows = topology("web: ", "web/x: ", "");
    shadows.live.insert("pay".into(), "payments".into());
    assert_eq!(union(&one, &shadows), Err(Contradiction::Live));
    assert_eq!(union(&shadows, &one), Err(Contradiction::Live));
    assert!(holds(&shadows, &shadows), "those of one topology share it");
}

#[test]
fn what_changes_no_meaning_is_none() {
    let service = "app/s: { selector: { role: api }, ports: [tcp/1] }";
    let cases = [
        (
            "a pod in another namespace that a selector fits",
            ("app: ", API, service),
            ("web: ", "web/x: { labels: { role: api } }", ""),
        ),
        (
            "a Service more on the same pod",
            ("app: ", API, service),
            ("app: ", API, "app/t: { selector: { role: api }, ports: [tcp/1] }"),
        ),
        (
            "a pod with a port of the same name",
            ("app: ", "app/a: { listens: [http: tcp/1] }", ""),
            ("app: ", "app/b: { listens: [http: tcp/2] }", ""),
        ),
    ];
    for (case, one, other) in cases {
        let (one, other) = (topology(one.0, one.1, one.2), topology(other.0, other.1, other.2));
        let both = union(&one, &other);
        assert!(both.as_ref().is_ok_and(|both| holds(both, &one) && holds(both, &other)), "{case}: {both:?}");
    }
}

#[test]
fn a_pod_that_may_run_anywhere_runs_where_the_other_wants_it() {
    let anywhere = topology("app: ", "app/api: , app/b: ", "");
    let beside = topology("app: ", "app/api: { node: same-as app/b }, app/b: ", "");
    let both = union(&anywhere, &beside).expect("they agree");
    assert_eq!(both, beside);
    assert!(holds(&beside, &anywhere) && !holds(&anywhere, &beside));
}

/// Three topologies that agree in pairs need not agree together: each step compares with everything that is already there.
#[test]
fn a_third_must_agree_with_both() {
    let one = topology("app: ", API, "app/s: { selector: { role: api }, ports: [tcp/1] }");
    let other = topology("app: , web: ", &format!("{API}, web/x: "), "");
    let third = topology("app: , web: ", "web/x: , app/more: { labels: { role: api } }", "");
    assert!(union(&other, &third).is_ok());
    let both = union(&one, &other).expect("they agree");
    assert!(matches!(union(&both, &third), Err(Contradiction::Backend(..))));
}
