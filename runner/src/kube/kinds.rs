//! Which kinds the cluster serves, under which path and with which scope; asked once per kind.

use super::failure;
use crate::cluster::ClusterError;
use kube::{
    Client,
    core::GroupVersionKind,
    discovery::{self, ApiResource, Scope},
};
use std::{collections::HashMap, sync::Mutex};

/// The kinds that were asked for.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<HashMap<GroupVersionKind, (ApiResource, Scope)>>);

impl Kinds {
    /// Finds a kind; fails with [`ClusterError::Unsupported`] if the cluster does not serve it.
    pub(super) async fn resolve(
        &self,
        client: &Client,
        api_version: &str,
        kind: &str,
    ) -> Result<(ApiResource, Scope), ClusterError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersionKind::gvk(group, version, kind);
        if let Some(known) = self.0.lock().expect("no holder of this lock panics").get(&wanted) {
            return Ok(known.clone());
        }
        let unsupported = || ClusterError::Unsupported {
            what: format!(
                "the cluster does not serve {kind} of {api_version}: its custom resource definition or its network plugin is missing"
            ),
        };
        let context = format!("look up the kind {kind} of {api_version}");
        let look_up = async {
            match discovery::pinned_kind(client, &wanted).await {
                Err(kube::Error::Discovery(_)) => Ok(None),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                found => found.map(Some),
            }
        };
        let (resource, capabilities) = failure::request(&context, look_up).await?.ok_or_else(unsupported)?;
        let found = (resource, capabilities.scope);
        self.0.lock().expect("no holder of this lock panics").insert(wanted, found.clone());
        Ok(found)
    }
}
