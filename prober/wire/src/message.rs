//! The messages: commands of the runner, events of the prober.

use crate::{ArrivalSpan, Capture, FlowId, Revision, SourceSpan};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// How a flow or a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A TCP connection that carries a nonce there and back.
    Tcp,
    /// A UDP datagram that carries a nonce there and back.
    Udp,
    /// A DNS query over UDP (RFC 1035).
    DnsUdp,
    /// A DNS query over TCP (RFC 7766).
    DnsTcp,
}

/// A port that a prober answers on, on every address of the pod, in both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What it answers: nonces, or DNS queries.
    pub transport: Transport,
    /// The port.
    pub port: u16,
}

/// What a DNS flow asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// The destination is a prober: the name is the nonce below [`crate::NONCE_ZONE`], type A.
    Nonce,
    /// The destination is a real DNS server.
    Name {
        /// Fully qualified name.
        name: String,
        /// Record type: `A`, `AAAA`, `SRV` …
        record: String,
    },
}

/// How the attempts of a flow use connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// A new one for each attempt, from a source port of its own.
    #[default]
    Each,
    /// One for all attempts, or one source port for UDP. Once a TCP connection that was established has ended, every further
    /// attempt sees the same end. An attempt without an answer is [`crate::Observation::Cut`] without a reset.
    Kept,
    /// As [`Self::Kept`], but after a connection has ended, a new one is opened.
    Reopened,
}

/// A flow that this prober is to try.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    /// Its id in nonces and reports.
    pub flow: FlowId,
    /// How.
    pub transport: Transport,
    /// Where to.
    pub to: SocketAddr,
    /// What to ask; for DNS transports only, where its absence means [`Question::Nonce`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Whether a completed handshake counts as the answer, and no byte is sent; for [`Transport::Tcp`] only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
    /// How attempts use connections; for [`Transport::Tcp`] and [`Transport::Udp`] only.
    #[serde(default, skip_serializing_if = "is_each")]
    pub connection: Connection,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_each(connection: &Connection) -> bool {
    *connection == Connection::Each
}

/// How often attempts are made, how long they wait, and how often they are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Time from the start of an attempt of a flow to the start of the next one, in milliseconds; at least 1.
    pub interval_ms: u64,
    /// How long an attempt waits for an answer before it is silent, in milliseconds. May exceed the interval:
    /// attempts of a flow then overlap.
    pub timeout_ms: u64,
    /// Time from one [`Report`] to the next, in milliseconds; at least 1, and well below [`crate::HOLE_MS`]. Fewer reports cost less
    /// CPU between prober and runner, but the runner learns later what happened.
    pub report_ms: u64,
}

/// What a prober tries from its start, before any runner is attached; passed to it as JSON when it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct First {
    /// As in [`Command::Hello`].
    pub run: u64,
    /// As in [`Command::Try`].
    pub flows: Vec<FlowSpec>,
    /// As in [`Command::Try`].
    pub pace: Pace,
}

/// What the runner says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Answers [`Event::Hello`]: the first command of every stream.
    Hello {
        /// Must equal [`crate::PROTOCOL`].
        protocol: u32,
        /// Part of every nonce. If it differs from the last stream's, the prober forgets its record first.
        run: u64,
        /// The runner has all spans up to this revision; 0 for none.
        have: Revision,
    },
    /// Replaces the set of listeners. Those in both sets are left untouched.
    Listen {
        /// The whole new set.
        listeners: Vec<Listener>,
    },
    /// Replaces the set of flows. A flow in both sets, unchanged, goes on counting its attempts.
    Try {
        /// The whole new set; empty stops trying.
        flows: Vec<FlowSpec>,
        /// Applies to all of them.
        pace: Pace,
    },
    /// The runner has all spans up to this revision.
    Ack {
        /// As in a [`Report`].
        have: Revision,
    },
    /// Asks for an [`Event::Pong`] at once.
    Ping {
        /// Comes back unchanged.
        id: u64,
    },
    /// Ends the prober.
    Quit,
}

/// Whether a listener works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ListenerState {
    /// Bound, not checked yet.
    Bound,
    /// Answered the last check over loopback.
    Alive,
    /// Did not answer the last check over loopback.
    Dead,
    /// Could not be bound.
    Failed {
        /// `errno`, as in `errno(3)`.
        errno: i32,
    },
}

/// A listener and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerStatus {
    /// Which.
    pub listener: Listener,
    /// Its state.
    pub status: ListenerState,
    /// Since when checks have succeeded without a hole of [`crate::HOLE_MS`] plus a check's interval; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_us: Option<u64>,
    /// When a check last succeeded; absent before the first success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive_us: Option<u64>,
}

/// What changed in the record since the revision that the runner acknowledged, and proof of life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The revision up to which this report covers the record.
    pub revision: Revision,
    /// When the report was made. Every attempt started more than the timeout before this moment is in the record.
    pub at_us: u64,
    /// Since when the prober has run without a hole: its own timer was never late by [`crate::HOLE_MS`] or more.
    pub steady_us: u64,
    /// Longest delay of the prober's own timers, and of its listeners' answers over loopback, since the last complete report, in
    /// microseconds: large if it got too little CPU. 0 in a partial report.
    pub lag_us: u64,
    /// Spans of the flows that this prober tries.
    pub source: Vec<SourceSpan>,
    /// Spans of nonces that arrived here.
    pub arrivals: Vec<ArrivalSpan>,
    /// All listeners.
    pub listeners: Vec<ListenerStatus>,
    /// How many spans had to be dropped unacknowledged since the start.
    pub dropped_spans: u64,
    /// What was captured since the last report; absent unless the prober captures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
}

/// What the prober says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The first event of every stream.
    Hello {
        /// [`crate::PROTOCOL`] of the prober.
        protocol: u32,
        /// Version of the prober's package.
        version: String,
        /// A random number from the prober's start; a different number means that it was restarted.
        instance: u64,
        /// The prober's clock.
        at_us: u64,
        /// Name servers of the prober's surroundings (`/etc/resolv.conf`).
        name_servers: Vec<IpAddr>,
        /// Search list of the prober's surroundings.
        search: Vec<String>,
    },
    /// Answers [`Command::Ping`].
    Pong {
        /// As in the ping.
        id: u64,
        /// The prober's clock when it read the ping.
        at_us: u64,
    },
    /// Sent as often as [`Pace::report_ms`] says.
    Report(Report),
    /// A command could not be carried out; the stream goes on unless it was the handshake.
    Refused {
        /// For a person.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attempt, Observation};

    #[test]
    fn a_line_has_a_stable_shape() {
        let span = SourceSpan {
            flow: FlowId(3),
            first: Attempt(1),
            last: Attempt(9),
            first_us: 5,
            last_us: 800_005,
            min_us: 210,
            max_us: 900,
            observation: Observation::Unreachable { icmp_type: 3, icmp_code: 13 },
        };
        let event = Event::Report(Report { revision: Revision(12), source: vec![span], ..Report::default() });
        let line = serde_json::to_string(&event).expect("an event is valid JSON");
        assert_eq!(
            line,
            r#"{"report":{"revision":12,"at_us":0,"steady_us":0,"lag_us":0,"source":[{"flow":3,"first":1,"last":9,"first_us":5,"last_us":800005,"min_us":210,"max_us":900,"observation":{"saw":"unreachable","icmp_type":3,"icmp_code":13}}],"arrivals":[],"listeners":[],"dropped_spans":0}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&line).expect("it reads back"), event);
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<Command>(r#"{"ack":{"have":1,"more":2}}"#).is_err());
    }
}
