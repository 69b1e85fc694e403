//! Verdicts and observations in words.

use super::{Kind, Reason};
use flowproof_wire::Observation;
use std::fmt;

impl Reason {
    /// Says it in one sentence without a period.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Dropped => "denied: silently dropped",
            Self::Rejected => "denied: rejected",
            Self::NotEnforced => "not enforced: the request arrived and was answered",
            Self::OnlyAnswerBlocked => "not enforced: the request arrived, only the answer was blocked",
            Self::HandshakeLetThrough => {
                "not enforced: the TCP handshake was let through, then the connection was cut"
            }
            Self::RejectedNotDropped => "denied, but rejected instead of dropped",
            Self::DroppedNotRejected => "denied, but dropped instead of rejected",
            Self::Blocked => "blocked: it works without the policies, but did not arrive with them",
            Self::BlockedLive => "blocked: it did not arrive, although both ends work with others",
            Self::AnswerLost => "the request arrived, its answer was lost",
            Self::NeverWorked => "does not work, although no policy applies",
            Self::Unstable => "unstable: it was as expected, then flipped",
            Self::TooLate => "as expected, but later than the budget",
            Self::NoLongerDeviates => {
                "as expected, but listed as a known deviation: the entry is out of date"
            }
            Self::ControlNeverWorked => "unproven: it did not work without the policies either",
            Self::AllowNeverWorked => "it never worked, not even before the policies",
            Self::TargetUnseen => {
                "nobody else reached that listener under these policies, so nothing shows that it would answer"
            }
            Self::SourceUnseen => {
                "the source reached nobody else under these policies, so nothing shows that it could"
            }
            Self::DnsFailed => "the DNS server was reached, and answered with an error",
            Self::LocalError => "the source could not make the attempt",
            Self::Garbled => "something else answered at that address",
            Self::AnsweredByAnother => "answered, but the destination has no record of it",
            Self::NoAttempt => "too few attempts finished in time",
            Self::EndNotAlive => "an end was not alive the whole time",
            Self::Hindered => "an end got too little CPU to prove anything",
            Self::NetworkSlow => "the network is too slow right now to prove anything",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Matched => "matched",
            Self::Mismatched => "mismatched",
            Self::Unspecified => "unspecified",
            Self::Unproven => "unproven",
            Self::Inconclusive => "inconclusive",
        })
    }
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
