//! Pages of saved runs: a watch, a comparison, HTML as text; with nothing, one and many to show.

use super::pages::{Pages, SAVED, saved, stdout, with_every_reason};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn good() -> Value {
    serde_json::from_str(SAVED).expect("it is JSON")
}

/// Something that was seen of a watched flow, `at` ms after the watch began.
fn episode(what: &str, at: u64, ms: u64) -> Value {
    json!({
        "what": what, "from_ms": 1000 + at, "until_ms": 1000 + at + ms, "open": false, "attempts": ms / 100 + 1,
        "source_node": "node1", "destination_node": "node2",
        "observation": { "saw": if what == "leak" { "answered" } else { "silent" } },
        "witness": if what == "leak" { "arrived" } else { "not-arrived" },
        "why": (what == "not-observed").then_some("the prober's pod was replaced"),
    })
}

fn watched_flow(flow: &str, expectation: &str, episodes: Value) -> Value {
    json!({
        "flow": flow, "family": "4", "expectation": expectation, "at": "scenarios/database.yaml:25:7",
        "attempts": 300, "losses": 0, "episodes": episodes, "untold": 0,
    })
}

/// A watch of 30 s with these flows and connections, and with this many pods that were started during it.
fn watch(flows: Value, kept: Value, starts: u32, command: Option<i32>) -> Value {
    let mut outcome = good();
    let start = |number: u32| {
        let window_ms = f64::from(number) * 20.0;
        let denied = json!({
            "flow": "data/backup -> data/postgres tcp/5432", "family": "4", "expectation": "deny", "attempts": 9,
            "against": u32::from(number > 1), "window_ms": window_ms,
        });
        json!({ "like": "data/backup", "node": "node1", "from_ms": 2000, "flows": [denied] })
    };
    let prober = |replaced: u32, lag: u32| {
        json!({
            "workload": "app/api", "node": "node1", "longest_lag_ms": lag, "streams_lost": 0, "replaced": replaced,
        })
    };
    outcome["watch"] = json!({
        "from_ms": 1000, "until_ms": 31000, "ended": "conditions",
        "command": command.map(|code| json!({
            "arguments": ["kubectl", "rollout", "restart", "ds/cni"], "from_ms": 5000, "until_ms": 20000,
            "exit_code": code, "error": null,
        })),
    });
    outcome["scenarios"][0]["watched"] = json!({
        "from_ms": 1000, "until_ms": 31000, "interval_ms": 100, "flows": flows, "kept": kept,
        "starts": (1..=starts).map(start).collect::<Vec<_>>(),
        "probers": if starts > 0 { vec![prober(starts, 400 * starts)] } else { Vec::new() },
    });
    outcome
}

const ALLOWED: &str = "app/api -> data/postgres tcp/5432";
const DENIED: &str = "data/backup -> data/postgres tcp/5432";

#[test]
fn a_watch_with_nothing_one_and_many_to_show() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let mut pages = Pages::default();
    let mut compare = |name: &str, outcome: Value| {
        pages.compare(name, &stdout(&["report", &saved(folder.path(), &outcome)]));
    };
    let quiet = json!([watched_flow(ALLOWED, "allow", json!([])), watched_flow(DENIED, "deny", json!([]))]);
    compare("watch-nothing.txt", watch(quiet, json!([]), 0, None));
    let one = json!([watched_flow(DENIED, "deny", json!([episode("leak", 6000, 0)]))]);
    let kept = json!([watched_flow(ALLOWED, "allow", json!([episode("gap", 7000, 900)]))]);
    compare("watch-one.txt", watch(one, kept, 1, Some(0)));
    let holes = json!([episode("not-observed", 15000, 2000), episode("not-observed", 21000, 100)]);
    let many = json!([
        watched_flow(ALLOWED, "allow", json!([episode("gap", 6000, 1500), episode("gap", 12000, 300)])),
        watched_flow(DENIED, "deny", json!([episode("leak", 6000, 400), episode("leak", 9000, 2500)])),
        watched_flow("app/api -> data/postgres udp/5432", "allow", holes),
    ]);
    let kept = json!([
        watched_flow(ALLOWED, "allow", json!([episode("gap", 7000, 900)])),
        watched_flow("app/job -> data/postgres tcp/5432", "allow", json!([])),
    ]);
    compare("watch-many.txt", watch(many, kept, 3, Some(1)));
}

/// Saves two outcomes; returns their paths.
fn pair(folder: &Path, before: &Value, after: &Value) -> [String; 2] {
    [("before.json", before), ("after.json", after)].map(|(name, outcome)| {
        let path = folder.join(name);
        fs::write(&path, outcome.to_string()).expect("it can be written");
        path.display().to_string()
    })
}

#[test]
fn a_comparison_with_no_one_and_many_changes() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let mut one = good();
    let denied = &mut one["scenarios"][0]["steps"][0]["flows"][1];
    (denied["verdict"], denied["reason"]) = (json!("mismatched"), json!("not-enforced"));
    denied["text"] = json!("not enforced: the request arrived and was answered");
    let mut many = one.clone();
    many["cluster"]["cni"] = json!("calico v3.31.0");
    many["cluster"]["version"] = json!("v1.35.1");
    many["arguments"] = json!(["run", "--settle", "30s"]);
    let flows = many["scenarios"][0]["steps"][0]["flows"].as_array_mut().expect("there are flows");
    flows[0]["evidence"]["destination_node"] = json!("node1");
    let mut slow = good()["scenarios"][0]["steps"][0]["flows"][1].clone();
    for source in ["data/dump", "data/job"] {
        slow["source"] = json!(source);
        slow["flow"] = json!(format!("{source} -> data/postgres udp/5432"));
        flows.push(slow.clone());
    }
    let mut pages = Pages::default();
    for (name, after) in [("compare-nothing", &good()), ("compare-one", &one), ("compare-many", &many)] {
        let [before, after] = &pair(folder.path(), &good(), after);
        pages.compare(&format!("{name}.txt"), &stdout(&["compare", before, after]));
        pages.compare(&format!("{name}.md"), &stdout(&["compare", before, after, "--markdown", "-"]));
    }
}

/// What a reader sees of a page: no tags, no styles, no scripts, no blank lines.
fn text_of(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        let tag = &rest[at..];
        let hidden = ["<style", "<script"].into_iter().find(|hidden| tag.starts_with(hidden));
        let end = match hidden {
            Some(hidden) => tag.find(&hidden.replace('<', "</")).map(|end| end + hidden.len() + 2),
            None => tag.find('>').map(|end| end + 1),
        };
        let inline = ["<code", "</code", "<b>", "</b>", "<span", "</span", "<em", "</em"];
        if !inline.iter().any(|inline| tag.starts_with(inline)) {
            text.push('\n');
        }
        rest = &tag[end.expect("every tag ends")..];
    }
    text.push_str(rest);
    let text = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&#60;", "<"),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text, |text, (entity, c)| text.replace(entity, c));
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).fold(String::new(), |text, line| text + &line + "\n")
}

#[test]
fn the_html_report_as_text() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let mut pages = Pages::default();
    for (name, outcome) in [("html-matched.txt", good()), ("html-every-reason.txt", with_every_reason())] {
        let saved = saved(folder.path(), &outcome);
        pages.compare(name, &text_of(&stdout(&["report", &saved, "--html", "-"])));
    }
}
