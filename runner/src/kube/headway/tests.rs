//! Pods that come up, in virtual time.

use super::*;
use Stage::{Connected, Known, Scheduled, Taken, Unplaced, Up};

const LIMITS: Limits = Limits { without_headway: Duration::from_secs(45), in_all: Duration::from_secs(300) };

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is seen at a second of a wait: pods, with their nodes and stages.
type At = (u64, &'static [(&'static str, &'static str, Stage)]);

/// What is decided at a second about pods that wait for nodes, after all that was seen.
fn decided(seen: &[At], held: &[(&str, &str)], now: u64) -> Decision {
    let mut headway = Headway::new(LIMITS);
    for (at, pods) in seen {
        headway.look(s(*at), pods.iter().map(|(uid, node, stage)| Sight { uid, node, stage: *stage }));
    }
    let held: Vec<_> = held.iter().map(|(uid, node)| Awaited { uid, node }).collect();
    headway.decide(s(now), &held)
}

const fn wait(until: u64) -> Decision {
    Decision::Wait { until: s(until) }
}

const fn stalled(pod: usize, quiet: u64) -> Decision {
    Decision::Stalled { pod, quiet: s(quiet) }
}

/// The subject, what was seen, which pods wait for which node, the second of the decision, and the decision.
type Case = (&'static str, &'static [At], &'static [(&'static str, &'static str)], u64, Decision);

const CASES: &[Case] = &[
    ("nothing was seen yet", &[], &[("", "n1")], 44, wait(45)),
    ("nothing was ever seen", &[], &[("", "n1")], 45, stalled(0, 45)),
    ("all are up", &[(3, &[("a", "n1", Up)])], &[], 400, wait(300)),
    (
        "it comes on itself",
        &[(0, &[("a", "n1", Scheduled)]), (40, &[("a", "n1", Taken)])],
        &[("a", "n1")],
        84,
        wait(85),
    ),
    (
        "and then no more",
        &[(0, &[("a", "n1", Scheduled)]), (40, &[("a", "n1", Taken)])],
        &[("a", "n1")],
        85,
        stalled(0, 45),
    ),
    (
        "another pod of its node came up",
        &[
            (0, &[("a", "n1", Scheduled), ("b", "n1", Taken)]),
            (30, &[("a", "n1", Scheduled), ("b", "n1", Up)]),
        ],
        &[("a", "n1")],
        74,
        wait(75),
    ),
    (
        "what another node does is no headway",
        &[
            (0, &[("a", "n1", Scheduled), ("b", "n2", Taken)]),
            (30, &[("a", "n1", Scheduled), ("b", "n2", Up)]),
        ],
        &[("a", "n1")],
        45,
        stalled(0, 45),
    ),
    (
        "pods that are given to a node do not show that it works",
        &[(0, &[("a", "n1", Scheduled)]), (30, &[("a", "n1", Scheduled), ("b", "n1", Scheduled)])],
        &[("a", "n1")],
        45,
        stalled(0, 45),
    ),
    (
        "nor does a node work that takes pods in and connects none",
        &[(0, &[("a", "n1", Taken)]), (30, &[("a", "n1", Taken), ("b", "n1", Taken)])],
        &[("a", "n1")],
        45,
        stalled(0, 45),
    ),
    (
        "one that connects others does",
        &[(0, &[("a", "n1", Taken)]), (30, &[("a", "n1", Taken), ("b", "n1", Connected)])],
        &[("a", "n1")],
        74,
        wait(75),
    ),
    (
        "a pod that has just been given to a node has all its time",
        &[(0, &[("a", "n1", Known)]), (40, &[("a", "n1", Scheduled)])],
        &[("a", "n1")],
        84,
        wait(85),
    ),
    (
        "a node that ends pods works",
        &[(0, &[("a", "n1", Taken), ("old", "n1", Up)]), (30, &[("a", "n1", Taken)])],
        &[("a", "n1")],
        74,
        wait(75),
    ),
    (
        "a pod that goes to and fro makes no headway",
        &[(0, &[("a", "n1", Connected)]), (30, &[("a", "n1", Taken)]), (40, &[("a", "n1", Connected)])],
        &[("a", "n1")],
        45,
        stalled(0, 45),
    ),
    (
        "a pod that started again is another one",
        &[(0, &[("a", "n1", Up)]), (40, &[("a2", "n1", Taken)])],
        &[("a2", "n1")],
        84,
        wait(85),
    ),
    (
        "the scheduler works on others",
        &[(0, &[("a", "", Known)]), (40, &[("a", "", Known), ("b", "n2", Scheduled)])],
        &[("a", "n1")],
        84,
        wait(85),
    ),
    (
        "where there is no room, others that find theirs do not help",
        &[(0, &[("a", "", Unplaced)]), (40, &[("a", "", Unplaced), ("b", "n2", Scheduled)])],
        &[("a", "n1")],
        45,
        stalled(0, 45),
    ),
    (
        "the one that is stalled is named, not the first",
        &[
            (0, &[("a", "n1", Taken), ("b", "n2", Scheduled)]),
            (40, &[("a", "n1", Connected), ("b", "n2", Scheduled)]),
        ],
        &[("a", "n1"), ("b", "n2")],
        45,
        stalled(1, 45),
    ),
    (
        "headway does not last for ever",
        &[(0, &[("a", "n1", Taken)]), (290, &[("a", "n1", Connected)])],
        &[("a", "n1")],
        300,
        Decision::Slow { pod: 0 },
    ),
    ("nor is it waited for longer", &[(290, &[("a", "n1", Taken)])], &[("a", "n1")], 291, wait(300)),
];

#[test]
fn a_pod_is_waited_for_as_long_as_there_is_headway_on_its_node() {
    for (case, seen, held, now, decision) in CASES {
        assert_eq!(decided(seen, held, *now), *decision, "{case}");
    }
}

#[test]
fn it_is_said_what_is_given_up_and_why() {
    assert_eq!(wait(9).words(s(3), 0), None);
    assert_eq!(stalled(0, 45).words(s(45), 0).as_deref(), Some("no progress for 45 s"));
    assert_eq!(
        stalled(0, 45).words(s(80), 2).as_deref(),
        Some("no progress for 45 s, not up after 80 s, like 2 others")
    );
    let slow = Decision::Slow { pod: 0 };
    assert_eq!(slow.words(s(300), 1).as_deref(), Some("still starting after 300 s, like another one"));
}
