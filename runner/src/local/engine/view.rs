//! What the API holds, as the policy engine sees it.

use super::{policy::NetworkPolicy, tier::ClusterPolicy};
use crate::local::message::{ContainerPort, Name, ServicePort};
use flowproof_core::scenario::Labels;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// A state of the API. Cheap to clone: objects are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) namespaces: BTreeMap<String, Labels>,
    pub(crate) pods: BTreeMap<Name, Arc<Pod>>,
    pub(crate) services: BTreeMap<Name, Arc<Service>>,
    pub(crate) policies: BTreeMap<Name, Arc<NetworkPolicy>>,
    pub(crate) cluster_policies: BTreeMap<String, Arc<ClusterPolicy>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: Name,
    pub(crate) labels: Labels,
    pub(crate) ports: Vec<ContainerPort>,
    /// Number of its node, from 1.
    pub(crate) node: u8,
    /// Its own addresses; those of its node for a pod that uses its node's network.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) host_network: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: Name,
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) addresses: Vec<IpAddr>,
}
