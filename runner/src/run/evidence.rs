//! From the board to the outcome of one flow in one step: verdict, words, and everything they rest on.

use super::{
    board::{Key, Window},
    lane::Lane,
};
use flowproof_core::{
    assess::{Assessment, Surroundings},
    capture::{Found, Names, sentence},
    flow::{Expectation, Flow, Target},
    name::Workload,
    outcome::{Captured, ContradictionsOutcome, Evidence, FlowOutcome, PoliciesSay},
    parse::Deviation,
    policy::{Derivation, Finding},
    scenario::{Expected, Manifest, Wanted},
    selector::Selector,
    time::Moment,
    verdict::{Control, Kind, Life, Reason, Verdict, Witness},
};
use flowproof_wire::Observation;
use std::time::Duration;

/// What is judged.
pub struct Judged<'a> {
    /// The flow on the board.
    pub key: Key,
    /// What is expected of it.
    pub expected: &'a Expected,
    /// What it must do: as the scenario says, or the policies.
    pub expectation: Expectation,
    /// What the policies say.
    pub says: &'a PoliciesSay,
    /// Whether it works without the policies.
    pub control: Control,
    /// From the moment at which the change was accepted to the last attempt that is judged.
    pub window: Window,
    /// When the step ended.
    pub ended: Moment,
    /// The hold window that the step ended with.
    pub hold: Duration,
    /// Whether the flow had settled by then.
    pub settled: bool,
    /// As in the settings; nothing at all for the first attempts of a new pod.
    pub budget: Option<Duration>,
    /// Whether the window begins with the first attempt of a new pod.
    pub from_start: bool,
    /// How long the flows had to settle.
    pub deadline: Duration,
    /// Manifests in force in the step.
    pub policies: &'a [Manifest],
    /// What captures tell of it.
    pub captured: Option<&'a Captured>,
    /// Whether the change itself may let it through before it takes effect.
    pub may_reopen: &'a dyn Fn() -> bool,
    /// The known deviation that covers it.
    pub deviation: Option<&'a Deviation>,
}

/// Judges a flow in a step.
pub fn judge(lane: &Lane, judged: &Judged<'_>) -> FlowOutcome {
    let board = lane.board();
    let tracked = board.flow(judged.key);
    let expectation = judged.expectation;
    let assessment = board.assess(judged.key, expectation, judged.window, judged.hold);
    // At the end of the step the ends may not have told yet of all that had happened by then.
    let settled = judged.settled || assessment.settled(judged.hold);
    let from = assessment.judged_from(judged.window.from);
    let until = assessment.until.filter(|_| settled).map_or(judged.ended, |(at, _)| at);
    let life = match board.gone(judged.key).filter(|_| !settled) {
        Some(why) => Life::Broken(why),
        None => board.life(judged.key, from, until),
    };
    let around = Surroundings {
        control: judged.control,
        life: life.clone(),
        policed: !judged.policies.is_empty(),
        settled,
        may_reopen: assessment.flipped.is_some() && (judged.may_reopen)(),
        budget: judged.budget,
        accepted: judged.window.from,
    };
    let mut verdict = assessment.verdict(expectation, &around);
    if judged.deviation.is_some() && verdict.kind == Kind::Matched {
        verdict = Verdict { kind: Kind::Mismatched, reason: Reason::NoLongerDeviates };
    }
    let deviation = judged.deviation.filter(|_| verdict.reason != Reason::NoLongerDeviates);
    let flow = &tracked.planned.flow;
    FlowOutcome {
        flow: flow.to_string(),
        source: flow.source.to_string(),
        target: flow.target.to_string(),
        port: flow.port_text(),
        family: tracked.planned.family,
        expectation,
        by_policy: judged.expected.wanted == Wanted::Policy,
        at: judged.expected.at.to_string(),
        verdict: verdict.kind,
        reason: verdict.reason,
        text: text(verdict, &assessment, &life, judged),
        deviation: deviation.map(|entry| format!("{} ({})", entry.reason, entry.reference)),
        evidence: evidence(lane, judged, &assessment, life),
    }
}

/// The reason in words, with what the evidence adds to it.
fn text(verdict: Verdict, assessment: &Assessment, life: &Life, judged: &Judged<'_>) -> String {
    let reason = verdict.reason.text();
    let saw = assessment.last.as_ref().map(|(observation, _)| observation);
    let particulars = match (verdict.reason, saw, life) {
        (Reason::EndNotAlive, _, Life::Broken(why)) => why.clone(),
        (Reason::DnsFailed | Reason::NotEnforced, Some(Observation::DnsFailed { rcode }), _) => rcode.clone(),
        (Reason::LocalError, Some(Observation::LocalError { errno, call }), _) => {
            format!("{call}: {}", std::io::Error::from_raw_os_error(*errno))
        }
        (Reason::Blocked, _, _) if judged.policies.is_empty() && judged.expectation == Expectation::Allow => {
            return "still denied after everything was deleted".to_owned();
        }
        (Reason::Blocked | Reason::BlockedLive | Reason::Rejected, Some(observation), _) => {
            saw_text(observation)
        }
        (Reason::TooLate, ..) if judged.from_start => {
            let open = assessment.good_since.map_or(0, |since| since.since(judged.window.from).as_millis());
            return format!("not from the pod's start: its first packets got through, for {open} ms");
        }
        (Reason::TooLate, ..) => match assessment.good_since {
            Some(since) => {
                let limit = judged.budget.filter(|budget| since.since(judged.window.from) > *budget);
                let limit = limit.map_or_else(
                    || format!("the settle limit of {} s", judged.deadline.as_secs_f64()),
                    |budget| format!("the budget of {} ms", budget.as_millis()),
                );
                format!("after {} ms, {limit}", since.since(judged.window.from).as_millis())
            }
            None => return reason.to_owned(),
        },
        (Reason::Unstable, ..) => match assessment.flipped {
            Some(at) => {
                format!("{} ms after the change it got through", at.since(judged.window.from).as_millis())
            }
            None => return reason.to_owned(),
        },
        _ => return reason.to_owned(),
    };
    format!("{reason} ({particulars})")
}

/// What the source saw, in words.
pub fn saw_text(observation: &Observation) -> String {
    match observation {
        Observation::Answered { answers } if answers.is_empty() => "answered".to_owned(),
        Observation::Answered { answers } => format!("answered: {}", answers.join(", ")),
        Observation::Silent => "silent".to_owned(),
        Observation::Refused => "refused".to_owned(),
        Observation::Unreachable { icmp_type, icmp_code } => {
            format!("unreachable, ICMP type {icmp_type} code {icmp_code}")
        }
        Observation::Cut { reset: true } => "connected, then reset".to_owned(),
        Observation::Cut { reset: false } => "connected, then silent".to_owned(),
        Observation::DnsFailed { rcode } => format!("DNS answered {rcode}"),
        Observation::Garbled => "answered with foreign bytes".to_owned(),
        Observation::LocalError { errno, call } => {
            format!("{call} failed: {}", std::io::Error::from_raw_os_error(*errno))
        }
    }
}

fn evidence(lane: &Lane, judged: &Judged<'_>, assessment: &Assessment, life: Life) -> Evidence {
    let tracked = lane.board().flow(judged.key);
    let flow = &tracked.planned.flow;
    let after = |at: Moment| at.since(judged.window.from).as_millis() as u64;
    let ms = |duration: Duration| (duration.as_secs_f64() * 100_000.0).round() / 100.0;
    let destination = destination(flow, tracked.planned.witnesses.keys());
    let record = &tracked.record;
    Evidence {
        observation: assessment.last.as_ref().map(|(observation, _)| observation.clone()),
        witness: assessment.last.as_ref().map_or(Witness::Absent, |(_, witness)| *witness),
        control: judged.control,
        broken: match life {
            Life::Alive => None,
            Life::Broken(why) => Some(why),
        },
        enforced_after_ms: assessment.good_since.map(after),
        attempts: assessment.attempts,
        contradictions: assessment.contradictions.as_ref().map(|c| ContradictionsOutcome {
            count: c.count,
            first_after_ms: after(c.first_at),
            last_after_ms: after(c.last_at),
            observation: c.last.0.clone(),
            witness: c.last.1,
        }),
        losses: assessment.losses,
        answer_ms: record.shortest_answer().map(ms).zip(record.longest_answer().map(ms)),
        source_node: lane.node(&flow.source).unwrap_or_default().to_owned(),
        destination_node: destination.and_then(|workload| lane.node(workload)).map(str::to_owned),
        seen_from: record.peer().map(|peer| peer.ip().to_string()),
        to: tracked.planned.to.to_string(),
        policies_on_source: selecting(lane, judged.policies, &flow.source),
        policies_on_destination: destination.map(|d| selecting(lane, judged.policies, d)).unwrap_or_default(),
        policies_say: Some(judged.says.clone()),
        captured: judged.captured.cloned(),
    }
}

/// What captures tell of the attempts of a window that were not answered; `None` without captures.
pub fn captured(lane: &Lane, key: Key, window: Window, settled: bool) -> Option<Captured> {
    let board = lane.board();
    let (trace, coverage) = board.captured(key, window, settled)?;
    let flow = &board.flow(key).planned.flow;
    let found = trace.found(coverage);
    let icmp_error = trace.source.icmp_error.filter(|_| found == Found::IcmpError);
    let from = match found {
        Found::IcmpError => icmp_error.map(|(.., from)| from),
        Found::Reset => trace.source.reset,
        _ => None,
    };
    let arrived = trace.arrived_at.and_then(|prober| board.workload(prober));
    let pod = arrived.or_else(|| destination(flow, board.flow(key).planned.witnesses.keys()));
    let destination = pod.map_or_else(|| flow.target.to_string(), ToString::to_string);
    let (source, sender) = (flow.source.to_string(), from.and_then(|from| lane.owner(from)));
    let names = Names {
        transport: flow.transport,
        source: &source,
        destination: &destination,
        sender: sender.as_deref(),
    };
    Some(Captured {
        found,
        text: sentence(&trace, coverage, &names),
        from: from.map(|from| from.to_string()),
        icmp_type: icmp_error.map(|(icmp_type, ..)| icmp_type),
        icmp_code: icmp_error.map(|(_, icmp_code, _)| icmp_code),
    })
}

/// What the policies say, as reports tell it.
pub fn says(finding: &Finding, lane: &Lane) -> PoliciesSay {
    let rules = finding.reason.iter().flat_map(Derivation::deciding_rules).map(ToString::to_string);
    PoliciesSay {
        answer: finding.expectation(),
        reason: lane.logical(&finding.clause()),
        rules: rules.collect(),
    }
}

/// The pod at the other end, when there is exactly one.
fn destination<'a>(
    flow: &'a Flow,
    mut witnesses: impl Iterator<Item = &'a Workload>,
) -> Option<&'a Workload> {
    match (&flow.target, witnesses.next(), witnesses.next()) {
        (Target::Workload(workload), ..) => Some(workload),
        (_, Some(only), None) => Some(only),
        _ => None,
    }
}

/// The `NetworkPolicies` among the manifests that select a pod, by name.
fn selecting(lane: &Lane, policies: &[Manifest], workload: &Workload) -> Vec<String> {
    let Some(labels) = lane.labels().get(workload) else { return Vec::new() };
    let selects = |manifest: &&Manifest| {
        manifest.object.kind == "NetworkPolicy"
            && (manifest.object.namespace.as_ref() == Some(&workload.namespace)
                || manifest.object.namespace.as_ref() == lane.topology().live.get(&workload.namespace))
            && Selector::from_json(
                manifest.value.pointer("/spec/podSelector").unwrap_or(&serde_json::Value::Null),
            )
            .is_ok_and(|selector| selector.matches(labels))
    };
    policies.iter().filter(selects).map(|manifest| manifest.object.to_string()).collect()
}
