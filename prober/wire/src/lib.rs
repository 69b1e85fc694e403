//! The protocol between the runner and a prober: one message per line, in both directions, as JSON: an object whose only key
//! is the message's name (`{"ack":{"have":7}}`), or the name alone (`"quit"`). The name comes first, so that a report is read
//! without being buffered.
//!
//! The prober speaks first with [`Event::Hello`]; the runner answers with [`Command::Hello`] and says up to which
//! revision it already knows this prober's record. From then on the prober sends a [`Report`] every
//! [`REPORT_EVERY_MS`], or as often as the runner asked for with its flows ([`Pace::report_ms`]), whether or not something
//! changed: a report is also the proof that the prober is alive.
//!
//! # The record
//! Nothing is sent per attempt. Both ends keep *spans*: runs of consecutive attempts with the same result
//! ([`SourceSpan`] at the source, [`ArrivalSpan`] at the destination). Every span carries the revision at which it last
//! changed; a report carries the spans that changed since the revision that the runner acknowledged. A lost stream
//! therefore loses nothing: the next one starts from the last acknowledged revision, and sending a span twice is harmless
//! because `(flow, first)` identifies it. A span that is closed and acknowledged may be forgotten.
//!
//! # Time
//! Every `*_us` field is microseconds of the prober's own monotonic clock, whose zero is the start of the prober. The runner
//! measures the offset with [`Command::Ping`] and [`Event::Pong`].
//!
//! # Captures
//! A prober that was started with `--capture` also reports which packets of its attempts, and of attempts that arrived here,
//! passed an interface: [`Sighting`]s, numbered consecutively and each sent once. They are not part of the record: what is lost
//! with a stream shows as a gap ([`Capture::first`]), before which a missing packet proves nothing.
//!
//! # The payload of an attempt
//! [`Nonce`] identifies run, flow and attempt in [`Nonce::LENGTH`] bytes. A TCP source sends it without half-closing the
//! connection; a TCP or UDP destination sends the same bytes back. A DNS source that asks a prober has it as the first label of
//! the name, in hexadecimal, below [`NONCE_ZONE`].

#![forbid(unsafe_code)]

mod capture;
mod message;
mod nonce;
mod record;

pub use capture::{Capture, Packet, Sighting, Way};
pub use message::{
    Command, Connection, Event, First, FlowSpec, Listener, ListenerState, ListenerStatus, Pace, Question,
    Report, Transport,
};
pub use nonce::{NONCE_ZONE, Nonce, NonceError};
pub use record::{ArrivalSpan, Attempt, FlowId, Observation, Revision, SourceSpan};

/// Version of this protocol. Runner and prober must agree exactly: both come from one build.
pub const PROTOCOL: u32 = 4;

/// The longest line that either side accepts, in bytes; a longer one is a protocol error.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// How often a prober sends a [`Report`] unless the runner sets another interval, in milliseconds.
pub const REPORT_EVERY_MS: u64 = 100;

/// How late a prober's own timer may be, in milliseconds, before the prober counts as not alive in between: it was stopped or got
/// no CPU, and cannot say what happened in that time.
pub const HOLE_MS: u64 = 1000;

/// How long a prober goes on trying flows when no runner is attached, in milliseconds.
pub const LEASE_MS: u64 = 120_000;

/// The most spans that are kept per flow and end. If a flow flaps more often between two acknowledgements, the oldest spans are
/// dropped and counted in `dropped_spans` of the report: a hole that the runner must show, never a result.
pub const MAX_SPANS: usize = 256;
