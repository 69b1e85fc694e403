//! What a check found, for people: the answer first, then the nodes, then the capabilities.

use super::{
    Report,
    lines::{Line, Status},
    node::{NodeReport, Part, State},
};
use comfy_table::Table;
use flowproof_core::outcome::Outcome;
use std::{collections::BTreeSet, fmt::Write};

/// The answer in one line, and one for each node that has a story.
pub fn answer(nodes: &[NodeReport]) -> String {
    let of = |state| nodes.iter().filter(|node| node.state == state).count();
    let (enforcing, failed) = (of(State::Enforces), of(State::Failed));
    let (all, tried) = (nodes.len(), nodes.len() - failed);
    let mut text = if tried == 0 {
        format!("none of {} could be tried", count(all))
    } else if of(State::Open) == all {
        format!("NOTHING IS ENFORCED: policies are accepted, but change nothing on any of {}", count(all))
    } else if enforcing == all {
        let slowest = nodes.iter().filter_map(|node| node.slowest_ms).max().unwrap_or(0);
        format!(
            "policies are enforced on {}, within {slowest} ms",
            if all == 1 { "the node".to_owned() } else { format!("all {all} nodes") }
        )
    } else {
        let untried = if failed == 0 { String::new() } else { format!(", {failed} could not be tried") };
        format!("policies are enforced on {enforcing} of {}{untried}", count(all))
    };
    for node in nodes.iter().filter(|node| node.state != State::Enforces) {
        let since = node.open_for_ms.map_or(String::new(), |ms| {
            format!(
                " (still {:.1} s after the policy was accepted)",
                std::time::Duration::from_millis(ms).as_secs_f64()
            )
        });
        let _ = match node.state {
            State::Open => write!(text, "\n  ✘ {} lets everything through{since}", node.node),
            State::Partly => write!(text, "\n  ✘ {}{since}: {}", node.node, node.because.join("; ")),
            State::CutOff => write!(
                text,
                "\n  ✘ the pods on {} reach nobody, even without a policy: is the network plugin's agent running there?",
                node.node
            ),
            State::Unclear => write!(text, "\n  ? {}: {}", node.node, node.because.join("; ")),
            _ => write!(text, "\n  ? {} could not be tried: {}", node.node, node.because.join("; ")),
        };
    }
    text
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

/// All of it.
pub fn text(report: &Report) -> String {
    let mut text = format!("{}\n\n{}\n", answer(&report.nodes), indent(&nodes(&report.nodes)));
    if !report.capabilities.is_empty() {
        let _ = writeln!(text, "\n{}", indent(&capabilities(report)));
        // Flows that show several capabilities are told once.
        let mut told = BTreeSet::new();
        for line in &report.capabilities {
            let new: Vec<&String> = line.flows.iter().filter(|flow| told.insert(*flow)).collect();
            if !new.is_empty() {
                let _ = writeln!(text, "\n  {} {}", sign(line.status), line.title);
                for flow in new {
                    let _ = writeln!(text, "      {flow}");
                }
            }
        }
    }
    text
}

/// The capabilities as a Markdown table, fit for the documentation of a network plugin.
pub fn markdown(report: &Report, outcome: &Outcome) -> String {
    let cluster = &outcome.cluster;
    let mut text = format!(
        "{} on {}, {}; flowproof {}, {}\n\n| capability | status | flows | note |\n|---|---|---|---|\n",
        cluster.cni,
        cluster
            .kubernetes()
            .map_or("the local cluster".to_owned(), |version| format!("Kubernetes {version}")),
        count(report.nodes.len()),
        outcome.flowproof,
        outcome.started.split('T').next().unwrap_or_default(),
    );
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ");
    for line in &report.capabilities {
        let note = line.note.as_deref().or(line.flows.first().map(String::as_str)).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {} {} | {} | {} |",
            cell(&line.title),
            sign(line.status),
            words(line.status),
            flows(line),
            cell(note)
        );
    }
    if !outcome.diagnosis.is_empty() {
        let _ = writeln!(text, "\n{}", cell(&outcome.diagnosis.join("; ")));
    }
    text
}

/// How many flows did what they must, of how many.
fn flows(line: &Line) -> String {
    match (line.matched, line.tried) {
        (_, 0) => String::new(),
        (matched, tried) if matched == tried => tried.to_string(),
        (matched, tried) => format!("{matched} of {tried}"),
    }
}

fn nodes(nodes: &[NodeReport]) -> String {
    let columns: BTreeSet<(&str, bool)> = nodes
        .iter()
        .flat_map(|node| &node.parts)
        .map(|part| (part.direction.as_str(), !part.same_node))
        .collect();
    let mut table = plain();
    let head = columns.iter().map(|(direction, cross)| {
        format!("{direction}\n{}", if *cross { "between nodes" } else { "within the node" })
    });
    table.set_header(std::iter::once(String::new()).chain(head));
    for node in nodes {
        let cell = |(direction, cross): &(&str, bool)| {
            let part =
                node.parts.iter().find(|part| part.direction == *direction && part.same_node != *cross);
            part.map_or("?", part_sign).to_owned()
        };
        table.add_row(std::iter::once(node.node.clone()).chain(columns.iter().map(cell)));
    }
    table.to_string()
}

fn part_sign(part: &Part) -> &'static str {
    match (part.open.is_empty(), part.unclear.is_empty()) {
        (false, _) => "✘",
        (true, false) => "?",
        (true, true) => "✔",
    }
}

fn capabilities(report: &Report) -> String {
    let mut table = plain();
    for line in &report.capabilities {
        let status = format!("{} {}", sign(line.status), words(line.status));
        table.add_row([status, line.title.clone(), flows(line), line.note.clone().unwrap_or_default()]);
    }
    table.to_string()
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {}", line.trim_end())).collect::<Vec<_>>().join("\n")
}

fn sign(status: Status) -> &'static str {
    match status {
        Status::Enforced => "✔",
        Status::NotEnforced => "✘",
        Status::Deviates => "≈",
        Status::NotSupported => "-",
        Status::Unclear => "?",
    }
}

/// A status in words.
pub fn words(status: Status) -> &'static str {
    match status {
        Status::Enforced => "enforced",
        Status::NotEnforced => "not enforced",
        Status::Deviates => "deviates",
        Status::NotSupported => "not supported here",
        Status::Unclear => "unclear",
    }
}
