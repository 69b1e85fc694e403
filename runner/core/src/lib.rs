//! The pure part of flowproof: what a scenario says, what it means for a cluster, and what observations amount to.
//!
//! | module | job |
//! |---|---|
//! | [`parse`] | from the text of a scenario to a checked one, or to every problem in it |
//! | [`scenario`] | a checked scenario: what the parser returns and a run plays |
//! | [`variant`] | the same scenarios on other nodes, or through Services |
//! | [`name`], [`flow`], [`selector`] | names, flows and expectations, label selectors |
//! | [`place`], [`plan`], [`rewrite`] | nodes for pods, addresses for flows, real names for logical ones |
//! | [`share`], [`schedule`] | what can be deployed together; which scenarios share a lane, and in which order |
//! | [`record`], [`life`] | what both ends said of a flow, and when each was alive |
//! | [`assess`], [`verdict`] | whether a flow has settled; the one place where verdicts are decided |
//! | [`capture`] | where attempts died, by the packets that both ends captured |
//! | [`policy`], [`lint`] | what policies mean, and what is wrong with a scenario though it parses |
//! | [`capability`] | what a network can be said to enforce or not, and which flows show it |
//! | [`snapshot`], [`explain`] | pods and policies from manifests or a cluster; why a flow is allowed or denied |
//! | [`generate`], [`reach`] | scenarios that test given policies; who may reach whom by them |
//! | [`picture`] | who reaches whom as an SVG |
//! | [`mutate`] | which edits of its policies a scenario would not notice |
//! | [`chronicle`] | one flow over any length of time: leaks, gaps, holes |
//! | [`outcome`] | the outcome of a run: what every report is made of, and what is saved |
//! | [`compare`] | two outcomes, flow by flow |
//! | [`time`] | moments of a run |
//!
//! Nothing here reads a file, a clock or a socket; everything is a function of its arguments.

#![forbid(unsafe_code)]

pub mod assess;
pub mod capability;
pub mod capture;
pub mod chronicle;
pub mod compare;
pub mod explain;
pub mod flow;
pub mod generate;
pub mod hindrance;
pub mod label;
pub mod life;
pub mod lint;
pub mod mutate;
pub mod name;
pub mod outcome;
pub mod parse;
pub mod picture;
pub mod place;
pub mod plan;
pub mod policy;
pub mod reach;
pub mod record;
pub mod rewrite;
pub mod scenario;
pub mod schedule;
pub mod selector;
pub mod share;
pub mod snapshot;
pub mod time;
pub mod trial;
pub mod variant;
pub mod verdict;
