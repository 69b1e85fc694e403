//! Creates single objects of a lane, and what a pod needs before it can be created.

use super::{
    Kube, failure, object,
    permission::{self, Permission},
    watched::Watched,
};
use crate::cluster::{ClusterError, PodName, PodSpec, ServiceSpec};
use flowproof_core::scenario::{Labels, name::Qualified};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use kube::{Api, Resource, ResourceExt, api::PostParams, runtime::watcher};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, net::IpAddr};
use tokio::time::Instant;

impl Kube {
    /// Creates an object. `resource` is its kind's plural in the core group; it is needed to find out why the object was refused.
    pub(super) async fn create<K>(&self, api: &Api<K>, resource: &str, object: &K) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
    {
        self.create_in(api, ("", resource), object).await
    }

    /// Creates an object of another group.
    pub(super) async fn create_in<K>(
        &self,
        api: &Api<K>,
        (group, resource): (&str, &str),
        object: &K,
    ) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
    {
        let namespace = object.namespace();
        let name = match &namespace {
            Some(namespace) => format!("{} {namespace}/{}", K::kind(&()), object.name_any()),
            None => format!("{} {}", K::kind(&()), object.name_any()),
        };
        match failure::answered(&format!("create {name}"), api.create(&PostParams::default(), object)).await?
        {
            Ok(created) => Ok(created),
            Err(status) => {
                let needed = Permission::new(group, resource, "create");
                Err(permission::refused(&self.client, &needed, namespace.as_deref(), &name, &status).await)
            }
        }
    }

    pub(super) async fn create_pod(&self, pod: &PodSpec) -> Result<(), ClusterError> {
        let mut object = object::pod(pod, &self.options, self.around())?;
        object.metadata.owner_references = self.owner(pod)?.map(|owner| vec![owner]);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.name.namespace);
        self.create(&api, "pods", &object).await.map(drop)
    }

    /// Creates what delivers the prober to the pods of this pod's namespace.
    pub(super) async fn deliver_to(&self, pod: &PodSpec) -> Result<(), ClusterError> {
        let labels = object::labels_of(&pod.run, &Labels::new());
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &pod.name.namespace);
        let owner = self.owner(pod)?;
        for object in self.around().delivery.config_maps(pod, &labels, owner.as_ref()) {
            self.create(&api, "configmaps", &object).await?;
        }
        Ok(())
    }

    /// Creates a Service and returns its cluster IPs.
    pub(super) async fn create_service(
        &self,
        service: &ServiceSpec,
        run: &str,
    ) -> Result<(PodName, Vec<IpAddr>), ClusterError> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), &service.name.namespace);
        let created = self.create(&api, "services", &object::service(service, run)?).await?;
        let addresses = created.spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
        Ok((service.name.clone(), addresses.iter().filter_map(|address| address.parse().ok()).collect()))
    }

    /// Waits until a namespace has its `default` service account, without which no pod is admitted to it.
    pub(super) async fn await_service_account(
        &self,
        namespace: &str,
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let accounts = Watched::start(api, watcher::Config::default().fields("metadata.name=default"));
        let there = accounts.until(deadline, |seen| (!seen.objects.is_empty()).then_some(())).await;
        there.ok_or_else(|| {
            let problem = accounts.now(|seen| seen.problem.clone());
            ClusterError::Failed {
                context: format!("create pods in namespace {namespace}"),
                message: problem.unwrap_or_else(|| {
                    "its service account 'default' did not appear: does the controller manager run?".into()
                }),
            }
        })
    }

    /// Copies the pull secrets into a namespace.
    pub(super) async fn copy_pull_secrets(&self, namespace: &str, run: &str) -> Result<(), ClusterError> {
        try_join_all(self.options.pull_secrets.iter().map(|secret| self.copy_secret(secret, namespace, run)))
            .await
            .map(drop)
    }

    async fn copy_secret(&self, secret: &Qualified, namespace: &str, run: &str) -> Result<(), ClusterError> {
        let source: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let context = format!("read pull secret {secret}");
        let original = failure::request(&context, source.get(&secret.name)).await?;
        let mut copy = Secret { data: original.data, type_: original.type_, ..Secret::default() };
        copy.metadata.name = Some(secret.name.clone());
        copy.metadata.namespace = Some(namespace.to_owned());
        copy.metadata.labels = Some(object::labels_of(run, &Labels::new()));
        let target: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        self.create(&target, "secrets", &copy).await.map(drop)
    }
}
