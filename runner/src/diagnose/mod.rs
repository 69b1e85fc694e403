//! Why a run is red: which fault of a real network plugin would make these flows wrong, and no others.
//!
//! Each fault is tried on paper: the scenarios that were played go through the local cluster's policy engine with the fault, with
//! pods on the same nodes as in the run. What each flow would do is compared with what it did. The result is a likeness, never a
//! proof.
//!
//! | module | job |
//! |---|---|
//! | [`suspect`] | a fault at a place |
//! | [`script`] | a scenario on paper, and what a network with a fault does with its flows |
//! | [`observed`] | the flows of a run that can be compared |
//! | [`rank`] | the suspects, by how much they explain |
//! | [`apart`] | which scenario distinguishes two suspects |
//! | [`known`] | the flows that differ because a network is known to have a fault |
//! | [`text`] | the result for people |

pub mod apart;
pub mod known;
pub mod observed;
pub mod rank;
pub mod script;
pub mod suspect;
pub mod text;

pub use observed::Observed;
pub use rank::{Diagnosis, Likeness, diagnose, diagnose_among};
