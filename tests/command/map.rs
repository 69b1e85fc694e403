//! `flowproof map`: tables and graphs, what a change opens and closes, a reviewed file, revisions of git.

use super::{flowproof, stderr};
use std::{path::Path, process::Command};

const SHOP: &str = "
{ apiVersion: apps/v1, kind: Deployment, metadata: { name: web, namespace: shop }, spec: { template: { metadata: { labels: { app: web } }, spec: { containers: [{ ports: [{ containerPort: 8080 }] }] } } } }
---
{ apiVersion: apps/v1, kind: Deployment, metadata: { name: db, namespace: shop }, spec: { template: { metadata: { labels: { app: db } }, spec: { containers: [{ ports: [{ containerPort: 5432 }] }] } } } }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: shop }
spec: { podSelector: { matchLabels: { app: db } }, policyTypes: [Ingress, Egress], ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }] }
";

/// The same without the policy's only peer: everybody reaches the database.
fn opened() -> String {
    SHOP.replace("ingress: [{ from: [{ podSelector: { matchLabels: { app: web } } }] }]", "ingress: [{}]")
}

/// What is printed when the database is opened to everybody.
fn opens(before: &str, after: &str) -> String {
    format!(
        "+ opens  the world -> shop/db tcp/5432
    now     NetworkPolicy shop/db, ingress rule 1 lets it in ({after}:9:94)
    before  NetworkPolicy shop/db isolates shop/db for ingress, and no rule of it matches ({before}:6:1)
"
    )
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let file = directory.join(name);
    std::fs::write(&file, text).expect("it can be written");
    file.display().to_string()
}

#[test]
fn a_map_is_a_table_lines_or_a_graph() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let shop = write(directory.path(), "shop.yaml", SHOP);
    let table = stdout(&flowproof(&["map", &shop]));
    assert!(table.contains("shop/web") && table.contains("tcp/5432"), "{table}");
    assert!(table.ends_with("may reach nobody: shop/db\n"), "{table}");
    let lines = stdout(&flowproof(&["map", &shop, "--format", "lines"]));
    assert!(lines.lines().any(|line| line == "shop/web -> shop/db tcp/5432"), "{lines}");
    assert!(!lines.contains("the world -> shop/db"), "{lines}");
    let mermaid = stdout(&flowproof(&["map", &shop, "--format", "mermaid"]));
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("n1 -->|\"tcp/5432\"| n0"),
        "{mermaid}"
    );
    let dot = stdout(&flowproof(&["map", &shop, "--format", "dot"]));
    assert!(dot.starts_with("digraph reach {") && dot.ends_with("}\n"), "{dot}");
    let markdown = stdout(&flowproof(&["map", &shop, "--format", "markdown"]));
    assert!(markdown.starts_with("| from \\ to | "), "{markdown}");
}

#[test]
fn a_change_opens_and_closes_and_fails_when_asked() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let before = write(directory.path(), "before.yaml", SHOP);
    let after = write(directory.path(), "after.yaml", &opened());
    let output = flowproof(&["map", "--diff", &before, &after]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), opens(&before, &after).as_str()));
    let code = |arguments: &[&str]| flowproof(&[&["map", "--diff"], arguments].concat()).status.code();
    assert_eq!(code(&[&before, &after, "--fail-on", "opens"]), Some(1));
    assert_eq!(code(&[&before, &after, "--fail-on", "closes"]), Some(0));
    assert_eq!(code(&[&after, &before, "--fail-on", "closes"]), Some(1));
    let same = flowproof(&["map", "--diff", &before, &before, "--fail-on", "any"]);
    assert_eq!(
        (same.status.code(), stdout(&same).as_str()),
        (Some(0), "who may reach whom stays the same\n")
    );
    let saved =
        write(directory.path(), "map.json", &stdout(&flowproof(&["map", &before, "--format", "json"])));
    let from_saved = flowproof(&["map", "--diff", &saved, &after]);
    let without_before: String = stdout(&output)
        .lines()
        .filter(|line| !line.starts_with("    before"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(stdout(&from_saved), without_before, "{}", stderr(&from_saved));
    let edited = std::fs::read_to_string(&saved).expect("it is there").replace("tcp/5432", "tcp/postgres");
    let wrong = flowproof(&["map", "--diff", &write(directory.path(), "edited.json", &edited), &after]);
    assert!(
        wrong.status.code() == Some(2) && stderr(&wrong).contains("'tcp/postgres' is not a port"),
        "{}",
        stderr(&wrong)
    );
    let markdown = stdout(&flowproof(&["map", "--diff", &before, &after, "--format", "markdown"]));
    assert!(
        markdown.contains(
            "\n| opens | `the world -> shop/db tcp/5432` | NetworkPolicy shop/db, ingress rule 1 lets it in ("
        ),
        "{markdown}"
    );
}

#[test]
fn a_reviewed_file_is_kept_true() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let shop = write(directory.path(), "shop.yaml", SHOP);
    let reach = directory.path().join("reach.txt").display().to_string();
    let missing = flowproof(&["map", &shop, "--check", &reach]);
    assert!(
        missing.status.code() == Some(2) && stderr(&missing).contains("--write creates it"),
        "{}",
        stderr(&missing)
    );
    assert_eq!(flowproof(&["map", &shop, "--check", &reach, "--write"]).status.code(), Some(0));
    assert_eq!(flowproof(&["map", &shop, "--check", &reach]).status.code(), Some(0));
    let open = write(directory.path(), "shop.yaml", &opened());
    let output = flowproof(&["map", &open, "--check", &reach]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).starts_with("+ the world -> shop/db tcp/5432   (allowed, and not in "),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_revision_of_git_is_compared_with_what_is_there() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let output = Command::new("git")
            .current_dir(directory.path())
            .args(identity)
            .args(arguments)
            .output()
            .expect("git can be started");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    git(&["init", "--quiet"]);
    std::fs::create_dir(directory.path().join("chart")).expect("it can be made");
    write(directory.path(), "chart/shop.yaml", SHOP);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "a chart"]);
    let after = write(directory.path(), "chart/shop.yaml", &opened());
    let diff = |old: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
        command
            .current_dir(directory.path())
            .args(["map", "--diff", old, &after])
            .output()
            .expect("it can be started")
    };
    for old in ["git:HEAD:chart", "git:HEAD:chart/shop.yaml"] {
        let output = diff(old);
        assert_eq!(stdout(&output), opens("git:HEAD:chart/shop.yaml", &after), "{old}: {}", stderr(&output));
    }
    let wrong = diff("git:HEAD:charts");
    assert!(
        wrong.status.code() == Some(2) && stderr(&wrong).contains("HEAD has no manifests at charts"),
        "{}",
        stderr(&wrong)
    );
}
