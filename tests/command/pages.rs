//! Every page that people read, as the program prints it, compared with a copy that is reviewed.
//!
//! | pages of | in |
//! |---|---|
//! | help, and commands that need no cluster | this file |
//! | saved runs: watches, comparisons, HTML | `pages_saved.rs` |
//! | a small run in the local cluster | `pages_played.rs` |
//! | errors, as they are seen in a shell | `pages_errors.rs` |
//!
//! `UPDATE=1 cargo test -p flowproof --test command pages` rewrites the copies in `tests/command/pages` and
//! `docs/reference/commands.md`. Read the difference before you commit it.

use super::flowproof;
use flowproof_core::verdict::{Kind, Reason};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A saved run in which everything matched.
pub const SAVED: &str = include_str!("../../runner/core/src/outcome/read/version-1.json");
const RESULTS: &str = include_str!("../../docs/results.md");

/// All pages are compared before the first difference fails the test.
#[derive(Default)]
pub struct Pages {
    wrong: Vec<String>,
}

impl Pages {
    /// Compares what is shown with the page of this name.
    pub fn compare(&mut self, name: &str, shown: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/command/pages").join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, shown).expect("the page can be written");
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        if known != shown {
            self.wrong.push(format!("--- {name}, known\n{known}\n--- {name}, shown\n{shown}"));
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        }
    }
}

/// What flowproof writes to stdout.
pub fn stdout(arguments: &[&str]) -> String {
    String::from_utf8(flowproof(arguments).stdout).expect("what is printed is UTF-8")
}

/// The commands that a help page lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let lines = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The help of flowproof, of every command and of every subcommand, by the arguments before `--help`.
fn helps() -> Vec<(Vec<String>, String)> {
    let help = stdout(&["--help"]);
    let commands = listed(&help);
    assert!(commands.len() > 10, "{help}");
    let mut helps = vec![(Vec::new(), help)];
    for command in commands {
        let help = stdout(&[&command, "--help"]);
        let inner = listed(&help);
        helps.push((vec![command.clone()], help));
        for inner in inner {
            let help = stdout(&[&command, &inner, "--help"]);
            helps.push((vec![command.clone(), inner], help));
        }
    }
    helps
}

#[test]
fn help_of_every_command() {
    let mut pages = Pages::default();
    for (command, help) in helps() {
        let name: String = command.iter().flat_map(|word| ["-", word]).collect();
        pages.compare(&format!("help{name}.txt"), &help);
    }
}

/// `docs/reference/commands.md` is made of the same pages.
#[test]
fn the_reference_has_the_help_of_every_command() {
    let mut page =
        "# Commands\n\nThe help of every command, as the program prints it. This page is generated: \
                    `UPDATE=1 cargo test -p flowproof --test command pages`\nwrites it anew.\n"
            .to_owned();
    for (command, help) in helps() {
        let name: String = command.iter().flat_map(|word| [" ", word]).collect();
        page.extend(["\n## flowproof", &name, "\n```text\n"]);
        for line in help.trim_end().lines() {
            page.extend([line.trim_end(), "\n"]);
        }
        page.push_str("```\n");
    }
    Pages::default().compare("../../../docs/reference/commands.md", &page);
}

/// The reasons of each verdict, as `docs/results.md` lists them; a test of the core keeps that list complete.
fn reasons() -> Vec<(Kind, Reason)> {
    let kinds = ["matched", "mismatched", "unproven", "inconclusive"];
    let rows = RESULTS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut found = Vec::new();
    for (kind, row) in rows.filter(|(kind, _)| kinds.contains(kind)) {
        let of = |word: &str| serde_json::from_value(json!(word)).ok();
        let kind: Kind = serde_json::from_value(json!(kind)).expect("it is a verdict");
        // Some reasons are named again in the sentence about another one.
        for reason in row.split('`').filter_map(of) {
            if !found.contains(&(kind, reason)) {
                found.push((kind, reason));
            }
        }
    }
    found
}

/// A saved run in which every reason occurs.
pub fn with_every_reason() -> Value {
    let mut outcome: Value = serde_json::from_str(SAVED).expect("it is JSON");
    let step = &mut outcome["scenarios"][0]["steps"][0];
    let denied = step["flows"][1].clone();
    let mut flows = Vec::new();
    for (kind, reason) in reasons() {
        let mut flow = denied.clone();
        let reached = matches!(
            reason,
            Reason::Answered | Reason::NotEnforced | Reason::AnswerLost | Reason::OnlyAnswerBlocked
        );
        let word = serde_json::to_value(reason).expect("a reason is a word");
        let source = format!("app/{}", word.as_str().unwrap_or_default());
        flow["flow"] = json!(format!("{source} -> data/postgres tcp/5432"));
        (flow["source"], flow["port"]) = (json!(source), json!("tcp/5432"));
        // Some reasons belong to two verdicts; flows that differ only in their family are shown as one.
        let is_second = flows.iter().any(|known: &Value| known["reason"] == word);
        flow["family"] = json!(if is_second { "6" } else { "4" });
        (flow["verdict"], flow["reason"], flow["text"]) = (json!(kind), word, json!(reason.text()));
        flow["evidence"]["witness"] = json!(if reached { "arrived" } else { "not-arrived" });
        flows.push(flow);
    }
    step["flows"] = json!(flows);
    outcome["diagnosis"] = json!([
        "diagnosis: a known fault explains all of this: 2 mismatched flows",
        "nothing-enforced: no policy is enforced"
    ]);
    let first = reasons().iter().position(|(kind, _)| *kind == Kind::Mismatched).expect("one is mismatched");
    outcome["scenarios"][0]["steps"][0]["flows"][first]["looks_like"] = json!("nothing-enforced");
    outcome
}

/// Saves an outcome; returns the path.
pub fn saved(folder: &Path, outcome: &Value) -> String {
    let path: PathBuf = folder.join("saved.json");
    fs::write(&path, outcome.to_string()).expect("it can be written");
    path.display().to_string()
}

#[test]
fn a_run_with_every_reason() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let saved = saved(folder.path(), &with_every_reason());
    let mut pages = Pages::default();
    assert!(reasons().len() > 25, "the table of reasons is read: {:?}", reasons());
    pages.compare("report.txt", &stdout(&["report", &saved]));
    pages.compare("report-quiet.txt", &stdout(&["report", &saved, "--quiet"]));
    pages.compare("report.xml", &stdout(&["report", &saved, "--junit", "-"]));
}

#[test]
fn a_run_in_which_everything_matched() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let saved = saved(folder.path(), &serde_json::from_str(SAVED).expect("it is JSON"));
    let mut pages = Pages::default();
    pages.compare("matched.txt", &stdout(&["report", &saved]));
}

#[test]
fn what_needs_no_cluster() {
    let mut pages = Pages::default();
    let example = "../docs/examples/three-tiers";
    let manifests = format!("{example}/manifests");
    pages.compare("map.txt", &stdout(&["map", &manifests]));
    pages.compare("map.md", &stdout(&["map", &manifests, "--format", "markdown"]));
    pages.compare("explain.txt", &stdout(&["explain", "shop/web -> shop/db tcp/5432", "-f", &manifests]));
    pages.compare("mutate.txt", &stdout(&["mutate", example]));
    pages.compare("faults.txt", &stdout(&["faults", "--list"]));
}
