//! Changes that a step makes: apply, delete, label.

use super::{
    Kube, failure,
    permission::{self, Permission},
};
use crate::cluster::{Accepted, ClusterError, LabelChange, MANAGED_BY_LABEL, PodName, RUN_LABEL};
use flowproof_core::scenario::ObjectRef;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Resource,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    discovery::{ApiResource, Scope},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fmt::Debug, time::Instant};

/// Who owns the fields that are applied.
pub(super) const FIELD_MANAGER: &str = "flowproof";

impl Kube {
    pub(super) async fn apply_manifest(&self, manifest: &Value) -> Result<Accepted, ClusterError> {
        let object = identify(manifest)?;
        let (api, resource, scope) = self.api(&object).await?;
        let mut manifest = manifest.clone();
        let labels = &mut manifest["metadata"]["labels"];
        if labels.get(RUN_LABEL).is_none() {
            let run =
                self.ledger().run_of(object.namespace.as_deref()).ok_or_else(|| ClusterError::Failed {
                    context: format!("cannot apply {object}"),
                    message: format!("no lane is deployed, and it has no label {RUN_LABEL}"),
                })?;
            labels[RUN_LABEL] = json!(run);
        }
        labels[MANAGED_BY_LABEL] = json!("flowproof");
        let run = labels[RUN_LABEL].as_str().unwrap_or_default().to_owned();
        if scope == Scope::Cluster {
            // Recorded before the request, so that a lost answer does not lose the object.
            self.ledger().applied(&run, &object);
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let context = format!("apply {object}");
        match failure::answered(&context, api.patch(&object.name, &parameters, &Patch::Apply(&manifest)))
            .await?
        {
            Ok(_) => Ok(Accepted { at: Instant::now() }),
            Err(status) => {
                let needed = Permission::new(&resource.group, &resource.plural, "patch");
                let namespace = object.namespace.as_deref();
                Err(permission::refused(&self.client, &needed, namespace, &object.to_string(), &status).await)
            }
        }
    }

    pub(super) async fn delete_object(&self, object: &ObjectRef) -> Result<Accepted, ClusterError> {
        let (api, resource, _) = self.api(object).await?;
        let context = format!("delete {object}");
        match failure::answered(&context, api.delete(&object.name, &DeleteParams::background())).await? {
            Err(status) if status.code != 404 => {
                let needed = Permission::new(&resource.group, &resource.plural, "delete");
                let namespace = object.namespace.as_deref();
                Err(permission::refused(&self.client, &needed, namespace, &object.to_string(), &status).await)
            }
            _ => {
                self.ledger().deleted(object);
                Ok(Accepted { at: Instant::now() })
            }
        }
    }

    pub(super) async fn set_pod_labels(
        &self,
        pod: &PodName,
        labels: &LabelChange,
    ) -> Result<Accepted, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        match set_labels(&api, &pod.name, labels).await? {
            Ok(accepted) => Ok(accepted),
            Err(status) if status.code == 404 => Err(ClusterError::PodGone { pod: pod.clone() }),
            Err(status) => {
                let needed = Permission::new("", "pods", "patch");
                let object = format!("label change of pod {pod}");
                Err(permission::refused(&self.client, &needed, Some(&pod.namespace), &object, &status).await)
            }
        }
    }

    pub(super) async fn set_namespace_labels(
        &self,
        namespace: &str,
        labels: &LabelChange,
    ) -> Result<Accepted, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match set_labels(&api, namespace, labels).await? {
            Ok(accepted) => Ok(accepted),
            Err(status) => {
                let needed = Permission::new("", "namespaces", "patch");
                let object = format!("label change of namespace {namespace}");
                Err(permission::refused(&self.client, &needed, Some(namespace), &object, &status).await)
            }
        }
    }

    /// The API of an object's kind; fails if object and kind disagree about having a namespace.
    async fn api(
        &self,
        object: &ObjectRef,
    ) -> Result<(Api<DynamicObject>, ApiResource, Scope), ClusterError> {
        let (resource, scope) = self.kinds.resolve(&self.client, &object.api_version, &object.kind).await?;
        let client = self.client.clone();
        let api = match (&scope, &object.namespace) {
            (Scope::Cluster, None) => Api::all_with(client, &resource),
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client, namespace, &resource),
            (Scope::Cluster, Some(_)) => {
                return Err(malformed(object, "its kind is cluster-scoped: it has no namespace"));
            }
            (Scope::Namespaced, None) => return Err(malformed(object, "metadata.namespace is missing")),
        };
        Ok((api, resource, scope))
    }
}

type Answer = Result<Accepted, Box<kube::core::Status>>;

async fn set_labels<K>(api: &Api<K>, name: &str, labels: &LabelChange) -> Result<Answer, ClusterError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    // A merge patch removes what is null (RFC 7396).
    let patch = json!({ "metadata": { "labels": labels } });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let answer =
        failure::answered(&format!("label {name}"), api.patch(name, &parameters, &Patch::Merge(&patch)))
            .await?;
    Ok(answer.map(|_| Accepted { at: Instant::now() }))
}

/// Reads which object a manifest is.
fn identify(manifest: &Value) -> Result<ObjectRef, ClusterError> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let field = |value: &Value, name: &str| {
        text(value).ok_or_else(|| ClusterError::Rejected {
            object: "a manifest".into(),
            message: format!("{name} is missing or not text"),
        })
    };
    let labels = &manifest["metadata"]["labels"];
    if !labels.is_null() && !labels.is_object() {
        return Err(ClusterError::Rejected {
            object: "a manifest".into(),
            message: "metadata.labels is not a mapping".into(),
        });
    }
    Ok(ObjectRef {
        api_version: field(&manifest["apiVersion"], "apiVersion")?,
        kind: field(&manifest["kind"], "kind")?,
        namespace: text(&manifest["metadata"]["namespace"]),
        name: field(&manifest["metadata"]["name"], "metadata.name")?,
    })
}

fn malformed(object: &ObjectRef, message: &str) -> ClusterError {
    ClusterError::Rejected { object: object.to_string(), message: message.into() }
}
