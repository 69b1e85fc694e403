//! Compiles the tiers: cluster policies before NetworkPolicies, and after them.
//!
//! The source is the overview of `policy.networking.k8s.io` v1alpha2: Admin, NetworkPolicy, Baseline. In a tier the first rule
//! that matches decides, in order of priority.

use super::{Clause, Compiler, Peers, networks};
use crate::local::{
    engine::{
        policy::Direction,
        ranges::Addresses,
        ruleset::{Action, Chain, Rule},
        tier::{ClusterPolicy, Peer, Pods, Rule as TierRule, Then, Tier},
        view::Pod,
    },
    fault::Fault,
};
use flowproof_core::scenario::Labels;
use ipnet::IpNet;
use std::{collections::BTreeMap, sync::Arc};

/// A cluster policy with the peers of each of its rules, which do not depend on the pod it applies to.
pub(super) struct CompiledCluster<'a> {
    policy: &'a ClusterPolicy,
    ingress: Vec<Peers>,
    egress: Vec<Peers>,
}

impl CompiledCluster<'_> {
    fn rules(&self, direction: Direction) -> impl Iterator<Item = (&TierRule, &Peers)> {
        let peers = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        self.policy.rules(direction).iter().zip(peers)
    }
}

impl<'a> Compiler<'a> {
    /// The cluster policies, in order of priority.
    pub(super) fn compiled_cluster_policies(&self) -> Vec<CompiledCluster<'a>> {
        let peers = |rules: &[TierRule]| rules.iter().map(|rule| self.tier_peers(rule)).collect();
        let compiled = |policy: &'a Arc<ClusterPolicy>| CompiledCluster {
            policy,
            ingress: peers(&policy.ingress),
            egress: peers(&policy.egress),
        };
        let mut policies: Vec<_> = self.perceived.cluster_policies.iter().map(compiled).collect();
        policies.sort_by_key(|compiled| compiled.policy.priority);
        policies
    }

    /// The rules of all tiers for a pod in one direction; `None` if no policy applies to it there.
    pub(super) fn chain(&self, pod: &Pod, direction: Direction) -> Option<Chain> {
        let namespaced = || self.namespaced(pod, direction);
        let tier = |tier, next| self.tier(tier, pod, direction, next);
        match self.fault {
            Some(Fault::BaselineFirst | Fault::BaselinePassDenies) => {
                tier(Tier::Admin, tier(Tier::Baseline, namespaced()))
            }
            Some(Fault::AdminLast) => namespaced().or_else(|| tier(Tier::Admin, tier(Tier::Baseline, None))),
            _ => tier(Tier::Admin, namespaced().or_else(|| tier(Tier::Baseline, None))),
        }
    }

    /// The rules of cluster policies for a pod that reaches itself through a Service: egress, then ingress. `None` if no tier
    /// applies. If a NetworkPolicy isolates the pod, the Baseline tier has no say, and the NetworkPolicy leaves the connection open.
    pub(super) fn to_itself(&self, pod: &Pod) -> Option<Chain> {
        let of = |direction| {
            let isolated = self.namespaced(pod, direction).is_some();
            let baseline = if isolated { None } else { self.tier(Tier::Baseline, pod, direction, None) };
            self.tier(Tier::Admin, pod, direction, baseline)
        };
        match (of(Direction::Egress), of(Direction::Ingress)) {
            (None, None) => None,
            (Some(only), None) | (None, Some(only)) => Some(only.with_allow(&Action::Accept)),
            (Some(egress), Some(ingress)) => {
                let ingress = Arc::new(ingress.with_allow(&Action::Accept));
                Some(egress.with_allow(&Action::Goto(ingress)))
            }
        }
    }

    /// The rules of a tier; if none of them decides, `next` does.
    fn tier(&self, tier: Tier, pod: &Pod, direction: Direction, next: Option<Chain>) -> Option<Chain> {
        let given = self.given(tier, pod, direction);
        if given.is_empty() {
            return next;
        }
        let isolated = next.is_some();
        let pass = next.map_or(Action::Allow, |next| Action::Goto(Arc::new(next)));
        let mut rules = Vec::new();
        for (rule, peers) in given {
            let then = match (rule.then, self.fault) {
                (Then::Accept, _) => Action::Allow,
                (Then::Deny, _) | (Then::Pass, Some(Fault::PassDenies)) => Action::Deny,
                (Then::Pass, Some(Fault::PassIgnored)) => continue,
                (Then::Pass, Some(Fault::BaselinePassDenies)) if tier == Tier::Baseline && isolated => {
                    Action::Deny
                }
                (Then::Pass, _) => pass.clone(),
            };
            let clause = Clause { peers: peers.clone(), ports: rule.ports.clone() };
            let matched = self.rules_for(&clause, pod, direction);
            let is_final = self.has(Fault::AdminAcceptIsFinal) && tier == Tier::Admin;
            if is_final && then == Action::Allow && direction == Direction::Egress {
                rules.extend(matched.iter().flat_map(|rule| self.final_on_node(rule, pod)));
            }
            rules.extend(matched.into_iter().map(|rule| Rule { then: then.clone(), ..rule }));
        }
        let rest = if self.has(Fault::ClusterPolicyIsolates) { Action::Deny } else { pass };
        rules.push(Rule { when: Vec::new(), then: rest });
        Some(Chain(rules))
    }

    /// The rules of a tier that apply to a pod, in their order.
    fn given(&self, tier: Tier, pod: &Pod, direction: Direction) -> Vec<(&TierRule, &Peers)> {
        let of_tier = |compiled: &&CompiledCluster<'_>| compiled.policy.tier == tier;
        let mut policies: Vec<_> = self.cluster_policies.iter().filter(of_tier).collect();
        if self.has(Fault::PrioritiesCollide) {
            let last: BTreeMap<_, _> =
                policies.iter().map(|compiled| (compiled.policy.priority, *compiled)).collect();
            policies = last.into_values().collect();
        }
        if self.has(Fault::PriorityInverted) {
            policies.reverse();
        }
        let mut given = Vec::new();
        for compiled in policies.into_iter().filter(|compiled| self.is_subject(compiled.policy, pod)) {
            let mut rules: Vec<_> = compiled.rules(direction).collect();
            if self.has(Fault::IngressRulesForBoth) && direction == Direction::Egress {
                rules.extend(compiled.rules(Direction::Ingress));
            }
            if self.has(Fault::RuleOrderReversed) {
                rules.reverse();
            }
            given.extend(rules);
        }
        given
    }

    fn is_subject(&self, policy: &ClusterPolicy, pod: &Pod) -> bool {
        self.selects(&policy.subject, pod, self.labels_as_subject(pod), self.has(Fault::SubjectPodsIgnored))
    }

    fn selects(&self, selected: &Pods, pod: &Pod, labels: &Labels, any_pod: bool) -> bool {
        let in_namespace = match &selected.namespaces {
            Some(namespaces) => namespaces.selects(self.namespace_labels(&pod.name.namespace), self.fault),
            None => !self.has(Fault::AbsentNamespacesMatchNone),
        };
        in_namespace && (any_pod || selected.pods.selects(labels, self.fault))
    }

    fn tier_peers(&self, rule: &TierRule) -> Peers {
        let mut all = Addresses::default();
        let mut found = Vec::new();
        for peer in &rule.peers {
            match peer {
                Peer::Networks(list) => {
                    let exact = |network: &&IpNet| {
                        !self.has(Fault::HostBitsMatchNothing) || **network == network.trunc()
                    };
                    let list: Vec<IpNet> = list.iter().filter(exact).map(IpNet::trunc).collect();
                    let mut listed = networks(&list);
                    if self.has(Fault::BlockMissesPods) {
                        listed.remove_all(&self.pod_addresses());
                    }
                    all.add_all(&listed);
                }
                Peer::Pods(selected) => {
                    for pod in self.peer_pods() {
                        if self.selects(selected, pod, self.labels_as_peer(pod), false) {
                            pod.addresses.iter().for_each(|address| all.add(*address));
                            found.push(Arc::clone(pod));
                        }
                    }
                }
            }
        }
        Peers::Some { all, pods: found }
    }
}
