//! Whether a flow may pass while changes take effect.
//!
//! NetworkPolicies take effect "eventually", pod by pod, and the API promises no moment at which both ends of a flow act: each end
//! takes the changes in their order, but in its own time.

use super::{
    judge::Reading,
    oracle::{Direction, Oracle},
    scene::Scene,
    world::Answer,
};
use crate::{
    flow::{Family, Flow},
    scenario::Change,
};

/// What the ends of a flow do with it in one state.
struct Ends {
    /// Whether its source may let it out.
    out: bool,
    /// Whether its destination may let it in.
    within: bool,
}

impl Scene<'_> {
    /// Whether a flow that is denied at first may then get through on the way from this state through these changes, because an
    /// end opens before the other one closes, or between two changes.
    #[must_use]
    pub fn may_reopen(mut self, changes: &[Change], flow: &Flow, family: Family) -> bool {
        if self.has_other_kinds() {
            return false;
        }
        let mut states = vec![self.ends(flow, family)];
        for change in changes {
            self.change(change);
            states.push(self.ends(flow, family));
        }
        let out = Course::of(states.iter().map(|ends| ends.out));
        let within = Course::of(states.iter().map(|ends| ends.within));
        out != Course::NeverOpen
            && within != Course::NeverOpen
            && (out == Course::Reopens || within == Course::Reopens)
    }

    fn ends(&self, flow: &Flow, family: Family) -> Ends {
        let cluster = self.cluster();
        let oracle = Oracle::new(&cluster);
        let lets = |direction| {
            let asks = self.asks(flow, family);
            asks.iter()
                .any(|ask| oracle.side(direction, &oracle.situation(ask, Reading::AsNode)) != Answer::Deny)
        };
        Ends { out: lets(Direction::Egress), within: lets(Direction::Ingress) }
    }
}

/// What an end does from the first to the last state.
#[derive(PartialEq, Eq)]
enum Course {
    NeverOpen,
    /// Open from the start, perhaps closed later.
    Open,
    /// Closed, and open again.
    Reopens,
}

impl Course {
    fn of(states: impl Iterator<Item = bool>) -> Self {
        let states: Vec<bool> = states.collect();
        match states.iter().rposition(|open| *open) {
            None => Self::NeverOpen,
            Some(last) if states[..last].contains(&false) => Self::Reopens,
            Some(_) => Self::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, scenario::Scenario};

    const HEAD: &str = "
scenario: s
namespaces: { a: }
workloads: { a/x: { labels: { r: x } }, a/y: { labels: { r: y }, listens: [tcp/80] } }
steps:
";

    /// Whether a/x -> a/y may pass on the way from the first step's state to the second's.
    fn reopens(steps: &str) -> bool {
        let text = format!("{HEAD}{steps}");
        let scenario: Scenario =
            parse::scenario("s.yaml", text.as_bytes(), &mut |_| Err(String::new())).expect("a scenario");
        let mut scene = Scene::planned(&scenario.topology);
        let [first, second] = &scenario.steps[..] else { panic!("two steps") };
        first.changes.iter().for_each(|change| scene.change(change));
        let flow = &second.expectations[0].flow;
        scene.may_reopen(&second.changes, flow, Family::V4)
    }

    fn policy(name: &str, pods: &str, types: &str) -> String {
        format!(
            "{{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{ name: {name}, namespace: a }}, spec: {{ podSelector: {{ matchLabels: {{ r: \"{pods}\" }} }}, policyTypes: [{types}] }} }}"
        )
    }

    fn steps(first: &str, second: &str) -> String {
        let expect = "expect: { deny: [a/x -> a/y tcp/80] }";
        format!("  - {{ step: one, {first}, {expect} }}\n  - {{ step: two, {second}, {expect} }}\n")
    }

    #[test]
    fn a_deny_that_moves_to_the_other_end_may_leave_a_gap() {
        let (at_y, at_x) = (policy("in", "y", "Ingress"), policy("out", "x", "Egress"));
        let first = format!("apply: [{at_y}]");
        assert!(reopens(&steps(&first, &format!("apply: [{at_x}], delete: [NetworkPolicy a/in]"))));
        assert!(reopens(&steps(&first, &format!("delete: [NetworkPolicy a/in], apply: [{at_x}]"))));
        assert!(!reopens(&steps(&first, &format!("apply: [{at_x}]"))), "nothing opens");
    }

    #[test]
    fn an_end_that_denies_before_and_after_leaves_a_gap_only_between_two_changes() {
        let (one, two) = (policy("one", "y", "Ingress"), policy("two", "y", "Ingress"));
        let first = format!("apply: [{one}]");
        assert!(!reopens(&steps(&first, &format!("apply: [{two}], delete: [NetworkPolicy a/one]"))));
        assert!(reopens(&steps(&first, &format!("delete: [NetworkPolicy a/one], apply: [{two}]"))));
    }

    #[test]
    fn what_was_open_and_is_closed_does_not_open_again() {
        let text = format!(
            "  - {{ step: one, expect: {{ allow: [a/x -> a/y tcp/80] }} }}\n  - {{ step: two, apply: [{}], expect: {{ deny: [a/x -> a/y tcp/80] }} }}\n",
            policy("in", "y", "Ingress")
        );
        assert!(!reopens(&text));
    }
}
