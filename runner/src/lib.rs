//! The runner: reads scenarios, drives a cluster, judges and reports.
//!
//! | module | job |
//! |---|---|
//! | [`cli`] | the command line: arguments, exit codes |
//! | [`cluster`] | what a run needs from a backend |
//! | [`kube`] | the backend for any Kubernetes cluster |
//! | [`local`] | the backend of network namespaces on this machine |
//! | [`check`] | what a cluster enforces, by node and by capability |
//! | [`faults`] | what a suite of scenarios catches |
//! | [`diagnose`] | which known fault a red run looks like |
//! | [`image`] | the prober's image, without a container engine |
//! | [`scenarios`], [`problems`] | scenario files, and how their problems are shown |
//! | [`link`] | the stream to one prober |
//! | [`run`] | a run: scenarios in, outcome out |
//! | [`report`] | tables, live progress, `JUnit`, Markdown |

pub mod check;
pub mod cli;
pub mod cluster;
pub mod diagnose;
pub mod faults;
pub mod image;
pub mod kube;
pub mod link;
pub mod local;
pub mod problems;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod sources;
