//! A step's flows as a picture: a line for each pair that may talk, or does although it must not, colored by the worst verdict of its
//! flows.

use crate::report::counted;
use flowproof_core::{
    outcome::{FlowOutcome, StepOutcome},
    tools::picture::{Arrow, Picture, Tone},
    verdict::Kind,
};
use std::collections::{BTreeMap, BTreeSet};

/// A picture and what is left out of it.
pub(super) struct Graph {
    /// The `svg` element.
    pub(super) svg: String,
    /// What is not drawn. (The page explains the colors.)
    pub(super) note: String,
}

/// The picture of a step, if it has any flow.
pub(super) fn of(step: &StepOutcome) -> Option<Graph> {
    let ends: BTreeSet<&str> =
        step.flows.iter().flat_map(|flow| [flow.source.as_str(), flow.target.as_str()]).collect();
    if ends.is_empty() {
        return None;
    }
    let ends: Vec<&str> = ends.into_iter().collect();
    let id = |name: &str| ends.binary_search(&name).unwrap_or_default();
    let mut pairs: BTreeMap<(usize, usize), BTreeMap<&str, Tone>> = BTreeMap::new();
    let mut denied: BTreeSet<(usize, usize)> = BTreeSet::new();
    for flow in &step.flows {
        let pair = (id(&flow.source), id(&flow.target));
        if flow.expectation.denies() && flow.verdict == Kind::Matched {
            denied.insert(pair);
            continue;
        }
        let known = pairs.entry(pair).or_default().entry(&flow.port).or_insert(Tone::Plain);
        *known = (*known).max(tone(flow));
    }
    let arrow = |((from, to), ports): (&(usize, usize), &BTreeMap<&str, Tone>)| {
        let worst = ports.values().max().copied().unwrap_or(Tone::Plain);
        let marked = |(port, tone): (&&str, &Tone)| match tone {
            Tone::Mismatched => format!("✘ {port}"),
            Tone::Unclear => format!("? {port}"),
            Tone::Known => format!("≈ {port}"),
            Tone::Open => format!("○ {port}"),
            Tone::Plain | Tone::Matched => (*port).to_owned(),
        };
        let ports: Vec<String> = ports.iter().map(marked).collect();
        Arrow { from: *from, to: *to, ports: ports.join(", "), tone: worst }
    };
    let picture = Picture {
        title: format!("Who reaches whom: {}", step.title),
        arrows: pairs.iter().map(arrow).collect(),
        ends: ends.iter().map(|end| (*end).to_owned()).collect(),
    };
    denied.retain(|pair| !pairs.contains_key(pair));
    let note = match denied.len() {
        0 => String::new(),
        more => {
            format!(
                "{} that must not talk, and did not, {} no line.",
                counted(more, "pair", "pairs"),
                if more == 1 { "has" } else { "have" }
            )
        }
    };
    Some(Graph { svg: picture.element(), note })
}

fn tone(flow: &FlowOutcome) -> Tone {
    match flow.verdict {
        Kind::Matched => Tone::Matched,
        Kind::Unspecified => Tone::Open,
        _ if flow.deviation.is_some() => Tone::Known,
        Kind::Unproven | Kind::Inconclusive => Tone::Unclear,
        Kind::Mismatched => Tone::Mismatched,
    }
}
