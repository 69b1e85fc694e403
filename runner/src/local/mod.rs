//! The local cluster: Kubernetes' network as far as scenarios see it, made of network namespaces of this machine.
//!
//! It needs no Kubernetes, no root and no program on `PATH`. A child process, the *world*, contains everything: nodes and pods
//! are network namespaces inside one user namespace, pods have routed links so that each packet passes its node's forwarding
//! rules, and a policy engine compiles NetworkPolicy to nftables. However the runner ends, the world ends with it, and so does
//! every process, namespace and link.
//!
//! | module | job |
//! |---|---|
//! | [`world`] | the child process, and [`LocalCluster`], the runner's side; on Linux only |
//! | `elsewhere` | on other systems: a [`LocalCluster`] that does not start |
//! | [`engine`] | what the rules of every node must be: pure |
//! | [`fault`] | what it can do wrong |
//! | [`paper`] | the same cluster without a kernel: what would become of each flow |
//! | [`address`] | the address plan |
//! | [`object`] | the API's objects |
//! | [`system`] | what every cluster has before the first deployment |

#![cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "some of the address plan and of the engine is only for the world")
)]

mod address;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod engine;
pub mod fault;
mod object;
mod options;
pub mod paper;
mod system;
#[cfg(target_os = "linux")]
mod world;

pub use address::{Families, MAX_NODES};
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{LocalCluster, become_world_if_asked};
pub use options::LocalOptions;
#[cfg(target_os = "linux")]
pub use world::{LocalCluster, become_world_if_asked};
