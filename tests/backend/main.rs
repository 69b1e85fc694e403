//! One suite for every backend: tests what [`flowproof::cluster::Cluster`] promises.
//!
//! `local` takes part if this user may make namespaces. `kube` takes part if `FLOWPROOF_TEST_LAB` names running instances of the
//! lab, separated by commas: the first one is used, also for the tests for Kubernetes only. A backend that does not take part is
//! listed as ignored.

#![expect(clippy::print_stderr, reason = "absences are for whoever runs the tests")]

mod conversation;
mod kubernetes;
mod lab;
mod lanes;
mod suite;
mod surroundings;

use flowproof::{
    cluster::Cluster,
    image,
    kube::{Kube, KubeOptions},
    local::{LocalCluster, LocalOptions, become_world_if_asked},
};
use kubernetes::Ground;
use lab::Lab;
use libtest_mimic::Arguments;
use std::{env, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::ExitCode, sync::Arc};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    become_world_if_asked();
    let mut arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().expect("a runtime can be made"));
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut trials = Vec::new();

    let local =
        if arguments.list { None } else { local(&runtime, directory.path().join("flowproof-prober")) };
    trials.extend(suite::trials("local", local.as_ref(), &runtime));

    let names = env::var("FLOWPROOF_TEST_LAB").unwrap_or_default();
    let lab = names.split(',').next().filter(|name| !name.is_empty()).map(|name| Lab(name.to_owned()));
    let ground = lab.map(|lab| {
        lab.load(&image::embedded().expect("the prober can be packed"), directory.path());
        let options = KubeOptions { kubeconfig: Some(lab.kubeconfig()), ..KubeOptions::default() };
        let kube =
            runtime.block_on(Kube::connect(options.clone())).expect("the lab's kubeconfig can be used");
        Ground { kube: Arc::new(kube), options, lab }
    });
    if ground.is_some() {
        // Some trials stop the lab's API server or a kubelet, and all share one backend, which knows one run at a time.
        arguments.test_threads.get_or_insert(1);
    }
    let cluster = ground.as_ref().map(|ground| Arc::clone(&ground.kube) as Arc<dyn Cluster>);
    trials.extend(suite::trials("kube", cluster.as_ref(), &runtime));
    trials.extend(kubernetes::trials(ground.as_ref(), &runtime));
    trials.extend(surroundings::trials(&runtime));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The local cluster, if this user can start one on this machine.
fn local(runtime: &Runtime, prober: PathBuf) -> Option<Arc<dyn Cluster>> {
    fs::write(&prober, image::Prober::own().program).expect("the prober can be written");
    fs::set_permissions(&prober, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    let options = LocalOptions { prober: Some(prober), ..LocalOptions::default() };
    match runtime.block_on(LocalCluster::start(&options)) {
        Ok(cluster) => Some(Arc::new(cluster)),
        Err(error) => {
            eprintln!("local: does not take part: {error}");
            None
        }
    }
}
