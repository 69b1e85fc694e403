//! How the prober gets into its pods: with an image of its own, or in a `ConfigMap` that is mounted into pods of any image.
//!
//! If nodes neither have our image nor can pull it, the API server is enough: a `ConfigMap` holds 1 MiB, and the packed prober is
//! smaller. Nothing of the image of such pods runs.

use super::connect::KubeOptions;
use crate::{cluster::PodSpec, image::Prober};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Node},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The program in the prober's own image.
const IN_IMAGE: &str = "/flowproof-prober";

/// Where the `ConfigMap` is mounted, and its one file.
const MOUNTED_AT: &str = "/flowproof";
const FILE: &str = "flowproof-prober";
const IN_CONFIG_MAP: &str = "/flowproof/flowproof-prober";

/// Everybody may read and execute it.
const MODE: i32 = 0o555;

/// The name of the `ConfigMap` in the namespaces of a run. In a live namespace it has the name of the shadows' holder.
const NAME: &str = "flowproof-prober";

/// An image to pull if no image is known to be on all nodes: the sandbox image of most clusters.
const PULLED: &str = "registry.k8s.io/pause:3.10";

/// How the prober gets into its pods, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deliver {
    /// With the image if all nodes have it or one was named, otherwise in a `ConfigMap`.
    #[default]
    Auto,
    /// With an image of its own.
    Image,
    /// In a `ConfigMap`.
    ConfigMap,
}

/// How the prober gets into its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In this image.
    Image(String),
    /// In a `ConfigMap`, in pods of an unrelated image.
    ConfigMap {
        /// That image.
        base: String,
        /// The architecture of each node.
        nodes: BTreeMap<String, String>,
    },
}

impl Delivery {
    /// Decides by what was asked for and by what the nodes have; `nodes` are those that may get pods.
    pub(super) fn decide(options: &KubeOptions, own: &str, nodes: &[&Node]) -> Self {
        let by_image = match options.deliver {
            Deliver::Image => true,
            Deliver::ConfigMap => false,
            Deliver::Auto => {
                let everywhere = !nodes.is_empty() && nodes.iter().all(|node| names_on(node).contains(own));
                options.image.is_some() || (options.base_image.is_none() && everywhere)
            }
        };
        if by_image {
            return Self::Image(own.to_owned());
        }
        let base = options.base_image.clone().or_else(|| on_all(nodes));
        let architecture = |node: &Node| Some(node.status.as_ref()?.node_info.as_ref()?.architecture.clone());
        let named = |node: &&Node| Some((node.metadata.name.clone()?, architecture(node)?));
        Self::ConfigMap {
            base: base.unwrap_or_else(|| PULLED.to_owned()),
            nodes: nodes.iter().filter_map(named).collect(),
        }
    }

    /// A note to the user, if the delivery is not the usual one.
    pub(super) fn note(&self, options: &KubeOptions) -> Option<String> {
        let Self::ConfigMap { base, .. } = self else { return None };
        let why = if options.deliver == Deliver::ConfigMap || options.base_image.is_some() {
            ""
        } else {
            "the nodes do not have the prober's image: "
        };
        Some(format!("{why}the prober comes in ConfigMaps, in pods of {base}"))
    }

    /// The image of the pods.
    pub(super) fn image(&self) -> &str {
        match self {
            Self::Image(image) | Self::ConfigMap { base: image, .. } => image,
        }
    }

    /// The program in a pod.
    pub(super) fn program(&self) -> &'static str {
        match self {
            Self::Image(_) => IN_IMAGE,
            Self::ConfigMap { .. } => IN_CONFIG_MAP,
        }
    }

    /// Adds what the delivery needs to a pod's specification, in each of its containers.
    pub(super) fn mount(&self, spec: &PodSpec, pod: &mut Value) {
        let Self::ConfigMap { nodes, .. } = self else { return };
        let prober = nodes.get(&spec.node).and_then(|architecture| Prober::of(architecture));
        let config_map = json!({ "name": name(spec, prober.unwrap_or(Prober::own())), "defaultMode": MODE });
        pod["volumes"] = json!([{ "name": NAME, "configMap": config_map }]);
        for field in ["containers", "initContainers"] {
            for container in pod[field].as_array_mut().into_iter().flatten() {
                container["command"] = json!([IN_CONFIG_MAP]);
                container["volumeMounts"] =
                    json!([{ "name": NAME, "mountPath": MOUNTED_AT, "readOnly": true }]);
            }
        }
    }

    /// The `ConfigMap`s that the pods of this pod's namespace need: one for each architecture of the nodes; none if there is an
    /// image.
    pub(super) fn config_maps(
        &self,
        spec: &PodSpec,
        labels: &BTreeMap<String, String>,
        owner: Option<&OwnerReference>,
    ) -> Vec<ConfigMap> {
        let Self::ConfigMap { nodes, .. } = self else { return Vec::new() };
        let needed: BTreeSet<&str> = nodes.values().map(String::as_str).collect();
        let mut probers: Vec<_> = needed.into_iter().filter_map(Prober::of).collect();
        if probers.is_empty() {
            probers.push(Prober::own());
        }
        let config_map = |prober: &Prober| ConfigMap {
            metadata: ObjectMeta {
                name: Some(name(spec, prober)),
                namespace: Some(spec.name.namespace.clone()),
                labels: Some(labels.clone()),
                owner_references: owner.map(|owner| vec![owner.clone()]),
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(FILE.to_owned(), ByteString(prober.packed.to_vec()))])),
            // The kubelet does not watch what cannot change.
            immutable: Some(true),
            ..ConfigMap::default()
        };
        probers.into_iter().map(config_map).collect()
    }
}

/// The name of the `ConfigMap` with a prober in the pod's namespace.
fn name(spec: &PodSpec, prober: &Prober) -> String {
    let name = spec.shadow.as_ref().map_or(NAME, |shadow| &shadow.holder);
    if prober.architecture == Prober::own().architecture {
        return name.to_owned();
    }
    format!("{name}-{}", prober.architecture)
}

/// The images that a node reports: a kubelet lists at most fifty, the largest first, unless it is configured otherwise.
fn names_on(node: &Node) -> BTreeSet<&str> {
    let images = node.status.as_ref().and_then(|status| status.images.as_ref());
    images.into_iter().flatten().flat_map(|image| image.names.iter().flatten()).map(String::as_str).collect()
}

/// An image that all nodes have: the sandbox image, if the nodes list it, otherwise the smallest. Names with a digest are left
/// out, because they mean nothing to a reader.
fn on_all(nodes: &[&Node]) -> Option<String> {
    let (first, others) = nodes.split_first()?;
    let others: Vec<BTreeSet<&str>> = others.iter().map(|node| names_on(node)).collect();
    let images = first.status.as_ref()?.images.as_ref()?;
    let common = images.iter().flat_map(|image| {
        let size = image.size_bytes.unwrap_or(i64::MAX);
        image.names.iter().flatten().map(move |name| (size, name.as_str()))
    });
    let usable = |name: &str| !name.contains('@') && !name.contains("<none>") && !is_ours(name);
    let common = common.filter(|(_, name)| usable(name) && others.iter().all(|names| names.contains(name)));
    let waits = |name: &str| name.rsplit('/').next().is_some_and(|last| last.starts_with("pause"));
    common.min_by_key(|(size, name)| (!waits(name), *size, name.len())).map(|(_, name)| name.to_owned())
}

/// The prober's image of another version would work, but a reader would take it for the prober that runs.
fn is_ours(name: &str) -> bool {
    name.contains("flowproof")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "localhost/flowproof-prober:1";

    fn node(images: &[(&str, i64)]) -> Node {
        let images: Vec<Value> =
            images.iter().map(|(name, size)| json!({ "names": [name], "sizeBytes": size })).collect();
        serde_json::from_value(json!({ "metadata": {}, "status": { "images": images } })).expect("a node")
    }

    fn decided(options: &KubeOptions, nodes: &[Node]) -> Delivery {
        Delivery::decide(options, OWN, &nodes.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_nodes_have_decides_unless_somebody_asked() {
        let with = node(&[(OWN, 2), ("r/pause:3", 1)]);
        let without = node(&[("r/a:1", 9), ("r/pause:3", 1)]);
        let in_pods_of = |base: &str| Delivery::ConfigMap { base: base.to_owned(), nodes: BTreeMap::new() };
        let base = || in_pods_of("r/pause:3");
        let own = || Delivery::Image(OWN.to_owned());
        let auto = KubeOptions::default();
        assert_eq!(decided(&auto, &[with.clone(), with.clone()]), own());
        assert_eq!(decided(&auto, &[with.clone(), without.clone()]), base(), "one node lacks it");
        assert_eq!(decided(&auto, &[]), in_pods_of(PULLED));
        let named = KubeOptions { image: Some(OWN.to_owned()), ..KubeOptions::default() };
        assert_eq!(decided(&named, std::slice::from_ref(&without)), own(), "it is in a registry");
        let asked = KubeOptions { deliver: Deliver::Image, ..KubeOptions::default() };
        assert_eq!(decided(&asked, std::slice::from_ref(&without)), own());
        let asked = KubeOptions { deliver: Deliver::ConfigMap, ..KubeOptions::default() };
        assert_eq!(decided(&asked, std::slice::from_ref(&with)), base());
        let given = KubeOptions { base_image: Some("r/mine:2".to_owned()), ..KubeOptions::default() };
        assert_eq!(decided(&given, &[with]), in_pods_of("r/mine:2"));
    }

    #[test]
    fn the_image_of_the_pods_is_one_that_all_nodes_have() {
        let both = [("r/large:1", 900), ("r/small:1", 30)];
        assert_eq!(on_all(&[&node(&both), &node(&both)]).as_deref(), Some("r/small:1"));
        let first = node(&[("r/pause@sha256:00", 1), ("r/tiny:1", 1), ("r/small:1", 30)]);
        assert_eq!(on_all(&[&first, &node(&both)]).as_deref(), Some("r/small:1"));
        assert_eq!(on_all(&[&node(&both), &node(&[("r/other:1", 1)])]), None);
        assert_eq!(on_all(&[&node(&[(OWN, 1)])]), None);
    }

    #[test]
    fn the_packed_prober_fits_into_a_config_map() {
        const MOST: usize = 1024 * 1024;
        for Prober { architecture, packed, .. } in crate::image::probers() {
            assert!(packed.len() < MOST * 9 / 10, "{architecture}: {} bytes", packed.len());
        }
    }
}
