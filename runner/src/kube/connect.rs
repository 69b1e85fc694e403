//! Finds the cluster as kubectl does: a given kubeconfig, `KUBECONFIG`, `~/.kube/config`, or the in-cluster configuration.

use super::{Kube, delivery::Deliver, failure, kinds::Kinds, ledger::Ledger};
use crate::{
    cluster::ClusterError,
    image::{self, Image},
};
use flowproof_core::scenario::{Labels, name::Qualified};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    env, io,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    time::Duration,
};

/// Limit for a TCP connection and TLS handshake to the API server.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How to reach the cluster and how to run probers in it.
#[derive(Debug, Clone)]
pub struct KubeOptions {
    /// The kubeconfig to read instead of `KUBECONFIG` and `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context to use instead of the kubeconfig's current one.
    pub context: Option<String>,
    /// The image of the prober, if it is not the one that [`crate::image::embedded`] names.
    pub image: Option<String>,
    /// How the prober gets into its pods.
    pub deliver: Deliver,
    /// The image of the pods that get the prober in a `ConfigMap`; if unset, one that the nodes have.
    pub base_image: Option<String>,
    /// When nodes pull the image.
    pub pull_policy: PullPolicy,
    /// Secrets with which nodes pull the image; copied into every namespace of a run.
    pub pull_secrets: Vec<Qualified>,
    /// Tolerations of every pod in addition to its own, as in the Kubernetes API.
    pub tolerations: Vec<Value>,
    /// Only nodes with these labels are used; the others count as unusable.
    pub node_selector: Labels,
    /// Labels that every pod gets in addition to its own, because an admission policy demands them.
    pub pod_labels: Labels,
    /// As `pod_labels`.
    pub pod_annotations: Labels,
    /// As `pod_labels`.
    pub namespace_labels: Labels,
    /// As `pod_labels`.
    pub namespace_annotations: Labels,
    /// The priority class of every pod.
    pub priority_class: Option<String>,
    /// The runtime class of every pod.
    pub runtime_class: Option<String>,
    /// CPU that every pod requests, as a Kubernetes quantity.
    pub cpu_request: String,
    /// CPU that no pod may exceed, as a Kubernetes quantity. A pod with too little CPU measures its own delays.
    pub cpu_limit: Option<String>,
    /// Memory that every pod requests, as a Kubernetes quantity.
    pub memory_request: String,
    /// Memory that no pod may exceed, as a Kubernetes quantity.
    pub memory_limit: String,
    /// Whether the probers capture the packets of attempts: as root, with the capability `NET_RAW`.
    pub capture: bool,
}

/// When nodes pull the image (`imagePullPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Every time a pod starts.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: the image was loaded onto the nodes.
    Never,
}

impl Default for KubeOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            image: None,
            deliver: Deliver::default(),
            base_image: None,
            pull_policy: PullPolicy::default(),
            pull_secrets: Vec::new(),
            tolerations: Vec::new(),
            node_selector: Labels::new(),
            pod_labels: Labels::new(),
            pod_annotations: Labels::new(),
            namespace_labels: Labels::new(),
            namespace_annotations: Labels::new(),
            priority_class: None,
            runtime_class: None,
            cpu_request: "10m".into(),
            cpu_limit: None,
            memory_request: "16Mi".into(),
            memory_limit: "64Mi".into(),
            capture: false,
        }
    }
}

impl PullPolicy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

impl Kube {
    /// Reads the configuration and prepares the client. Nothing is sent to the cluster yet.
    ///
    /// Fails with [`ClusterError::Unreachable`] if there is no configuration or it cannot be used.
    pub async fn connect(options: KubeOptions) -> Result<Self, ClusterError> {
        let (mut config, context) = configuration(&options).await?;
        config.connect_timeout = Some(CONNECT_DEADLINE);
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| {
            unusable(
                format!(
                    "the configuration of context '{context}' cannot be used: {}",
                    failure::chain(&error)
                ),
                "check the user's credentials and certificates in the kubeconfig",
            )
        })?;
        let image = match &options.image {
            Some(image) => image.clone(),
            None => image::embedded().map(|Image { reference, .. }| reference).map_err(|error| {
                ClusterError::Failed { context: "name the prober's image".into(), message: error.to_string() }
            })?,
        };
        Ok(Self {
            client,
            image,
            around: OnceLock::new(),
            context,
            server,
            options,
            pods: Mutex::new(HashMap::new()),
            kinds: Kinds::default(),
            ledger: Mutex::new(Ledger::default()),
            may_shadow: tokio::sync::OnceCell::new(),
        })
    }

    /// The name of the kubeconfig's context, or `in-cluster`.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The address of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }
}

async fn configuration(options: &KubeOptions) -> Result<(Config, String), ClusterError> {
    let Some(kubeconfig) = kubeconfig(options.kubeconfig.as_deref())? else {
        return in_cluster(options);
    };
    let context = context(options, &kubeconfig)?;
    let selected = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &selected).await.map_err(|error| {
        unusable(
            format!("context '{context}' of the kubeconfig cannot be used: {}", failure::chain(&error)),
            "check the cluster and the user that the context names",
        )
    })?;
    Ok((config, context))
}

/// The kubeconfig, merged from all files of `KUBECONFIG`. As with kubectl, files that do not exist are left out.
/// `None` if there is none at all.
fn kubeconfig(given: Option<&Path>) -> Result<Option<Kubeconfig>, ClusterError> {
    let bad = |error: KubeconfigError| {
        if let KubeconfigError::ReadConfig(error, path) = &error {
            let what = format!("the kubeconfig {} cannot be read: {error}", path.display());
            return unusable(what, "check its path and permissions");
        }
        unusable(failure::chain(&error), "check the file's path, permissions and syntax")
    };
    if let Some(path) = given {
        return Kubeconfig::read_from(path).map(Some).map_err(bad);
    }
    let listed: Vec<PathBuf> = env::var_os("KUBECONFIG")
        .map(|list| env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    let paths = if listed.is_empty() {
        env::home_dir().map(|home| home.join(".kube").join("config")).into_iter().collect()
    } else {
        listed
    };
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let next = match Kubeconfig::read_from(&path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == io::ErrorKind::NotFound => continue,
            next => next.map_err(bad)?,
        };
        merged = Some(match merged {
            Some(first) => first.merge(next).map_err(bad)?,
            None => next,
        });
    }
    Ok(merged)
}

/// Whether kubectl would find a cluster: there is a kubeconfig, or flowproof runs in a pod.
pub fn configured() -> bool {
    // A kubeconfig that cannot be read counts, too, so that its problem is reported.
    !matches!(kubeconfig(None), Ok(None)) || Config::incluster().is_ok()
}

/// The context to use: the given one or the current one, if the kubeconfig has it.
fn context(options: &KubeOptions, kubeconfig: &Kubeconfig) -> Result<String, ClusterError> {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let listed =
        if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
    let wanted = match options.context.as_ref().or(kubeconfig.current_context.as_ref()) {
        Some(wanted) if !wanted.is_empty() => wanted,
        _ => {
            return Err(unusable(
                "the kubeconfig has no current context".into(),
                &format!("name one with --context; {listed}"),
            ));
        }
    };
    if names.contains(&wanted.as_str()) {
        return Ok(wanted.clone());
    }
    let nearest = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, wanted), name))
        .filter(|(distance, _)| *distance <= 3.max(wanted.len() / 3))
        .min();
    let hint = match nearest {
        Some((_, name)) => format!("did you mean '{name}'? {listed}"),
        None => listed,
    };
    Err(unusable(format!("the kubeconfig has no context '{wanted}'"), &hint))
}

/// The in-cluster configuration; only without any kubeconfig, and only if no context was asked for.
fn in_cluster(options: &KubeOptions) -> Result<(Config, String), ClusterError> {
    let none = || {
        let looked = match env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
            Some(list) => format!("KUBECONFIG={}", list.display()),
            None => "~/.kube/config".to_owned(),
        };
        unusable(
            format!("no kubeconfig: there is nothing at {looked}, and this is not a pod of a cluster"),
            "give one with --kubeconfig or KUBECONFIG, or try --cluster local, which needs no Kubernetes",
        )
    };
    if options.context.is_some() {
        return Err(none());
    }
    Config::incluster().map(|config| (config, "in-cluster".to_owned())).map_err(|_| none())
}

fn unusable(what: String, hint: &str) -> ClusterError {
    ClusterError::Unreachable { what, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_contexts() -> Kubeconfig {
        Kubeconfig::from_yaml(
            "{contexts: [{name: staging, context: {cluster: a}}, {name: production, context: {cluster: a}}], clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]}",
        )
        .expect("it is a kubeconfig")
    }

    fn hint(wanted: Option<&str>) -> String {
        let options = KubeOptions { context: wanted.map(str::to_owned), ..KubeOptions::default() };
        let error = context(&options, &two_contexts()).expect_err("there is no such context");
        error.hint().expect("there is a hint").to_owned()
    }

    #[test]
    fn a_wrong_context_gets_the_nearest_and_all() {
        assert_eq!(hint(Some("stagin")), "did you mean 'staging'? it has: staging, production");
        assert_eq!(hint(Some("kind-kind")), "it has: staging, production");
        assert_eq!(hint(None), "name one with --context; it has: staging, production");
    }

    #[test]
    fn a_given_file_must_exist() {
        let error = kubeconfig(Some(Path::new("/nowhere/kubeconfig"))).expect_err("there is no such file");
        assert!(error.to_string().contains("/nowhere/kubeconfig"), "{error}");
    }
}
