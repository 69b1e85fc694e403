//! From the record to the outcome of a step: the verdict of each flow, its words, and everything that they rest on.

use super::{
    book::{Book, Key, Window},
    changed::Changed,
    control::{Controls, Keys, live_control},
    limits::Limits,
    pulse::Chance,
    settle::{Awaited, Done, Known},
    site::Site,
};
use crate::{
    evidence::{
        capture::{Found, Names, sentence},
        hindrance::Hindrance,
        life::Life,
        record::Witness,
        time::Moment,
    },
    outcome::{
        Captured, ContradictionsOutcome, Evidence, FlowOutcome, HinderedOutcome, PoliciesSay, StepOutcome,
    },
    policy::{Derivation, Finding},
    scenario::{
        Scenario, Topology, Wanted,
        flow::{Expectation, Flow, Target},
        name::Workload,
        selector::Selector,
    },
    verdict::{
        Control, Kind, Reason, Verdict,
        assess::{Assessment, Circumstances, Network},
        saw_text,
    },
};
use flowproof_wire::Observation;
use std::time::Duration;

/// What the steps of a scenario are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The record of the lane.
    pub book: &'a Book,
    /// Where its pods are.
    pub site: &'a Site,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its topology as it is deployed.
    pub topology: &'a Topology,
    /// Its flows in the record.
    pub keys: &'a Keys<'a>,
    /// Which of them worked without policies.
    pub controls: &'a Controls<'a>,
    /// Since when they are tried.
    pub began: Moment,
    /// The limits of the run.
    pub limits: &'a Limits,
}

/// A flow that is judged, and what is known about it.
struct Judged<'a> {
    done: &'a Done<'a>,
    awaited: &'a Awaited<'a>,
    control: Control,
    /// From the moment at which the change was accepted, or the first attempt of a new pod, to the last attempt that is judged.
    window: Window,
    /// Latest time to enforcement; zero for the first attempts of a new pod.
    budget: Option<Duration>,
    /// Whether the window begins with the first attempt of a new pod.
    from_start: bool,
    /// During how much of the step an end got too little CPU.
    hindrance: Hindrance,
    /// How long its target took to answer, if the target is a server that is too slow.
    slow_server: Option<Duration>,
}

/// Judges every flow of a step.
#[must_use]
pub fn step(done: &Done<'_>, ground: &Ground<'_>) -> StepOutcome {
    StepOutcome {
        title: done.title.clone(),
        accepted_at_ms: done.accepted.since(Moment(0)).as_millis() as u64,
        settled_after_ms: done.settled.map(|settled| settled.as_millis() as u64),
        shows: Vec::new(),
        flows: done.expected.iter().map(|awaited| flow(done, awaited, ground)).collect(),
    }
}

/// Judges a flow of a step.
#[must_use]
pub fn flow(done: &Done<'_>, awaited: &Awaited<'_>, ground: &Ground<'_>) -> FlowOutcome {
    let Ground { book, scenario, .. } = *ground;
    let tracked = book.flow(awaited.key);
    let (flow, family) = (&tracked.planned.flow, tracked.planned.family);
    let start = awaited.from_start.then(|| book.first_attempt(awaited.key)).flatten();
    let window = Window { from: start.unwrap_or(done.accepted), to: awaited.until };
    let judged = Judged {
        done,
        awaited,
        control: if scenario.live {
            live_control(book, ground.keys, awaited.key, ground.began)
        } else {
            ground.controls.of(&awaited.expected.flow, family)
        },
        window,
        budget: if start.is_some() { Some(Duration::ZERO) } else { ground.limits.budget },
        from_start: start.is_some(),
        hindrance: book.hindrance(awaited.key, window.from, done.ended),
        slow_server: book.slow_server(awaited.key, window.from),
    };
    let expectation = awaited.expectation;
    let assessment = book.assess(awaited.key, expectation, window, done.hold);
    // At the end of the step, the ends may not have reported everything that had happened by then.
    let settled = awaited.settled || assessment.settled(done.hold);
    let from = assessment.judged_from(window.from);
    let until = assessment.until.filter(|_| settled).map_or(done.ended, |(at, _)| at);
    let life = match book.gone(awaited.key).filter(|_| !settled) {
        Some(why) => Life::Broken(why),
        None => book.life(awaited.key, from, until),
    };
    let reopenings =
        |changed: &Changed<'_>| changed.reopenings(ground.topology, &awaited.expected.flow, family);
    let around = Circumstances {
        control: judged.control,
        life: life.clone(),
        policed: !done.policies.is_empty(),
        settled,
        // This takes longer than judging, and most flows never flip.
        reopenings: done.changed.as_ref().filter(|_| !assessment.flips.is_empty()).map_or(0, reopenings),
        budget: judged.budget,
        accepted: window.from,
        hindrance: judged.hindrance,
        network: match awaited.chance {
            Chance::Unknown(_) => Network::PerhapsSlow,
            Chance::Open | Chance::Had(_) => Network::HadItsTime,
        },
    };
    let mut verdict = assessment.verdict(expectation, &around);
    // An entry with a fault only suggests what the network does; an entry that names flows states it.
    let named = |known: &Known<'_>| known.entry.fault().is_none();
    if awaited.known.as_ref().is_some_and(named) && verdict.kind == Kind::Matched {
        verdict = Verdict { kind: Kind::Mismatched, reason: Reason::NoLongerDeviates };
    }
    let deviation = awaited
        .known
        .filter(|_| verdict.kind == Kind::Mismatched && verdict.reason != Reason::NoLongerDeviates);
    FlowOutcome {
        flow: flow.to_string(),
        source: flow.source.to_string(),
        target: flow.target.to_string(),
        port: flow.port_text(),
        family,
        expectation,
        by_policy: awaited.expected.wanted == Wanted::Policy,
        at: awaited.expected.at.to_string(),
        verdict: verdict.kind,
        reason: verdict.reason,
        text: text(verdict, &assessment, &life, &judged),
        deviation: deviation.map(|known| known.entry.explanation()),
        looks_like: None,
        evidence: evidence(ground, &judged, &assessment, life),
    }
}

/// The reason in words, with what the evidence adds to it.
fn text(verdict: Verdict, assessment: &Assessment, life: &Life, judged: &Judged<'_>) -> String {
    let text = particulars(verdict, assessment, life, judged);
    match &judged.awaited.chance {
        Chance::Had(shown)
            if verdict.kind == Kind::Mismatched && !judged.awaited.settled && !shown.is_empty() =>
        {
            format!("{text}; {shown}")
        }
        _ => text,
    }
}

fn hindered_text(hindrance: Hindrance) -> String {
    format!(
        "{:.0} % of the time, with a lag of up to {} ms",
        hindrance.share * 100.0,
        hindrance.lag.as_millis()
    )
}

fn particulars(verdict: Verdict, assessment: &Assessment, life: &Life, judged: &Judged<'_>) -> String {
    let deleted = judged.done.policies.is_empty() && judged.awaited.expectation == Expectation::Allow;
    let reason = match verdict.reason {
        Reason::Blocked if deleted => return "still denied after everything was deleted".to_owned(),
        reason => reason.text(),
    };
    let saw = assessment.last.as_ref().map(|(observation, _)| observation);
    let particulars = match (verdict.reason, saw, life) {
        (Reason::EndNotAlive, _, Life::Broken(why)) => why.clone(),
        (Reason::DnsFailed | Reason::NotEnforced, Some(Observation::DnsFailed { rcode }), _) => rcode.clone(),
        (Reason::LocalError, Some(Observation::LocalError { errno, call }), _) => {
            format!("{call}: {}", std::io::Error::from_raw_os_error(*errno))
        }
        (Reason::Hindered, ..) => match judged.slow_server {
            Some(slowest) => format!("the server took up to {} ms to answer", slowest.as_millis()),
            None => hindered_text(judged.hindrance),
        },
        (Reason::NetworkSlow, ..) => match &judged.awaited.chance {
            Chance::Unknown(why) => why.clone(),
            _ => return reason.to_owned(),
        },
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
                    || format!("the settle limit of {} s", judged.done.limit.as_secs_f64()),
                    |budget| format!("the budget of {} ms", budget.as_millis()),
                );
                format!("after {} ms, {limit}", since.since(judged.window.from).as_millis())
            }
            None => return reason.to_owned(),
        },
        (Reason::Unstable, ..) => match assessment.flips.first() {
            Some(at) => {
                format!("{} ms after the change it got through", at.since(judged.window.from).as_millis())
            }
            None => return reason.to_owned(),
        },
        _ => return reason.to_owned(),
    };
    format!("{reason} ({particulars})")
}

fn evidence(ground: &Ground<'_>, judged: &Judged<'_>, assessment: &Assessment, life: Life) -> Evidence {
    let Ground { book, site, .. } = *ground;
    let Judged { done, awaited, .. } = judged;
    let tracked = book.flow(awaited.key);
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
        source_node: site.node(&flow.source).unwrap_or_default().to_owned(),
        destination_node: destination.and_then(|workload| site.node(workload)).map(str::to_owned),
        seen_from: record.peer().map(|peer| peer.ip().to_string()),
        to: tracked.planned.to.to_string(),
        policies_on_source: selecting(done, site, &flow.source),
        policies_on_destination: destination.map(|d| selecting(done, site, d)).unwrap_or_default(),
        policies_say: Some(awaited.says.clone()),
        captured: awaited.captured.clone(),
        hindered: (judged.hindrance.lag > Duration::ZERO).then(|| HinderedOutcome {
            share: (judged.hindrance.share * 1000.0).round() / 1000.0,
            longest_lag_ms: judged.hindrance.lag.as_millis() as u64,
        }),
        network: match &awaited.chance {
            Chance::Had(shown) | Chance::Unknown(shown) if !awaited.settled && !shown.is_empty() => {
                Some(shown.clone())
            }
            _ => None,
        },
    }
}

/// What captures show about the attempts of a window that were not answered; `None` without captures.
#[must_use]
pub fn captured(book: &Book, site: &Site, key: Key, window: Window, settled: bool) -> Option<Captured> {
    let (trace, coverage) = book.captured(key, window, settled)?;
    let flow = &book.flow(key).planned.flow;
    let found = trace.found(coverage);
    let icmp_error = trace.source.icmp_error.filter(|_| found == Found::IcmpError);
    let from = match found {
        Found::IcmpError => icmp_error.map(|(.., from)| from),
        Found::Reset => trace.source.reset,
        _ => None,
    };
    let arrived = trace.arrived_at.and_then(|prober| book.workload(prober));
    let pod = arrived.or_else(|| destination(flow, book.flow(key).planned.witnesses.keys()));
    let destination = pod.map_or_else(|| flow.target.to_string(), ToString::to_string);
    let (source, sender) = (flow.source.to_string(), from.and_then(|from| site.owner(from)));
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

/// What the policies say, as reports show it.
#[must_use]
pub fn says(finding: &Finding, site: &Site) -> PoliciesSay {
    let rules = finding.reason.iter().flat_map(Derivation::deciding_rules).map(ToString::to_string);
    PoliciesSay {
        answer: finding.expectation(),
        reason: site.logical(&finding.clause()),
        rules: rules.collect(),
    }
}

/// The pod at the other end, if there is exactly one.
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

/// The `NetworkPolicies` in force that select a pod, by name.
fn selecting(done: &Done<'_>, site: &Site, workload: &Workload) -> Vec<String> {
    let Some(labels) = done.labels.get(workload) else { return Vec::new() };
    let null = serde_json::Value::Null;
    let selects = |manifest: &&crate::scenario::Manifest| {
        manifest.object.kind == "NetworkPolicy"
            && (manifest.object.namespace.as_ref() == Some(&workload.namespace)
                || manifest.object.namespace.as_ref() == site.live_namespaces.get(&workload.namespace))
            && Selector::from_json(manifest.value.pointer("/spec/podSelector").unwrap_or(&null))
                .is_ok_and(|selector| selector.matches(labels))
    };
    done.policies.iter().filter(selects).map(|manifest| manifest.object.to_string()).collect()
}
