//! How the pods of the probers are made.

use super::{
    Failure,
    cluster::first_given,
    values::{pairs, toleration},
};
use crate::kube::{Deliver, KubeOptions, PullPolicy};
use clap::{Args, ValueEnum};
use serde_json::Value;

/// How the prober gets into its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliverChoice {
    /// The image if all nodes have it or --image names one, otherwise a ConfigMap
    Auto,
    /// In an image
    Image,
    /// In a ConfigMap
    #[value(name = "configmap")]
    ConfigMap,
}

/// How the prober's pods are made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Prober pods")]
pub struct PodArgs {
    /// The prober's image in a registry [default: the one that `flowproof image load` loads]
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// How the prober gets into its pods. A ConfigMap needs nothing loaded or pushed; auto uses the image if all nodes have
    /// it or --image names one, otherwise a ConfigMap [default: auto]
    #[arg(long, value_name = "HOW", value_enum)]
    pub deliver: Option<DeliverChoice>,
    /// The image of pods that get the prober in a ConfigMap; nothing in it runs [default: one that the nodes already have]
    #[arg(long, value_name = "REF")]
    pub base_image: Option<String>,
    /// imagePullPolicy of the pods [default: IfNotPresent]
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub pull_policy: Option<String>,
    /// A pull secret to copy into the namespaces of the run; may be repeated
    #[arg(long = "pull-secret", value_name = "NAMESPACE/NAME")]
    pub pull_secrets: Vec<String>,
    /// A toleration for every pod, as KEY[=VALUE][:EFFECT] or "*"; may be repeated
    #[arg(long = "toleration", value_name = "TOLERATION")]
    pub tolerations: Vec<String>,
    /// Use only nodes with this label; may be repeated
    #[arg(long = "node-selector", value_name = "KEY=VALUE")]
    pub node_selector: Vec<String>,
    /// A label for every pod; may be repeated
    #[arg(long = "pod-label", value_name = "KEY=VALUE")]
    pub pod_labels: Vec<String>,
    /// An annotation for every pod; may be repeated
    #[arg(long = "pod-annotation", value_name = "KEY=VALUE")]
    pub pod_annotations: Vec<String>,
    /// A label for every namespace that the run creates; may be repeated
    #[arg(long = "namespace-label", value_name = "KEY=VALUE")]
    pub namespace_labels: Vec<String>,
    /// An annotation for every namespace that the run creates; may be repeated
    #[arg(long = "namespace-annotation", value_name = "KEY=VALUE")]
    pub namespace_annotations: Vec<String>,
    /// The priority class of the pods
    #[arg(long, value_name = "NAME")]
    pub priority_class: Option<String>,
    /// The runtime class of the pods
    #[arg(long, value_name = "NAME")]
    pub runtime_class: Option<String>,
    /// CPU request of each pod [default: 10m]
    #[arg(long, value_name = "QUANTITY")]
    pub cpu: Option<String>,
    /// CPU limit of each pod, for clusters that require one [default: none]
    #[arg(long, value_name = "QUANTITY")]
    pub cpu_limit: Option<String>,
    /// Memory request of each pod [default: 16Mi]
    #[arg(long, value_name = "QUANTITY")]
    pub memory: Option<String>,
    /// Memory limit of each pod; at least its request [default: 64Mi]
    #[arg(long, value_name = "QUANTITY")]
    pub memory_limit: Option<String>,
}

impl PodArgs {
    /// The first option that was given and that only Kubernetes has a use for.
    pub fn given(&self) -> Option<&'static str> {
        let options = [
            ("--image", self.image.is_some()),
            ("--deliver", self.deliver.is_some()),
            ("--base-image", self.base_image.is_some()),
            ("--pull-policy", self.pull_policy.is_some()),
            ("--pull-secret", !self.pull_secrets.is_empty()),
            ("--toleration", !self.tolerations.is_empty()),
            ("--pod-label", !self.pod_labels.is_empty()),
            ("--pod-annotation", !self.pod_annotations.is_empty()),
            ("--namespace-label", !self.namespace_labels.is_empty()),
            ("--namespace-annotation", !self.namespace_annotations.is_empty()),
            ("--priority-class", self.priority_class.is_some()),
            ("--runtime-class", self.runtime_class.is_some()),
            ("--cpu", self.cpu.is_some()),
            ("--cpu-limit", self.cpu_limit.is_some()),
            ("--memory", self.memory.is_some()),
            ("--memory-limit", self.memory_limit.is_some()),
        ];
        first_given(options)
    }

    /// The tolerations of every pod.
    pub fn tolerations(&self) -> Result<Vec<Value>, Failure> {
        self.tolerations.iter().map(|text| toleration(text)).collect()
    }

    /// The backend's options, with the connection of `options`.
    pub fn options(&self, options: KubeOptions) -> Result<KubeOptions, Failure> {
        let contradiction = match (self.deliver, &self.image, &self.base_image) {
            (Some(DeliverChoice::ConfigMap), Some(_), _) => {
                Some("--deliver configmap takes no --image: name the image of the pods with --base-image")
            }
            (Some(DeliverChoice::Image), _, Some(_)) => Some("--base-image is for --deliver configmap"),
            (_, Some(_), Some(_)) => Some(
                "--image and --base-image exclude each other: one names an image of the prober, the other any image",
            ),
            _ => None,
        };
        if let Some(contradiction) = contradiction {
            return Err(Failure::usage(contradiction));
        }
        let secrets = self.pull_secrets.iter().map(|text| {
            text.parse().map_err(|error| Failure::usage(format!("--pull-secret {text}: {error}")))
        });
        Ok(KubeOptions {
            image: self.image.clone(),
            deliver: match self.deliver {
                None => options.deliver,
                Some(DeliverChoice::Auto) => Deliver::Auto,
                Some(DeliverChoice::Image) => Deliver::Image,
                Some(DeliverChoice::ConfigMap) => Deliver::ConfigMap,
            },
            base_image: self.base_image.clone(),
            pull_policy: match self.pull_policy.as_deref() {
                None => options.pull_policy,
                Some("Always") => PullPolicy::Always,
                Some("Never") => PullPolicy::Never,
                Some(_) => PullPolicy::IfNotPresent,
            },
            pull_secrets: secrets.collect::<Result<_, _>>()?,
            pod_labels: pairs("--pod-label", &self.pod_labels)?,
            pod_annotations: pairs("--pod-annotation", &self.pod_annotations)?,
            namespace_labels: pairs("--namespace-label", &self.namespace_labels)?,
            namespace_annotations: pairs("--namespace-annotation", &self.namespace_annotations)?,
            priority_class: self.priority_class.clone(),
            runtime_class: self.runtime_class.clone(),
            cpu_request: self.cpu.clone().unwrap_or_else(|| options.cpu_request.clone()),
            cpu_limit: self.cpu_limit.clone(),
            memory_request: self.memory.clone().unwrap_or_else(|| options.memory_request.clone()),
            memory_limit: self.memory_limit.clone().unwrap_or_else(|| options.memory_limit.clone()),
            ..options
        })
    }
}
