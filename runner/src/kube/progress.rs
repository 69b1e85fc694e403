//! How far a pod has come until its prober can be attached, and what holds it up.

use super::headway::Stage;
use crate::cluster::{Pod, PodName};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as Object};

/// How often a prober may end before its pod counts as broken.
const RESTARTS: i32 = 2;

/// How far a pod has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// It runs and has its addresses.
    Up(Pod),
    /// It may still come up.
    Held(Reason),
    /// It will not come up without somebody's help.
    Failed(Reason),
}

/// What holds a pod up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// Reason and message, as the cluster puts them.
    pub(super) why: String,
    /// What would help.
    pub(super) hint: String,
}

/// Judges a pod by its status.
pub(super) fn of(pod: &Object) -> Progress {
    let name = PodName::new(
        pod.metadata.namespace.clone().unwrap_or_default(),
        pod.metadata.name.clone().unwrap_or_default(),
    );
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    let Some(status) = &pod.status else {
        return held("the API server has no status of it yet", "");
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return failed("somebody deleted it".to_owned(), "");
    }
    if status.phase.as_deref() == Some("Failed") {
        let why = reason(status.reason.as_ref(), status.message.as_ref());
        return failed(format!("node {node} refused or ended it: {why}"), "");
    }
    // The sidecar starts first, and holds up the prober until it runs.
    let sidecar = status.init_container_statuses.iter().flatten().find(|container| !is_running(container));
    if let Some(container) = sidecar.or_else(|| status.container_statuses.iter().flatten().next()) {
        return container_progress(container, || {
            let addresses = status
                .pod_ips
                .iter()
                .flatten()
                .filter_map(|address| address.ip.parse().ok())
                .collect::<Vec<_>>();
            if addresses.is_empty() {
                return held("it runs, but has no address yet", "");
            }
            Progress::Up(Pod { name, addresses, node })
        });
    }
    match status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled") {
        Some(condition) if condition.status != "True" => held(
            &reason(condition.reason.as_ref(), condition.message.as_ref()),
            "a taint needs a toleration, a full node needs room, a cordoned node needs `kubectl uncordon`",
        ),
        Some(_) => {
            held(&format!("node {node} has not reported on it yet"), "is the kubelet of that node alive?")
        }
        None => held("the scheduler has not looked at it yet", "does the scheduler run?"),
    }
}

/// How far a pod has come, by its status.
pub(super) fn stage(pod: &Object) -> Stage {
    let status = pod.status.as_ref();
    let condition = |kind: &str| {
        let conditions = status.and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().find(|condition| condition.type_ == kind)
    };
    let holds = |kind: &str| condition(kind).is_some_and(|condition| condition.status == "True");
    let has_address = status.and_then(|status| status.pod_ips.as_ref()).is_some_and(|all| !all.is_empty());
    let reported = status.is_some_and(|status| {
        status.start_time.is_some() || status.container_statuses.as_ref().is_some_and(|all| !all.is_empty())
    });
    if matches!(of(pod), Progress::Up(_)) {
        Stage::Up
    } else if has_address || holds("PodReadyToStartContainers") {
        Stage::Connected
    } else if reported {
        Stage::Taken
    } else if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
        Stage::Scheduled
    } else if condition("PodScheduled").is_some() {
        Stage::Unplaced
    } else {
        Stage::Known
    }
}

fn is_running(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn container_progress(container: &ContainerStatus, up: impl FnOnce() -> Progress) -> Progress {
    if is_running(container) {
        return up();
    }
    let state = container.state.as_ref();
    let ended = state
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| container.last_state.as_ref().and_then(|state| state.terminated.as_ref()));
    if let Some(ended) = ended {
        let why = format!(
            "the prober ended {} times, last with exit code {}: {}",
            container.restart_count + 1,
            ended.exit_code,
            reason(ended.reason.as_ref(), ended.message.as_ref())
        );
        let hint = "is the image for this node's architecture, and the memory limit high enough?";
        return if container.restart_count >= RESTARTS { failed(why, hint) } else { held(&why, hint) };
    }
    let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) else {
        return held("its container has no state yet", "");
    };
    let why = reason(waiting.reason.as_ref(), waiting.message.as_ref());
    let local = container.image.starts_with("localhost/");
    match waiting.reason.as_deref().unwrap_or_default() {
        "ErrImageNeverPull" => failed(why, LOAD),
        "ErrImagePull" | "ImagePullBackOff" if local => failed(why, LOAD),
        "ErrImagePull" | "ImagePullBackOff" => held(&why, "check --image, the registry, and --pull-secret"),
        "InvalidImageName" => failed(why, "check --image"),
        "ContainerCreating" => held(&why, "is the network plugin's agent running on that node?"),
        _ => held(&why, ""),
    }
}

const LOAD: &str = "the nodes do not have the prober's image: `flowproof image load --kind NAME` (or --containerd, --k3s) puts it there, or name a registry's with --image";

fn reason(reason: Option<&String>, message: Option<&String>) -> String {
    match (reason, message) {
        (Some(reason), Some(message)) => format!("{reason}: {}", message.trim()),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => "no reason given".into(),
    }
}

fn held(why: &str, hint: &str) -> Progress {
    Progress::Held(Reason { why: why.into(), hint: hint.into() })
}

fn failed(why: String, hint: &str) -> Progress {
    Progress::Failed(Reason { why, hint: hint.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn judge(status: &Value) -> Progress {
        let pod = json!({
            "metadata": { "namespace": "app", "name": "api" },
            "spec": { "nodeName": "n1", "containers": [] },
            "status": status,
        });
        of(&serde_json::from_value(pod).expect("it is a pod"))
    }

    fn container(image: &str, restarts: i32, state: &Value) -> Value {
        json!({
            "podIPs": [{ "ip": "10.0.0.7" }, { "ip": "fd00::7" }],
            "containerStatuses": [{
                "name": "prober", "image": image, "imageID": "", "ready": false, "restartCount": restarts, "state": state,
            }],
        })
    }

    #[test]
    fn a_running_pod_has_both_addresses() {
        let up = judge(&container("i", 0, &json!({ "running": {} })));
        let addresses = vec!["10.0.0.7".parse().expect("v4"), "fd00::7".parse().expect("v6")];
        assert_eq!(up, Progress::Up(Pod { name: PodName::new("app", "api"), addresses, node: "n1".into() }));
    }

    #[test]
    fn a_shadow_that_is_never_ready_is_up_all_the_same() {
        let mut status = container("i", 0, &json!({ "running": {} }));
        status["phase"] = "Running".into();
        status["conditions"] = json!([
            { "type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": "m" },
            { "type": "PodScheduled", "status": "True" },
        ]);
        assert!(matches!(judge(&status), Progress::Up(_)), "{status}");
    }

    #[test]
    fn what_cannot_heal_fails_at_once() {
        let waiting = |reason: &str| json!({ "waiting": { "reason": reason, "message": "m" } });
        for (image, reason, fails) in [
            ("r/i", "ErrImageNeverPull", true),
            ("localhost/i", "ErrImagePull", true),
            ("localhost/i", "ImagePullBackOff", true),
            ("r/i", "ErrImagePull", false),
            ("r/i", "ImagePullBackOff", false),
            ("r/i", "InvalidImageName", true),
            ("r/i", "ContainerCreating", false),
        ] {
            let progress = judge(&container(image, 0, &waiting(reason)));
            assert_eq!(matches!(progress, Progress::Failed(_)), fails, "{image} {reason}: {progress:?}");
        }
        let ended = json!({ "terminated": { "exitCode": 1, "reason": "Error" } });
        assert!(matches!(judge(&container("i", 0, &ended)), Progress::Held(_)));
        assert!(matches!(judge(&container("i", 2, &ended)), Progress::Failed(_)));
        let refused = json!({ "phase": "Failed", "reason": "SysctlForbidden", "message": "m" });
        assert!(
            matches!(judge(&refused), Progress::Failed(reason) if reason.why.contains("SysctlForbidden: m"))
        );
    }

    #[test]
    fn a_pod_passes_one_stage_after_the_other() {
        let stage_of = |node: Option<&str>, status: Value| {
            let pod = json!({
                "metadata": { "namespace": "app", "name": "api" },
                "spec": { "nodeName": node, "containers": [] },
                "status": status,
            });
            stage(&serde_json::from_value(pod).expect("it is a pod"))
        };
        let condition = |kind: &str, status: &str| json!([{ "type": kind, "status": status }]);
        let started = "2026-01-01T00:00:00Z";
        let creating = || {
            container("i", 0, &json!({ "waiting": { "reason": "ContainerCreating" } }))["containerStatuses"]
                .clone()
        };
        let cases = [
            (None, json!({}), Stage::Known),
            (None, json!({ "conditions": condition("PodScheduled", "False") }), Stage::Unplaced),
            (Some("n1"), json!({ "conditions": condition("PodScheduled", "True") }), Stage::Scheduled),
            (Some("n1"), json!({ "startTime": started }), Stage::Taken),
            (Some("n1"), json!({ "startTime": started, "containerStatuses": creating() }), Stage::Taken),
            (
                Some("n1"),
                json!({ "startTime": started, "containerStatuses": creating(), "conditions": condition("PodReadyToStartContainers", "True") }),
                Stage::Connected,
            ),
            (
                Some("n1"),
                json!({ "startTime": started, "containerStatuses": creating(), "podIPs": [{ "ip": "10.0.0.7" }] }),
                Stage::Connected,
            ),
            (Some("n1"), container("i", 0, &json!({ "running": {} })), Stage::Up),
        ];
        for (node, status, expected) in cases {
            assert_eq!(stage_of(node, status.clone()), expected, "{status}");
        }
    }

    #[test]
    fn an_unschedulable_pod_says_what_the_scheduler_said() {
        let status = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes" },
        ] });
        assert!(matches!(judge(&status), Progress::Held(reason) if reason.why == "Unschedulable: 0/2 nodes"));
    }
}
