//! The room in which verdicts come about: everything that a run decides about its scenarios, without a clock, a channel or a pod.
//!
//! | module | decides |
//! |---|---|
//! | [`news`], [`book`] | what is known of probers and flows, from what probers report |
//! | [`site`], [`state`] | where pods are; which labels and policies are there |
//! | [`control`] | which flows work without policies |
//! | [`settle`] | when the flows of a step have settled, and when waiting on makes no sense |
//! | [`pulse`], [`limits`] | whether the network has had the time that it takes just now; how long a step waits |
//! | [`chronicle`] | one flow over any length of time: leaks, gaps, holes |
//! | [`load`] | how many lanes are played side by side |
//! | [`changed`] | whether a change itself may let a denied flow through |
//! | [`restore`] | what must work again once everything is deleted |
//! | [`judged`] | the outcome of a step: for each flow the verdict and what it rests on |
//!
//! The truth table of a single case is in [`crate::verdict`], that of a series of attempts in [`crate::verdict::assess`].

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
