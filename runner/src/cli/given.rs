//! Where `explain`, `generate` and `map` read namespaces, pods and policies: files, or a cluster that is only read.

use super::{Failure, cluster::KubeArgs, console};
use crate::{
    kube::snapshot::{self, Reached},
    sources::{Sources, has_errors},
};
use clap::Args;
use flowproof_core::snapshot::Snapshot;
use std::path::PathBuf;

/// Where namespaces, pods and policies are read.
#[derive(Debug, Clone, Args)]
pub struct GivenArgs {
    /// Read manifests (files, directories, - for stdin) instead of a cluster; explain also reads a scenario
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., conflicts_with_all = ["kubeconfig", "context"])]
    pub files: Vec<PathBuf>,
    /// Read a live cluster, which is the default without --file; nothing in it is changed
    #[arg(long, value_name = "CLUSTER", value_parser = ["kube"], conflicts_with = "files")]
    pub cluster: Option<String>,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Pods and policies of manifests, or of one scenario after one of its steps (the last one by default).
pub fn of_files(files: &[PathBuf], step: Option<usize>) -> Result<Snapshot, Failure> {
    let sources = read(files)?.unwrap_or_default();
    match (&sources.scenarios[..], sources.snapshot) {
        ([], Some(_)) if step.is_some() => {
            Err(Failure::usage("--step is for a scenario, and these are manifests"))
        }
        ([], Some(snapshot)) => Ok(snapshot),
        ([scenario], None) if scenario.live => Err(Failure::usage(format!(
            "{} has no policies of its own: it is about those of a cluster",
            scenario.file
        ))
        .hint("leave the file out to ask the cluster")),
        ([scenario], None) => {
            let all = scenario.steps.len();
            match step.unwrap_or(all) {
                step if step > all => Err(Failure::usage(format!(
                    "the scenario has no step {step}: its last one is step {all}"
                ))),
                step => Ok(Snapshot::of_scenario(scenario, step)),
            }
        }
        _ => Err(Failure::usage("give either one scenario, or manifests")
            .hint("name one scenario file, or any number of files and directories with manifests")),
    }
}

/// Reads files, if there are any.
pub fn read(files: &[PathBuf]) -> Result<Option<Sources>, Failure> {
    if files.is_empty() {
        return Ok(None);
    }
    sound(Sources::read(files).map_err(|files| Failure::problems(&files))?).map(Some)
}

/// Refuses sources with errors.
pub fn sound(sources: Sources) -> Result<Sources, Failure> {
    if has_errors(&sources.problems) {
        return Err(Failure::problems(&sources.shown(&sources.problems)));
    }
    Ok(sources)
}

/// Reads the cluster, and prints which one it is.
pub async fn live(kube: &KubeArgs) -> Result<Snapshot, Failure> {
    let Reached { snapshot, context, server } = snapshot::read(kube.connection()).await?;
    console::note(format_args!("context {context}, server {server}"));
    Ok(snapshot)
}
