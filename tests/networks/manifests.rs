//! `flowproof lint` and a real API server agree on random manifests: whether they are valid, and which field is wrong.
//!
//! Every manifest is sent as YAML in a dry run with strict validation, so nothing is stored. `FLOWPROOF_MANIFESTS` sets their
//! number; `FLOWPROOF_SEED` repeats a run.

mod random;

use super::network::Network;
use flowproof_core::{
    policy::{ApiServer, Version},
    snapshot,
    text::Severity,
    tools::lint,
};
use libtest_mimic::{Failed, Trial};
use random::{Random, Tree};
use serde_json::Value;
use std::{env, fmt::Write as _};

/// The default number of manifests of each kind.
const MANIFESTS: usize = 300;

/// The most disagreements that are shown.
const SHOWN: usize = 15;

/// The trials on one cluster.
pub fn trials(network: &Network) -> Vec<Trial> {
    let number = number("FLOWPROOF_MANIFESTS").unwrap_or(MANIFESTS);
    let trial = |kind: &'static str, path: &'static str, make: fn(&mut Random, &str) -> Tree| {
        let network = network.clone();
        let name =
            format!("{}: lint and the API server agree on {number} random manifests of {kind}", network.name);
        Trial::test(name, move || agree(&network, path, make, number))
    };
    let mut trials = vec![trial(
        "NetworkPolicies",
        "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
        random::network_policy,
    )];
    if network.serves("clusternetworkpolicies.policy.networking.k8s.io") {
        trials.push(trial(
            "ClusterNetworkPolicies",
            "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
            random::cluster_policy,
        ));
    }
    trials
}

fn number(variable: &str) -> Option<usize> {
    env::var(variable).ok()?.parse().ok()
}

fn agree(
    network: &Network,
    path: &str,
    make: fn(&mut Random, &str) -> Tree,
    number: usize,
) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (client, server) = runtime.block_on(connect(network))?;
    let seed = self::number("FLOWPROOF_SEED").unwrap_or(1) as u64;
    let mut disagreements = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for index in 0..number {
        let mut random = Random::new(seed << 32 | index as u64);
        let mut manifest = make(&mut random, &format!("m{index}"));
        // One of four is valid.
        random::damage(&mut random, &mut manifest, index % 4);
        let text = manifest.yaml();
        let said = runtime.block_on(ask(&client, path, &text))?;
        let found = errors(&text, server);
        match &said {
            None => taken += 1,
            Some(_) => refused += 1,
        }
        if let Some(why) = disagreement(said.as_ref(), &found) {
            disagreements.push(format!("{text}\n  {why}\n  lint: {found:?}"));
        }
    }
    if taken == 0 || refused == 0 {
        return Err(format!("{taken} are taken and {refused} refused: nothing was compared").into());
    }
    if disagreements.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} of {number} disagree:\n", disagreements.len());
    for one in disagreements.iter().take(SHOWN) {
        let _ = writeln!(text, "{one}\n");
    }
    Err(text.into())
}

/// A client, and what is known about the API server.
async fn connect(network: &Network) -> Result<(kube::Client, ApiServer), Failed> {
    let kubeconfig = kube::config::Kubeconfig::read_from(network.kubeconfig())?;
    let options = kube::config::KubeConfigOptions::default();
    let client = kube::Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)?;
    let info = client.apiserver_version().await?;
    let version: Version = info.git_version.parse()?;
    Ok((client, ApiServer { version: Some(version), ..ApiServer::default() }))
}

/// What the API server says about a manifest; `None` if it accepts it.
async fn ask(client: &kube::Client, path: &str, text: &str) -> Result<Option<Value>, Failed> {
    let request = http::Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
        .header("content-type", "application/yaml")
        .header("accept", "application/json")
        .body(text.as_bytes().to_vec())?;
    let body = client.send(request.map(kube::client::Body::from)).await?;
    let accepted = body.status().is_success();
    let bytes = body.into_body().collect_bytes().await?;
    if accepted {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// The errors of lint.
fn errors(text: &str, server: ApiServer) -> Vec<String> {
    let (snapshot, mut problems) = snapshot::manifests(&[("m.yaml".to_owned(), text.as_bytes().to_vec())]);
    problems.extend(lint::snapshot(&snapshot, &server));
    problems.retain(|problem| problem.severity == Severity::Error);
    problems.into_iter().map(|problem| problem.message).collect()
}

/// How the two disagree.
fn disagreement(said: Option<&Value>, found: &[String]) -> Option<String> {
    let Some(said) = said else {
        return (!found.is_empty()).then(|| "the API server takes it".to_owned());
    };
    let message = said["message"].as_str().unwrap_or_default();
    if message.starts_with("the namespace of the provided object does not match") {
        // The manifest is valid; it was only sent to another namespace.
        return None;
    }
    if found.is_empty() {
        return Some(format!("the API server refuses it: {message}"));
    }
    let missing: Vec<String> = fields(said).into_iter().filter(|field| !names(found, field)).collect();
    (!missing.is_empty()).then(|| format!("the API server names {missing:?}: {message}"))
}

/// The fields that an API server's refusal names.
fn fields(said: &Value) -> Vec<String> {
    let causes = said["details"]["causes"].as_array().into_iter().flatten();
    let mut fields: Vec<String> = causes
        .filter_map(|cause| cause["field"].as_str())
        .filter(|field| *field != "<nil>" && !field.is_empty())
        .map(str::to_owned)
        .collect();
    let message = said["message"].as_str().unwrap_or_default();
    let unknown = message.split("unknown field \"").skip(1).filter_map(|rest| rest.split('"').next());
    fields.extend(unknown.map(str::to_owned));
    // "json: cannot unmarshal number into Go struct field LabelSelector.spec.podSelector.matchLabels of type string"
    let decoded = message.split("Go struct field ").nth(1).and_then(|rest| rest.split(' ').next());
    fields.extend(decoded.and_then(|field| field.split_once('.')).map(|(of, field)| {
        // The metadata of a custom resource are decoded separately.
        let bare = of == "ObjectMeta" && !field.starts_with("metadata.");
        if bare { format!("metadata.{field}") } else { field.to_owned() }
    }));
    fields
}

/// A path in which keys in brackets are written as the API server writes them: `spec[a/b]` is `spec.a/b`.
fn dotted(path: &str) -> String {
    let mut dotted = String::new();
    for part in path.split('[') {
        match part.split_once(']') {
            Some((key, rest)) if !key.bytes().all(|byte| byte.is_ascii_digit()) => {
                let _ = write!(dotted, ".{key}{rest}");
            }
            Some(_) => {
                let _ = write!(dotted, "[{part}");
            }
            None => dotted.push_str(part),
        }
    }
    dotted
}

/// Whether an error is about a field, or about one in it; indexes in lists count only if the API server has them.
fn names(found: &[String], field: &str) -> bool {
    let plain = |path: &str| -> String {
        let mut kept = String::new();
        let mut inside = false;
        for c in path.chars() {
            match c {
                '[' => inside = true,
                ']' => inside = false,
                c if !inside => kept.push(c),
                _ => {}
            }
        }
        kept
    };
    found.iter().any(|error| {
        if error.contains("duplicate key '") && error.ends_with('\'') {
            return true;
        }
        let path = &dotted(error.split(": ").next().unwrap_or_default());
        let (path, field) = if field.contains('[') {
            (path.to_owned(), field.to_owned())
        } else {
            (plain(path), plain(field))
        };
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        // If a value has the wrong type, lint names the value, and not the unknown fields in it.
        within(&path, &field) || error.contains(": must be ") && within(&field, &path)
    })
}
