//! The address plan: which addresses nodes, pods and Services have.
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | node *n* | 172.30.0.*n* | `fd00:172:30::` and *n* |
//! | pods of node *n* | a `/22` of 10.244.0.0/16 | a `/64` of its own in `fd00:10:244::/48` |
//! | Services | 10.96.0.0/16 | `fd00:10:96::/112` |
//!
//! All of them exist only in namespaces of this process, so they cannot collide with anything outside.

use super::fault::Fault;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The largest number of nodes in the plan.
pub const MAX_NODES: u8 = 64;

/// The number of pods for which a node has addresses.
const PODS_PER_NODE: u16 = 1022;

/// Address families of a local cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

impl Families {
    pub(crate) fn has_v4(self) -> bool {
        self != Self::V6
    }

    pub(crate) fn has_v6(self) -> bool {
        self != Self::V4
    }

    /// Keeps the addresses whose family the cluster has.
    fn pick(self, v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<IpAddr> {
        let mut addresses = Vec::with_capacity(2);
        if self.has_v4() {
            addresses.push(v4.into());
        }
        if self.has_v6() {
            addresses.push(v6.into());
        }
        addresses
    }
}

/// Addresses of the node with this number, from 1.
pub(crate) fn node(number: u8, families: Families) -> Vec<IpAddr> {
    families.pick(
        Ipv4Addr::new(172, 30, 0, number),
        Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, number.into()),
    )
}

/// The network from which the pods of a node get their addresses.
pub(crate) fn pod_network(node: u8, families: Families) -> Vec<(IpAddr, u8)> {
    families
        .pick(
            Ipv4Addr::new(10, 244, (node - 1) << 2, 0),
            Ipv6Addr::new(0xfd00, 0x10, 0x244, node.into(), 0, 0, 0, 0),
        )
        .into_iter()
        .map(|address| (address, if address.is_ipv4() { 22 } else { 64 }))
        .collect()
}

/// Addresses of a Service by its number.
pub(crate) fn service(number: u16, families: Families) -> Vec<IpAddr> {
    let [high, low] = number.to_be_bytes();
    families.pick(Ipv4Addr::new(10, 96, high, low), Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number))
}

/// The networks of pods and Services of all nodes.
pub(crate) fn pods_and_services() -> [IpNet; 4] {
    let v4 = |second| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, second, 0, 0), 16));
    let v6 = |third| IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, third, 0, 0, 0, 0, 0), 48));
    [v4(244), v4(96), v6(0x244), v6(0x96)]
}

/// The number of the cluster DNS Service: 10.96.0.10, as in most clusters.
pub(crate) const DNS_SERVICE: u16 = 10;

/// The number of the API server's Service, behind which nothing answers here.
pub(crate) const API_SERVICE: u16 = 1;

/// Gives out numbers and takes them back.
pub(crate) struct Numbers {
    free: VecDeque<u16>,
}

/// When a returned number is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// After all others.
    Last,
    /// After one other number: not by a pod that restarts, but by the next pod that does.
    Soon,
}

impl Reuse {
    /// A fault that remembers pods which are gone shows only when other pods get their addresses soon.
    pub(crate) fn with(fault: Option<Fault>) -> Self {
        match fault {
            Some(Fault::GonePodsStayPeers | Fault::GonePodsStaySubjects) => Self::Soon,
            _ => Self::Last,
        }
    }
}

impl Numbers {
    pub(crate) fn of_pods() -> Self {
        Self { free: (1..=PODS_PER_NODE).collect() }
    }

    pub(crate) fn of_services() -> Self {
        Self { free: (20..u16::MAX).collect() }
    }

    pub(crate) fn take(&mut self) -> Option<u16> {
        self.free.pop_front()
    }

    pub(crate) fn give_back(&mut self, number: u16, reuse: Reuse) {
        match reuse {
            Reuse::Last => self.free.push_back(number),
            Reuse::Soon => self.free.insert(self.free.len().min(1), number),
        }
    }
}

/// Addresses of a pod: by its node and the number that the node gave it.
pub(crate) fn pod(node: u8, number: u16, families: Families) -> Vec<IpAddr> {
    let [high, low] = number.to_be_bytes();
    families.pick(
        Ipv4Addr::new(10, 244, ((node - 1) << 2) | high, low),
        Ipv6Addr::new(0xfd00, 0x10, 0x244, node.into(), 0, 0, 0, number),
    )
}

/// The hardware address of the pod's end of its link; all other ends have [`GATEWAY_MAC`].
pub(crate) fn pod_mac(node: u8, number: u16) -> [u8; 6] {
    let [high, low] = number.to_be_bytes();
    [0x02, 0x01, 0, node, high, low]
}

/// The hardware address of a node's end of any link of a pod.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// The gateway of pods. No interface has this address; only the hardware address to which it resolves counts.
pub(crate) const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// As [`GATEWAY_V4`].
pub(crate) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_is_in_the_network_of_its_node_only() {
        for node in 1..=MAX_NODES {
            for number in [1, 255, 256, PODS_PER_NODE] {
                for address in pod(node, number, Families::Dual) {
                    for other in 1..=MAX_NODES {
                        let inside =
                            pod_network(other, Families::Dual).into_iter().any(|(network, length)| {
                                IpNet::new(network, length).expect("a valid length").contains(&address)
                            });
                        assert_eq!(inside, other == node, "{address} and node {other}");
                    }
                }
            }
        }
    }
}
