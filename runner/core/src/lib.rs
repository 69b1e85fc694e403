//! The pure part of flowproof: what a scenario says, what it means for a cluster, and what observations show.
//!
//! The rooms are in one order: a room may use those above it in this table, and no others (`tests/dependencies.rs` reads it).
//!
//! | room | job |
//! |---|---|
//! | [`text`] | reads text into trees and ports, and says where something is wrong with it |
//! | [`scenario`] | a checked scenario: what the parser returns and a run plays, with its names, flows, labels and variants |
//! | [`place`] | nodes for pods, addresses for flows, real names for logical ones; which scenarios are deployed together |
//! | [`policy`] | what policies mean, and which ones an API server rejects |
//! | [`snapshot`] | pods and policies from manifests, from a scenario or from a cluster |
//! | [`parse`] | turns the text of a scenario into a checked one, or into every problem in it |
//! | [`evidence`] | what both ends reported about a flow, when each was alive, and what they captured |
//! | [`verdict`] | what one attempt shows, and what a series of attempts shows: the verdict, its reason, its words |
//! | [`outcome`] | the outcome of a run: what every report is made of, and what is saved |
//! | [`trial`] | everything that a run decides about its scenarios, from what probers report to the outcome of a step |
//! | [`tools`] | other questions: what is wrong with a scenario, why a flow is denied, who reaches whom, what changed |
//!
//! Nothing here reads a file, a clock or a socket; everything is a function of its arguments.

#![forbid(unsafe_code)]

pub mod evidence;
pub mod outcome;
pub mod parse;
pub mod place;
pub mod policy;
pub mod scenario;
pub mod snapshot;
pub mod text;
pub mod tools;
pub mod trial;
pub mod verdict;
