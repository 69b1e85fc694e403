//! What a scenario means on a cluster: which pods on which nodes, which addresses and names, and which scenarios together.
//!
//! | module | job |
//! |---|---|
//! | [`placement`] | nodes for pods |
//! | [`plan`] | addresses for flows |
//! | [`rewrite`] | real names for logical ones |
//! | [`share`], [`schedule`] | what can be deployed together; which scenarios share a lane, and in which order |

pub mod placement;
pub mod plan;
pub mod rewrite;
pub mod schedule;
pub mod share;
