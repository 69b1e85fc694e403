//! Finds what earlier runs left behind, and removes it.

use super::{Kube, change::FIELD_MANAGER, failure, object::RUNNER_ANNOTATION};
use crate::cluster::{ClusterError, MANAGED_BY_LABEL, PodName, RUN_LABEL, Wait};
use flowproof_core::scenario::ObjectRef;
use futures::{StreamExt, future::try_join_all, stream};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{self, ApiResource, Scope, verbs},
};
use std::collections::BTreeMap;

/// API groups whose cluster-scoped kinds a scenario may have applied.
const POLICY_GROUPS: &[&str] =
    &["cilium.io", "crd.projectcalico.org", "policy.networking.k8s.io", "projectcalico.org"];

/// How many lists are requested at once.
const AT_ONCE: usize = 16;

/// What all runs left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// By run id.
    pub runs: Vec<Remains>,
    /// Kinds that this user may not list (`plural.group`), so their objects are not among the remains.
    pub unlisted: Vec<String>,
}

/// What a run left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// The run's id.
    pub run: String,
    /// When its oldest object was created.
    pub created: Option<Timestamp>,
    /// Who ran it, and where (`user@host`); empty if no namespace says it.
    pub runner: String,
    /// Its namespaces.
    pub namespaces: Vec<String>,
    /// Its cluster-scoped objects.
    pub objects: Vec<ObjectRef>,
    /// The holders of its shadows, in live namespaces, which are not its own.
    pub holders: Vec<PodName>,
}

impl Kube {
    /// Lists what runs left behind in this cluster, by run id.
    pub async fn runs(&self) -> Result<Found, ClusterError> {
        self.remains(&format!("{RUN_LABEL},{MANAGED_BY_LABEL}=flowproof")).await
    }

    /// Removes everything that carries a run's id, and returns what it was.
    pub async fn remove_run(&self, run: &str, wait: Wait) -> Result<Remains, ClusterError> {
        let found = self.remains(&format!("{RUN_LABEL}={run},{MANAGED_BY_LABEL}=flowproof")).await?;
        let Some(remains) = found.runs.into_iter().next() else {
            return Ok(Remains { run: run.to_owned(), ..Remains::default() });
        };
        try_join_all(remains.objects.iter().map(|object| self.delete_object(object))).await?;
        try_join_all(remains.holders.iter().map(|holder| self.remove_shadows(run, holder, wait))).await?;
        let namespaces = remains.namespaces.iter().map(|name| (name.as_str(), Vec::new())).collect();
        self.remove_namespaces(run, &namespaces, wait).await?;
        Ok(remains)
    }

    async fn remains(&self, selector: &str) -> Result<Found, ClusterError> {
        let parameters = ListParams::default().labels(selector);
        let api: Api<Namespace> = Api::all(self.client.clone());
        let mut runs: BTreeMap<String, Remains> = BTreeMap::new();
        for namespace in failure::request("list namespaces", api.list_metadata(&parameters)).await?.items {
            let Some(remains) =
                entry(&mut runs, namespace.labels(), namespace.creation_timestamp().map(|time| time.0))
            else {
                continue;
            };
            remains.namespaces.push(namespace.name_any());
            if let Some(runner) = namespace.annotations().get(RUNNER_ANNOTATION) {
                remains.runner.clone_from(runner);
            }
        }
        let mut unlisted = Vec::new();
        let holders: Api<Deployment> = Api::all(self.client.clone());
        match failure::answered("list deployments", holders.list_metadata(&parameters)).await? {
            Ok(found) => {
                for holder in found.items {
                    let created = holder.creation_timestamp().map(|time| time.0);
                    if let Some(remains) = entry(&mut runs, holder.labels(), created) {
                        let namespace = holder.namespace().unwrap_or_default();
                        remains.holders.push(PodName::new(namespace, holder.name_any()));
                        if let Some(runner) = holder.annotations().get(RUNNER_ANNOTATION) {
                            remains.runner.clone_from(runner);
                        }
                    }
                }
            }
            Err(status) if status.code == 403 => unlisted.push("deployments.apps".to_owned()),
            Err(status) => return Err(failure::failed("list deployments", &status)),
        }
        for (resource, objects) in self.cluster_scoped(&parameters).await? {
            let Some(objects) = objects else {
                unlisted.push(format!("{}.{}", resource.plural, resource.group));
                continue;
            };
            for object in objects.iter().filter(|object| is_applied(object)) {
                if let Some(remains) =
                    entry(&mut runs, object.labels(), object.creation_timestamp().map(|time| time.0))
                {
                    remains.objects.push(ObjectRef {
                        api_version: resource.api_version.clone(),
                        kind: resource.kind.clone(),
                        namespace: None,
                        name: object.name_any(),
                    });
                }
            }
        }
        unlisted.sort();
        Ok(Found { runs: runs.into_values().collect(), unlisted })
    }

    /// Lists the selected objects of all cluster-scoped kinds of the policy groups that the cluster serves; `None` for
    /// a kind that this user may not list.
    async fn cluster_scoped(
        &self,
        parameters: &ListParams,
    ) -> Result<Vec<(ApiResource, Option<Vec<DynamicObject>>)>, ClusterError> {
        let served = failure::request("list API groups", self.client.list_api_groups()).await?;
        let groups = served.groups.iter().filter(|group| POLICY_GROUPS.contains(&group.name.as_str()));
        let groups = groups.map(|group| async {
            failure::request(
                &format!("list the kinds of {}", group.name),
                discovery::group(&self.client, &group.name),
            )
            .await
        });
        let kinds = try_join_all(groups).await?.into_iter().flat_map(|group| group.recommended_resources());
        let kinds = kinds.filter(|(_, kind)| {
            kind.scope == Scope::Cluster
                && [verbs::LIST, verbs::DELETE].iter().all(|verb| kind.supports_operation(verb))
        });
        let lists = stream::iter(kinds).map(|(resource, _)| async move {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let context = format!("list {}", resource.plural);
            match failure::answered(&context, api.list(parameters)).await? {
                Ok(list) => Ok((resource, Some(list.items))),
                Err(status) if status.code == 403 => Ok((resource, None)),
                // The kind has disappeared since it was discovered, or its server does not list it.
                Err(status) if matches!(status.code, 404 | 405) => Ok((resource, Some(Vec::new()))),
                Err(status) => Err(failure::failed(&context, &status)),
            }
        });
        lists.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
    }
}

/// The entry of the run that an object's labels name; if the object is older, its time becomes that of the entry.
fn entry<'a>(
    runs: &'a mut BTreeMap<String, Remains>,
    labels: &BTreeMap<String, String>,
    created: Option<Timestamp>,
) -> Option<&'a mut Remains> {
    let run = labels.get(RUN_LABEL)?;
    let remains =
        runs.entry(run.clone()).or_insert_with(|| Remains { run: run.clone(), ..Remains::default() });
    remains.created = match (remains.created, created) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (first, second) => first.or(second),
    };
    Some(remains)
}

/// Whether a run applied the object itself. Plugins copy the labels of pods to objects of their own
/// (`CiliumIdentity`), which they remove themselves.
fn is_applied(object: &DynamicObject) -> bool {
    object.managed_fields().iter().any(|fields| fields.manager.as_deref() == Some(FIELD_MANAGER))
}
