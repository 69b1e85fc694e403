//! Which crates may know which: the arrows of docs/architecture.md, read from the dependency trees that cargo resolves.

use std::{collections::BTreeSet, process::Command};

/// The names of all crates that a package is built from, its own among them.
fn crates(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments =
        ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{lib}"];
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--all-features", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

fn assert_none(package: &str, foreign: &[&str]) {
    let crates = crates(package);
    assert!(crates.contains(&package.replace('-', "_")), "the tree of {package} is not its own: {crates:?}");
    let found: Vec<_> = foreign.iter().filter(|name| crates.contains(**name)).collect();
    assert!(found.is_empty(), "{package} is built with {found:?}");
}

#[test]
fn the_core_does_no_io() {
    assert_none(
        "flowproof-core",
        &[
            "tokio",
            "mio",
            "socket2",
            "kube",
            "k8s_openapi",
            "hyper",
            "nlink",
            "flowproof",
            "flowproof_prober",
        ],
    );
}

#[test]
fn the_prober_is_ignorant_of_kubernetes_and_policies() {
    assert_none(
        "flowproof-prober",
        &["kube", "k8s_openapi", "hyper", "rustls", "nlink", "flowproof", "flowproof_core"],
    );
}

#[test]
fn the_wire_is_types_only() {
    assert_none("flowproof-wire", &["tokio", "mio", "socket2", "flowproof_core", "flowproof_prober"]);
}
