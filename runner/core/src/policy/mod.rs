//! What policies mean: the oracle, written from the API's text.
//!
//! Everything that enforces policies is measured against it, including the local cluster's own engine, with which it shares no
//! code. It answers `allow`, `deny` or `unspecified`, and says why. [`validate`](mod@validate) finds policies that an API server
//! would reject.
//!
//! | module | job |
//! |---|---|
//! | [`facts`] | what a decision depends on, and the answers |
//! | [`network_policy`], [`cluster_policy`] | policies of namespaces and of the cluster, from manifests that an API server accepted |
//! | [`oracle`] | a cluster prepared for many questions |
//! | [`answer`], [`derive`](mod@derive) | the decision, and its reason |
//! | [`scene`] | a scenario's state as the oracle sees it |
//! | [`transition`] | what may pass while changes take effect |
//! | [`block`], [`spoken`] | CIDR blocks; which blocks and ports policies mention |

pub mod answer;
pub mod block;
pub mod cluster_policy;
pub mod derive;
pub mod facts;
pub mod network_policy;
pub mod oracle;
pub mod scene;
pub(crate) mod spoken;
pub mod transition;
pub mod validate;

pub use answer::{Holds, judge};
pub use block::Network;
pub use cluster_policy::{Action, ClusterKind, ClusterPolicy, Tier, TierPeer, TierRule};
pub use derive::{Decided, Derivation, PolicyName, RuleName, Side};
pub use facts::{
    Answer, Ask, Cluster, Connection, End, Gap, Pod, PodPort, Protocol, SOME_NODE, Via, stand_in,
};
pub use network_policy::{NetworkPolicy, Peer, PolicyError, PortRule, Rule};
pub use oracle::{Direction, Oracle};
pub use scene::{Finding, Scene};
pub use validate::{ApiServer, Channel, PolicyKind, Version, Violation, validate};

#[cfg(test)]
mod corners;
