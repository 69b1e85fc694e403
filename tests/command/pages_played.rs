//! Pages of a small run in the local cluster: progress, tables, summaries and a diagnosis. What is measured is masked.

use super::pages::Pages;
use std::{fs, path::Path, process::Command};

const SCENARIO: &str = "\
scenario: nobody reaches the database
namespaces: { app: }
workloads: { app/api: , app/db: { labels: { role: db }, listens: [tcp/5432] } }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: nobody, namespace: app }
    spec: { podSelector: { matchLabels: { role: db } } }
expect: { deny: [app/api -> app/db] }
";

/// A right flow settles at once; the long limit is for slow machines.
const RIGHT: [&str; 2] = ["--settle", "60s"];

/// A wrong flow stays wrong until the end of `--settle`, and longer on a slow machine.
const WRONG: [&str; 6] = ["--settle", "3s", "--patience", "3m", "--fault", "nothing-enforced"];

/// What a run left on stdout, on stderr, and as the summary for GitHub.
struct Ran {
    stdout: String,
    stderr: String,
    summary: String,
    code: Option<i32>,
}

fn play(folder: &Path, arguments: &[&str]) -> Ran {
    let summary = folder.join("summary.md");
    let _ = fs::remove_file(&summary);
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    command.args(arguments).args(["--cluster", "local", "--family", "4", "--progress", "plain"]);
    command.env_remove("KUBECONFIG").env("HOME", "/nonexistent").env("GITHUB_STEP_SUMMARY", &summary);
    let output = command.current_dir(folder).output().expect("flowproof can be started");
    Ran {
        stdout: masked(&String::from_utf8_lossy(&output.stdout)),
        stderr: masked(&String::from_utf8_lossy(&output.stderr)),
        summary: masked(&fs::read_to_string(&summary).unwrap_or_default()),
        code: output.status.code(),
    }
}

/// Words after a measured number.
const UNITS: [&str; 5] = ["ms", "s", "min", "after", "went"];

/// A text in which everything that is measured, or that differs each time, is masked.
fn masked(text: &str) -> String {
    text.lines().map(masked_line).fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn masked_line(line: &str) -> String {
    let bare = |word: &str| {
        let word = word.split('<').next().unwrap_or_default();
        word.trim_matches(|c: char| "(),;:.|".contains(c)).to_owned()
    };
    let words: Vec<&str> = line.split(' ').collect();
    let mask = |at: usize| {
        let (word, next) = (bare(words[at]), words.get(at + 1).map_or(String::new(), |next| bare(next)));
        let measured = word.parse::<f64>().is_ok() && UNITS.contains(&next.as_str());
        let is_id = at > 0 && bare(words[at - 1]) == "run" && word.len() == 6;
        let is_date = word.len() == 10 && word.starts_with("20") && word.matches('-').count() == 2;
        let mask = [(measured, "N"), (is_id, "ID"), (is_date, "DATE")].into_iter().find(|(fits, _)| *fits);
        mask.map_or_else(|| words[at].to_owned(), |(_, mask)| words[at].replace(&word, mask))
    };
    let masked = (0..words.len()).map(mask).collect::<Vec<_>>().join(" ");
    if masked == line {
        return masked;
    }
    // A slow machine may need seconds instead of milliseconds.
    let masked = masked.replace("N min N s", "N s").replace("N ms", "N s");
    // A number of another width moves the columns after it.
    let indent = masked.len() - masked.trim_start().len();
    let columns = masked.trim_start().split("  ").map(str::trim).filter(|column| !column.is_empty());
    " ".repeat(indent) + &columns.collect::<Vec<_>>().join("  ")
}

fn with_scenario() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    fs::write(folder.path().join("closed.yaml"), SCENARIO).expect("it can be written");
    folder
}

#[test]
fn a_run_that_matches() {
    let folder = with_scenario();
    let ran = play(folder.path(), &[&["run", "closed.yaml", "--no-canary"], &RIGHT[..]].concat());
    let mut pages = Pages::default();
    pages.compare("run-matched-stderr.txt", &ran.stderr);
    pages.compare("run-matched.txt", &ran.stdout);
    pages.compare("run-matched-summary.md", &ran.summary);
    assert_eq!(ran.code, Some(0));
}

#[test]
fn a_run_in_which_nothing_is_enforced_and_its_diagnosis() {
    let folder = with_scenario();
    let run = ["run", "closed.yaml", "--no-canary", "--diagnose", "--save", "red.json"];
    let ran = play(folder.path(), &[&run, &WRONG[..]].concat());
    let mut pages = Pages::default();
    pages.compare("run-red-stderr.txt", &ran.stderr);
    pages.compare("run-red.txt", &ran.stdout);
    pages.compare("run-red-summary.md", &ran.summary);
    assert_eq!(ran.code, Some(1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    let diagnosis = command.args(["diagnose", "red.json", "closed.yaml"]).current_dir(folder.path()).output();
    let diagnosis = diagnosis.expect("flowproof can be started");
    pages.compare("diagnose.txt", &String::from_utf8_lossy(&diagnosis.stdout));
}

#[test]
fn a_check_of_one_node_of_two_and_of_none() {
    let folder = with_scenario();
    let mut pages = Pages::default();
    let check = ["check", "--nodes-only", "--nodes"];
    let one = play(folder.path(), &[&check[..], &["1"], &RIGHT].concat());
    pages.compare("check-one-node-stderr.txt", &one.stderr);
    pages.compare("check-one-node.txt", &one.stdout);
    let wrong = [&["check", "closed.yaml"], &WRONG[..]].concat();
    let two = play(folder.path(), &wrong);
    pages.compare("check-wrong.txt", &two.stdout);
    pages.compare("check-wrong-summary.md", &two.summary);
    let quiet = play(folder.path(), &["check", "closed.yaml", "--quiet", "--settle", "60s"]);
    pages.compare("check-quiet.txt", &quiet.stdout);
    assert_eq!((one.code, two.code, quiet.code), (Some(0), Some(6), Some(0)));
}

#[test]
fn a_watch_beside_a_command() {
    let folder = with_scenario();
    let watch = ["watch", "closed.yaml", "--no-canary", "--for", "500ms", "--until-stable", "1ms"];
    let command = ["--cluster", "local", "--family", "4", "--progress", "plain", "--", "true"];
    let mut flowproof = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    flowproof.args(watch).args(RIGHT).args(command).current_dir(folder.path());
    flowproof.env_remove("KUBECONFIG").env("HOME", "/nonexistent").env_remove("GITHUB_STEP_SUMMARY");
    let output = flowproof.output().expect("flowproof can be started");
    let stderr = masked(&String::from_utf8_lossy(&output.stderr));
    // A machine that is too slow to try flows in time is a page of its own: `watch-many.txt`.
    let progress: Vec<&str> = stderr.lines().filter(|line| !line.starts_with(['✔', '?'])).collect();
    Pages::default().compare("watch-played-stderr.txt", &(progress.join("\n") + "\n"));
}

#[test]
fn faults_as_they_are_played() {
    let folder = with_scenario();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    command.args(["faults", "closed.yaml", "--settle", "10s", "--jobs", "1"]);
    command.args(["--fault", "nothing-enforced", "--fault", "except-ignored"]).current_dir(folder.path());
    let output = command.output().expect("flowproof can be started");
    let mut pages = Pages::default();
    pages.compare("faults-played-stderr.txt", &masked(&String::from_utf8_lossy(&output.stderr)));
    pages.compare("faults-played.txt", &masked(&String::from_utf8_lossy(&output.stdout)));
}

#[test]
fn what_is_measured_is_masked_and_nothing_else() {
    assert_eq!(masked("  step 1: x · settled after 104 ms\n"), "  step 1: x · settled after N s\n");
    assert_eq!(masked("took 850 ms"), masked("took 1 min 3 s"));
    assert_eq!(masked("✔ deny 7 ms     ✔ allow\n"), masked("✔ deny 1234 ms  ✔ allow\n"));
    assert_eq!(
        masked("2 matched in 1 scenario, 1.5 s (run ab12cd)\n"),
        "2 matched in 1 scenario, N s (run ID)\n"
    );
    assert_ne!(masked("1 scenario"), masked("2 scenarios"));
}
