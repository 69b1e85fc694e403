//! What policies mean: the oracle, written from the API's text.
//!
//! It is the yardstick for everything that enforces policies, the local cluster's own engine included, and shares no code
//! with that engine. It answers `allow`, `deny` or `unspecified`, and says why; a policy that an API server would reject is
//! found by [`validate`](mod@validate).
//!
//! | module | job |
//! |---|---|
//! | [`world`] | what a decision depends on, and the answers |
//! | [`read`], [`tier`] | policies of namespaces and of the cluster, from manifests that an API server accepted |
//! | [`oracle`] | a cluster prepared for many questions |
//! | [`judge`](mod@judge), [`derive`](mod@derive) | the decision, and its reason |
//! | [`scene`] | a scenario's state as the oracle sees it |
//! | [`transition`] | what may pass while changes take effect |
//! | [`network`], [`spoken`] | CIDR blocks; which blocks and ports policies speak of |

pub mod derive;
pub mod judge;
pub mod live;
pub mod network;
pub mod oracle;
pub mod read;
pub mod scene;
pub(crate) mod spoken;
pub mod tier;
pub mod transition;
pub mod validate;
pub mod world;

pub use derive::{Decided, Derivation, PolicyName, RuleName, Side};
pub use judge::{Holds, judge};
pub use live::LiveScene;
pub use network::Network;
pub use oracle::{Direction, Oracle};
pub use read::{NetworkPolicy, Peer, PolicyError, PortRule, Rule};
pub use scene::{Finding, Scene};
pub use tier::{Action, ClusterKind, ClusterPolicy, Tier, TierPeer, TierRule};
pub use validate::{ApiServer, Channel, PolicyKind, Version, Violation, validate};
pub use world::{
    Answer, Ask, Cluster, Connection, End, Gap, Pod, PodPort, Protocol, SOME_NODE, Via, stand_in,
};

#[cfg(test)]
mod corners;
