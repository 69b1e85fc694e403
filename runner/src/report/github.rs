//! The summary that GitHub shows on a job's page: Markdown, appended to the file that `GITHUB_STEP_SUMMARY` names.

use super::{Told, failure, sign, table, tally_text, told};
use flowproof_core::outcome::Outcome;
use std::fmt::Write;

/// Makes the Markdown text.
pub fn markdown(outcome: &Outcome) -> String {
    let mut text = format!("## flowproof: {}\n\n", table::headline(outcome).replace('\n', "  \n"));
    if let Some(canary) = &outcome.canary {
        let _ = writeln!(text, "{}\n", table::canary_text(canary));
    }
    if !outcome.diagnosis.is_empty() {
        let _ = writeln!(text, "{}\n", escape(&outcome.diagnosis.join("; ")));
    }
    text.push_str("| | scenario | flows |\n|---|---|---|\n");
    for scenario in &outcome.scenarios {
        let (sign, tally) = (table::scenario_sign(scenario), tally_text(scenario.tally()));
        let _ = writeln!(text, "| {sign} | {} | {tally} |", escape(&scenario.claim));
    }
    for scenario in &outcome.scenarios {
        for step in scenario.steps.iter().chain(&scenario.restore) {
            for group in failure::alike(&told(step)) {
                group.in_full.iter().for_each(|told| details(&mut text, told));
                if !group.others.is_empty() {
                    let _ = writeln!(text, "\n{}", escape(&group.and_others()));
                }
                for told in &group.others {
                    let _ = writeln!(text, "- `{}` ({})", told.flow.flow, told.families_text());
                }
            }
        }
    }
    text
}

fn details(text: &mut String, told: &Told<'_>) {
    let sign = sign(told.flow.verdict, told.flow.deviation.is_some());
    let _ = write!(
        text,
        "\n<details><summary>{sign} <code>{}</code> ({}): {}</summary>\n\n| | |\n|---|---|\n",
        escape(&told.flow.flow),
        told.families_text(),
        escape(&told.flow.text)
    );
    for (label, line) in failure::lines(told.flow) {
        let _ = writeln!(text, "| {label} | {} |", escape(&line));
    }
    text.push_str("\n</details>\n");
}

/// Escapes a text for a cell of a table.
pub(super) fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('>', "&gt;").replace('\n', " ")
}
