//! What a prober remembers about attempts: spans at the source, spans of arrivals at the destination.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Identifies a flow within a run; assigned by the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowId(pub u32);

/// Number of an attempt of a flow, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// Revision of a prober's record: grows with every change of a span, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// What the source saw of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Observation {
    /// The nonce came back, or the DNS server answered `NOERROR`.
    Answered {
        /// Answers of a DNS response as text (`A 10.96.0.1`), at most 8; empty for TCP and UDP.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<String>,
    },
    /// Nothing came back within the timeout: not even a SYN-ACK for TCP.
    Silent,
    /// TCP: a RST in answer to the SYN (RFC 9293, 3.10.7.3). UDP: ICMP port unreachable.
    Refused,
    /// An ICMP error came back (RFC 792, RFC 4443). For TCP this includes port unreachable.
    Unreachable {
        /// ICMP or `ICMPv6` type.
        icmp_type: u8,
        /// ICMP or `ICMPv6` code.
        icmp_code: u8,
    },
    /// TCP only: the connection was established and then the answer did not come.
    Cut {
        /// True for a RST or an early end, false when it went silent.
        reset: bool,
    },
    /// A DNS server answered with another RCODE than `NOERROR` (RFC 1035, 4.1.1): the network carried the query.
    DnsFailed {
        /// The RCODE as IANA names it: `SERVFAIL`, `NXDOMAIN`, `REFUSED` …
        rcode: String,
    },
    /// What came back was not what was sent: another nonce, or no DNS message.
    Garbled,
    /// The attempt could not be made, because the kernel refused a system call. Says nothing about the network.
    LocalError {
        /// `errno`, as in `errno(3)`.
        errno: i32,
        /// Which call failed: `socket`, `bind`, `connect`, `send`.
        call: String,
    },
}

/// A run of consecutive attempts of a flow of which the source saw the same result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpan {
    /// The flow.
    pub flow: FlowId,
    /// First attempt of the run; together with `flow`, it identifies the span.
    pub first: Attempt,
    /// Last attempt of the run, included.
    pub last: Attempt,
    /// When the first attempt was started.
    pub first_us: u64,
    /// When the last attempt was started.
    pub last_us: u64,
    /// Shortest time from start to outcome.
    pub min_us: u64,
    /// Longest time from start to outcome.
    pub max_us: u64,
    /// What the source saw.
    pub observation: Observation,
}

/// A run of consecutive attempts of a flow that arrived at this destination.
///
/// Attempts may arrive out of order or more than once. Spans that touch are joined; a joined span is sent under its lowest
/// attempt, and the spans that it absorbed are not sent again. Spans add up and remove nothing: a duplicate of an attempt whose
/// span the prober has forgotten is sent as a span of its own, which may have the same id as an older, longer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalSpan {
    /// The flow.
    pub flow: FlowId,
    /// Lowest attempt of the run; together with `flow`, it identifies the span.
    pub first: Attempt,
    /// Highest attempt of the run, included.
    pub last: Attempt,
    /// When the earliest of them arrived.
    pub first_us: u64,
    /// When the latest of them arrived.
    pub last_us: u64,
    /// Address and port that the latest one came from, as the destination saw it (after any translation).
    pub peer: SocketAddr,
}
