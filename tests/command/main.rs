//! The command line without any cluster: exit codes and messages, as documented.

mod check;
mod compare;
mod deviations;
mod exits;
mod json;
mod lint;
mod map;
mod mutate;
mod pages;
mod pages_errors;
mod pages_played;
mod pages_saved;
mod refused;
mod settle;
mod tutorial;
mod variants;

use std::process::{Command, Output};

/// Runs flowproof without a kubeconfig, unless the test provides one.
fn flowproof(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent")
        .env_remove("GITHUB_STEP_SUMMARY")
        .env_remove("COLUMNS")
        .env_remove("CLICOLOR_FORCE");
    command.output().expect("flowproof can be started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_kubeconfig_kube_says_so_and_points_at_the_local_cluster() {
    let output = flowproof(&["run", "--cluster", "kube"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no kubeconfig") && stderr(&output).contains("--cluster local"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_context_is_told_with_the_nearest() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("config");
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: kind-test\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                  users: [{name: u, user: {}}]\ncontexts: [{name: kind-test, context: {cluster: c, user: u}}]\n";
    std::fs::write(&file, config).expect("it can be written");
    let file = file.display().to_string();
    let output = flowproof(&["run", "--kubeconfig", &file, "--context", "kind-tset"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("did you mean 'kind-test'"), "{}", stderr(&output));
    let output = flowproof(&["run", "--kubeconfig", &file]);
    assert_eq!(output.status.code(), Some(4), "nothing listens on port 1");
    assert!(stderr(&output).contains("127.0.0.1:1"), "{}", stderr(&output));
}

#[test]
fn nothing_selected_is_an_error_of_its_own() {
    let output = flowproof(&["run", "--filter", "no scenario is called this"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn a_scenario_that_does_not_parse_is_told_with_its_place() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("broken.yaml");
    std::fs::write(&file, "scenario: x\nworkload: {}\n").expect("it can be written");
    let output = flowproof(&["lint", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("broken.yaml:2:1"), "{}", stderr(&output));
}

#[test]
fn usage_errors_have_exit_code_two() {
    for arguments in [
        &["run", "--settle", "fast"][..],
        &["run", "--cluster", "kube", "--toleration", "a=b:Sometimes"],
        &["nonsense"],
        &["image", "load"],
    ] {
        assert_eq!(flowproof(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let unknown = flowproof(&["run", "--cluster", "local", "--fault", "nothing-enforce"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
}

#[test]
fn the_schema_and_the_completions_are_data() {
    let schema = flowproof(&["schema"]);
    let parsed: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("it is JSON");
    assert_eq!(parsed["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(flowproof(&["completions", "bash"]).stdout.starts_with(b"_flowproof()"));
}

#[test]
fn the_image_is_the_same_every_time() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let save = |name: &str| {
        let file = directory.path().join(name);
        assert!(flowproof(&["image", "save", &file.display().to_string()]).status.success());
        std::fs::read(file).expect("it was written")
    };
    let (one, other) = (save("one.tar"), save("other.tar"));
    assert!(one == other && one.len() < 4 * 1024 * 1024, "{} bytes", one.len());
}

/// Policies and pods as manifests.
const MANIFESTS: &str = "
apiVersion: v1
kind: Namespace
metadata: { name: app, labels: { purpose: ap } }
---
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: Namespace, metadata: { name: data } }
  - { apiVersion: v1, kind: ConfigMap, metadata: { name: settings, namespace: data } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: api, namespace: app }
spec: { template: { metadata: { labels: { role: api } }, spec: { containers: [{ name: c }] } } }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: postgres, namespace: data }
spec:
  template:
    metadata: { labels: { app: postgres } }
    spec: { containers: [{ name: c, ports: [{ containerPort: 5432 }] }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: postgres, namespace: data }
spec:
  podSelector: { matchLabels: { app: postgres } }
  ingress:
    - from: [{ namespaceSelector: { matchLabels: { purpose: app } } }]
      ports: [{ port: 5432 }]
";

fn with_stdin(arguments: &[&str], text: &[u8]) -> Output {
    use std::{io::Write, process::Stdio};
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env("HOME", "/nonexistent").spawn().expect("flowproof can be started");
    // A command that refuses early does not read all of it.
    let _ = child.stdin.take().expect("stdin is a pipe").write_all(text);
    child.wait_with_output().expect("it ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn manifests_are_linted_without_a_scenario() {
    let output = with_stdin(&["lint", "-"], MANIFESTS.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 policy: no errors, 1 warning"), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("namespaceSelector purpose=app matches no namespace"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("passed over") && stderr(&output).contains("1 ConfigMap"),
        "{}",
        stderr(&output)
    );
    let wrong = MANIFESTS.replace("port: 5432 }]\n", "port: 5432, endPort: 1 }]\n");
    let output = with_stdin(&["lint", "--json", "-", "-"], wrong.as_bytes());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((&report["schema"], &report["errors"]), (&"flowproof.lint/1".into(), &1.into()));
    let problem = &report["problems"][0];
    assert!(
        problem["message"].as_str().expect("text").starts_with("spec.ingress[0].ports[0].endPort:"),
        "{problem}"
    );
    assert_eq!((&problem["file"], &problem["line"]), (&"stdin".into(), &32.into()));
}

#[test]
fn a_contradiction_is_told_at_both_places() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("s.yaml");
    let text = "scenario: x\nnamespaces: { a: }\nworkloads: { a/x: , a/y: { listens: [tcp/80] } }\npolicies:\n  - apiVersion: networking.k8s.io/v1\n    kind: NetworkPolicy\n    metadata: { name: p, namespace: a }\n    spec:\n      podSelector: {}\n      ingress:\n        - from: [{ podSelector: {} }]\nexpect: { deny: [a/x -> a/y] }\n";
    std::fs::write(&file, text).expect("it can be written");
    let output = flowproof(&["lint", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("s.yaml:12:18") && told.contains("s.yaml:11:11"), "{told}");
    assert!(told.contains("NetworkPolicy a/p, ingress rule 1 lets it in"), "{told}");
}

#[test]
fn a_flow_is_explained_from_manifests() {
    let output =
        with_stdin(&["explain", "app/deploy/api -> data/postgres tcp/5432", "-f", "-"], MANIFESTS.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    assert!(told.starts_with("deny: app/deploy/api -> data/postgres tcp/5432\n"), "{told}");
    let missing = "missing: it wants the namespace app to have purpose=app, where it has purpose=ap";
    assert!(told.contains("(stdin:31:7)") && told.contains(missing), "{told}");
    let output = with_stdin(&["explain", "app/apo -> data/postgres", "-f", "-"], MANIFESTS.as_bytes());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean app/api?"), "{}", stderr(&output));
    for flow in [
        "a -> ",
        "-> b tcp/80",
        "a/b",
        "a/b -> c/d tcp/0",
        "a/b -> c/d tcp/65536",
        "a/b -> c/d http",
        "ip x -> a/b tcp/1",
    ] {
        assert_eq!(
            with_stdin(&["explain", flow, "-f", "-"], MANIFESTS.as_bytes()).status.code(),
            Some(2),
            "{flow}"
        );
    }
}

#[test]
fn scenarios_are_generated_that_lint() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let out = directory.path().join("made").display().to_string();
    let output = with_stdin(&["generate", "-f", "-", "--out", &out], MANIFESTS.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(flowproof(&["lint", &out]).status.code(), Some(0));
    let again = with_stdin(&["generate", "-f", "-", "--out", &out], MANIFESTS.as_bytes());
    assert_eq!(again.status.code(), Some(2), "what is there is not written over");
    assert_eq!(
        with_stdin(&["generate", "-f", "-", "--force", "--out", &out], MANIFESTS.as_bytes()).status.code(),
        Some(0)
    );
}

/// Bad input of every kind causes a clear message, never a panic or silence.
#[test]
fn bad_manifests_are_told_and_never_panic() {
    let deep = format!("apiVersion: v1\nkind: X\nmetadata: {}x{}\n", "{ a: ".repeat(200), " }".repeat(200));
    let large =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: x }}\ndata:\n{}", "  k: v\n".repeat(2));
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: a }\nspec: { podSelector: {} }\n";
    let filler = "x".repeat(2600);
    let object = |n| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: c{n}, labels: {{ a: b }} }}\ndata: {{ k: \"{filler}\" }}\n"
        )
    };
    let many = (0..4000).map(object).collect::<Vec<_>>().concat();
    assert!(many.len() > 10 * 1024 * 1024, "{} bytes", many.len());
    let bomb = format!(
        "a: &a [x, x, x, x, x, x, x, x, x]\n{}",
        (b'b'..=b'i')
            .map(|c| {
                let (c, p) = (c as char, (c - 1) as char);
                format!("{c}: &{c} [*{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}]\n")
            })
            .collect::<Vec<_>>()
            .concat()
    );
    for (what, text, code, words) in [
        ("two of one name", format!("{policy}---\n{policy}").into_bytes(), 2, "is defined twice"),
        ("wrong apiVersion", policy.replace("networking.k8s.io/v1", "extensions/v1beta1").into_bytes(), 2, "write networking.k8s.io/v1"),
        ("a tab", policy.replace("kind:", "\tkind:").into_bytes(), 2, "tab"),
        ("CRLF", policy.replace('\n', "\r\n").into_bytes(), 0, ""),
        ("a byte order mark", format!("\u{feff}{policy}").into_bytes(), 0, ""),
        ("invalid UTF-8", [policy.as_bytes(), b"# \xff\n"].concat(), 2, "not UTF-8"),
        ("deep", deep.into_bytes(), 2, "nested more than"),
        ("two keys", large.into_bytes(), 2, "duplicate key"),
        ("10 MB", format!("{policy}{many}").into_bytes(), 0, "4000 ConfigMap"),
        ("an alias bomb", bomb.into_bytes(), 2, "aliases"),
        ("anchors and merge keys", policy.replace("spec: { podSelector: {} }", "x-rules: &r { ingress: [{}] }\nspec: { podSelector: {}, <<: { egress: [] }, policyTypes: &t [Ingress] }").into_bytes(), 2, "unknown field 'x-rules'"),
        ("nothing", Vec::new(), 5, "no policy"),
        ("a list", b"[1, 2]".to_vec(), 2, "not a manifest"),
        ("text", b"kind: [".to_vec(), 2, "not YAML"),
        ("only unknown kinds", b"apiVersion: v1\nkind: Secret\nmetadata: { name: x }\n".to_vec(), 5, "1 Secret"),
        ("a spec of the wrong type", policy.replace("{ podSelector: {} }", "7").into_bytes(), 2, "spec: must be a mapping"),
        ("a foreign policy", policy.replace("networking.k8s.io/v1", "projectcalico.org/v3").replace("NetworkPolicy", "GlobalNetworkPolicy").into_bytes(), 5, "cannot check"),
    ] {
        for command in [&["lint", "-"][..], &["explain", "a/b -> a/c tcp/1", "-f", "-"]] {
            let output = with_stdin(command, &text);
            let told = stderr(&output);
            assert!(!told.contains("panicked") && output.status.code().is_some_and(|code| code < 10), "{what}: {told}");
            if command[0] == "lint" {
                let told = format!("{told}{}", stdout(&output));
                assert_eq!(output.status.code(), Some(code), "{what}: {}", &told[..told.len().min(600)]);
                assert!(told.contains(words), "{what}: {}", &told[..told.len().min(600)]);
            }
        }
    }
}
