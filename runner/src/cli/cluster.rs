//! Where a run happens: which cluster, how it is reached, and which options have no effect there.

use super::{Failure, console, pods::PodArgs};
use crate::{
    cluster::Cluster,
    kube::{self, Kube, KubeOptions},
    local::{LocalCluster, LocalOptions, fault::Fault},
};
use clap::{Args, ValueEnum};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Which Kubernetes cluster.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubeArgs {
    /// The kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or in-cluster, like kubectl]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl KubeArgs {
    /// How to reach the cluster, and no more.
    pub fn connection(&self) -> KubeOptions {
        KubeOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            ..KubeOptions::default()
        }
    }
}

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterKind {
    /// A Kubernetes cluster, chosen the way kubectl does
    Kube,
    /// A local cluster made of network namespaces on this machine
    Local,
}

/// Where to run, and how the local cluster is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// Where to play [default: kube if there is a kubeconfig, otherwise local]
    #[arg(long, value_enum)]
    pub cluster: Option<ClusterKind>,
    /// Capture packet headers at both ends, to show where failing flows are lost. In Kubernetes the probers then run as root
    /// with `NET_RAW`, which only the Pod Security level privileged allows
    #[arg(long)]
    pub capture: bool,
    /// How the local cluster is made.
    #[command(flatten)]
    pub local: LocalArgs,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// How the local cluster is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Local cluster")]
pub struct LocalArgs {
    /// Number of nodes [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub nodes: Option<u8>,
    /// Delay before a change is enforced
    #[arg(long, value_name = "DURATION", value_parser = super::values::duration)]
    pub enforce_delay: Option<Duration>,
    /// A fault of a real network plugin to enforce policies with; `flowproof faults --list` lists them
    #[arg(long, value_name = "NAME")]
    pub fault: Option<String>,
}

impl LocalArgs {
    /// The first option that was given.
    fn given(&self) -> Option<&'static str> {
        let options = [
            ("--nodes", self.nodes.is_some()),
            ("--enforce-delay", self.enforce_delay.is_some()),
            ("--fault", self.fault.is_some()),
        ];
        first_given(options)
    }
}

impl ClusterArgs {
    /// The kind of cluster that was asked for. The default is Kubernetes if there is a kubeconfig, otherwise the local cluster, with
    /// a note. Refuses options that have no effect there; `pods` are the options of the pods.
    pub fn choose(&self, pods: &PodArgs) -> Result<ClusterKind, Failure> {
        let asked = self.kube.kubeconfig.is_some() || self.kube.context.is_some();
        let kind = match self.cluster {
            Some(kind) => kind,
            None if asked || kube::configured() => ClusterKind::Kube,
            None => {
                console::note(
                    "no kubeconfig found: using the local cluster (--cluster kube to require Kubernetes)",
                );
                ClusterKind::Local
            }
        };
        let of_kube =
            [("--kubeconfig", self.kube.kubeconfig.is_some()), ("--context", self.kube.context.is_some())];
        let useless = match kind {
            ClusterKind::Kube => self.local.given(),
            ClusterKind::Local => first_given(of_kube).or_else(|| pods.given()),
        };
        match useless {
            Some(option) => Err(no_effect(option, kind)),
            None => Ok(kind),
        }
    }

    /// Connects to the cluster, or starts the local one.
    pub async fn connect(&self, kind: ClusterKind, pods: &PodArgs) -> Result<Arc<dyn Cluster>, Failure> {
        match kind {
            ClusterKind::Local => Ok(Arc::new(LocalCluster::start(&self.local_options()?).await?)),
            ClusterKind::Kube => {
                let options = KubeOptions { capture: self.capture, ..pods.options(self.kube.connection())? };
                if options.capture {
                    console::warning(format_args!(
                        "--capture: the probers run as root with NET_RAW and nothing else; Pod Security's levels \
                         restricted and baseline forbid that, so that the run's own namespaces get the label \
                         {}=privileged",
                        kube::ENFORCE_LABEL
                    ));
                }
                Ok(Arc::new(Kube::connect(options).await?))
            }
        }
    }

    fn local_options(&self) -> Result<LocalOptions, Failure> {
        let defaults = LocalOptions::default();
        Ok(LocalOptions {
            nodes: self.local.nodes.unwrap_or(defaults.nodes),
            enforce_delay: self.local.enforce_delay.unwrap_or(defaults.enforce_delay),
            fault: self.local.fault.as_deref().map(fault).transpose()?,
            capture: self.capture,
            ..defaults
        })
    }
}

/// Refuses an option that has no effect in this kind of cluster.
pub fn no_effect(option: &str, kind: ClusterKind) -> Failure {
    let (here, other) = match kind {
        ClusterKind::Kube => ("a Kubernetes cluster", "--cluster local"),
        ClusterKind::Local => ("the local cluster", "--cluster kube"),
    };
    Failure::usage(format!("{option} has no effect in {here}")).hint(format!("leave it out, or add {other}"))
}

/// The first of these options that was given.
pub fn first_given<const N: usize>(options: [(&'static str, bool); N]) -> Option<&'static str> {
    options.into_iter().find_map(|(name, given)| given.then_some(name))
}

/// The fault with this name.
pub fn fault(name: &str) -> Result<Fault, Failure> {
    Fault::named(name).map_err(|unknown| {
        let list = "`flowproof faults --list` lists all of them";
        let hint = unknown
            .nearest
            .map_or_else(|| list.to_owned(), |nearest| format!("did you mean '{nearest}'? {list}"));
        Failure::usage(unknown.to_string()).hint(hint)
    })
}
