//! The suspects, by how much of what was seen they explain.

use super::{
    observed::{Observed, Would},
    suspect::{Place, Suspect},
};
use crate::local::fault::FaultInfo;
use flowproof_core::outcome::FlowOutcome;
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeMap};

/// Name and version of the JSON form.
pub const SCHEMA: &str = "flowproof.diagnosis/1";

/// How many suspects are shown; a group that cannot be distinguished counts as one.
const SHOWN: usize = 3;

/// How many suspects are tried at single places.
const PLACED: usize = 16;

/// How many suspects are tried in pairs.
const PAIRED: usize = 24;

/// What a run looks like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Flows that were mismatched.
    pub mismatched: usize,
    /// Flows that matched.
    pub matched: usize,
    /// Flows that are neither, and do not count.
    pub unclear: usize,
    /// What could not be compared, one line each.
    pub left_out: Vec<String>,
    /// The likenesses, the best one first; none if no known fault looks like the run.
    pub likenesses: Vec<Likeness>,
}

/// Suspects that would all make the same flows wrong, and what these flows are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Likeness {
    /// The possible causes: each is one suspect, or two that act together, and all make the same flows wrong.
    pub suspects: Vec<Vec<Accused>>,
    /// Mismatched flows that would be wrong with it.
    pub explains: usize,
    /// Mismatched flows that would not.
    pub leaves: usize,
    /// Flows that matched and would be wrong with it.
    pub contradicts: usize,
    /// The flows that it explains: file, step and flow.
    pub flows: Vec<Explained>,
    #[serde(skip)]
    sets: Vec<Vec<Suspect>>,
}

/// A suspect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accused {
    /// The fault.
    pub fault: &'static FaultInfo,
    /// Where the network would have it; empty for everywhere.
    pub place: String,
}

/// A flow that a likeness explains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Explained {
    /// The scenario's file.
    pub file: String,
    /// Title of the step.
    pub step: String,
    /// The flow, with its family.
    pub flow: String,
}

impl Explained {
    /// A flow of a step of a file.
    pub(super) fn of(file: &str, step: &str, flow: &FlowOutcome) -> Self {
        let flow = format!("{} ({})", flow.flow, flow.family);
        Self { file: file.to_owned(), step: step.to_owned(), flow }
    }
}

impl Likeness {
    /// Whether it explains every mismatch and contradicts no match.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.leaves == 0 && self.contradicts == 0
    }

    /// Each set of suspects that makes the same flows wrong.
    pub fn sets(&self) -> impl Iterator<Item = &[Suspect]> {
        self.sets.iter().map(Vec::as_slice)
    }
}

impl Diagnosis {
    /// Whether some likeness explains everything.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.likenesses.first().is_some_and(Likeness::fits)
    }
}

/// What suspects would do to all flows, in one list.
type Effects = Vec<Would>;

/// Ranks the known faults by how much of a run they explain.
#[must_use]
pub fn diagnose(observed: &Observed<'_>) -> Diagnosis {
    diagnose_among(observed, &Suspect::everywhere().collect::<Vec<_>>())
}

/// Ranks these faults in the same way.
#[must_use]
pub fn diagnose_among(observed: &Observed<'_>, suspects: &[Suspect]) -> Diagnosis {
    let wrong: Vec<bool> =
        observed.scenarios.iter().flat_map(|played| &played.flows).map(|judged| judged.wrong).collect();
    let mut ranks = Vec::new();
    if wrong.contains(&true) {
        let all = tried(observed, suspects, &wrong);
        let mut touching: Vec<Tried> = all.into_iter().filter(|tried| tried.score.explains > 0).collect();
        touching.sort_by_key(Tried::key);
        if !touching.iter().any(|tried| tried.score.fits()) {
            // At one place a suspect explains less than everywhere, but it may contradict nothing there.
            touching.sort_by_key(|tried| Reverse(tried.score.explains));
            let places: Vec<Suspect> = touching
                .iter()
                .take(PLACED)
                .flat_map(|tried| tried.suspects[0].elsewhere(observed.nodes.len() as u8))
                .collect();
            let narrowed = tried(observed, &places, &wrong);
            // At least one mismatch must be certain.
            let plain = |tried: &Tried| {
                tried.score.explains > 0 && (!tried.reaches() || tried.score.faintly < tried.score.explains)
            };
            touching.extend(narrowed.into_iter().filter(plain));
        }
        touching.sort_by_key(Tried::key);
        if !touching.iter().any(|tried| tried.score.fits()) {
            touching.extend(pairs(&touching, &wrong));
            touching.sort_by_key(Tried::key);
        }
        ranks = touching;
    }
    let (mismatched, all) = observed.counts();
    Diagnosis {
        schema: SCHEMA,
        mismatched,
        matched: all - mismatched,
        unclear: observed.unclear,
        left_out: observed.left_out.clone(),
        likenesses: groups(observed, ranks),
    }
}

/// Suspects, what they would do, and how that compares with what was seen.
struct Tried {
    suspects: Vec<Suspect>,
    effects: Effects,
    score: Score,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Score {
    explains: usize,
    /// Of those, flows that would be wrong only for a while.
    faintly: usize,
    leaves: usize,
    contradicts: usize,
}

impl Score {
    fn of(effects: &[Would], wrong: &[bool]) -> Self {
        let count = |pick: fn(Would, bool) -> bool| {
            effects.iter().zip(wrong).filter(|(effect, wrong)| pick(**effect, **wrong)).count()
        };
        Self {
            explains: count(|effect, wrong| wrong && effect != Would::Agree),
            faintly: count(|effect, wrong| wrong && effect == Would::Flicker),
            leaves: count(|effect, wrong| wrong && effect == Would::Agree),
            contradicts: count(|effect, wrong| !wrong && effect == Would::Differ),
        }
    }

    fn fits(self) -> bool {
        self.leaves == 0 && self.contradicts == 0
    }
}

impl Tried {
    /// Whether it supposes that the policies of one scenario act on another.
    fn reaches(&self) -> bool {
        self.suspects.iter().any(|suspect| suspect.place == Place::AcrossScenarios)
    }

    /// Suspects with a smaller key go first: those that leave or contradict few flows, then those that are certain, then those that
    /// assume little. An additional assumption must explain more than a few stray flows: a second fault a twentieth of the mismatches, a
    /// place a fiftieth.
    fn key(&self) -> (usize, usize, usize, Vec<Suspect>) {
        let supposes = self.suspects.iter().map(|suspect| match suspect.place {
            Place::Everywhere => 1,
            _ => 2,
        });
        let mismatched = self.score.explains + self.score.leaves;
        let second = if self.suspects.len() > 1 { 2 + mismatched / 20 } else { 0 };
        let placed = self.suspects.iter().any(|suspect| suspect.place != Place::Everywhere);
        let place = if placed { 1 + mismatched / 50 } else { 0 };
        (
            self.score.leaves + self.score.contradicts + second + place,
            self.score.faintly,
            supposes.sum(),
            self.suspects.clone(),
        )
    }
}

fn tried(observed: &Observed<'_>, suspects: &[Suspect], wrong: &[bool]) -> Vec<Tried> {
    let of = |suspect: &Suspect| {
        let effects: Effects = observed.scenarios.iter().flat_map(|played| played.would(*suspect)).collect();
        let score = Score::of(&effects, wrong);
        Tried { suspects: vec![*suspect], effects, score }
    };
    suspects.iter().map(of).collect()
}

/// Two faults at once: a flow is assumed to be wrong if it would be wrong with either.
fn pairs(singles: &[Tried], wrong: &[bool]) -> Vec<Tried> {
    // A fault that is late, or comes from other scenarios, may explain whatever is left over, so it says nothing beside another fault.
    let plain = |tried: &&Tried| tried.suspects[0].fault.lasts().is_none() && !tried.reaches();
    let modest: Vec<&Tried> = singles.iter().filter(plain).take(PAIRED).collect();
    let mut pairs = Vec::new();
    for (at, one) in modest.iter().enumerate() {
        for other in &modest[at + 1..] {
            let effects: Effects =
                one.effects.iter().zip(&other.effects).map(|(one, other)| *one.max(other)).collect();
            let score = Score::of(&effects, wrong);
            let better = score.explains > one.score.explains.max(other.score.explains);
            if better && one.suspects[0].fault != other.suspects[0].fault {
                pairs.push(Tried { suspects: vec![one.suspects[0], other.suspects[0]], effects, score });
            }
        }
    }
    pairs
}

/// Groups the suspects that make the same flows wrong, and keeps the groups worth showing.
fn groups(observed: &Observed<'_>, ranks: Vec<Tried>) -> Vec<Likeness> {
    let fits = ranks.first().is_some_and(|best| best.score.fits());
    let mut groups: Vec<(Effects, Likeness)> = Vec::new();
    let mut known: BTreeMap<Effects, usize> = BTreeMap::new();
    for tried in ranks {
        if fits && !tried.score.fits() {
            break;
        }
        if let Some(at) = known.get(&tried.effects) {
            let simplest = groups[*at].1.sets[0].len();
            if tried.suspects.len() == simplest {
                groups[*at].1.suspects.push(accused(observed, &tried.suspects));
                groups[*at].1.sets.push(tried.suspects);
            }
            continue;
        }
        // A suspect that contradicts as much as it explains does not look like the run.
        if groups.len() == SHOWN || tried.score.contradicts >= tried.score.explains {
            continue;
        }
        known.insert(tried.effects.clone(), groups.len());
        let judged = observed.scenarios.iter().flat_map(|played| {
            played.flows.iter().map(move |judged| (played.scenario.file.as_str(), judged))
        });
        let flows = judged
            .zip(&tried.effects)
            .filter(|((_, judged), effect)| judged.wrong && **effect != Would::Agree)
            .map(|((file, judged), _)| Explained::of(file, judged.title, judged.flow))
            .collect();
        let likeness = Likeness {
            suspects: vec![accused(observed, &tried.suspects)],
            explains: tried.score.explains,
            leaves: tried.score.leaves,
            contradicts: tried.score.contradicts,
            flows,
            sets: vec![tried.suspects],
        };
        groups.push((tried.effects, likeness));
    }
    groups.into_iter().map(|(_, likeness)| likeness).collect()
}

fn accused(observed: &Observed<'_>, suspects: &[Suspect]) -> Vec<Accused> {
    let of = |suspect: &Suspect| Accused {
        fault: suspect.fault.info(),
        place: suspect.place.words(&observed.nodes),
    };
    suspects.iter().map(of).collect()
}
