//! flowproof as a Job inside the cluster: `manifest job`, applied as it is printed, and the runner's image.

use super::network::Network;
use libtest_mimic::{Failed, Trial};
use std::{process::Command, time::Duration};

/// The trial on one network.
pub fn trial(network: &Network) -> Trial {
    let network = network.clone();
    Trial::test(format!("{}: flowproof runs as a Job in the cluster", network.name), move || {
        let outcome = job(&network);
        network.kubectl(&["delete", "namespace", "flowproof-inside", "--ignore-not-found", "--wait"]);
        network.kubectl(&[
            "delete",
            "clusterrolebinding",
            "flowproof-flowproof-inside",
            "--ignore-not-found",
        ]);
        network.kubectl(&["delete", "clusterrole", "flowproof", "--ignore-not-found"]);
        outcome
    })
}

fn job(network: &Network) -> Result<(), Failed> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |name: &str| directory.path().join(name).display().to_string();
    // Without debug information, a build for tests is small enough for an image.
    let (program, image) = (at("flowproof"), at("flowproof.tar"));
    let stripped = Command::new("strip").args(["-o", &program, env!("CARGO_BIN_EXE_flowproof")]).status();
    assert!(stripped.is_ok_and(|status| status.success()), "the program can be stripped");
    let print = |arguments: &[&str]| {
        let output = Command::new(&program).args(arguments).output().expect("flowproof can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints text")
    };
    print(&["image", "save", "--runner", &image]);
    let reference = print(&["image", "name", "--runner"]);
    network.lab(&["load", &image]);

    let apply = |manifests: String| {
        std::fs::write(at("manifests.yaml"), manifests).expect("it can be written");
        network.kubectl(&["apply", "--filename", &at("manifests.yaml")]);
    };
    apply(print(&["manifest", "rbac", "--namespace", "flowproof-inside"]));
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    network.kubectl(&["label", "namespace", "flowproof-inside", restricted]);
    let arguments = ["manifest", "job", "--namespace", "flowproof-inside", "--image", reference.trim()];
    let command = ["--pull-policy", "Never", "--", "check", "--nodes-only"];
    apply(print(&[&arguments[..], &command].concat()));
    let pod = |path: &str| {
        let output = format!("jsonpath={{.items[*].status.containerStatuses[0].state.terminated.{path}}}");
        let job = ["get", "pods", "--namespace", "flowproof-inside", "--selector", "job-name=flowproof"];
        network.kubectl(&[&job[..], &["--output", &output]].concat())
    };
    let code = Network::wait_for("the Job's pod ends", Duration::from_secs(120), || {
        Some(pod("exitCode")).filter(|code| !code.trim().is_empty())
    });
    let log = network.kubectl(&["logs", "--namespace", "flowproof-inside", "job/flowproof"]);
    let enforced = code.trim() == "0" && log.contains("in-cluster");
    enforced.then_some(()).ok_or_else(|| format!("exit code {code}\n{log}").into())
}
