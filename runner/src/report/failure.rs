//! The flows that did not match, in full: where the expectation is, what both ends saw, when, and what to look at next.

use super::{Told, sign};
use flowproof_core::{
    evidence::record::Witness,
    outcome::{Evidence, FlowOutcome, PoliciesSay},
    scenario::flow::Expectation,
    verdict::{Control, Kind, Reason, saw_text},
};
use std::{
    fmt::Write as _,
    io::{self, Write},
};

/// How many flows that failed for the same cause are shown in full; of the others, only the names are.
const TOLD_IN_FULL: usize = 3;

/// Flows of a step that did not match, for the same cause.
pub struct Alike<'a> {
    /// The first few, to be shown in full.
    pub in_full: Vec<&'a Told<'a>>,
    /// The others, of which only the name is shown.
    pub others: Vec<&'a Told<'a>>,
}

/// Groups the flows that did not match by their cause.
pub fn alike<'a>(told: &'a [Told<'a>]) -> Vec<Alike<'a>> {
    let cause =
        |told: &Told<'_>| (told.flow.reason, told.flow.deviation.clone(), told.flow.evidence.broken.clone());
    let mut groups: Vec<Alike<'a>> = Vec::new();
    for failed in told.iter().filter(|told| told.flow.verdict != Kind::Matched) {
        match groups.iter_mut().find(|group| cause(group.in_full[0]) == cause(failed)) {
            Some(group) if group.in_full.len() < TOLD_IN_FULL => group.in_full.push(failed),
            Some(group) => group.others.push(failed),
            None => groups.push(Alike { in_full: vec![failed], others: Vec::new() }),
        }
    }
    groups
}

impl Alike<'_> {
    /// The line above the names of the others.
    pub fn and_others(&self) -> String {
        let first = self.in_full[0].flow;
        let sign = sign(first.verdict, first.deviation.is_some());
        format!("{sign} and {} more like {}:", self.others.len(), first.flow)
    }
}

/// Writes the flows of a step that did not match.
pub fn write(out: &mut dyn Write, told: &[Told<'_>]) -> io::Result<()> {
    for group in alike(told) {
        for told in &group.in_full {
            in_detail(out, told)?;
        }
        if !group.others.is_empty() {
            writeln!(out, "\n  {}", group.and_others())?;
        }
        for told in &group.others {
            writeln!(out, "      {} ({})", told.flow.flow, told.families_text())?;
        }
    }
    Ok(())
}

fn in_detail(out: &mut dyn Write, told: &Told<'_>) -> io::Result<()> {
    let flow = told.flow;
    writeln!(
        out,
        "\n  {} {} ({}): {}",
        sign(flow.verdict, flow.deviation.is_some()),
        flow.flow,
        told.families_text(),
        flow.text
    )?;
    if let (Kind::Unspecified, Some(says)) = (flow.verdict, &flow.evidence.policies_say) {
        // Nothing is wrong, so only what happened is shown, and why nothing was expected.
        return writeln!(out, "      left open: {}", says.reason);
    }
    for (label, text) in lines(flow) {
        writeln!(out, "      {label:<12} {text}")?;
    }
    Ok(())
}

/// The evidence as labeled lines, which every report for people uses.
pub fn lines(flow: &FlowOutcome) -> Vec<(&'static str, String)> {
    let evidence = &flow.evidence;
    let mut lines = vec![
        ("verdict", format!("{} at {}", flow.verdict, flow.at)),
        ("expected", expected(flow)),
        ("source", source(flow)),
        ("destination", destination(flow)),
        ("attempts", attempts(evidence)),
    ];
    lines.extend(evidence.captured.as_ref().map(|captured| ("captured", captured.text.clone())));
    lines.extend([
        (
            "control",
            match evidence.control {
                Control::Works => "it worked before the policies".to_owned(),
                Control::NeverWorked => "it never worked before the policies".to_owned(),
                Control::EndsWork => "others reached that listener, and the source reached others".to_owned(),
                Control::TargetUnseen => "nobody else reached that listener".to_owned(),
                Control::SourceUnseen => "the source reached nobody else".to_owned(),
            },
        ),
        ("policies", policies(evidence)),
    ]);
    lines.extend(evidence.policies_say.as_ref().map(|says| ("they say", say(says, flow))));
    if let Some(why) = &evidence.broken {
        lines.push(("not alive", why.clone()));
    }
    if let Some(deviation) = &flow.deviation {
        lines.push(("known", deviation.clone()));
    }
    if let Some(fault) = &flow.looks_like {
        lines.push(("looks like", fault.clone()));
    }
    if contradicts(flow) {
        lines.push((
            "hint",
            "the expectation or a policy is wrong: `flowproof lint` shows both places".to_owned(),
        ));
    } else if let Some(hint) = hint(flow.reason) {
        lines.push(("hint", hint.to_owned()));
    }
    lines
}

/// Whether the policies say the opposite of what is expected.
fn contradicts(flow: &FlowOutcome) -> bool {
    let says = flow.evidence.policies_say.as_ref().map(|says| says.answer);
    says.is_some_and(|says| says != Expectation::Unspecified && says.denies() != flow.expectation.denies())
}

fn expected(flow: &FlowOutcome) -> String {
    if flow.by_policy {
        format!("{}, as the policies say", flow.expectation)
    } else {
        flow.expectation.to_string()
    }
}

/// What the policies say, beside what was expected and what happened.
fn say(says: &PoliciesSay, flow: &FlowOutcome) -> String {
    let PoliciesSay { answer, reason, .. } = says;
    match (flow.verdict, answer) {
        (_, Expectation::Unspecified) => format!("nothing definite: {reason}"),
        (Kind::Mismatched, _) if contradicts(flow) => {
            format!("{answer}, and your expectation says {}: {reason}", flow.expectation)
        }
        (Kind::Mismatched, Expectation::Allow) if flow.reason == Reason::Blocked => {
            format!("{answer}: {reason}; the network blocked it")
        }
        (Kind::Mismatched, answer) if answer.denies() => {
            format!("{answer}: {reason}; the network let it through")
        }
        _ => format!("{answer}: {reason}"),
    }
}

fn source(flow: &FlowOutcome) -> String {
    let saw = flow.evidence.observation.as_ref().map_or("nothing: no attempt finished".to_owned(), saw_text);
    format!("{} on {} saw: {saw}", flow.source, flow.evidence.source_node)
}

fn destination(flow: &FlowOutcome) -> String {
    let evidence = &flow.evidence;
    let node = evidence.destination_node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
    let witness = match evidence.witness {
        Witness::Arrived => "it arrived",
        Witness::NotArrived => "it did not arrive",
        Witness::Absent => "no prober there to report it",
    };
    let from =
        evidence.seen_from.as_ref().map_or(String::new(), |from| format!("; attempts came from {from}"));
    format!("{} ({}){node}: {witness}{from}", flow.target, evidence.to)
}

fn attempts(evidence: &Evidence) -> String {
    let mut text = format!("{} after the change", evidence.attempts);
    if let Some(c) = &evidence.contradictions {
        let _ = write!(
            text,
            "; {} went against the expectation, the first {} ms and the last {} ms after it",
            c.count, c.first_after_ms, c.last_after_ms
        );
    }
    if let Some(ms) = evidence.enforced_after_ms {
        let _ = write!(text, "; as expected since {ms} ms after it");
    }
    if evidence.losses > 0 {
        let _ = write!(text, "; {} lost", evidence.losses);
    }
    text
}

fn policies(evidence: &Evidence) -> String {
    let list =
        |policies: &[String]| if policies.is_empty() { "none".to_owned() } else { policies.join(", ") };
    format!(
        "selecting the source: {}; selecting the destination: {}",
        list(&evidence.policies_on_source),
        list(&evidence.policies_on_destination)
    )
}

fn hint(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NotEnforced | Reason::OnlyAnswerBlocked | Reason::HandshakeLetThrough => {
            "is the policy agent of that node running and ready? does the network plugin implement this field?"
        }
        Reason::Blocked => {
            "which policy selects the ends, and does one of its rules name this peer, protocol and port?"
        }
        Reason::BlockedLive => {
            "`flowproof explain` on this cluster says which policies select the ends, and which rule comes nearest"
        }
        Reason::TargetUnseen | Reason::SourceUnseen => {
            "live policies are never taken away: expect something of a flow that they allow, to the same listener and from the \
             same source; a pod of the run's own that listens on that port can be its other end"
        }
        Reason::AnswerLost => {
            "answers of allowed connections must pass whatever the other direction's policies say"
        }
        Reason::NeverWorked | Reason::AllowNeverWorked | Reason::ControlNeverWorked => {
            "the flow must work while no policy is there: look for policies that the cluster already had, and at routing"
        }
        Reason::EndNotAlive => {
            "repeat the run; `kubectl get events` in the namespace says what happened to the pod"
        }
        Reason::LocalError => {
            "the node is short of something (ports, memory, files), or the pod has no such address family"
        }
        Reason::DnsFailed => "the network carried the query: look at the DNS server's own log",
        Reason::TooLate => "raise --settle or --budget if this network may take that long",
        _ => return None,
    })
}
