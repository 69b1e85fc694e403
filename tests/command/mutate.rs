//! `flowproof mutate`: what survives, the score, and the exit code of `--fail-under`.

use super::{flowproof, stderr};
use serde_json::Value;

const SCENARIO: &str = "
scenario: the database is reached by the api
namespaces: { app: , data: }
workloads:
  app/api: { labels: { role: api } }
  app/web:
  data/db: { listens: [tcp/80, tcp/81] }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: db, namespace: data }
    spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { role: api } } }], ports: [{ port: 80 }] }] }
expect: { allow: [app/api -> data/db tcp/80] }
";

#[test]
fn what_nobody_would_notice_is_shown_with_what_would_catch_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("s.yaml");
    std::fs::write(&file, SCENARIO).expect("it can be written");
    let file = file.display().to_string();
    let output = flowproof(&["mutate", &file]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.contains("catch  deny: [app/web -> data/db tcp/80]"), "{text}");
    assert_eq!(flowproof(&["mutate", &file, "--fail-under", "100"]).status.code(), Some(1));
    let json = flowproof(&["mutate", &file, "--json", "-"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(json["schema"], "flowproof.mutate/1");
    assert!(json["edits"].as_u64() > json["noticed"].as_u64(), "{json:#}");

    let thorough =
        SCENARIO.replace("tcp/80] }\n", "tcp/80], deny: [app/web -> data/db, app/api -> data/db tcp/81] }\n");
    std::fs::write(&file, thorough).expect("it can be written");
    let output = flowproof(&["mutate", &file, "--fail-under", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn without_policies_there_is_nothing_to_edit() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("s.yaml");
    let (without, _) = SCENARIO.split_once("policies:").expect("it has policies");
    std::fs::write(&file, format!("{without}expect: {{ allow: [app/api -> data/db tcp/80] }}\n"))
        .expect("it can be written");
    let output = flowproof(&["mutate", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}
