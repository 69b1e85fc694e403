//! What an API server rejects of a policy, with the paths that it would name.
//!
//! NetworkPolicy: `ValidateNetworkPolicy` of `pkg/apis/networking/validation` and strict decoding. The kinds of
//! policy.networking.k8s.io: the constraints of their custom resource definitions.

mod cluster;
mod field;
mod label;
mod network;

use super::tier::ClusterKind;
use crate::name::{is_label, is_subdomain};
use field::Field;
use serde_json::Value;

/// Something that an API server rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field: `spec.ingress[0].from[1].ipBlock.except[0]`.
    pub path: String,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
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
    /// The kind of an object; nothing when it is none of them.
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

    /// The versions in which a kind of this name is served, when it is a policy's.
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

/// Finds everything that an API server rejects of a policy: of its names and of its `spec`; nothing when it accepts it.
#[must_use]
pub fn validate(kind: PolicyKind, manifest: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let top = Field::top(manifest);
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let Some(top) = top.object(&known, &mut found) else { return found };
    names(&top.get("metadata"), &mut found);
    let spec = top.get("spec");
    match kind {
        PolicyKind::Namespaced => network::spec(&spec, &mut found),
        PolicyKind::Cluster(ClusterKind::ClusterNetworkPolicy) => cluster::spec(&spec, &mut found),
        PolicyKind::Cluster(kind) => cluster::admin_spec(&spec, kind, &mut found),
    }
    found
}

/// The names of an object (RFC 1123), as far as it has them.
fn names(metadata: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(metadata) = metadata.mapping(found) else { return };
    let mut check = |field: &str, is_name: fn(&str) -> bool, form: &str| {
        let field = metadata.get(field);
        if let Some(text) = field.text(found).filter(|text| !is_name(text)) {
            field.wrong(format!("'{text}' is no name: {form} (RFC 1123)"), found);
        }
    };
    check("name", is_subdomain, "lower-case letters, digits, '-' and '.'");
    check("namespace", is_label, "lower-case letters, digits and '-', at most 63");
}

#[cfg(test)]
mod tests;
