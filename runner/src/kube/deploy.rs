//! Creates a lane, everything at once, and waits for its pods; restarts a pod.

use super::{
    Kube, failure,
    headway::{LONGEST, Limits},
    object,
    up::{GivenUp, with_headway},
    watched::{Seen, Watched},
};
use crate::cluster::{ClusterError, Deployed, Lane, Pod, PodName, PodSpec, RUN_LABEL};
use flowproof_core::scenario::Labels;
use futures::{
    FutureExt, StreamExt,
    future::{join, join_all, try_join3},
    stream,
};
use k8s_openapi::api::core::v1::{Namespace, Pod as Object};
use kube::{Api, ResourceExt, api::DeleteParams, runtime::watcher};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Longest time without headway while an old pod terminates (a grace period of 1 s and the node's own work), and while a new one
/// starts.
const RESTART: Duration = Duration::from_mins(1);

/// How many pods of a namespace are created at once, so that a large lane does not run into the API server's limits.
const AT_ONCE: usize = 32;

/// Cluster IPs of Services.
type ClusterIps = Vec<(PodName, Vec<IpAddr>)>;

impl Kube {
    pub(super) async fn deploy_lane(&self, lane: &Lane) -> Result<Deployed, ClusterError> {
        let deadline = Instant::now() + lane.without_headway;
        self.ledger().enter(lane);
        let watched = self.pods_of(&lane.run);
        // Every creation is awaited, even if another one failed: an object that is created after the removal would stay behind.
        let mut namespaces = Vec::new();
        for (name, labels) in &lane.namespaces {
            namespaces.push(self.fill_namespace(lane, name, labels, deadline).boxed());
        }
        let holders = lane.holders();
        let shadows = join_all(holders.iter().map(|holder| self.fill_live(lane, holder).boxed()));
        let (created, shadows) = join(join_all(namespaces), shadows).await;
        shadows.into_iter().collect::<Result<Vec<()>, _>>()?;
        let created: Vec<ClusterIps> = created.into_iter().collect::<Result<_, _>>()?;
        let mut addresses: BTreeMap<PodName, Vec<IpAddr>> = created.into_iter().flatten().collect();
        let services =
            lane.services.iter().map(|spec| addresses.remove(&spec.name).unwrap_or_default()).collect();
        let pods: Vec<&PodSpec> = lane.pods.iter().collect();
        let pods = self.all_up(&watched, &pods, limits(lane.without_headway)).boxed().await?;
        Ok(Deployed { pods, services })
    }

    pub(super) async fn restart_pod(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        let watched = self.pods_of(&pod.run);
        let api: Api<Object> = Api::namespaced(self.client.clone(), &pod.name.namespace);
        let context = format!("delete pod {}", pod.name);
        let Some(old) = failure::request(&context, api.get_opt(&pod.name.name)).await? else {
            return Err(ClusterError::PodGone { pod: pod.name.clone() });
        };
        let old = old.uid();
        match failure::answered(&context, api.delete(&pod.name.name, &DeleteParams::default())).await? {
            Err(status) if status.code != 404 => return Err(failure::failed(&context, &status)),
            _ => {}
        }
        let gone = |seen: &Seen<Object>| {
            let present = seen.objects.get(&pod.name).is_some_and(|object| object.uid() == old);
            (seen.listed && !present).then_some(())
        };
        let ending = |_: &Seen<Object>| vec![(pod, old.clone().unwrap_or_default())];
        if let Err(GivenUp { waited, .. }) = with_headway(&watched, limits(RESTART), gone, ending).await {
            return Err(ClusterError::PodFailed {
                pod: pod.name.clone(),
                node: Some(pod.node.clone()),
                why: format!("the old pod did not end within {} s of its deletion", waited.as_secs()),
                hint: "is the kubelet of its node alive?".into(),
            });
        }
        self.start_pod(pod).await
    }

    pub(super) async fn start_pod(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        let watched = self.pods_of(&pod.run);
        self.create_pod(pod).await?;
        let mut up = self.all_up(&watched, &[pod], limits(RESTART)).boxed().await?;
        Ok(up.remove(0))
    }

    /// The watch on the pods of a run; started when it is first asked for.
    pub(super) fn pods_of(&self, run: &str) -> Arc<Watched<Object>> {
        let mut all = self.pods.lock().expect("no holder of this lock panics");
        let start = || {
            let selector = watcher::Config::default().labels(&format!("{RUN_LABEL}={run}"));
            Arc::new(Watched::start(Api::all(self.client.clone()), selector))
        };
        all.entry(run.to_owned()).or_insert_with(start).clone()
    }

    /// Creates a namespace with its Services and pods.
    async fn fill_namespace(
        &self,
        lane: &Lane,
        name: &str,
        labels: &Labels,
        deadline: Instant,
    ) -> Result<ClusterIps, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        self.create(&api, "namespaces", &object::namespace(lane, name, labels, &self.options)?).await?;
        let services = lane.services.iter().filter(|service| service.name.namespace == name);
        let services = join_all(services.map(|service| self.create_service(service, &lane.run)));
        let here: Vec<&PodSpec> = lane.pods.iter().filter(|pod| pod.name.namespace == name).collect();
        let mut pods = Vec::new();
        for pod in &here {
            pods.push(self.create_pod(pod).boxed());
        }
        let pods = async {
            let Some(first) = here.first() else { return Ok(()) };
            try_join3(
                self.await_service_account(name, deadline),
                self.copy_pull_secrets(name, &lane.run),
                self.deliver_to(first),
            )
            .await?;
            let created = stream::iter(pods).buffer_unordered(AT_ONCE);
            created.collect::<Vec<_>>().await.into_iter().collect()
        };
        let (services, pods) = join(services, pods).await;
        pods?;
        services.into_iter().collect()
    }
}

fn limits(without_headway: Duration) -> Limits {
    Limits { without_headway, in_all: LONGEST.max(without_headway) }
}
