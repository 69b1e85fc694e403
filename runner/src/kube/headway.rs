//! Whether pods make headway while they come up, node by node, and when waiting for them is over.
//!
//! As long as a node brings up pods of the run, its other pods only wait for their turn; if nothing happens, waiting longer does
//! not help. What another node does is not headway, so a node whose kubelet is stopped is found as quickly beside busy neighbors
//! as alone.

use std::{collections::BTreeMap, time::Duration};

/// The longest that pods may take although they make headway. A deployment on two busy cores took 70 s. On a cluster that is several
/// times slower, no flow would settle in time either.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// How far a pod has come. Each stage counts once: a pod that switches between two states makes no headway.
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
    /// Identifies this pod, not an earlier or later one of the same name.
    pub(super) uid: &'a str,
    /// Its node; empty before it has one.
    pub(super) node: &'a str,
    pub(super) stage: Stage,
}

/// A pod that is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited<'a> {
    /// Its uid; empty if it has not been seen.
    pub(super) uid: &'a str,
    /// The node that it has, or will have.
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
    /// Wait, and decide again at a later moment.
    Wait {
        /// That moment, since the wait began.
        until: Duration,
    },
    /// Give up: nothing has happened for too long on the node of one of them.
    Stalled {
        /// The index of that pod.
        pod: usize,
        /// For how long nothing has happened.
        quiet: Duration,
    },
    /// Give up: the pods make headway, but take too long.
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
    /// When a node last brought a pod of the run to a stage. A pod that ended counts as one that is up: in both cases the node has
    /// nothing left to do.
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

    /// Takes in all pods of the run, whether they are waited for or not.
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

    /// When something last happened that a pod waits for: to the pod itself, or to another pod that has come further. A node that
    /// accepts pods but connects none does nothing for those that wait for their network.
    fn last(&self, pod: &Awaited<'_>) -> Duration {
        let Some(met) = self.pods.get(pod.uid) else { return self.scheduled };
        let others = match met.stage {
            Stage::Known => self.scheduled,
            // Other pods that get a node do not make room for it.
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
    /// Why waiting is over, for a pod that waits together with this number of others; `None` while it goes on.
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
mod tests;
