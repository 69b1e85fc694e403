//! The faults: id, name, one line each, and where they were seen.

use super::{Category, Effect};

/// What is known about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FaultInfo {
    /// Which.
    #[serde(skip)]
    pub fault: Fault,
    /// Its name on a command line.
    pub name: &'static str,
    /// Its id in the catalog of faults, which several variants may share; `S` and a number for a rule that it breaks.
    pub id: &'static str,
    /// Where it is.
    pub category: Category,
    /// What it does to traffic.
    pub effect: Effect,
    /// One line for a person.
    pub summary: &'static str,
    /// Where it was seen: an issue or a change of a project, or `mutant` for a fault that is only plausible.
    pub references: &'static [&'static str],
}

/// A fault that the local cluster can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Accepts policies and enforces none.
    NothingEnforced,
    /// A policy without rules isolates nobody: default deny has no effect.
    EmptyPolicyIgnored,
    /// The except list of an ipBlock is ignored.
    ExceptIgnored,
    /// Except denies its addresses, whatever other rules allow.
    ExceptIsDeny,
    /// Rules of a policy with the same network share their exceptions.
    ExceptionsSharedByNetwork,
    /// An exception of one peer is taken from all peers of the rule.
    ExceptionsCloseTheRule,
    /// An ipBlock does not match addresses of pods.
    BlockMissesPods,
    /// The block of all IPv4 addresses opens IPv6, too.
    V4BlockOpensV6,
    /// Of several rules with the same CIDR only the last one's ports count.
    SameBlockOverwritten,
    /// An ipBlock with host bits set matches nothing.
    HostBitsMatchNothing,
    /// `EndPort` is ignored: only the first port of a range is open.
    EndPortIgnored,
    /// The last port of a range is closed.
    EndPortExclusive,
    /// A range of ports has no upper end.
    EndPortOpen,
    /// Of several port ranges in a rule only the last one counts.
    RangesOverwritten,
    /// A named port is looked up on the source pod.
    NamedPortOnSource,
    /// A named port has one number for all pods: that of the first pod that has the name.
    NamedPortFirstNumber,
    /// A named port opens all ports of its protocol.
    NamedPortOpensProtocol,
    /// A named port matches by name alone, whatever its protocol.
    NamedPortAnyProtocol,
    /// A named port in a rule without peers matches nothing.
    NamedPortWithoutPeer,
    /// The names of ports of native sidecars are unknown.
    SidecarPortsUnnamed,
    /// `NamespaceSelector` and podSelector of one peer are joined by OR.
    NamespaceOrPod,
    /// The podSelector beside a namespaceSelector is ignored.
    PodHalfIgnored,
    /// The namespaceSelector beside a podSelector is ignored.
    NamespaceHalfIgnored,
    /// `MatchLabels` matches when any label matches.
    MatchLabelsAny,
    /// `MatchExpressions` is ignored.
    ExpressionsIgnored,
    /// In compares with its first value only.
    InFirstValueOnly,
    /// `NotIn` with several values matches when one of them differs.
    NotInAny,
    /// `NotIn` and `DoesNotExist` do not match when the label is absent.
    NotInNeedsKey,
    /// Peers and ports of all rules are merged: any peer on any port.
    RulesMerged,
    /// Only the first rule of a policy counts.
    FirstRuleOnly,
    /// All policies that select a pod must allow, not one of them.
    PoliciesIntersect,
    /// Of several policies that select a pod only the last one by name counts.
    LastPolicyWins,
    /// Of several policies that select a pod only the first one by name counts.
    FirstPolicyWins,
    /// Of several policies that select a pod only the one that was created last counts.
    LastCreatedWins,
    /// A rule for SCTP opens TCP.
    SctpIsTcp,
    /// A policy with a rule for SCTP is ignored: its pods are not isolated.
    SctpPolicyIgnored,
    /// Only TCP is policed.
    OnlyTcpPoliced,
    /// TCP is not policed.
    OnlyUdpPoliced,
    /// A protocol without a port matches nothing.
    ProtocolAloneMatchesNothing,
    /// A port without a protocol is open for all protocols.
    NoProtocolIsAny,
    /// The port of a rule is ignored: its whole protocol is open.
    PortIgnored,
    /// An empty namespaceSelector matches addresses that are no pods.
    SelectorsMatchOutside,
    /// A namespaceSelector that only excludes matches addresses that are no pods.
    NegatedNamespacesMatchOutside,
    /// The source port is compared instead of the destination port.
    SourcePortCompared,
    /// A rule whose peers match nobody matches everybody.
    NobodyIsAny,
    /// An empty list of peers matches nobody instead of everybody.
    EmptyPeersDeny,
    /// A policy for ingress isolates egress too.
    IngressIsolatesEgress,
    /// A policy for egress isolates ingress too.
    EgressIsolatesIngress,
    /// Only the first of the policyTypes counts.
    FirstTypeOnly,
    /// A section with rules counts like a type, also when policyTypes does not name its direction.
    SectionsAreTypes,
    /// Egress is not policed.
    EgressIgnored,
    /// Ingress is not policed.
    IngressIgnored,
    /// After a policy with an IPv6 block no later policy is applied.
    V6BlockAbortsSync,
    /// A rule has room for four ports; the others are lost.
    FourPortsPerRule,
    /// Policies of the same name in different namespaces overwrite each other.
    NamesCollide,
    /// Policies of one namespace whose names differ in dots and dashes only overwrite each other.
    KeysCollide,
    /// Pods with their node's network put the node's address into the sets of peers.
    HostPodsInSets,
    /// A podSelector alone matches pods of other namespaces.
    PodPeersAnywhere,
    /// An empty namespaceSelector means the policy's own namespace.
    NamespacePeersOwn,
    /// A policy selects pods of other namespaces too.
    PolicyEverywhere,
    /// The Baseline tier decides before the policies of namespaces.
    BaselineFirst,
    /// The Baseline tier decides before the policies of namespaces, and denies isolated pods what it passes on.
    BaselinePassDenies,
    /// For pods that a NetworkPolicy isolates the Admin tier has no say.
    AdminLast,
    /// On one node, an Accept of the Admin tier for egress skips the destination's ingress policies.
    AdminAcceptIsFinal,
    /// Pass denies.
    PassDenies,
    /// A rule that passes is skipped, so that the rest of its tier goes on.
    PassIgnored,
    /// What no rule of a cluster policy matches is denied.
    ClusterPolicyIsolates,
    /// The rules of a cluster policy for ingress count for egress too.
    IngressRulesForBoth,
    /// Cluster policies of the same tier and priority overwrite each other.
    PrioritiesCollide,
    /// The cluster policy with the highest number goes first.
    PriorityInverted,
    /// Of several rules of a cluster policy that match the last one decides.
    RuleOrderReversed,
    /// A changed priority is not noticed.
    PriorityUpdateMissed,
    /// The podSelector of a cluster policy's subject is ignored.
    SubjectPodsIgnored,
    /// Pods without a namespaceSelector beside them are those of no namespace.
    AbsentNamespacesMatchNone,
    /// Denied traffic is rejected, not dropped; the API allows both, so nothing but an expectation of a drop may fail.
    RejectsInsteadOfDrops,
    /// Traffic between pods of one node is not policed.
    SameNodeUnpoliced,
    /// On one node, an accept by the source's egress policy skips the destination's ingress policy.
    EgressAcceptIsFinal,
    /// Traffic that comes from another node is not policed.
    OtherNodeUnpoliced,
    /// Traffic to another node carries the node's address, so that its source is not recognised.
    MasqueradedAcrossNodes,
    /// Egress through a Service is not policed.
    ServiceEgressUnpoliced,
    /// Ingress through a Service is not policed.
    ServiceIngressUnpoliced,
    /// Egress through a Service is policed before it is translated, so that no selector matches.
    ServiceBeforeTranslation,
    /// Egress from a pod to its own node is not policed.
    OwnNodeUnpoliced,
    /// Egress to addresses that no pod and no Service has is not policed.
    OutsideUnpoliced,
    /// Traffic from a pod's own node is policed like any other.
    OwnNodeBlocked,
    /// Ingress from any node is exempt, not only from the pod's own.
    NodesExempt,
    /// A pod that is isolated does not reach itself through its Service.
    HairpinBlocked,
    /// On the first node another program's accept of new connections from pods runs first.
    ForeignAcceptFirst,
    /// IPv6 is not policed.
    V6Unpoliced,
    /// Sets of peers lack their IPv6 addresses.
    V6SetsEmpty,
    /// Replies are policed like new connections.
    RepliesDropped,
    /// Replies to a pod that is isolated for ingress are policed like new connections.
    RepliesAreNewIngress,
    /// Egress to port 53 is always allowed.
    DnsExempt,
    /// A new pod is not policed for its first five seconds.
    StartupWindow,
    /// The agent of the second node is dead: nothing is enforced there.
    NodeAgentDead,
    /// A pod that was started again is not policed.
    RestartedPodUnpoliced,
    /// A changed label of a namespace is not noticed.
    NamespaceLabelMissed,
    /// A changed label of a pod is not noticed where it is a peer.
    PodLabelMissedAsPeer,
    /// A changed label of a pod is not noticed where it is what a policy applies to.
    PodLabelMissedAsSubject,
    /// A label that a pod or a namespace loses is not noticed.
    LabelRemovalMissed,
    /// A change to an existing policy is not applied.
    UpdateMissed,
    /// A deleted policy goes on being enforced.
    DeletionMissed,
    /// After the last policy of a pod is deleted the pod stays isolated.
    DeletionLeavesDeny,
    /// A policy that is created again under the same name is not applied.
    RecreationLost,
    /// A deleted policy is applied again to pods that start later.
    DeletedPolicyReturns,
    /// Addresses of pods that are gone stay in the sets of peers, and are given to other pods.
    GonePodsStayPeers,
    /// Policies for a pod that is gone apply to the pod that has its address now.
    GonePodsStaySubjects,
    /// Pods that start after a policy was applied are not added to its peers.
    NewPeersMissed,
    /// A policy applies only to the pods that were there when it came.
    NewSubjectsMissed,
    /// A policy has no effect until it is deleted and created again.
    FirstApplyInert,
    /// The end of a pod removes the entry of its successor from the sets of peers.
    RestartRemovesPeer,
    /// Every change is enforced ten seconds late.
    LateByTenSeconds,
}

#[rustfmt::skip]
pub(super) const FAULTS: &[FaultInfo] = &[
    FaultInfo { fault: Fault::NothingEnforced, name: "nothing-enforced", id: "F01", category: Category::Translation, effect: Effect::Opens,
        summary: "accepts policies and enforces none",
        references: &["flannel-io/flannel#1293", "k3s-io/k3s#445"] },
    FaultInfo { fault: Fault::EmptyPolicyIgnored, name: "empty-policy-ignored", id: "F02", category: Category::Translation, effect: Effect::Opens,
        summary: "a policy without rules isolates nobody: default deny has no effect",
        references: &["cilium/cilium#2333"] },
    FaultInfo { fault: Fault::ExceptIgnored, name: "except-ignored", id: "F03", category: Category::Translation, effect: Effect::Opens,
        summary: "the except list of an ipBlock is ignored",
        references: &["cloudnativelabs/kube-router#326"] },
    FaultInfo { fault: Fault::ExceptIsDeny, name: "except-is-deny", id: "F04", category: Category::Translation, effect: Effect::Closes,
        summary: "except denies its addresses, whatever other rules allow",
        references: &["kubernetes/kubernetes#83191", "ovn-org/ovn-kubernetes#845"] },
    FaultInfo { fault: Fault::ExceptionsSharedByNetwork, name: "exceptions-shared-by-network", id: "F04", category: Category::Translation, effect: Effect::Closes,
        summary: "rules of a policy with the same network share their exceptions",
        references: &["aws/amazon-network-policy-controller-k8s#121", "aws/amazon-network-policy-controller-k8s#146"] },
    FaultInfo { fault: Fault::ExceptionsCloseTheRule, name: "exceptions-close-the-rule", id: "F04", category: Category::Translation, effect: Effect::Closes,
        summary: "an exception of one peer is taken from all peers of the rule",
        references: &["mutant"] },
    FaultInfo { fault: Fault::BlockMissesPods, name: "block-misses-pods", id: "F05", category: Category::Translation, effect: Effect::Closes,
        summary: "an ipBlock does not match addresses of pods",
        references: &["cilium/cilium#9209", "cilium/cilium#12277"] },
    FaultInfo { fault: Fault::V4BlockOpensV6, name: "v4-block-opens-v6", id: "S48", category: Category::Translation, effect: Effect::Opens,
        summary: "the block of all IPv4 addresses opens IPv6, too",
        references: &["cilium/cilium#22610"] },
    FaultInfo { fault: Fault::SameBlockOverwritten, name: "same-block-overwritten", id: "F06", category: Category::Translation, effect: Effect::Closes,
        summary: "of several rules with the same CIDR only the last one's ports count",
        references: &["aws/amazon-network-policy-controller-k8s#98", "aws/aws-network-policy-agent#609"] },
    FaultInfo { fault: Fault::HostBitsMatchNothing, name: "host-bits-match-nothing", id: "F06", category: Category::Translation, effect: Effect::Closes,
        summary: "an ipBlock with host bits set matches nothing",
        references: &["aws/aws-network-policy-agent#609"] },
    FaultInfo { fault: Fault::EndPortIgnored, name: "end-port-ignored", id: "F07", category: Category::Translation, effect: Effect::Closes,
        summary: "endPort is ignored: only the first port of a range is open",
        references: &["cilium/cilium#28684"] },
    FaultInfo { fault: Fault::EndPortExclusive, name: "end-port-exclusive", id: "F08", category: Category::Translation, effect: Effect::Closes,
        summary: "the last port of a range is closed",
        references: &["cilium/cilium#45811"] },
    FaultInfo { fault: Fault::EndPortOpen, name: "end-port-open", id: "F08", category: Category::Translation, effect: Effect::Opens,
        summary: "a range of ports has no upper end",
        references: &["cilium/cilium#45811"] },
    FaultInfo { fault: Fault::RangesOverwritten, name: "ranges-overwritten", id: "F08", category: Category::Translation, effect: Effect::Closes,
        summary: "of several port ranges in a rule only the last one counts",
        references: &["cilium/cilium#45811"] },
    FaultInfo { fault: Fault::NamedPortOnSource, name: "named-port-on-source", id: "F09", category: Category::Translation, effect: Effect::Both,
        summary: "a named port is looked up on the source pod",
        references: &["aws/aws-network-policy-agent#149", "aws/amazon-network-policy-controller-k8s#52"] },
    FaultInfo { fault: Fault::NamedPortFirstNumber, name: "named-port-first-number", id: "F10", category: Category::Translation, effect: Effect::Both,
        summary: "a named port has one number for all pods: that of the first pod that has the name",
        references: &["cilium/cilium#24779", "cilium/cilium#30003"] },
    FaultInfo { fault: Fault::NamedPortOpensProtocol, name: "named-port-opens-protocol", id: "F11", category: Category::Translation, effect: Effect::Opens,
        summary: "a named port opens all ports of its protocol",
        references: &["ovn-org/ovn-kubernetes#2117"] },
    FaultInfo { fault: Fault::NamedPortAnyProtocol, name: "named-port-any-protocol", id: "F11", category: Category::Translation, effect: Effect::Opens,
        summary: "a named port matches by name alone, whatever its protocol",
        references: &["ovn-org/ovn-kubernetes#2117"] },
    FaultInfo { fault: Fault::NamedPortWithoutPeer, name: "named-port-without-peer", id: "F12", category: Category::Translation, effect: Effect::Closes,
        summary: "a named port in a rule without peers matches nothing",
        references: &["kubernetes/kubernetes#99256", "cloudnativelabs/kube-router#1036"] },
    FaultInfo { fault: Fault::SidecarPortsUnnamed, name: "sidecar-ports-unnamed", id: "F12b", category: Category::Translation, effect: Effect::Closes,
        summary: "a named port is not found when a native sidecar declares it",
        references: &["kubernetes/kubernetes#125285", "projectcalico/calico#8881"] },
    FaultInfo { fault: Fault::NamespaceOrPod, name: "namespace-or-pod", id: "F13", category: Category::Translation, effect: Effect::Opens,
        summary: "namespaceSelector and podSelector of one peer are joined by OR",
        references: &["weaveworks/weave#3312", "projectcalico/felix#1947"] },
    FaultInfo { fault: Fault::PodHalfIgnored, name: "pod-half-ignored", id: "F13", category: Category::Translation, effect: Effect::Opens,
        summary: "the podSelector beside a namespaceSelector is ignored",
        references: &["weaveworks/weave#3312"] },
    FaultInfo { fault: Fault::NamespaceHalfIgnored, name: "namespace-half-ignored", id: "F13", category: Category::Translation, effect: Effect::Both,
        summary: "the namespaceSelector beside a podSelector is ignored",
        references: &["ahmetb/kubernetes-network-policy-recipes#27"] },
    FaultInfo { fault: Fault::MatchLabelsAny, name: "match-labels-any", id: "F14", category: Category::Translation, effect: Effect::Both,
        summary: "matchLabels matches when any label matches",
        references: &["Azure/AKS#1135"] },
    FaultInfo { fault: Fault::ExpressionsIgnored, name: "expressions-ignored", id: "F15", category: Category::Translation, effect: Effect::Both,
        summary: "matchExpressions is ignored",
        references: &["Azure/AKS#2006"] },
    FaultInfo { fault: Fault::InFirstValueOnly, name: "in-first-value-only", id: "F15", category: Category::Translation, effect: Effect::Closes,
        summary: "In compares with its first value only",
        references: &["cloudnativelabs/kube-router#614"] },
    FaultInfo { fault: Fault::NotInAny, name: "not-in-any", id: "F16", category: Category::Translation, effect: Effect::Opens,
        summary: "NotIn with several values matches when one of them differs",
        references: &["Azure/azure-container-networking#4866"] },
    FaultInfo { fault: Fault::NotInNeedsKey, name: "not-in-needs-key", id: "F16", category: Category::Translation, effect: Effect::Closes,
        summary: "NotIn and DoesNotExist do not match when the label is absent",
        references: &["contiv/vpp#798"] },
    FaultInfo { fault: Fault::RulesMerged, name: "rules-merged", id: "F17", category: Category::Translation, effect: Effect::Opens,
        summary: "peers and ports of all rules are merged: any peer on any port",
        references: &["Azure/azure-container-networking#432"] },
    FaultInfo { fault: Fault::FirstRuleOnly, name: "first-rule-only", id: "F17", category: Category::Translation, effect: Effect::Closes,
        summary: "only the first rule of a policy counts",
        references: &["Azure/azure-container-networking#432"] },
    FaultInfo { fault: Fault::PoliciesIntersect, name: "policies-intersect", id: "F18", category: Category::Translation, effect: Effect::Closes,
        summary: "all policies that select a pod must allow, not one of them",
        references: &["Azure/azure-container-networking#217"] },
    FaultInfo { fault: Fault::LastPolicyWins, name: "last-policy-wins", id: "F18", category: Category::Translation, effect: Effect::Both,
        summary: "of several policies that select a pod only the last one by name counts",
        references: &["antrea-io/antrea#386"] },
    FaultInfo { fault: Fault::FirstPolicyWins, name: "first-policy-wins", id: "F18", category: Category::Translation, effect: Effect::Both,
        summary: "of several policies that select a pod only the first one by name counts",
        references: &["Azure/azure-container-networking#554"] },
    FaultInfo { fault: Fault::LastCreatedWins, name: "last-created-wins", id: "F18", category: Category::State, effect: Effect::Closes,
        summary: "of several policies that select a pod only the one that was created last counts",
        references: &["antrea-io/antrea#386"] },
    FaultInfo { fault: Fault::SctpIsTcp, name: "sctp-is-tcp", id: "F19", category: Category::Translation, effect: Effect::Opens,
        summary: "a rule for SCTP opens TCP",
        references: &["kubernetes/kubernetes#102509"] },
    FaultInfo { fault: Fault::SctpPolicyIgnored, name: "sctp-policy-ignored", id: "F19", category: Category::Translation, effect: Effect::Opens,
        summary: "a policy with a rule for SCTP is ignored: its pods are not isolated",
        references: &["kubernetes/kubernetes#87305"] },
    FaultInfo { fault: Fault::OnlyTcpPoliced, name: "only-tcp-policed", id: "F20", category: Category::Path, effect: Effect::Opens,
        summary: "only TCP is policed",
        references: &["antrea-io/antrea#2033"] },
    FaultInfo { fault: Fault::OnlyUdpPoliced, name: "only-udp-policed", id: "F20", category: Category::Path, effect: Effect::Opens,
        summary: "TCP is not policed",
        references: &["cilium/cilium#35238"] },
    FaultInfo { fault: Fault::ProtocolAloneMatchesNothing, name: "protocol-alone-matches-nothing", id: "F21", category: Category::Translation, effect: Effect::Closes,
        summary: "a protocol without a port matches nothing",
        references: &["cilium/cilium#2292", "cilium/cilium#21184"] },
    FaultInfo { fault: Fault::NoProtocolIsAny, name: "no-protocol-is-any", id: "F21", category: Category::Translation, effect: Effect::Opens,
        summary: "a port without a protocol is open for all protocols",
        references: &["cilium/cilium#21184"] },
    FaultInfo { fault: Fault::PortIgnored, name: "port-ignored", id: "F21", category: Category::Translation, effect: Effect::Opens,
        summary: "the port of a rule is ignored: its whole protocol is open",
        references: &["noironetworks/aci-containers#1279"] },
    FaultInfo { fault: Fault::SelectorsMatchOutside, name: "selectors-match-outside", id: "F22", category: Category::Translation, effect: Effect::Opens,
        summary: "an empty namespaceSelector matches addresses that are no pods",
        references: &["kubernetes-sigs/kube-network-policies@84a939b"] },
    FaultInfo { fault: Fault::NegatedNamespacesMatchOutside, name: "negated-namespaces-match-outside", id: "F22", category: Category::Translation, effect: Effect::Opens,
        summary: "a namespaceSelector that only excludes matches addresses that are no pods",
        references: &["cilium/cilium#46949", "cilium/cilium#46996"] },
    FaultInfo { fault: Fault::SourcePortCompared, name: "source-port-compared", id: "F23", category: Category::Translation, effect: Effect::Both,
        summary: "the source port is compared instead of the destination port",
        references: &["kubernetes-sigs/kube-network-policies@80f7d12"] },
    FaultInfo { fault: Fault::NobodyIsAny, name: "nobody-is-any", id: "F24", category: Category::Translation, effect: Effect::Opens,
        summary: "a rule whose peers match nobody matches everybody",
        references: &["cloudnativelabs/kube-router#85"] },
    FaultInfo { fault: Fault::EmptyPeersDeny, name: "empty-peers-deny", id: "F24", category: Category::Translation, effect: Effect::Closes,
        summary: "an empty list of peers matches nobody instead of everybody",
        references: &["cloudnativelabs/kube-router#85"] },
    FaultInfo { fault: Fault::IngressIsolatesEgress, name: "ingress-isolates-egress", id: "F25", category: Category::Translation, effect: Effect::Closes,
        summary: "a policy for ingress isolates egress too",
        references: &["Azure/azure-container-networking#301", "projectcalico/calico#1360"] },
    FaultInfo { fault: Fault::EgressIsolatesIngress, name: "egress-isolates-ingress", id: "F25", category: Category::Translation, effect: Effect::Closes,
        summary: "a policy for egress isolates ingress too",
        references: &["cloudnativelabs/kube-router#698"] },
    FaultInfo { fault: Fault::FirstTypeOnly, name: "first-type-only", id: "F25", category: Category::Translation, effect: Effect::Opens,
        summary: "only the first of the policyTypes counts",
        references: &["cloudnativelabs/kube-router#698"] },
    FaultInfo { fault: Fault::SectionsAreTypes, name: "sections-are-types", id: "F25", category: Category::Translation, effect: Effect::Both,
        summary: "rules for a direction that policyTypes does not name isolate and open all the same",
        references: &["cilium/cilium#48703"] },
    FaultInfo { fault: Fault::EgressIgnored, name: "egress-ignored", id: "F25", category: Category::Translation, effect: Effect::Opens,
        summary: "egress is not policed",
        references: &["projectcalico/calico#1360"] },
    FaultInfo { fault: Fault::IngressIgnored, name: "ingress-ignored", id: "F25", category: Category::Translation, effect: Effect::Opens,
        summary: "ingress is not policed",
        references: &["projectcalico/calico#1360"] },
    FaultInfo { fault: Fault::V6BlockAbortsSync, name: "v6-block-aborts-sync", id: "F26", category: Category::Translation, effect: Effect::Opens,
        summary: "after a policy with an IPv6 block no later policy is applied",
        references: &["cloudnativelabs/kube-router#1245"] },
    FaultInfo { fault: Fault::FourPortsPerRule, name: "four-ports-per-rule", id: "F27", category: Category::Translation, effect: Effect::Closes,
        summary: "a rule has room for four ports; the others are lost",
        references: &["aws/amazon-network-policy-controller-k8s#136", "cilium/cilium#922"] },
    FaultInfo { fault: Fault::NamesCollide, name: "names-collide", id: "F28", category: Category::Translation, effect: Effect::Both,
        summary: "policies of the same name in different namespaces overwrite each other",
        references: &["antrea-io/antrea#1173"] },
    FaultInfo { fault: Fault::KeysCollide, name: "keys-collide", id: "F28", category: Category::Translation, effect: Effect::Both,
        summary: "policies of one namespace whose names differ in dots and dashes only overwrite each other",
        references: &["mutant"] },
    FaultInfo { fault: Fault::HostPodsInSets, name: "host-pods-in-sets", id: "F29", category: Category::Translation, effect: Effect::Opens,
        summary: "pods with their node's network put the node's address into the sets of peers",
        references: &["cloudnativelabs/kube-router#1067", "Azure/azure-container-networking#776"] },
    FaultInfo { fault: Fault::PodPeersAnywhere, name: "pod-peers-anywhere", id: "F30", category: Category::Translation, effect: Effect::Opens,
        summary: "a podSelector alone matches pods of other namespaces",
        references: &["mutant"] },
    FaultInfo { fault: Fault::NamespacePeersOwn, name: "namespace-peers-own", id: "F30", category: Category::Translation, effect: Effect::Closes,
        summary: "an empty namespaceSelector means the policy's own namespace",
        references: &["mutant"] },
    FaultInfo { fault: Fault::PolicyEverywhere, name: "policy-everywhere", id: "F30", category: Category::Translation, effect: Effect::Closes,
        summary: "a policy selects pods of other namespaces too",
        references: &["mutant"] },
    FaultInfo { fault: Fault::BaselineFirst, name: "baseline-first", id: "F54", category: Category::Translation, effect: Effect::Both,
        summary: "the Baseline tier decides before the policies of namespaces",
        references: &["kubernetes-sigs/kube-network-policies@2966c95", "kubernetes-sigs/kube-network-policies@d294adc"] },
    FaultInfo { fault: Fault::BaselinePassDenies, name: "baseline-pass-denies", id: "F54b", category: Category::Translation, effect: Effect::Both,
        summary: "the Baseline tier decides before the policies of namespaces, and denies isolated pods what it passes on",
        references: &["cilium/cilium@v1.20.0"] },
    FaultInfo { fault: Fault::AdminLast, name: "admin-last", id: "F54", category: Category::Translation, effect: Effect::Both,
        summary: "for pods that a NetworkPolicy isolates the Admin tier has no say",
        references: &["kubernetes-sigs/kube-network-policies@5f419a2"] },
    FaultInfo { fault: Fault::AdminAcceptIsFinal, name: "admin-accept-is-final", id: "F55", category: Category::Translation, effect: Effect::Opens,
        summary: "on one node, an Accept of the Admin tier for egress skips the destination's ingress policies",
        references: &["kubernetes-sigs/kube-network-policies#9"] },
    FaultInfo { fault: Fault::PassDenies, name: "pass-denies", id: "F56", category: Category::Translation, effect: Effect::Closes,
        summary: "Pass denies",
        references: &["ovn-org/ovn-kubernetes#4242"] },
    FaultInfo { fault: Fault::PassIgnored, name: "pass-ignored", id: "F56", category: Category::Translation, effect: Effect::Both,
        summary: "a rule that passes is skipped, so that the rest of its tier goes on",
        references: &["mutant"] },
    FaultInfo { fault: Fault::ClusterPolicyIsolates, name: "cluster-policy-isolates", id: "F57", category: Category::Translation, effect: Effect::Closes,
        summary: "what no rule of a cluster policy matches is denied",
        references: &["mutant"] },
    FaultInfo { fault: Fault::IngressRulesForBoth, name: "ingress-rules-for-both", id: "F57", category: Category::Translation, effect: Effect::Both,
        summary: "the rules of a cluster policy for ingress count for egress too",
        references: &["kubernetes-sigs/network-policy-api#103"] },
    FaultInfo { fault: Fault::PrioritiesCollide, name: "priorities-collide", id: "F58", category: Category::Translation, effect: Effect::Both,
        summary: "cluster policies of the same tier and priority overwrite each other",
        references: &["kubernetes-sigs/network-policy-api#103"] },
    FaultInfo { fault: Fault::PriorityInverted, name: "priority-inverted", id: "F59", category: Category::Translation, effect: Effect::Both,
        summary: "the cluster policy with the highest number goes first",
        references: &["mutant"] },
    FaultInfo { fault: Fault::RuleOrderReversed, name: "rule-order-reversed", id: "F59", category: Category::Translation, effect: Effect::Both,
        summary: "of several rules of a cluster policy that match the last one decides",
        references: &["mutant"] },
    FaultInfo { fault: Fault::PriorityUpdateMissed, name: "priority-update-missed", id: "F59", category: Category::State, effect: Effect::Both,
        summary: "a changed priority is not noticed",
        references: &["mutant"] },
    FaultInfo { fault: Fault::SubjectPodsIgnored, name: "subject-pods-ignored", id: "F60", category: Category::Translation, effect: Effect::Both,
        summary: "the podSelector of a cluster policy's subject is ignored",
        references: &["mutant"] },
    FaultInfo { fault: Fault::AbsentNamespacesMatchNone, name: "absent-namespaces-match-none", id: "F60", category: Category::Translation, effect: Effect::Both,
        summary: "pods without a namespaceSelector beside them are those of no namespace",
        references: &["mutant"] },
    FaultInfo { fault: Fault::RejectsInsteadOfDrops, name: "rejects-instead-of-drops", id: "S33", category: Category::Translation, effect: Effect::Neither,
        summary: "denied traffic is rejected, not dropped; the API allows both, so nothing but an expectation of a drop may fail",
        references: &["k3s-io/k3s#8336"] },
    FaultInfo { fault: Fault::SameNodeUnpoliced, name: "same-node-unpoliced", id: "F31", category: Category::Path, effect: Effect::Opens,
        summary: "traffic between pods of one node is not policed",
        references: &["cloudnativelabs/kube-router#916", "weaveworks/weave#3956", "projectcalico/calico#2165"] },
    FaultInfo { fault: Fault::EgressAcceptIsFinal, name: "egress-accept-is-final", id: "F32", category: Category::Path, effect: Effect::Opens,
        summary: "on one node, an accept by the source's egress policy skips the destination's ingress policy",
        references: &["cloudnativelabs/kube-router#916", "k3s-io/k3s#2390"] },
    FaultInfo { fault: Fault::OtherNodeUnpoliced, name: "other-node-unpoliced", id: "F33", category: Category::Path, effect: Effect::Opens,
        summary: "traffic that comes from another node is not policed",
        references: &["weaveworks/weave#3452"] },
    FaultInfo { fault: Fault::MasqueradedAcrossNodes, name: "masqueraded-across-nodes", id: "F33", category: Category::Path, effect: Effect::Both,
        summary: "traffic to another node carries the node's address, so that its source is not recognised",
        references: &["projectcalico/calico#7658", "kubernetes/kubernetes#118039"] },
    FaultInfo { fault: Fault::ServiceEgressUnpoliced, name: "service-egress-unpoliced", id: "F34", category: Category::Path, effect: Effect::Opens,
        summary: "egress through a Service is not policed",
        references: &["cloudnativelabs/kube-router#609", "kubeovn/kube-ovn#792"] },
    FaultInfo { fault: Fault::ServiceIngressUnpoliced, name: "service-ingress-unpoliced", id: "F34", category: Category::Path, effect: Effect::Opens,
        summary: "ingress through a Service is not policed",
        references: &["cloudnativelabs/kube-router#905"] },
    FaultInfo { fault: Fault::ServiceBeforeTranslation, name: "service-before-translation", id: "F34", category: Category::Path, effect: Effect::Closes,
        summary: "egress through a Service is policed before it is translated, so that no selector matches",
        references: &["cloudnativelabs/kube-router#875", "aws/amazon-network-policy-controller-k8s#236"] },
    FaultInfo { fault: Fault::OwnNodeUnpoliced, name: "own-node-unpoliced", id: "F35", category: Category::Path, effect: Effect::Opens,
        summary: "egress from a pod to its own node is not policed",
        references: &["cloudnativelabs/kube-router#891", "kubernetes-sigs/kube-network-policies@b3e8382"] },
    FaultInfo { fault: Fault::OutsideUnpoliced, name: "outside-unpoliced", id: "F35b", category: Category::Path, effect: Effect::Opens,
        summary: "egress to addresses that no pod and no Service has is not policed",
        references: &["aws/aws-network-policy-agent#55", "aws/aws-network-policy-agent#408"] },
    FaultInfo { fault: Fault::OwnNodeBlocked, name: "own-node-blocked", id: "F35d", category: Category::Path, effect: Effect::Closes,
        summary: "traffic from a pod's own node is policed like any other",
        references: &["aws/aws-network-policy-agent#56", "cloudnativelabs/kube-router#87"] },
    FaultInfo { fault: Fault::NodesExempt, name: "nodes-exempt", id: "F35d", category: Category::Path, effect: Effect::Opens,
        summary: "ingress from any node is exempt, not only from the pod's own",
        references: &["kubernetes-sigs/kube-network-policies#65", "cloudnativelabs/kube-router#803"] },
    FaultInfo { fault: Fault::HairpinBlocked, name: "hairpin-blocked", id: "F35e", category: Category::Path, effect: Effect::Closes,
        summary: "a pod that is isolated does not reach itself through its Service",
        references: &["cilium/cilium#28160", "antrea-io/antrea#5681"] },
    FaultInfo { fault: Fault::ForeignAcceptFirst, name: "foreign-accept-first", id: "F35f", category: Category::Path, effect: Effect::Opens,
        summary: "on the first node another program's accept of new connections from pods runs first",
        references: &["weaveworks/weave#3209", "canonical/microk8s#2345"] },
    FaultInfo { fault: Fault::V6Unpoliced, name: "v6-unpoliced", id: "F35g", category: Category::Path, effect: Effect::Opens,
        summary: "IPv6 is not policed",
        references: &["k3s-io/k3s#10053", "rancher/rke2#8065"] },
    FaultInfo { fault: Fault::V6SetsEmpty, name: "v6-sets-empty", id: "F35g", category: Category::Path, effect: Effect::Closes,
        summary: "sets of peers lack their IPv6 addresses",
        references: &["antrea-io/antrea#1236"] },
    FaultInfo { fault: Fault::RepliesDropped, name: "replies-dropped", id: "F35i", category: Category::Path, effect: Effect::Closes,
        summary: "replies are policed like new connections",
        references: &["aws/aws-network-policy-agent#100", "cilium/cilium#41045"] },
    FaultInfo { fault: Fault::RepliesAreNewIngress, name: "replies-are-new-ingress", id: "F35i", category: Category::Path, effect: Effect::Closes,
        summary: "replies to a pod that is isolated for ingress are policed like new connections",
        references: &["kubernetes-sigs/kind#4193", "kubernetes-sigs/kube-network-policies#379"] },
    FaultInfo { fault: Fault::DnsExempt, name: "dns-exempt", id: "S49", category: Category::Path, effect: Effect::Opens,
        summary: "egress to port 53 is always allowed",
        references: &["mutant"] },
    FaultInfo { fault: Fault::StartupWindow, name: "startup-window", id: "F38", category: Category::Time, effect: Effect::Opens,
        summary: "a new pod is not policed for its first five seconds",
        references: &["aws/aws-network-policy-agent#83", "cloudnativelabs/kube-router#873"] },
    FaultInfo { fault: Fault::NodeAgentDead, name: "node-agent-dead", id: "F42", category: Category::Time, effect: Effect::Opens,
        summary: "the agent of the second node is dead: nothing is enforced there",
        references: &["kubernetes-sigs/agent-sandbox#1646", "weaveworks/weave#3210"] },
    FaultInfo { fault: Fault::RestartedPodUnpoliced, name: "restarted-pod-unpoliced", id: "F41", category: Category::State, effect: Effect::Opens,
        summary: "a pod that was started again is not policed",
        references: &["antrea-io/antrea#3468", "projectcalico/calico#5135"] },
    FaultInfo { fault: Fault::NamespaceLabelMissed, name: "namespace-label-missed", id: "F43", category: Category::State, effect: Effect::Both,
        summary: "a changed label of a namespace is not noticed",
        references: &["ovn-org/ovn-kubernetes#1850", "kubeovn/kube-ovn#1920"] },
    FaultInfo { fault: Fault::PodLabelMissedAsPeer, name: "pod-label-missed-as-peer", id: "F44", category: Category::State, effect: Effect::Both,
        summary: "a changed label of a pod is not noticed where it is a peer",
        references: &["cloudnativelabs/kube-router#1035"] },
    FaultInfo { fault: Fault::PodLabelMissedAsSubject, name: "pod-label-missed-as-subject", id: "F44", category: Category::State, effect: Effect::Both,
        summary: "a changed label of a pod is not noticed where it is what a policy applies to",
        references: &["cloudnativelabs/kube-router#1099"] },
    FaultInfo { fault: Fault::LabelRemovalMissed, name: "label-removal-missed", id: "F44", category: Category::State, effect: Effect::Both,
        summary: "a label that a pod or a namespace loses is not noticed",
        references: &["kubeovn/kube-ovn#1920", "CentaurusInfra/mizar#362"] },
    FaultInfo { fault: Fault::UpdateMissed, name: "update-missed", id: "F45", category: Category::State, effect: Effect::Both,
        summary: "a change to an existing policy is not applied",
        references: &["cloudnativelabs/kube-router#341"] },
    FaultInfo { fault: Fault::DeletionMissed, name: "deletion-missed", id: "F46", category: Category::State, effect: Effect::Both,
        summary: "a deleted policy goes on being enforced",
        references: &["Azure/azure-container-networking#554", "openshift/origin#22158"] },
    FaultInfo { fault: Fault::DeletionLeavesDeny, name: "deletion-leaves-deny", id: "F46", category: Category::State, effect: Effect::Closes,
        summary: "after the last policy of a pod is deleted the pod stays isolated",
        references: &["openshift/sdn#488", "ovn-org/ovn-kubernetes#1782"] },
    FaultInfo { fault: Fault::RecreationLost, name: "recreation-lost", id: "F47", category: Category::State, effect: Effect::Opens,
        summary: "a policy that is created again under the same name is not applied",
        references: &["antrea-io/antrea#4985"] },
    FaultInfo { fault: Fault::DeletedPolicyReturns, name: "deleted-policy-returns", id: "F48", category: Category::State, effect: Effect::Closes,
        summary: "a deleted policy is applied again to pods that start later",
        references: &["Azure/azure-container-networking#1440"] },
    FaultInfo { fault: Fault::GonePodsStayPeers, name: "gone-pods-stay-peers", id: "F36", category: Category::State, effect: Effect::Opens,
        summary: "addresses of pods that are gone stay in the sets of peers, and are given to other pods",
        references: &["Azure/azure-container-networking#428", "antrea-io/antrea#6507"] },
    FaultInfo { fault: Fault::GonePodsStaySubjects, name: "gone-pods-stay-subjects", id: "F36", category: Category::State, effect: Effect::Closes,
        summary: "policies for a pod that is gone apply to the pod that has its address now",
        references: &["kubernetes/kubernetes#92697", "aws/amazon-network-policy-controller-k8s#190"] },
    FaultInfo { fault: Fault::NewPeersMissed, name: "new-peers-missed", id: "F53", category: Category::State, effect: Effect::Closes,
        summary: "pods that start after a policy was applied are not added to its peers",
        references: &["cloudnativelabs/kube-router#2059", "k3s-io/k3s#10053"] },
    FaultInfo { fault: Fault::NewSubjectsMissed, name: "new-subjects-missed", id: "F52", category: Category::State, effect: Effect::Opens,
        summary: "a policy applies only to the pods that were there when it came",
        references: &["cilium/cilium#45233"] },
    FaultInfo { fault: Fault::FirstApplyInert, name: "first-apply-inert", id: "F52", category: Category::State, effect: Effect::Opens,
        summary: "a policy has no effect until it is deleted and created again",
        references: &["aws/aws-network-policy-agent#271"] },
    FaultInfo { fault: Fault::RestartRemovesPeer, name: "restart-removes-peer", id: "F51", category: Category::State, effect: Effect::Closes,
        summary: "the end of a pod removes the entry of its successor from the sets of peers",
        references: &["weaveworks/weave#3177"] },
    FaultInfo { fault: Fault::LateByTenSeconds, name: "late-by-ten-seconds", id: "S42", category: Category::Time, effect: Effect::Both,
        summary: "every change is enforced ten seconds late",
        references: &["mutant"] },
];
