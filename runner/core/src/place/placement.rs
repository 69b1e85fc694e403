//! Decides before deployment on which node each workload runs; the answer is the same for the same nodes.

use crate::scenario::{Labels, Placement, Topology, WorkloadSpec, name::Workload};
use serde_json::Value;
use std::collections::BTreeMap;

/// A node that can take pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its taints with effect `NoSchedule` or `NoExecute`, as in the Kubernetes API.
    pub taints: Vec<Value>,
}

/// Why a topology does not fit the nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// `other-than` on a single node: the scenario cannot be played here, which is not the fault of the cluster's network.
    #[error("{0} must run on another node than {1}, and there is no other usable node")]
    NeedsAnotherNode(Workload, Workload),
    /// `node: NAME` names a node that does not exist or is not usable.
    #[error("{0} must run on node '{1}', which this cluster does not have or cannot use now (usable: {2})")]
    NoSuchNode(Workload, String, String),
    /// No node fits the node selector, the tolerations and the placement of the workload.
    #[error("no usable node fits {0}: its node selector or its tolerations rule all of them out")]
    NoneFits(Workload),
    /// `same-as` and `other-than` refer to each other in a circle.
    #[error("the placements of {0} and others refer to each other in a circle")]
    Circle(Workload),
}

/// Gives every workload its node. Free workloads take the nodes in turn, starting after the first `turn` of them, so that every
/// node is used and scenarios that run side by side do not crowd the first one.
pub fn place(
    topology: &Topology,
    nodes: &[Node],
    turn: usize,
) -> Result<BTreeMap<Workload, String>, PlaceError> {
    let mut placed = BTreeMap::new();
    let mut turn = turn;
    let mut waiting: Vec<(&Workload, &WorkloadSpec)> = topology.workloads.iter().collect();
    // Each pass places the workloads whose reference is placed. If a pass places none, they refer to each other in a circle.
    while let Some((first, _)) = waiting.first().copied() {
        let before = waiting.len();
        let mut left = Vec::new();
        for (workload, spec) in waiting {
            let fits: Vec<&Node> = nodes.iter().filter(|node| fits(node, spec)).collect();
            let node = match &spec.placement {
                Placement::Node(name) => {
                    fits.iter().find(|node| node.name == *name).copied().ok_or_else(|| {
                        let usable: Vec<&str> = fits.iter().map(|node| node.name.as_str()).collect();
                        PlaceError::NoSuchNode(workload.clone(), name.clone(), usable.join(", "))
                    })?
                }
                _ if fits.is_empty() => return Err(PlaceError::NoneFits(workload.clone())),
                Placement::Any => {
                    turn += 1;
                    fits[(turn - 1) % fits.len()]
                }
                Placement::SameAs(other) | Placement::OtherThan(other) => {
                    let Some(node) = placed.get(other) else {
                        left.push((workload, spec));
                        continue;
                    };
                    let same = matches!(spec.placement, Placement::SameAs(_));
                    fits.iter().find(|candidate| (candidate.name == *node) == same).copied().ok_or_else(
                        || {
                            if same {
                                PlaceError::NoneFits(workload.clone())
                            } else {
                                PlaceError::NeedsAnotherNode(workload.clone(), other.clone())
                            }
                        },
                    )?
                }
            };
            placed.insert(workload.clone(), node.name.clone());
        }
        if left.len() == before {
            return Err(PlaceError::Circle(first.clone()));
        }
        waiting = left;
    }
    Ok(placed)
}

fn fits(node: &Node, spec: &WorkloadSpec) -> bool {
    spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && node
            .taints
            .iter()
            .all(|taint| spec.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Whether a toleration covers a taint, both written as in the Kubernetes API and compared by its rules: an empty key with
/// `Exists` covers all taints, an empty effect covers every effect, and the operator is `Equal` by default.
#[must_use]
pub fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
    let exists = text(toleration, "operator") == "Exists";
    (effect.is_empty() || effect == text(taint, "effect"))
        && ((key.is_empty() && exists) || key == text(taint, "key"))
        && (exists || text(toleration, "value") == text(taint, "value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nodes(count: usize) -> Vec<Node> {
        (1..=count).map(|n| Node { name: format!("node{n}"), ..Node::default() }).collect()
    }

    fn topology(placements: &[(&str, Placement)]) -> Topology {
        let workload = |(name, placement): &(&str, Placement)| {
            let spec = WorkloadSpec { placement: placement.clone(), ..WorkloadSpec::default() };
            (Workload::new("x", *name), spec)
        };
        Topology { workloads: placements.iter().map(workload).collect(), ..Topology::default() }
    }

    fn x(name: &str) -> Workload {
        Workload::new("x", name)
    }

    #[test]
    fn free_workloads_take_the_nodes_in_turn() {
        let free = topology(&[("a", Placement::Any), ("b", Placement::Any), ("c", Placement::Any)]);
        let on = |turn| place(&free, &nodes(2), turn).expect("it fits").into_values().collect::<Vec<_>>();
        assert_eq!(on(0), ["node1", "node2", "node1"]);
        assert_eq!(on(1), ["node2", "node1", "node2"]);
    }

    #[test]
    fn references_are_followed_in_any_order() {
        let t = topology(&[
            ("a", Placement::OtherThan(x("b"))),
            ("b", Placement::SameAs(x("c"))),
            ("c", Placement::Node("node2".into())),
        ]);
        let placed = place(&t, &nodes(3), 0).expect("it fits");
        assert_eq!((&*placed[&x("a")], &*placed[&x("b")]), ("node1", "node2"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let other = topology(&[("a", Placement::Any), ("b", Placement::OtherThan(x("a")))]);
        assert_eq!(place(&other, &nodes(1), 0), Err(PlaceError::NeedsAnotherNode(x("b"), x("a"))));
        let circle = topology(&[("a", Placement::SameAs(x("b"))), ("b", Placement::SameAs(x("a")))]);
        assert_eq!(place(&circle, &nodes(2), 0), Err(PlaceError::Circle(x("a"))));
        let named = topology(&[("a", Placement::Node("nodeX".into()))]);
        assert_eq!(
            place(&named, &nodes(2), 0),
            Err(PlaceError::NoSuchNode(x("a"), "nodeX".into(), "node1, node2".into()))
        );
    }

    #[test]
    fn taints_and_labels_rule_nodes_out() {
        let mut two = nodes(2);
        two[0].taints = vec![json!({"key": "role", "value": "db", "effect": "NoSchedule"})];
        two[1].labels.insert("disk".into(), "ssd".into());
        let mut t = topology(&[("a", Placement::Any)]);
        let node = |t: &Topology| place(t, &two, 0).map(|placed| placed[&x("a")].clone());
        assert_eq!(node(&t), Ok("node2".into()));
        for toleration in [
            json!({"key": "role", "value": "db"}),
            json!({"key": "role", "operator": "Exists", "effect": "NoSchedule"}),
            json!({"operator": "Exists"}),
        ] {
            t.workloads.get_mut(&x("a")).expect("it is there").tolerations = vec![toleration];
            assert_eq!(node(&t), Ok("node1".into()));
        }
        let spec = t.workloads.get_mut(&x("a")).expect("it is there");
        spec.tolerations = vec![json!({"key": "role", "value": "web"})];
        spec.node_selector.insert("disk".into(), "hdd".into());
        assert_eq!(node(&t), Err(PlaceError::NoneFits(x("a"))));
    }
}
