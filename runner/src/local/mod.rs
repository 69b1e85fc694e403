//! The local cluster: Kubernetes' network as far as scenarios see it, made of network namespaces of this machine.
//!
//! It needs no Kubernetes, no root and no program on `PATH`. A child process, the *world*, contains everything: nodes and pods
//! are network namespaces inside one user namespace, pods have routed links so that each packet passes its node's forwarding
//! rules, and a policy engine compiles NetworkPolicy to nftables. However the runner ends, the world ends with it, and so does
//! every process, namespace and link.
//!
//! | module | job |
//! |---|---|
//! | [`client`] | [`LocalCluster`], the runner's side |
//! | [`world`] | the child process |
//! | [`engine`] | what the rules of every node must be: pure |
//! | [`fault`] | what it can do wrong |
//! | [`paper`] | the same cluster without a kernel: what would become of each flow |
//! | [`address`] | the address plan |
//! | [`system`] | what every cluster has before the first deployment |
//! | [`channel`], [`message`] | how the two sides talk |

mod address;
mod channel;
mod client;
mod engine;
pub mod fault;
mod message;
mod options;
pub mod paper;
mod system;
mod world;

pub use address::{Families, MAX_NODES};
pub use client::LocalCluster;
pub use options::LocalOptions;
pub use world::become_world_if_asked;
