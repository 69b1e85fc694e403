//! The state of the API as the engine sees it: the truth, unless a fault makes the engine forget or miss something.

use super::{
    compile::Perceived,
    policy::{Direction, NetworkPolicy, Peer},
    view::{Pod, View},
};
use crate::local::{
    fault::{Fault, STARTUP_WINDOW},
    object::Name,
};
use flowproof_core::scenario::Labels;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

/// What an engine remembers from one state to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    fault: Option<Fault>,
    last: View,
    namespace_labels: BTreeMap<String, Labels>,
    pod_labels: BTreeMap<Name, Labels>,
    /// First versions of policies, or versions that outlive their deletion, depending on the fault.
    policies: BTreeMap<Name, Arc<NetworkPolicy>>,
    /// First priorities of cluster policies.
    priorities: BTreeMap<String, u64>,
    /// Names of policies that were ever deleted.
    deleted: BTreeSet<Name>,
    /// Pods that existed when a policy was created, or when it was deleted, depending on the fault.
    present: BTreeMap<Name, BTreeSet<Name>>,
    restarted: BTreeSet<Name>,
    born: BTreeMap<Name, Instant>,
    isolated: BTreeSet<(Name, Direction)>,
    stuck: BTreeSet<(Name, Direction)>,
    ghosts: Vec<Arc<Pod>>,
    /// The order in which policies were created, as growing numbers.
    created: BTreeMap<Name, u64>,
    creations: u64,
}

impl Memory {
    pub(crate) fn with(fault: Option<Fault>) -> Self {
        Self { fault, ..Self::default() }
    }

    /// Records a state and returns how the engine sees it at this moment.
    pub(crate) fn perceive(&mut self, view: View, now: Instant) -> Perceived {
        let mut perceived = Perceived {
            policies: view.policies.values().cloned().collect(),
            cluster_policies: view.cluster_policies.values().cloned().collect(),
            ..Perceived::default()
        };
        if self.fault.is_some() {
            self.note_pods(&view, now);
            self.distort(&view, &mut perceived, now);
            self.last = view.clone();
        }
        perceived.view = view;
        perceived
    }

    /// When something next changes without a change of the API's state.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        if self.fault != Some(Fault::StartupWindow) {
            return None;
        }
        self.born.values().map(|born| *born + STARTUP_WINDOW).filter(|end| *end > now).min()
    }

    fn note_pods(&mut self, view: &View, now: Instant) {
        for (name, pod) in &view.pods {
            let before = self.last.pods.get(name);
            let same = before.is_some_and(|before| before.addresses == pod.addresses);
            if !same {
                self.pod_labels.remove(name);
                if self.born.insert(name.clone(), now).is_some() {
                    self.restarted.insert(name.clone());
                }
            }
        }
        let ended = self.last.pods.values().filter(|pod| {
            view.pods.get(&pod.name).is_none_or(|now| now.addresses != pod.addresses) && !pod.host_network
        });
        self.ghosts.extend(ended.cloned());
        // Forget everything about namespaces that are gone.
        let alive = |name: &Name| view.namespaces.contains_key(&name.namespace);
        self.ghosts.retain(|pod| alive(&pod.name));
        self.born.retain(|name, _| alive(name));
        self.restarted.retain(alive);
        self.deleted.retain(alive);
        self.policies.retain(|name, _| alive(name));
        self.stuck.retain(|(name, _)| alive(name));
        self.namespace_labels.retain(|name, _| view.namespaces.contains_key(name));
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each fault")]
    fn distort(&mut self, view: &View, perceived: &mut Perceived, now: Instant) {
        let Some(fault) = self.fault else { return };
        let gone: Vec<_> =
            self.last.policies.iter().filter(|(name, _)| !view.policies.contains_key(*name)).collect();
        let pods: BTreeSet<Name> = view.pods.keys().cloned().collect();
        match fault {
            Fault::NamespaceLabelMissed => {
                for (name, labels) in &view.namespaces {
                    self.namespace_labels.entry(name.clone()).or_insert_with(|| labels.clone());
                }
                perceived.namespace_labels.clone_from(&self.namespace_labels);
            }
            Fault::PodLabelMissedAsPeer | Fault::PodLabelMissedAsSubject => {
                for (name, pod) in &view.pods {
                    self.pod_labels.entry(name.clone()).or_insert_with(|| pod.labels.clone());
                }
                let missed = self.pod_labels.clone();
                match fault {
                    Fault::PodLabelMissedAsPeer => perceived.peer_labels = missed,
                    _ => perceived.subject_labels = missed,
                }
            }
            Fault::LabelRemovalMissed => {
                for (name, labels) in &view.namespaces {
                    self.namespace_labels.entry(name.clone()).or_default().extend(labels.clone());
                }
                for (name, pod) in &view.pods {
                    self.pod_labels.entry(name.clone()).or_default().extend(pod.labels.clone());
                }
                perceived.namespace_labels.clone_from(&self.namespace_labels);
                perceived.peer_labels.clone_from(&self.pod_labels);
                perceived.subject_labels.clone_from(&self.pod_labels);
            }
            Fault::LastCreatedWins => {
                self.created.retain(|name, _| view.policies.contains_key(name));
                for name in view.policies.keys() {
                    if !self.created.contains_key(name) {
                        self.creations += 1;
                        self.created.insert(name.clone(), self.creations);
                    }
                }
                perceived.created.clone_from(&self.created);
            }
            Fault::UpdateMissed => {
                self.policies.retain(|name, _| view.policies.contains_key(name));
                for (name, policy) in &view.policies {
                    self.policies.entry(name.clone()).or_insert_with(|| Arc::clone(policy));
                }
                perceived.policies = self.policies.values().cloned().collect();
            }
            Fault::PriorityUpdateMissed => {
                self.priorities.retain(|name, _| view.cluster_policies.contains_key(name));
                for policy in &mut perceived.cluster_policies {
                    let first = *self.priorities.entry(policy.name.clone()).or_insert(policy.priority);
                    Arc::make_mut(policy).priority = first;
                }
            }
            Fault::DeletionMissed => {
                self.policies.extend(view.policies.clone());
                perceived.policies = self.policies.values().cloned().collect();
            }
            Fault::DeletionLeavesDeny => {
                let isolated = isolated(view);
                if !gone.is_empty() {
                    self.stuck.extend(self.isolated.difference(&isolated).cloned());
                }
                self.stuck.retain(|key| !isolated.contains(key));
                self.isolated = isolated;
                perceived.stuck = self.stuck.iter().cloned().collect();
            }
            Fault::RecreationLost => {
                self.deleted.extend(gone.iter().map(|(name, _)| (*name).clone()));
                perceived.policies.retain(|policy| !self.deleted.contains(&policy.name));
            }
            Fault::FirstApplyInert => {
                self.deleted.extend(gone.iter().map(|(name, _)| (*name).clone()));
                perceived.policies.retain(|policy| self.deleted.contains(&policy.name));
            }
            Fault::DeletedPolicyReturns => {
                for (name, policy) in gone {
                    self.policies.insert(name.clone(), Arc::clone(policy));
                    self.present.insert(name.clone(), pods.clone());
                }
                self.policies.retain(|name, _| !view.policies.contains_key(name));
                perceived.policies.extend(self.policies.values().cloned());
                let there = self.present.iter().filter(|(name, _)| self.policies.contains_key(*name));
                perceived.missing_subjects = there
                    .flat_map(|(policy, pods)| pods.iter().map(|pod| (policy.clone(), pod.clone())))
                    .filter(|(_, pod)| !self.restarted.contains(pod))
                    .collect();
            }
            Fault::NewPeersMissed | Fault::NewSubjectsMissed => {
                self.present.retain(|name, _| view.policies.contains_key(name));
                for name in view.policies.keys() {
                    // A pod that restarts leaves the set for good.
                    let present = self.present.entry(name.clone()).or_insert_with(|| pods.clone());
                    present.retain(|pod| {
                        self.born.get(pod).is_none_or(|born| *born != now) || !self.restarted.contains(pod)
                    });
                }
                let late = self.present.iter().flat_map(|(policy, present)| {
                    pods.difference(present).map(|pod| (policy.clone(), pod.clone()))
                });
                match fault {
                    Fault::NewPeersMissed => perceived.missing_peers = late.collect(),
                    _ => perceived.missing_subjects = late.collect(),
                }
            }
            Fault::RestartRemovesPeer => {
                let all = view
                    .policies
                    .keys()
                    .flat_map(|policy| self.restarted.iter().map(|pod| (policy.clone(), pod.clone())));
                perceived.missing_peers = all.collect();
            }
            Fault::RestartedPodUnpoliced => perceived.unpoliced = self.restarted.iter().cloned().collect(),
            Fault::StartupWindow => {
                let young = self.born.iter().filter(|(_, born)| **born + STARTUP_WINDOW > now);
                perceived.unpoliced = young.map(|(name, _)| name.clone()).collect();
            }
            Fault::GonePodsStayPeers | Fault::GonePodsStaySubjects => {
                perceived.ghosts.clone_from(&self.ghosts);
            }
            Fault::V6BlockAbortsSync => {
                if let Some(at) = perceived.policies.iter().position(|policy| has_v6_block(policy)) {
                    perceived.policies.truncate(at);
                }
            }
            Fault::NamesCollide => keep_last(&mut perceived.policies, |name| name.name.clone()),
            Fault::KeysCollide => {
                keep_last(&mut perceived.policies, |name| {
                    (name.namespace.clone(), name.name.replace('.', "-"))
                });
            }
            _ => {}
        }
    }
}

fn keep_last<K: Ord>(policies: &mut Vec<Arc<NetworkPolicy>>, key: impl Fn(&Name) -> K) {
    let last: BTreeMap<_, _> =
        policies.iter().map(|policy| (key(&policy.name), policy.name.clone())).collect();
    policies.retain(|policy| last.get(&key(&policy.name)) == Some(&policy.name));
}

fn has_v6_block(policy: &NetworkPolicy) -> bool {
    policy.ingress.iter().chain(&policy.egress).flat_map(|rule| &rule.peers).any(|peer| match peer {
        Peer::Block { network, .. } => matches!(network, ipnet::IpNet::V6(_)),
        Peer::Pods { .. } => false,
    })
}

/// The pods that any policy isolates, per direction.
fn isolated(view: &View) -> BTreeSet<(Name, Direction)> {
    let mut isolated = BTreeSet::new();
    for policy in view.policies.values() {
        for pod in view.pods.values() {
            if pod.name.namespace == policy.name.namespace && policy.pods.selects(&pod.labels, None) {
                isolated.extend(policy.types.iter().map(|direction| (pod.name.clone(), *direction)));
            }
        }
    }
    isolated
}
