//! Tables of flows that are read and of flows that are not.

use super::*;
use flowproof_wire::Transport;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn exact(namespace: &str, name: &str) -> Pattern {
    Pattern::Exact(Qualified::new(namespace, name))
}

#[test]
fn every_kind_of_target_is_read() {
    let table = [
        ("a/b -> c/d tcp/80", TargetText::Workload(exact("c", "d"))),
        ("a/b->c/d tcp/80", TargetText::Workload(exact("c", "d"))),
        ("a/b -> any tcp/80", TargetText::Workload(Pattern::Any)),
        ("a/b -> c/* tcp/80", TargetText::Workload(Pattern::Glob("c".into(), "*".into()))),
        ("a/b -> service c/d tcp/80", TargetText::Service(exact("c", "d"))),
        ("a/b -> node of c/d tcp/80", TargetText::NodeOf(exact("c", "d"))),
        ("a/b -> ip 203.0.113.7 tcp/80", TargetText::Address(Ipv4Addr::new(203, 0, 113, 7).into())),
        (
            "a/b -> ip 2001:db8::7 tcp/80",
            TargetText::Address(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into()),
        ),
        ("a/b -> cluster-dns dns", TargetText::ClusterDns),
        ("a/b -> self tcp/80", TargetText::Itself),
    ];
    for (text, target) in table {
        let flow = FlowText::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        assert_eq!(flow.target.value, target, "{text}");
        assert_eq!(flow.source.value, exact("a", "b"), "{text}");
        assert!(!flow.ports.is_empty(), "{text}");
    }
}

#[test]
fn parts_know_where_they_stand() {
    let flow = FlowText::parse("app/api  ->  node of data/pg tcp/1,2").expect("the flow is good");
    assert_eq!((flow.source.start, flow.source.length), (0, 7));
    assert_eq!((flow.target.start, flow.target.length), (13, 15));
    let ports: Vec<_> = flow.ports.iter().map(|p| (p.start, p.length)).collect();
    assert_eq!(ports, [(33, 1), (35, 1)]);
}

#[test]
fn all_mistakes_of_a_flow_come_at_once() {
    let errors = FlowText::parse("App/api -> data/pg tcp/0 X").expect_err("it is wrong in three places");
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn what_is_no_flow_is_refused() {
    for text in [
        "",
        "a/b",
        "->",
        "a/b ->",
        "-> a/b",
        "a/b -> c/d -> e/f",
        "a/b c/d -> e/f",
        "service a/b -> c/d",
        "a/b -> service",
        "a/b -> node c/d",
        "a/b -> node of",
        "a/b -> ip",
        "a/b -> ip 203.0.113.0/24 tcp/80",
        "a/b -> 203.0.113.7 tcp/80",
        "* -> c/d",
        "a/b -> */*/*",
        "a/b -> A*/x",
        "self -> a/b",
        "a/b -> c/d tcp/80, 443",
        "a/b -> c/d established tcp/80",
    ] {
        assert!(FlowText::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_line_covers_flows() {
    // line, flow, whether it is one of them
    let table = [
        ("a/* -> a/*", "a/x -> a/y tcp/80", true),
        ("a/* -> a/*", "a/x -> a/x tcp/80", false),
        ("any -> any", "a/x -> a/x tcp/80", false),
        ("a/x -> a/x", "a/x -> a/x tcp/80", true),
        ("a/* -> self", "a/x -> a/x tcp/80", true),
        ("a/* -> self", "a/x -> a/y tcp/80", false),
        ("a/x -> any", "a/x -> service b/z tcp/80", false),
        ("a/x -> service any", "a/x -> service b/z tcp/80", true),
        ("a/x -> node of b/*", "a/x -> node of b/z tcp/80", true),
        ("a/x -> node of b/*", "a/x -> b/z tcp/80", false),
        ("a/x -> b/z tcp/79-81", "a/x -> b/z tcp/80", true),
        ("a/x -> b/z tcp/79-81", "a/x -> b/z udp/80", false),
        ("a/x -> b/z tcp/53", "a/x -> b/z dns/tcp", false),
        ("a/x -> cluster-dns", "a/x -> cluster-dns dns/tcp", true),
        ("a/x -> ip 203.0.113.7 tcp/80", "a/x -> ip 203.0.113.7 tcp/80", true),
        ("a/x -> ip 203.0.113.7 tcp/80", "a/x -> ip 203.0.113.8 tcp/80", false),
        ("a/y -> any", "a/x -> b/z tcp/80", false),
        ("any -> any", "a/x -> b/z tcp/80 established", false),
        ("any -> any tcp/80 established", "a/x -> b/z tcp/80 established", true),
        ("any -> any tcp/80 established", "a/x -> b/z tcp/80", false),
    ];
    for (line, flow, covered) in table {
        let one = FlowText::parse(flow).expect("the flow is good");
        let (Pattern::Exact(source), [port]) = (one.source.value, one.ports.as_slice()) else {
            panic!("{flow} is not one flow")
        };
        let target = match one.target.value {
            TargetText::Workload(Pattern::Exact(name)) => Target::Workload(name),
            TargetText::Service(Pattern::Exact(name)) => Target::Service(name),
            TargetText::NodeOf(Pattern::Exact(name)) => Target::NodeOf(name),
            TargetText::Address(address) => Target::Address(address),
            TargetText::ClusterDns => Target::ClusterDns,
            other => panic!("{other:?} is not one target"),
        };
        let established = one.established.is_some();
        let one = Flow { source, target, transport: port.transport, port: port.first, established };
        let line_read = FlowText::parse(line).expect("the line is good");
        assert_eq!(line_read.covers(&one), covered, "{flow} by {line}");
    }
}

#[test]
fn stars_stand_for_any_characters() {
    let table = [
        ("*", "", true),
        ("*", "x", true),
        ("a*", "abc", true),
        ("a*", "ba", false),
        ("*c", "abc", true),
        ("*c", "cb", false),
        ("a*c", "ac", true),
        ("a*c", "abbc", true),
        ("a*c", "a", false),
        ("a*a", "a", false),
        ("*b*", "abc", true),
        ("*bb*", "abc", false),
        ("a*b*c", "a-b-b-c", true),
        ("abc", "abc", true),
        ("abc", "abcd", false),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
    }
}

prop_compose! {
    fn label()(text in "[a-z]([a-z0-9-]{0,8}[a-z0-9])?") -> String { text }
}

prop_compose! {
    fn qualified()(namespace in label(), name in label()) -> Qualified { Qualified::new(namespace, name) }
}

fn any_target() -> impl Strategy<Value = Target> {
    prop_oneof![
        qualified().prop_map(Target::Workload),
        qualified().prop_map(Target::Service),
        qualified().prop_map(Target::NodeOf),
        any::<[u8; 4]>().prop_map(|a| Target::Address(a.into())),
        any::<[u8; 16]>().prop_map(|a| Target::Address(a.into())),
        Just(Target::ClusterDns),
    ]
}

fn any_port() -> impl Strategy<Value = (Transport, u16)> {
    prop_oneof![
        (1..=u16::MAX).prop_map(|port| (Transport::Tcp, port)),
        (1..=u16::MAX).prop_map(|port| (Transport::Udp, port)),
        Just((Transport::DnsUdp, 53)),
        Just((Transport::DnsTcp, 53)),
    ]
}

proptest! {
    #[test]
    fn nothing_makes_the_parser_panic(text in "\\PC*") {
        let _ = FlowText::parse(&text);
    }

    #[test]
    fn almost_flows_never_panic(text in "[ab*/]{0,5} ?(->|>|)? ?(ip|node of|service|any|self)? ?[ab*/0-9.:]{0,6} ?(tcp|udp|dns)?/?[0-9,-]{0,6}") {
        if let Err(errors) = FlowText::parse(&text) {
            prop_assert!(!errors.is_empty());
        }
    }

    #[test]
    fn a_flow_that_is_shown_reads_back(source in qualified(), target in any_target(), (transport, port) in any_port()) {
            prop_assume!(source.to_string() != "any");
        let flow = Flow { source: source.clone(), target: target.clone(), transport, port, established: false };
        let text = FlowText::parse(&flow.to_string()).map_err(|e| TestCaseError::fail(format!("{flow}: {e:?}")))?;
        prop_assert_eq!(text.source.value, Pattern::Exact(source));
        let expected = match target {
            Target::Workload(name) => TargetText::Workload(Pattern::Exact(name)),
            Target::Service(name) | Target::LiveService(name) => TargetText::Service(Pattern::Exact(name)),
            Target::NodeOf(name) => TargetText::NodeOf(Pattern::Exact(name)),
            Target::Address(address) => TargetText::Address(address),
            Target::ClusterDns => TargetText::ClusterDns,
        };
        prop_assert_eq!(text.target.value, expected);
        prop_assert_eq!(text.ports.len(), 1);
        prop_assert_eq!((text.ports[0].transport, text.ports[0].first, text.ports[0].last), (transport, port, port));
    }
}
