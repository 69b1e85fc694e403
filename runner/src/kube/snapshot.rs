//! Reads a cluster's namespaces, nodes, pods, Services and policies; changes nothing.

use super::{Kube, KubeOptions, failure};
use crate::cluster::ClusterError;
use flowproof_core::{
    scenario::{Manifest, ObjectRef},
    snapshot::Snapshot,
    text::{Places, Position},
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::Value;

/// Objects in one response of the API server: a large cluster is read in pages.
const PAGE: u32 = 500;

/// Kinds that every cluster has.
const ALWAYS: &[(&str, &str, &str)] = &[
    ("", "v1", "Namespace"),
    ("", "v1", "Node"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
];

/// Kinds that some clusters have: the first version of a kind that is served counts.
const SOMETIMES: &[(&str, &[&str], &str)] = &[
    ("policy.networking.k8s.io", &["v1beta1", "v1alpha2"], "ClusterNetworkPolicy"),
    ("policy.networking.k8s.io", &["v1alpha1"], "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", &["v1alpha1"], "BaselineAdminNetworkPolicy"),
    ("cilium.io", &["v2"], "CiliumNetworkPolicy"),
    ("cilium.io", &["v2"], "CiliumClusterwideNetworkPolicy"),
    ("crd.projectcalico.org", &["v1"], "GlobalNetworkPolicy"),
    ("crd.projectcalico.org", &["v1"], "NetworkPolicy"),
];

/// A cluster's state, and which cluster it is.
#[derive(Debug)]
pub struct Reached {
    /// Its state.
    pub snapshot: Snapshot,
    /// The kubeconfig's context.
    pub context: String,
    /// The address of the API server.
    pub server: String,
}

/// Reads the cluster that the options choose.
pub async fn read(options: KubeOptions) -> Result<Reached, ClusterError> {
    let kube = Kube::connect(options).await?;
    let snapshot = kube.read_all().await?;
    Ok(Reached { snapshot, context: kube.context().to_owned(), server: kube.server().to_owned() })
}

impl Kube {
    pub(super) async fn read_all(&self) -> Result<Snapshot, ClusterError> {
        read_all(&self.client).await
    }
}

async fn read_all(client: &Client) -> Result<Snapshot, ClusterError> {
    let mut snapshot = Snapshot::default();
    for (group, version, kind) in ALWAYS {
        match list(client, group, version, kind).await? {
            Ok(objects) => add(&mut snapshot, group, version, kind, objects),
            // Without nodes, only one thing is unknown: which pods share a node.
            Err(status) if status.code == 403 && *kind == "Node" => {}
            Err(status) => return Err(failure::failed(&format!("list {kind} objects"), &status)),
        }
    }
    for (group, versions, kind) in SOMETIMES {
        for version in *versions {
            match list(client, group, version, kind).await? {
                Ok(objects) => {
                    add(&mut snapshot, group, version, kind, objects);
                    break;
                }
                Err(status) if status.code == 404 => {}
                Err(status) if status.code == 403 => {
                    snapshot.left_out.push(format!("{kind} objects, which may not be read"));
                    snapshot.other_kinds.push(ObjectRef {
                        api_version: format!("{group}/{version}"),
                        kind: (*kind).to_owned(),
                        namespace: None,
                        name: String::new(),
                    });
                    break;
                }
                Err(status) => return Err(failure::failed(&format!("list {kind} objects"), &status)),
            }
        }
    }
    Ok(snapshot)
}

async fn list(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
) -> Result<Result<Vec<DynamicObject>, Box<kube::core::Status>>, ClusterError> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut found = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let context = format!("list {kind} objects");
        let page = match failure::answered(&context, api.list(&parameters)).await? {
            Ok(page) => page,
            Err(status) => return Ok(Err(status)),
        };
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(Ok(found)),
        }
    }
}

fn add(snapshot: &mut Snapshot, group: &str, version: &str, kind: &str, objects: Vec<DynamicObject>) {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    for object in objects {
        let reference = ObjectRef {
            api_version: api_version.clone(),
            kind: kind.to_owned(),
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone().unwrap_or_default(),
        };
        let mut value = serde_json::to_value(&object).unwrap_or(Value::Null);
        // The items of a list come without `kind` and `apiVersion`.
        value["kind"] = kind.into();
        value["apiVersion"] = api_version.as_str().into();
        let at = Position { file: reference.to_string(), line: 1, column: 1 };
        snapshot.add(&Manifest { object: reference, value, at, places: Places::default() });
    }
}
