//! Where attempts die: captures in the local cluster with faults, where the truth is known.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{path::Path, process::Command};

/// A client that lets nothing in reaches a store on another node; a stranger does not.
const SCENARIO: &str = "
scenario: a client that takes nothing reaches a store that no stranger reaches
namespaces: { app: , data: }
workloads:
  app/client: { labels: { role: client } }
  app/stranger:
  data/store: { listens: [tcp/80, udp/80], node: other-than app/client }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: nothing-in, namespace: app }
    spec: { podSelector: {} }
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: store, namespace: data }
    spec:
      podSelector: {}
      ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { role: client } } }] }]
expect:
  allow: [app/client -> data/store tcp/80, app/client -> data/store udp/80]
  drop: [app/stranger -> data/store tcp/80, app/stranger -> data/store udp/80]
";

/// Nothing listens there, so the node itself refuses.
const REFUSED: &str = "
scenario: a node answers where nobody listens
namespaces: { app: }
workloads:
  app/client:
  app/there: { listens: [tcp/80], node: other-than app/client }
expect:
  allow: [app/client -> node of app/there tcp/9]
";

/// What a run reports about a flow: its verdict, what was found, and the sentence.
type Told = (String, String, String, String);

fn run(scenario: &str, arguments: &[&str]) -> Result<(Vec<Told>, Value, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.yaml");
    std::fs::write(&file, scenario)?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_flowproof"))
        .args(["run", "--cluster", "local", "--no-canary", "--settle", "3s", "--save", "-"])
        .args(["--junit", &at("junit.xml"), "--html", &at("page.html")])
        .args(arguments)
        .arg(&file)
        .output()?;
    let outcome: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    std::fs::write(folder.path().join("saved.json"), &output.stdout)?;
    let flows = outcome["scenarios"][0]["steps"][0]["flows"].as_array().context("flows")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |flow: &Value| {
        let captured = &flow["evidence"]["captured"];
        let name = format!("{} {}", text(&flow["flow"]), text(&flow["family"]));
        (name, text(&flow["verdict"]), text(&captured["found"]), text(&captured["text"]))
    };
    let told = flows.iter().map(told).collect();
    Ok((told, outcome, folder))
}

/// The flows from a source, with everything that is reported about them.
fn of<'a>(told: &'a [Told], source: &str, port: &str) -> Vec<&'a Told> {
    let flows = told.iter().filter(|(name, ..)| name.starts_with(source) && name.contains(port));
    flows.collect()
}

fn all(flows: &[&Told], verdict: &str, found: &str, sentence: &str) -> Result<()> {
    let right = |(_, v, f, text): &&Told| v == verdict && f == found && text.contains(sentence);
    ensure!(!flows.is_empty() && flows.iter().all(right), "not {found}, {sentence}: {flows:#?}");
    Ok(())
}

#[test]
fn what_is_dropped_never_arrives_and_what_is_answered_needs_no_word() -> Result<()> {
    let (told, ..) = run(SCENARIO, &["--capture"])?;
    all(&of(&told, "app/client", "80"), "matched", "", "")?;
    let tcp = "the SYN left app/stranger's interface and never reached data/store's";
    all(&of(&told, "app/stranger", "tcp"), "matched", "never-arrived", tcp)?;
    let udp = "the datagram left app/stranger's interface and never reached data/store's";
    all(&of(&told, "app/stranger", "udp"), "matched", "never-arrived", udp)
}

#[test]
fn without_the_flag_nothing_is_captured() -> Result<()> {
    let (told, ..) = run(SCENARIO, &[])?;
    all(&of(&told, "app/stranger", "80"), "matched", "", "")
}

#[test]
fn an_answer_that_is_lost_left_and_never_came_back() -> Result<()> {
    let (told, _, folder) = run(SCENARIO, &["--capture", "--fault", "replies-dropped"])?;
    let tcp = "the SYN-ACK left data/store's interface and never reached app/client's";
    all(&of(&told, "app/client", "tcp"), "mismatched", "answer-lost", tcp)?;
    let udp = "the answer left data/store's interface and never reached app/client's";
    all(&of(&told, "app/client", "udp"), "mismatched", "answer-lost", udp)?;
    every_report_says(folder.path(), tcp)
}

/// Quotes may be HTML entities.
fn every_report_says(folder: &Path, sentence: &str) -> Result<()> {
    let plain = |text: String| text.replace("&#39;", "'").replace("&#x27;", "'").replace("&apos;", "'");
    for name in ["junit.xml", "page.html"] {
        let report = plain(std::fs::read_to_string(folder.join(name))?);
        ensure!(report.contains(sentence), "{name} does not say: {sentence}");
    }
    let saved = folder.join("saved.json");
    let shown = Command::new(env!("CARGO_BIN_EXE_flowproof")).arg("report").arg(saved).output()?;
    let text = String::from_utf8(shown.stdout)?;
    ensure!(text.contains(sentence), "the text does not say: {sentence}\n{text}");
    Ok(())
}

#[test]
fn a_reject_comes_from_a_node_and_the_request_never_arrived() -> Result<()> {
    let (told, outcome, _) = run(SCENARIO, &["--capture", "--fault", "rejects-instead-of-drops"])?;
    for (port, request) in [("tcp", "SYN"), ("udp", "datagram")] {
        let sentence = format!("; the {request} never reached data/store's interface");
        all(&of(&told, "app/stranger", port), "mismatched", "icmp-error", &sentence)?;
    }
    let flows = outcome["scenarios"][0]["steps"][0]["flows"].as_array().context("flows")?;
    for flow in flows.iter().filter(|flow| flow["expectation"] == "drop") {
        let captured = &flow["evidence"]["captured"];
        let expected = if flow["family"] == "4" { (3, 3) } else { (1, 4) };
        ensure!(captured["icmp_type"] == expected.0 && captured["icmp_code"] == expected.1, "{flow:#}");
        ensure!(captured["from"].is_string(), "{flow:#}");
    }
    Ok(())
}

#[test]
fn what_is_isolated_by_mistake_leaves_and_never_arrives() -> Result<()> {
    let (told, ..) = run(SCENARIO, &["--capture", "--fault", "ingress-isolates-egress"])?;
    let sentence = "left app/client's interface and never reached data/store's";
    all(&of(&told, "app/client", "80"), "mismatched", "never-arrived", sentence)
}

#[test]
fn what_gets_through_against_a_policy_was_not_lost_anywhere() -> Result<()> {
    let (told, ..) = run(SCENARIO, &["--capture", "--fault", "nothing-enforced"])?;
    all(&of(&told, "app/stranger", "80"), "mismatched", "", "")
}

#[test]
fn a_rst_has_an_owner() -> Result<()> {
    let (told, ..) = run(REFUSED, &["--capture"])?;
    let (_, _, found, text) = told.first().context("a flow")?;
    ensure!(found == "reset" && text.starts_with("a RST came from ") && text.contains("(node "), "{told:#?}");
    Ok(())
}
