//! Capabilities: what a network enforces or not, as `flowproof check` reports it.
//!
//! A scenario names those that its flows show (`shows:`), for all its steps or for one. Nobody writes down what lies on the path
//! of a flow (its transport, its family, whether it crosses nodes, whether it goes through a Service): flows of steps that show
//! plain enforcement ([`Capability::is_plain`]) show that as well.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $title:literal;)+) => {
        /// One thing that a network enforces or not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Capability {
            $($(#[$doc])* $name,)+
        }

        impl Capability {
            /// All of them, in the order in which they are reported.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its word in scenarios.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What it is, in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }
        }
    };
}

capabilities! {
    /// Rules for what comes in.
    Ingress = "ingress", "ingress rules";
    /// Rules for what goes out.
    Egress = "egress", "egress rules";
    /// A policy without rules isolates.
    DefaultDeny = "default-deny", "default deny";
    /// Both ends count, and each direction by itself.
    Directions = "directions", "both directions, independent of each other";
    /// Peers and subjects by labels of pods.
    PodSelectors = "pod-selectors", "pod selectors";
    /// Peers by labels of namespaces.
    NamespaceSelectors = "namespace-selectors", "namespace selectors";
    /// Both selectors in one peer.
    SelectorConjunction = "selector-conjunction", "namespace AND pod selector in one peer";
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    SelectorOperators = "selector-operators", "selector operators (In, NotIn, Exists, DoesNotExist)";
    /// Peers by address.
    IpBlocks = "ip-blocks", "ipBlock";
    /// Addresses left out of a block.
    Except = "except", "ipBlock with except";
    /// Several exceptions, and another policy that allows one of them.
    SeveralExcepts = "several-excepts", "several excepts, and one allowed again";
    /// Ports by name.
    NamedPorts = "named-ports", "named ports with different numbers";
    /// Ports by the names that native sidecars give them.
    SidecarPorts = "sidecar-ports", "named ports of native sidecars";
    /// `endPort`.
    PortRanges = "port-ranges", "port ranges (endPort)";
    /// Many ports in one rule.
    PortLists = "port-lists", "many ports in a rule";
    /// Read from flows.
    Tcp = "tcp", "TCP";
    /// Read from flows.
    Udp = "udp", "UDP";
    /// Rules for SCTP.
    Sctp = "sctp", "SCTP: its rules isolate, and open nothing else";
    /// Read from flows.
    DnsUdp = "dns-udp", "DNS over UDP";
    /// Read from flows.
    DnsTcp = "dns-tcp", "DNS over TCP";
    /// Peers and ports of one rule are not combined with those of another.
    RulesApart = "rules-apart", "rules are not merged";
    /// What any policy allows is allowed.
    PoliciesUnited = "policies-united", "policies add up";
    /// Policies are identified by namespace and name.
    PolicyNames = "policy-names", "policies with similar names are kept apart";
    /// `ClusterNetworkPolicy`: tiers, priorities, actions.
    ClusterPolicies = "cluster-policies", "ClusterNetworkPolicy (tiers, priorities)";
    /// A changed policy counts.
    Updates = "updates", "updates of a policy";
    /// The current labels of pods and namespaces count.
    LabelChanges = "label-changes", "changes of labels";
    /// A deleted policy no longer counts.
    Deletion = "deletion", "deletion of a policy";
    /// A policy with the name of one that was deleted.
    ReCreation = "re-creation", "re-creation under the same name";
    /// Pods that start again.
    PodRestarts = "pod-restarts", "restart of a pod";
    /// The first packets of a new pod.
    FirstPackets = "first-packets", "first packets of a new pod";
    /// Connections that existed before the policy. Those that are still allowed must go on; the fate of the others is reported.
    Established = "established", "established connections that are still allowed";
    /// Read from flows.
    SameNode = "same-node", "within a node";
    /// Read from flows.
    CrossNode = "cross-node", "between nodes";
    /// Read from flows.
    ByAddress = "by-address", "to the pod's address";
    /// Read from flows.
    ByService = "by-service", "through a Service";
    /// A pod behind its own Service.
    Hairpin = "hairpin", "a pod to itself through its Service";
    /// Read from flows.
    Ipv4 = "ipv4", "IPv4";
    /// Read from flows.
    Ipv6 = "ipv6", "IPv6";
    /// Nodes, and pods on their network.
    HostNetwork = "host-network", "nodes and pods on their network";
    /// Read from flows.
    DropOrReject = "drop-or-reject", "how traffic is denied";
}

impl Capability {
    /// The capability with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|capability| capability.word() == word)
    }

    /// Whether it is read from flows, and never written in scenarios.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(
            self,
            Self::Tcp
                | Self::Udp
                | Self::DnsUdp
                | Self::DnsTcp
                | Self::SameNode
                | Self::CrossNode
                | Self::ByAddress
                | Self::ByService
                | Self::Ipv4
                | Self::Ipv6
                | Self::DropOrReject
        )
    }

    /// Whether it is plain enforcement: its flows also show something about the paths that they take.
    #[must_use]
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Ingress | Self::Egress | Self::DefaultDeny | Self::Directions)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
