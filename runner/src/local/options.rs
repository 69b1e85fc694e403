//! The options of a local cluster.

use super::{address::Families, fault::Fault};
use rustix::net::{AddressFamily, SocketType, socket};
use std::{path::PathBuf, time::Duration};

/// The options of a local cluster.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// How many nodes: 1 to [`super::MAX_NODES`].
    pub nodes: u8,
    /// How long the policy engine waits between a change and its enforcement.
    pub enforce_delay: Duration,
    /// What the cluster does wrong, if anything.
    pub fault: Option<Fault>,
    /// Whether the engine keeps every state of the API, so that [`super::LocalCluster::telling_faults`] can find out which faults
    /// would show. Memory grows with every change.
    pub keep_states: bool,
    /// Whether the probers capture the packets of attempts.
    pub capture: bool,
    /// Address families. A family that this machine does not have is an error.
    pub families: Families,
    /// The program that becomes the world: any that calls [`super::become_world_if_asked`] first. `None` for this program.
    pub program: Option<PathBuf>,
    /// The prober's binary; `None` for the one that the program carries.
    pub prober: Option<PathBuf>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            nodes: 2,
            enforce_delay: Duration::ZERO,
            fault: None,
            keep_states: false,
            capture: false,
            families: if has_ipv6() { Families::Dual } else { Families::V4 },
            program: None,
            prober: None,
        }
    }
}

/// Whether the kernel has IPv6 (it is missing with `ipv6.disable=1`, and where a system call filter forbids it).
pub(crate) fn has_ipv6() -> bool {
    socket(AddressFamily::INET6, SocketType::DGRAM, None).is_ok()
}
