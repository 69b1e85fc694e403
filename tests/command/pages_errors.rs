//! Pages of errors before anything runs: each as a shell shows it, narrow and wide, with and without color.

use super::pages::Pages;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs flowproof in a folder, with these variables.
fn at(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(folder, variables, arguments).output().expect("flowproof can be started")
}

fn command(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    for variable in ["KUBECONFIG", "GITHUB_STEP_SUMMARY", "COLUMNS", "CLICOLOR_FORCE", "CLICOLOR", "NO_COLOR"]
    {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(folder).env("HOME", "/nonexistent");
    command.envs(variables.iter().copied());
    command
}

/// A command line as it is typed, what it prints, and its exit code.
fn transcript(folder: &Path, arguments: &[&str]) -> String {
    let seen = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    // One offset for both, so that their order is kept.
    let both = seen.reopen().expect("it can be opened again");
    let mut command = command(folder, &[], arguments);
    command.stderr(both.try_clone().expect("it can be shared")).stdout(both);
    let code = command.status().expect("flowproof can be started").code().expect("nothing ends it");
    let shown = fs::read_to_string(seen.path()).expect("it is text");
    let quoted = |word: &&str| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=+".contains(c));
        if plain && !word.is_empty() { (*word).to_owned() } else { format!("'{word}'") }
    };
    let line: Vec<String> = arguments.iter().map(quoted).collect();
    format!("$ flowproof {}\n{}\nexit code {code}\n\n", line.join(" "), shown.trim_end())
}

const BROKEN: &str = "scenario: x\nworkload: {}\n";

const CONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: kind-test
clusters: [{ name: c, cluster: { server: 'https://127.0.0.1:1' } }]
users: [{ name: u, user: {} }]
contexts: [{ name: kind-test, context: { cluster: c, user: u } }]
";

const LIVE: &str = "scenario: live\npolicies: live\nnamespaces: { shop: }\nworkloads: { shop/a: , shop/b: { listens: [tcp/80] } }\nexpect: { allow: [shop/a -> shop/b] }\n";

/// A folder with files that are wrong in one way each.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let saved = super::pages::SAVED;
    let watched = saved.replacen(
        "\"remains\"",
        "\"watch\":{\"from_ms\":0,\"until_ms\":1,\"ended\":\"conditions\",\"command\":null},\"remains\"",
        1,
    );
    let files = [
        ("broken.yaml", BROKEN),
        ("config", CONFIG),
        ("saved.json", saved),
        ("watched.json", &watched),
        ("cut.json", &saved[..100]),
        ("other.json", "{\"schema\": \"flowproof.lint/1\"}"),
        ("newer.json", &saved.replacen("flowproof.run/1", "flowproof.run/99", 1)),
        ("pods.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n"),
        ("live.yaml", LIVE),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("it can be written");
    }
    fs::create_dir(folder.path().join("empty")).expect("it can be made");
    folder
}

#[test]
fn what_a_wrong_command_line_says() {
    let folder = folder();
    let lines: &[&[&str]] = &[
        &["nonsense"],
        &["rum"],
        &["run", "--setle", "5s"],
        &["run", "--settle", "fast"],
        &["run", "--settle", "-3s"],
        &["run", "--jobs", "0"],
        &["run", "--family", "5"],
        &["run", "--cluster", "local", "--fault", "nothing-enforce"],
        &["run", "--cluster", "kube", "--fault", "nothing-enforced"],
        &["run", "--cluster", "local", "--context", "kind-kind"],
        &["run", "--cluster", "local", "--keep"],
        &["run", "--cluster", "local", "--json", "-", "--junit", "-"],
        &["run", "--cluster", "local", "--html", "/nonexistent/report.html"],
        &["run", "--kubeconfig", "config", "--toleration", "a=b:Sometimes"],
        &["run", "--kubeconfig", "config", "--pod-label", "team"],
        &["run", "--kubeconfig", "config", "--deliver", "configmap", "--image", "a/b:1"],
        &["run", "--kubeconfig", "config", "--image", "a/b:1", "--base-image", "c/d:1"],
        &["check", "--nodes-only", "--filter", "x"],
        &["check", "--no-canary"],
        &["compare", "saved.json"],
        &["compare", "saved.json", "saved.json", "--tolerate", "2x"],
        &["explain", "a to b", "-f", "pods.yaml"],
        &["faults", "--list", "--first"],
        &["map", "--diff", "pods.yaml"],
        &["map", "--diff", "pods.yaml", "pods.yaml", "--format", "svg"],
        &["manifest", "rbac", "--namespace", "Not_A_Name"],
        &["manifest", "job", "--", "chekc"],
        &["diagnose", "saved.json", "--without", "nothing-enforce"],
        &["lint", "--cni", "nobodys"],
        &["lint", "--kubernetes", "latest"],
    ];
    let shown: String = lines.iter().map(|line| transcript(folder.path(), line)).collect();
    Pages::default().compare("errors-usage.txt", &shown);
}

#[test]
fn what_bad_surroundings_and_wrong_files_say() {
    let folder = folder();
    let lines: &[&[&str]] = &[
        &["run", "--cluster", "kube"],
        &["run", "--kubeconfig", "missing"],
        &["run", "--kubeconfig", "config", "--context", "kind-tset"],
        &["run", "--kubeconfig", "config"],
        &["clean", "--kubeconfig", "config"],
        &["run", "missing.yaml"],
        &["run", "empty"],
        &["run", "broken.yaml"],
        &["run", "--filter", "no such scenario"],
        &["run", "--filter", "one thing", "--filter", "nowhere", "--cluster", "local"],
        &["run", "--cluster", "local", "live.yaml"],
        &["watch", "missing.yaml"],
        &["faults", "missing.yaml"],
        &["mutate", "missing.yaml"],
        &["lint", "missing.yaml"],
        &["lint", "empty"],
        &["lint", "pods.yaml"],
        &["explain", "shop/a -> shop/b tcp/80", "-f", "pods.yaml"],
        &["explain", "shop/a -> shop/b tcp/80", "-f", "missing.yaml"],
        &["generate", "--out", "out", "-f", "pods.yaml"],
        &["map", "missing.yaml"],
        &["map", "saved.json"],
        &["map", "pods.yaml", "--check", "missing.txt"],
        &["report", "missing.json"],
        &["report", "cut.json"],
        &["report", "other.json"],
        &["report", "newer.json"],
        &["compare", "saved.json", "missing.json"],
        &["diagnose", "watched.json"],
        &["diagnose", "saved.json"],
    ];
    let shown: String = lines.iter().map(|line| transcript(folder.path(), line)).collect();
    Pages::default().compare("errors-surroundings.txt", &shown);
}

/// What is printed, with escape sequences that can be read.
fn shown(output: Output) -> String {
    let bytes = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&bytes).replace('\u{1b}', "␛")
}

#[test]
fn narrow_and_wide_terminals() {
    let folder = folder();
    let mut pages = Pages::default();
    for (name, columns) in [("narrow", "60"), ("wide", "200")] {
        let variables = [("COLUMNS", columns)];
        for (page, arguments) in [("help", &["--help"][..]), ("help-watch", &["watch", "--help"])] {
            let shown = shown(at(folder.path(), &variables, arguments));
            pages.compare(&format!("{page}-{name}.txt"), &shown);
            let longest = shown.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(longest <= if name == "narrow" { 60 } else { 110 }, "{longest}: {shown}");
        }
        // Tables are as wide as their content.
        let table =
            |variables: &[(&str, &str)]| shown(at(folder.path(), variables, &["report", "saved.json"]));
        assert_eq!(table(&variables), table(&[]));
    }
}

#[test]
fn colour_is_for_help_and_usage_and_nothing_needs_it() {
    let folder = folder();
    let mut pages = Pages::default();
    let colour = [("CLICOLOR_FORCE", "1")];
    for (page, arguments) in
        [("help-colour.txt", &["compare", "--help"][..]), ("errors-colour.txt", &["run", "--setle", "5s"])]
    {
        let coloured = shown(at(folder.path(), &colour, arguments));
        assert!(coloured.contains('␛'), "{coloured}");
        pages.compare(page, &coloured);
        let plain = shown(at(folder.path(), &[("NO_COLOR", "1")], arguments));
        let without: String = coloured
            .split('␛')
            .enumerate()
            .map(|(at, part)| if at == 0 { part } else { part.split_once('m').map_or("", |(_, text)| text) })
            .collect();
        assert_eq!(without, plain, "the words are the same");
    }
    for arguments in [&["report", "saved.json"][..], &["lint", "broken.yaml"], &["map", "missing.yaml"]] {
        let coloured = shown(at(folder.path(), &colour, arguments));
        assert_eq!(coloured, shown(at(folder.path(), &[], arguments)), "signs and words, no colour");
    }
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { team: web } }\n";

fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{ name: {name}, namespace: shop }}\nspec: {spec}\n"
    )
}

#[test]
fn what_lint_says_of_no_one_and_many_problems() {
    let folder = folder();
    let from = |team: &str| {
        format!(
            "{{ podSelector: {{}}, ingress: [{{ from: [{{ namespaceSelector: {{ matchLabels: {{ team: {team} }} }} }}] }}] }}"
        )
    };
    let good = || policy("good", &from("web"));
    let warned = |name: &str| policy(name, &from("wbe"));
    let wrong = |name: &str| policy(name, "{ podSelector: {}, ingress: [{ ports: [{ port: 99999 }] }] }");
    let files = [
        ("nothing.yaml", vec![good()]),
        ("warning.yaml", vec![good(), warned("warned")]),
        ("warnings.yaml", vec![warned("warned"), warned("warned-too")]),
        ("error.yaml", vec![wrong("wrong")]),
        ("errors.yaml", vec![wrong("wrong"), wrong("wrong-too"), warned("warned")]),
        (
            "others.yaml",
            vec![
                good(),
                "---\napiVersion: v1\nkind: Secret\nmetadata: { name: s, namespace: shop }\n".into(),
            ],
        ),
    ];
    let mut shown = String::new();
    for (name, objects) in files {
        fs::write(folder.path().join(name), NAMESPACE.to_owned() + &objects.concat())
            .expect("it can be written");
        shown += &transcript(folder.path(), &["lint", name]);
    }
    shown += &transcript(folder.path(), &["lint", "errors.yaml", "error.yaml"]);
    Pages::default().compare("lint.txt", &shown);
}
