//! A cluster whose admission policies demand what companies demand: labels, limits, images of certain registries. What can be given
//! is given, and then it runs; what cannot be given is said, with the policy's own words. The same with the limits and the quota of a
//! live namespace, in which shadows run.

use super::network::{Network, Ran};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use std::time::Duration;

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/basics/default-deny-ingress.yaml");

/// What all objects of the trial are called.
const NAME: &str = "flowproof-trial";

/// A scenario with a shadow in a live namespace.
const SHADOW: &str = "
scenario: a shadow in a namespace with limits and a quota
namespaces: { outside: }
workloads:
  tight/api: { like: deployment/api, in: flowproof-trial, listens: [tcp/8080] }
  outside/pod:
policies: live
expect: policy
";

/// What the policies demand, as the options give it.
const OPTIONS: [&str; 10] = [
    "--pod-label",
    "team=net",
    "--pod-annotation",
    "contact=net@example.com",
    "--namespace-label",
    "cost-center=42",
    "--namespace-annotation",
    "owner=net",
    "--cpu-limit",
    "500m",
];

/// The trials on one network.
pub fn trials(network: &Network) -> [Trial; 2] {
    let [admitting, tight] = [network.clone(), network.clone()];
    [
        Trial::test(
            format!("{}: admission policies demand labels, limits and a registry", network.name),
            move || {
                assert!(admitting.applies(&demands(), &[]), "the policies are accepted");
                let outcome = demanded(&admitting);
                for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
                    let names = [NAME, &format!("{NAME}-namespaces")];
                    admitting.kubectl(&["delete", kind, names[0], names[1], "--ignore-not-found"]);
                }
                outcome
            },
        ),
        Trial::test(format!("{}: a live namespace has limits and a quota", network.name), move || {
            assert!(tight.applies(&tight_namespace(), &[]), "the objects are accepted");
            let outcome = limited(&tight);
            tight.kubectl(&["delete", "namespace", NAME, "--ignore-not-found"]);
            outcome
        }),
    ]
}

/// A namespace that wants more memory of its pods than a prober asks for, and has no room for one more.
fn tight_namespace() -> Value {
    let metadata = |name: &str| json!({ "name": name, "namespace": NAME });
    let labels = json!({ "app": "api" });
    let pod = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "api", "image": "localhost/api" }] } });
    let items = [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAME } }),
        json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": metadata("limits"),
            "spec": { "limits": [{ "type": "Container", "min": { "memory": "100Mi" } }] },
        }),
        quota("64Mi"),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("api"),
            "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": pod },
        }),
    ];
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn quota(memory: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "quota", "namespace": NAME },
        "spec": { "hard": { "limits.memory": memory } },
    })
}

fn limited(network: &Network) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("scenario.yaml");
    std::fs::write(&file, SHADOW)?;
    let file = file.display().to_string();
    let run = |options: &[&str]| network.run(&[options, &["--no-canary", &file]].concat());
    let refused = |options: &[&str], words: &str, hint: &str| {
        let ran = run(options);
        let said = format!("{}{}", ran.outcome, ran.stderr);
        check(ran.code == Some(4) && said.contains(words) && said.contains(hint), words, &ran)
    };
    let larger = ["--memory", "100Mi", "--memory-limit", "100Mi"];
    refused(&[], "minimum memory usage per Container is 100Mi", "--memory-limit")?;
    refused(&larger, "exceeded quota: quota", "raise the ResourceQuota")?;
    assert!(network.applies(&quota("1Gi"), &[]), "the quota is accepted");
    let ran = Network::wait_for("the quota has room", Duration::from_secs(60), || {
        let hard =
            network.kubectl(&["get", "resourcequota", "quota", "-n", NAME, "-o", "jsonpath={.status.hard}"]);
        hard.contains("1Gi").then(|| run(&larger))
    });
    check(ran.code == Some(0), "with room for larger pods it runs", &ran)
}

/// Policies for the namespaces of runs, and for the pods in them.
fn demands() -> Value {
    let labels = "has(object.metadata.labels) && ";
    let annotations = "has(object.metadata.annotations) && ";
    let limits = "object.spec.containers.all(c, has(c.resources) && has(c.resources.limits) && 'cpu' in c.resources.limits \
                  && 'memory' in c.resources.limits)";
    let pods = [
        (format!("{labels}'team' in object.metadata.labels"), "pods need the label team"),
        (
            format!("{annotations}'contact' in object.metadata.annotations"),
            "pods need the annotation contact",
        ),
        (limits.to_owned(), "containers need limits"),
        (
            "object.spec.containers.all(c, c.image.startsWith('localhost/'))".to_owned(),
            "images come from localhost",
        ),
        ("object.spec.securityContext.runAsUser >= 10000".to_owned(), "users are above 10000"),
    ];
    let namespaces = [
        (format!("{labels}'cost-center' in object.metadata.labels"), "namespaces need the label cost-center"),
        (
            format!("{annotations}'owner' in object.metadata.annotations"),
            "namespaces need the annotation owner",
        ),
    ];
    let policy = |name: &str, resource: &str, validations: &[(String, &str)]| {
        let validations: Vec<Value> = validations
            .iter()
            .map(|(rule, message)| json!({ "expression": rule, "message": message }))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource],
                }] },
                "matchConditions": [{
                    "name": "of-a-run",
                    "expression": format!("{labels}'flowproof.dev/run' in object.metadata.labels"),
                }],
                "validations": validations,
            },
        })
    };
    let binding = |name: &str| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": name },
            "spec": { "policyName": name, "validationActions": ["Deny"] },
        })
    };
    let of_namespaces = format!("{NAME}-namespaces");
    let items = [
        policy(NAME, "pods", &pods),
        policy(&of_namespaces, "namespaces", &namespaces),
        binding(NAME),
        binding(&of_namespaces),
    ];
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn demanded(network: &Network) -> Result<(), Failed> {
    in_force(network);
    let refused = |options: &[&str], words: &str, hint: &str| {
        let ran = network.run(&[options, &["--no-canary", SCENARIO]].concat());
        let said = format!("{}{}", ran.outcome, ran.stderr);
        let holds = ran.code == Some(4) && [words, hint, NAME].iter().all(|text| said.contains(text));
        check(holds, words, &ran)
    };
    refused(&[], "namespaces need the label cost-center", "--namespace-label")?;
    refused(&OPTIONS[4..], "pods need the label team", "--pod-label")?;
    refused(&OPTIONS[..8], "containers need limits", "--cpu-limit")?;
    let ran = network.run(&[&OPTIONS[..], &["--no-canary", SCENARIO]].concat());
    check(ran.code == Some(0), "with all that is demanded it runs", &ran)
}

/// Waits until the policies refuse: they do so some time after they were accepted, and nothing else says when.
fn in_force(network: &Network) {
    let metadata = json!({ "name": "trial", "labels": { "flowproof.dev/run": "trial" } });
    let container = json!({ "name": "trial", "image": "localhost/trial" });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "containers": [container] } });
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
    Network::wait_for("the policies are in force", Duration::from_secs(60), || {
        let refused = |object: &Value| !network.applies(object, &["--dry-run=server"]);
        (refused(&pod) && refused(&namespace)).then_some(())
    });
}

fn check(holds: bool, what: &str, ran: &Ran) -> Result<(), Failed> {
    let said = || format!("{what}; exit code {:?}\n{}\n{:#}", ran.code, ran.stderr, ran.outcome).into();
    holds.then_some(()).ok_or_else(said)
}
