//! What a watch saw, for people: one line per leak, gap, and time without observation, with a timeline.

use super::counted;
use crate::run::duration_text;
use flowproof_core::outcome::{
    EndedBy, Episode, Outcome, Start, WatchOutcome, Watched, WatchedFlow, WatchedProber, What,
};
use flowproof_core::verdict::saw_text;
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// Columns of a timeline.
const COLUMNS: u64 = 60;

/// Up to this many flows, and kept connections, are shown in full.
const MOST_FLOWS: usize = 40;
const MOST_KEPT: usize = 10;

/// What is seen of flows, in singular and plural.
const WORDS: [(What, &str, &str); 3] = [
    (What::Leak, "leak", "leaks"),
    (What::Gap, "gap", "gaps"),
    (What::NotObserved, "time not observed", "times not observed"),
];

/// What was seen of a scenario's flows.
pub fn text(watched: &Watched, watch: Option<&WatchOutcome>) -> String {
    let length = watched.until_ms.saturating_sub(watched.from_ms);
    let mut text = format!("  {}\n", summary(watched));
    let told: Vec<&WatchedFlow> = watched.flows.iter().filter(|flow| !flow.episodes.is_empty()).collect();
    if !told.is_empty() {
        let command = watch.and_then(|watch| watch.command.as_ref());
        let ran = command.map(|command| {
            let until = command.until_ms.unwrap_or(watched.until_ms);
            (command.from_ms.saturating_sub(watched.from_ms), until.saturating_sub(watched.from_ms))
        });
        if let Some((from, until)) = ran {
            let _ = writeln!(text, "\n    {}  the command ran", bar(length, &[(from, until, '─')]));
        }
    }
    for flow in told.iter().take(MOST_FLOWS) {
        let marks: Vec<(u64, u64, char)> = flow
            .episodes
            .iter()
            .map(|e| {
                (
                    e.from_ms.saturating_sub(watched.from_ms),
                    e.until_ms.saturating_sub(watched.from_ms),
                    mark(e.what),
                )
            })
            .collect();
        let _ = writeln!(
            text,
            "    {}  {} {} ({})",
            bar(length, &marks),
            flow.expectation,
            flow.flow,
            flow.family
        );
        for episode in &flow.episodes {
            let _ = writeln!(text, "      {}", episode_text(episode, watched.from_ms));
        }
        if flow.untold > 0 {
            let _ = writeln!(text, "      … and {} more", flow.untold);
        }
    }
    if told.len() > MOST_FLOWS {
        let _ = writeln!(text, "    … and {} more flows (--save has all)", told.len() - MOST_FLOWS);
    }
    if !told.is_empty() {
        let _ = writeln!(text, "    {}  █ leak  ▒ gap  ? not observed", scale(length));
    }
    for told in notes(watched) {
        let _ = writeln!(text, "    {told}");
    }
    text.trim_end().to_owned()
}

/// The watch of a scenario in one line.
pub fn summary(watched: &Watched) -> String {
    format!(
        "watch: {} for {}, one attempt every {} ms: {}",
        counted(watched.flows.len(), "flow", "flows"),
        duration(watched.until_ms.saturating_sub(watched.from_ms)),
        watched.interval_ms,
        counts(watched)
    )
}

/// What there is to report besides leaks and gaps, line by line.
pub fn notes(watched: &Watched) -> Vec<String> {
    [start_texts(watched), kept_texts(watched), prober_texts(watched)].concat()
}

/// What became of the connections that were kept open: one line for all of them, and one for each that ended or stalled.
fn kept_texts(watched: &Watched) -> Vec<String> {
    if watched.kept.is_empty() {
        return Vec::new();
    }
    let troubled = |flow: &&WatchedFlow| flow.episodes.iter().any(|episode| episode.what == What::Gap);
    let troubled: Vec<&WatchedFlow> = watched.kept.iter().filter(troubled).collect();
    let stalls = watched.kept.iter().flat_map(|flow| &flow.episodes).filter(|e| is_stall(e)).count();
    let fate = if troubled.is_empty() {
        "none ended or stalled".to_owned()
    } else {
        let (ends, stalls) = (counted(watched.cuts(), "end", "ends"), counted(stalls, "stall", "stalls"));
        format!("{ends} and {stalls} on {} of them; the API allows both", troubled.len())
    };
    let kept = counted(watched.kept.len(), "connection was", "connections were");
    let mut texts = vec![format!("{kept} kept open: {fate}")];
    for flow in troubled.iter().take(MOST_KEPT) {
        let told = flow.episodes.iter().filter(|episode| episode.what == What::Gap);
        let told: Vec<String> = told.map(|episode| kept_text(episode, watched.from_ms)).collect();
        texts.push(format!("  {} ({}): {}", flow.flow, flow.family, told.join("; ")));
    }
    if troubled.len() > MOST_KEPT {
        texts.push(format!("  … and {} more (--save has all)", troubled.len() - MOST_KEPT));
    }
    texts
}

fn is_stall(episode: &Episode) -> bool {
    episode.what == What::Gap && !episode.is_cut()
}

/// `ended at 3.2 s, open again after 0.1 s`; a connection that was only late to answer stalled.
fn kept_text(episode: &Episode, zero_ms: u64) -> String {
    let at = duration(episode.from_ms.saturating_sub(zero_ms));
    let lasted = duration(episode.length_ms());
    match (is_stall(episode), episode.open) {
        (true, false) => format!("stalled at {at} for {lasted}"),
        (true, true) => format!("stalled at {at} and until the end"),
        (false, false) => format!("ended at {at}, open again after {lasted}"),
        (false, true) => format!("ended at {at}, and not open again"),
    }
}

/// What pods could do that were started during the watch, one line per workload that they represent.
fn start_texts(watched: &Watched) -> Vec<String> {
    let mut by_workload: BTreeMap<&str, Vec<&Start>> = BTreeMap::new();
    for start in &watched.starts {
        by_workload.entry(&start.like).or_default().push(start);
    }
    by_workload.into_iter().map(|(like, starts)| start_text(like, &starts)).collect()
}

fn start_text(like: &str, starts: &[&Start]) -> String {
    let flows = |denied: bool| {
        starts.iter().flat_map(|start| &start.flows).filter(move |flow| flow.expectation.denies() == denied)
    };
    let longest = |denied: bool| flows(denied).filter_map(|flow| flow.window_ms).fold(0.0, f64::max);
    let never = flows(true).chain(flows(false)).filter(|flow| flow.window_ms.is_none()).count();
    let open = flows(true).filter(|flow| flow.against > 0).count();
    let denied = match open {
        0 => "denied flows were denied from the first packet".to_owned(),
        _ => format!(
            "{open} of {} got through at first, for up to {:.0} ms",
            counted(flows(true).count(), "denied flow", "denied flows"),
            longest(true)
        ),
    };
    let mut text = match starts.len() {
        1 => format!("one pod like {like} was started: {denied}"),
        count => format!("{count} pods like {like} were started: {denied}"),
    };
    if flows(false).next().is_some() {
        let _ = write!(text, "; allowed ones worked within {:.0} ms", longest(false));
    }
    if never > 0 {
        let _ = write!(text, "; {never} never went as expected");
    }
    text
}

/// What happened to the probers: one line for each with something to report.
fn prober_texts(watched: &Watched) -> Vec<String> {
    // A timer that is late by less than this does not cost an attempt.
    let late = (3 * watched.interval_ms).max(300);
    let tell = |prober: &WatchedProber| {
        let mut facts = Vec::new();
        if prober.replaced > 0 {
            facts.push(format!(
                "its pod was replaced or restarted {}",
                counted(prober.replaced as usize, "time", "times")
            ));
        }
        if prober.longest_lag_ms >= late {
            facts.push(format!("it was late by up to {} ms: it got too little CPU", prober.longest_lag_ms));
        }
        let name = format!("prober {} on {}", prober.workload, prober.node);
        (!facts.is_empty()).then(|| format!("{name}: {}", facts.join("; ")))
    };
    watched.probers.iter().filter_map(tell).collect()
}

/// One episode in words: `leak from 3.2 s to 8.1 s (4.9 s, 49 attempts), node1 -> node2, the source saw: answered`.
pub fn episode_text(episode: &Episode, zero_ms: u64) -> String {
    let name = match episode.what {
        What::Leak => "leak",
        What::Gap => "gap",
        What::NotObserved => "not observed",
    };
    let at = |ms: u64| format!("{:.1} s", ms.saturating_sub(zero_ms) as f64 / 1000.0);
    let until = if episode.open { "the end".to_owned() } else { at(episode.until_ms) };
    let nodes = match &episode.destination_node {
        Some(node) => format!("{} -> {node}", episode.source_node),
        None => episode.source_node.clone(),
    };
    let why = match (&episode.why, &episode.observation) {
        (Some(why), _) => format!(" ({why})"),
        (None, Some(observation)) => format!(" (the source saw: {})", saw_text(observation)),
        (None, None) => String::new(),
    };
    let attempts = counted(episode.attempts as usize, "attempt", "attempts");
    let from = at(episode.from_ms);
    match episode.length_ms() {
        0 if !episode.open => format!("{name} at {from}: {attempts}, {nodes}{why}"),
        length => format!("{name} from {from} to {until}: {}, {attempts}, {nodes}{why}", duration(length)),
    }
}

/// The watch as a whole in one line.
pub fn headline(watch: &WatchOutcome, outcome: &Outcome) -> String {
    let watched = || outcome.scenarios.iter().filter_map(|scenario| scenario.watched.as_ref());
    let longest = |what| {
        let lengths = watched().flat_map(|w| w.episodes(what)).map(|(_, episode)| episode.length_ms());
        let (count, longest) =
            lengths.fold((0_usize, 0), |(count, longest), ms| (count + 1, longest.max(ms)));
        (count > 0).then_some((count, longest))
    };
    let mut parts = Vec::new();
    for (what, one, several) in WORDS {
        if let Some((count, ms)) = longest(what) {
            let seen = counted(count, one, several);
            parts.push(match (count, ms) {
                (_, 0) => seen,
                (1, ms) => format!("{seen} of {}", duration(ms)),
                (_, ms) => format!("{seen}, the longest {}", duration(ms)),
            });
        }
    }
    let seen = if parts.is_empty() { "no leak, no gap".to_owned() } else { parts.join("; ") };
    let mut text = format!("watched for {}: {seen}", duration(watch.until_ms.saturating_sub(watch.from_ms)));
    if watch.ended == EndedBy::NothingToWatch {
        text += "; it ended because nothing was left to watch";
    }
    if let Some(command) = &watch.command {
        let name = command.arguments.join(" ");
        let _ = match (&command.error, command.until_ms, command.exit_code) {
            (Some(error), ..) => write!(text, "; {error}"),
            (None, None, _) => write!(text, "; still running: {name}"),
            (None, Some(_), Some(0)) => write!(text, "; {name}: exit code 0"),
            (None, Some(_), Some(code)) => write!(text, "; THE COMMAND FAILED with exit code {code}: {name}"),
            (None, Some(_), None) => write!(text, "; THE COMMAND was ended by a signal: {name}"),
        };
    }
    text
}

fn counts(watched: &Watched) -> String {
    let count = |what| watched.episodes(what).count();
    let losses: u64 = watched.flows.iter().map(|flow| flow.losses).sum();
    let parts = WORDS.map(|(what, one, several)| (count(what), one, several));
    let lost = (losses as usize, "single attempt lost", "single attempts lost");
    let some = parts.into_iter().chain([lost]).filter(|(count, ..)| *count > 0);
    let told: Vec<String> = some.map(|(count, one, several)| counted(count, one, several)).collect();
    if told.is_empty() { "no leak, no gap".to_owned() } else { told.join(", ") }
}

fn mark(what: What) -> char {
    match what {
        What::Leak => '█',
        What::Gap => '▒',
        What::NotObserved => '?',
    }
}

fn bar(length: u64, marks: &[(u64, u64, char)]) -> String {
    let mut line: Vec<char> = vec!['·'; COLUMNS as usize];
    let column = |at: u64| (at * COLUMNS / length.max(1)).min(COLUMNS - 1) as usize;
    for (from, until, sign) in marks {
        line[column(*from)..=column(*until)].fill(*sign);
    }
    line.into_iter().collect()
}

fn scale(length: u64) -> String {
    let end = duration(length);
    format!("0 s{:>width$}", end, width = COLUMNS as usize - 3)
}

fn duration(ms: u64) -> String {
    duration_text(Duration::from_millis(ms))
}
