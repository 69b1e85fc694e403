//! Finding files: directories, links, pipes, and files that are not scenarios.

mod documented;
mod shipped;

use super::*;
use std::os::unix::fs::symlink;

const GOOD: &str = "scenario: it answers\nnamespaces: { a: }\nworkloads: { a/x: , a/y: { listens: [tcp/80] } }\nexpect: { allow: [a/x -> a/y] }\n";

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("directories can be made");
        fs::write(path, text).expect("a file can be written");
    }
    directory
}

fn names(directory: &tempfile::TempDir, scenarios: &[Scenario]) -> Vec<String> {
    let root = directory.path().display().to_string();
    scenarios.iter().map(|s| s.file.replace(&root, "")).collect()
}

fn failures(paths: &[PathBuf]) -> Vec<String> {
    load(paths).expect_err("something is wrong").iter().map(ToString::to_string).collect()
}

#[test]
fn a_directory_is_searched_and_sorted() {
    let directory = directory(&[
        ("b.yaml", GOOD),
        ("a/z.yml", GOOD),
        ("c.txt", "no"),
        ("_draft.yaml", "no"),
        (".hidden.yaml", "no"),
        (KNOWN_DEVIATIONS, "no"),
        ("policies/p.yaml", "no"),
        ("a/policies/p.yaml", "no"),
        ("a/manifests/m.yaml", "no"),
    ]);
    symlink(directory.path(), directory.path().join("loop")).expect("links can be made");
    let scenarios = load(&[directory.path().to_owned()]).expect("all is well");
    assert_eq!(names(&directory, &scenarios), ["/a/z.yml", "/b.yaml"]);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let directory = directory(&[("b.yaml", GOOD)]);
    let scenarios =
        load(&[directory.path().to_owned(), directory.path().join("./b.yaml")]).expect("all is well");
    assert_eq!(scenarios.len(), 1);
}

#[test]
fn a_manifest_is_found_beside_the_scenario() {
    let text = format!("{GOOD}policies: [{{ file: ../policies/p.yaml }}]\n");
    let policy =
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: a }\n";
    let directory = directory(&[("s/x.yaml", &text), ("policies/p.yaml", policy)]);
    let scenarios = load(&[directory.path().join("s")]).expect("all is well");
    assert_eq!(scenarios[0].steps[0].changes.len(), 1);

    fs::write(directory.path().join("policies/p.yaml"), policy.replace("namespace: a", "namespace: b"))
        .expect("written");
    let shown = failures(&[directory.path().join("s")]).concat();
    let place = format!("{}/policies/p.yaml:3:33", directory.path().display());
    assert!(shown.contains(&place) && shown.contains("3 | metadata: { name: p, namespace: b }"), "{shown}");
}

#[test]
fn every_path_that_leads_nowhere_is_named() {
    let directory = directory(&[("empty/x.txt", "no"), ("bad.yaml", "scenario: [\n")]);
    let pipe = directory.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be run");
    assert!(made.success());
    let paths = ["missing.yaml", "empty", "bad.yaml", "pipe.yaml"].map(|name| directory.path().join(name));
    let shown = failures(&paths);
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert!(shown[0].contains("there is no such file or directory"), "{}", shown[0]);
    assert!(shown[1].contains("the directory has no scenarios"), "{}", shown[1]);
    assert!(shown[2].contains("not YAML"), "{}", shown[2]);
    assert!(shown[3].contains("it is not a regular file"), "{}", shown[3]);
}

#[test]
fn too_large_a_file_is_refused() {
    let directory = directory(&[("big.yaml", &"#".repeat(MAX_FILE_BYTES + 1))]);
    let shown = failures(&[directory.path().join("big.yaml")]).concat();
    assert!(shown.contains("more than 1 MiB"), "{shown}");
}

#[test]
fn long_paths_of_manifests_are_counted_in_the_claim() {
    let chart = "apiVersion: v1\nkind: Pod\nmetadata: { name: web, namespace: shop }\n\
                 spec: { containers: [{ name: web, image: web, ports: [{ containerPort: 80 }] }] }\n";
    let name = format!("{}.yaml", "long-".repeat(45));
    let directory = directory(&[(&name, chart), ("short.yaml", &chart.replace("web,", "api,"))]);
    let paths = [directory.path().join(&name), directory.path().join("short.yaml")];
    let scenario = of_manifests(&paths, None).expect("all is well");
    assert_eq!(scenario.claim, "the network does what the policies of 2 paths say");
    let scenario = of_manifests(&paths[1..], None).expect("all is well");
    assert!(scenario.claim.contains("short.yaml"), "{}", scenario.claim);
}

#[test]
fn an_application_asks_for_names_and_goes_through_its_services() {
    const CHART: &str = "
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { containers: [{ name: web, image: web, ports: [{ containerPort: 80 }] }] }
";
    const SERVICE: &str = "---
apiVersion: v1
kind: Service
metadata: { name: front, namespace: shop }
spec: { selector: { app: web }, ports: [{ port: 8080, targetPort: 80 }] }
";
    for (text, through_services) in [(CHART.to_owned(), false), (format!("{CHART}{SERVICE}"), true)] {
        let directory = directory(&[("chart.yaml", &text)]);
        let scenario = of_manifests(&[directory.path().join("chart.yaml")], None).expect("all is well");
        let flows: Vec<String> =
            scenario.steps[0].expectations.iter().map(|expected| expected.flow.to_string()).collect();
        let has = |flow: &str| flows.iter().any(|known| known == flow);
        assert!(has("stranger/stranger -> shop/web tcp/80"), "{flows:?}");
        assert!(has("shop/web -> cluster-dns dns/udp"), "{flows:?}");
        assert_eq!(has("stranger/stranger -> service shop/front tcp/8080"), through_services, "{flows:?}");
    }
}
