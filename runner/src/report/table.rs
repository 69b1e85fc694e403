//! The final report for people: a truth table per scenario, the failures in full, the conclusion.

use super::{counted, diagnosis_text, failure, sign, tally_text, told, watched};
use crate::run::duration_text;
use comfy_table::{Cell, CellAlignment, Table};
use flowproof_core::{
    outcome::{
        Canary, Conclusion, End, FlowOutcome, Outcome, ScenarioOutcome, StepOutcome, WatchOutcome, What,
    },
    tools::reach::is_workload,
    verdict::Kind,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

/// Up to this many columns a cell has words; wider tables have signs and a legend.
const COLUMNS_WITH_WORDS: usize = 6;

/// If columns need more tables of that width than this, they are one table of signs.
const TABLES_WITH_WORDS: usize = 3;

/// How many characters are shown of a failure that was already shown in full.
const BRIEFLY: usize = 100;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Tables of all scenarios.
    Full,
    /// Only what is not matched.
    Failures,
}

/// Writes the final report.
pub fn write(out: &mut dyn Write, outcome: &Outcome, detail: Detail) -> io::Result<()> {
    let mut hinted = BTreeSet::new();
    for scenario in &outcome.scenarios {
        if detail == Detail::Full || !all_matched(scenario) {
            write_scenario(out, scenario, outcome.watch.as_ref(), &mut hinted)?;
        }
    }
    if let Some(canary) = &outcome.canary {
        writeln!(out, "{}", canary_text(canary))?;
    }
    if let Some(watch) = &outcome.watch {
        writeln!(out, "{}", watched::headline(watch, outcome))?;
    }
    writeln!(out, "{}", headline(outcome))?;
    write!(out, "{}", diagnosis_text(outcome))
}

fn all_matched(scenario: &ScenarioOutcome) -> bool {
    let undisturbed =
        scenario.watched.as_ref().is_none_or(|w| w.flows.iter().all(|flow| flow.episodes.is_empty()));
    scenario.end == End::Played && undisturbed && scenario.tally().matched == scenario.tally().total()
}

/// `hinted` are the hints that were already given: the same failure in many scenarios is shown in full once.
fn write_scenario<'a>(
    out: &mut dyn Write,
    scenario: &'a ScenarioOutcome,
    watch: Option<&WatchOutcome>,
    hinted: &mut BTreeSet<&'a str>,
) -> io::Result<()> {
    let took = duration_text(Duration::from_millis(scenario.took_ms));
    writeln!(out, "{} {}", scenario_sign(scenario), scenario.claim)?;
    writeln!(out, "  {} · {} · {took}", scenario.file, tally_text(scenario.tally()))?;
    match &scenario.end {
        End::Played => {}
        End::Skipped { why } => writeln!(out, "  skipped: {why}")?,
        End::Interrupted => writeln!(out, "  ended early: the run was interrupted or out of time")?,
        End::Failed { error, hint: Some(hint), .. } if !hinted.insert(hint) => {
            let short: String = error.chars().take(BRIEFLY).collect();
            writeln!(out, "  failed: {short}{}", if short == *error { "" } else { " … (as above)" })?;
        }
        End::Failed { error, hint, .. } => {
            writeln!(out, "  failed: {error}")?;
            if let Some(hint) = hint {
                writeln!(out, "  hint: {hint}")?;
            }
        }
    }
    for (number, step) in scenario.steps.iter().chain(&scenario.restore).enumerate() {
        let settled = step.settled_after_ms.map_or_else(
            || "did not settle".to_owned(),
            |ms| format!("settled after {}", duration_text(Duration::from_millis(ms))),
        );
        writeln!(out)?;
        writeln!(out, "  step {}: {} · {settled}", number + 1, step.title)?;
        writeln!(out, "{}", indent(&table(step)))?;
        failure::write(out, &told(step))?;
    }
    if let Some(watched) = &scenario.watched {
        writeln!(out, "\n{}", watched::text(watched, watch))?;
    }
    writeln!(out)
}

/// The sign of a scenario as a whole.
pub fn scenario_sign(scenario: &ScenarioOutcome) -> &'static str {
    let tally = scenario.tally();
    let watched = |what| scenario.watched.as_ref().is_some_and(|watched| watched.any(what));
    match &scenario.end {
        End::Skipped { .. } => "-",
        End::Failed { .. } => "✘",
        _ if tally.mismatched > 0 || watched(What::Leak) || watched(What::Gap) => "✘",
        End::Interrupted => "?",
        End::Played if tally.unproven + tally.inconclusive > 0 || watched(What::NotObserved) => "?",
        End::Played => "✔",
    }
}

/// A target and a port.
type Column<'a> = (&'a str, &'a str);

/// Sources down, targets and ports across.
fn table(step: &StepOutcome) -> String {
    let columns: BTreeSet<Column<'_>> =
        step.flows.iter().map(|f| (f.target.as_str(), f.port.as_str())).collect();
    let mut cells: BTreeMap<(&str, Column<'_>), Vec<&FlowOutcome>> = BTreeMap::new();
    for flow in &step.flows {
        cells.entry((&flow.source, (&flow.target, &flow.port))).or_default().push(flow);
    }
    let sources: BTreeSet<&str> = step.flows.iter().map(|flow| flow.source.as_str()).collect();
    let parts = parts(&columns);
    let mut texts = Vec::new();
    for part in &parts {
        let words = part.len() <= COLUMNS_WITH_WORDS;
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        let heads = part.iter().enumerate().map(|(number, (target, port))| {
            if words { format!("{target}\n{port}") } else { (number + 1).to_string() }
        });
        table.set_header(std::iter::once(String::new()).chain(heads));
        for source in &sources {
            let flows: Vec<&[&FlowOutcome]> = part
                .iter()
                .map(|column| cells.get(&(*source, *column)).map_or(&[][..], Vec::as_slice))
                .collect();
            if flows.iter().all(|flows| flows.is_empty()) {
                continue;
            }
            let row =
                flows.iter().map(|flows| Cell::new(cell(flows, words)).set_alignment(CellAlignment::Left));
            table.add_row(std::iter::once(Cell::new(source)).chain(row));
        }
        let mut text = table.to_string();
        if !words {
            for (number, (target, port)) in part.iter().enumerate() {
                let _ = write!(text, "\n{}: {target} {port}", number + 1);
            }
            text.push_str(
                "\n✔ as expected   ✘ mismatched   ? unproven or inconclusive   ≈ known deviation   ○ left open",
            );
        }
        texts.push(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"));
    }
    texts.join("\n\n")
}

/// The columns of each table. A few columns are one table. Otherwise pods, Services and the rest are apart, each in tables that are
/// narrow enough for words, or in a single table of signs if there would be too many.
fn parts<'a>(columns: &BTreeSet<Column<'a>>) -> Vec<Vec<Column<'a>>> {
    let all: Vec<Column<'_>> = columns.iter().copied().collect();
    if all.len() <= COLUMNS_WITH_WORDS {
        return vec![all];
    }
    let kind = |(target, _): &Column<'_>| match *target {
        pod if is_workload(pod) => 0,
        service if service.starts_with("service ") => 1,
        _ => 2,
    };
    let mut parts = Vec::new();
    for wanted in 0..3 {
        let part: Vec<Column<'_>> = all.iter().copied().filter(|column| kind(column) == wanted).collect();
        if part.len() <= TABLES_WITH_WORDS * COLUMNS_WITH_WORDS {
            parts.extend(part.chunks(COLUMNS_WITH_WORDS).map(<[_]>::to_vec));
        } else {
            parts.push(part);
        }
    }
    parts
}

fn cell(flows: &[&FlowOutcome], words: bool) -> String {
    let sign_of = |flow: &FlowOutcome| sign(flow.verdict, flow.deviation.is_some());
    let text = |flow: &FlowOutcome| {
        if !words {
            return sign_of(flow).to_owned();
        }
        let mut text = format!("{} {}", sign_of(flow), flow.expectation);
        if flow.expectation.denies()
            && flow.verdict == Kind::Matched
            && let Some(ms) = flow.evidence.enforced_after_ms
        {
            let _ = write!(text, " {ms} ms");
        }
        text
    };
    match flows {
        [] => String::new(),
        [one] => text(one),
        [first, rest @ ..] if rest.iter().all(|flow| sign_of(flow) == sign_of(first)) => {
            let slowest = flows.iter().max_by_key(|flow| flow.evidence.enforced_after_ms).unwrap_or(first);
            text(slowest)
        }
        all => {
            all.iter().map(|flow| format!("{} {}", text(flow), flow.family)).collect::<Vec<_>>().join(", ")
        }
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// One or a few lines on what the canary found.
pub fn canary_text(canary: &Canary) -> String {
    let open: Vec<String> = canary.open().map(|pair| format!("{} -> {}", pair.from, pair.to)).collect();
    if canary.nothing_enforced() {
        return "canary: NOTHING IS ENFORCED: a policy that denies everything was accepted, and every pair of nodes lets \
                traffic through"
            .to_owned();
    }
    if !open.is_empty() {
        return format!(
            "canary: not enforced between {} ({} of {})",
            open.join(", "),
            open.len(),
            pairs(canary)
        );
    }
    let unclear = canary.pairs.iter().filter(|pair| pair.verdict != Kind::Matched).count();
    if unclear > 0 || canary.pairs.is_empty() {
        return format!("canary: unclear for {unclear} of {}", pairs(canary));
    }
    let slowest = canary.pairs.iter().filter_map(|pair| pair.enforced_after_ms).max().unwrap_or(0);
    match canary.pairs.len() {
        1 => format!("canary: policies are enforced on the node, within {slowest} ms"),
        _ => format!("canary: policies are enforced on all {}, within {slowest} ms", pairs(canary)),
    }
}

fn pairs(canary: &Canary) -> String {
    counted(canary.pairs.len(), "pair of nodes", "pairs of nodes")
}

/// The last line: the summary of the run.
pub fn headline(outcome: &Outcome) -> String {
    let tally = outcome.tally();
    let took = duration_text(Duration::from_millis(outcome.took_ms));
    let failed = outcome.scenarios.iter().filter(|s| matches!(s.end, End::Failed { .. })).count();
    let skipped = outcome.scenarios.iter().filter(|s| matches!(s.end, End::Skipped { .. })).count();
    let mut text = match outcome.conclusion() {
        Conclusion::Matched => "everything matched".to_owned(),
        Conclusion::Mismatched => "the network does not do what was expected".to_owned(),
        Conclusion::NothingEnforced => {
            "the cluster accepts policies and enforces none of them: its network plugin has no policy engine, or it is not running"
                .to_owned()
        }
        Conclusion::Unclear => "no mismatch, but not everything is proven".to_owned(),
        Conclusion::SetUpFailed => "no mismatch, but the set-up failed".to_owned(),
        Conclusion::Nothing => "nothing was tried: this proves nothing".to_owned(),
        Conclusion::Interrupted => "interrupted".to_owned(),
    };
    let scenarios = counted(outcome.scenarios.len(), "scenario", "scenarios");
    let _ = write!(text, ": {} in {scenarios}", tally_text(tally));
    for (count, word) in [(failed, "failed"), (skipped, "skipped")] {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    let _ = write!(text, ", {took} (run {})", outcome.run);
    if !outcome.remains.is_empty() {
        let _ = write!(
            text,
            "\nleft behind: {}\nremove it with: flowproof clean {}",
            outcome.remains.join(", "),
            outcome.run
        );
    }
    text
}
