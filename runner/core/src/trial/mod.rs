//! Where verdicts come about: everything that a run decides about its scenarios, without a clock, a channel or a pod.
//!
//! | module | decides |
//! |---|---|
//! | [`news`], [`book`] | what is known about probers and flows, from what probers report |
//! | [`site`], [`state`] | where pods are; which labels and policies exist |
//! | [`control`] | which flows work without policies |
//! | [`settle`] | when the flows of a step have settled, and when it makes no sense to wait any longer |
//! | [`pulse`], [`limits`] | whether the network has had as much time as it needs right now; how long a step waits |
//! | [`chronicle`] | one flow over any length of time: leaks, gaps, holes |
//! | [`load`] | how many lanes are played side by side |
//! | [`changed`] | whether a change itself may let a denied flow through |
//! | [`restore`] | what must work again once everything is deleted |
//! | [`judged`] | the outcome of a step: for each flow the verdict and what it rests on |
//!
//! The truth table of a single attempt is in [`crate::verdict`]; what a series of attempts shows is in
//! [`crate::verdict::assess`].

pub mod book;
pub mod changed;
pub mod chronicle;
pub mod control;
pub mod judged;
pub mod limits;
pub mod load;
pub mod news;
pub mod pulse;
pub mod restore;
pub mod settle;
pub mod site;
pub mod state;
