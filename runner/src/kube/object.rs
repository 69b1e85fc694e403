//! The objects that a lane consists of: namespaces, pods under the *restricted* Pod Security level, Services.

use super::{connect::KubeOptions, delivery::Delivery};
use crate::cluster::{ClusterError, Lane, MANAGED_BY_LABEL, PodName, PodSpec, RUN_LABEL, ServiceSpec};
use flowproof_core::scenario::{Labels, TargetPort};
use flowproof_wire::Transport;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, Service},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write};

/// The name of the container of every pod that the run talks to.
pub(super) const CONTAINER: &str = "prober";

/// The name of the native sidecar, where a scenario wants one.
const SIDECAR: &str = "sidecar";

/// Annotation of namespaces: when the run made them (RFC 3339).
pub(super) const CREATED_ANNOTATION: &str = "flowproof.dev/created";

/// Annotation of namespaces: who ran it, where (`user@host`).
pub(super) const RUNNER_ANNOTATION: &str = "flowproof.dev/runner";

/// Label of no pod: what the selector of a holder wants.
const HOLDER_LABEL: &str = "flowproof.dev/holder";

/// The readiness gate of shadows. Nobody ever sets it, so that no Service sends them traffic.
const GATE: &str = "flowproof.dev/never-ready";

/// Label of namespaces: the Pod Security level that is enforced in them.
pub const ENFORCE_LABEL: &str = "pod-security.kubernetes.io/enforce";

/// What keeps service meshes away from a prober, which would otherwise measure their proxies: a label for Istio's sidecars, one
/// for its ambient mode, and an annotation for Linkerd.
const WITHOUT_MESH: [(&str, &str); 2] =
    [("sidecar.istio.io/inject", "false"), ("istio.io/dataplane-mode", "none")];
const WITHOUT_LINKERD: (&str, &str) = ("linkerd.io/inject", "disabled");

/// Adds the labels that every object of a run bears.
pub(super) fn labels_of(run: &str, own: &Labels) -> Labels {
    let mut labels = own.clone();
    labels.insert(RUN_LABEL.into(), run.into());
    labels.insert(MANAGED_BY_LABEL.into(), "flowproof".into());
    labels
}

/// A namespace of a lane. It enforces the *restricted* level unless one of its pods uses its node's network or captures:
/// *baseline* allows neither, so that only *privileged* is left.
pub(super) fn namespace(
    lane: &Lane,
    name: &str,
    labels: &Labels,
    options: &KubeOptions,
) -> Result<Namespace, ClusterError> {
    let privileged =
        options.capture || lane.pods.iter().any(|pod| pod.host_network && pod.name.namespace == name);
    let mut labels = labels_of(&lane.run, labels);
    let level = if privileged { "privileged" } else { "restricted" };
    labels.entry(ENFORCE_LABEL.into()).or_insert_with(|| level.into());
    let mut annotations = options.namespace_annotations.clone();
    annotations.insert(CREATED_ANNOTATION.into(), jiff::Timestamp::now().to_string());
    annotations.insert(RUNNER_ANNOTATION.into(), runner());
    object(
        &format!("namespace {name}"),
        json!({
            "metadata": {
                "name": name,
                "labels": beside(labels, &options.namespace_labels),
                "annotations": annotations,
            }
        }),
    )
}

/// What a cluster wants of every pod, as far as it was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Around {
    /// How the prober gets into it.
    pub(super) delivery: Delivery,
    /// The user and group that it runs as; none where the cluster chooses them (OpenShift's `restricted-v2` allows a range of each
    /// namespace and no other).
    pub(super) user: Option<u32>,
}

/// The user that probers run as where nothing else is wanted.
pub(super) const USER: u32 = 65532;

/// Labels or annotations, and those of others that they do not have.
fn beside<K: ToString, V: ToString>(mut own: Labels, others: impl IntoIterator<Item = (K, V)>) -> Labels {
    for (key, value) in others {
        own.entry(key.to_string()).or_insert_with(|| value.to_string());
    }
    own
}

/// A prober's pod.
pub(super) fn pod(spec: &PodSpec, options: &KubeOptions, around: &Around) -> Result<Pod, ClusterError> {
    let mut security = json!({
        "runAsNonRoot": !options.capture,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let user = if options.capture { Some(0) } else { around.user };
    if let Some(user) = user {
        security["runAsUser"] = json!(user);
        security["runAsGroup"] = json!(user);
    }
    if !spec.host_network {
        // The prober listens on ports below 1024 (DNS) without a capability. A safe sysctl since Kubernetes 1.22.
        security["sysctls"] = json!([{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "0" }]);
    }
    // A shadow keeps its workload's word on who manages it: policies and Services may select by it.
    let labels = if spec.shadow.is_none() {
        labels_of(&spec.run, &spec.labels)
    } else {
        let mut labels = spec.labels.clone();
        labels.insert(RUN_LABEL.into(), spec.run.clone());
        labels
    };
    let labels = beside(beside(labels, &options.pod_labels), WITHOUT_MESH);
    let annotations = beside(options.pod_annotations.clone(), [WITHOUT_LINKERD]);
    let shadow = spec.shadow.as_ref();
    let gates: Vec<Value> = shadow.iter().map(|_| json!({ "conditionType": GATE })).collect();
    let secrets: Vec<Value> =
        options.pull_secrets.iter().map(|secret| json!({ "name": secret.name })).collect();
    let tolerations: Vec<&Value> = spec.tolerations.iter().chain(&options.tolerations).collect();
    let mut pod = json!({
        "metadata": {
            "name": spec.name.name,
            "namespace": spec.name.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "priorityClassName": options.priority_class,
            "runtimeClassName": options.runtime_class,
            "serviceAccountName": shadow.map(|shadow| &shadow.service_account),
            "readinessGates": gates,
            "hostNetwork": spec.host_network,
            "dnsPolicy": if spec.host_network { "ClusterFirstWithHostNet" } else { "ClusterFirst" },
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 1,
            "securityContext": security,
            "imagePullSecrets": secrets,
            "tolerations": tolerations,
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchFields": [
                    { "key": "metadata.name", "operator": "In", "values": [spec.node] },
                ] }],
            } } },
            "containers": [container(CONTAINER, arguments(spec, options.capture), ports(spec, false), options, around)],
        },
    });
    if options.capture {
        // A capability that is added is effective for root only (docs/decisions/0013).
        pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["NET_RAW"]);
    }
    let declared = ports(spec, true);
    if !declared.is_empty() {
        // It only declares its ports: the prober beside it answers on them. What runs in it waits for a runner that never comes.
        let arguments =
            ["serve", "--socket", &format!("{}-{SIDECAR}", socket(&spec.name))].map(str::to_owned);
        let mut sidecar = container(SIDECAR, arguments.into(), declared, options, around);
        sidecar["restartPolicy"] = json!("Always");
        pod["spec"]["initContainers"] = json!([sidecar]);
    }
    around.delivery.mount(spec, &mut pod["spec"]);
    object(&format!("pod {}", spec.name), pod)
}

/// A container that runs the prober's program.
fn container(
    name: &str,
    arguments: Vec<String>,
    ports: Vec<Value>,
    options: &KubeOptions,
    around: &Around,
) -> Value {
    let mut limits = json!({ "memory": options.memory_limit });
    if let Some(limit) = &options.cpu_limit {
        limits["cpu"] = json!(limit);
    }
    json!({
        "name": name,
        "image": around.delivery.image(),
        "imagePullPolicy": options.pull_policy.as_str(),
        "args": arguments,
        // Its last words become the reason that a user reads when it does not start.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "ports": ports,
        "resources": {
            "requests": { "cpu": options.cpu_request, "memory": options.memory_request },
            "limits": limits,
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

fn arguments(spec: &PodSpec, capture: bool) -> Vec<String> {
    let mut arguments = vec!["serve".to_owned(), "--socket".to_owned(), socket(&spec.name)];
    if capture {
        arguments.push("--capture".to_owned());
    }
    if let Some(first) = &spec.first {
        arguments.push("--first".to_owned());
        // The kubelet expands `$(NAME)` in arguments, and has none to expand in numbers and addresses.
        arguments.push(serde_json::to_string(first).expect("it is valid JSON"));
    }
    arguments
}

/// What holds the shadows of a live namespace: a Deployment that wants no pods and is paused, so that nothing acts on it.
///
/// A shadow needs a controller, or the `ReplicaSet` whose selector it fits would adopt it. It must be one that has a scale:
/// the disruption controller asks the owners of all pods that a `PodDisruptionBudget` selects how many they want, and gives
/// up on a budget, allowing no eviction, when one has no answer. This one's is none. Its selector fits no pod at all.
pub(super) fn holder(
    run: &str,
    name: &PodName,
    like: &PodSpec,
    options: &KubeOptions,
    around: &Around,
) -> Result<Deployment, ClusterError> {
    let selector = json!({ RUN_LABEL: run, HOLDER_LABEL: name.name });
    let template = pod(like, options, around)?.spec;
    object(
        &format!("deployment {name}"),
        json!({
            "metadata": {
                "name": name.name,
                "namespace": name.namespace,
                "labels": labels_of(run, &Labels::new()),
                "annotations": { CREATED_ANNOTATION: jiff::Timestamp::now().to_string(), RUNNER_ANNOTATION: runner() },
            },
            "spec": {
                "replicas": 0,
                "paused": true,
                "selector": { "matchLabels": selector },
                "template": { "metadata": { "labels": selector }, "spec": template },
            },
        }),
    )
}

/// A Service of a lane: a cluster IP in every family that the cluster has.
pub(super) fn service(spec: &ServiceSpec, run: &str) -> Result<Service, ClusterError> {
    let ports: Vec<Value> = spec
        .ports
        .iter()
        .map(|port| {
            let protocol = protocol(port.listener.transport);
            let target = match &port.target {
                TargetPort::Number(number) => json!(number),
                TargetPort::Name(name) => json!(name),
            };
            json!({
                "name": format!("{}-{}", protocol.to_lowercase(), port.listener.port),
                "protocol": protocol,
                "port": port.listener.port,
                "targetPort": target,
            })
        })
        .collect();
    object(
        &format!("service {}", spec.name),
        json!({
            "metadata": {
                "name": spec.name.name,
                "namespace": spec.name.namespace,
                "labels": labels_of(run, &Labels::new()),
            },
            "spec": {
                "type": "ClusterIP",
                "ipFamilyPolicy": "PreferDualStack",
                "selector": spec.selector,
                "ports": ports,
            },
        }),
    )
}

/// The name of the abstract Unix socket on which the prober of a pod is attached.
///
/// Pods on their node's network share one space of such names, which hold 107 bytes: hence the start of the pod's name,
/// for a person who looks, and a digest of namespace and name.
pub(super) fn socket(pod: &PodName) -> String {
    let digest = Sha256::digest(pod.to_string().as_bytes());
    let mut socket = format!("flowproof-{}-", &pod.name[..pod.name.len().min(40)]);
    for byte in &digest[..6] {
        write!(socket, "{byte:02x}").expect("writing to a string cannot fail");
    }
    socket
}

/// The ports of the container or of its sidecar, each once: a DNS listener and a plain one may share a port, and the name if one of
/// them has it.
fn ports(spec: &PodSpec, sidecar: bool) -> Vec<Value> {
    let mut ports = BTreeMap::new();
    for listens in spec.listens.iter().filter(|listens| listens.sidecar == sidecar) {
        let protocol = protocol(listens.listener.transport);
        let port = listens.listener.port;
        let value = ports
            .entry((protocol, port))
            .or_insert_with(|| json!({ "containerPort": port, "protocol": protocol }));
        if let Some(name) = &listens.name {
            value["name"] = json!(name);
        }
    }
    ports.into_values().collect()
}

fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp | Transport::DnsTcp => "TCP",
        Transport::Udp | Transport::DnsUdp => "UDP",
    }
}

fn runner() -> String {
    let user =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".into());
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

/// Turns the JSON form into the typed one; fails on what a scenario wrote into it (tolerations).
fn object<K: DeserializeOwned>(name: &str, value: Value) -> Result<K, ClusterError> {
    serde_json::from_value(value)
        .map_err(|error| ClusterError::Rejected { object: name.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Shadow;
    use flowproof_core::scenario::NamedListener;
    use flowproof_wire::Listener;
    use std::time::Duration;

    fn around() -> Around {
        Around { delivery: Delivery::Image("image".to_owned()), user: Some(USER) }
    }

    fn shadow() -> PodSpec {
        let labels = [("app", "api"), (MANAGED_BY_LABEL, "helm")];
        PodSpec {
            name: PodName::new("payments", "api-k7x2-0"),
            run: "k7x2".into(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            listens: Vec::new(),
            node: "n1".into(),
            tolerations: Vec::new(),
            host_network: false,
            first: None,
            shadow: Some(Shadow { holder: "flowproof-k7x2-0".into(), service_account: "payer".into() }),
        }
    }

    #[test]
    fn a_shadow_is_never_ready_and_keeps_its_workloads_labels() {
        let pod = pod(&shadow(), &KubeOptions::default(), &around()).expect("it can be made");
        let labels = pod.metadata.labels.expect("it has labels");
        assert_eq!(labels[MANAGED_BY_LABEL], "helm");
        assert_eq!(labels[RUN_LABEL], "k7x2");
        assert_eq!(labels.len(), 3 + WITHOUT_MESH.len());
        let spec = pod.spec.expect("it has a specification");
        assert_eq!(spec.service_account_name.as_deref(), Some("payer"));
        assert_eq!(spec.automount_service_account_token, Some(false));
        let gates = spec.readiness_gates.expect("it has gates");
        assert_eq!(gates.iter().map(|gate| gate.condition_type.as_str()).collect::<Vec<_>>(), [GATE]);
        let other = PodSpec { shadow: None, ..shadow() };
        let other = super::pod(&other, &KubeOptions::default(), &around()).expect("it can be made");
        assert_eq!(other.metadata.labels.expect("it has labels")[MANAGED_BY_LABEL], "flowproof");
        assert!(other.spec.expect("it has one").readiness_gates.unwrap_or_default().is_empty());
    }

    #[test]
    fn what_holds_shadows_wants_no_pods_and_selects_none() {
        let name = PodName::new("payments", "flowproof-k7x2-0");
        let made =
            holder("k7x2", &name, &shadow(), &KubeOptions::default(), &around()).expect("it can be made");
        assert_eq!((made.spec.replicas, made.spec.paused), (Some(0), Some(true)));
        let selector = made.spec.selector.match_labels.expect("it selects by labels");
        let shadow = pod(&shadow(), &KubeOptions::default(), &around()).expect("it can be made");
        let labels = shadow.metadata.labels.expect("it has labels");
        assert!(selector.iter().any(|(key, value)| labels.get(key) != Some(value)));
    }

    fn spec() -> PodSpec {
        PodSpec {
            name: "app/api".parse().expect("a name"),
            run: "r".into(),
            labels: Labels::new(),
            listens: Vec::new(),
            node: "node1".into(),
            tolerations: Vec::new(),
            host_network: false,
            first: None,
            shadow: None,
        }
    }

    #[test]
    fn a_native_sidecar_declares_its_ports_and_the_prober_the_others() {
        let listener = |port| Listener { transport: Transport::Tcp, port };
        let metrics = NamedListener { name: Some("metrics".into()), sidecar: true, listener: listener(8002) };
        let listens = vec![listener(8001).into(), metrics];
        let around = Around {
            delivery: Delivery::ConfigMap { base: "any".into(), nodes: BTreeMap::new() },
            user: Some(USER),
        };
        let pod = pod(&PodSpec { listens, ..spec() }, &KubeOptions::default(), &around).expect("a pod");
        let pod = serde_json::to_value(pod).expect("it is JSON");
        let (prober, sidecar) = (&pod["spec"]["containers"][0], &pod["spec"]["initContainers"][0]);
        assert_eq!(prober["ports"], json!([{ "containerPort": 8001, "protocol": "TCP" }]));
        assert_eq!(
            sidecar["ports"],
            json!([{ "containerPort": 8002, "protocol": "TCP", "name": "metrics" }])
        );
        assert_eq!(sidecar["restartPolicy"], "Always");
        assert_ne!(sidecar["args"], prober["args"], "each has a socket of its own");
        assert_eq!(sidecar["command"], prober["command"], "both come in the ConfigMap");
        assert!(sidecar["volumeMounts"].is_array());
    }

    fn made(capture: bool) -> (Value, Value) {
        let spec = spec();
        let lane = Lane {
            run: "r".into(),
            namespaces: BTreeMap::new(),
            pods: vec![spec.clone()],
            services: Vec::new(),
            without_headway: Duration::ZERO,
        };
        let options = KubeOptions { capture, ..KubeOptions::default() };
        let pod = pod(&spec, &options, &around()).expect("a pod");
        let namespace = namespace(&lane, "app", &Labels::new(), &options).expect("a namespace");
        let json = |value: Result<Value, _>| value.expect("it is JSON");
        (json(serde_json::to_value(pod)), json(serde_json::to_value(namespace)))
    }

    #[test]
    fn only_captures_want_a_privilege() {
        let (all, added) = (json!({ "drop": ["ALL"] }), json!({ "drop": ["ALL"], "add": ["NET_RAW"] }));
        for (capture, user, capabilities, level) in
            [(false, 65532, all, "restricted"), (true, 0, added, "privileged")]
        {
            let (pod, namespace) = made(capture);
            let container = &pod["spec"]["containers"][0];
            assert_eq!(
                container["securityContext"],
                json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": capabilities,
                })
            );
            assert_eq!(pod["spec"]["securityContext"]["runAsUser"], user);
            assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], !capture);
            let arguments = container["args"].as_array().expect("arguments");
            assert_eq!(arguments.contains(&json!("--capture")), capture);
            assert_eq!(namespace["metadata"]["labels"][ENFORCE_LABEL], level);
        }
    }
}
