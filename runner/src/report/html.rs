//! The HTML report: one file without outside resources, made from an outcome by the template `templates/report.html`.

use super::{failure, graph, sign, table, tally_text, watched};
use crate::run::duration_text;
use askama::Template;
use flowproof_core::{
    outcome::{
        Conclusion, End, FlowOutcome, Outcome, ScenarioOutcome, StepOutcome, WatchOutcome, Watched, What,
    },
    tools::picture::STYLE,
    verdict::Kind,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// With at most this many scenarios, their graphs are open at first.
const FEW: usize = 3;

/// Makes the page.
pub fn html(outcome: &Outcome) -> Result<String, askama::Error> {
    let mut evidence = Vec::new();
    let scenarios =
        outcome.scenarios.iter().map(|s| scenario(s, outcome.watch.as_ref(), &mut evidence)).collect();
    let mut headline = table::headline(outcome).lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
    let mut page = Page {
        title: outcome.run.clone(),
        class: class_of_run(outcome.conclusion()),
        headline: headline.next().unwrap_or_default(),
        alarming: matches!(outcome.conclusion(), Conclusion::NothingEnforced | Conclusion::Mismatched),
        notes: Vec::new(),
        faults: faults(outcome),
        facts: facts(outcome),
        run_length: seconds(outcome.took_ms),
        run_lines: run_lines(outcome, &mut evidence),
        scenarios,
        version: outcome.flowproof.clone(),
        evidence: Vec::new(),
        picture_style: STYLE,
        open_graphs: outcome.scenarios.len() <= FEW,
    };
    page.notes.extend(outcome.watch.as_ref().map(|watch| watched::headline(watch, outcome)));
    page.notes.extend(outcome.canary.as_ref().map(table::canary_text));
    page.notes.extend(headline);
    page.notes.extend(outcome.diagnosis.iter().cloned());
    page.evidence = evidence;
    page.render()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    class: &'static str,
    headline: String,
    alarming: bool,
    notes: Vec<String>,
    /// Known faults that explain mismatches, and for how many flows.
    faults: BTreeMap<String, usize>,
    facts: Vec<(&'static str, String)>,
    run_length: String,
    run_lines: Vec<Line>,
    scenarios: Vec<Section>,
    version: String,
    evidence: Vec<Entry>,
    picture_style: &'static str,
    /// Whether graphs are open at first.
    open_graphs: bool,
}

struct Section {
    sign: &'static str,
    claim: String,
    summary: String,
    problem: Option<String>,
    steps: Vec<Step>,
    watch: Option<Watch>,
}

struct Step {
    title: String,
    columns: Vec<String>,
    rows: Vec<Row>,
    failures: Vec<Flow>,
    graph: Option<graph::Graph>,
}

struct Row {
    source: String,
    cells: Vec<Vec<Flow>>,
}

/// A flow, in one family or in several with the same result.
struct Flow {
    class: &'static str,
    text: String,
    title: String,
    words: String,
    /// The known fault that explains it; empty if there is none.
    fault: String,
    evidence: usize,
    lines: Vec<(&'static str, String)>,
}

struct Watch {
    title: String,
    lines: Vec<Line>,
    length: String,
    notes: Vec<String>,
}

/// A line of a timeline.
struct Line {
    label: String,
    words: Option<String>,
    verdict: &'static str,
    marks: Vec<Mark>,
}

struct Mark {
    class: &'static str,
    left: String,
    width: String,
    title: String,
    evidence: Option<usize>,
}

/// What is shown when something is clicked.
#[derive(Serialize)]
struct Entry {
    title: String,
    lines: Vec<(&'static str, String)>,
}

fn class_of_run(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Matched => "matched",
        Conclusion::Mismatched | Conclusion::NothingEnforced => "mismatched",
        _ => "unclear",
    }
}

fn facts(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let cluster = &outcome.cluster;
    let nodes = cluster.nodes.iter().map(|node| {
        let about: Vec<&str> = [&node.os_image, &node.kernel, &node.container_runtime, &node.kubelet]
            .into_iter()
            .map(String::as_str)
            .chain(node.unusable.as_deref())
            .filter(|text| !text.is_empty())
            .collect();
        if about.is_empty() { node.name.clone() } else { format!("{} ({})", node.name, about.join(", ")) }
    });
    let server = if cluster.server.is_empty() { String::new() } else { format!(" at {}", cluster.server) };
    let started = outcome.started.split('.').next().unwrap_or_default().trim_end_matches('Z');
    vec![
        ("run", format!("{}, {started}Z, {}", outcome.run, seconds(outcome.took_ms))),
        ("cluster", format!("{} {}{server}", cluster.kind, cluster.context)),
        ("Kubernetes", cluster.kubernetes().unwrap_or_default().to_owned()),
        ("network plugin", cluster.cni.clone()),
        ("nodes", nodes.collect::<Vec<_>>().join("; ")),
        ("arguments", outcome.arguments.join(" ")),
    ]
    .into_iter()
    .filter(|(_, text)| !text.trim().is_empty())
    .collect()
}

fn faults(outcome: &Outcome) -> BTreeMap<String, usize> {
    let mut faults = BTreeMap::new();
    let flows = outcome.scenarios.iter().flat_map(ScenarioOutcome::flows);
    for fault in flows.filter_map(|(_, flow)| flow.looks_like.clone()) {
        *faults.entry(fault).or_default() += 1;
    }
    faults
}

/// One line per scenario: its steps from the change until all flows had settled.
fn run_lines(outcome: &Outcome, evidence: &mut Vec<Entry>) -> Vec<Line> {
    let line = |scenario: &ScenarioOutcome| {
        let marks = scenario.steps.iter().map(|step| {
            let settled = step.settled_after_ms.unwrap_or(0);
            let title = match step.settled_after_ms {
                Some(ms) => format!("{}: settled {} after the change", step.title, seconds(ms)),
                None => format!("{}: did not settle", step.title),
            };
            evidence.push(Entry { title: scenario.claim.clone(), lines: vec![("step", title.clone())] });
            let class = if step.settled_after_ms.is_some() { "good" } else { "leak" };
            mark(
                class,
                step.accepted_at_ms,
                step.accepted_at_ms + settled,
                outcome.took_ms,
                title,
                Some(evidence.len() - 1),
            )
        });
        Line { label: scenario.claim.clone(), words: None, verdict: "", marks: marks.collect() }
    };
    outcome.scenarios.iter().filter(|scenario| !scenario.steps.is_empty()).map(line).collect()
}

fn scenario(scenario: &ScenarioOutcome, watch: Option<&WatchOutcome>, evidence: &mut Vec<Entry>) -> Section {
    let problem = match &scenario.end {
        End::Played => None,
        End::Skipped { why } => Some(format!("skipped: {why}")),
        End::Interrupted => Some("ended early: the run was interrupted or out of time".to_owned()),
        End::Failed { error, hint, .. } => Some(
            hint.as_ref()
                .map_or_else(|| format!("failed: {error}"), |hint| format!("failed: {error} (hint: {hint})")),
        ),
    };
    let took = seconds(scenario.took_ms);
    Section {
        sign: table::scenario_sign(scenario),
        claim: scenario.claim.clone(),
        summary: format!("{} · {} · {took}", scenario.file, tally_text(scenario.tally())),
        problem,
        steps: scenario
            .steps
            .iter()
            .chain(&scenario.restore)
            .enumerate()
            .map(|(number, step)| matrix(number + 1, step, &scenario.claim, evidence))
            .collect(),
        watch: scenario.watched.as_ref().map(|watched| timeline(watched, watch, evidence)),
    }
}

fn matrix(number: usize, step: &StepOutcome, claim: &str, evidence: &mut Vec<Entry>) -> Step {
    let columns: BTreeSet<(&str, &str)> =
        step.flows.iter().map(|f| (f.target.as_str(), f.port.as_str())).collect();
    let mut cells: BTreeMap<&str, BTreeMap<(&str, &str), Vec<Flow>>> = BTreeMap::new();
    let mut failures = Vec::new();
    for told in super::told(step) {
        let words =
            format!("{claim} {} {} {} {}", step.title, told.flow.flow, told.families_text(), told.flow.text);
        let shown = || shown(told.flow, &told.families_text(), told.families.len() == 1, words.clone());
        let mut flow = shown();
        flow.evidence = evidence.len();
        evidence.push(Entry { title: flow.title.clone(), lines: flow.lines.clone() });
        if told.flow.verdict != Kind::Matched {
            failures.push(shown());
        }
        let at = (told.flow.target.as_str(), told.flow.port.as_str());
        cells.entry(&told.flow.source).or_default().entry(at).or_default().push(flow);
    }
    let rows = cells.into_iter().map(|(source, mut row)| Row {
        source: source.to_owned(),
        cells: columns.iter().map(|column| row.remove(column).unwrap_or_default()).collect(),
    });
    let settled = step
        .settled_after_ms
        .map_or_else(|| "did not settle".to_owned(), |ms| format!("settled after {}", seconds(ms)));
    Step {
        title: format!("step {number}: {} · {settled}", step.title),
        rows: rows.collect(),
        columns: columns.iter().map(|(target, port)| format!("{target}\n{port}")).collect(),
        failures,
        graph: graph::of(step),
    }
}

fn shown(flow: &FlowOutcome, families: &str, alone: bool, words: String) -> Flow {
    let deviates = flow.deviation.is_some();
    let class = match (flow.verdict, deviates) {
        (Kind::Matched, _) => "matched",
        (_, true) => "known",
        (Kind::Mismatched, _) => "mismatched",
        (Kind::Unproven | Kind::Inconclusive, _) => "unclear",
        (Kind::Unspecified, _) => "open",
    };
    let sign = sign(flow.verdict, deviates);
    let time = flow
        .evidence
        .enforced_after_ms
        .filter(|_| flow.expectation.denies() && flow.verdict == Kind::Matched);
    let time = time.map_or_else(String::new, |ms| format!(" {}", seconds(ms)));
    let family = if alone { format!(" {families}") } else { String::new() };
    Flow {
        class,
        text: format!("{sign} {}{time}{family}", flow.expectation),
        title: format!("{sign} {} ({families}): {}", flow.flow, flow.text),
        words,
        fault: flow.looks_like.clone().unwrap_or_default(),
        evidence: 0,
        lines: failure::lines(flow),
    }
}

fn timeline(watched: &Watched, watch: Option<&WatchOutcome>, evidence: &mut Vec<Entry>) -> Watch {
    let length = watched.until_ms.saturating_sub(watched.from_ms);
    let since = |ms: u64| ms.saturating_sub(watched.from_ms);
    let mut lines = Vec::new();
    if let Some(command) = watch.and_then(|watch| watch.command.as_ref()) {
        let until = since(command.until_ms.unwrap_or(watched.until_ms));
        let title = format!("ran from {} to {}", seconds(since(command.from_ms)), seconds(until));
        lines.push(Line {
            label: command.arguments.join(" "),
            words: None,
            verdict: "",
            marks: vec![mark("command", since(command.from_ms), until, length, title, None)],
        });
    }
    for flow in watched.flows.iter().filter(|flow| !flow.episodes.is_empty()) {
        let label = format!("{} {} {}", flow.expectation, flow.flow, flow.family);
        let marks = flow.episodes.iter().map(|episode| {
            let text = watched::episode_text(episode, watched.from_ms);
            evidence.push(Entry {
                title: label.clone(),
                lines: vec![
                    ("what", text.clone()),
                    ("written at", flow.at.clone()),
                    ("attempts of the flow", flow.attempts.to_string()),
                ],
            });
            let class = match episode.what {
                What::Leak => "leak",
                What::Gap => "gap",
                What::NotObserved => "not-observed",
            };
            mark(
                class,
                since(episode.from_ms),
                since(episode.until_ms),
                length,
                text,
                Some(evidence.len() - 1),
            )
        });
        let marks: Vec<Mark> = marks.collect();
        let bad = flow.episodes.iter().any(|episode| episode.what != What::NotObserved);
        lines.push(Line {
            words: Some(format!(
                "{label} {}",
                marks.iter().map(|m| m.title.as_str()).collect::<Vec<_>>().join(" ")
            )),
            verdict: if bad { "mismatched" } else { "unclear" },
            label,
            marks,
        });
    }
    Watch { title: watched::summary(watched), lines, length: seconds(length), notes: watched::notes(watched) }
}

fn mark(
    class: &'static str,
    from: u64,
    until: u64,
    length: u64,
    title: String,
    evidence: Option<usize>,
) -> Mark {
    let percent = |ms: u64| ms as f64 * 100.0 / length.max(1) as f64;
    Mark {
        class,
        left: format!("{:.2}", percent(from).min(99.5)),
        width: format!("{:.2}", percent(until.saturating_sub(from)).clamp(0.3, 100.0)),
        title,
        evidence,
    }
}

fn seconds(ms: u64) -> String {
    duration_text(Duration::from_millis(ms))
}
