//! The state of the API, as far as the policy engine needs it.

use super::{
    policy::{self, NetworkPolicy, Scope},
    tier::{self, ClusterPolicy},
};
use crate::local::object::{ContainerPort, Name, Object, Refusal, ServicePort};
use flowproof_core::scenario::Labels;
use serde_json::Value;
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

impl View {
    /// Applies a policy, as an API server does.
    ///
    /// Fails if its kind is not served, if it is not valid, or if its namespace does not exist.
    pub(crate) fn apply(&mut self, manifest: &Value) -> Result<(), Refusal> {
        let text = |field: &str| manifest[field].as_str().unwrap_or_default();
        match policy::scope(text("apiVersion"), text("kind"))? {
            Scope::Namespace => {
                let policy = policy::read(manifest)?;
                if !self.namespaces.contains_key(&policy.name.namespace) {
                    return Err(Refusal::rejected(
                        format!("NetworkPolicy {}", policy.name),
                        format!("namespaces \"{}\" not found", policy.name.namespace),
                    ));
                }
                let before = self.policies.get(&policy.name).cloned();
                let policy = policy.applied_over(before.as_deref());
                self.policies.insert(policy.name.clone(), Arc::new(policy));
            }
            Scope::Cluster => {
                let policy = tier::read(manifest)?;
                self.cluster_policies.insert(policy.name.clone(), Arc::new(policy));
            }
        }
        Ok(())
    }

    /// Deletes a policy, if it exists. Fails if its kind is not served.
    pub(crate) fn delete(&mut self, object: &Object) -> Result<(), Refusal> {
        match policy::scope(&object.api_version, &object.kind)? {
            Scope::Namespace => {
                let name = Name::new(object.namespace.clone().unwrap_or_default(), object.name.clone());
                self.policies.remove(&name);
            }
            Scope::Cluster => drop(self.cluster_policies.remove(&object.name)),
        }
        Ok(())
    }
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
