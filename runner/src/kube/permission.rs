//! The permissions of a run: the lists, and asking the API server whether they are granted.
//!
//! `cluster-role.yaml` grants exactly this list; a test keeps them equal.

use super::failure;
use crate::cluster::ClusterError;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use std::fmt;

/// Permission to do one thing with one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Permission {
    /// The API group; empty for the core group.
    pub(super) group: String,
    /// The resource, or `resource/subresource`.
    pub(super) resource: String,
    /// The verb of the Kubernetes API.
    pub(super) verb: String,
}

/// Without these no run is possible: group, resource, verbs.
pub(super) const REQUIRED: &[(&str, &str, &[&str])] = &[
    ("", "namespaces", &["create", "delete", "get", "list", "patch", "watch"]),
    ("", "nodes", &["get", "list"]),
    ("", "pods", &["create", "delete", "get", "list", "patch", "watch"]),
    // Since Kubernetes 1.35 an exec over a web socket needs `create` in addition to `get`.
    ("", "pods/exec", &["create", "get"]),
    ("", "serviceaccounts", &["get", "list", "watch"]),
    ("", "services", &["create", "get", "list"]),
    ("networking.k8s.io", "networkpolicies", &["create", "delete", "get", "list", "patch"]),
];

/// Asked for when the prober comes in ConfigMaps.
pub(super) const CONFIG_MAPS: &[(&str, &str, &[&str])] = &[("", "configmaps", &["create"])];

/// Used if they are granted: events and CNI programs for better messages, policies of other kinds for scenarios
/// that have them, secrets for an image that needs a pull secret.
#[cfg_attr(not(test), expect(dead_code, reason = "cluster-role.yaml is written from it"))]
pub(super) const OPTIONAL: &[(&str, &str, &[&str])] = &[
    ("", "events", &["list"]),
    ("", "secrets", &["create", "get"]),
    ("apps", "daemonsets", &["list"]),
    ("cilium.io", "*", &["create", "delete", "get", "list", "patch"]),
    ("crd.projectcalico.org", "*", &["create", "delete", "get", "list", "patch"]),
    ("policy.networking.k8s.io", "*", &["create", "delete", "get", "list", "patch"]),
    ("projectcalico.org", "*", &["create", "delete", "get", "list", "patch"]),
];

/// Asked for before the first shadow of a live workload is created: its workload is read, and a Deployment without pods of its own
/// holds the shadows of a namespace.
pub(super) const SHADOWS: &[(&str, &str, &[&str])] = &[
    ("apps", "daemonsets", &["get"]),
    ("apps", "deployments", &["create", "delete", "get", "list"]),
    ("apps", "statefulsets", &["get"]),
    ("batch", "jobs", &["get"]),
];

/// The `ClusterRole` that grants all lists, with the reason for each rule.
pub const CLUSTER_ROLE: &str = include_str!("cluster-role.yaml");

/// The hint for pods of which an admission policy demands more.
const FOR_PODS: &str = "what is demanded of pods can be given with --pod-label, --pod-annotation, --cpu, --cpu-limit, --memory, \
                        --memory-limit, --priority-class, --runtime-class, and --image for one of a registry that is allowed";

/// What to do about a quota of a namespace that the run does not own.
const FOR_A_QUOTA: &str = "raise the ResourceQuota for the time of the run, or make the run's pods smaller with --cpu, --cpu-limit, \
                           --memory and --memory-limit";

/// The hint for namespaces.
const FOR_NAMESPACES: &str =
    "what is demanded of namespaces can be given with --namespace-label and --namespace-annotation";

/// How many permissions are asked for at once.
const AT_ONCE: usize = 16;

impl Permission {
    pub(super) fn new(group: &str, resource: &str, verb: &str) -> Self {
        Self { group: group.into(), resource: resource.into(), verb: verb.into() }
    }

    /// Asks the API server whether this user has it, in one namespace or in the whole cluster.
    pub(super) async fn granted(
        &self,
        client: &Client,
        namespace: Option<&str>,
    ) -> Result<bool, ClusterError> {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let review: SelfSubjectAccessReview = serde_json::from_value(json!({
            "spec": { "resourceAttributes": {
                "group": self.group, "resource": resource, "subresource": subresource, "verb": self.verb,
                "namespace": namespace.unwrap_or_default(),
            } }
        }))
        .expect("the review is well-formed");
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let parameters = PostParams::default();
        let answer = failure::request("ask for permissions", api.create(&parameters, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// Fails with all permissions of a list that are missing.
pub(super) async fn check(client: &Client, list: &[(&str, &str, &[&str])]) -> Result<(), ClusterError> {
    let missing: Vec<String> = stream::iter(each(list))
        .map(|permission| async move { Ok((permission.granted(client, None).await?, permission)) })
        .buffered(AT_ONCE)
        .try_filter_map(async |(granted, permission)| Ok((!granted).then(|| permission.to_string())))
        .try_collect()
        .await?;
    if missing.is_empty() { Ok(()) } else { Err(ClusterError::Forbidden { missing }) }
}

/// Distinguishes a missing permission from a refusal by admission (a quota, a webhook, Pod Security). Both have the code 403, so
/// the API server is asked about the permission itself.
pub(super) async fn refused(
    client: &Client,
    needed: &Permission,
    namespace: Option<&str>,
    object: &str,
    status: &kube::core::Status,
) -> ClusterError {
    if status.code == 403 && matches!(needed.granted(client, namespace).await, Ok(false)) {
        return ClusterError::Forbidden { missing: vec![needed.to_string()] };
    }
    let (object, message) = (object.to_owned(), failure::said(status));
    match needed.resource.as_str() {
        // So the quota's admission begins its messages; a limit that a quota wants and the pod lacks is "must specify".
        "pods" if message.contains("exceeded quota: ") => {
            ClusterError::NotAdmitted { object, message, hint: FOR_A_QUOTA }
        }
        "pods" => ClusterError::NotAdmitted { object, message, hint: FOR_PODS },
        "namespaces" => ClusterError::NotAdmitted { object, message, hint: FOR_NAMESPACES },
        _ => ClusterError::Rejected { object, message },
    }
}

/// Spells the list out, one permission each.
fn each(list: &[(&str, &str, &[&str])]) -> Vec<Permission> {
    list.iter()
        .flat_map(|(group, resource, verbs)| verbs.iter().map(|verb| Permission::new(group, resource, verb)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::rbac::v1::ClusterRole;
    use std::collections::BTreeSet;

    #[test]
    fn the_cluster_role_grants_exactly_the_lists() {
        let role: ClusterRole = serde_saphyr::from_str(CLUSTER_ROLE).expect("it is a ClusterRole");
        let mut granted = BTreeSet::new();
        for rule in role.rules.into_iter().flatten() {
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    granted.extend(rule.verbs.iter().map(|verb| Permission::new(group, resource, verb)));
                }
            }
        }
        let listed: BTreeSet<Permission> =
            [REQUIRED, CONFIG_MAPS, OPTIONAL, SHADOWS].into_iter().flat_map(each).collect();
        assert_eq!(granted, listed);
    }
}
