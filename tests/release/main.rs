//! What a release and its users' first commands consist of: the action, the workflows, the archives, the krew manifest, and the
//! commands that the documentation shows. Nothing of it needs a cluster or the network.

mod action;
mod archive;
mod commands;
mod workflows;

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the runner is a directory of the repository")
        .into()
}

/// A file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of the repository.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The keys of a mapping.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Every part of a text that stands between two marks.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|part| part.split_once(close).map(|(inside, _)| inside)).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The targets that releases are made for, as the krew manifest's template names them.
fn targets() -> Vec<String> {
    let template = text(".ci/krew.yaml");
    let targets = between(&template, "sha256: \"@", "@\"").into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(targets.len(), 2, "{targets:?}");
    targets
}
