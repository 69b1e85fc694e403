//! Waits until pods are up; if one does not come up, finds out why.

use super::{
    Kube, failure,
    headway::{Awaited, Decision, Headway, Limits, Sight},
    progress::{self, Progress, Reason},
    watched::{Seen, Watched},
};
use crate::cluster::{ClusterError, Pod, PodName, PodSpec};
use k8s_openapi::api::core::v1::{Event, Node, Pod as Object};
use kube::{Api, api::ListParams};
use std::time::Duration;
use tokio::time::Instant;

/// What ended a wait before all pods were up.
struct Stopped {
    pod: PodName,
    reason: Reason,
}

/// Why a wait was given up, and after how long.
pub(super) struct GivenUp {
    pub(super) decision: Decision,
    pub(super) waited: Duration,
}

impl Kube {
    /// Waits until all pods are up, and returns them in the order given. Fails as soon as one of them can no longer come up, or is
    /// held up for too long.
    pub(super) async fn all_up(
        &self,
        watched: &Watched<Object>,
        pods: &[&PodSpec],
        limits: Limits,
    ) -> Result<Vec<Pod>, ClusterError> {
        let find = |seen: &Seen<Object>| match survey(seen, pods) {
            Ok(up) if up.len() == pods.len() => Some(Ok(up)),
            Ok(_) => None,
            Err(stopped) => Some(Err(stopped)),
        };
        match with_headway(watched, limits, find, |seen| held(seen, pods)).await {
            Ok(Ok(up)) => Ok(up),
            Ok(Err(Stopped { pod, reason })) => Err(self.explain(pod, reason, watched).await),
            Err(given_up) => Err(self.given_up(&given_up, pods, watched).await),
        }
    }

    /// Says why the pod to blame is not up.
    async fn given_up(
        &self,
        GivenUp { decision, waited }: &GivenUp,
        pods: &[&PodSpec],
        watched: &Watched<Object>,
    ) -> ClusterError {
        let (reason, problem) = watched.now(|seen| {
            let held = held(seen, pods);
            let index = match decision {
                Decision::Stalled { pod, .. } | Decision::Slow { pod } => *pod,
                Decision::Wait { .. } => 0,
            };
            let pod = held.get(index).or(held.first()).map(|(pod, _)| &pod.name);
            let why = pod.and_then(|pod| Some((pod.clone(), holding(seen, pod)?)));
            let words = decision.words(*waited, held.len().saturating_sub(1));
            (why.map(|(pod, reason)| (pod, reason, words.unwrap_or_default())), seen.problem.clone())
        });
        let Some((pod, mut reason, words)) = reason else {
            return ClusterError::Failed {
                context: "waiting for pods".into(),
                message: "the last one came up when its time was over".into(),
            };
        };
        reason.why = format!("{words}: {}", reason.why);
        if let Some(problem) = problem {
            reason.why = format!("{} (the watch on pods does not work: {problem})", reason.why);
        }
        self.explain(pod, reason, watched).await
    }

    /// Adds what events and the node's conditions say. What cannot be read is left out.
    async fn explain(&self, pod: PodName, mut reason: Reason, watched: &Watched<Object>) -> ClusterError {
        let object = watched.now(|seen| seen.objects.get(&pod).cloned());
        if let Some((warning, message)) = self.last_warning(&pod).await
            && !reason.why.contains(&message)
        {
            reason.why = format!("{}; last warning: {warning}: {message}", reason.why);
        }
        let node = object.and_then(|object| object.spec.as_ref().and_then(|spec| spec.node_name.clone()));
        if let Some(name) = &node {
            let api: Api<Node> = Api::all(self.client.clone());
            if let Ok(node) = failure::request("read a node", api.get(name)).await
                && let Some(unusable) = super::describe::unusable(&node, jiff::Timestamp::now())
            {
                reason.why = format!("{}; node {name} is {unusable}", reason.why);
                reason.hint = format!("look at node {name}: `kubectl describe node {name}`");
            }
        }
        pod_failed(pod, node, reason)
    }

    /// Reason and message of the last warning about a pod.
    async fn last_warning(&self, pod: &PodName) -> Option<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &pod.namespace);
        let selector = format!("involvedObject.kind=Pod,involvedObject.name={},type=Warning", pod.name);
        let events =
            failure::request("list events", api.list(&ListParams::default().fields(&selector))).await.ok()?;
        let time = |event: &Event| {
            let last = event.last_timestamp.as_ref().map(|time| time.0);
            last.or_else(|| event.event_time.as_ref().map(|time| time.0))
        };
        // `BackOff` only repeats that the container ended; the container's state says so with the reason.
        let telling = events.items.into_iter().filter(|event| event.reason.as_deref() != Some("BackOff"));
        let last = telling.max_by_key(time)?;
        let message = last.message.unwrap_or_default().trim().to_owned();
        Some((last.reason.unwrap_or_default(), message))
    }
}

/// Waits until the closure finds what it looks for, as long as there is headway on the nodes of the pods that are held up.
pub(super) async fn with_headway<'a, T>(
    watched: &Watched<Object>,
    limits: Limits,
    mut find: impl FnMut(&Seen<Object>) -> Option<T>,
    held: impl Fn(&Seen<Object>) -> Vec<(&'a PodSpec, String)>,
) -> Result<T, GivenUp> {
    let begun = Instant::now();
    let mut headway = Headway::new(limits);
    loop {
        let decision = watched.now(|seen| {
            let now = begun.elapsed();
            headway.look(now, sights(seen));
            let held = held(seen);
            let awaited: Vec<_> =
                held.iter().map(|(pod, uid)| Awaited { uid, node: pod.node.as_str() }).collect();
            headway.decide(now, &awaited)
        });
        let Decision::Wait { until } = decision else {
            return Err(GivenUp { decision, waited: begun.elapsed() });
        };
        let found = watched.until(begun + until, |seen| {
            headway.look(begun.elapsed(), sights(seen));
            find(seen)
        });
        if let Some(found) = found.await {
            return Ok(found);
        }
    }
}

/// All pods of the run.
fn sights(seen: &Seen<Object>) -> impl Iterator<Item = Sight<'_>> {
    seen.objects.values().map(|object| Sight {
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        node: object.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default(),
        stage: progress::stage(object),
    })
}

/// The pods that are not up, with their uids (empty for pods that were not seen).
fn held<'a>(seen: &Seen<Object>, pods: &[&'a PodSpec]) -> Vec<(&'a PodSpec, String)> {
    let is_held = |pod: &&&PodSpec| holding(seen, &pod.name).is_some();
    let uid = |pod: &PodSpec| seen.objects.get(&pod.name).and_then(|object| object.metadata.uid.clone());
    pods.iter().filter(is_held).map(|pod| (*pod, uid(pod).unwrap_or_default())).collect()
}

/// The pods if they are up, or the first one that cannot come up.
fn survey(seen: &Seen<Object>, pods: &[&PodSpec]) -> Result<Vec<Pod>, Stopped> {
    let mut up = Vec::with_capacity(pods.len());
    for PodSpec { name, .. } in pods {
        match seen.objects.get(name).map(|object| progress::of(object)) {
            Some(Progress::Up(pod)) => up.push(pod),
            Some(Progress::Failed(reason)) => {
                return Err(Stopped { pod: name.clone(), reason });
            }
            Some(Progress::Held(_)) | None => {}
        }
    }
    Ok(up)
}

/// Why a pod is not up; `None` if it is.
fn holding(seen: &Seen<Object>, name: &PodName) -> Option<Reason> {
    let Some(object) = seen.objects.get(name) else {
        return Some(Reason { why: "the watch has not shown it".into(), hint: String::new() });
    };
    match progress::of(object) {
        Progress::Up(_) => None,
        Progress::Held(reason) | Progress::Failed(reason) => Some(reason),
    }
}

fn pod_failed(pod: PodName, node: Option<String>, reason: Reason) -> ClusterError {
    ClusterError::PodFailed { pod, node, why: reason.why, hint: reason.hint }
}
