//! Removes lanes, and the namespaces of runs.

use super::{
    Kube, failure,
    permission::{self, Permission},
    watched::Watched,
};
use crate::cluster::{ClusterError, Lane, PodName, RUN_LABEL, Wait};
use futures::future::{join, join_all, join3};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::watcher,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Limit for namespaces to be gone after their deletion was accepted. Their pods take a few seconds to terminate; with a dead
/// kubelet, they stay until the node controller evicts them.
const GONE_DEADLINE: Duration = Duration::from_mins(2);

impl Kube {
    pub(super) async fn remove_lane(&self, lane: &Lane, wait: Wait) -> Result<(), ClusterError> {
        let objects = self.ledger().leave(lane);
        let objects = join_all(objects.iter().map(|object| self.delete_object(object)));
        let pods_of = |namespace: &str| {
            let pods = lane.pods.iter().filter(|pod| pod.name.namespace == namespace);
            pods.map(|pod| pod.name.name.as_str()).collect::<Vec<_>>()
        };
        let namespaces = lane.namespaces.keys().map(|name| (name.as_str(), pods_of(name))).collect();
        let holders = lane.holders();
        let shadows = join_all(holders.iter().map(|holder| self.remove_shadows(&lane.run, holder, wait)));
        let (objects, shadows, namespaces) =
            join3(objects, shadows, self.remove_namespaces(&lane.run, &namespaces, wait)).await;
        objects.into_iter().collect::<Result<Vec<_>, _>>()?;
        shadows.into_iter().collect::<Result<Vec<()>, _>>()?;
        namespaces
    }

    /// Deletes those of the namespaces that carry the run's id. Their known pods are deleted, too, because the namespace controller
    /// waits for seconds before it handles a deletion.
    pub(super) async fn remove_namespaces(
        &self,
        run: &str,
        namespaces: &BTreeMap<&str, Vec<&str>>,
        wait: Wait,
    ) -> Result<(), ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let deadline = Instant::now() + GONE_DEADLINE;
        let selector = watcher::Config::default().labels(&format!("{RUN_LABEL}={run}"));
        let watched = (wait == Wait::UntilGone).then(|| Watched::start(api.clone(), selector));
        let deleted = namespaces.iter().map(|(name, pods)| self.remove_namespace(&api, run, name, pods));
        let deleted = join_all(deleted).await;
        deleted.into_iter().collect::<Result<Vec<()>, _>>()?;
        let Some(watched) = watched else { return Ok(()) };
        let left = |objects: &BTreeMap<PodName, _>| {
            objects
                .keys()
                .filter(|key| namespaces.contains_key(key.name.as_str()))
                .map(|key| key.name.clone())
                .collect::<Vec<_>>()
        };
        let gone =
            watched.until(deadline, |seen| (seen.listed && left(&seen.objects).is_empty()).then_some(()));
        if gone.await.is_some() {
            return Ok(());
        }
        let (left, problem) = watched.now(|seen| (left(&seen.objects), seen.problem.clone()));
        let problem = problem.unwrap_or_else(|| "a dead node or a finalizer may hold them".into());
        Err(ClusterError::Failed {
            context: format!(
                "namespaces not gone {} s after their deletion: {}",
                GONE_DEADLINE.as_secs(),
                left.join(", ")
            ),
            message: problem,
        })
    }

    /// Deletes a namespace and these of its pods, if it carries the run's id. A namespace that is gone or somebody else's is left alone.
    async fn remove_namespace(
        &self,
        api: &Api<Namespace>,
        run: &str,
        name: &str,
        pods: &[&str],
    ) -> Result<(), ClusterError> {
        let context = format!("delete namespace {name}");
        let Some(namespace) = failure::request(&context, api.get_metadata_opt(name)).await? else {
            return Ok(());
        };
        let ours = namespace.labels().get(RUN_LABEL).map(String::as_str) == Some(run);
        if !ours || namespace.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        // Only the namespace that was looked at, not one of the same name that was created since.
        let same = Preconditions { uid: namespace.uid(), ..Preconditions::default() };
        let parameters = DeleteParams::background().preconditions(same);
        let of_pods: Api<Pod> = Api::namespaced(self.client.clone(), name);
        let as_usual = DeleteParams::default();
        let pods = pods.iter().map(|pod| failure::answered(&context, of_pods.delete(pod, &as_usual)));
        // A pod that cannot be deleted here is deleted with its namespace.
        let (deleted, _) =
            join(failure::answered(&context, api.delete(name, &parameters)), join_all(pods)).await;
        match deleted? {
            // 404: gone; 409: already being deleted, or another one of the same name.
            Err(status) if !matches!(status.code, 404 | 409) => {
                let needed = Permission::new("", "namespaces", "delete");
                Err(permission::refused(
                    &self.client,
                    &needed,
                    None,
                    &format!("deletion of namespace {name}"),
                    &status,
                )
                .await)
            }
            _ => Ok(()),
        }
    }
}
