//! What a release and its users' first commands depend on: the action, the workflows, the archives, the krew manifest, and the
//! commands and links of the documentation. None of it needs a cluster or the network.

mod action;
mod archive;
mod commands;
mod links;
mod workflows;

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};
use walkdir::WalkDir;

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

/// The Markdown files that people read, by their paths.
fn documentation() -> Vec<String> {
    let entries = WalkDir::new(root().join("docs")).into_iter();
    let below = entries.map(|entry| entry.expect("the folder can be read").into_path());
    let pages = below.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let inside = |path: PathBuf| path.strip_prefix(root()).expect("it is inside").display().to_string();
    let others = ["README.md", "CONTRIBUTING.md", "tests/lab/README.md"];
    others.map(str::to_owned).into_iter().chain(pages.map(inside)).collect()
}

/// A YAML file of the repository.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The keys of a mapping.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Every part of a text that is between two marks.
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
    assert_eq!(targets.len(), 4, "{targets:?}");
    targets
}
