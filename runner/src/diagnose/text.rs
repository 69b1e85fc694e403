//! A diagnosis for people.

use super::{
    apart,
    rank::{Accused, Diagnosis, Explained, Likeness},
};
use crate::report::counted;
use flowproof_core::{outcome::Outcome, scenario::Scenario};
use std::{collections::BTreeMap, fmt::Write as _};

/// With fewer mismatched flows than this, a fault that explains all of them may not be the network's fault. When faults were left out of
/// the library (`runner/benches/diagnose --leave-out`) and another one was named instead, most had fewer.
const FEW: usize = 10;

/// Flows of a likeness that are shown.
const FLOWS: usize = 5;

/// Writes a diagnosis. A test that distinguishes likenesses is looked for among `scenarios`.
#[must_use]
pub fn text(diagnosis: &Diagnosis, scenarios: &[Scenario]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", headline(diagnosis));
    for left_out in &diagnosis.left_out {
        let _ = writeln!(out, "  not compared: {left_out}");
    }
    for likeness in &diagnosis.likenesses {
        out.push('\n');
        one(&mut out, likeness, diagnosis);
    }
    for test in tests(diagnosis, scenarios) {
        let _ = writeln!(out, "\nTo {}, run {}", test.why, test.file);
        let _ = writeln!(out, "    {}", test.shows);
    }
    if !diagnosis.likenesses.is_empty() {
        out.push_str(
            "\nThis is a likeness, not a proof: it says which known fault would make the same flows fail.\n",
        );
    }
    out
}

/// The diagnosis in at most three lines, for the end of a run.
fn brief(diagnosis: &Diagnosis) -> Vec<String> {
    let mut lines = vec![headline(diagnosis)];
    if let Some(best) = diagnosis.likenesses.first() {
        lines.push(suspicion(&best.suspects[0]));
        let more = best.suspects.len() - 1;
        let others = if more > 0 {
            format!("; {} would look the same", counted(more, "other fault", "other faults"))
        } else {
            String::new()
        };
        lines.push(format!("{}{others}", reach(best, diagnosis)));
    }
    lines
}

/// Adds a diagnosis to its outcome: a few lines, and for each flow that a fault explains, the name of the fault.
pub fn add_to(outcome: &mut Outcome, diagnosis: &Diagnosis) {
    outcome.diagnosis = brief(diagnosis);
    let mut known: BTreeMap<&Explained, String> = BTreeMap::new();
    for likeness in &diagnosis.likenesses {
        for explained in &likeness.flows {
            known.entry(explained).or_insert_with(|| names(&likeness.suspects[0]));
        }
    }
    for scenario in &mut outcome.scenarios {
        for step in scenario.steps.iter_mut().chain(&mut scenario.restore) {
            for flow in &mut step.flows {
                flow.looks_like = known.get(&Explained::of(&scenario.file, &step.title, flow)).cloned();
            }
        }
    }
}

fn headline(diagnosis: &Diagnosis) -> String {
    let unclear = match diagnosis.unclear {
        0 => String::new(),
        count => format!(" ({} left out as unclear)", counted(count, "flow", "flows")),
    };
    let mismatched = counted(diagnosis.mismatched, "mismatched flow", "mismatched flows");
    match (diagnosis.mismatched, diagnosis.likenesses.first()) {
        (0, _) => format!("diagnosis: nothing to explain: no flow is mismatched{unclear}"),
        (_, None) => format!("diagnosis: none of the known faults looks like this: {mismatched}{unclear}"),
        (count, Some(best)) if best.fits() && count < FEW => {
            format!(
                "diagnosis: a known fault explains all of this, but so may others: only {mismatched}{unclear}"
            )
        }
        (_, Some(best)) if best.fits() => {
            format!("diagnosis: a known fault explains all of this: {mismatched}{unclear}")
        }
        (_, Some(_)) => {
            format!(
                "diagnosis: no known fault explains all of this, some explain a part: {mismatched}{unclear}"
            )
        }
    }
}

fn one(out: &mut String, likeness: &Likeness, diagnosis: &Diagnosis) {
    for suspects in &likeness.suspects {
        let _ = writeln!(out, "  {}", suspicion(suspects));
        for accused in suspects {
            let seen: Vec<_> =
                accused.fault.references.iter().copied().filter(|seen| *seen != "mutant").collect();
            if !seen.is_empty() {
                let _ = writeln!(out, "      seen in {}", seen.join(", "));
            }
        }
    }
    let _ = writeln!(out, "    {}", reach(likeness, diagnosis));
    for explained in likeness.flows.iter().take(FLOWS) {
        let _ = writeln!(out, "      ✘ {}  {}", explained.flow, explained.file);
    }
    if likeness.flows.len() > FLOWS {
        let _ = writeln!(out, "      … and {} more", likeness.flows.len() - FLOWS);
    }
}

fn suspicion(suspects: &[Accused]) -> String {
    let of = |accused: &Accused| {
        let place = if accused.place.is_empty() { String::new() } else { format!(", {}", accused.place) };
        format!("{}: {}{place}", accused.fault.name, accused.fault.summary)
    };
    suspects.iter().map(of).collect::<Vec<_>>().join("; and ")
}

/// The names of faults that act together.
fn names(suspects: &[Accused]) -> String {
    suspects.iter().map(|accused| accused.fault.name).collect::<Vec<_>>().join(" and ")
}

fn reach(likeness: &Likeness, diagnosis: &Diagnosis) -> String {
    let explains = match (likeness.explains, likeness.leaves) {
        (1, 0) => "explains the mismatch".to_owned(),
        (all, 0) => format!("explains all {all} mismatches"),
        (some, left) => format!("explains {some} of {} mismatches", some + left),
    };
    let agrees = match likeness.contradicts {
        0 if diagnosis.matched == 0 => return format!("{explains}; no flow matched"),
        0 if diagnosis.matched == 1 => "agrees with the match".to_owned(),
        0 => format!("agrees with all {} matches", diagnosis.matched),
        count => format!("contradicts {count} of {}", counted(diagnosis.matched, "match", "matches")),
    };
    format!("{explains}, {agrees}")
}

/// A scenario that distinguishes faults, in words.
pub struct Telling {
    /// Its file.
    pub file: String,
    /// `distinguish one from other`.
    pub why: String,
    /// Which flow of it fails with which fault.
    pub shows: String,
}

/// What distinguishes the likeliest faults: the first two likenesses, and two faults that these flows do not distinguish. The search
/// through all scenarios happens only when the iterator is advanced.
pub fn tests(diagnosis: &Diagnosis, scenarios: &[Scenario]) -> impl Iterator<Item = Telling> {
    let firsts = diagnosis.likenesses.iter().map(|likeness| (likeness, 0)).take(2).collect::<Vec<_>>();
    let alike = diagnosis.likenesses.iter().find(|likeness| likeness.suspects.len() > 1);
    let alike = alike.into_iter().flat_map(|likeness| [(likeness, 0), (likeness, 1)]).collect();
    [firsts, alike].into_iter().filter_map(|pair| telling(&pair, scenarios))
}

fn telling(pair: &[(&Likeness, usize)], scenarios: &[Scenario]) -> Option<Telling> {
    let [(one, at), (other, there)] = pair else { return None };
    let test = apart::test(scenarios, one.sets().nth(*at)?, other.sets().nth(*there)?)?;
    let (first, second) = if test.wrong_with_first { ("fails", "passes") } else { ("passes", "fails") };
    Some(Telling {
        file: test.file,
        why: format!("distinguish {} from {}", names(&one.suspects[*at]), names(&other.suspects[*there])),
        shows: format!("{} {first} with the former and {second} with the latter", test.flow),
    })
}
