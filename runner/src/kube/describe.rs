//! What the cluster is: version, nodes, network plugin.

use super::{
    Kube,
    delivery::Delivery,
    failure,
    object::{Around, USER},
    permission,
};
use crate::{
    cluster::{ClusterError, ClusterInfo, NodeInfo},
    image::{self, Prober},
};
use flowproof_core::place::placement::tolerates;
use futures::future::{join, try_join3};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Node};
use kube::{
    Api,
    api::{ListParams, ObjectList},
};
use serde_json::{Value, json};

/// `DaemonSet`s by which a network plugin is known, and its name.
const DAEMONS: &[(&str, &str)] = &[
    ("calico-node", "calico"),
    ("canal", "canal"),
    ("cilium", "cilium"),
    ("antrea-agent", "antrea"),
    ("anetd", "dataplane v2 (cilium)"),
    ("azure-npm", "azure network policy manager"),
    ("aws-node", "amazon vpc cni"),
    ("kube-router", "kube-router"),
    ("kube-ovn-cni", "kube-ovn"),
    ("ovnkube-node", "ovn-kubernetes"),
    ("weave-net", "weave net"),
    ("kindnet", "kindnet"),
    ("kube-flannel-ds", "flannel"),
    ("kube-flannel", "flannel"),
];

/// The API group of OpenShift's admission of pods.
const OPENSHIFT: &str = "security.openshift.io";

impl Kube {
    /// Asks the API server for its version, and returns it unchanged: `v1.36.3`.
    ///
    /// Fails with [`ClusterError::Unreachable`] if it does not answer.
    pub async fn server_version(&self) -> Result<String, ClusterError> {
        let context = format!("reach the API server at {}", self.server);
        Ok(failure::request(&context, self.client.apiserver_version()).await?.git_version)
    }

    pub(super) async fn describe_cluster(&self) -> Result<ClusterInfo, ClusterError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let context = format!("reach the API server at {}", self.server);
        // One request comes first, so that an unreachable cluster is reported only once.
        let version = failure::request(&context, self.client.apiserver_version()).await?;
        let everything = ListParams::default();
        let list = async {
            match failure::answered("list nodes", nodes.list(&everything)).await? {
                Ok(nodes) => Ok(Some(nodes)),
                // The permission check reports this.
                Err(status) if status.code == 403 => Ok(None),
                Err(status) => Err(failure::failed("list nodes", &status)),
            }
        };
        let plugin = async { Ok(self.network_plugin().await) };
        let groups = failure::request("list API groups", self.client.list_api_groups());
        let (known, groups) =
            join(try_join3(permission::check(&self.client, permission::REQUIRED), list, plugin), groups)
                .await;
        let ((), nodes, plugin) = known?;
        // What cannot be read counts as not served.
        let groups = groups.map(|all| all.groups).unwrap_or_default();
        let serves = |group: &str| groups.iter().any(|known| known.name == group);
        let nodes = nodes.map(|list| list.items).unwrap_or_default();
        let cni = plugin
            .or_else(|| plugin_of_groups(serves).map(str::to_owned))
            .or_else(|| nodes.iter().find_map(plugin_of_node))
            .unwrap_or_else(|| "unknown".into());
        let now = Timestamp::now();
        let mut infos: Vec<NodeInfo> = nodes.iter().map(|node| self.node_info(node, now)).collect();
        let usable = nodes.iter().zip(&infos).filter(|(_, info)| info.unusable.is_none());
        let usable: Vec<&Node> = usable.map(|(node, _)| node).collect();
        let around = self.around.get_or_init(|| Around {
            delivery: Delivery::decide(&self.options, &self.image, &usable),
            user: (!serves(OPENSHIFT)).then_some(USER),
        });
        let remarks = around.delivery.note(&self.options).into_iter().collect();
        if let Delivery::ConfigMap { .. } = around.delivery {
            permission::check(&self.client, permission::CONFIG_MAPS).await?;
        }
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(ClusterInfo {
            kind: "kube",
            context: self.context.clone(),
            server: self.server.clone(),
            version: version.git_version,
            cni,
            nodes: infos,
            notes: remarks,
        })
    }

    fn node_info(&self, node: &Node, now: Timestamp) -> NodeInfo {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let selected = self.options.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
        let system = status.and_then(|status| status.node_info.clone()).unwrap_or_default();
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
        NodeInfo {
            name: node.metadata.name.clone().unwrap_or_default(),
            taints: taints
                .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
                .map(|taint| json!(taint))
                .filter(|taint| {
                    !self.options.tolerations.iter().any(|toleration| tolerates(toleration, taint))
                })
                .collect(),
            addresses: addresses
                .filter(|address| address.type_ == "InternalIP")
                .filter_map(|address| address.address.parse().ok())
                .collect(),
            unusable: unusable(node, now)
                .or_else(|| foreign(node, self.options.image.is_some()))
                .or_else(|| (!selected).then(|| "not selected by --node-selector".into())),
            version: system.kubelet_version,
            os_image: system.os_image,
            kernel: system.kernel_version,
            container_runtime: system.container_runtime_version,
            labels,
        }
    }

    /// Recognizes the network plugin by its `DaemonSet`, or else by its own objects. This is only information for readers, so
    /// whatever cannot be read counts as absent.
    async fn network_plugin(&self) -> Option<String> {
        let daemons: Api<DaemonSet> = Api::all(self.client.clone());
        let everything = ListParams::default();
        let daemons = failure::request("list daemonsets", daemons.list(&everything));
        let (daemons, calico) = join(daemons, self.calico_version()).await;
        let daemon = daemons.ok().and_then(|list| plugin_of_daemons(&list));
        match (daemon, calico) {
            (Some(daemon), _) if daemon.contains(' ') => Some(daemon),
            (_, Some(version)) => Some(format!("calico {version}").trim_end().to_owned()),
            (Some(daemon), None) => Some(daemon),
            (None, None) => None,
        }
    }

    async fn calico_version(&self) -> Option<String> {
        const PATH: &str = "/apis/crd.projectcalico.org/v1/clusterinformations/default";
        let request = http_get(PATH)?;
        let information: Value =
            failure::request("read Calico's version", self.client.request(request)).await.ok()?;
        let version = information["spec"]["calicoVersion"].as_str().unwrap_or_default();
        Some(version.to_owned())
    }
}

fn http_get(path: &str) -> Option<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).ok()
}

/// The plugin whose API group is served: an agent that is not a DaemonSet has kinds of its own, too.
fn plugin_of_groups(serves: impl Fn(&str) -> bool) -> Option<&'static str> {
    const GROUPS: &[(&str, &str)] = &[
        ("cilium.io", "cilium"),
        ("crd.antrea.io", "antrea"),
        ("kubeovn.io", "kube-ovn"),
        ("k8s.ovn.org", "ovn-kubernetes"),
    ];
    GROUPS.iter().find(|(group, _)| serves(group)).map(|(_, plugin)| *plugin)
}

fn plugin_of_daemons(list: &ObjectList<DaemonSet>) -> Option<String> {
    let (daemon, plugin) = DAEMONS.iter().find_map(|(name, plugin)| {
        let daemon = list.items.iter().find(|daemon| daemon.metadata.name.as_deref() == Some(name))?;
        Some((daemon, plugin))
    })?;
    let pod = daemon.spec.template.spec.as_ref()?;
    let image = pod.containers.first()?.image.as_deref().unwrap_or_default();
    Some(match version_of_image(image) {
        Some(version) => format!("{plugin} {version}"),
        None => (*plugin).to_owned(),
    })
}

/// The tag of an image reference, without a digest.
fn version_of_image(image: &str) -> Option<&str> {
    let image = image.split('@').next()?;
    let (_, tag) = image.rsplit('/').next()?.split_once(':')?;
    Some(tag)
}

/// The plugin that a node's annotations name, without its version.
fn plugin_of_node(node: &Node) -> Option<String> {
    const ANNOTATIONS: &[(&str, &str)] = &[
        ("projectcalico.org/", "calico"),
        ("network.cilium.io/", "cilium"),
        ("io.cilium.network.", "cilium"),
        ("flannel.alpha.coreos.com/", "flannel"),
    ];
    let annotations = node.metadata.annotations.as_ref()?;
    let found = ANNOTATIONS.iter().find(|(prefix, _)| annotations.keys().any(|key| key.starts_with(prefix)));
    let by_condition = || {
        let conditions = node.status.as_ref()?.conditions.as_ref()?;
        let network = conditions.iter().find(|condition| condition.type_ == "NetworkUnavailable")?;
        network.reason.as_deref()?.strip_suffix("IsUp").map(str::to_lowercase)
    };
    found.map(|(_, plugin)| (*plugin).to_owned()).or_else(by_condition)
}

/// Says why no pod can start on a node now; `None` if one can.
pub(super) fn unusable(node: &Node, now: Timestamp) -> Option<String> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    let Some(ready) = ready else {
        return Some("not ready: its kubelet has not reported yet".into());
    };
    if ready.status != "True" {
        let since =
            ready.last_transition_time.as_ref().map(|time| now.duration_since(time.0).as_secs().max(0));
        let since = since.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
        let message = ready.message.as_deref().unwrap_or("no reason given");
        return Some(format!("not ready{since}: {message}"));
    }
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    cordoned.then(|| "cordoned".into())
}

/// Why the prober cannot run on a node, whatever its state. An image that the user named may be for other architectures, too.
fn foreign(node: &Node, image_is_named: bool) -> Option<String> {
    let labels = node.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    if label("type") == Some("virtual-kubelet") || label("eks.amazonaws.com/compute-type") == Some("fargate")
    {
        return Some("a virtual node, whose network is not the cluster's".into());
    }
    let system = node.status.as_ref()?.node_info.as_ref()?;
    if !matches!(system.operating_system.as_str(), "linux" | "") {
        return Some(format!("it runs {}, and the prober runs on Linux", system.operating_system));
    }
    let architecture = system.architecture.as_str();
    let differs = !image_is_named && !architecture.is_empty() && Prober::of(architecture).is_none();
    differs.then(|| {
        let carried = image::probers().iter().map(|prober| prober.architecture).collect::<Vec<_>>().join(" and ");
        format!(
            "it is {architecture}, and this program carries a prober for {carried}: a release carries those for amd64 and arm64; or \
             name an image for {architecture} with --image"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).expect("it is a node")
    }

    #[test]
    fn a_node_says_why_it_is_unusable() {
        let now = "2026-01-01T00:01:00Z".parse().expect("a time");
        let condition = |status: &str| {
            json!({ "conditions": [{
                "type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:20Z", "message": "m",
            }] })
        };
        let judge = |value| unusable(&node(value), now);
        assert_eq!(judge(json!({ "metadata": {}, "status": condition("True") })), None);
        let cordoned =
            json!({ "metadata": {}, "spec": { "unschedulable": true }, "status": condition("True") });
        assert_eq!(judge(cordoned).as_deref(), Some("cordoned"));
        let down = json!({ "metadata": {}, "status": condition("Unknown") });
        assert_eq!(judge(down).as_deref(), Some("not ready for 40 s: m"));
        assert!(judge(json!({ "metadata": {} })).is_some());
    }

    #[test]
    fn nodes_that_no_prober_runs_on_are_left_out() {
        let of = |system: &str, architecture: &str| {
            let info = json!({ "operatingSystem": system, "architecture": architecture, "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "osImage": "", "systemUUID": "" });
            node(json!({ "metadata": {}, "status": { "nodeInfo": info } }))
        };
        let own = Prober::own().architecture;
        assert_eq!(foreign(&of("linux", own), false), None);
        let windows = foreign(&of("windows", own), false);
        assert_eq!(windows.as_deref(), Some("it runs windows, and the prober runs on Linux"));
        assert!(foreign(&of("linux", "riscv64"), false).is_some_and(|why| why.starts_with("it is riscv64")));
        assert_eq!(foreign(&of("linux", "riscv64"), true), None);
        let virtual_node = node(json!({ "metadata": { "labels": { "type": "virtual-kubelet" } } }));
        assert!(foreign(&virtual_node, true).is_some());
    }

    #[test]
    fn a_plugin_is_known_by_its_daemon_and_its_image() {
        let daemon = |name: &str, image: &str| {
            json!({ "metadata": { "name": name }, "spec": {
                "selector": {}, "template": { "spec": { "containers": [{ "name": "c", "image": image }] } },
            } })
        };
        let plugin = |items: Vec<Value>| {
            let list =
                json!({ "apiVersion": "apps/v1", "kind": "DaemonSetList", "metadata": {}, "items": items });
            plugin_of_daemons(&serde_json::from_value(list).expect("it is a list"))
        };
        let calico = daemon("calico-node", "quay.io:443/calico/node:v3.30.1@sha256:00");
        assert_eq!(plugin(vec![daemon("kube-proxy", "p:1"), calico]).as_deref(), Some("calico v3.30.1"));
        assert_eq!(plugin(vec![daemon("cilium", "localhost:5000/cilium")]).as_deref(), Some("cilium"));
        assert_eq!(plugin(vec![]), None);
    }
}
