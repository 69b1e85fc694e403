//! Shadows of live workloads: what a shadow takes from its workload, the holders of shadows, and the removal of both.
//!
//! A shadow is in a namespace that is not the run's, so everything here checks before it deletes: only pods that belong to a
//! holder of the run, and only holders that carry the run's id.

use super::{
    Kube, failure, object,
    permission::{self, Permission, SHADOWS},
};
use crate::cluster::{ClusterError, Lane, PodName, PodSpec, RUN_LABEL, Template, Wait};
use flowproof_core::scenario::{Labels, Like, LikeKind};
use futures::future::join_all;
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{Pod, PodTemplateSpec, Service},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, fmt::Debug, time::Duration};
use tokio::time::Instant;

/// Limit for the shadows of a lane to be gone after their deletion: a grace period of 1 s and the node's own work.
const GONE_DEADLINE: Duration = Duration::from_mins(1);

/// Labels that name one generation of pods, or one pod. Controllers find their pods by them, so a shadow must not have them. A
/// policy that selects by them is about those pods only.
const OF_ONE: &[&str] = &[
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

impl Kube {
    pub(super) async fn template_of(&self, like: &Like) -> Result<Template, ClusterError> {
        self.may_shadow.get_or_try_init(|| permission::check(&self.client, SHADOWS)).await?;
        let pods = match like.kind {
            LikeKind::Deployment => self.workload::<Deployment>(like).await?.spec.template,
            LikeKind::StatefulSet => self.workload::<StatefulSet>(like).await?.spec.template,
            LikeKind::DaemonSet => self.workload::<DaemonSet>(like).await?.spec.template,
            LikeKind::Job => {
                self.workload::<Job>(like).await?.spec.map(|spec| spec.template).unwrap_or_default()
            }
            LikeKind::Pod => {
                let pod = self.workload::<Pod>(like).await?;
                PodTemplateSpec { metadata: Some(pod.metadata), spec: pod.spec }
            }
        };
        let spec = pods.spec.unwrap_or_default();
        let refused = |message: &str| ClusterError::Rejected {
            object: format!("a shadow of {like}"),
            message: message.to_owned(),
        };
        if spec.host_network == Some(true) {
            return Err(refused(
                "it uses its node's network: policies take it for its node, and a shadow would want its ports",
            ));
        }
        let labels: Labels = pods.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        let labels: Labels = labels.into_iter().filter(|(key, _)| !OF_ONE.contains(&key.as_str())).collect();
        if labels.contains_key(RUN_LABEL) {
            return Err(refused("it is a shadow, or a pod of a run, itself"));
        }
        let tolerations = spec.tolerations.unwrap_or_default();
        Ok(Template {
            labels,
            service_account: spec.service_account_name.unwrap_or_else(|| "default".into()),
            node_selector: spec.node_selector.unwrap_or_default(),
            tolerations: tolerations.iter().filter_map(|one| serde_json::to_value(one).ok()).collect(),
        })
    }

    async fn workload<K>(&self, like: &Like) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &like.namespace);
        let context = format!("read {like}");
        failure::request(&context, api.get_opt(&like.name)).await?.ok_or_else(|| ClusterError::Failed {
            context: "a shadow cannot be made".into(),
            message: format!("the cluster has no {like}"),
        })
    }

    /// Creates the holder of the shadows of a namespace, then the shadows.
    pub(super) async fn fill_live(&self, lane: &Lane, holder: &PodName) -> Result<(), ClusterError> {
        let of_holder = |pod: &&PodSpec| {
            pod.name.namespace == holder.namespace
                && pod.shadow.as_ref().is_some_and(|shadow| shadow.holder == holder.name)
        };
        let shadows: Vec<&PodSpec> = lane.pods.iter().filter(of_holder).collect();
        let Some(first) = shadows.first() else { return Ok(()) };
        if !self.options.pull_secrets.is_empty() {
            return Err(ClusterError::Rejected {
                object: format!("pod {}", first.name),
                message: "a run copies no pull secret into a live namespace: load the image onto the nodes, or let the workload's service account pull it".into(),
            });
        }
        if self.options.capture {
            return Err(ClusterError::Rejected {
                object: format!("pod {}", first.name),
                message: "with --capture probers run as root with NET_RAW, and a run puts no such pod into a live namespace".into(),
            });
        }
        self.no_traffic(&shadows).await?;
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &holder.namespace);
        let object = object::holder(&lane.run, holder, first, &self.options, self.around())?;
        let created = self.create_in(&api, ("apps", "deployments"), &object).await?;
        self.ledger().held(holder, created.uid().unwrap_or_default());
        self.deliver_to(first).await?;
        let created = join_all(shadows.iter().map(|pod| self.create_pod(pod))).await;
        created.into_iter().collect()
    }

    /// Fails if a Service would send traffic to one of the shadows although it is never ready.
    async fn no_traffic(&self, shadows: &[&PodSpec]) -> Result<(), ClusterError> {
        let Some(namespace) = shadows.first().map(|pod| &pod.name.namespace) else { return Ok(()) };
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let services = failure::request("list Services", api.list(&ListParams::default())).await?;
        for service in services.items {
            let name = service.name_any();
            // The older way to say the same; old Services still have it.
            let tolerates = service
                .annotations()
                .get("service.alpha.kubernetes.io/tolerate-unready-endpoints")
                .is_some_and(|value| value == "true");
            let Some(spec) = service.spec else { continue };
            let selector = spec.selector.unwrap_or_default();
            if selector.is_empty() || !(tolerates || spec.publish_not_ready_addresses == Some(true)) {
                continue;
            }
            let selects =
                |pod: &&&PodSpec| selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
            if let Some(pod) = shadows.iter().find(selects) {
                return Err(ClusterError::Rejected {
                    object: format!("shadow {}", pod.name),
                    message: format!(
                        "Service {namespace}/{name} sends traffic also to pods that are not ready (publishNotReadyAddresses): its clients would reach the shadow"
                    ),
                });
            }
        }
        Ok(())
    }

    /// The owner reference from a shadow to its holder.
    pub(super) fn owner(&self, pod: &PodSpec) -> Result<Option<OwnerReference>, ClusterError> {
        let Some(shadow) = &pod.shadow else { return Ok(None) };
        let holder = PodName::new(&pod.name.namespace, &shadow.holder);
        let uid = self.ledger().uid_of(&holder).ok_or_else(|| ClusterError::Failed {
            context: format!("create pod {}", pod.name),
            message: format!("its holder {holder} is gone"),
        })?;
        Ok(Some(OwnerReference {
            api_version: Deployment::api_version(&()).into(),
            kind: Deployment::kind(&()).into(),
            name: shadow.holder.clone(),
            uid,
            controller: Some(true),
            block_owner_deletion: None,
        }))
    }

    /// Removes shadows and their holder. Whatever else is in the namespace, and the namespace itself, is left alone.
    pub(super) async fn remove_shadows(
        &self,
        run: &str,
        holder: &PodName,
        wait: Wait,
    ) -> Result<(), ClusterError> {
        let deadline = Instant::now() + GONE_DEADLINE;
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &holder.namespace);
        let context = format!("delete deployment {holder}");
        let found = failure::request(&context, api.get_metadata_opt(&holder.name)).await?;
        let found = found.filter(|found| found.labels().get(RUN_LABEL).map(String::as_str) == Some(run));
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &holder.namespace);
        let selector = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
        let held: Vec<Pod> = failure::request("list shadows", pods.list(&selector)).await?.items;
        let held: Vec<Pod> = held.into_iter().filter(|pod| is_held(pod, holder)).collect();
        let ended = join_all(held.iter().map(|pod| self.delete_held(&pods, pod))).await;
        ended.into_iter().collect::<Result<Vec<()>, _>>()?;
        if let Some(found) = found {
            // Shadows that were created in the meantime are garbage-collected with the holder.
            let same = Preconditions { uid: found.uid(), ..Preconditions::default() };
            let parameters = DeleteParams::background().preconditions(same);
            match failure::answered(&context, api.delete(&holder.name, &parameters)).await? {
                Err(status) if !matches!(status.code, 404 | 409) => {
                    let needed = Permission::new("apps", "deployments", "delete");
                    let what = format!("deletion of deployment {holder}");
                    let namespace = Some(holder.namespace.as_str());
                    return Err(permission::refused(&self.client, &needed, namespace, &what, &status).await);
                }
                _ => self.ledger().let_go(holder),
            }
        }
        if wait == Wait::UntilGone { self.shadows_gone(run, holder, deadline).await } else { Ok(()) }
    }

    async fn delete_held(&self, api: &Api<Pod>, pod: &Pod) -> Result<(), ClusterError> {
        let name = pod.name_any();
        let same = Preconditions { uid: pod.uid(), ..Preconditions::default() };
        let parameters = DeleteParams::default().preconditions(same);
        let context = format!("delete shadow {name}");
        match failure::answered(&context, api.delete(&name, &parameters)).await? {
            Err(status) if !matches!(status.code, 404 | 409) => Err(failure::failed(&context, &status)),
            _ => Ok(()),
        }
    }

    async fn shadows_gone(&self, run: &str, holder: &PodName, deadline: Instant) -> Result<(), ClusterError> {
        let watched = self.pods_of(run);
        let left = |objects: &std::collections::BTreeMap<PodName, std::sync::Arc<Pod>>| -> BTreeSet<String> {
            let held = objects
                .values()
                .filter(|pod| pod.namespace().as_ref() == Some(&holder.namespace) && is_held(pod, holder));
            held.map(|pod| pod.name_any()).collect()
        };
        let gone =
            watched.until(deadline, |seen| (seen.listed && left(&seen.objects).is_empty()).then_some(()));
        if gone.await.is_some() {
            return Ok(());
        }
        let (left, problem) = watched.now(|seen| (left(&seen.objects), seen.problem.clone()));
        let names: Vec<String> = left.into_iter().collect();
        Err(ClusterError::Failed {
            context: format!(
                "shadows in {} not gone {} s after their deletion: {}",
                holder.namespace,
                GONE_DEADLINE.as_secs(),
                names.join(", ")
            ),
            message: problem.unwrap_or_else(|| "a dead node or a finalizer may hold them".into()),
        })
    }
}

/// Whether a pod belongs to a holder.
fn is_held(pod: &Pod, holder: &PodName) -> bool {
    pod.owner_references().iter().any(|owner| {
        owner.controller == Some(true) && owner.kind == "Deployment" && owner.name == holder.name
    })
}
