//! The lines of the capability table: which flows show a capability, and what they say about it.

use super::path::on_the_path;
use crate::report::counted;
use flowproof_core::{
    outcome::{End, FlowOutcome, Outcome, ScenarioOutcome, StepOutcome},
    scenario::{Scenario, capability::Capability, flow::ESTABLISHED},
    verdict::Kind,
};
use flowproof_wire::Observation;
use serde::Serialize;
use std::collections::BTreeSet;

/// Enforcement that takes longer than this, in milliseconds, is slow.
const SLOW_MS: u64 = 10_000;

/// One capability and whether the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its word; `None` for a scenario that names no capability and is listed by its claim.
    pub capability: Option<Capability>,
    /// What it is, in a few words, or the claim.
    pub title: String,
    /// Whether it holds.
    pub status: Status,
    /// The reason for a status that needs one, or how the capability holds.
    pub note: Option<String>,
    /// How many flows were tried; each family counts.
    pub tried: usize,
    /// How many of them matched.
    pub matched: usize,
    /// The flows that show what is wrong, as reports write them; empty if nothing is.
    pub flows: Vec<String>,
    /// The files of the scenarios that show it.
    pub shown_by: Vec<String>,
}

/// Whether a cluster has a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All flows matched.
    Enforced,
    /// At least one flow did not.
    NotEnforced,
    /// Only known deviations of this network plugin did not.
    Deviates,
    /// It cannot be tested on this cluster: one node, no such family.
    NotSupported,
    /// Nothing contradicts it, and nothing proves it.
    Unclear,
}

/// All lines for scenarios and their outcomes, in the order of [`Capability::ALL`], without those that nothing shows; then the
/// scenarios that name no capability.
pub fn lines(suite: &[Scenario], outcomes: &[ScenarioOutcome], whole: &Outcome) -> Vec<Line> {
    let played: Vec<Played<'_>> =
        suite.iter().zip(outcomes).map(|(scenario, outcome)| Played { scenario, outcome }).collect();
    let named = played.iter().any(|played| !played.shows().is_empty());
    let plain = outcomes.iter().flat_map(|outcome| &outcome.steps).any(is_plain);
    let of_capabilities = Capability::ALL.iter().filter(|_| named).filter_map(|capability| {
        let gathered = Gathered::of(*capability, &played);
        if *capability == Capability::DropOrReject {
            return Some(gathered.how_denied());
        }
        if *capability == Capability::Established && !gathered.is_empty() {
            return Some(gathered.established(whole));
        }
        let asked = if capability.is_read() {
            !gathered.flows.is_empty() || (plain && absent(*capability, whole).is_some())
        } else {
            !gathered.is_empty()
        };
        asked.then(|| gathered.line(*capability, whole))
    });
    let claims = played.iter().filter(|played| played.shows().is_empty()).map(|played| {
        let mut gathered = Gathered::default();
        gathered.add(played, |_, _| true);
        let line = gathered.line(Capability::Ingress, whole);
        Line { capability: None, title: played.outcome.claim.clone(), ..line }
    });
    of_capabilities.chain(claims).collect()
}

/// Whether the flows of a step say something about their paths.
fn is_plain(step: &StepOutcome) -> bool {
    step.shows.iter().any(|shown| shown.is_plain())
}

struct Played<'a> {
    scenario: &'a Scenario,
    outcome: &'a ScenarioOutcome,
}

impl Played<'_> {
    fn shows(&self) -> BTreeSet<Capability> {
        self.scenario.steps.iter().flat_map(|step| step.shows.iter().copied()).collect()
    }
}

/// What was found out about one capability.
#[derive(Default)]
struct Gathered<'a> {
    flows: Vec<&'a FlowOutcome>,
    files: BTreeSet<&'a str>,
    /// Established flows that the policies leave open.
    left_open: Vec<&'a FlowOutcome>,
    skipped: Vec<&'a str>,
    failed: Vec<&'a str>,
}

impl<'a> Gathered<'a> {
    fn of(capability: Capability, played: &[Played<'a>]) -> Self {
        let mut gathered = Self::default();
        for one in played {
            if capability == Capability::DropOrReject {
                gathered.add(one, |_, flow| flow.expectation.denies());
            } else if capability.is_read() {
                gathered.add(one, |step, flow| is_plain(step) && on_the_path(flow).contains(&capability));
            } else if one.shows().contains(&capability) {
                gathered.add(one, |step, _| step.shows.contains(&capability));
            }
        }
        if capability.is_read() {
            // Other scenarios may show it, too, so one that was not played is no reason yet.
            gathered.failed.clear();
        }
        gathered
    }

    fn add(&mut self, played: &Played<'a>, shows: impl Fn(&StepOutcome, &FlowOutcome) -> bool) {
        let outcome = played.outcome;
        // Flows that the policies leave open show nothing.
        let says = |flow: &FlowOutcome| flow.verdict != Kind::Unspecified;
        let telling = outcome.flows().filter(|(step, flow)| says(flow) && shows(step, flow));
        let flows: Vec<&FlowOutcome> = telling.map(|(_, flow)| flow).collect();
        if !flows.is_empty() {
            self.files.insert(&outcome.file);
        }
        self.flows.extend(flows);
        let left_open = outcome
            .flows()
            .filter(|(step, flow)| !says(flow) && shows(step, flow) && flow.flow.ends_with(ESTABLISHED));
        self.left_open.extend(left_open.map(|(_, flow)| flow));
        match &outcome.end {
            End::Played => {}
            End::Skipped { why } => self.skipped.push(why),
            End::Failed { error, .. } => self.failed.push(error),
            End::Interrupted => self.failed.push("the check ended before it"),
        }
    }

    /// Whether no scenario, played or not, shows it.
    fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.skipped.is_empty() && self.failed.is_empty()
    }

    fn line(&self, capability: Capability, whole: &Outcome) -> Line {
        let of = |kinds: &'static [Kind]| {
            let known = |flow: &FlowOutcome| flow.deviation.is_some();
            self.flows.iter().copied().filter(move |flow| kinds.contains(&flow.verdict) && !known(flow))
        };
        let mismatched: Vec<&FlowOutcome> = of(&[Kind::Mismatched]).collect();
        let unclear: Vec<&FlowOutcome> = of(&[Kind::Unproven, Kind::Inconclusive]).collect();
        let deviating: Vec<&FlowOutcome> =
            self.flows.iter().copied().filter(|flow| flow.deviation.is_some()).collect();
        let matched: Vec<&FlowOutcome> = of(&[Kind::Matched]).collect();
        let denied = matched.iter().any(|flow| flow.expectation.denies());
        let (status, note) = if !mismatched.is_empty() {
            (Status::NotEnforced, self.only(&mismatched))
        } else if let Some(why) = self.failed.first() {
            (Status::Unclear, Some((*why).to_owned()))
        } else if let Some(flow) = unclear.first() {
            (Status::Unclear, Some(flow.text.clone()))
        } else if let Some(flow) = deviating.first() {
            (Status::Deviates, flow.deviation.clone())
        } else if matched.is_empty() || (capability.is_read() && !denied) {
            let why = || self.skipped.first().map(|why| (*why).to_owned());
            (
                Status::NotSupported,
                Some(absent(capability, whole).or_else(why).unwrap_or_else(nothing_denied)),
            )
        } else {
            let sctp = || "its rules only: no SCTP is sent".to_owned();
            (Status::Enforced, (capability == Capability::Sctp).then(sctp).or_else(|| slowly(&matched)))
        };
        let wrong = mismatched.iter().chain(&unclear).chain(&deviating);
        Line {
            capability: Some(capability),
            title: capability.title().to_owned(),
            status,
            note,
            tried: self.flows.len(),
            matched: matched.len(),
            flows: told(wrong.copied()),
            shown_by: self.files.iter().map(|file| (*file).to_owned()).collect(),
        }
    }

    /// Whether connections that are still allowed go on; and what becomes of the others, which the API leaves open but is good to
    /// know.
    fn established(&self, whole: &Outcome) -> Line {
        let mut line = self.line(Capability::Established, whole);
        let fate = |transport: &str| {
            let of = || self.left_open.iter().filter(|flow| flow.port.starts_with(transport));
            let answered = |flow: &&&FlowOutcome| {
                matches!(flow.evidence.observation, Some(Observation::Answered { .. }))
            };
            let (all, going_on) = (of().count(), of().filter(answered).count());
            let word = match going_on {
                _ if all == 0 => return None,
                0 => "ends with the policy that denies it".to_owned(),
                going_on if going_on == all => "outlives a policy that denies it".to_owned(),
                going_on => format!("outlives a policy that denies it in {going_on} of {all} cases"),
            };
            Some(format!("{}: {word}", transport.trim_end_matches('/').to_uppercase()))
        };
        if line.status == Status::Enforced {
            let fates: Vec<String> = ["tcp/", "udp/"].into_iter().filter_map(fate).collect();
            line.note = (!fates.is_empty()).then(|| fates.join("; "));
        }
        line
    }

    /// What all failed flows have in common, unless all tried flows have it.
    fn only(&self, failed: &[&FlowOutcome]) -> Option<String> {
        let on_all = |flows: &[&FlowOutcome], what| flows.iter().all(|flow| on_the_path(flow).contains(what));
        let common: Vec<&str> = Capability::ALL
            .iter()
            .filter(|what| what.is_read() && on_all(failed, what) && !on_all(&self.flows, what))
            .map(|what| what.title())
            .collect();
        (!common.is_empty()).then(|| format!("only: {}", common.join(", ")))
    }

    /// Whether denied traffic is dropped or rejected, which the API leaves open but is good to know.
    fn how_denied(&self) -> Line {
        let denied = || self.flows.iter().filter(|flow| flow.verdict == Kind::Matched);
        let dropped = denied().filter(|flow| flow.evidence.observation == Some(Observation::Silent)).count();
        let all = denied().count();
        let note = match (dropped, all - dropped) {
            (0, 0) => "nothing was denied".to_owned(),
            (_, 0) => "dropped: the source hears nothing".to_owned(),
            (0, _) => "rejected: the source gets an error".to_owned(),
            (dropped, rejected) => {
                format!("{} dropped, {rejected} rejected", counted(dropped, "flow", "flows"))
            }
        };
        Line {
            capability: Some(Capability::DropOrReject),
            title: Capability::DropOrReject.title().to_owned(),
            status: if all == 0 { Status::NotSupported } else { Status::Enforced },
            note: Some(note),
            tried: all,
            matched: all,
            flows: Vec::new(),
            shown_by: Vec::new(),
        }
    }
}

/// Flows with their families, what happened, and where they are written.
fn told<'a>(flows: impl Iterator<Item = &'a FlowOutcome>) -> Vec<String> {
    let mut alike: Vec<(&FlowOutcome, Vec<String>)> = Vec::new();
    for flow in flows {
        let same = |(first, _): &&mut (&FlowOutcome, _)| {
            (&first.flow, &first.at, &first.text, super::died(first))
                == (&flow.flow, &flow.at, &flow.text, super::died(flow))
        };
        match alike.iter_mut().find(same) {
            Some((_, families)) => families.push(flow.family.to_string()),
            None => alike.push((flow, vec![flow.family.to_string()])),
        }
    }
    let text = |(flow, families): (&FlowOutcome, Vec<String>)| {
        let died = super::died(flow);
        format!("{} ({}): {}{died} · {}", flow.flow, families.join(" and "), flow.text, flow.at)
    };
    alike.into_iter().map(text).collect()
}

/// How late the slowest of these flows was enforced, if that was slow.
fn slowly(flows: &[&FlowOutcome]) -> Option<String> {
    let slowest = flows.iter().filter_map(|flow| flow.evidence.enforced_after_ms).max()?;
    (slowest >= SLOW_MS).then(|| format!("slowly: enforced after up to {:.1} s", slowest as f64 / 1000.0))
}

/// Why a capability that is read from flows cannot be tested on a cluster.
fn absent(capability: Capability, whole: &Outcome) -> Option<String> {
    let nodes = whole.cluster.nodes.iter().filter(|node| node.unusable.is_none()).count();
    match capability {
        Capability::CrossNode if nodes < 2 => Some("there is one node".to_owned()),
        Capability::Ipv4 | Capability::Ipv6 => {
            Some(format!("no pods have {} addresses, or it was left out", capability.title()))
        }
        _ => None,
    }
}

fn nothing_denied() -> String {
    "none of its flows was to be denied".to_owned()
}
