//! The truth table of one attempt: a pure function of what was expected, seen, witnessed and controlled.
//!
//! The cases of the table are in [`tests`](self) as data. Two rules come before it. An arrival or an answer disproves a deny, and
//! an answer proves an allow, whatever else happened. Nothing else counts unless both ends were alive.

use crate::{
    evidence::{life::Life, record::Witness},
    scenario::flow::Expectation,
};
use flowproof_wire::Observation;
use serde::{Deserialize, Serialize};

/// What is known about one flow when it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case<'a> {
    /// What the flow must do.
    pub expectation: Expectation,
    /// What the source saw of the attempt that is judged; `None` if no attempt was decided.
    pub saw: Option<&'a Observation>,
    /// What the destination saw of the same nonce.
    pub witness: Witness,
    /// Whether the flow was seen to work without the policies.
    pub control: Control,
    /// Whether both ends were alive during the whole window.
    pub life: Life,
    /// Whether an object of the scenario was in force in this step. Without one, a flow that does not work is not blocked by a
    /// policy of ours.
    pub policed: bool,
}

/// Whether the flow works when nothing denies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// It was answered in this run before any policy.
    Works,
    /// It was tried before any policy and never answered.
    NeverWorked,
    /// The policies are the cluster's and are never removed. But others reached the same listener, and the same source reached
    /// others, in the same scenario and family.
    EndsWork,
    /// The policies are the cluster's and are never removed, and nobody else reached the same listener.
    TargetUnseen,
    /// The policies are the cluster's and are never removed, and the source reached nobody else.
    SourceUnseen,
}

/// The kind of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What happened is what was expected, and it is proven.
    Matched,
    /// Denied as expected, but nothing shows that the flow works otherwise.
    Unproven,
    /// Nothing can be said: an error, a lost stream, an end that was not alive.
    Inconclusive,
    /// The policies leave it open: what happened is reported, and is neither right nor wrong.
    Unspecified,
    /// What happened is not what was expected.
    Mismatched,
}

/// Why a verdict is what it is: the code that machines compare; [`Reason::text`] is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Allowed, and it got through there and back.
    Answered,
    /// Denied, and the source received nothing.
    Dropped,
    /// Denied, and the source received a refusal: RST or ICMP.
    Rejected,
    /// Expected to be denied; it arrived and was answered.
    NotEnforced,
    /// Expected to be denied; it arrived, and only the answer was blocked.
    OnlyAnswerBlocked,
    /// Expected to be denied; a TCP handshake was completed before the connection was cut.
    HandshakeLetThrough,
    /// Expected to be dropped; the source received a refusal.
    RejectedNotDropped,
    /// Expected to be rejected; the source received nothing.
    DroppedNotRejected,
    /// Expected to be allowed; it did not arrive.
    Blocked,
    /// Expected to be allowed under policies that are never removed; it did not arrive, although both ends work with others.
    BlockedLive,
    /// Expected to be allowed; it arrived, and the answer was lost.
    AnswerLost,
    /// Expected to be allowed; it does not work even without a policy.
    NeverWorked,
    /// Settled as expected and then flipped.
    Unstable,
    /// As expected in the end, but later than the budget allows, or too late to settle.
    TooLate,
    /// As expected, although a known deviation of this network says otherwise: the entry is out of date.
    NoLongerDeviates,
    /// Denied, but the same flow never worked without the policy either.
    ControlNeverWorked,
    /// Under policies that are never removed, nobody reached this listener, so nothing shows that it would answer.
    TargetUnseen,
    /// Under policies that are never removed, this source reached nobody, so nothing shows that it could.
    SourceUnseen,
    /// Expected to be allowed under a policy; it never worked without the policy either.
    AllowNeverWorked,
    /// A DNS server was reached and answered with an error code.
    DnsFailed,
    /// The source could not make the attempt.
    LocalError,
    /// Something answered with bytes that are not ours.
    Garbled,
    /// It was answered, but the destination has no record of it: something else answers at that address.
    AnsweredByAnother,
    /// Nothing went against the expectation, but too few attempts were decided to prove it.
    NoAttempt,
    /// An end, its listener or its stream was missing for a time.
    EndNotAlive,
    /// An end got too little CPU for most of the time, or for the attempts that would have decided it.
    Hindered,
    /// It does not do what is expected yet, and nothing shows that the network had as much time as it needs right now.
    NetworkSlow,
}

/// A verdict and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// What it is.
    pub kind: Kind,
    /// Why.
    pub reason: Reason,
}

/// Judges one flow.
#[must_use]
pub fn judge(case: &Case<'_>) -> Verdict {
    match case.expectation {
        Expectation::Allow => judge_allow(case),
        Expectation::Deny | Expectation::Drop | Expectation::Reject => judge_deny(case),
        Expectation::Unspecified => Verdict { kind: Kind::Unspecified, reason: seen(case) },
    }
}

/// What happened, without a judgment on whether that is right.
fn seen(case: &Case<'_>) -> Reason {
    use Observation as O;
    if let Some(verdict) = inconclusive(case) {
        return verdict.reason;
    }
    match (case.saw, case.witness) {
        (Some(O::Answered { .. }), Witness::NotArrived) => Reason::AnsweredByAnother,
        (Some(O::Answered { .. }), _) => Reason::Answered,
        (Some(O::DnsFailed { .. }), _) => Reason::DnsFailed,
        (_, Witness::Arrived) => Reason::AnswerLost,
        (Some(O::Refused | O::Unreachable { .. }), _) => Reason::Rejected,
        _ => Reason::Dropped,
    }
}

fn judge_deny(case: &Case<'_>) -> Verdict {
    use Observation as O;
    let answered = matches!(case.saw, Some(O::Answered { .. }));
    match (case.saw, case.witness) {
        (_, Witness::Arrived) if !answered => return mismatched(Reason::OnlyAnswerBlocked),
        (Some(O::Answered { .. } | O::DnsFailed { .. }), _) => return mismatched(Reason::NotEnforced),
        _ => {}
    }
    if let Some(verdict) = inconclusive(case) {
        return verdict;
    }
    let reason = match case.saw {
        Some(O::Refused | O::Unreachable { .. }) => Reason::Rejected,
        Some(O::Cut { .. }) => return mismatched(Reason::HandshakeLetThrough),
        _ => Reason::Dropped,
    };
    match (case.control, case.expectation, reason) {
        (Control::NeverWorked, ..) => Verdict { kind: Kind::Unproven, reason: Reason::ControlNeverWorked },
        (Control::TargetUnseen, ..) => Verdict { kind: Kind::Unproven, reason: Reason::TargetUnseen },
        (Control::SourceUnseen, ..) => Verdict { kind: Kind::Unproven, reason: Reason::SourceUnseen },
        (_, Expectation::Drop, Reason::Rejected) => mismatched(Reason::RejectedNotDropped),
        (_, Expectation::Reject, Reason::Dropped) => mismatched(Reason::DroppedNotRejected),
        _ => Verdict { kind: Kind::Matched, reason },
    }
}

fn judge_allow(case: &Case<'_>) -> Verdict {
    if matches!(case.saw, Some(Observation::Answered { .. })) && case.witness != Witness::NotArrived {
        return Verdict { kind: Kind::Matched, reason: Reason::Answered };
    }
    if let Some(verdict) = inconclusive(case) {
        return verdict;
    }
    match (case.saw, case.witness, case.control) {
        (Some(Observation::DnsFailed { .. }), ..) => unclear(Reason::DnsFailed),
        (Some(Observation::Answered { .. }), ..) => unclear(Reason::AnsweredByAnother),
        (_, Witness::Arrived, _) => mismatched(Reason::AnswerLost),
        (_, _, Control::Works) => mismatched(Reason::Blocked),
        (_, _, Control::NeverWorked) if case.policed => unclear(Reason::AllowNeverWorked),
        (_, _, Control::NeverWorked) => mismatched(Reason::NeverWorked),
        (_, _, Control::EndsWork) => mismatched(Reason::BlockedLive),
        (_, _, Control::TargetUnseen) => unclear(Reason::TargetUnseen),
        (_, _, Control::SourceUnseen) => unclear(Reason::SourceUnseen),
    }
}

/// What makes every other finding worthless, in the order in which it is reported.
fn inconclusive(case: &Case<'_>) -> Option<Verdict> {
    if let Life::Broken(_) = case.life {
        return Some(unclear(Reason::EndNotAlive));
    }
    match case.saw {
        None => Some(unclear(Reason::NoAttempt)),
        Some(Observation::LocalError { .. }) => Some(unclear(Reason::LocalError)),
        Some(Observation::Garbled) => Some(unclear(Reason::Garbled)),
        Some(_) => None,
    }
}

fn mismatched(reason: Reason) -> Verdict {
    Verdict { kind: Kind::Mismatched, reason }
}

fn unclear(reason: Reason) -> Verdict {
    Verdict { kind: Kind::Inconclusive, reason }
}

#[cfg(test)]
mod tests;
