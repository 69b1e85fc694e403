//! A comparison for people: a table on the terminal, and Markdown.

use super::{github::escape, sign};
use crate::run::duration_text;
use comfy_table::Table;
use flowproof_core::tools::compare::{Change, Comparison, Effect, Seen};
use std::{fmt::Write, time::Duration};

/// Up to this many flows of one effect are listed, because a network that enforces nothing would fill the screen.
const MOST_LISTED: usize = 50;

/// The comparison as text; its first line is the summary.
pub fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n{}\n", comparison.headline, runs(comparison));
    if !comparison.surroundings.is_empty() {
        let rows =
            comparison.surroundings.iter().map(|d| [d.what.clone(), d.before.clone(), d.after.clone()]);
        let _ = write!(text, "\nwhat else differs\n{}", table(["", "before", "after"], rows));
    }
    for (effect, regression, changes) in groups(comparison) {
        let _ = writeln!(text, "\n{} {effect}", if regression { "✘" } else { "·" });
        let _ = write!(
            text,
            "{}",
            table(["flow", "before", "after", "step"], changes.iter().take(MOST_LISTED).map(|c| row(c)))
        );
        if changes.len() > MOST_LISTED {
            let _ = writeln!(text, "  … and {} more (--json has all)", changes.len() - MOST_LISTED);
        }
    }
    text
}

/// The comparison as Markdown.
pub fn markdown(comparison: &Comparison) -> String {
    let mut text =
        format!("## flowproof: {}\n\n{}\n", escape(&comparison.headline), escape(&runs(comparison)));
    if !comparison.surroundings.is_empty() {
        text.push_str("\n| | before | after |\n|---|---|---|\n");
        for d in &comparison.surroundings {
            let _ = writeln!(text, "| {} | {} | {} |", escape(&d.what), escape(&d.before), escape(&d.after));
        }
    }
    for (effect, regression, changes) in groups(comparison) {
        let _ = write!(
            text,
            "\n### {} {effect}\n\n| flow | before | after | step |\n|---|---|---|---|\n",
            if regression { "✘" } else { "·" }
        );
        for change in changes {
            let _ = writeln!(text, "| {} |", row(change).map(|cell| escape(&cell)).join(" | "));
        }
    }
    text
}

fn runs(comparison: &Comparison) -> String {
    let side = |side: &flowproof_core::tools::compare::Side| {
        let started = side.started.split('.').next().unwrap_or_default().trim_end_matches('Z');
        format!("run {} of {started}Z ({})", side.run, super::tally_text(side.tally))
    };
    format!("before: {}; after: {}", side(&comparison.before), side(&comparison.after))
}

/// The changes grouped by effect; they are already sorted by it.
fn groups(comparison: &Comparison) -> Vec<(Effect, bool, Vec<&Change>)> {
    let mut groups: Vec<(Effect, bool, Vec<&Change>)> = Vec::new();
    for change in &comparison.changes {
        match groups.last_mut() {
            Some((effect, regression, changes))
                if (*effect, *regression) == (change.effect, change.regression) =>
            {
                changes.push(change);
            }
            _ => groups.push((change.effect, change.regression, vec![change])),
        }
    }
    groups
}

fn row(change: &Change) -> [String; 4] {
    let families = match &change.families[..] {
        [] => String::new(),
        families => format!(" ({})", families.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    let step = format!("{} · {}", change.scenario, change.step);
    [
        format!("{}{families}", change.flow),
        half(change, change.before.as_ref()),
        half(change, change.after.as_ref()),
        step,
    ]
}

/// One side of a change: what matters for its effect.
fn half(change: &Change, seen: Option<&Seen>) -> String {
    let Some(seen) = seen else { return "not tried".to_owned() };
    let time = seen
        .enforced_after_ms
        .map_or_else(|| "no time".to_owned(), |ms| duration_text(Duration::from_millis(ms)));
    match change.effect {
        Effect::Slower | Effect::Sooner => format!("after {time}"),
        Effect::Moved => {
            let to = seen.destination_node.as_ref().map_or(String::new(), |node| format!(" -> {node}"));
            format!("{}{to}", seen.source_node)
        }
        Effect::OtherExpectation => seen.expectation.to_string(),
        _ => format!("{} {}: {}", sign(seen.verdict, false), seen.expectation, seen.text),
    }
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    let lines = table.to_string();
    lines.lines().fold(String::new(), |text, line| text + "  " + line.trim_end() + "\n")
}
