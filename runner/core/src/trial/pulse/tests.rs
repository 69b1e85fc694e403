//! When a network has had its time, in virtual time: a change is accepted at 0 s, and the settle limit is 15 s.

use super::*;
use crate::trial::limits::tests::limits;

fn at(seconds: f64) -> Moment {
    Moment((seconds * 1e6) as i64)
}

fn nodes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Beats on node1 and node2: when each was accepted, and how long each node took to enforce it.
fn pulses(beats: &[(f64, Option<f64>, Option<f64>)]) -> Pulses {
    let mut pulses = Pulses { heart: Heart::Ready, ..Pulses::default() };
    for (accepted, one, two) in beats {
        pulses.begin(Beat {
            subject: Subject::Policies,
            accepted: at(*accepted),
            nodes: nodes(&["node1", "node2"]),
            through: BTreeMap::new(),
        });
        for (node, after) in [("node1", one), ("node2", two)] {
            if let Some(after) = after {
                pulses.through(node, at(accepted + after));
            }
        }
    }
    pulses
}

fn seen() -> Limits {
    Limits { slowest_policies: Some(Duration::from_secs(1)), ..limits() }
}

fn chance(pulses: &Pulses, of: &[&str], lag_ms: u64, now: f64, limits: &Limits) -> Chance {
    let nodes = nodes(of);
    let asked = Asked {
        subject: Subject::Policies,
        accepted: at(0.0),
        nodes: &nodes,
        lag: Duration::from_millis(lag_ms),
    };
    pulses.chance(&asked, at(now), limits)
}

fn had(chance: &Chance) -> bool {
    matches!(chance, Chance::Had(_))
}

#[test]
fn a_node_that_enforced_three_later_changes_has_had_its_time() {
    let both = ["node1", "node2"];
    let beats = [(4.0, Some(2.0), Some(2.1)), (7.0, Some(1.0), Some(1.5)), (9.0, Some(1.0), Some(2.0))];
    let three = pulses(&beats);
    assert_eq!(chance(&three, &both, 0, 14.9, &seen()), Chance::Open, "the settle limit comes first");
    let text = "node1 and node2 enforced 3 later changes within 2.1 s";
    assert_eq!(chance(&three, &both, 0, 15.0, &seen()), Chance::Had(text.into()));
    let two = pulses(&beats[..2]);
    assert_eq!(chance(&two, &both, 0, 15.0, &seen()), Chance::Open);
}

#[test]
fn pulses_that_began_before_the_change_show_nothing() {
    let mut early =
        pulses(&[(4.0, Some(2.0), Some(2.1)), (7.0, Some(1.0), Some(1.5)), (9.0, Some(1.0), Some(2.0))]);
    for beat in &mut early.beats {
        beat.accepted = beat.accepted - Duration::from_secs(10);
    }
    assert_eq!(chance(&early, &["node1"], 0, 20.0, &seen()), Chance::Open);
}

#[test]
fn a_slow_node_is_given_twice_what_a_later_change_took() {
    let slow = pulses(&[(1.0, Some(12.0), None), (14.0, Some(9.0), None), (24.0, Some(1.0), None)]);
    assert_eq!(chance(&slow, &["node1"], 0, 23.9, &seen()), Chance::Open);
    assert!(had(&chance(&slow, &["node1"], 0, 25.0, &seen())));
}

#[test]
fn a_node_that_enforces_nothing_while_others_do_is_silent() {
    let dead = pulses(&[(5.0, Some(1.0), None)]);
    let text = "node2 has enforced nothing for 15.0 s, while node1 enforced a later change within 1.0 s";
    assert_eq!(chance(&dead, &["node2"], 0, 15.0, &seen()), Chance::Had(text.into()));
    assert_eq!(chance(&dead, &["node1"], 0, 15.0, &seen()), Chance::Open, "node1 is alive: more pulses come");
    let slow = pulses(&[(5.0, Some(6.0), None)]);
    assert_eq!(chance(&slow, &["node2"], 0, 20.0, &seen()), Chance::Open, "node1 took 6 s itself");
    assert!(had(&chance(&slow, &["node2"], 0, 29.0, &seen())));
}

#[test]
fn where_nothing_comes_through_any_more_patience_ends() {
    let none = pulses(&[(5.0, None, None)]);
    assert_eq!(chance(&none, &["node2"], 0, 119.0, &seen()), Chance::Open);
    let text = "node2 has enforced nothing for 120.0 s";
    assert_eq!(chance(&none, &["node2"], 0, 120.0, &seen()), Chance::Had(text.into()));
    let unbeaten = pulses(&[]);
    assert!(matches!(chance(&unbeaten, &["node2"], 0, 120.0, &seen()), Chance::Unknown(_)));
}

#[test]
fn a_cluster_that_never_enforced_anything_is_not_waited_for_unless_cpu_is_scarce() {
    let none = pulses(&[]);
    assert!(had(&chance(&none, &["node1"], 0, 15.0, &limits())));
    assert_eq!(chance(&none, &["node1"], 1_000, 15.0, &limits()), Chance::Open);
    assert!(had(&chance(&none, &["node1"], 1_000, 30.0, &limits())));
}

#[test]
fn without_pulses_only_scarce_cpu_makes_a_step_wait_longer() {
    let none = Pulses::default();
    assert!(had(&chance(&none, &["node1"], 0, 15.0, &seen())));
    assert_eq!(chance(&none, &["node1"], 1_000, 15.0, &seen()), Chance::Open);
    assert!(had(&chance(&none, &["node1"], 1_000, 20.0, &seen())), "twenty times the lag");
    assert!(matches!(chance(&none, &["node1"], 7_000, 120.0, &seen()), Chance::Unknown(_)));
}

#[test]
fn pulses_of_policies_show_nothing_about_labels() {
    let nodes = nodes(&["node1"]);
    let beats = pulses(&[(4.0, Some(2.0), None), (7.0, Some(1.0), None), (9.0, Some(1.0), None)]);
    let asked = Asked { subject: Subject::Labels, accepted: at(0.0), nodes: &nodes, lag: Duration::ZERO };
    assert_eq!(beats.chance(&asked, at(50.0), &seen()), Chance::Open);
}
