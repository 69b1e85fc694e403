//! A checked scenario: what the parser returns and a run plays.
//!
//! | module | job |
//! |---|---|
//! | `model` | a scenario, its topology and its steps |
//! | [`name`], [`flow`] | names; flows and expectations |
//! | [`label`], [`selector`] | labels, their changes and their selectors |
//! | [`capability`] | what a network enforces or not |
//! | [`variant`] | the same scenarios on other nodes, or through Services |

pub mod capability;
pub mod flow;
pub mod label;
mod model;
pub mod name;
pub mod selector;
pub mod variant;

pub use label::Labels;
pub use model::{
    Change, Expected, Like, LikeKind, Manifest, NamedListener, ObjectRef, Placement, Scenario, ServicePort,
    ServiceSpec, Step, TargetPort, Topology, Wanted, WorkloadSpec,
};
