//! The prober's image from a registry outside the cluster, with a certificate of a private authority and a password. Nobody can pull
//! without the password, so a run that matches has used its pull secret.

use super::{
    network::{FLOWPROOF, Network},
    server::{self, Registry},
};
use libtest_mimic::{Failed, Trial};
use std::process::Command;

/// An address of the lab's world outside.
const ADDRESS: &str = "198.51.100.10";

const NODES: [&str; 2] = ["node1", "node2"];

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/basics/default-deny-ingress.yaml");

/// The trial on one network.
pub fn trial(network: &Network) -> Trial {
    let missing = server::missing();
    let name = format!("{}: an image from a registry with a password", network.name);
    let name = missing.map_or_else(|| name.clone(), |program| format!("{name}: there is no {program}"));
    let network = network.clone();
    let trial = move || {
        let script = network.script().display().to_string();
        let outside =
            ["env", &format!("FLOWPROOF_LAB_INSTANCE={}", network.name), &script, "enter", "outside"];
        let registry = Registry::start(&outside, &format!("{ADDRESS}:0"), &format!("IP:{ADDRESS}"));
        let outcome = pushed_and_pulled(&network, &registry, &outside);
        network.kubectl(&["delete", "secret", "registry", "--namespace", "default", "--ignore-not-found"]);
        forget(&network);
        outcome
    };
    Trial::test(name, trial).with_ignored_flag(missing.is_some())
}

/// Makes the kubelets forget that this image was pulled with a password. Since Kubernetes 1.35, no pod may use such an image without
/// credentials, under any name, even if the image had been loaded before.
fn forget(network: &Network) {
    for node in NODES {
        let kubelet = format!("{node}-kubelet");
        network.lab(&["stop", &kubelet]);
        network.lab(&["enter", node, "rm", "-rf", "/var/lib/kubelet/image_manager"]);
        network.lab(&["start", &kubelet]);
    }
}

fn pushed_and_pulled(network: &Network, registry: &Registry, outside: &[&str]) -> Result<(), Failed> {
    let address = format!("{ADDRESS}:{}", registry.port);
    let ca = std::fs::read_to_string(registry.file("ca.pem")).expect("it can be read");
    for node in NODES {
        let folder = format!("/etc/containerd/certs.d/{address}");
        let trust = format!("mkdir -p {folder} && printf '%s' '{ca}' > {folder}/ca.crt");
        network.lab(&["enter", node, "sh", "-c", &trust]);
    }
    let to = format!("{address}/net/flowproof-prober");
    let push = Command::new(outside[0])
        .args(&outside[1..])
        .args([FLOWPROOF, "image", "push", &to, "--ca", &registry.file("ca.pem").display().to_string()])
        .env("DOCKER_CONFIG", registry.login(&address))
        .output()
        .expect("it can be started");
    let reference = String::from_utf8_lossy(&push.stdout).trim().to_owned();
    if !push.status.success() {
        return Err(String::from_utf8_lossy(&push.stderr).into_owned().into());
    }
    let secret = ["create", "secret", "docker-registry", "registry", "--namespace", "default"];
    let login = ["--docker-username", "user", "--docker-password", "password", "--docker-server", &address];
    network.kubectl(&[&secret[..], &login].concat());

    let pulled =
        network.run(&["--no-canary", "--image", &reference, "--pull-secret", "default/registry", SCENARIO]);
    let matched = pulled.code == Some(0);
    matched
        .then_some(())
        .ok_or_else(|| format!("exit code {:?}\n{}\n{:#}", pulled.code, pulled.stderr, pulled.outcome).into())
}
