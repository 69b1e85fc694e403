//! What an API server rejects in a policy, with the paths that it would name.
//!
//! NetworkPolicy: `ValidateNetworkPolicy` of `pkg/apis/networking/validation` and strict decoding. The kinds of
//! policy.networking.k8s.io: the constraints of their custom resource definitions.

mod cluster;
mod field;
mod label;
mod metadata;
mod network;
mod rules;

use super::cluster_policy::ClusterKind;
use field::Field;
use serde_json::Value;

pub use rules::{ApiServer, Channel, NotAVersion, Only, STRICT_ADDRESSES, Version};

/// Something that an API server rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field: `spec.ingress[0].from[1].ipBlock.except[0]`.
    pub path: String,
    /// What is wrong: lower case, without a period.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
    /// Which API servers reject it, if not all of them do.
    pub only: Option<Only>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The kinds of policies that the oracle knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// `NetworkPolicy` of networking.k8s.io/v1.
    Namespaced,
    /// One of policy.networking.k8s.io.
    Cluster(ClusterKind),
}

impl PolicyKind {
    /// The kind of an object; `None` if it is none of these.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version, kind) {
            ("networking.k8s.io/v1", "NetworkPolicy") => Some(Self::Namespaced),
            (
                "policy.networking.k8s.io/v1alpha2" | "policy.networking.k8s.io/v1beta1",
                "ClusterNetworkPolicy",
            )
            | ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy") => {
                ClusterKind::named(kind).map(Self::Cluster)
            }
            _ => None,
        }
    }

    /// The versions in which a kind of this name is served; `None` if it is not a kind of policy.
    #[must_use]
    pub fn versions(kind: &str) -> Option<&'static [&'static str]> {
        match kind {
            "NetworkPolicy" => Some(&["networking.k8s.io/v1"]),
            "ClusterNetworkPolicy" => {
                Some(&["policy.networking.k8s.io/v1beta1", "policy.networking.k8s.io/v1alpha2"])
            }
            "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" => {
                Some(&["policy.networking.k8s.io/v1alpha1"])
            }
            _ => None,
        }
    }
}

/// Finds everything that every API server rejects in a policy: in its metadata and in its `spec`.
#[must_use]
pub fn validate(kind: PolicyKind, manifest: &Value) -> Vec<Violation> {
    let mut found = violations(kind, manifest);
    found.retain(|violation| violation.only.is_none());
    found
}

/// Finds everything that is wrong with a policy that is created, whether all API servers reject it, some of them, or none.
#[must_use]
pub fn violations(kind: PolicyKind, manifest: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    match kind {
        PolicyKind::Namespaced => {
            // NetworkPolicy has had no status since 1.28.
            let top = Field::top(manifest);
            let Some(top) = top.object(&["apiVersion", "kind", "metadata", "spec"], &mut found) else {
                return found;
            };
            metadata::check(&top.get("metadata"), &mut found);
            network::spec(&top.get("spec"), &mut found);
        }
        PolicyKind::Cluster(kind) => {
            let known = ["apiVersion", "kind", "metadata", "spec", "status"];
            let Some(top) = Field::top(manifest).object(&known, &mut found) else { return found };
            metadata::check(&top.get("metadata"), &mut found);
            let spec = top.get("spec");
            if spec.is_null() {
                spec.wrong("required", &mut found);
            } else if kind == ClusterKind::ClusterNetworkPolicy {
                cluster::spec(&spec, &mut found);
            } else {
                cluster::admin_spec(&spec, kind, &mut found);
            }
        }
    }
    found
}

/// Whether a container's port can have this name (`IANA_SVC_NAME`, RFC 6335, 5.1).
pub(crate) fn is_port_name(name: &str) -> bool {
    network::port_name(name).is_none()
}

/// Whether an API server accepts a label selector in its own objects.
pub(super) fn is_valid_selector(selector: &Value) -> bool {
    let mut found = Vec::new();
    label::selector(&Field::top(selector), &mut found);
    found.is_empty()
}

#[cfg(test)]
mod tests;
