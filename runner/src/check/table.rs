//! What a check found, for people: the answer first, then the nodes, then the capabilities.

use super::{
    Report,
    lines::{Line, Status},
    node::{NodeReport, Part, State},
};
use crate::report::{counted, table::Detail};
use comfy_table::Table;
use flowproof_core::outcome::Outcome;
use std::{collections::BTreeSet, fmt::Write};

/// The answer in one line, and one line for each node that needs an explanation.
pub fn answer(nodes: &[NodeReport]) -> String {
    let of = |state| nodes.iter().filter(|node| node.state == state).count();
    let (enforcing, failed) = (of(State::Enforces), of(State::Failed));
    let (all, tried) = (nodes.len(), nodes.len() - failed);
    let mut text = if tried == 0 {
        match all {
            1 => "the node could not be tried".to_owned(),
            _ => format!("none of {all} nodes could be tried"),
        }
    } else if of(State::Open) == all {
        let on = if all == 1 { "the node".to_owned() } else { format!("any of {all} nodes") };
        format!("NOTHING IS ENFORCED: policies are accepted, but change nothing on {on}")
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
    counted(nodes, "node", "nodes")
}

/// The answer, the nodes and the capabilities; with [`Detail::Failures`] only what is wrong.
pub fn text(report: &Report, detail: Detail) -> String {
    let shown_node = |node: &&NodeReport| detail == Detail::Full || node.state != State::Enforces;
    let shown_line = |line: &&Line| {
        detail == Detail::Full || !matches!(line.status, Status::Enforced | Status::NotSupported)
    };
    let nodes: Vec<&NodeReport> = report.nodes.iter().filter(shown_node).collect();
    let lines: Vec<&Line> = report.capabilities.iter().filter(shown_line).collect();
    let mut text = format!("{}\n", answer(&report.nodes));
    if !nodes.is_empty() {
        let _ = writeln!(text, "\n{}", indent(&node_table(&nodes)));
    }
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{}", indent(&capabilities(&lines)));
        // Flows that show several capabilities are listed once.
        let mut listed = BTreeSet::new();
        for line in lines {
            let new: Vec<&String> = line.flows.iter().filter(|flow| listed.insert(*flow)).collect();
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

/// The capabilities as a Markdown table, ready for the documentation of a network plugin.
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

/// How many flows matched, of how many.
fn flows(line: &Line) -> String {
    match (line.matched, line.tried) {
        (_, 0) => String::new(),
        (matched, tried) if matched == tried => tried.to_string(),
        (matched, tried) => format!("{matched} of {tried}"),
    }
}

fn node_table(nodes: &[&NodeReport]) -> String {
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

fn capabilities(lines: &[&Line]) -> String {
    let mut table = plain();
    for line in lines {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::SCHEMA;

    fn node(node: &str, state: State) -> NodeReport {
        NodeReport {
            node: node.to_owned(),
            state,
            because: Vec::new(),
            slowest_ms: Some(40),
            open_for_ms: None,
            parts: Vec::new(),
        }
    }

    fn line(title: &str, status: Status) -> Line {
        Line {
            capability: None,
            title: title.to_owned(),
            status,
            note: None,
            tried: 2,
            matched: 1,
            flows: Vec::new(),
            shown_by: Vec::new(),
        }
    }

    #[test]
    fn a_quiet_report_has_only_what_is_not_as_it_should_be() {
        let report = |nodes, capabilities| Report { schema: SCHEMA, nodes, capabilities };
        let good = report(
            vec![node("good", State::Enforces)],
            vec![line("ports", Status::Enforced), line("tiers", Status::NotSupported)],
        );
        assert_eq!(text(&good, Detail::Failures), "policies are enforced on the node, within 40 ms\n");
        let full = text(&good, Detail::Full);
        assert!(full.contains("good") && full.contains("ports") && full.contains("tiers"), "{full}");
        let bad = report(
            vec![node("good", State::Enforces), node("bad", State::Open)],
            vec![line("ports", Status::Enforced), line("services", Status::NotEnforced)],
        );
        let quiet = text(&bad, Detail::Failures);
        assert!(quiet.contains("bad lets everything through") && quiet.contains("services"), "{quiet}");
        assert!(!quiet.contains("good") && !quiet.contains("ports"), "{quiet}");
    }
}
