//! The pure part of flowproof: what a scenario says, what it means for a cluster, and what observations amount to.
//!
//! It has rooms in one order: a room may use those above it in this table, and no other (`tests/dependencies.rs` reads the table).
//!
//! | room | job |
//! |---|---|
//! | [`text`] | reads text into trees and ports, and says where something is wrong with it |
//! | [`scenario`] | a checked scenario: what the parser returns and a run plays, with its names, flows, labels and variants |
//! | [`place`] | nodes for pods, addresses for flows, real names for logical ones; which scenarios are deployed together |
//! | [`policy`] | what policies mean, and which ones an API server rejects |
//! | [`snapshot`] | pods and policies from manifests, from a scenario or from a cluster |
//! | [`parse`] | from the text of a scenario to a checked one, or to every problem in it |
//! | [`evidence`] | what both ends said of a flow, when each was alive, and what they captured |
//! | [`verdict`] | the one place where verdicts are decided, and whether a flow has settled |
//! | [`outcome`] | the outcome of a run: what every report is made of, and what is saved |
//! | [`trial`] | all that a run decides about its scenarios, from what probers report to the outcome of a step |
//! | [`tools`] | what people ask besides: what is wrong with a scenario, why a flow is denied, who reaches whom, what changed |
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
