//! Whether pods make headway on their way up, node by node, and when waiting for them is over.
//!
//! As long as a node brings up pods of the run, its other ones only wait for their turn; where nothing happens, waiting longer
//! does not help. What another node does is no headway: a node whose kubelet is stopped is found as quickly beside busy
//! neighbors as alone.

use std::{collections::BTreeMap, time::Duration};

/// Longest that pods may take although they make headway. A deployment on two busy cores took 70 s; a cluster that is several
/// times slower than that judges nothing within its time either.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// How far a pod has come. Each stage is reached once: what goes to and fro between two states makes no headway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The API server has it.
    Known,
    /// The scheduler finds no node for it.
    Unplaced,
    /// It was given a node.
    Scheduled,
    /// Its node has reported on it.
    Taken,
    /// Its node has connected it to the network.
    Connected,
    /// Its prober can be attached.
    Up,
}

/// A pod of the run, as it is seen now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    /// Names this pod and none of the same name before or after it.
    pub(super) uid: &'a str,
    /// Its node; empty before it has one.
    pub(super) node: &'a str,
    /// How far it has come.
    pub(super) stage: Stage,
}

/// A pod that is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited<'a> {
    /// Its uid; empty when it has not been seen.
    pub(super) uid: &'a str,
    /// The node that it has, or is to have.
    pub(super) node: &'a str,
}

/// How long pods are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Longest time without any headway.
    pub(super) without_headway: Duration,
    /// Longest time in all.
    pub(super) in_all: Duration,
}

/// What to do about pods that are not up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Wait, and decide again at this moment.
    Wait {
        /// Since the wait began.
        until: Duration,
    },
    /// Give up: nothing has happened for too long on the node of one of them.
    Stalled {
        /// Its index.
        pod: usize,
        /// For how long nothing has happened.
        quiet: Duration,
    },
    /// Give up: they make headway, and still take too long.
    Slow {
        /// The index of the first of them.
        pod: usize,
    },
}

/// What has happened since a wait began. All times count from there.
#[derive(Debug)]
pub(super) struct Headway {
    limits: Limits,
    pods: BTreeMap<String, Met>,
    /// When a node last brought a pod of the run to a stage. One that it ended counts as one that came up: both are all that
    /// there is to do.
    nodes: BTreeMap<(String, Stage), Duration>,
    /// When a pod of the run was last created or given a node.
    scheduled: Duration,
}

#[derive(Debug)]
struct Met {
    node: String,
    stage: Stage,
    since: Duration,
}

impl Headway {
    /// Begins to wait.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, pods: BTreeMap::new(), nodes: BTreeMap::new(), scheduled: Duration::ZERO }
    }

    /// Takes in all pods of the run, whichever of them are waited for.
    pub(super) fn look<'a>(&mut self, now: Duration, pods: impl IntoIterator<Item = Sight<'a>>) {
        let mut gone = std::mem::take(&mut self.pods);
        for Sight { uid, node, stage } in pods {
            let met = match gone.remove(uid) {
                Some(met) if met.stage >= stage => met,
                _ => {
                    if stage >= Stage::Taken {
                        self.nodes.insert((node.to_owned(), stage), now);
                    } else {
                        self.scheduled = now;
                    }
                    Met { node: node.to_owned(), stage, since: now }
                }
            };
            self.pods.insert(uid.to_owned(), met);
        }
        self.nodes.extend(gone.into_values().map(|ended| ((ended.node, Stage::Up), now)));
    }

    /// Decides about the pods that are not up.
    pub(super) fn decide(&self, now: Duration, held: &[Awaited<'_>]) -> Decision {
        if now >= self.limits.in_all && !held.is_empty() {
            return Decision::Slow { pod: 0 };
        }
        let mut until = self.limits.in_all;
        for (pod, awaited) in held.iter().enumerate() {
            let since = self.last(awaited);
            if now >= since + self.limits.without_headway {
                return Decision::Stalled { pod, quiet: now.saturating_sub(since) };
            }
            until = until.min(since + self.limits.without_headway);
        }
        Decision::Wait { until }
    }

    /// When something last happened that a pod waits for: with itself, or with another one that came further than it. A node that
    /// takes pods in and connects none does nothing for those that wait for their network.
    fn last(&self, pod: &Awaited<'_>) -> Duration {
        let Some(met) = self.pods.get(pod.uid) else { return self.scheduled };
        let others = match met.stage {
            Stage::Known => self.scheduled,
            // Others that find their nodes do not make room for it.
            Stage::Unplaced => Duration::ZERO,
            stage => {
                let further = |of: Stage| of > stage || of == Stage::Up;
                let at = |of: Stage| self.nodes.get(&(pod.node.to_owned(), of)).filter(|_| further(of));
                [Stage::Taken, Stage::Connected, Stage::Up]
                    .into_iter()
                    .filter_map(at)
                    .max()
                    .copied()
                    .unwrap_or_default()
            }
        };
        met.since.max(others)
    }
}

impl Decision {
    /// Why waiting is over, for a pod that waits like so many others; none while it goes on.
    pub(super) fn words(self, waited: Duration, others: usize) -> Option<String> {
        let like = match others {
            0 => String::new(),
            1 => ", like another one".to_owned(),
            _ => format!(", like {others} others"),
        };
        let waited = waited.as_secs();
        match self {
            Self::Wait { .. } => None,
            Self::Stalled { quiet, .. } if quiet.as_secs() + 1 >= waited => {
                Some(format!("no progress for {} s{like}", quiet.as_secs()))
            }
            Self::Stalled { quiet, .. } => {
                Some(format!("no progress for {} s, not up after {waited} s{like}", quiet.as_secs()))
            }
            Self::Slow { .. } => Some(format!("still starting after {waited} s{like}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stage::{Connected, Known, Scheduled, Taken, Unplaced, Up};

    const LIMITS: Limits =
        Limits { without_headway: Duration::from_secs(45), in_all: Duration::from_secs(300) };

    fn s(seconds: u64) -> Duration {
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

    fn wait(until: u64) -> Decision {
        Decision::Wait { until: s(until) }
    }

    fn stalled(pod: usize, quiet: u64) -> Decision {
        Decision::Stalled { pod, quiet: s(quiet) }
    }

    #[test]
    fn a_pod_is_waited_for_as_long_as_there_is_headway_on_its_node() {
        let cases: &[(&str, &[At], &[(&str, &str)], u64, Decision)] = &[
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
                &[
                    (0, &[("a", "n1", Connected)]),
                    (30, &[("a", "n1", Taken)]),
                    (40, &[("a", "n1", Connected)]),
                ],
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
        for (case, seen, held, now, decision) in cases {
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
}
