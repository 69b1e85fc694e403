//! Whether a flow may pass while changes take effect.
//!
//! NetworkPolicies take effect "eventually", pod by pod. The API promises no moment at which both ends of a flow act: each end
//! applies the changes in their order, but in its own time.

use super::{
    answer::Reading,
    facts::Answer,
    oracle::{Direction, Oracle},
    scene::Scene,
};
use crate::scenario::{
    Change,
    flow::{Family, Flow},
};

/// What the ends of a flow do with it in one state.
struct Ends {
    /// Whether its source may let it out.
    out: bool,
    /// Whether its destination may let it in.
    within: bool,
}

impl Scene<'_> {
    /// How often a flow that is denied in the end may get through after silence, while these changes take effect in this state:
    /// once for each change, if each end lets it through in some state on the way. The two ends may do so at the same moment,
    /// because each applies the changes in its own time. Otherwise never.
    #[must_use]
    pub fn reopenings(mut self, changes: &[Change], flow: &Flow, family: Family) -> usize {
        if self.has_other_kinds() {
            return 0;
        }
        let mut states = vec![self.ends(flow, family)];
        for change in changes {
            self.change(change);
            states.push(self.ends(flow, family));
        }
        let opens = states.iter().any(|ends| ends.out) && states.iter().any(|ends| ends.within);
        if opens { changes.len() } else { 0 }
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

    /// How often a/x -> a/y may get through on the way from the first step's state to the second's.
    fn reopenings(steps: &str) -> usize {
        let text = format!("{HEAD}{steps}");
        let scenario: Scenario =
            parse::scenario("s.yaml", text.as_bytes(), &mut |_| Err(String::new())).expect("a scenario");
        let mut scene = Scene::planned(&scenario.topology);
        let [first, second] = &scenario.steps[..] else { panic!("two steps") };
        first.changes.iter().for_each(|change| scene.change(change));
        let flow = &second.expectations[0].flow;
        scene.reopenings(&second.changes, flow, Family::V4)
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
        let second = format!("apply: [{at_x}], delete: [NetworkPolicy a/in]");
        assert_eq!(reopenings(&steps(&first, &second)), 2);
        let second = format!("delete: [NetworkPolicy a/in], apply: [{at_x}]");
        assert_eq!(reopenings(&steps(&first, &second)), 2);
        assert_eq!(reopenings(&steps(&first, &format!("apply: [{at_x}]"))), 0, "nothing opens");
    }

    #[test]
    fn an_end_that_denies_before_and_after_leaves_a_gap_only_between_two_changes() {
        let (one, two) = (policy("one", "y", "Ingress"), policy("two", "y", "Ingress"));
        let first = format!("apply: [{one}]");
        let second = format!("apply: [{two}], delete: [NetworkPolicy a/one]");
        assert_eq!(reopenings(&steps(&first, &second)), 0);
        let second = format!("delete: [NetworkPolicy a/one], apply: [{two}]");
        assert_eq!(reopenings(&steps(&first, &second)), 2);
    }

    #[test]
    fn what_was_open_may_open_once_more_while_it_is_closed() {
        let text = format!(
            "  - {{ step: one, expect: {{ allow: [a/x -> a/y tcp/80] }} }}\n  - {{ step: two, apply: [{}], expect: {{ deny: [a/x -> a/y tcp/80] }} }}\n",
            policy("in", "y", "Ingress")
        );
        assert_eq!(reopenings(&text), 1);
    }
}
