//! Waits until pods are up; when one is not, finds out why.

use super::{
    Kube, failure,
    progress::{self, Progress, Reason},
    watched::{Seen, Watched},
};
use crate::cluster::{ClusterError, Pod, PodName};
use k8s_openapi::api::core::v1::{Event, Node, Pod as Object};
use kube::{Api, api::ListParams};
use std::time::Duration;
use tokio::time::Instant;

/// What ended a wait before all pods were up.
struct Stopped {
    pod: PodName,
    reason: Reason,
}

impl Kube {
    /// Waits until all pods are up, in the order given. Fails as soon as one of them cannot come up any more, and at the
    /// deadline, with the first one that is held up.
    pub(super) async fn all_up(
        &self,
        watched: &Watched<Object>,
        names: &[&PodName],
        deadline: Instant,
    ) -> Result<Vec<Pod>, ClusterError> {
        let begun = Instant::now();
        let ended = watched.until(deadline, |seen| match survey(seen, names) {
            Ok(pods) if pods.len() == names.len() => Some(Ok(pods)),
            Ok(_) => None,
            Err(stopped) => Some(Err(stopped)),
        });
        match ended.await {
            Some(Ok(pods)) => Ok(pods),
            Some(Err(Stopped { pod, reason })) => Err(self.explain(pod, reason, watched).await),
            None => {
                let (held, others, problem) = watched.now(|seen| {
                    let mut held =
                        names.iter().filter_map(|name| Some(((*name).clone(), holding(seen, name)?)));
                    let first = held.next();
                    (first, held.count(), seen.problem.clone())
                });
                let Some((pod, mut reason)) = held else {
                    // The last one came up between the deadline and this look.
                    return watched
                        .now(|seen| survey(seen, names))
                        .map_err(|stopped| pod_failed(stopped.pod, None, stopped.reason));
                };
                let waited = begun.elapsed().max(Duration::from_secs(1)).as_secs();
                reason.why = match others {
                    0 => format!("not up after {waited} s: {}", reason.why),
                    _ => format!("not up after {waited} s, like {others} others: {}", reason.why),
                };
                if let Some(problem) = problem {
                    reason.why = format!("{} (the watch on pods does not work: {problem})", reason.why);
                }
                Err(self.explain(pod, reason, watched).await)
            }
        }
    }

    /// Adds what events and the node's condition tell. What cannot be read is left out: the reason stands without it.
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
        // `BackOff` only repeats that the container ended, which its state tells with the reason.
        let telling = events.items.into_iter().filter(|event| event.reason.as_deref() != Some("BackOff"));
        let last = telling.max_by_key(time)?;
        let message = last.message.unwrap_or_default().trim().to_owned();
        Some((last.reason.unwrap_or_default(), message))
    }
}

/// The pods that are up, or the first one that cannot come up.
fn survey(seen: &Seen<Object>, names: &[&PodName]) -> Result<Vec<Pod>, Stopped> {
    let mut up = Vec::with_capacity(names.len());
    for name in names {
        match seen.objects.get(name).map(|object| progress::of(object)) {
            Some(Progress::Up(pod)) => up.push(pod),
            Some(Progress::Failed(reason)) => {
                return Err(Stopped { pod: (*name).clone(), reason });
            }
            Some(Progress::Held(_)) | None => {}
        }
    }
    Ok(up)
}

/// Why a pod is not up; `None` when it is.
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
